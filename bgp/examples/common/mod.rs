//! What the measurements of a [`Rib`] share: peers that are up, and full tables.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Instant;

use bgp::filter::Filter;
use bgp::rib::{Input, Output, PeerOptions, Rib, RibConfig, RibPeer};
use bgp::wire::Dialect;
use bgp::{AsPath, Asn, Attrs, Community, PeerId, Prefix, RouteEvent, RouterId, SessionUp};

const PER_UPDATE: usize = 500;
const LOCAL_ASN: Asn = Asn(65010);

/// The numbers on the command line, in order, each with what it is where it is left out.
pub(crate) fn numbers() -> impl FnMut(usize) -> usize {
    let mut arguments = std::env::args().skip(1);
    move |default| {
        let next = arguments.next();
        next.map_or(default, |text| text.parse().unwrap())
    }
}

/// A router whose peers 1 to `peers` are up.
pub(crate) fn router(peers: u32) -> Rib {
    let mut rib = Rib::new(RibConfig::new(LOCAL_ASN, identifier(0), 7));
    let now = Instant::now();
    for id in 1..=peers {
        let id = PeerId(id);
        rib.handle(Input::Configure(peer(id, Filter::accept_all())), now);
        rib.handle(Input::Up(id, up(id)), now);
    }
    drain(&mut rib);
    rib
}

/// What the session of a peer has agreed on.
pub(crate) fn up(id: PeerId) -> SessionUp {
    SessionUp {
        nexthops: [Some(identifier(0).address().into()), None],
        ..SessionUp::new(identifier(id.0), Dialect::new(LOCAL_ASN, asn(id)))
    }
}

/// A peer that takes whatever comes.
pub(crate) fn peer(id: PeerId, export: Filter) -> RibPeer {
    RibPeer {
        id,
        asn: asn(id),
        address: identifier(id.0).address().into(),
        import: Arc::new(Filter::accept_all()),
        export: Arc::new(export),
        options: PeerOptions::default(),
    }
}

fn asn(id: PeerId) -> Asn {
    Asn(64512 + id.0)
}

fn identifier(number: u32) -> RouterId {
    RouterId::new(Ipv4Addr::from(0x0aff_0001 + number)).unwrap()
}

/// Takes what there is to be done, and tells how many routes of it have changed.
pub(crate) fn drain(rib: &mut Rib) -> usize {
    let mut changes = 0;
    while let Some(output) = rib.poll_output() {
        match output {
            Output::Routes(routes) => changes += routes.len(),
            Output::ExportReady(_) | Output::NexthopOurs { .. } | Output::Limit { .. } => {}
        }
    }
    changes
}

/// The table of a peer. As from the wire: each UPDATE comes with a set of its own, equal to others or
/// not.
pub(crate) fn updates(id: PeerId, prefixes: usize, sets: usize) -> impl Iterator<Item = Input> {
    let per_update = PER_UPDATE.min(prefixes.div_ceil(sets.max(1))).max(1);
    let starts = (0..prefixes).step_by(per_update);
    starts
        .zip((0..sets as u32).cycle())
        .map(move |(start, set)| {
            let end = prefixes.min(start + per_update);
            let nets = (start..end).map(prefix).collect();
            let event = RouteEvent::announce(attribute_set(id, set), nets);
            Input::Routes(id, vec![event])
        })
}

fn prefix(number: usize) -> Prefix {
    let address = Ipv4Addr::from(((number as u32) << 8) + (1 << 24));
    Prefix::new(address.into(), 24).unwrap()
}

fn attribute_set(id: PeerId, number: u32) -> Arc<Attrs> {
    Arc::new(Attrs {
        as_path: AsPath::sequence(&[asn(id), Asn(3356), Asn(100_000 + number), Asn(7)]),
        nexthop: Some(identifier(id.0).address().into()),
        communities: [Community(number)].into_iter().collect(),
        ..Attrs::originated()
    })
}
