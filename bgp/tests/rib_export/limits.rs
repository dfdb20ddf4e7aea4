//! Peers that take only so many prefixes.

use super::*;

/// B takes so many IPv4 prefixes.
fn limited(limit: u32) -> RibPeer {
    RibPeer {
        id: B,
        asn: Asn(2),
        address: [10, 255, 0, 2].into(),
        import: Arc::new(Filter::accept_all()),
        export: Arc::new(Filter::accept_all()),
        options: PeerOptions {
            send_limit: [Some(limit), None],
            ..PeerOptions::default()
        },
    }
}

#[test]
fn a_limit_on_prefixes_is_never_crossed_and_room_is_used() {
    let mut router = Router::new();
    router.handle(Input::Configure(limited(100)));
    router.announce(A, (0..150).map(nth).collect(), attrs_of(A, &[1]));
    let mut held = BTreeMap::new();
    apply(&mut held, router.told(B));
    let counts = |router: &Router| {
        let counts = router.rib.counts(B, Family::Ipv4Unicast);
        (counts.advertised, counts.held_back)
    };
    assert_eq!((held.len(), counts(&router)), (100, (100, 50)));
    let said = |max| (B, LimitEvent::HeldBack { max });
    assert_eq!(router.limits, [said(100)], "once");
    router.withdraw(A, (0..20).chain(145..150).map(nth).collect());
    for change in router.told(B) {
        apply(&mut held, vec![change]);
        assert!(held.len() <= 100);
    }
    assert_eq!((held.len(), counts(&router)), (100, (100, 25)));
    router.handle(Input::Configure(limited(60)));
    apply(&mut held, router.told(B));
    assert_eq!((held.len(), counts(&router)), (60, (60, 65)));
    assert_eq!(router.limits, [said(100), said(60)]);
    router.handle(Input::Configure(limited(1_000)));
    apply(&mut held, router.told(B));
    assert_eq!((held.len(), counts(&router)), (125, (125, 0)));
    assert_eq!(router.told(C).len(), 125, "others are not concerned");
}

#[test]
fn room_is_made_before_it_is_used_whoever_the_paths_are_from() {
    let mut router = Router::new();
    router.handle(Input::Configure(limited(100)));
    router.announce(C, (0..50).map(nth).collect(), attrs_of(C, &[3]));
    router.announce(A, (50..150).map(nth).collect(), attrs_of(A, &[1]));
    let mut held = BTreeMap::new();
    apply(&mut held, router.told(B));
    assert_eq!(held.len(), 100);
    router.withdraw(C, (0..20).map(nth).collect());
    router.announce(A, (60..70).map(nth).collect(), attrs_of(A, &[1, 7]));
    for change in router.told(B) {
        apply(&mut held, vec![change]);
        assert!(held.len() <= 100);
    }
    assert_eq!(held.len(), 100);
}

#[test]
fn a_prefix_that_waits_and_gets_room_at_once_is_told_in_the_end() {
    let mut router = Router::new();
    router.handle(Input::Configure(limited(10)));
    router.announce(C, (0..10).map(nth).collect(), attrs_of(C, &[3]));
    router.announce(A, (0..5).map(nth).collect(), attrs_of(A, &[1, 7]));
    let mut held = BTreeMap::new();
    apply(&mut held, router.told(B));
    router.withdraw(C, (0..10).map(nth).collect());
    router.handle(Input::Configure(limited(5)));
    apply(&mut held, router.told(B));
    let counts = router.rib.counts(B, Family::Ipv4Unicast);
    assert_eq!((held.len(), counts.advertised), (5, 5));
}

#[test]
fn nothing_is_said_to_be_held_back_once_there_is_no_limit() {
    let mut router = Router::new();
    router.handle(Input::Configure(limited(100)));
    router.announce(A, (0..150).map(nth).collect(), attrs_of(A, &[1]));
    router.told(B);
    router.configure(B, Asn(2), Filter::accept_all(), Filter::reject_all());
    router.told(B);
    let counts = router.rib.counts(B, Family::Ipv4Unicast);
    assert_eq!((counts.advertised, counts.held_back), (0, 0));
}

