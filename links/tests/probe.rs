//! A probe against a simulated link and far end: simulated time, exact delays.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use links::icmp::Echo;
use links::stamp::{self, NtpTime, Request};
use links::{
    AddressFamily, Arrival, Health, HealthConfig, HealthInput, Input, LastResort, Method, Output,
    Probe, ProbeConfig, Quality, Reflector, SessionTcp, State, TcpState, Transmit, Via,
};

const FAR: std::net::Ipv4Addr = std::net::Ipv4Addr::new(192, 0, 2, 1);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn config(method: Method) -> ProbeConfig {
    ProbeConfig {
        method,
        last_resort: LastResort::None,
        interval: ms(100),
        timeout: ms(1000),
        window: ms(10_000),
        family: AddressFamily::V4,
        identifier: 0x5b01,
    }
}

/// What the far end and the way to it do to a datagram.
#[derive(Clone)]
struct Far {
    delay: Duration,
    reflects: Reflects,
    echoes: bool,
    /// How long the reflector holds a packet.
    processing: Duration,
    /// The far clock is stepped back while it holds one.
    stepped_back: bool,
    duplicates: bool,
    /// Every n-th round is lost.
    lose_every: Option<u64>,
    /// Every n-th request that the reflector would answer is lost on the way there.
    lose_out: Option<u64>,
    /// Every n-th of its replies is lost.
    lose_back: Option<u64>,
    /// Accepts or refuses TCP connections.
    listens: bool,
    session: Session,
    /// What the session waits for is not acknowledged.
    timeouts: u32,
    /// How long datagrams lie in the socket.
    unread: Duration,
}

/// The BGP session of the link.
#[derive(Clone, Copy, PartialEq)]
enum Session {
    Absent,
    Forming,
    /// It heard something then.
    Heard(Duration),
}

#[derive(Clone, Copy, PartialEq)]
enum Reflects {
    Yes,
    Silent,
    Refuses,
}

impl Far {
    fn at(delay: u64) -> Self {
        Self {
            delay: ms(delay),
            reflects: Reflects::Yes,
            echoes: true,
            processing: Duration::ZERO,
            stepped_back: false,
            duplicates: false,
            lose_every: None,
            lose_out: None,
            lose_back: None,
            listens: false,
            session: Session::Absent,
            timeouts: 0,
            unread: Duration::ZERO,
        }
    }

    fn cut(&mut self) {
        self.reflects = Reflects::Silent;
        self.echoes = false;
    }
}

enum Coming {
    Datagram(Via, Vec<u8>),
    Connection(u32),
    Refusal,
}

struct Sim {
    now: Instant,
    start: Instant,
    wall: Duration,
    far: Far,
    probe: Probe,
    reflector: Reflector,
    requests: u64,
    replies: u64,
    health: Health,
    wire: BTreeMap<(Instant, u64), Coming>,
    sent: Vec<(Duration, Via, Vec<u8>)>,
    outputs: Vec<(Duration, Output)>,
    changes: Vec<(Duration, State)>,
}

impl Sim {
    #[expect(clippy::disallowed_methods, reason = "a test has to start somewhere")]
    fn new(config: ProbeConfig, seed: u64, far: Far) -> Self {
        let now = Instant::now();
        Self {
            now,
            start: now,
            wall: Duration::from_secs(1_800_000_000),
            far,
            probe: Probe::new(config, seed, now),
            reflector: Reflector::new(FAR.into()),
            requests: 0,
            replies: 0,
            health: Health::new(HealthConfig::default(), now),
            wire: BTreeMap::new(),
            sent: Vec::new(),
            outputs: Vec::new(),
            changes: Vec::new(),
        }
    }

