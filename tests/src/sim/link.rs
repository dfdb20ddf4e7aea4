//! One end of a link: its probe, its reflector and its health, as the daemon's link driver has them.

use std::time::{Duration, Instant};

use links::stamp::{self, Mode, NtpTime};
use links::{
    AddressFamily, Arrival, Health, HealthChange, HealthConfig, HealthInput, Input, LastResort,
    LinkId, Method, Output, Probe, ProbeConfig, Reflector, ReflectorConfig, Transmit, Via,
};

use super::topology::Timing;

/// Between two looks at the quality of the link.
const PUBLISH: Duration = Duration::from_millis(250);
/// RFC 4443 §4.2.
const ECHO_REPLY_V6: u8 = 129;
/// The other end of every cable.
const FAR: std::net::Ipv6Addr = std::net::Ipv6Addr::LOCALHOST;

/// What crosses a cable beside TCP.
#[derive(Clone, Debug)]
pub(super) enum Datagram {
    Request(Via, Vec<u8>),
    Answer(Via, Vec<u8>),
}

#[derive(Debug)]
pub(super) struct Link {
    pub(super) health: Health,
    probe: Probe,
    reflector: Reflector,
    published: Instant,
    /// Where the wall clock stands at zero.
    epoch: Instant,
}

impl Link {
    pub(super) fn new(
        id: LinkId,
        timing: &Timing,
        seed: u64,
        epoch: Instant,
        now: Instant,
    ) -> Self {
        let probe = ProbeConfig {
            method: Method::Auto,
            last_resort: LastResort::None,
            interval: timing.probe_interval,
            timeout: Duration::from_secs(1),
            window: Duration::from_secs(2),
            // Echo over IPv6 has no checksum, and so needs no kernel to do one.
            family: AddressFamily::V6,
            identifier: u16::try_from(id.0 + 1).expect("few links"),
            mode: Mode::Unauthenticated,
        };
        let health = HealthConfig {
            hold_down_max: timing.link_hold_down_max,
            ..HealthConfig::default()
        };
        Self {
            health: Health::new(health, now),
            probe: Probe::new(probe, seed, now),
            reflector: Reflector::new(ReflectorConfig::unauthenticated(FAR.into())),
            published: now,
            epoch,
        }
    }

    /// A datagram arrived. What there is to answer is given back.
    pub(super) fn receive(&mut self, datagram: Datagram, now: Instant) -> Option<Datagram> {
        match datagram {
            Datagram::Answer(via, bytes) => {
                let input = Input::Received {
                    via,
                    bytes: &bytes,
                    waited: Duration::ZERO,
                };
                self.probe.handle(input, now);
                None
            }
            Datagram::Request(Via::Icmp, mut bytes) => {
                // The kernel of the far end answers.
                *bytes.first_mut()? = ECHO_REPLY_V6;
                Some(Datagram::Answer(Via::Icmp, bytes))
            }
            Datagram::Request(Via::Tcp | Via::Bgp, _) => None,
            Datagram::Request(Via::Stamp, bytes) => {
                let wall = self.wall(now);
                let arrival = Arrival {
                    bytes: &bytes,
                    from: (FAR, stamp::PORT).into(),
                    ttl: 255,
                    at: wall,
                };
                let reply = self.reflector.reflect(arrival, wall, now).ok()?;
                Some(Datagram::Answer(Via::Stamp, reply))
            }
        }
    }

    pub(super) fn on_timeout(&mut self, now: Instant) {
        if self.probe.poll_timeout().is_some_and(|at| at <= now) {
            self.probe.handle(Input::Timeout, now);
        }
        if self.health.poll_timeout().is_some_and(|at| at <= now) {
            self.health.handle(HealthInput::Timeout, now);
        }
        if now >= self.published + PUBLISH {
            self.published = now;
            let quality = self.probe.quality(now);
            self.health.handle(HealthInput::Quality(&quality), now);
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let publish = Some(self.published + PUBLISH);
        let machines = [
            self.probe.poll_timeout(),
            self.health.poll_timeout(),
            publish,
        ];
        machines.into_iter().flatten().min()
    }

    pub(super) fn poll_transmit(&mut self, now: Instant) -> Option<Datagram> {
        match self.probe.poll_transmit(self.wall(now), now)? {
            Transmit::Datagram { via, bytes } => Some(Datagram::Request(via, bytes)),
            Transmit::Connect { .. } | Transmit::Look => None,
        }
    }

    /// What the probe has found goes to the health; what that makes of it is given back.
    pub(super) fn poll_output(&mut self, now: Instant) -> Option<HealthChange> {
        while let Some(output) = self.probe.poll_output() {
            let input = match output {
                Output::Answered { .. } => HealthInput::Answered,
                Output::Lost => HealthInput::Lost,
            };
            self.health.handle(input, now);
        }
        self.health.poll_output()
    }

    fn wall(&self, now: Instant) -> NtpTime {
        NtpTime::from_unix(Duration::from_secs(1_800_000_000) + (now - self.epoch))
    }
}
