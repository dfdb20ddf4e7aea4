//! What random histories are made of.

use super::*;

/// SplitMix64.
pub(super) struct Random(pub(super) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    pub(super) fn pick<T: Clone>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())].clone()
    }

    pub(super) fn maybe<T: Clone>(&mut self, items: &[T]) -> Option<T> {
        (self.below(2) == 0).then(|| self.pick(items))
    }
}

pub(super) fn prefixes() -> Vec<Prefix> {
    let v4 = (0..12).map(|i| format!("10.{i}.0.0/16"));
    let v6 = (0..4).map(|i| format!("2001:db8:{i}::/48"));
    let default = ["0.0.0.0/0".to_string()];
    v4.chain(v6)
        .chain(default)
        .chain(aggregates().map(|aggregate| aggregate.to_string()))
        .map(|text| text.parse().unwrap())
        .collect()
}

pub(super) fn aggregates() -> [Prefix; 3] {
    ["10.0.0.0/8", "10.4.0.0/14", "2001:db8::/32"].map(|text| text.parse().unwrap())
}

fn filters() -> Vec<Arc<Filter>> {
    let rule = |prefixes: &[&str], communities: &[u32], action, set| Rule {
        matches: Match {
            prefixes: prefixes
                .iter()
                .map(|text| PrefixPattern::exact(text.parse().unwrap()))
                .collect(),
            communities: communities.iter().map(|c| Community(*c).into()).collect(),
            ..Match::default()
        },
        action,
        set,
    };
    let preferring = Set {
        local_pref: Some(200.into()),
        add_communities: vec![Community(9)],
        ..Set::default()
    };
    let steering = Set {
        med: Some(50.into()),
        prepend: Some(Prepend::own(2)),
        delete_communities: vec![Community(7).into()],
        ..Set::default()
    };
    let tagging = |community| Set {
        add_communities: vec![Community(community)],
        ..Set::default()
    };
    let called = Filter::compile(vec![
        rule(
            &["10.4.0.0/16", "10.5.0.0/16"],
            &[],
            Action::Next,
            tagging(4),
        ),
        rule(&["10.6.0.0/16"], &[], Action::Accept, tagging(5)),
        rule(&[], &[7], Action::Reject, Set::default()),
    ]);
    [
        Filter::accept_all(),
        Filter::accept_all(),
        Filter::reject_all(),
        Filter::compile(vec![
            rule(&[], &[7], Action::Reject, Set::default()),
            rule(
                &["10.1.0.0/16", "10.2.0.0/16"],
                &[],
                Action::Accept,
                preferring,
            ),
            rule(&["0.0.0.0/0"], &[], Action::Accept, Set::default()),
            rule(&[], &[], Action::Accept, steering.clone()),
        ]),
        Filter::compile(vec![
            rule(
                &["10.3.0.0/16", "10.4.0.0/16"],
                &[],
                Action::Next,
                tagging(3),
            ),
            rule(&[], &[8], Action::Next, steering),
            rule(&["0.0.0.0/0"], &[], Action::Accept, Set::default()),
            rule(&[], &[], Action::Call(Arc::new(called)), Set::default()),
            rule(&[], &[], Action::Accept, Set::default()),
        ]),
    ]
    .map(Arc::new)
    .to_vec()
}

pub(super) fn random_attrs(random: &mut Random) -> Arc<Attrs> {
    let paths: [&[Asn]; 5] = [
        &[Asn(1)],
        &[Asn(1), Asn(5)],
        &[Asn(2)],
        &[Asn(2), Asn(5)],
        &[Asn(1), US],
    ];
    let mut communities: Vec<Community> = [
        random.maybe(&[Community(7), Community(8)]),
        (random.below(6) == 0).then_some(Community::NO_EXPORT),
        (random.below(9) == 0).then_some(Community::NO_ADVERTISE),
        (random.below(9) == 0).then_some(Community::NO_LLGR),
        (random.below(9) == 0).then_some(Community::LLGR_STALE),
        (random.below(9) == 0).then_some(Community::GRACEFUL_SHUTDOWN),
    ]
    .into_iter()
    .flatten()
    .collect();
    communities.sort_unstable();
    Arc::new(Attrs {
        origin: random.pick(&[Origin::Igp, Origin::Igp, Origin::Incomplete]),
        as_path: AsPath::sequence(random.pick(&paths)),
        nexthop: Some(random.pick(&nexthops())),
        med: random.maybe(&[0, 10, 20]),
        local_pref: random.maybe(&[100, 150]),
        communities: communities.into(),
        ext_communities: random.maybe(&bandwidths()).into_iter().collect(),
        reflection: random_reflection(random),
        only_to_customer: (random.below(4) == 0).then(|| random.pick(&[Asn(1), Asn(5)])),
        ..Attrs::originated()
    })
}