    fn elapsed(&self) -> Duration {
        self.now - self.start
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let arrival = self.wire.keys().next().map(|(at, _)| *at);
            let due = [
                arrival,
                self.probe.poll_timeout(),
                self.health.poll_timeout(),
            ];
            let next = due
                .into_iter()
                .flatten()
                .min()
                .expect("a probe always has a deadline");
            if next > end {
                break;
            }
            self.now = self.now.max(next);
            self.deliver();
            self.probe.handle(Input::Timeout, self.now);
            self.drain();
        }
        self.now = end;
    }

    fn deliver(&mut self) {
        while let Some(entry) = self
            .wire
            .first_entry()
            .filter(|entry| entry.key().0 <= self.now)
        {
            match entry.remove() {
                Coming::Datagram(via, bytes) => self.receive(via, &bytes),
                Coming::Connection(round) => {
                    self.probe.handle(Input::Connected { round }, self.now);
                }
                Coming::Refusal => self.probe.handle(Input::Refused(Via::Stamp), self.now),
            }
        }
    }

    fn receive(&mut self, via: Via, bytes: &[u8]) {
        self.probe.handle(
            Input::Received {
                via,
                bytes,
                waited: self.far.unread,
            },
            self.now,
        );
    }

    fn drain(&mut self) {
        let wall = NtpTime::from_unix(self.wall + self.elapsed());
        while let Some(transmit) = self.probe.poll_transmit(wall, self.now) {
            match transmit {
                Transmit::Datagram { via, bytes } => {
                    self.sent.push((self.elapsed(), via, bytes.to_vec()));
                    self.carry(via, &bytes);
                }
                Transmit::Connect { round } => self.connect(round),
                Transmit::Look => {
                    let state = |heard| TcpState {
                        rtt: Some(self.far.delay),
                        silence: self.elapsed().saturating_sub(heard),
                        timeouts: self.far.timeouts,
                    };
                    let seen = match self.far.session {
                        Session::Absent => SessionTcp::Absent,
                        Session::Forming => SessionTcp::Forming,
                        Session::Heard(at) => SessionTcp::Established(state(at)),
                    };
                    self.probe.handle(Input::Session(seen), self.now);
                }
            }
        }
        while let Some(output) = self.probe.poll_output() {
            self.outputs.push((self.elapsed(), output));
            let input = match output {
                Output::Answered { .. } => HealthInput::Answered,
                Output::Lost => HealthInput::Lost,
            };
            self.health.handle(input, self.now);
        }
        self.health.handle(HealthInput::Timeout, self.now);
        if let Some(change) = self.health.poll_output() {
            self.changes.push((self.elapsed(), change.state));
        }
    }

    fn connect(&mut self, round: u32) {
        self.sent.push((self.elapsed(), Via::Tcp, vec![]));
        if self.far.listens {
            let at = self.now + self.far.delay;
            let count = self.sent.len() as u64;
            self.wire.insert((at, count), Coming::Connection(round));
        }
    }

    fn carry(&mut self, via: Via, bytes: &[u8]) {
        let count = self.sent.len() as u64;
        if self
            .far
            .lose_every
            .is_some_and(|every| count.is_multiple_of(every))
        {
            return;
        }
        let arrival = match (via, self.far.reflects, self.far.echoes) {
            (Via::Stamp, Reflects::Yes, _) => match self.reflected(bytes) {
                Some(reply) => Coming::Datagram(via, reply),
                None => return,
            },
            (Via::Stamp, Reflects::Refuses, _) => Coming::Refusal,
            (Via::Icmp, _, true) => Coming::Datagram(via, echo_reply(bytes)),
            (Via::Stamp | Via::Icmp | Via::Tcp | Via::Bgp, _, _) => return,
        };
        let held = if via == Via::Stamp {
            self.far.processing
        } else {
            Duration::ZERO
        };
        let at = self.now + self.far.delay + held;
        if let (true, Coming::Datagram(via, bytes)) = (self.far.duplicates, &arrival) {
            let copy = Coming::Datagram(*via, bytes.clone());
            self.wire.insert((at + ms(1), count), copy);
        }
        self.wire.insert((at, count), arrival);
    }

    /// The reply as far as it comes.
    fn reflected(&mut self, request: &[u8]) -> Option<Vec<u8>> {
        let is_lost =
            |every: Option<u64>, count: u64| every.is_some_and(|every| count.is_multiple_of(every));
        self.requests += 1;
        if is_lost(self.far.lose_out, self.requests) {
            return None;
        }
        let reply = self.reflect(request);
        self.replies += 1;
        (!is_lost(self.far.lose_back, self.replies)).then_some(reply)
    }

    fn reflect(&mut self, request: &[u8]) -> Vec<u8> {
        // The far clock is half an hour off: only differences may matter.
        let received = self.wall + self.elapsed() + Duration::from_secs(1800);
        let sent = if self.far.stepped_back {
            received - Duration::from_secs(900)
        } else {
            received + self.far.processing
        };
        let arrival = Arrival {
            bytes: request,
            from: (FAR, 5000).into(),
            ttl: 64,
            at: NtpTime::from_unix(received),
        };
        let reply = self.reflector.reflect(arrival, NtpTime::from_unix(sent));
        reply.expect("the probe sends STAMP")
    }

    fn quality(&mut self) -> Quality {
        self.probe.quality(self.now)
    }

    fn lost(&self) -> usize {
        self.outputs
            .iter()
            .filter(|(_, output)| *output == Output::Lost)
            .count()
    }

    fn sent_via(&self, via: Via, from: Duration) -> usize {
        self.sent
            .iter()
            .filter(|(at, sent, _)| *at >= from && *sent == via)
            .count()
    }
}

