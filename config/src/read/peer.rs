//! `[peer.NAME]`, `[listen.NAME]` and `bgp = { … }` of a link.

mod limits;
mod words;

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use toml::de::DeValue;

use crate::model::{Inside, NexthopMode, Peer, PrivateAs, Range};
use crate::report::{Sink, Wrong};

use super::link::interface_name;
use super::section::Section;
use super::{Draft, bfd, check_name, secret, value};

const HOLD_TIME: Duration = Duration::from_secs(90);
const CONNECT_RETRY: Duration = Duration::from_secs(5);
/// Peers of one range at once.
const RANGE_LIMIT: u32 = 64;
const RANGE_LIMIT_MAX: u32 = 4096;
/// Longest text in a NOTIFICATION (RFC 9003 §2).
const COMMUNICATION: usize = 255;

/// Every `[peer.NAME]`, into the draft.
pub(crate) fn peers(root: &mut Section<'_>, sink: &mut Sink<'_>, draft: &mut Draft) {
    for (name, section) in root.named(sink, "peer") {
        check_name(&name, section.span(), sink);
        let span = section.span();
        let Some(peer) = peer(section, sink, draft) else {
            continue;
        };
        if draft.peers.contains_key(&name) {
            let message = format!("link `{name}` has `bgp` and so is a peer of that name already");
            let wrong = Wrong::new(
                "peer.name",
                message,
                "rename this peer, or remove the link's `bgp`",
            );
            sink.error(span, wrong);
            continue;
        }
        draft.peers.insert(name, peer);
    }
}

fn peer(mut section: Section<'_>, sink: &mut Sink<'_>, draft: &mut Draft) -> Option<Peer> {
    let address = section.required(sink, "address", "address = \"10.0.0.1\"", value::address);
    let local_address = section.optional(sink, "local-address", value::address);
    let interface = section.optional(sink, "interface", interface_name);
    let link = section.optional(sink, "link", value::text);
    if let Some(link) = &link {
        let place = sink.place(&format!("{}.link", section.path()));
        draft.link_uses.push((link.clone(), place));
    }
    let terms = terms(&mut section, sink, draft);
    let router_asn = draft.router.as_ref().map(|router| router.asn);
    let bfd = terms
        .as_ref()
        .and_then(|terms| bfd::of_peer(&mut section, sink, terms, router_asn));
    section.finish(sink);
    Some(Peer {
        link,
        address: address?,
        local_address,
        interface,
        bfd,
        ..terms?
    })
}

/// The peer at the far end of a link.
pub(crate) fn of_link(terms: Peer, name: &str, inside: Inside) -> Peer {
    Peer {
        link: Some(name.to_owned()),
        address: inside.remote,
        local_address: Some(inside.local.addr()),
        ..terms
    }
}

/// Every `[listen.NAME]`, into the draft.
pub(crate) fn ranges(root: &mut Section<'_>, sink: &mut Sink<'_>, draft: &mut Draft) {
    for (name, mut section) in root.named(sink, "listen") {
        check_name(&name, section.span(), sink);
        let example = "range = \"10.0.0.0/24\"";
        let network = section.required(sink, "range", example, value::prefix);
        let limit = section.or(sink, "limit", RANGE_LIMIT, |v| {
            value::integer(v, 1..=RANGE_LIMIT_MAX)
        });
        let local_address = section.optional(sink, "local-address", value::address);
        let interface = section.optional(sink, "interface", interface_name);
        let terms = terms(&mut section, sink, draft);
        section.finish(sink);
        let (Some(network), Some(terms)) = (network, terms) else {
            continue;
        };
        let peer = Peer {
            address: network.network(),
            local_address,
            interface,
            // They call us; where they listen is not known.
            passive: true,
            ..terms
        };
        let range = Range {
            network,
            limit,
            peer,
        };
        draft.ranges.insert(name, range);
    }
}

