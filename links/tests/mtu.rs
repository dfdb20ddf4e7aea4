//! Path MTU discovery over a simulated path: simulated time, exact sizes, seeded losses.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use links::AddressFamily;
use links::mtu::{
    BASE, Config, FLOOR, Input, MOST_ATTEMPTS, Method, Output, PathMtu, Verdict, Via,
};
use links::stamp::{self, Head, Key, Keys, Mode, NtpTime};

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// What becomes of a packet.
#[derive(Clone)]
struct Path {
    delay: Duration,
    /// What passes, there and back.
    there: u32,
    back: u32,
    /// Of a hundred packets, each way.
    lost: u64,
    reflects: bool,
    echoes: bool,
}

impl Path {
    fn of(mtu: u32) -> Self {
        Self {
            delay: Duration::from_millis(10),
            there: mtu,
            back: mtu,
            lost: 0,
            reflects: true,
            echoes: true,
        }
    }
}

struct Sim {
    now: Instant,
    start: Instant,
    path: Path,
    machine: PathMtu,
    mode: Mode,
    /// Whether the interface follows what the machine wants.
    ours: bool,
    room: u32,
    most: u32,
    /// Of IP, octets.
    header: u32,
    answers: BTreeMap<(Instant, u64), (Via, Vec<u8>)>,
    dice: u64,
    packets: u64,
    octets: u64,
    largest: u32,
    verdicts: Vec<Verdict>,
    rooms: Vec<u32>,
}

impl Sim {
    fn new(path: Path, most: u32, seed: u64) -> Self {
        Self::of(Mode::Unauthenticated, path, most, seed)
    }

    #[expect(clippy::disallowed_methods, reason = "a test has to start somewhere")]
    fn of(mode: Mode, path: Path, most: u32, seed: u64) -> Self {
        let now = Instant::now();
        let config = Config {
            method: Method::Auto,
            family: AddressFamily::V4,
            identifier: 7,
            mode: mode.clone(),
        };
        Self {
            now,
            start: now,
            path,
            machine: PathMtu::new(config, seed),
            mode,
            ours: true,
            room: most,
            most,
            header: 20,
            answers: BTreeMap::new(),
            dice: seed,
            packets: 0,
            octets: 0,
            largest: 0,
            verdicts: Vec::new(),
            rooms: Vec::new(),
        }
    }

    fn up(mut self) -> Self {
        self.tell_room();
        self.handle(Input::Up);
        self
    }

    fn tell_room(&mut self) {
        let (now, most) = (self.room, self.most);
        self.handle(Input::Room { now, most });
    }

    fn is_lost(&mut self) -> bool {
        self.dice = self
            .dice
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.dice >> 33) % 100 < self.path.lost
    }

    fn handle(&mut self, input: Input<'_>) {
        self.machine.handle(input, self.now);
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Found(verdict) => self.verdicts.push(verdict),
                Output::Room(room) => {
                    assert!((FLOOR..=self.most).contains(&room), "{room}");
                    self.rooms.push(room);
                    if self.ours && self.room != room {
                        self.room = room;
                        self.tell_room();
                    }
                }
            }
        }
        while let Some(transmit) = self.machine.poll_transmit(NtpTime(self.packets << 32)) {
            self.send(transmit.via, &transmit.bytes);
        }
    }

    fn send(&mut self, via: Via, bytes: &[u8]) {
        let udp = if via == Via::Stamp { 8 } else { 0 };
        let size = bytes.len() as u32 + udp + self.header;
        self.packets += 1;
        self.octets += u64::from(size);
        self.largest = self.largest.max(size);
        // A larger one would be refused by the interface.
        let passes = size <= self.path.there.min(self.path.back).min(self.room);
        let answers = match via {
            Via::Stamp => self.path.reflects,
            Via::Icmp => self.path.echoes,
        };
        if self.is_lost() | self.is_lost() || !passes || !answers {
            return;
        }
        let answer = match via {
            Via::Stamp => {
                let head = Head::decode(bytes, &self.mode).expect("a request");
                head.reflect(64, NtpTime(1), NtpTime(2), None)
            }
            Via::Icmp => echo(bytes),
        };
        let at = self.now + self.path.delay * 2;
        self.answers.insert((at, self.packets), (via, answer));
    }

    fn run(&mut self, span: Duration) {
        let end = self.now + span;
        loop {
            let answer = self.answers.first_key_value().map(|((at, _), _)| *at);
            let timeout = self.machine.poll_timeout();
            let Some(next) = answer
                .into_iter()
                .chain(timeout)
                .min()
                .filter(|at| *at <= end)
            else {
                self.now = end;
                return;
            };
            self.now = self.now.max(next);
            match self
                .answers
                .first_entry()
                .filter(|first| first.key().0 <= self.now)
            {
                Some(first) => {
                    let (via, bytes) = first.remove();
                    self.handle(Input::Received { via, bytes: &bytes });
                }
                None => self.handle(Input::Timeout),
            }
        }
    }

    fn found(&self) -> Option<u32> {
        self.machine.verdict().mtu()
    }
}