/// An echo reply as a raw IPv4 socket gives it, made from the request with the checksum adjusted.
fn echo_reply(request: &[u8]) -> Vec<u8> {
    let mut message = request.to_vec();
    message[0] = 0;
    // The type went from 8 to 0, so the checksum grows by 0x0800, end-around (RFC 1624).
    let sum = u32::from(u16::from_be_bytes([message[2], message[3]])) + 0x0800;
    let sum = (sum & 0xffff) + (sum >> 16);
    message[2..4].copy_from_slice(&(sum as u16).to_be_bytes());
    let header = [
        0x45, 0, 0, 64, 0, 0, 0, 0, 64, 1, 0, 0, 10, 0, 0, 2, 10, 0, 0, 1,
    ];
    [&header[..], &message].concat()
}

/// For each of a few seeds: a link up for 20 s.
fn each_seed(method: Method, far: &Far, check: impl Fn(u64, Sim)) {
    for seed in 0..20 {
        let mut sim = Sim::new(config(method), seed, far.clone());
        sim.run(ms(20_000));
        check(seed, sim);
    }
}

#[test]
fn silent_cut_of_a_short_link_is_declared_within_350_ms() {
    for method in [Method::Auto, Method::Stamp, Method::Icmp] {
        for offset in [0, 7, 33, 61, 99] {
            each_seed(method, &Far::at(5), |seed, mut sim| {
                assert_eq!(sim.health.state(), State::Up, "seed {seed}");
                sim.run(ms(offset));
                let cut_at = sim.elapsed();
                sim.far.cut();
                sim.run(ms(1000));
                let (down_at, state) = *sim.changes.last().unwrap();
                let took = down_at - cut_at;
                let context = format!("{method:?} seed {seed} offset {offset}: {took:?}");
                assert_eq!(state, State::Down, "{context}");
                assert!(took <= ms(350) && took >= ms(200), "{context}");
            });
        }
    }
}

#[test]
fn long_stable_link_never_raises_an_alarm_and_a_cut_of_it_is_declared_within_1400_ms() {
    for method in [Method::Auto, Method::Stamp, Method::Icmp] {
        each_seed(method, &Far::at(300), |seed, mut sim| {
            let context = format!("{method:?} seed {seed}");
            assert_eq!(sim.lost(), 0, "{context}");
            assert_eq!(sim.changes.len(), 1, "{context}");
            let cut_at = sim.elapsed();
            sim.far.cut();
            sim.run(ms(3000));
            let (down_at, state) = *sim.changes.last().unwrap();
            assert_eq!(state, State::Down, "{context}");
            let took = down_at - cut_at;
            // Up to 300 ms of answers were still under way at the cut.
            assert!(took <= ms(1400), "{context}: {took:?}");
        });
    }
}

