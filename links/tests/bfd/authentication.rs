//! Keyed SHA1: the right key comes up, and nobody else is heard.

use links::KeyError;
use links::bfd::{Authentication, Config, Key, Kind, State};

use super::pair::{End, Pair, config, ms};

const KINDS: [Kind; 2] = [Kind::KeyedSha1, Kind::MeticulousKeyedSha1];

fn signed(kind: Kind, key: &[u8]) -> Config {
    let authentication = Authentication {
        kind,
        key_id: 1,
        key: Key::new(key).expect("a test's key is legal"),
    };
    Config {
        authentication: Some(authentication),
        ..config()
    }
}

#[test]
fn ends_with_the_same_key_come_up_and_stay_up() {
    for kind in KINDS {
        let mut pair = Pair::up(signed(kind, b"secret"), signed(kind, b"secret"));
        pair.run(ms(60_000));
        assert_eq!(pair.changes, []);
    }
}

#[test]
fn another_key_another_kind_or_none_is_never_heard() {
    let ours = signed(Kind::KeyedSha1, b"secret");
    for theirs in [
        signed(Kind::KeyedSha1, b"secreT"),
        signed(Kind::MeticulousKeyedSha1, b"secret"),
        config(),
    ] {
        for (a, b) in [(ours.clone(), theirs.clone()), (theirs, ours.clone())] {
            let mut pair = Pair::new(a, b);
            pair.run(ms(10_000));
            assert_eq!(pair.states(), (State::Down, State::Down));
            assert!(pair.status(End::A).dropped > 5);
            assert_eq!(pair.status(End::A).received, 0);
        }
    }
}

#[test]
fn a_packet_played_again_changes_nothing() {
    for kind in KINDS {
        let mut pair = Pair::up(signed(kind, b"secret"), signed(kind, b"secret"));
        pair.run(ms(1000));
        let old = pair.log.iter().find(|sent| sent.from == End::B).unwrap();
        let old = old.bytes.clone();
        // So that the plain kind counts on, too.
        pair.set(
            End::B,
            Config {
                multiplier: 4,
                ..signed(kind, b"secret")
            },
        );
        pair.run(ms(1000));
        let before = pair.status(End::A);
        pair.inject(End::A, &old, 255);
        let after = pair.status(End::A);
        assert_eq!(after.received, before.received, "{kind:?}");
        assert_eq!(after.dropped, before.dropped + 1, "{kind:?}");
    }
}

#[test]
fn a_cut_path_is_not_kept_alive_by_a_recording() {
    let kind = Kind::MeticulousKeyedSha1;
    let mut pair = Pair::up(signed(kind, b"secret"), signed(kind, b"secret"));
    pair.run(ms(1000));
    let record: Vec<_> = pair
        .log
        .iter()
        .filter(|sent| sent.from == End::B)
        .cloned()
        .collect();
    pair.cut();
    for sent in record.iter().rev().take(10) {
        pair.inject(End::A, &sent.bytes, 255);
        pair.run(ms(40));
    }
    assert_eq!(pair.status(End::A).state, State::Down);
}

#[test]
fn a_neighbour_that_restarts_is_heard_again_after_twice_the_detection_time() {
    for kind in KINDS {
        let mut pair = Pair::up(signed(kind, b"secret"), signed(kind, b"secret"));
        pair.restart(End::B, signed(kind, b"secret"), 4711);
        pair.run(ms(10_000));
        assert_eq!(pair.states(), (State::Up, State::Up), "{kind:?}");
    }
}

#[test]
fn one_changed_octet_anywhere_is_noticed() {
    let mut pair = Pair::up(signed(Kind::KeyedSha1, b"k"), signed(Kind::KeyedSha1, b"k"));
    pair.run(ms(500));
    let last = pair.log.iter().rfind(|sent| sent.from == End::B).unwrap();
    let genuine = last.bytes.clone();
    let before = pair.status(End::A).received;
    for at in 0..genuine.len() {
        let mut forged = genuine.clone();
        forged[at] ^= 1;
        pair.inject(End::A, &forged, 255);
    }
    assert_eq!(pair.status(End::A).received, before);
    pair.inject(End::A, &genuine, 255);
    assert_eq!(pair.status(End::A).received, before + 1);
}

#[test]
fn a_key_has_1_to_20_octets_and_is_not_printed() {
    let error = KeyError {
        shortest: 1,
        longest: 20,
    };
    assert_eq!(Key::new(b""), Err(error));
    assert_eq!(Key::new(&[7; 21]), Err(error));
    let key = Key::new(&[b'x'; 20]).unwrap();
    assert!(!format!("{key:?}").contains('x'));
}
