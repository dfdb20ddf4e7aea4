//! What 500 links at five probes a second cost in the machines alone: `cargo run --release -p links --example
//! probes [LINKS [signed]]`.
#![expect(
    clippy::disallowed_methods,
    reason = "a benchmark reads the clock; the machines do not"
)]

use std::time::{Duration, Instant};

use links::stamp::{Key, Keys, Mode, NtpTime};
use links::{
    AddressFamily, Arrival, Health, HealthConfig, HealthInput, Input, LastResort, Method, Output,
    Probe, ProbeConfig, Reflector, ReflectorConfig, Transmit, Via,
};

/// Simulated; longer than the longest window.
const LENGTH: Duration = Duration::from_secs(360);
/// As often as the daemon looks at the quality of a link.
const PUBLISH: Duration = Duration::from_millis(250);
const FAR: [u8; 4] = [192, 0, 2, 1];

struct Link {
    probe: Probe,
    health: Health,
    reflector: Reflector,
    /// When the next reply arrives, and the reply.
    reply: Option<(Instant, Vec<u8>)>,
    published: Instant,
    answers: u64,
}

impl Link {
    fn new(number: u16, now: Instant) -> Self {
        let config = ProbeConfig {
            method: Method::Auto,
            last_resort: LastResort::None,
            interval: Duration::from_millis(200),
            timeout: Duration::from_secs(1),
            window: Duration::from_secs(10),
            family: AddressFamily::V4,
            identifier: number,
            mode: mode(),
        };
        Self {
            probe: Probe::new(config, number.into(), now),
            health: Health::new(HealthConfig::default(), now),
            reflector: Reflector::new(ReflectorConfig {
                remote: FAR.into(),
                mode: mode(),
                ours: [0; 2],
            }),
            reply: None,
            published: now,
            answers: 0,
        }
    }

    /// All that a link's task does, but for system calls.
    fn run(&mut self, now: Instant) {
        if let Some((_, bytes)) = self.reply.take_if(|(at, _)| *at <= now) {
            let input = Input::Received {
                via: Via::Stamp,
                bytes: &bytes,
                waited: Duration::ZERO,
            };
            self.probe.handle(input, now);
        }
        if self.probe.poll_timeout().is_some_and(|at| at <= now) {
            self.probe.handle(Input::Timeout, now);
        }
        while let Some(transmit) = self.probe.poll_transmit(NtpTime(now_ticks(now)), now) {
            self.carry(&transmit, now);
        }
        while let Some(output) = self.probe.poll_output() {
            let input = match output {
                Output::Answered { .. } => HealthInput::Answered,
                Output::Lost => HealthInput::Lost,
            };
            self.answers += u64::from(matches!(output, Output::Answered { .. }));
            self.health.handle(input, now);
        }
        if now >= self.published + PUBLISH {
            self.published = now;
            let quality = self.probe.quality(now);
            self.health.handle(HealthInput::Quality(&quality), now);
        }
    }

    /// The far end answers after 20 to 30 ms. Its work is measured as ours: a router reflects as much as it
    /// sends.
    fn carry(&mut self, transmit: &Transmit, now: Instant) {
        let Transmit::Datagram {
            via: Via::Stamp,
            bytes,
        } = transmit
        else {
            return;
        };
        let at = NtpTime(now_ticks(now));
        let arrival = Arrival {
            bytes,
            from: (FAR, 5000).into(),
            ttl: 64,
            at,
        };
        let delay = Duration::from_micros(20_000 + self.answers * 7919 % 10_000);
        if let Ok(reply) = self.reflector.reflect(arrival, at, now) {
            self.reply = Some((now + delay, reply));
        }
    }

    fn due(&self) -> Instant {
        let timeout = self.probe.poll_timeout().unwrap_or(self.published);
        let reply = self.reply.as_ref().map_or(timeout, |(at, _)| *at);
        timeout.min(reply).min(self.published + PUBLISH)
    }
}

/// As the command line says.
fn mode() -> Mode {
    if std::env::args().nth(2).as_deref() != Some("signed") {
        return Mode::Unauthenticated;
    }
    let key = Key::new(&[7; 32]).expect("as long as a digest");
    Mode::Authenticated(Keys { key, accept: None })
}

/// Time that this process was on a processor, whatever else the machine does.
fn processor() -> Duration {
    let told = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    let nanos = told.split(' ').next().and_then(|word| word.parse().ok());
    Duration::from_nanos(nanos.unwrap_or(0))
}

fn now_ticks(now: Instant) -> u64 {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    let start = *START.get_or_init(|| now);
    let nanos = now.saturating_duration_since(start).as_nanos() as u64;
    (3_900_000_000 << 32) + nanos * 4 + (1 << 16)
}

#[expect(clippy::print_stdout, reason = "a benchmark prints its result")]
fn main() {
    let count = std::env::args().nth(1).and_then(|count| count.parse().ok());
    let count: u16 = count.unwrap_or(500);
    let start = Instant::now();
    let mut links: Vec<_> = (1..=count).map(|number| Link::new(number, start)).collect();
    let began = processor();
    // One after the other: each has its own time.
    for link in &mut links {
        let mut now = start;
        while now < start + LENGTH {
            link.run(now);
            now = link.due().max(now + Duration::from_nanos(1));
        }
    }
    let took = processor().saturating_sub(began);
    let answers: u64 = links.iter().map(|link| link.answers).sum();
    println!(
        "{count} links, {} s at 5 probes/s: {answers} answers, {:.3} s of processor: {:.2} % of one core, \
         {:.2} us an answer",
        LENGTH.as_secs(),
        took.as_secs_f64(),
        took.as_secs_f64() / LENGTH.as_secs_f64() * 100.0,
        took.as_secs_f64() * 1e6 / answers.max(1) as f64,
    );
}