#[test]
fn rtt_that_grows_step_by_step_is_followed_without_an_alarm() {
    each_seed(Method::Auto, &Far::at(5), |seed, mut sim| {
        for delay in [20, 60, 120, 200, 300, 450] {
            sim.far.delay = ms(delay);
            sim.run(ms(3000));
        }
        assert_eq!(sim.health.state(), State::Up, "seed {seed}");
        assert_eq!(sim.changes.len(), 1, "seed {seed}");
        assert_eq!(
            sim.quality().loss_ratio(),
            0.0,
            "seed {seed}: late is not lost"
        );
    });
}

#[test]
fn auto_sends_both_until_stamp_answers_and_then_stamp_alone() {
    each_seed(Method::Auto, &Far::at(5), |seed, mut sim| {
        assert_eq!(sim.sent_via(Via::Icmp, Duration::ZERO), 1, "seed {seed}");
        assert!(
            sim.sent_via(Via::Stamp, Duration::ZERO) >= 198,
            "seed {seed}"
        );
        assert_eq!(sim.quality().via, Some(Via::Stamp), "seed {seed}");
    });
}

#[test]
fn auto_measures_by_icmp_where_nobody_reflects_and_then_tries_stamp_less_often() {
    for reflects in [Reflects::Silent, Reflects::Refuses] {
        let far = Far {
            reflects,
            ..Far::at(5)
        };
        each_seed(Method::Auto, &far, |seed, mut sim| {
            assert_eq!(sim.lost(), 0, "seed {seed}");
            assert_eq!(sim.health.state(), State::Up, "seed {seed}");
            assert_eq!(sim.quality().via, Some(Via::Icmp), "seed {seed}");
            let stamps = sim.sent_via(Via::Stamp, ms(10_000));
            assert!((9..=11).contains(&stamps), "seed {seed}: {stamps} in 10 s");
            sim.far.reflects = Reflects::Yes;
            sim.run(ms(2000));
            assert_eq!(
                sim.quality().via,
                Some(Via::Stamp),
                "seed {seed}: found when it comes"
            );
        });
    }
}

#[test]
fn far_end_that_loses_its_reflector_but_echoes_stays_up() {
    for (reflects, delay) in [
        (Reflects::Silent, 5),
        (Reflects::Refuses, 5),
        (Reflects::Silent, 150),
        (Reflects::Refuses, 150),
        (Reflects::Silent, 300),
        (Reflects::Refuses, 300),
    ] {
        each_seed(Method::Auto, &Far::at(delay), |seed, mut sim| {
            sim.far.reflects = reflects;
            sim.run(ms(5000));
            assert_eq!(
                sim.changes.len(),
                1,
                "seed {seed} RTT {delay} ms: {:?}",
                sim.changes
            );
            assert_eq!(
                sim.quality().via,
                Some(Via::Icmp),
                "seed {seed} RTT {delay} ms"
            );
        });
    }
}

#[test]
fn refused_reflector_costs_no_loss_at_all() {
    each_seed(Method::Auto, &Far::at(5), |seed, mut sim| {
        sim.far.reflects = Reflects::Refuses;
        sim.run(ms(5000));
        assert_eq!((sim.lost(), sim.quality().lost()), (0, 0), "seed {seed}");
    });
}

#[test]
fn rtt_leaves_out_the_time_the_reflector_held_the_packet() {
    let far = Far {
        processing: ms(30),
        ..Far::at(5)
    };
    each_seed(Method::Stamp, &far, |seed, mut sim| {
        let rtt = sim.quality().rtt_last.unwrap();
        assert!(
            rtt.abs_diff(ms(5)) < Duration::from_micros(1),
            "seed {seed}: {rtt:?}"
        );
    });
}