/// The reply to an echo request over IPv4.
fn echo(request: &[u8]) -> Vec<u8> {
    let mut message = request.to_vec();
    message[0] = 0;
    message
}

#[test]
fn the_ordinary_path_costs_one_probe_and_then_one_in_half_a_minute() {
    let mut sim = Sim::new(Path::of(1500), 1420, 1).up();
    sim.run(secs(1));
    assert_eq!(sim.found(), Some(1420));
    // One by each of STAMP and ICMP, as long as it is not known who answers.
    assert_eq!(sim.packets, 2);
    sim.run(secs(3600));
    assert!((120..=135).contains(&sim.packets), "{}", sim.packets);
    assert_eq!(sim.verdicts.len(), 1);
    assert_eq!(sim.largest, 1420);
    assert!(
        sim.octets / 60 <= 3200,
        "{} octets a minute",
        sim.octets / 60
    );
}

#[test]
fn a_narrow_path_is_found_to_the_octet_within_seconds() {
    for path in [1280, 1281, 1300, 1366, 1419] {
        let mut sim = Sim::new(Path::of(path), 1420, 2).up();
        sim.run(secs(8));
        let expected = Verdict::Takes {
            mtu: path,
            most: 1420,
        };
        assert_eq!(sim.verdicts, [expected], "{path}");
        assert_eq!(sim.room, path, "the interface has been taken down");
    }
    let mut sim = Sim::new(Path::of(8500), 9001, 2).up();
    sim.run(secs(10));
    assert_eq!((sim.found(), sim.room), (Some(8500), 8500));
}

#[test]
fn the_smaller_of_both_ways_counts() {
    for (there, back) in [(1300, 1500), (1500, 1300)] {
        let mut sim = Sim::new(
            Path {
                back,
                ..Path::of(there)
            },
            1420,
            3,
        )
        .up();
        sim.run(secs(8));
        assert_eq!(sim.found(), Some(1300));
    }
}

#[test]
fn echoes_will_do_where_nobody_reflects() {
    let mut sim = Sim::new(Path::of(1300), 1420, 4);
    sim.path.reflects = false;
    let mut sim = sim.up();
    sim.run(secs(8));
    assert_eq!(sim.found(), Some(1300));
}

#[test]
fn below_1100_stamp_is_believed_and_an_echo_is_not() {
    let mut sim = Sim::new(Path::of(900), 1420, 5).up();
    sim.run(secs(30));
    assert_eq!((sim.found(), sim.room), (Some(900), 900));

    for (path, found) in [(1240, Some(1240)), (900, None)] {
        let mut sim = Sim::new(Path::of(path), 1420, 5);
        sim.path.reflects = false;
        let mut sim = sim.up();
        sim.run(secs(30));
        assert_eq!(sim.found(), found);
        assert_eq!(sim.room, found.unwrap_or(1420), "or as it was");
    }
}

#[test]
fn an_interface_with_ipv6_inside_keeps_what_ipv6_needs() {
    let mut sim = Sim::new(Path::of(1240), 1420, 5);
    let config = Config {
        method: Method::Stamp,
        family: AddressFamily::V6,
        identifier: 7,
        mode: Mode::Unauthenticated,
    };
    (sim.machine, sim.header) = (PathMtu::new(config, 5), 40);
    let mut sim = sim.up();
    sim.run(secs(30));
    assert_eq!(sim.verdicts, [Verdict::TooNarrow { least: BASE }]);
    assert_eq!(sim.room, 1420, "as it was");
    (sim.path.there, sim.path.back) = (1300, 1300);
    sim.run(secs(60));
    assert_eq!((sim.found(), sim.room), (Some(1300), 1300));
}

#[test]
fn a_black_hole_that_opens_is_found_within_a_minute_and_one_that_closes_within_eleven() {
    let mut sim = Sim::new(Path::of(1500), 1420, 6).up();
    sim.run(secs(100));
    (sim.path.there, sim.path.back) = (1300, 1300);
    sim.run(secs(45));
    assert_eq!((sim.found(), sim.room), (Some(1300), 1300));
    (sim.path.there, sim.path.back) = (1500, 1500);
    sim.run(secs(660));
    assert_eq!((sim.found(), sim.room), (Some(1420), 1420));
    let changes: Vec<_> = sim.verdicts.iter().map(|verdict| verdict.mtu()).collect();
    assert_eq!(changes, [Some(1420), Some(1300), Some(1420)]);
}

