//! Two ends in simulated time, with a path that delays and loses.

use std::collections::VecDeque;

use super::*;

const STEP: Duration = Duration::from_millis(5);
const TICK: u32 = 20;

/// What happens between two ends.
#[derive(Clone, Copy, Debug)]
struct Wire {
    delay: Duration,
    /// So many of 1000 datagrams are lost.
    lost: u64,
    /// Steps by which the timers of B come after those of A, 0 to 19.
    phase: u32,
    seed: u64,
}

struct Datagram {
    at: Instant,
    bytes: Vec<u8>,
}

/// A is at [`A`], B at [`B`].
struct Pair {
    ends: [End; 2],
    path: Wire,
    /// Towards A, towards B.
    wires: [VecDeque<Datagram>; 2],
    start: Instant,
    now: Instant,
    steps: u32,
    seed: u64,
    initiations: u32,
    sent: u32,
    arrived: u32,
}

impl Pair {
    fn new(specs: [&WireGuardSpec; 2], path: Wire) -> Self {
        let start = Instant::now();
        Self {
            ends: specs.map(end),
            path,
            wires: Default::default(),
            start,
            now: start,
            steps: 0,
            seed: path.seed,
            initiations: 0,
            sent: 0,
            arrived: 0,
        }
    }

    fn chance(&mut self) -> u64 {
        self.seed = self
            .seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.seed >> 33) % 1000
    }

    fn send(&mut self, from: usize, bytes: Vec<u8>) {
        self.initiations += u32::from(bytes.first() == Some(&INITIATION));
        let goes = self.ends[from].noise.path().is_some() && self.chance() >= self.path.lost;
        if goes {
            let at = self.now + self.path.delay;
            self.wires[1 - from].push_back(Datagram { at, bytes });
        }
    }

    /// Sends a packet through the tunnel.
    fn talk(&mut self, from: usize) {
        self.sent += 1;
        let mut out = vec![0; BUFFER];
        let noise = &mut self.ends[from].noise;
        if let Some(length) = noise.encrypt(&ipv4_packet(100), &mut out, self.now) {
            self.send(from, out[..length].to_vec());
        }
    }

    fn step(&mut self) {
        clock::advance(STEP);
        self.now += STEP;
        self.steps += 1;
        for (at, phase) in [(0, 0), (1, self.path.phase)] {
            if self.steps % TICK == phase {
                let mut out = vec![0; 200];
                if let Some(length) = self.ends[at].noise.tick(&mut out, self.now) {
                    self.send(at, out[..length].to_vec());
                }
            }
            while self.wires[at]
                .front()
                .is_some_and(|next| next.at <= self.now)
            {
                let datagram = self.wires[at].pop_front().expect("there is one");
                self.hear(at, &datagram.bytes);
            }
        }
    }

    fn hear(&mut self, at: usize, datagram: &[u8]) {
        let from = address([B, A][at]);
        let mut out = vec![0; BUFFER];
        let noise = &mut self.ends[at].noise;
        match noise.decrypt(from.into(), datagram, &mut out, self.now) {
            Received::Nothing => {}
            Received::Packet(_) => self.arrived += 1,
            Received::Reply(length) => self.send(at, out[..length].to_vec()),
        }
        while self.ends[at].noise.has_kept_packets() {
            let Some(length) = self.ends[at].noise.next_kept(&mut out) else {
                return;
            };
            self.send(at, out[..length].to_vec());
        }
    }

    fn run(&mut self, time: Duration) {
        let until = self.now + time;
        while self.now < until {
            self.step();
        }
    }

    /// Both ends talk, ten packets a second each.
    fn talk_for(&mut self, time: Duration) {
        let until = self.now + time;
        while self.now < until {
            if self.steps % TICK == 7 {
                self.talk(0);
                self.talk(1);
            }
            self.step();
        }
    }

    fn per_hour(&self) -> f64 {
        let hours = (self.now - self.start).as_secs_f64() / 3600.0;
        f64::from(self.initiations) / hours
    }

    fn change(&mut self, at: usize, spec: &WireGuardSpec) {
        let now = self.now;
        self.ends[at].noise.change(spec, now);
    }

    fn life(&self) -> [Life; 2] {
        self.ends.each_ref().map(|end| end.counters.life())
    }

    fn have_sessions(&self) -> bool {
        self.ends.iter().all(|end| {
            let noise = &end.noise;
            let old = noise.retiring.as_ref();
            noise.current.is_live(self.now) || old.is_some_and(|old| old.is_live(self.now))
        })
    }
}

const CABLE: Wire = Wire {
    delay: Duration::from_millis(1),
    lost: 0,
    phase: 0,
    seed: 1,
};

/// Both know where the other is and send keepalives.
fn both() -> [WireGuardSpec; 2] {
    let mut specs = [spec(1, 2, Some(B)), spec(2, 1, Some(A))];
    for spec in &mut specs {
        spec.peer.keepalive_secs = Some(25);
    }
    specs
}

