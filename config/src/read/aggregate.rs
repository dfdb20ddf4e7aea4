//! `[[aggregate]]`.

use std::net::IpAddr;

use ipnet::IpNet;

use super::section::Section;
use super::{Draft, value};
use crate::model::{Aggregate, Carrier, Distance};
use crate::report::{Sink, Wrong};

/// What the host may reach by nothing but its default route, which a route that discards would hide.
struct Need {
    net: IpNet,
    /// What it is, as the subject of a sentence.
    what: String,
}

/// Every one, by prefix. All else has been read.
pub(super) fn aggregates(
    root: &mut Section<'_>,
    sink: &mut Sink<'_>,
    draft: &Draft,
) -> Vec<Aggregate> {
    let needs = needs(draft);
    let mut aggregates = Vec::new();
    for mut section in root.lists(sink, "aggregate") {
        let example = "prefix = \"10.0.0.0/8\"";
        let prefix = section.required(sink, "prefix", example, value::prefix);
        let summary_only = section.or(sink, "summary-only", false, value::boolean);
        let is_said = section.has("discard");
        let discard = section.optional(sink, "discard", value::boolean);
        let span = section.span();
        section.finish(sink);
        let Some(prefix) = prefix else { continue };
        if aggregates.iter().any(|a: &Aggregate| a.prefix == prefix) {
            let message = format!("{prefix} is an aggregate already");
            sink.error(span, Wrong::new("aggregate.duplicate", message, "keep one"));
            continue;
        }
        let is_within = |need: &&Need| need.net != prefix && prefix.contains(&need.net);
        let need = needs.iter().find(is_within);
        if let Some(need) = need.filter(|_| draft.fib.install && !is_said) {
            sink.warning(span, undecided(need, &prefix));
        }
        aggregates.push(Aggregate {
            prefix,
            summary_only,
            discard: discard.unwrap_or(need.is_none()),
        });
    }
    aggregates.sort_by_key(|aggregate| aggregate.prefix);
    aggregates
}

fn needs(draft: &Draft) -> Vec<Need> {
    let originated = draft.originate.iter().map(|net| Need {
        net: *net,
        what: format!("{net}, which is originated,"),
    });
    let at = |address: IpAddr, whose: String| Need {
        net: address.into(),
        what: format!("{address}, where {whose} is,"),
    };
    let peers = draft.peers.iter().filter_map(|(name, peer)| {
        let is_far = peer.link.is_none() && peer.distance != Distance::Connected;
        is_far.then(|| at(peer.address, format!("peer \"{name}\"")))
    });
    let tunnels = draft.sketches.iter().filter_map(|(name, link)| {
        let address = far_end(link.carrier.as_ref()?)?;
        Some(at(address, format!("the far end of link \"{name}\"")))
    });
    originated.chain(peers).chain(tunnels).collect()
}

/// Where packets of a tunnel go to.
fn far_end(carrier: &Carrier) -> Option<IpAddr> {
    match carrier {
        Carrier::Interface | Carrier::Vlan(_) => None,
        Carrier::WireGuard(wireguard) => wireguard.endpoint.as_ref()?.host.parse().ok(),
        Carrier::Gre(gre) => Some(gre.remote),
        Carrier::Ipsec(ipsec) => Some(ipsec.remote),
    }
}

fn undecided(need: &Need, aggregate: &IpNet) -> Wrong {
    let Need { net, what } = need;
    Wrong::new(
        "aggregate.discard",
        format!("{what} lies within {aggregate}, so the rest of that is not discarded"),
        format!(
            "write `discard = true` if more than a default route leads to {net}, otherwise `discard = false`"
        ),
    )
}
