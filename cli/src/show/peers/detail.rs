//! One peer, with everything that its engineer wants to know at three in the morning.

use api::v1;

use super::super::{Screen, Tone, WIDTH, clean, or_dash, words};
use crate::units::{age, count, local, seconds};

/// Where values begin.
const INDENT: usize = 18;

/// Lines with a name each; those that say nothing are left out.
struct Lines(String);

impl Lines {
    fn line(&mut self, name: &str, value: impl AsRef<str>) {
        let value = value.as_ref();
        if !value.is_empty() {
            let room = INDENT - 3;
            self.0.push_str(&format!("  {name:<room$} {value}\n"));
        }
    }

    /// A list, on as many lines as it needs.
    fn list(&mut self, name: &str, items: &[String]) {
        let mut line = String::new();
        let mut name = name;
        for (i, item) in items.iter().enumerate() {
            let end = if i + 1 == items.len() { "" } else { ", " };
            let item = format!("{}{end}", clean(item));
            if !line.is_empty() && INDENT + line.len() + item.trim_end().len() > WIDTH {
                self.line(name, line.trim_end());
                (name, line) = ("", String::new());
            }
            line.push_str(&item);
        }
        self.line(name, line);
    }
}

pub(super) fn detail(peer: &v1::Peer, screen: &Screen) -> String {
    let title = format!(
        "{}  {}  AS {}",
        clean(&peer.name),
        clean(&peer.address),
        peer.asn
    );
    let mut lines = Lines(format!("{}\n", screen.paint(Tone::Heading, &title)));
    session(peer, screen, &mut lines);
    transport(peer, &mut lines);
    agreement(peer, &mut lines);
    messages(peer, &mut lines);
    policy(peer, &mut lines);
    for family in &peer.families {
        prefixes(family, screen, &mut lines);
    }
    lines.0
}

fn session(peer: &v1::Peer, screen: &Screen, lines: &mut Lines) {
    let state = screen.paint(words::peer_tone(peer.state()), words::peer(peer.state()));
    let since = format!(
        "{} ({})",
        age(peer.since.as_ref(), screen.now),
        local(peer.since.as_ref(), &screen.zone)
    );
    lines.line("description", clean(&peer.description));
    lines.line("state", format!("{state} for {since}"));
    if !peer.held.is_empty() {
        lines.line("held", screen.paint(Tone::Odd, &clean(&peer.held)));
    }
    lines.line("last failure", clean(or_dash(&peer.last_session_end)));
    lines.line("last attempt", clean(&peer.last_attempt));
    lines.line("established", count(peer.established_count, "time"));
    if peer.send_blocked_since.is_some() {
        let blocked = age(peer.send_blocked_since.as_ref(), screen.now);
        let text = format!("it has taken nothing for {blocked}");
        lines.line("blocked", screen.paint(Tone::Odd, &text));
    }
}

fn transport(peer: &v1::Peer, lines: &mut Lines) {
    lines.line("link", clean(&peer.link));
    lines.line("profile", clean(&peer.profile));
    lines.line("range", clean(&peer.range));
    let Some(transport) = &peer.transport else {
        return;
    };
    let ends = match transport.connection_local.as_str() {
        "" => String::new(),
        ours => format!("{ours} to {}", transport.connection_remote),
    };
    lines.line("connection", clean(&ends));
    let calls = match (transport.passive, transport.remote.as_str()) {
        (true, _) | (false, "") => "we wait to be called".to_owned(),
        (false, remote) => format!("at {remote}"),
    };
    let through = match transport.interface.as_str() {
        "" => String::new(),
        interface => format!(", by {interface} only"),
    };
    lines.line("called", clean(&format!("{calls}{through}")));
    let least = match transport.min_ttl {
        0 => "any back".to_owned(),
        least => format!("at least {least} back (RFC 5082)"),
    };
    let signed = match &transport.tcp_ao {
        Some(_) => "signed (TCP-AO)",
        None if transport.md5 => "signed (TCP MD5)",
        None => "not signed",
    };
    lines.line(
        "packets",
        format!("TTL {} out, {least}; {signed}", transport.ttl),
    );
    if let Some(ao) = &transport.tcp_ao {
        lines.line("keys", clean(&keys(ao)));
        lines.line(
            "signatures",
            ao.connection.map(signatures).unwrap_or_default(),
        );
    }
}

