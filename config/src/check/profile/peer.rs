//! Peers that are a provider's service.

use std::net::IpAddr;

use super::link;
use crate::model::{Distance, Family, Peer, Signing};
use crate::profile::{Caller, Ceiling, HoldTime, Profile, ProviderAsn, Reach, Restart, Support};
use crate::read::Draft;
use crate::read::value::spell;
use crate::report::{Sink, Wrong};

/// - `path`: where the peer stands in the file
pub(super) fn check(
    path: &str,
    peer: &Peer,
    profile: &Profile,
    draft: &Draft,
    sink: &mut Sink<'_>,
) {
    asns(path, peer, profile, draft, sink);
    hold_time(path, peer, profile, sink);
    reach(path, peer, profile, sink);
    caller(path, peer, profile, sink);
    md5(path, peer, profile, sink);
    restart(path, peer, profile, draft, sink);
    families(path, peer, profile, sink);
    limits(path, peer, profile, sink);
    alone(path, peer, profile, draft, sink);
    if let Some(own) = &peer.bfd {
        link::bfd(&format!("{path}.bfd"), profile, &own.bfd, sink);
    }
}

fn asns(path: &str, peer: &Peer, profile: &Profile, draft: &Draft, sink: &mut Sink<'_>) {
    let service = profile.name;
    if let ProviderAsn::Fixed(asn) = profile.bgp.asn
        && peer.asn != asn
    {
        let message = format!("{service} is AS {asn}");
        let place = sink.place(&format!("{path}.asn"));
        sink.error(
            place,
            Wrong::new("asn.provider", message, "leave `asn` out"),
        );
    }
    let ours = match (peer.local_as, &draft.router) {
        (Some(local), _) => Some((local.asn, format!("{path}.local-as"))),
        (None, Some(router)) => Some((router.asn, "router.asn".to_owned())),
        (None, None) => None,
    };
    let is_refused = |asn: u32| profile.bgp.not_ours.iter().any(|not| not.contains(&asn));
    if let Some((asn, key)) = ours.filter(|(asn, _)| is_refused(*asn)) {
        let message = format!("`{path}`: {service} takes no peer with AS {asn}");
        let fix = "use a private one such as 65010, here or by `local-as` of that peer";
        sink.error(sink.place(&key), Wrong::new("asn.reserved", message, fix));
    }
}

fn hold_time(path: &str, peer: &Peer, profile: &Profile, sink: &mut Sink<'_>) {
    let (service, ours) = (profile.name, peer.hold_time);
    let is_shorter = |than: u16| ours.is_zero() || ours.as_secs() < than.into();
    let wrong = match profile.bgp.hold_time {
        HoldTime::Fixed(fixed) if is_shorter(fixed) => {
            let message = format!(
                "{service} sends a keepalive every {} s whatever we say: {} run out",
                fixed / 3,
                spell(ours)
            );
            let fix = format!("write \"{fixed}s\", or leave `hold-time` out");
            Wrong::new("timers.azure-fixed", message, fix)
        }
        HoldTime::Agreed {
            least: Some(least), ..
        } if is_shorter(least) => {
            let message = format!("{service} takes no hold time below {least} s");
            Wrong::new("timer.hold", message, format!("write \"{least}s\" or more"))
        }
        HoldTime::Fixed(_) | HoldTime::Agreed { .. } | HoldTime::Unknown => return,
    };
    sink.error(sink.place(&format!("{path}.hold-time")), wrong);
}

fn reach(path: &str, peer: &Peer, profile: &Profile, sink: &mut Sink<'_>) {
    let service = profile.name;
    match (profile.bgp.reach, peer.distance) {
        (Reach::TtlOfOne, Distance::Multihop(_) | Distance::Secured(_)) => {
            let key = match peer.distance {
                Distance::Secured(_) => "ttl-security",
                Distance::Connected | Distance::Multihop(_) => "multihop",
            };
            let message = format!("{service} sends and takes packets with a TTL of 1");
            let wrong = Wrong::new("ttl1.violated", message, "leave it out");
            sink.error(sink.place(&format!("{path}.{key}")), wrong);
        }
        (Reach::Multihop { least, .. }, distance) if !reaches(distance, least) => {
            let key = match distance {
                Distance::Secured(_) => "ttl-security",
                Distance::Connected | Distance::Multihop(_) => "multihop",
            };
            let message = format!("{service} is several hops away");
            let fix = format!("write multihop = {least} or more, or leave it out");
            let place = sink.place(&format!("{path}.{key}"));
            sink.error(place, Wrong::new("multihop.missing", message, fix));
        }
        (_, _) => {}
    }
}

fn reaches(distance: Distance, least: u8) -> bool {
    matches!(distance, Distance::Multihop(ttl) if ttl >= least)
}

