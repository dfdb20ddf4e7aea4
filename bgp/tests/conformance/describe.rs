//! Messages, events and attributes as one line of text, so that rows can say what they expect.

use std::fmt::Write as _;

use bgp::wire::{Frames, MessageKind, Notification, RouteRefresh};
use bgp::{Attrs, Origin, PathId, Prefix, RouteEvent};

/// The octets of a string of hexadecimal digits; blanks are for people.
pub(crate) fn octets(hex: &str) -> Vec<u8> {
    let digits: Vec<u32> = hex.chars().filter_map(|digit| digit.to_digit(16)).collect();
    assert_eq!(digits.len() % 2, 0, "{hex}");
    digits
        .chunks(2)
        .map(|pair| u8::try_from(pair[0] * 16 + pair[1]).expect("two digits"))
        .collect()
}

pub(crate) fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// `NOTIFICATION 2/1 0004`: code, subcode, data.
pub(crate) fn notification(notification: &Notification) -> String {
    let Notification {
        code,
        subcode,
        data,
    } = notification;
    format!("NOTIFICATION {code}/{subcode} {}", hex(data))
        .trim_end()
        .to_owned()
}

/// The messages of a stream that is all there.
pub(crate) fn messages(mut stream: &[u8]) -> String {
    let mut frames = Frames::default();
    let mut said = Vec::new();
    while let Some(frame) = frames.next(&mut stream) {
        let frame = frame.expect("we send valid headers");
        said.push(match frame.kind {
            MessageKind::Open => "OPEN".to_owned(),
            MessageKind::Update => "UPDATE".to_owned(),
            MessageKind::Keepalive => "KEEPALIVE".to_owned(),
            MessageKind::Notification => {
                notification(&Notification::decode(frame.body).expect("framed"))
            }
            MessageKind::RouteRefresh => {
                let refresh = RouteRefresh::decode(frame.body).expect("framed");
                format!("ROUTE-REFRESH {}/{}", refresh.afi, refresh.safi)
            }
        });
    }
    assert_eq!(frames.buffered(), 0, "we send whole messages");
    said.join(", ")
}

/// The UPDATEs of a stream but for those that end a table: attributes apart from each other, prefixes
/// behind them.
pub(crate) fn updates(mut stream: &[u8]) -> Vec<String> {
    let mut frames = Frames::default();
    let mut said = Vec::new();
    while let Some(frame) = frames.next(&mut stream) {
        let body = frame.expect("we send valid headers").body;
        let mut parts = Vec::new();
        let (withdrawn, rest) = cut(body);
        if !withdrawn.is_empty() {
            parts.push(format!("withdrawn {}", hex(withdrawn)));
        }
        let (mut attributes, nlri) = cut(rest);
        while let [flags, code, rest @ ..] = attributes {
            let (length, wide) = if flags & 0x10 == 0 {
                (usize::from(rest[0]), 1)
            } else {
                (usize::from(u16::from_be_bytes([rest[0], rest[1]])), 2)
            };
            let (value, after) = rest.split_at(wide + length);
            let (length, value) = value.split_at(wide);
            let shown = format!("{flags:02x} {code:02x} {} {}", hex(length), hex(value));
            parts.push(shown.trim_end().to_owned());
            attributes = after;
        }
        if !nlri.is_empty() {
            parts.push(format!("| {}", hex(nlri)));
        }
        let ends_table = parts.is_empty() || parts == ["80 0f 03 000201"];
        if !ends_table {
            said.push(parts.join(" ").trim_end().to_owned());
        }
    }
    said
}

/// What two octets say the length of, and the rest.
fn cut(bytes: &[u8]) -> (&[u8], &[u8]) {
    let (length, rest) = bytes.split_at(2);
    rest.split_at(usize::from(u16::from_be_bytes([length[0], length[1]])))
}

pub(crate) fn events(events: &[RouteEvent]) -> String {
    events.iter().map(event).collect::<Vec<_>>().join(", ")
}

fn event(event: &RouteEvent) -> String {
    match event {
        RouteEvent::Announce {
            attrs,
            prefixes,
            path_ids,
        } => format!(
            "announce {} {}",
            list(prefixes, path_ids),
            attributes(attrs)
        ),
        RouteEvent::Withdraw { prefixes, path_ids } => {
            format!("withdraw {}", list(prefixes, path_ids))
        }
        RouteEvent::EndOfRib(family) => format!("end of {family}"),
        RouteEvent::RefreshBegins(family) => format!("refresh of {family} begins"),
        RouteEvent::RefreshEnds(family) => format!("refresh of {family} ends"),
    }
}

/// Path identifiers behind `#`, where there are any.
fn list(prefixes: &[Prefix], path_ids: &[PathId]) -> String {
    let prefix = |(place, prefix): (usize, &Prefix)| match path_ids.get(place) {
        Some(id) => format!("{prefix}#{}", id.0),
        None => prefix.to_string(),
    };
    prefixes
        .iter()
        .enumerate()
        .map(prefix)
        .collect::<Vec<_>>()
        .join(" ")
}

/// Everything but what a path of our own has as well.
pub(crate) fn attributes(attrs: &Attrs) -> String {
    let mut text = match attrs.nexthop {
        Some(nexthop) => format!("via {nexthop}"),
        None => "via self".to_owned(),
    };
    let mut add = |name: &str, value: String| {
        write!(text, " {name} {value}").expect("a string takes everything");
    };
    if !attrs.as_path.segments.is_empty() {
        add("path", attrs.as_path.to_string());
    }
    if attrs.origin != Origin::Igp {
        add("origin", attrs.origin.to_string());
    }
    if let Some(med) = attrs.med {
        add("med", med.to_string());
    }
    if let Some(preference) = attrs.local_pref {
        add("pref", preference.to_string());
    }
    if attrs.atomic_aggregate {
        add("atomic", "aggregate".to_owned());
    }
    if let Some(aggregator) = attrs.aggregator {
        add(
            "aggregator",
            format!("{} {}", aggregator.asn, aggregator.router_id),
        );
    }
    for community in &attrs.communities {
        add("community", community.to_string());
    }
    for community in &attrs.large_communities {
        add("large-community", community.to_string());
    }
    for community in &attrs.ext_communities {
        add("ext-community", format!("{:016x}", community.0));
    }
    if let Some(reflection) = &attrs.reflection {
        if let Some(originator) = reflection.originator_id {
            add("originator", originator.to_string());
        }
        for cluster in &reflection.cluster_list {
            add("cluster", cluster.to_string());
        }
    }
    if let Some(asn) = attrs.only_to_customer {
        add("only-to-customer", asn.to_string());
    }
    for raw in attrs.unknown.iter().flat_map(|unknown| unknown.iter()) {
        add(
            "unknown",
            format!("{:02x}{:02x}:{}", raw.flags, raw.code, hex(&raw.value)),
        );
    }
    text
}