fn keys(ao: &v1::PeerTcpAo) -> String {
    let keys = ao.keys.iter().map(|key| {
        let received = match key.receive_id == key.id {
            true => String::new(),
            false => format!(" (received as {})", key.receive_id),
        };
        format!("{}{received} {}", key.id, key.algorithm)
    });
    keys.collect::<Vec<_>>().join(", ")
}

fn signatures(connection: v1::peer_tcp_ao::Connection) -> String {
    let v1::peer_tcp_ao::Connection {
        current_id,
        next_receive_id,
        good,
        bad,
        unknown_key,
        unsigned,
    } = connection;
    format!(
        "we sign with key {current_id} and ask for {next_receive_id}; {good} good, {bad} bad, \
         {unknown_key} with an unknown key, {unsigned} without"
    )
}

fn agreement(peer: &v1::Peer, lines: &mut Lines) {
    let is_up = peer.state() == v1::peer::State::Established;
    let time = |time: Option<f64>| match time {
        Some(time) => format!("{time} s"),
        None if is_up => "none".to_owned(),
        None => "-".to_owned(),
    };
    lines.line("router id", clean(or_dash(&peer.router_id)));
    if peer.local_asn != 0 {
        lines.line("our AS", peer.local_asn.to_string());
    }
    lines.line("hold time", time(seconds(peer.hold_time.as_ref())));
    if let Some(send) = seconds(peer.send_hold_time.as_ref()) {
        lines.line("send hold time", format!("{send} s (RFC 9687)"));
    }
    let role = match (peer.role.as_str(), peer.peer_role.as_str()) {
        ("", "") => String::new(),
        (ours, theirs) => format!("we {}, it {} (RFC 9234)", or_dash(ours), or_dash(theirs)),
    };
    lines.line("roles", clean(&role));
    if let Some(capabilities) = &peer.capabilities {
        lines.list("we can", &capabilities.ours);
        lines.list("it can", &capabilities.theirs);
        lines.list("agreed", &capabilities.agreed);
    }
    if let Some(restart) = &peer.graceful_restart {
        lines.line("restart", graceful_restart(restart, is_up));
    }
}

/// What becomes of routes when the session ends.
fn graceful_restart(restart: &v1::PeerGracefulRestart, is_up: bool) -> String {
    let Some(ours) = seconds(restart.ours.as_ref()) else {
        return "off: routes go with the session".to_owned();
    };
    let kept = restart.kept.iter().map(|kept| {
        let time = seconds(kept.time.as_ref()).unwrap_or_default();
        let long = match seconds(kept.long_lived.as_ref()).unwrap_or_default() {
            0.0 => String::new(),
            long => format!(" and {long} s as last resort"),
        };
        format!("{} {time} s{long}", clean(&kept.family))
    });
    let kept = kept.collect::<Vec<_>>().join(", ");
    let kept = match (kept.as_str(), is_up) {
        ("", true) => "its routes go with the session".to_owned(),
        ("", false) => String::new(),
        (kept, _) => format!("its routes stay: {kept}"),
    };
    let flags = [
        (restart.peer_restarting, "it has restarted"),
        (restart.notification, "also after a NOTIFICATION"),
    ];
    let flags = flags
        .into_iter()
        .filter(|(is, _)| *is)
        .map(|(_, text)| text.to_owned());
    let asked = format!("we ask for {ours} s");
    let parts = std::iter::once(asked).chain([kept]).chain(flags);
    parts
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join("; ")
}

