//! Links to a provider's service.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::check::overlap;
use crate::model::{Bfd, Carrier};
use crate::profile::{Profile, Support};
use crate::read::value::spell;
use crate::read::{Draft, Sketch};
use crate::report::{Sink, Wrong};

pub(super) fn check(
    name: &str,
    profile: &Profile,
    sketch: &Sketch,
    draft: &Draft,
    sink: &mut Sink<'_>,
) {
    let is_carried = carrier(name, profile, sketch, sink);
    if is_carried {
        inside(name, profile, sketch, sink);
    }
    let link = draft.links.get(name);
    if let Some(watch) = link.and_then(|link| link.bfd.as_ref()) {
        bfd(&format!("link.{name}.bfd"), profile, watch, sink);
    }
}

/// Whether the service can be at the other end of this.
fn carrier(name: &str, profile: &Profile, sketch: &Sketch, sink: &mut Sink<'_>) -> bool {
    let Some(carrier) = &sketch.carrier else {
        return false;
    };
    let service = profile.name;
    if !matches!(carrier, Carrier::Interface) && !profile.carriers.contains(&carrier.kind()) {
        let keys: Vec<String> = profile
            .carriers
            .iter()
            .map(|key| format!("`{key} = {{ … }}`"))
            .chain(["`interface`".to_owned()])
            .collect();
        let message = format!("{service} is not reached over {}", carrier.kind());
        let fix = format!("write {}", keys.join(" or "));
        let place = sink.place(&format!("link.{name}.profile"));
        sink.error(place, Wrong::new("profile.carrier", message, fix));
        return false;
    }
    if let (Carrier::Ipsec(ipsec), Some(theirs)) = (carrier, &profile.ipsec)
        && !theirs.versions.contains(&ipsec.version)
    {
        let message = format!("{service} does not speak this version of IKE");
        let wrong = Wrong::new("profile.version", message, "leave `version` out");
        sink.error(sink.place(&format!("link.{name}.ipsec.version")), wrong);
    }
    true
}

fn inside(name: &str, profile: &Profile, sketch: &Sketch, sink: &mut Sink<'_>) {
    let service = profile.name;
    let Some(inside) = sketch.inside.map(|inside| inside.local) else {
        return;
    };
    let reserved = profile.reserved_inside.iter().find(|reserved| {
        let reserved: Option<IpNet> = reserved.parse().ok();
        reserved.is_some_and(|reserved| overlap(&reserved, &inside))
    });
    let outside = profile
        .link_local_inside
        .filter(|range| is_link_local(inside) && !is_within(inside, *range));
    let (message, fix) = match (reserved, outside) {
        (Some(reserved), _) => (
            format!("{service} keeps {reserved} for itself"),
            "take a network from 169.254.21.0/24 or 169.254.22.0/24".to_owned(),
        ),
        (None, Some((first, last))) => (
            format!("{service} takes only {first} to {last} of 169.254.0.0/16"),
            format!("take a network from {first} to {last}"),
        ),
        (None, None) => return,
    };
    let place = sink.place(&format!("link.{name}.inside.local"));
    sink.error(place, Wrong::new("inside.reserved", message, fix));
}

fn is_link_local(net: IpNet) -> bool {
    matches!(net.addr(), IpAddr::V4(address) if address.is_link_local())
}

fn is_within(net: IpNet, (first, last): (&str, &str)) -> bool {
    let (first, last): (Option<IpAddr>, Option<IpAddr>) = (first.parse().ok(), last.parse().ok());
    first.is_some_and(|first| first <= net.network())
        && last.is_some_and(|last| net.broadcast() <= last)
}

/// - `path`: where it stands in the file
pub(super) fn bfd(path: &str, profile: &Profile, ours: &Bfd, sink: &mut Sink<'_>) {
    let (service, theirs) = (profile.name, profile.bgp.bfd);
    match theirs.support {
        Support::No => {
            let message = format!("{service} does not speak BFD");
            let fix = "leave `bfd` out: probes and the hold timer watch this link";
            let place = sink.place(path);
            sink.error(place, Wrong::new("bfd.unsupported", message, fix));
        }
        Support::Unknown => {
            let message = format!("nothing says that {service} speaks BFD");
            let fix = "without an answer it does no harm, unless it is `strict`";
            let place = sink.place(path);
            sink.warning(place, Wrong::new("bfd.unsupported", message, fix));
        }
        Support::Optional | Support::Required if ours.interval < theirs.interval => {
            let fastest = spell(theirs.interval);
            let message = format!("{service} goes no faster than {fastest}, so neither will we");
            let fix = format!("write interval = \"{fastest}\", or leave it out");
            let place = sink.place(&format!("{path}.interval"));
            sink.warning(place, Wrong::new("bfd.interval", message, fix));
        }
        Support::Optional | Support::Required => {}
    }
}