#[test]
fn a_word_from_icmp_has_the_path_looked_at_now_and_a_flood_of_them_does_not() {
    let mut sim = Sim::new(Path::of(1500), 1420, 7).up();
    sim.run(secs(2));
    (sim.path.there, sim.path.back) = (1300, 1300);
    sim.handle(Input::TooBig);
    sim.run(secs(8));
    assert_eq!(sim.found(), Some(1300));
    let before = sim.packets;
    for _ in 0..10_000 {
        sim.handle(Input::TooBig);
        sim.run(Duration::from_millis(1));
    }
    assert!(sim.packets - before <= 4, "{}", sim.packets - before);
}

#[test]
fn a_path_that_is_still_narrow_sees_one_octet_more_every_ten_minutes() {
    let mut sim = Sim::new(Path::of(1300), 1420, 8).up();
    sim.run(secs(100));
    sim.rooms.clear();
    sim.run(secs(1200));
    assert!(sim.rooms.contains(&1301), "it looks for more");
    assert!(
        sim.rooms.iter().all(|room| *room <= 1301),
        "{:?}",
        sim.rooms
    );
    assert_eq!(sim.verdicts.len(), 1);
}

#[test]
fn losses_are_no_small_path() {
    let mut wrong = 0;
    for seed in 0..50 {
        let mut sim = Sim::new(Path::of(1500), 1420, seed);
        sim.path.lost = 10;
        let mut sim = sim.up();
        sim.run(secs(3600));
        let narrow = sim
            .verdicts
            .iter()
            .filter(|verdict| verdict.less().is_some());
        wrong += narrow.count();
    }
    // 120 looks in each hour, and every fifth round trip lost.
    assert!(wrong <= 3, "{wrong} wrong verdicts in 50 hours");
}

#[test]
fn a_narrow_path_that_loses_packets_is_found_all_the_same() {
    let mut exact = 0;
    for seed in 0..60 {
        let mut sim = Sim::new(Path::of(1300), 1420, seed);
        sim.path.lost = 10;
        let mut sim = sim.up();
        sim.run(secs(120));
        let found = sim.found().unwrap();
        assert!(found <= 1300, "seed {seed}: {found}");
        exact += u32::from(found == 1300);
    }
    assert!(exact >= 55, "{exact} of 60 are right");
}

#[test]
fn a_far_end_that_answers_nothing_is_said_to_be_silent_and_asked_each_minute() {
    let mut sim = Sim::new(Path::of(1500), 1420, 9);
    (sim.path.reflects, sim.path.echoes) = (false, false);
    let mut sim = sim.up();
    sim.run(secs(600));
    assert_eq!(sim.verdicts, [Verdict::Silent]);
    assert_eq!(sim.room, 1420);
    assert!(sim.packets <= 11 * 24, "{}", sim.packets);
    sim.path.reflects = true;
    sim.run(secs(70));
    assert_eq!(sim.found(), Some(1420));
}

#[test]
fn a_cut_in_the_middle_of_a_search_is_no_verdict() {
    let mut sim = Sim::new(Path::of(1500), 1420, 10).up();
    sim.run(secs(5));
    (sim.path.reflects, sim.path.echoes) = (false, false);
    sim.run(secs(300));
    assert_eq!(
        sim.verdicts,
        [Verdict::Takes {
            mtu: 1420,
            most: 1420
        }]
    );
    assert_eq!(sim.room, 1420);
}

#[test]
fn a_link_that_is_down_sends_nothing_and_one_that_comes_back_asks_at_once() {
    let mut sim = Sim::new(Path::of(1500), 1420, 11).up();
    sim.run(secs(100));
    sim.handle(Input::Down);
    let before = sim.packets;
    sim.run(secs(3600));
    assert_eq!(sim.packets, before);
    (sim.path.there, sim.path.back) = (1300, 1300);
    sim.handle(Input::Up);
    sim.run(secs(8));
    assert_eq!(sim.found(), Some(1300));
}

#[test]
fn an_interface_that_an_earlier_run_took_down_is_not_widened_for_the_search() {
    let mut sim = Sim::new(Path::of(1300), 1420, 12);
    sim.room = 1300;
    let mut sim = sim.up();
    sim.run(secs(8));
    assert_eq!(sim.found(), Some(1300));
    assert!(
        sim.rooms.iter().all(|room| *room <= 1301),
        "{:?}",
        sim.rooms
    );
}