fn messages(peer: &v1::Peer, lines: &mut Lines) {
    let of = |counts: Option<&v1::MessageCounts>, sum: u64| {
        let Some(counts) = counts else {
            return sum.to_string();
        };
        let v1::MessageCounts {
            open,
            update,
            notification,
            keepalive,
            route_refresh,
        } = counts;
        format!(
            "{sum}: {update} update, {keepalive} keepalive, {open} open, {route_refresh} refresh, \
             {notification} notification"
        )
    };
    lines.line(
        "received",
        of(peer.received.as_ref(), peer.messages_received),
    );
    lines.line("sent", of(peer.sent.as_ref(), peer.messages_sent));
    if let Some(errors) = &peer.update_errors {
        let v1::UpdateErrors {
            prefix_discard,
            attribute_discard,
            treat_as_withdraw,
            session_reset,
        } = errors;
        let all = prefix_discard + attribute_discard + treat_as_withdraw + session_reset;
        let text = format!(
            "{prefix_discard} prefix ignored, {attribute_discard} attribute dropped, {treat_as_withdraw} withdrawn, \
             {session_reset} session reset"
        );
        lines.line("faults", if all == 0 { String::new() } else { text });
    }
    lines.line("last fault", clean(&peer.last_fault));
}

fn policy(peer: &v1::Peer, lines: &mut Lines) {
    let filter = |name: &str| match name {
        "" => "none: nothing passes (RFC 8212)".to_owned(),
        name => clean(name),
    };
    lines.line("import", filter(&peer.import_filter));
    lines.line("export", filter(&peer.export_filter));
    lines.line("tells", clean(&peer.way_back));
}