#[test]
fn clock_steps_on_either_end_never_become_latency() {
    let far = Far {
        stepped_back: true,
        ..Far::at(5)
    };
    each_seed(Method::Stamp, &far, |seed, mut sim| {
        sim.wall -= Duration::from_secs(86_400);
        sim.run(ms(5000));
        let quality = sim.quality();
        assert_eq!(quality.rtt_last, Some(ms(5)), "seed {seed}");
        assert_eq!(
            (quality.judged.jitter, quality.lost()),
            (Some(ms(0)), 0),
            "seed {seed}"
        );
    });
}

#[test]
fn duplicates_count_once() {
    let far = Far {
        duplicates: true,
        ..Far::at(5)
    };
    each_seed(Method::Auto, &far, |seed, mut sim| {
        let quality = sim.quality();
        assert_eq!(quality.received, sim.outputs.len() as u64, "seed {seed}");
        assert!(quality.received <= quality.sent, "seed {seed}");
    });
}

#[test]
fn loss_ratio_counts_only_probes_whose_fate_is_known() {
    let far = Far {
        lose_every: Some(10),
        ..Far::at(5)
    };
    each_seed(Method::Icmp, &far, |seed, mut sim| {
        let quality = sim.quality();
        assert!(
            (quality.loss_ratio() - 0.1).abs() < 0.02,
            "seed {seed}: {quality:?}"
        );
        assert_eq!(
            sim.health.state(),
            State::Up,
            "seed {seed}: single losses are no outage"
        );
    });
    let mut sim = Sim::new(config(Method::Icmp), 1, Far::at(500));
    sim.run(ms(450));
    assert_eq!(
        (sim.quality().judged.known, sim.quality().loss_ratio()),
        (0, 0.0)
    );
}

#[test]
fn answer_after_the_timeout_changes_nothing() {
    let mut sim = Sim::new(config(Method::Auto), 3, Far::at(1200));
    sim.run(ms(10_000));
    assert_eq!((sim.quality().received, sim.quality().via), (0, None));
    assert_eq!(sim.quality().loss_ratio(), 1.0);
}

#[test]
fn overdue_answer_within_the_timeout_is_an_answer_and_no_loss() {
    let mut sim = Sim::new(config(Method::Icmp), 3, Far::at(5));
    sim.run(ms(5000));
    sim.far.delay = ms(180);
    sim.run(ms(100));
    sim.far.delay = ms(5);
    sim.run(ms(2000));
    assert_eq!(sim.lost(), 1);
    assert_eq!((sim.quality().lost(), sim.quality().loss_ratio()), (0, 0.0));
}

#[test]
fn forged_and_foreign_replies_change_nothing() {
    let mut sim = Sim::new(
        config(Method::Auto),
        5,
        Far {
            reflects: Reflects::Silent,
            echoes: false,
            ..Far::at(5)
        },
    );
    sim.run(ms(150));
    let (_, _, request) = sim
        .sent
        .iter()
        .find(|(_, via, _)| *via == Via::Stamp)
        .unwrap()
        .clone();
    let (_, _, echo) = sim
        .sent
        .iter()
        .find(|(_, via, _)| *via == Via::Icmp)
        .unwrap()
        .clone();
    let right = sim.reflect(&request);
    let mut replies = vec![
        (Via::Stamp, request),
        (Via::Icmp, right.clone()),
        (Via::Stamp, vec![]),
    ];
    // Session, sequence and timestamp of the request each have to match.
    for octet in [14, 24, 27, 28, 35] {
        let mut forged = right.clone();
        forged[octet] ^= 1;
        replies.push((Via::Stamp, forged));
    }
    for octet in [4, 7, 8, 15] {
        let mut forged = echo.clone();
        // Two complementary changes keep the checksum right.
        forged[octet] ^= 0xff;
        forged[octet + 16] ^= 0xff;
        replies.push((Via::Icmp, echo_reply(&forged)));
    }
    for (via, bytes) in &replies {
        sim.receive(*via, bytes);
        assert_eq!(sim.probe.poll_output(), None, "{via:?} {bytes:02x?}");
    }
    sim.receive(Via::Stamp, &right);
    assert!(matches!(
        sim.probe.poll_output(),
        Some(Output::Answered {
            via: Via::Stamp,
            ..
        })
    ));
    sim.receive(Via::Icmp, &echo_reply(&echo));
    assert_eq!(
        sim.probe.poll_output(),
        None,
        "the round is answered already"
    );
}

