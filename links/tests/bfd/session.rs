//! What sessions do among honest neighbours.

use std::time::Duration;

use links::bfd::{Change, Config, Diagnostic, Hops, Input, LEEWAY, State};

use super::pair::{End, ID, Pair, Sent, config, every, ms};

/// The times between two packets of one end that are not answers to a poll.
fn gaps(log: &[Sent], from: End) -> Vec<Duration> {
    let times: Vec<_> = log
        .iter()
        .filter(|sent| sent.from == from && !sent.packet().is_final)
        .map(|sent| sent.at)
        .collect();
    times.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

#[test]
fn two_ends_come_up_within_three_slow_intervals_and_tell_it_once() {
    let mut pair = Pair::new(config(), config());
    let start = pair.now;
    pair.run(ms(10_000));
    assert_eq!(pair.states(), (State::Up, State::Up));
    let changes: Vec<_> = pair
        .changes
        .iter()
        .map(|(_, end, change)| (*end, *change))
        .collect();
    assert_eq!(changes.len(), 2, "{changes:?}");
    assert!(changes.contains(&(End::A, Change::Up)));
    assert!(changes.contains(&(End::B, Change::Up)));
    for (at, _, _) in &pair.changes {
        assert!(*at - start <= ms(3000));
    }
}

#[test]
fn a_session_that_is_up_sends_with_jitter_of_up_to_a_quarter() {
    let mut pair = Pair::up(config(), config());
    pair.run(ms(20_000));
    for end in [End::A, End::B] {
        let gaps = gaps(&pair.log, end);
        assert!(gaps.len() > 400, "{}", gaps.len());
        let (least, most) = (gaps.iter().min().unwrap(), gaps.iter().max().unwrap());
        assert!(*least >= ms(37) && *least < ms(40), "{least:?}");
        assert!(*most <= ms(50) && *most > ms(47), "{most:?}");
    }
}

#[test]
fn a_driver_as_late_as_it_may_be_sends_nothing_after_its_interval() {
    for interval in [10, 50, 300] {
        let mut pair = Pair::up(every(interval), every(interval));
        pair.late(LEEWAY);
        pair.run(ms(interval * 200));
        for end in [End::A, End::B] {
            let gaps = gaps(&pair.log, end);
            assert!(gaps.len() >= 200, "{}", gaps.len());
            let (least, most) = (gaps.iter().min().unwrap(), gaps.iter().max().unwrap());
            assert!(*least >= ms(interval) * 3 / 4, "{interval}: {least:?}");
            assert!(*most <= ms(interval), "{interval}: {most:?}");
        }
        assert_eq!(pair.changes, []);
    }
}

#[test]
fn a_multiplier_of_one_leaves_a_tenth_for_the_way() {
    let alone = Config {
        multiplier: 1,
        ..config()
    };
    let mut pair = Pair::up(alone.clone(), alone);
    pair.run(ms(20_000));
    assert!(gaps(&pair.log, End::A).iter().all(|gap| *gap <= ms(45)));
    assert_eq!(pair.changes, []);
}

#[test]
fn nobody_sends_more_than_once_a_second_before_it_is_up() {
    let mut pair = Pair::new(config(), config());
    pair.cut();
    pair.run(ms(20_000));
    let gaps = gaps(&pair.log, End::A);
    assert!(gaps.len() >= 20 && gaps.len() <= 27, "{}", gaps.len());
    assert!(gaps.iter().all(|gap| *gap >= ms(750)));
}

#[test]
fn a_cut_is_known_within_the_detection_time_and_one_packet() {
    let mut pair = Pair::up(config(), config());
    pair.cut();
    let start = pair.now;
    pair.run(ms(1000));
    assert_eq!(pair.changes.len(), 2);
    for (at, _, change) in &pair.changes {
        assert_eq!(*change, Change::Down(Diagnostic::DetectionTimeExpired));
        let took = *at - start;
        assert!(took >= ms(100) && took <= ms(155), "{took:?}");
    }
}

#[test]
fn a_cut_of_one_way_takes_both_ends_down_and_the_deaf_one_says_why() {
    let mut pair = Pair::up(config(), config());
    pair.passes(|sent| sent.from == End::A);
    pair.run(ms(1000));
    let changes: Vec<_> = pair
        .changes
        .iter()
        .map(|(_, end, change)| (*end, *change))
        .collect();
    assert_eq!(
        changes,
        [
            (End::A, Change::Down(Diagnostic::DetectionTimeExpired)),
            (End::B, Change::Down(Diagnostic::NeighborDown)),
        ]
    );
    pair.passes(|_| true);
    pair.run(ms(5000));
    assert_eq!(pair.states(), (State::Up, State::Up));
}

#[test]
fn two_of_three_packets_lost_are_survived_for_ever() {
    let mut pair = Pair::up(config(), config());
    let mut count = 0;
    pair.passes(move |sent| {
        count += usize::from(sent.from == End::A);
        sent.from == End::B || count % 2 == 0
    });
    pair.run(ms(60_000));
    assert_eq!(pair.changes, []);
}

#[test]
fn the_slower_end_sets_the_pace_of_each_direction() {
    let slow = Config {
        desired_min_tx: ms(100),
        required_min_rx: ms(300),
        multiplier: 5,
        ..config()
    };
    let mut pair = Pair::up(config(), slow);
    let (a, b) = (pair.status(End::A), pair.status(End::B));
    assert_eq!(a.transmit_interval, Some(ms(300)));
    assert_eq!(b.transmit_interval, Some(ms(100)));
    // The other end's multiplier times the pace that it sends at (RFC 5880 §6.8.4).
    assert_eq!(a.detection_time, Some(ms(500)));
    assert_eq!(b.detection_time, Some(ms(900)));
}

#[test]
fn other_intervals_are_polled_for_and_the_session_stays_up() {
    let mut pair = Pair::up(every(50), every(50));
    for interval in [200, 20, 1000, 50] {
        pair.forget();
        pair.set(End::A, every(interval));
        pair.run(ms(4000));
        pair.set(End::B, every(interval));
        pair.run(ms(4000));
        assert_eq!(pair.changes, [], "interval {interval} ms");
        for end in [End::A, End::B] {
            assert!(pair.log.iter().any(|s| s.from == end && s.packet().poll));
            assert_eq!(pair.status(end).transmit_interval, Some(ms(interval)));
            assert_eq!(pair.status(end).detection_time, Some(ms(interval * 3)));
        }
        assert!(!pair.log.last().unwrap().packet().poll, "the poll ends");
    }
}

#[test]
fn a_slower_pace_is_not_kept_before_the_neighbour_has_confirmed_it() {
    let mut pair = Pair::up(every(50), every(50));
    // The neighbour cannot hear of it.
    pair.passes(|sent| sent.from == End::B);
    pair.set(End::A, every(1000));
    pair.run(ms(120));
    assert!(pair.log.iter().filter(|sent| sent.from == End::A).count() >= 3);
    assert_eq!(pair.status(End::A).transmit_interval, Some(ms(50)));
}

#[test]
fn a_final_that_is_lost_is_asked_for_again() {
    let mut pair = Pair::up(every(50), every(50));
    let mut lost = 0;
    pair.passes(move |sent| {
        let loses = sent.packet().is_final && lost < 2;
        lost += usize::from(loses);
        !loses
    });
    pair.set(End::A, every(40));
    pair.run(ms(1000));
    let polls = pair.log.iter().filter(|sent| sent.packet().poll).count();
    assert!(polls >= 3, "{polls}");
    assert!(!pair.log.last().unwrap().packet().poll);
}

#[test]
fn no_packet_has_both_the_poll_and_the_final_bit() {
    let mut pair = Pair::new(every(50), every(20));
    for interval in [100, 10, 50] {
        pair.set(End::A, every(interval));
        pair.set(End::B, every(interval + 5));
        pair.run(ms(3000));
    }
    for sent in &pair.log {
        let packet = sent.packet();
        assert!(!(packet.poll && packet.is_final));
    }
}

#[test]
fn an_operator_who_takes_a_session_down_is_not_a_dead_path() {
    let mut pair = Pair::up(config(), config());
    pair.tell(End::A, Input::Disable(ID));
    pair.run(ms(5000));
    assert_eq!(pair.changes.len(), 1, "{:?}", pair.changes);
    let (_, end, change) = pair.changes[0];
    assert_eq!((end, change), (End::B, Change::NeighborAdminDown));
    assert_eq!(pair.states(), (State::AdminDown, State::Down));
    pair.tell(End::A, Input::Enable(ID));
    pair.run(ms(5000));
    assert_eq!(pair.states(), (State::Up, State::Up));
}

#[test]
fn a_session_that_is_removed_says_so_in_one_packet() {
    let mut pair = Pair::up(config(), config());
    pair.tell(End::A, Input::Remove(ID));
    pair.run(ms(3000));
    let last: Vec<_> = pair.log.iter().filter(|sent| sent.from == End::A).collect();
    assert_eq!(last.len(), 1);
    assert_eq!(last[0].packet().state, State::AdminDown);
    assert_eq!(pair.changes[0].2, Change::NeighborAdminDown);
    assert_eq!(pair.end(End::A).poll_timeout(), None);
}

#[test]
fn a_neighbour_that_restarts_is_down_at_once_and_up_again() {
    let mut pair = Pair::up(config(), config());
    pair.restart(End::B, config(), 99);
    let start = pair.now;
    pair.run(ms(5000));
    let (at, end, change) = pair.changes[0];
    assert_eq!(end, End::A);
    assert!(matches!(change, Change::Down(_)));
    assert!(at - start <= ms(155));
    assert_eq!(pair.states(), (State::Up, State::Up));
}

#[test]
fn a_session_without_news_goes_on_when_it_is_set_again() {
    let mut pair = Pair::up(config(), config());
    let discriminator = pair.status(End::A).local_discriminator;
    pair.set(End::A, config());
    pair.run(ms(1000));
    assert_eq!(pair.status(End::A).local_discriminator, discriminator);
    assert_eq!(pair.changes, []);
}

#[test]
fn a_multihop_neighbour_is_heard_wherever_its_packets_come_in() {
    let far = Config {
        hops: Hops::Multi {
            least_hop_limit: 250,
        },
        ..config()
    };
    let mut pair = Pair::new(config(), config());
    for end in [End::A, End::B] {
        let path = links::bfd::Path {
            interface: None,
            ..end.path()
        };
        let config = far.clone();
        let now = pair.now;
        let input = Input::Set {
            id: ID,
            path,
            config,
        };
        pair.end(end).handle(input, now);
        let sent = pair.end(end).poll_transmit(now);
        assert!(sent.is_none_or(|sent| sent.path == path || sent.path == end.path()));
    }
    let packet = links::bfd::Packet {
        diagnostic: Diagnostic::None,
        state: State::Down,
        poll: false,
        is_final: false,
        control_plane_independent: false,
        authenticated: false,
        demand: false,
        multiplier: 3,
        my_discriminator: 5,
        your_discriminator: 0,
        desired_min_tx: 1_000_000,
        required_min_rx: 50_000,
        required_min_echo_rx: 0,
    };
    let bytes = super::wire::encode(&packet);
    let now = pair.now;
    for (hop_limit, state) in [(249, State::Down), (250, State::Init)] {
        let received = links::bfd::Received {
            path: End::A.path(),
            hop_limit,
            bytes: &bytes,
        };
        pair.end(End::A).handle(Input::Received(received), now);
        assert_eq!(pair.status(End::A).state, state);
    }
}