fn prefixes(family: &v1::PeerFamily, screen: &Screen, lines: &mut Lines) {
    let v1::PeerFamily {
        family,
        received,
        accepted,
        best,
        advertised,
        stale,
        discarded,
        receive_limit,
        warn_at,
        limit_action,
        send_limit,
        held_back,
        unsendable,
    } = family;
    let name = clean(family);
    let mut parts = vec![
        format!("{received} received"),
        format!("{accepted} accepted"),
        format!("{best} best"),
        format!("{advertised} sent"),
    ];
    let more = [
        (*stale, "stale"),
        (*discarded, "discarded"),
        (*held_back, "held back"),
        (*unsendable, "that cannot be sent"),
    ];
    let more = more.iter().filter(|(number, _)| *number > 0);
    parts.extend(more.map(|(number, what)| format!("{number} {what}")));
    lines.line(&name, parts.join(", "));
    if *receive_limit > 0 {
        let share = received.saturating_mul(100) / u64::from(*receive_limit);
        let tone = if *received >= u64::from(*warn_at) {
            Tone::Odd
        } else {
            Tone::Plain
        };
        let text = format!(
            "{received} of {receive_limit} received ({share} %), then {}",
            clean(limit_action)
        );
        lines.line(&format!("{name} limit"), screen.paint(tone, &text));
    }
    if *send_limit > 0 {
        let text = format!("{advertised} of {send_limit} sent, the rest is held back");
        lines.line(&format!("{name} limit out"), text);
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::tests::screen;
    use super::super::tests::peers;
    use super::*;

    #[test]
    fn a_peer_in_detail_says_that_a_missing_filter_lets_nothing_pass() {
        let expected = "\
wg-a  10.99.0.1  AS 65020
  state           established for 1h02m (2026-11-21T09:32:56+00:00)
  last failure    hold timer expired
  established     2 times
  link            wg-a
  profile         gcp-ha-vpn
  router id       10.20.0.4
  hold time       90 s
  received        70
  sent            71
  import          from-azure
  export          none: nothing passes (RFC 8212)
  tells           secondary (MED 100)
  ipv4            120 received, 100 accepted, 90 best, 2 sent
  ipv6            101 received, 100 accepted, 90 best, 2 sent
";
        let peers = peers();
        assert_eq!(
            peers.first().map(|peer| detail(peer, &screen())).as_deref(),
            Some(expected)
        );
    }

    fn whole() -> v1::Peer {
        let seconds = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
        let words = |list: &[&str]| list.iter().map(|word| (*word).to_owned()).collect();
        let mut peer = peers().remove(0);
        let capabilities = v1::PeerCapabilities {
            ours: words(&[
                "family ipv4",
                "family ipv6",
                "route refresh",
                "4-octet AS 65010",
            ]),
            theirs: (0..20).map(|n| format!("capability {n}")).collect(),
            agreed: words(&["family ipv4", "route refresh", "messages of 65535 octets"]),
        };
        let kept = v1::peer_graceful_restart::Kept {
            family: "ipv4".to_owned(),
            time: seconds(120),
            long_lived: seconds(3600),
        };
        peer.description = "a\u{1b}[2J".to_owned();
        peer.held = "it sent more than 10 ipv4 prefixes".to_owned();
        peer.local_asn = 65010;
        peer.capabilities = Some(capabilities);
        peer.transport = Some(v1::PeerTransport {
            remote: "10.99.0.1:179".to_owned(),
            connection_local: "10.99.0.0:41000".to_owned(),
            connection_remote: "10.99.0.1:179".to_owned(),
            interface: "sb-wg-a".to_owned(),
            ttl: 255,
            min_ttl: 254,
            md5: false,
            passive: false,
            tcp_ao: Some(v1::PeerTcpAo {
                keys: vec![
                    v1::peer_tcp_ao::Key {
                        id: 2,
                        receive_id: 3,
                        algorithm: "aes-128-cmac-96".to_owned(),
                    },
                    v1::peer_tcp_ao::Key {
                        id: 1,
                        receive_id: 1,
                        algorithm: "hmac-sha-1-96".to_owned(),
                    },
                ],
                connection: Some(v1::peer_tcp_ao::Connection {
                    current_id: 1,
                    next_receive_id: 3,
                    good: 120,
                    bad: 1,
                    unknown_key: 0,
                    unsigned: 2,
                }),
            }),
        });
        peer.graceful_restart = Some(v1::PeerGracefulRestart {
            ours: seconds(120),
            peer_restarting: true,
            notification: true,
            kept: vec![kept],
        });
        peer.received = Some(v1::MessageCounts {
            update: 60,
            ..v1::MessageCounts::default()
        });
        peer.update_errors = Some(v1::UpdateErrors {
            treat_as_withdraw: 3,
            ..v1::UpdateErrors::default()
        });
        peer.role = "customer".to_owned();
        if let Some(family) = peer.families.first_mut() {
            family.receive_limit = 150;
            family.warn_at = 120;
            family.limit_action = "restart".to_owned();
            family.send_limit = 10;
            family.held_back = 5;
        }
        peer
    }

    #[test]
    fn everything_that_is_known_of_a_peer_is_shown() {
        let shown = detail(&whole(), &screen());
        for line in [
            "  held            it sent more than 10 ipv4 prefixes\n",
            "  connection      10.99.0.0:41000 to 10.99.0.1:179\n",
            "  called          at 10.99.0.1:179, by sb-wg-a only\n",
            "  packets         TTL 255 out, at least 254 back (RFC 5082); signed (TCP-AO)\n",
            "  keys            2 (received as 3) aes-128-cmac-96, 1 hmac-sha-1-96\n",
            "  signatures      we sign with key 1 and ask for 3; 120 good, 1 bad, 0 with an unknown key, 2 without\n",
            "  our AS          65010\n",
            "  roles           we customer, it - (RFC 9234)\n",
            "  agreed          family ipv4, route refresh, messages of 65535 octets\n",
            "  restart         we ask for 120 s; its routes stay: ipv4 120 s and 3600 s as last resort; ",
            "  received        70: 60 update, 0 keepalive",
            "  faults          0 prefix ignored, 0 attribute dropped, 3 withdrawn, 0 session reset\n",
            "  ipv4 limit      120 of 150 received (80 %), then restart\n",
            "  ipv4 limit out  2 of 10 sent, the rest is held back\n",
            "2 sent, 5 held back\n",
        ] {
            assert!(shown.contains(line), "{line:?} is not in\n{shown}");
        }
        assert!(!shown.contains('\u{1b}'), "what a peer says is not obeyed");
    }

    #[test]
    fn long_lists_are_wrapped_below_their_name() {
        let shown = detail(&whole(), &screen());
        let widest = shown
            .lines()
            .filter(|line| line.contains("capability"))
            .map(|line| line.chars().count())
            .max();
        assert!(widest.is_some_and(|widest| widest <= WIDTH), "{shown}");
        assert!(shown.contains("\n                  capability"), "{shown}");
    }
}