#[test]
fn pause_of_this_process_makes_no_burst_and_no_false_loss() {
    for delay in [5, 300] {
        let mut sim = Sim::new(config(Method::Auto), 9, Far::at(delay));
        sim.run(ms(5000));
        let resumed_at = sim.elapsed() + ms(900);
        sim.now += ms(900);
        // Worst case: the timer is served before the sockets are read.
        sim.probe.handle(Input::Timeout, sim.now);
        sim.drain();
        sim.run(ms(99));
        assert_eq!(sim.lost(), 0, "RTT {delay} ms");
        assert!(sim.sent_via(Via::Stamp, resumed_at) <= 2, "RTT {delay} ms");
        sim.run(ms(3000));
        assert_eq!(sim.changes.len(), 1, "RTT {delay} ms: {:?}", sim.changes);
    }
}

#[test]
fn links_with_other_seeds_do_not_send_together() {
    let times = |seed| {
        let mut sim = Sim::new(config(Method::Icmp), seed, Far::at(5));
        sim.run(ms(2000));
        sim.sent.iter().map(|(at, ..)| *at).collect::<Vec<_>>()
    };
    let (one, other) = (times(1), times(2));
    assert!(one.iter().all(|at| !other.contains(at)));
    assert_eq!(one, times(1), "same seed, same times");
    for pair in one.windows(2) {
        let gap = pair[1] - pair[0];
        assert!(gap >= ms(90) && gap <= ms(110), "{gap:?}");
    }
}

#[test]
fn ipv6_echo_is_sent_and_matched_without_header() {
    let config = ProbeConfig {
        family: AddressFamily::V6,
        ..config(Method::Icmp)
    };
    let mut sim = Sim::new(
        config,
        1,
        Far {
            echoes: false,
            ..Far::at(5)
        },
    );
    sim.run(ms(105));
    let mut reply = sim.sent[0].2.clone();
    assert_eq!(reply[0], 128);
    reply[0] = 129;
    assert!(Echo::decode_reply(&reply, AddressFamily::V6).is_some());
    sim.receive(Via::Icmp, &reply);
    assert!(matches!(
        sim.probe.poll_output(),
        Some(Output::Answered { via: Via::Icmp, .. })
    ));
}

#[test]
fn extreme_configuration_neither_panics_nor_spins() {
    for (interval, timeout) in [
        (Duration::ZERO, Duration::ZERO),
        (Duration::MAX, Duration::MAX),
    ] {
        let extreme = ProbeConfig {
            interval,
            timeout,
            window: Duration::MAX,
            ..config(Method::Auto)
        };
        let mut sim = Sim::new(extreme, 1, Far::at(5));
        sim.run(ms(500));
        assert!(sim.sent_via(Via::Icmp, Duration::ZERO) <= 501);
    }
}

#[test]
fn random_bytes_never_answer_and_never_panic() {
    let mut sim = Sim::new(
        config(Method::Auto),
        1,
        Far {
            reflects: Reflects::Silent,
            echoes: false,
            ..Far::at(5)
        },
    );
    sim.run(ms(1000));
    let mut state = 1_u64;
    for _ in 0..20_000 {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let bytes: Vec<u8> = (0..state >> 58)
            .map(|at| (state >> (at % 56)) as u8)
            .collect();
        let via = if state & 64 == 0 {
            Via::Stamp
        } else {
            Via::Icmp
        };
        sim.receive(via, &bytes);
        stamp::reflect(&bytes, 1, NtpTime(0), NtpTime(0), None);
    }
    assert_eq!(sim.quality().received, 0);
}

