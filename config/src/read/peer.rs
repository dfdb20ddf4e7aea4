//! `[peer.NAME]` and `bgp = { … }` of a link.

use std::net::IpAddr;
use std::time::Duration;

use toml::de::DeValue;

use crate::model::{Inside, Peer};
use crate::report::{Sink, Wrong};

use super::section::Section;
use super::{Draft, check_name, value};

const HOLD_TIME: Duration = Duration::from_secs(90);
const CONNECT_RETRY: Duration = Duration::from_secs(5);

/// What both forms of a peer have in common.
pub(crate) struct Session {
    port: u16,
    asn: Option<u32>,
    import: Option<String>,
    export: Option<String>,
    passive: bool,
    hold_time: Duration,
    connect_retry: Duration,
}

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
    let link = section.optional(sink, "link", value::text);
    if let Some(link) = &link {
        let place = sink.place(&format!("{}.link", section.path()));
        draft.link_uses.push((link.clone(), place));
    }
    let session = session(&mut section, sink, draft);
    section.finish(sink);
    session.into_peer(address, local_address, link)
}

/// The peer at the far end of a link.
pub(crate) fn of_link(session: Session, name: &str, inside: Inside) -> Option<Peer> {
    let Inside { local, remote } = inside;
    session.into_peer(Some(remote), Some(local.addr()), Some(name.to_owned()))
}

impl Session {
    fn into_peer(
        self,
        address: Option<IpAddr>,
        local_address: Option<IpAddr>,
        link: Option<String>,
    ) -> Option<Peer> {
        Some(Peer {
            link,
            address: address?,
            port: self.port,
            local_address,
            asn: self.asn?,
            import: self.import,
            export: self.export,
            passive: self.passive,
            hold_time: self.hold_time,
            connect_retry: self.connect_retry,
        })
    }
}

/// The keys that both forms share. `section` is finished by the caller.
pub(crate) fn session(
    section: &mut Section<'_>,
    sink: &mut Sink<'_>,
    draft: &mut Draft,
) -> Session {
    let retry = Duration::from_secs(1)..=Duration::from_secs(120);
    Session {
        asn: section.required(sink, "asn", "asn = 64512", value::asn),
        port: section.or(sink, "port", 179, |v| value::integer(v, 1..=u16::MAX)),
        import: filter_use(section, sink, draft, "import"),
        export: filter_use(section, sink, draft, "export"),
        passive: section.or(sink, "passive", false, value::boolean),
        hold_time: section.or(sink, "hold-time", HOLD_TIME, hold_time),
        connect_retry: section.or(sink, "connect-retry", CONNECT_RETRY, |v| {
            value::duration(v, retry)
        }),
    }
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