#[test]
fn an_idle_tunnel_with_keepalive_on_both_ends_makes_at_most_35_handshakes_an_hour() {
    for delay in [0, 1, 50, 300] {
        for phase in [0, 10, 19] {
            let path = Wire {
                delay: Duration::from_millis(delay),
                phase,
                ..CABLE
            };
            let [a, b] = both();
            let mut pair = Pair::new([&a, &b], path);
            pair.run(Duration::from_secs(2));
            assert!(pair.have_sessions(), "{path:?}");
            for _ in 0..60 {
                pair.run(Duration::from_secs(60));
                assert!(pair.have_sessions(), "it lapsed: {path:?}");
            }
            let refused = pair
                .ends
                .each_ref()
                .map(|end| end.counters.counts().refused);
            println!(
                "{path:?}: {:.1} an hour, refused {refused:?}",
                pair.per_hour()
            );
            assert!(pair.per_hour() <= 35.0, "{} {path:?}", pair.per_hour());
        }
    }
}

#[test]
fn a_tunnel_that_carries_data_makes_no_more_handshakes_and_loses_nothing_to_them() {
    for (delay, phase) in [(0, 0), (1, 10), (50, 0), (50, 19)] {
        let path = Wire {
            delay: Duration::from_millis(delay),
            phase,
            ..CABLE
        };
        let [a, b] = both();
        let mut pair = Pair::new([&a, &b], path);
        pair.talk_for(Duration::from_secs(3600));
        pair.run(Duration::from_secs(1));
        assert_eq!(pair.arrived, pair.sent, "{path:?}");
        assert!(pair.per_hour() <= 35.0, "{} {path:?}", pair.per_hour());
    }
}

#[test]
fn a_lossy_path_loses_what_it_loses_and_no_session() {
    for seed in 1..=5 {
        let path = Wire {
            lost: 100,
            delay: Duration::from_millis(20),
            seed,
            ..CABLE
        };
        let [a, b] = both();
        let mut pair = Pair::new([&a, &b], path);
        pair.run(Duration::from_secs(60));
        for _ in 0..60 {
            pair.talk_for(Duration::from_secs(60));
            assert!(pair.have_sessions(), "seed {seed}");
        }
        let share = f64::from(pair.arrived) / f64::from(pair.sent);
        println!(
            "seed {seed}: {share:.3} arrived, {:.1} an hour",
            pair.per_hour()
        );
        assert!(share > 0.88, "seed {seed}: {share}");
        assert!(pair.per_hour() <= 60.0, "seed {seed}: {}", pair.per_hour());
    }
}

#[test]
fn a_tunnel_that_was_cut_for_minutes_has_a_session_seconds_after() {
    let [a, b] = both();
    let mut pair = Pair::new([&a, &b], CABLE);
    pair.run(Duration::from_secs(10));
    pair.path.lost = 1000;
    pair.run(Duration::from_secs(160));
    assert_eq!(pair.life(), [Life::Possible; 2]);
    pair.run(Duration::from_secs(540));
    assert_eq!(pair.life(), [Life::Over; 2]);
    pair.path.lost = 0;
    pair.run(Duration::from_secs(6));
    assert!(pair.have_sessions());
    assert_eq!(pair.life(), [Life::Possible; 2]);
}

/// Changes the spec of one end, and of the other after `skew`, under traffic; what was lost.
fn rotated(before: [WireGuardSpec; 2], after: [WireGuardSpec; 2], first: usize, skew: u64) -> u32 {
    let mut pair = Pair::new([&before[0], &before[1]], CABLE);
    pair.talk_for(Duration::from_secs(30));
    pair.change(first, &after[first]);
    pair.talk_for(Duration::from_secs(skew));
    pair.change(1 - first, &after[1 - first]);
    pair.talk_for(Duration::from_secs(400));
    pair.run(Duration::from_secs(1));
    assert!(
        pair.ends
            .iter()
            .all(|end| end.noise.current.is_live(pair.now)),
        "the new keys carry nothing: {first} {skew}"
    );
    assert!(
        pair.ends.iter().all(|end| end.noise.retiring.is_none()),
        "the old keys are still there: {first} {skew}"
    );
    pair.sent - pair.arrived
}

#[test]
fn a_preshared_key_that_changes_at_both_ends_within_two_minutes_costs_no_packet() {
    let mut after = both();
    for spec in &mut after {
        spec.peer.preshared_key = Some(Secret::new([9; 32]));
    }
    for first in [0, 1] {
        for skew in [0, 1, 7, 45, 120] {
            assert_eq!(
                rotated(both(), after.clone(), first, skew),
                0,
                "{first} {skew}"
            );
        }
    }
}

#[test]
fn a_private_key_that_changes_with_its_public_key_at_the_other_end_costs_no_packet() {
    let mut after = both();
    after[0].private_key = Secret::new([7; 32]);
    after[1].peer.public_key = Secret::new([7; 32]).public_key();
    for first in [0, 1] {
        for skew in [0, 1, 7, 45, 120] {
            assert_eq!(
                rotated(both(), after.clone(), first, skew),
                0,
                "{first} {skew}"
            );
        }
    }
}

#[test]
fn keys_that_change_at_one_end_only_carry_traffic_until_the_session_is_too_old() {
    let [a, b] = both();
    let mut pair = Pair::new([&a, &b], CABLE);
    pair.talk_for(Duration::from_secs(10));
    let mut changed = a.clone();
    changed.peer.preshared_key = Some(Secret::new([9; 32]));
    pair.change(0, &changed);
    pair.talk_for(Duration::from_secs(160));
    pair.run(Duration::from_secs(1));
    assert_eq!(pair.arrived, pair.sent);
    pair.run(Duration::from_secs(60));
    let before = pair.arrived;
    pair.talk_for(Duration::from_secs(10));
    assert_eq!(pair.arrived, before, "a session of old keys outlived them");
}