/// What a peer holds that hears a batch now and then.
#[derive(Default)]
struct Reader {
    held: BTreeMap<Prefix, Arc<Attrs>>,
    /// How many it may hold; `None`: any number.
    limit: Option<usize>,
    /// While it still has more than that from before.
    excess: usize,
}

impl Reader {
    /// Hears one batch if there is one that it was told of; `false` when there is none.
    fn hear(&mut self, router: &mut Router, id: PeerId) -> bool {
        router.drain();
        if !router.ready.contains(&id) {
            return false;
        }
        let Some(heard) = router.told_once(id) else {
            router.ready.retain(|ready| *ready != id);
            return false;
        };
        for change in heard.changes {
            apply(&mut self.held, vec![change]);
            let most = self
                .limit
                .map_or(usize::MAX, |limit| limit.max(self.excess));
            assert!(self.held.len() <= most, "{} of {most}", self.held.len());
            self.excess = self.excess.min(self.held.len());
        }
        true
    }
}

/// xorshift64.
fn below(random: &mut u64, end: u64) -> u64 {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    (*random >> 16) % end
}

#[test]
fn whatever_happens_a_limited_peer_holds_as_many_as_it_takes_of_what_is_current() {
    const D: PeerId = PeerId(4);
    for seed in 1..300_u64 {
        let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut router = Router::with(ExportBounds {
            prefixes: 3,
            backlog: 300,
        });
        router.configure(D, Asn(4), Filter::accept_all(), Filter::accept_all());
        router.up(D);
        let mut readers: BTreeMap<PeerId, Reader> =
            [A, B, C, D].map(|id| (id, Reader::default())).into();
        router.ready = vec![A, B, C, D];
        for _ in 0..400 {
            let from = [A, C][below(&mut random, 2) as usize];
            let nets: Vec<Prefix> = (0..=below(&mut random, 3))
                .map(|_| nth(below(&mut random, 12) as u32))
                .collect();
            match below(&mut random, 12) {
                0..4 => {
                    let path = [from.0, 100 + below(&mut random, 3) as u32];
                    router.announce(from, nets, attrs_of(from, &path));
                }
                4..6 => router.withdraw(from, nets),
                6 => {
                    let limit = [Some(2), Some(5), Some(9), None][below(&mut random, 4) as usize];
                    let reader = readers.get_mut(&B).unwrap();
                    let before = reader.limit.replace(limit.unwrap_or(usize::MAX));
                    if before != reader.limit {
                        reader.excess = usize::MAX;
                    }
                    match limit {
                        Some(limit) => router.handle(Input::Configure(limited(limit as u32))),
                        None => {
                            router.configure(B, Asn(2), Filter::accept_all(), Filter::accept_all())
                        }
                    }
                }
                7 if below(&mut random, 8) == 0 => {
                    router.handle(Input::Down(B, Retention::new()));
                    router.ready.retain(|ready| *ready != B);
                    let reader = readers.get_mut(&B).unwrap();
                    reader.held.clear();
                    reader.excess = 0;
                    router.up(B);
                }
                8 => router.handle(Input::Refresh(B, Family::Ipv4Unicast)),
                _ => {
                    let id = [A, B, C, D][below(&mut random, 4) as usize];
                    readers.get_mut(&id).unwrap().hear(&mut router, id);
                }
            }
            if below(&mut random, 25) > 0 {
                continue;
            }
            router.settle();
            for (id, reader) in &mut readers {
                while reader.hear(&mut router, *id) {}
                reader.excess = 0;
            }
            let all = &readers[&D].held;
            let of_b = &readers[&B];
            let most = of_b.limit.unwrap_or(usize::MAX);
            assert_eq!(of_b.held.len(), all.len().min(most), "seed {seed}");
            for (prefix, attrs) in &of_b.held {
                assert_eq!(all.get(prefix), Some(attrs), "seed {seed}: {prefix}");
            }
            let counts = router.rib.counts(B, Family::Ipv4Unicast);
            let numbers = (counts.advertised, counts.held_back);
            let expected = (of_b.held.len(), all.len() - of_b.held.len());
            assert_eq!(numbers, expected, "seed {seed}");
        }
    }
}