/// The keys that all forms share: a peer but for where it is. `section` is finished by the caller.
pub(crate) fn terms(
    section: &mut Section<'_>,
    sink: &mut Sink<'_>,
    draft: &mut Draft,
) -> Option<Peer> {
    let asn = section.required(sink, "asn", "asn = 64512", value::asn);
    let router_asn = draft.router.as_ref().map(|router| router.asn);
    let is_internal = asn.is_some() && asn == router_asn;
    not_in_this_kernel(section, sink);
    let peer = Peer {
        link: None,
        range: None,
        address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        local_address: None,
        interface: None,
        asn: asn.unwrap_or_default(),
        port: section.or(sink, "port", 179, |v| value::integer(v, 1..=u16::MAX)),
        import: filter_use(section, sink, draft, "import"),
        export: filter_use(section, sink, draft, "export"),
        description: section.optional(sink, "description", value::text),
        shutdown: section.optional(sink, "shutdown", shutdown).flatten(),
        families: words::families(section, sink),
        passive: section.or(sink, "passive", false, value::boolean),
        hold_time: section.or(sink, "hold-time", HOLD_TIME, hold_time),
        send_hold_time: section.optional(sink, "send-hold-time", |v| {
            value::duration(v, seconds(1, 86_400))
        }),
        connect_retry: section.or(sink, "connect-retry", CONNECT_RETRY, |v| {
            value::duration(v, seconds(1, 120))
        }),
        distance: words::distance(section, sink, is_internal),
        bfd: None,
        md5: secret::source(section, sink, "md5"),
        extended_messages: section.or(sink, "extended-messages", true, value::boolean),
        enhanced_refresh: section.or(sink, "enhanced-refresh", true, value::boolean),
        extended_nexthop: section.or(sink, "extended-nexthop", false, value::boolean),
        add_path: section.or(sink, "add-path", Default::default(), words::add_path),
        add_path_limit: section.or(sink, "add-path-limit", 0, |v| value::integer(v, 0..=64)),
        graceful_restart: words::graceful_restart(section, sink),
        role: section.optional(sink, "role", words::role),
        role_strict: section.or(sink, "role-strict", false, value::boolean),
        local_as: words::local_as(section, sink),
        own_as_allowed: section.or(sink, "allowas-in", 0, |v| value::integer(v, 0..=10)),
        enforce_first_as: section.or(sink, "enforce-first-as", true, value::boolean),
        as_override: section.or(sink, "as-override", false, value::boolean),
        private_as: section.or(sink, "remove-private", PrivateAs::Keep, words::private_as),
        nexthop: section.or(sink, "nexthop", NexthopMode::Ourselves, words::nexthop),
        reflector_client: section.or(sink, "route-reflector-client", false, value::boolean),
        prefix_limit: limits::prefix_limit(section, sink),
        prefix_limit_out: limits::out(section, sink),
    };
    asn.map(|_| peer)
}

/// A key that people look for, and that the kernels we know cannot serve.
fn not_in_this_kernel(section: &mut Section<'_>, sink: &mut Sink<'_>) {
    let wrong = |_: &DeValue<'_>| -> Result<(), Wrong> {
        Err(Wrong::new(
            "peer.tcp-ao",
            "TCP-AO (RFC 5925) is not supported by this version",
            "use `md5` with `ttl-security`, or peer over a tunnel",
        ))
    };
    section.optional(sink, "tcp-ao", wrong);
}

fn seconds(least: u64, most: u64) -> std::ops::RangeInclusive<Duration> {
    Duration::from_secs(least)..=Duration::from_secs(most)
}

/// `true`, or what the peer is told. `false` is as good as nothing.
fn shutdown(value: &DeValue<'_>) -> Result<Option<String>, Wrong> {
    if let DeValue::Boolean(is) = value {
        return Ok(is.then(String::new));
    }
    let text = value::text(value)?;
    if text.len() > COMMUNICATION {
        return Err(Wrong::new(
            "peer.shutdown",
            format!("this text has {} bytes", text.len()),
            format!("RFC 9003 has room for {COMMUNICATION}"),
        ));
    }
    Ok(Some(text))
}

fn filter_use(
    section: &mut Section<'_>,
    sink: &mut Sink<'_>,
    draft: &mut Draft,
    key: &'static str,
) -> Option<String> {
    let name = section.optional(sink, key, value::text)?;
    let place = sink.place(&format!("{}.{key}", section.path()));
    draft.filter_uses.push((name.clone(), place));
    Some(name)
}

/// RFC 4271 §4.2: whole seconds in two bytes, and not 1 or 2.
fn hold_time(value: &DeValue<'_>) -> Result<Duration, Wrong> {
    let time = value::duration(value, Duration::ZERO..=Duration::from_secs(65_535))?;
    let message = match time.as_secs() {
        _ if time.subsec_nanos() != 0 => "a hold time is whole seconds",
        1 | 2 => "a hold time of 1 or 2 seconds is illegal (RFC 4271 §4.2)",
        _ => return Ok(time),
    };
    Err(Wrong::new(
        "timer.hold",
        message,
        "use \"0s\" (no timer) or \"3s\" and more; \"90s\" is usual",
    ))
}