#[test]
fn an_interface_that_is_not_ours_is_never_asked_for_more_than_it_takes() {
    let mut sim = Sim::new(Path::of(1300), 1500, 13);
    sim.ours = false;
    let mut sim = sim.up();
    sim.run(secs(8));
    assert_eq!(
        sim.verdicts,
        [Verdict::Takes {
            mtu: 1300,
            most: 1500
        }]
    );
    // Its owner has heard of it.
    (sim.room, sim.most) = (1300, 1300);
    sim.tell_room();
    sim.run(secs(8));
    assert_eq!(
        sim.verdicts[1..],
        [Verdict::Takes {
            mtu: 1300,
            most: 1300
        }]
    );
}

#[test]
fn an_interface_that_does_not_follow_ends_a_search_and_nothing_else() {
    let mut sim = Sim::new(Path::of(1500), 1420, 14);
    (sim.ours, sim.room) = (false, 1300);
    let mut sim = sim.up();
    sim.run(secs(60));
    assert_eq!(sim.largest, 1300);
    sim.ours = true;
    sim.rooms.clear();
    sim.run(secs(1300));
    assert_eq!(sim.found(), Some(1420));
}

#[test]
fn a_bound_that_grows_is_tried_and_one_that_shrinks_is_kept() {
    let mut sim = Sim::new(Path::of(1500), 1422, 15).up();
    sim.run(secs(10));
    sim.most = 1446;
    sim.tell_room();
    sim.run(secs(10));
    assert_eq!((sim.found(), sim.room), (Some(1446), 1446));
    (sim.most, sim.room) = (1400, 1400);
    sim.rooms.clear();
    sim.tell_room();
    sim.run(secs(10));
    assert_eq!((sim.found(), sim.room), (Some(1400), 1400));
}

#[test]
fn whatever_a_path_does_changes_are_few_and_never_below_the_floor() {
    for seed in 0..20 {
        let mut sim = Sim::new(Path::of(1500), 1420, seed).up();
        // It changes every seven seconds, and the link comes and goes with it.
        for step in 0..514_u32 {
            let mtu = [1500, 1300, 1000, 1380][(seed as usize + step as usize) % 4];
            (sim.path.there, sim.path.back) = (mtu, mtu);
            sim.path.lost = u64::from(step % 3) * 10;
            if step % 5 == 0 {
                sim.handle(Input::Down);
                sim.handle(Input::Up);
            }
            sim.run(secs(7));
        }
        let hour = sim.now - sim.start;
        assert!(hour <= secs(3600));
        assert!(
            sim.verdicts.len() <= 150,
            "seed {seed}: {}",
            sim.verdicts.len()
        );
        let floor = sim.verdicts.iter().filter_map(|verdict| verdict.mtu());
        assert!(floor.min() >= Some(FLOOR), "seed {seed}");
        let each = u64::from(MOST_ATTEMPTS);
        assert!(sim.packets / 514 <= each, "seed {seed}: {}", sim.packets);
        assert!(sim.octets / 3600 <= 6_000, "seed {seed}: {}", sim.octets);
    }
}

#[test]
fn forged_answers_change_nothing() {
    let mut sim = Sim::new(Path::of(1300), 1420, 16);
    sim.path.reflects = false;
    sim.path.echoes = false;
    let mut sim = sim.up();
    for sequence in 0..200_u32 {
        let request = stamp::Request {
            sequence,
            timestamp: NtpTime(u64::from(sequence) << 32),
            session: 7,
        };
        let bytes = request.encode_padded(&Mode::Unauthenticated, 1392, 1);
        let head = Head::decode(&bytes, &Mode::Unauthenticated).unwrap();
        let answer = head.reflect(64, NtpTime(1), NtpTime(2), None);
        for cut in [0, 10, 43, answer.len()] {
            let bytes = &answer[..cut];
            for via in [Via::Stamp, Via::Icmp] {
                sim.handle(Input::Received { via, bytes });
            }
        }
        sim.run(Duration::from_millis(10));
    }
    assert_eq!(sim.found(), None);
}

#[test]
fn signed_packets_find_what_the_path_takes_to_the_octet() {
    let key = Key::new(&[1; 32]).unwrap();
    let mode = Mode::Authenticated(Keys { key, accept: None });
    for mtu in [576, 1280, 1301, 1420] {
        let mut path = Path::of(mtu);
        path.echoes = false;
        let mut sim = Sim::of(mode.clone(), path, 1420, 3).up();
        sim.run(secs(120));
        assert_eq!(sim.found(), Some(mtu));
    }
}