fn caller(path: &str, peer: &Peer, profile: &Profile, sink: &mut Sink<'_>) {
    let is_link_local = matches!(peer.address, IpAddr::V4(address) if address.is_link_local());
    let waits = match profile.bgp.caller {
        Caller::Either => false,
        Caller::We => true,
        Caller::WeIfLinkLocal => is_link_local,
    };
    if waits && peer.passive {
        let message = format!("{} waits to be called as well", profile.name);
        let wrong = Wrong::new("profile.passive", message, "leave `passive` out");
        sink.error(sink.place(&format!("{path}.passive")), wrong);
    }
}

fn md5(path: &str, peer: &Peer, profile: &Profile, sink: &mut Sink<'_>) {
    let service = profile.name;
    let place = sink.place(&format!("{path}.md5"));
    let md5 = peer.signing.as_ref().and_then(Signing::md5);
    match (profile.bgp.md5, md5) {
        (Support::No, Some(_)) => {
            let message = format!("{service} does not speak TCP MD5");
            let wrong = Wrong::new("md5.unsupported", message, "leave `md5` out");
            sink.error(place, wrong);
        }
        (Support::Unknown, Some(_)) => {
            let message = format!("nothing says that {service} speaks TCP MD5");
            let fix = "leave `md5` out if no session comes up";
            sink.warning(place, Wrong::new("md5.unsupported", message, fix));
        }
        (Support::Required, None) => {
            let message = format!("{service} always has a key of TCP MD5");
            let fix = "add md5 = { file = \"secrets/…\" }";
            sink.error(place, Wrong::new("md5.missing", message, fix));
        }
        (Support::No | Support::Unknown | Support::Optional, None)
        | (Support::Optional | Support::Required, Some(_)) => {}
    }
}

fn restart(path: &str, peer: &Peer, profile: &Profile, draft: &Draft, sink: &mut Sink<'_>) {
    let link = peer.link.as_ref().and_then(|link| draft.links.get(link));
    let has_bfd = link.is_some_and(|link| link.bfd.is_some());
    let both = has_bfd && peer.graceful_restart.is_some();
    if profile.bgp.graceful_restart == Restart::UnlessBfd && both {
        let message = format!("{} is not to run graceful restart beside BFD", profile.name);
        let fix = "leave `graceful-restart` out, or `bfd` of the link";
        let place = sink.place(&format!("{path}.graceful-restart"));
        sink.warning(place, Wrong::new("gr.with-bfd", message, fix));
    }
}

fn families(path: &str, peer: &Peer, profile: &Profile, sink: &mut Sink<'_>) {
    let carried = profile.bgp.families;
    let surplus = peer
        .families
        .iter()
        .find(|family| !carried.contains(family));
    if let Some(family) = surplus {
        let word = match family {
            Family::Ipv4 => "IPv4",
            Family::Ipv6 => "IPv6",
        };
        let message = format!("{} carries no {word}", profile.name);
        let place = sink.place(&format!("{path}.families"));
        let wrong = Wrong::new("families.unsupported", message, "leave `families` out");
        sink.error(place, wrong);
    }
}

/// What is sent beyond what the service takes costs the session.
fn limits(path: &str, peer: &Peer, profile: &Profile, sink: &mut Sink<'_>) {
    let (service, accepts) = (profile.name, &profile.bgp.accepts);
    let ours = peer.prefix_limit_out;
    let usual = accepts.usual();
    for (key, ours, theirs, usual) in [
        ("ipv4", ours.ipv4, accepts.ipv4, usual.0),
        ("ipv6", ours.ipv6, accepts.ipv6, usual.1),
    ] {
        let (Some(ours), Some(theirs), Some(usual)) = (ours, theirs, usual) else {
            continue;
        };
        let place = sink.place(&format!("{path}.prefix-limit-out.{key}"));
        if ours > theirs {
            let message = format!("{service} takes {theirs} prefixes ({})", accepts.beyond);
            match accepts.ceiling {
                Ceiling::Firm => {
                    let fix = format!("write {usual} or less; `[[aggregate]]` makes fewer of many");
                    sink.error(place, Wrong::new("limit.prefixes", message, fix));
                }
                Ceiling::Raisable => {
                    let fix = "be sure that it has been told to take so many";
                    sink.warning(place, Wrong::new("limit.prefixes", message, fix));
                }
            }
        } else if ours > usual {
            let message = format!("{service} counts what is announced again twice");
            let fix = format!("with {usual} or less a refresh does no harm");
            sink.warning(place, Wrong::new("limit.prefixes", message, fix));
        }
    }
}

/// Said of the only one there is, at that one.
fn alone(path: &str, peer: &Peer, profile: &Profile, draft: &Draft, sink: &mut Sink<'_>) {
    let is_of_same = |other: &&Peer| other.profile == peer.profile && other.link == peer.link;
    let count = draft.peers.values().filter(is_of_same).count();
    if count < profile.bgp.sessions {
        let message = format!(
            "{} has {} addresses to peer with, and this is the only one",
            profile.name, profile.bgp.sessions
        );
        let fix = "add a [peer.NAME] for the other one";
        sink.warning(
            sink.place(path),
            Wrong::new("no-second-neighbour", message, fix),
        );
    }
}