fn bandwidths() -> [ExtCommunity; 2] {
    [1e6_f32, 4e6].map(|rate| ExtCommunity(0x4004 << 48 | u64::from(rate.to_bits())))
}

fn random_reflection(random: &mut Random) -> Option<Box<Reflection>> {
    let ids = [[1, 1, 1, 9], [192, 0, 2, 200], [9, 9, 9, 9]].map(Ipv4Addr::from);
    (random.below(4) == 0).then(|| {
        Box::new(Reflection {
            originator_id: random.maybe(&ids),
            cluster_list: random.maybe(&ids).into_iter().collect(),
        })
    })
}

pub(super) fn nexthops() -> [IpAddr; 3] {
    ["192.0.2.1", "192.0.2.2", "2001:db8::1"].map(|text| text.parse().unwrap())
}

pub(super) fn asn_of(id: PeerId) -> Asn {
    [Asn(1), Asn(1), Asn(2), US, US][id.0 as usize]
}

pub(super) fn random_peer(id: PeerId, random: &mut Random) -> RibPeer {
    RibPeer {
        id,
        asn: asn_of(id),
        address: IpAddr::from([10, 255, 0, 10 - id.0 as u8]),
        import: random.pick(&filters()),
        export: random.pick(&filters()),
        options: random_options(random),
    }
}

fn random_options(random: &mut Random) -> PeerOptions {
    let limit = |random: &mut Random| {
        (random.below(4) == 0).then(|| PrefixLimit {
            max: 3,
            warn_at: 2,
            action: random.pick(&[
                LimitAction::Warn,
                LimitAction::Discard,
                LimitAction::Discard,
                LimitAction::Shutdown,
            ]),
        })
    };
    let modes = [
        NexthopMode::Ourselves,
        NexthopMode::Unchanged,
        NexthopMode::ThirdParty,
    ];
    let roles = [Role::Provider, Role::Customer, Role::Peer];
    let local_as = LocalAs {
        asn: Asn(65020),
        on_import: random.pick(&[LocalAsPrepend::Shown, LocalAsPrepend::Hidden]),
        on_export: random.pick(&[LocalAsPrepend::Shown, LocalAsPrepend::Hidden]),
    };
    PeerOptions {
        own_as_allowed: random.pick(&[0, 0, 1]),
        reflection: random.pick(&[ReflectionRole::NonClient, ReflectionRole::Client]),
        role: (random.below(3) == 0).then(|| random.pick(&roles)),
        nexthop: random.pick(&modes),
        local_as: (random.below(8) == 0).then_some(local_as),
        as_override: random.pick(&[AsOverride::Off, AsOverride::Off, AsOverride::On]),
        private_as: random.pick(&[PrivateAs::Kept, PrivateAs::Removed, PrivateAs::Replaced]),
        receive_limit: [limit(random), limit(random)],
        send_limit: [0; 2].map(|_: u8| (random.below(5) == 0).then(|| random.pick(&[0, 2, 5]))),
        add_path_limit: random.pick(&[0, 0, 1, 2]),
        way_back: random.pick(&ways_back()),
        drain_notice: random.pick(&[DrainNotice::None, DrainNotice::GracefulShutdown]),
    }
}

fn ways_back() -> [WayBack; 4] {
    // The first is one that filters here know.
    let communities = [9, 7, 12].map(Community);
    [
        WayBack::Off,
        WayBack::Med,
        WayBack::Prepend,
        WayBack::Communities(communities),
    ]
}

pub(super) fn random_retention(random: &mut Random) -> Retention {
    let families = random.pick(&[FamilySet::EMPTY, FamilySet::ALL, FamilySet::ALL]);
    let retained = |family| {
        let (long_lived, leftover) = random.pick(&[
            (0, Leftover::Goes),
            (300, Leftover::Goes),
            (0, Leftover::Stays),
            (300, Leftover::Stays),
        ]);
        Retained {
            family,
            restart: Duration::from_secs(50),
            long_lived: Duration::from_secs(long_lived),
            leftover,
        }
    };
    families.iter().map(retained).collect()
}

pub(super) fn random_config(seed: u64, random: &mut Random) -> RibConfig {
    RibConfig {
        med: random.pick(&[MedComparison::SameNeighbour, MedComparison::Always]),
        multipath: Multipath {
            external: random.pick(&[1, 1, 2, 8]),
            internal: random.pick(&[1, 3]),
            as_paths: random.pick(&[MultipathAs::SameNeighbour, MultipathAs::AnyNeighbour]),
        },
        forwarding: random.pick(&[Forwarding::Here, Forwarding::Here, Forwarding::Elsewhere]),
        bounds: ExportBounds {
            prefixes: 1 + random.below(6),
            backlog: random.below(400),
        },
        ..RibConfig::new(US, RouterId::new([192, 0, 2, 200].into()).unwrap(), seed)
    }
}