#[test]
fn reflector_echoes_what_the_probe_needs_to_match() {
    let request = Request {
        sequence: u32::MAX,
        timestamp: NtpTime(1),
        session: 2,
    }
    .encode();
    let reply = stamp::reflect(&request, 1, NtpTime(3), NtpTime(4), Some(0)).unwrap();
    let reply = stamp::Reply::decode(&reply).unwrap();
    assert_eq!((reply.sender_sequence, reply.session), (u32::MAX, 2));
}

#[test]
fn losses_of_each_way_are_told_apart_by_the_reflectors_count() {
    for (out, back) in [
        (None, None),
        (Some(10), None),
        (None, Some(5)),
        (Some(10), Some(5)),
    ] {
        let far = Far {
            lose_out: out,
            lose_back: back,
            echoes: false,
            ..Far::at(20)
        };
        each_seed(Method::Stamp, &far, |seed, mut sim| {
            sim.run(ms(300_000));
            let ratio = |every: Option<u64>| every.map_or(0.0, |every| 1.0 / every as f64);
            for statistics in sim.quality().windows {
                let context = format!("seed {seed} {out:?} {back:?}: {statistics:?}");
                let found = (statistics.loss_out.unwrap(), statistics.loss_in.unwrap());
                assert!((found.0 - ratio(out)).abs() < 0.03, "{context}");
                assert!((found.1 - ratio(back)).abs() < 0.03, "{context}");
            }
        });
    }
}

#[test]
fn reflector_that_starts_again_costs_its_outage_and_no_direction() {
    each_seed(Method::Stamp, &Far::at(5), |seed, mut sim| {
        sim.far.reflects = Reflects::Silent;
        sim.run(ms(2000));
        sim.reflector = Reflector::new(FAR.into());
        sim.far.reflects = Reflects::Yes;
        sim.run(ms(5000));
        let judged = sim.quality().judged;
        assert!(judged.lost > 0, "seed {seed}");
        let ways = (judged.loss_out, judged.loss_in);
        assert_eq!(ways, (Some(0.0), Some(0.0)), "seed {seed}");
    });
}

#[test]
fn icmp_alone_tells_no_direction() {
    let far = Far {
        lose_every: Some(10),
        ..Far::at(5)
    };
    each_seed(Method::Icmp, &far, |seed, mut sim| {
        let judged = sim.quality().judged;
        assert_eq!(
            (judged.loss_out, judged.loss_in),
            (None, None),
            "seed {seed}"
        );
    });
}

#[test]
fn answers_that_overtake_each_other_are_counted() {
    let mut sim = Sim::new(config(Method::Icmp), 1, Far::at(5));
    for _ in 0..10 {
        sim.far.delay = ms(150);
        sim.run(ms(100));
        sim.far.delay = ms(5);
        sim.run(ms(900));
    }
    assert_eq!(sim.quality().judged.reordered, 10);
}

#[test]
fn time_that_an_answer_lay_unread_is_no_latency_and_a_clock_step_neither() {
    let far = Far {
        unread: ms(3),
        ..Far::at(5)
    };
    each_seed(Method::Auto, &far, |seed, mut sim| {
        assert_eq!(sim.quality().rtt_last, Some(ms(2)), "seed {seed}");
        sim.far.unread = Duration::from_secs(3600);
        sim.run(ms(500));
        assert_eq!(sim.quality().rtt_last, Some(ms(5)), "seed {seed}");
    });
}

#[test]
fn tcp_connections_measure_whether_they_are_accepted_or_refused() {
    let far = Far {
        listens: true,
        ..Far::at(5)
    };
    each_seed(Method::Tcp, &far, |seed, mut sim| {
        let quality = sim.quality();
        assert_eq!(quality.via, Some(Via::Tcp), "seed {seed}");
        assert_eq!(
            (quality.rtt_last, quality.lost()),
            (Some(ms(5)), 0),
            "seed {seed}"
        );
        assert_eq!(sim.health.state(), State::Up, "seed {seed}");
        sim.far.listens = false;
        sim.run(ms(1000));
        assert_eq!(sim.health.state(), State::Down, "seed {seed}");
    });
}

