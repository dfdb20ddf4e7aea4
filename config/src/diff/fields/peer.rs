//! The fields of a peer.

use crate::model::{
    AddPath, Distance, Family, GracefulRestart, LimitAction, Limits, NexthopMode, Peer,
    PrefixLimit, PrivateAs, Range, Role,
};

use super::super::PeerPart;
use super::{Field, exact, field, or_none, source, watched_by};

pub(in super::super) fn peer(peer: &Peer) -> Vec<Field<PeerPart>> {
    let Peer {
        link,
        range,
        address,
        port,
        local_address,
        interface,
        asn,
        import,
        export,
        description,
        shutdown,
        families,
        passive,
        hold_time,
        send_hold_time,
        connect_retry,
        distance,
        bfd,
        md5,
        extended_messages,
        enhanced_refresh,
        extended_nexthop,
        add_path,
        add_path_limit,
        graceful_restart,
        role,
        role_strict,
        local_as,
        own_as_allowed,
        enforce_first_as,
        as_override,
        private_as,
        nexthop,
        reflector_client,
        prefix_limit,
        prefix_limit_out,
    } = peer;
    use PeerPart::{Live, Session};
    let spoken: Vec<&str> = families.iter().map(|family| family_word(*family)).collect();
    let mut fields = vec![
        field(Session, "link", or_none(link.as_ref())),
        field(Session, "range", or_none(range.as_ref())),
        field(Session, "address", address),
        field(Session, "port", port),
        field(Session, "local-address", or_none(*local_address)),
        field(Session, "interface", or_none(interface.as_ref())),
        field(Session, "asn", asn),
        field(Live, "import", or_none(import.as_ref())),
        field(Live, "export", or_none(export.as_ref())),
        field(Live, "description", or_none(description.as_ref())),
        field(
            Live,
            "shutdown",
            or_none(shutdown.as_deref().map(spell_shutdown)),
        ),
        field(Session, "families", format!("[{}]", spoken.join(", "))),
        field(Live, "passive", passive),
        field(Session, "hold-time", exact(*hold_time)),
        field(Live, "send-hold-time", or_none(send_hold_time.map(exact))),
        field(Live, "connect-retry", exact(*connect_retry)),
        field(Session, "ttl", spell_distance(*distance)),
        field(Session, "md5", or_none(md5.as_ref().map(source))),
        field(Session, "extended-messages", extended_messages),
        field(Session, "enhanced-refresh", enhanced_refresh),
        field(Session, "extended-nexthop", extended_nexthop),
        field(Session, "add-path", add_path_word(*add_path)),
        field(Live, "add-path-limit", add_path_limit),
    ];
    fields.extend(watched_by(Live, bfd.as_ref().map(|bfd| &bfd.bfd)));
    let hops = bfd.as_ref().map(|bfd| bfd.hops);
    fields.push(field(Live, "bfd.hops", or_none(hops)));
    let restart = graceful_restart.as_ref();
    fields.extend([
        field(
            Session,
            "graceful-restart",
            restart.map_or_else(|| "false".to_owned(), spell_restart),
        ),
        field(Session, "role", or_none(role.map(role_word))),
        field(Session, "role-strict", role_strict),
        field(
            Session,
            "local-as",
            or_none(local_as.map(|local| {
                let flag = |is, word| if is { word } else { "" };
                format!(
                    "{}{}{}",
                    local.asn,
                    flag(local.no_prepend, " no-prepend"),
                    flag(local.replace_as, " replace-as")
                )
            })),
        ),
        field(Live, "allowas-in", own_as_allowed),
        field(Session, "enforce-first-as", enforce_first_as),
        field(Live, "as-override", as_override),
        field(Live, "remove-private", private_word(*private_as)),
        field(Live, "nexthop", nexthop_word(*nexthop)),
        field(Live, "route-reflector-client", reflector_client),
        field(
            Live,
            "prefix-limit",
            or_none(prefix_limit.as_ref().map(spell_limit)),
        ),
        field(Live, "prefix-limit-out", spell_limits(*prefix_limit_out)),
    ]);
    fields
}

/// A range is what its peers have in common, and how many they may be.
pub(in super::super) fn range(range: &Range) -> Vec<Field<PeerPart>> {
    let Range {
        network,
        limit,
        peer: common,
    } = range;
    let mut fields = vec![
        field(PeerPart::Live, "range", network),
        field(PeerPart::Live, "limit", limit),
    ];
    let own = ["link", "range", "address", "passive"];
    fields.extend(
        peer(common)
            .into_iter()
            .filter(|field| !own.contains(&field.name)),
    );
    fields
}

fn spell_shutdown(text: &str) -> String {
    match text {
        "" => "true".to_owned(),
        text => format!("{text:?}"),
    }
}

fn family_word(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "ipv4",
        Family::Ipv6 => "ipv6",
    }
}

fn spell_distance(distance: Distance) -> String {
    match distance {
        Distance::Connected => "connected".to_owned(),
        Distance::Multihop(ttl) => format!("multihop {ttl}"),
        Distance::Secured(hops) => format!("security {hops}"),
    }
}

fn add_path_word(add_path: AddPath) -> &'static str {
    match add_path {
        AddPath::Both => "both",
        AddPath::Off => "off",
        AddPath::Receive => "receive",
        AddPath::Send => "send",
    }
}

fn spell_restart(restart: &GracefulRestart) -> String {
    let GracefulRestart { time, long_lived } = restart;
    if long_lived.is_zero() {
        return exact(*time);
    }
    format!("{} long-lived {}", exact(*time), exact(*long_lived))
}

fn role_word(role: Role) -> &'static str {
    match role {
        Role::Customer => "customer",
        Role::Peer => "peer",
        Role::Provider => "provider",
        Role::RouteServer => "route-server",
        Role::RouteServerClient => "route-server-client",
    }
}

fn private_word(private: PrivateAs) -> &'static str {
    match private {
        PrivateAs::Keep => "false",
        PrivateAs::Remove => "true",
        PrivateAs::Replace => "replace",
    }
}

fn nexthop_word(nexthop: NexthopMode) -> &'static str {
    match nexthop {
        NexthopMode::Ourselves => "self",
        NexthopMode::ThirdParty => "third-party",
        NexthopMode::Unchanged => "unchanged",
    }
}

fn spell_limits(limits: Limits) -> String {
    let Limits { ipv4, ipv6 } = limits;
    let part = |word: &str, max: Option<u32>| max.map(|max| format!("{word} {max}"));
    let parts: Vec<_> = [part("ipv4", ipv4), part("ipv6", ipv6)]
        .into_iter()
        .flatten()
        .collect();
    or_none((!parts.is_empty()).then(|| parts.join(" ")))
}

fn spell_limit(limit: &PrefixLimit) -> String {
    let PrefixLimit {
        max,
        warn_percent,
        action,
    } = limit;
    let action = match action {
        LimitAction::Discard => "discard".to_owned(),
        LimitAction::Restart(after) => format!("restart after {}", exact(*after)),
        LimitAction::Shutdown => "shutdown".to_owned(),
        LimitAction::Warn => "warn".to_owned(),
    };
    format!("{} warn {warn_percent}% {action}", spell_limits(*max))
}