/// A gateway that answers nothing but BGP.
fn taciturn() -> Far {
    Far {
        reflects: Reflects::Silent,
        echoes: false,
        listens: true,
        ..Far::at(5)
    }
}

fn with_session() -> ProbeConfig {
    ProbeConfig {
        last_resort: LastResort::Bgp,
        ..config(Method::Auto)
    }
}

/// From the start until the session is up, and ten seconds more.
fn over_bgp(seed: u64) -> Sim {
    let mut sim = Sim::new(with_session(), seed, taciturn());
    sim.run(ms(5000));
    assert_eq!(
        sim.health.state(),
        State::Up,
        "seed {seed}: a connection is proof"
    );
    assert_eq!(sim.quality().via, Some(Via::Tcp), "seed {seed}");
    sim.far.session = Session::Forming;
    let since = sim.elapsed();
    sim.run(ms(3000));
    sim.far.session = Session::Heard(sim.elapsed());
    sim.run(ms(10_000));
    // A connection beside it would be taken for a restart of ours.
    assert_eq!(sim.sent_via(Via::Tcp, since), 0, "seed {seed}");
    sim
}

#[test]
fn gateway_that_answers_only_bgp_is_up_by_a_connection_and_then_by_its_session() {
    for seed in 0..20 {
        let mut sim = over_bgp(seed);
        sim.far.session = Session::Heard(sim.elapsed());
        sim.run(ms(200));
        assert_eq!(sim.health.state(), State::Up, "seed {seed}");
        assert_eq!(sim.changes.len(), 1, "seed {seed}: {:?}", sim.changes);
        let quality = sim.quality();
        assert_eq!(quality.via, Some(Via::Bgp), "seed {seed}");
        assert_eq!(quality.judged.loss_ratio(), None, "seed {seed}: not known");
    }
}

#[test]
fn session_whose_data_stays_unacknowledged_takes_the_link_down() {
    for seed in 0..20 {
        let mut sim = over_bgp(seed);
        sim.far.timeouts = 1;
        sim.run(ms(2000));
        assert_eq!(
            sim.health.state(),
            State::Up,
            "seed {seed}: one may be late"
        );
        sim.far.timeouts = 2;
        sim.run(ms(400));
        assert_eq!(sim.health.state(), State::Down, "seed {seed}");
        sim.far = Far {
            session: Session::Absent,
            ..taciturn()
        };
        sim.run(ms(7000));
        assert_eq!(
            sim.health.state(),
            State::Up,
            "seed {seed}: connections again"
        );
    }
}

#[test]
fn idle_session_says_nothing() {
    for seed in 0..20 {
        let mut sim = over_bgp(seed);
        let told = sim.outputs.len();
        sim.run(ms(30_000));
        assert_eq!(sim.outputs.len(), told, "seed {seed}");
        sim.far.session = Session::Heard(sim.elapsed());
        sim.run(ms(200));
        assert_eq!(sim.outputs.len(), told + 1, "seed {seed}");
    }
}

#[test]
fn datagrams_take_over_from_the_session_for_good() {
    for seed in 0..20 {
        let mut sim = over_bgp(seed);
        sim.far.echoes = true;
        sim.run(ms(12_000));
        assert_eq!(sim.quality().via, Some(Via::Icmp), "seed {seed}");
        sim.far.echoes = false;
        sim.run(ms(1000));
        assert_eq!(
            sim.health.state(),
            State::Down,
            "seed {seed}: a zombie is found"
        );
        sim.run(ms(10_000));
        assert_eq!(sim.health.state(), State::Down, "seed {seed}");
    }
}

#[test]
fn without_a_session_to_fall_back_on_silence_is_down() {
    let mut sim = Sim::new(config(Method::Auto), 1, taciturn());
    sim.run(ms(20_000));
    assert_eq!(sim.health.state(), State::Down);
    assert_eq!(sim.sent_via(Via::Tcp, Duration::ZERO), 0);
}
