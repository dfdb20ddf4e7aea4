//! RFCs that add to sessions: capabilities and what follows from them.

use std::time::Duration;

use bgp::session::Cease::{AdministrativeReset, AdministrativeShutdown, BfdDown};
use bgp::session::State::{Established, Idle, OpenConfirm, OpenSent};
use bgp::session::{Farewell, GracefulRestart, SessionConfig, SessionRole};
use bgp::{FamilySet, Role};

use crate::row::{Row, row};
use crate::session::Event::{Closed, Connected, Silence, Stop};
use crate::session::{Case, at, capabilities, message, open};

/// Both families and 4-octet numbers, as everybody offers them.
const USUAL: &str = "01 04 0001 00 01 01 04 0002 00 01 41 04 0000fdea";

/// An OPEN with these capabilities as well.
fn with(more: &str) -> String {
    open(&capabilities(&format!("{USUAL} {more}")))
}

/// Restart time 120 s, forwarding kept for both families, flags as given.
fn restart(flags: &str) -> String {
    format!("40 0a {flags}078 000101 80 000201 80")
}

fn restarting(config: &mut SessionConfig) {
    config.graceful_restart = Some(GracefulRestart {
        restart_secs: 120,
        long_lived_secs: 3600,
        restarting: false,
        preserved: FamilySet::EMPTY,
    });
}

fn role(role: Role, strict: bool) -> impl Fn(&mut SessionConfig) {
    move |config| config.role = Some(SessionRole { role, strict })
}

fn ends(notification: &str) -> String {
    format!("hang up, down, NOTIFICATION {notification}")
}

#[rustfmt::skip]
pub(crate) fn rows() -> Vec<Row> {
    let graceful = |peer: &str| at(Established).configured("graceful restart: ", restarting).after(&with(peer));
    let lost = |case: Case| case.given("the connection closes", Closed);
    let kept = "down, keeps ipv4 120 s, keeps ipv6 120 s";
    let mut rows = vec![
        row("4724 §4.2", "lost", "Paths of a peer that is likely to restart are kept for its restart time.", lost(graceful(&restart("0"))).becomes(Idle, kept)),
        row("4724 §3", "not-offered", "Those of a peer that said nothing of it are not.", lost(graceful("")).becomes(Idle, "down")),
        row("4724 §3", "no-families", "Nor those of a family that it did not name.", lost(graceful("40 06 0078 000201 80")).becomes(Idle, "down, keeps ipv6 120 s")),
        row("4724 §3", "zero", "A restart time of 0 keeps nothing.", lost(graceful("40 06 0000 000101 80")).becomes(Idle, "down")),
        row("4724 §3", "last-counts", "Of two capabilities the last counts.", lost(graceful("40 06 0078 000101 80 40 06 0005 000101 80")).becomes(Idle, "down, keeps ipv4 5 s")),
        row("4724 §4", "notification", "A NOTIFICATION ends it for good where only a restart was agreed on.", graceful(&restart("0")).hears("NOTIFICATION 6/4", &message(3, "06 04")).becomes(Idle, "hang up, down")),
        row("4724 §4", "hold", "A peer that fell silent has not restarted: without RFC 8538 its paths go.", graceful(&restart("0")).given("nothing for long", Silence).becomes(Idle, &ends("4/0"))),
        row("8538 §4", "notification", "With the N flag of both a NOTIFICATION keeps paths.", graceful(&restart("4")).hears("NOTIFICATION 6/4", &message(3, "06 04")).becomes(Idle, &format!("hang up, {kept}"))),
        row("8538 §4", "hold", "So does the end of the hold time.", graceful(&restart("4")).given("nothing for long", Silence).becomes(Idle, &format!("hang up, {kept}, NOTIFICATION 4/0"))),
        row("8538 §3", "hard-reset", "A Hard Reset does not.", graceful(&restart("4")).hears("NOTIFICATION 6/9", &message(3, "06 09 06 02")).becomes(Idle, "hang up, down")),
        row("8538 §3.1", "shutdown", "Our own end for good is a Hard Reset with the reason in its data.", graceful(&restart("4")).given("shutdown", Stop(AdministrativeShutdown.into())).becomes(Idle, &ends("6/9 0602"))),
        row("8538 §3.1", "link", "So is a link that is dead.", graceful(&restart("4")).given("the link dies", Stop(BfdDown.into())).becomes(Idle, &ends("6/9 060a"))),
        row("8538 §4", "reset", "A reset that is over at once is not.", graceful(&restart("4")).given("reset", Stop(AdministrativeReset.into())).becomes(Idle, &format!("hang up, {kept}, NOTIFICATION 6/4"))),
        row("4724 §4.1", "our-restart", "Where any NOTIFICATION would drop our paths, a restart of ours is silent.", graceful(&restart("0")).given("restart", Stop(Farewell::restart())).becomes(Idle, "hang up, down")),
        row("9494 §4.2", "long-lived", "After the restart time paths are kept for longer as those of last resort.", lost(graceful(&format!("{} 47 07 000101 80 000e10", restart("0")))).becomes(Idle, "down, keeps ipv4 120 s and 3600 s, keeps ipv6 120 s")),
        row("9494 §3", "alone", "That means nothing without the capability of graceful restart.", lost(graceful("47 07 000101 80 000e10")).becomes(Idle, "down")),
        row("9003 §2", "text", "An end can be explained.", at(Established).given("shutdown, saying \"moved\"", Stop(Farewell::from(AdministrativeShutdown).saying("moved"))).becomes(Idle, &ends("6/2 056d6f766564"))),
        row("4486 §4", "prefixes", "Too many prefixes: the data says the family and the limit.", at(Established).given("101 prefixes", Stop(Farewell::maximum_prefixes(bgp::Family::Ipv4Unicast, 100))).becomes(Idle, &ends("6/1 00010100000064"))),
        row("9384 §3", "link", "A link that is dead has a subcode of its own.", at(Established).given("the link dies", Stop(BfdDown.into())).becomes(Idle, &ends("6/10"))),
        row("7313 §4", "begins", "The beginning of a refresh is heard.", at(Established).configured("enhanced refresh: ", |config| config.enhanced_refresh = true).after(&with("02 00 46 00")).hears("BoRR of IPv4", &message(5, "0001 01 01")).becomes(Established, "refresh of ipv4 begins")),
        row("7313 §4", "ends", "So is its end.", at(Established).configured("enhanced refresh: ", |config| config.enhanced_refresh = true).after(&with("02 00 46 00")).hears("EoRR of IPv4", &message(5, "0001 02 01")).becomes(Established, "refresh of ipv4 ends")),
        row("7313 §5", "subtype", "Unknown subtypes are ignored.", at(Established).configured("enhanced refresh: ", |config| config.enhanced_refresh = true).after(&with("02 00 46 00")).hears("subtype 9", &message(5, "0001 09 01")).becomes(Established, "")),
        row("7313 §5", "length", "A wrong length has an error of its own, with the message as data.", at(Established).configured("enhanced refresh: ", |config| config.enhanced_refresh = true).after(&with("02 00 46 00")).hears("BoRR with an octet more", &message(5, "0001 01 01 00")).becomes(Idle, &ends("7/1 ffffffffffffffffffffffffffffffff0018050001010100"))),
        row("7313 §3.2", "not-agreed", "Where it was not agreed on, marks mean nothing.", at(Established).hears("BoRR of IPv4", &message(5, "0001 01 01")).becomes(Established, "")),
        row("8654 §3", "offered", "What we offered to take we take.", at(Established).configured("extended messages: ", |config| config.extended_messages = true).after(&with("06 00")).hears("UPDATE of 4100 octets", &update(4100)).becomes(Established, "withdraw 0.0.0.0/0")),
        row("8654 §3", "one-sided", "Even from a peer that did not offer the same.", at(Established).configured("extended messages: ", |config| config.extended_messages = true).after(&with("")).hears("UPDATE of 4100 octets", &update(4100)).becomes(Established, "withdraw 0.0.0.0/0")),
        row("8654 §4", "keepalive", "A KEEPALIVE stays short.", at(Established).configured("extended messages: ", |config| config.extended_messages = true).after(&with("06 00")).hears("KEEPALIVE of 4100 octets", &message(4, &"00".repeat(4081))).becomes(Idle, &ends("1/2 1004"))),
        row("8654 §4", "not-offered", "What we did not offer we refuse.", at(Established).after(&with("06 00")).hears("UPDATE of 4100 octets", &update(4100)).becomes(Idle, &ends("1/2 1004"))),
        row("9687 §4", "blocked", "A peer that takes nothing of what we send is given up, even if it talks.", at(Established).configured("no hold time: ", |config| { config.hold_time_secs = 0; config.send_hold_time = Some(Duration::from_secs(60)); }).given("UPDATEs wait for a minute", crate::session::Event::Blocked).becomes(Idle, &ends("8/0"))),
        row("9234 §4.2", "missing-strict", "A peer without a role is refused where one is asked for.", at(OpenSent).configured("we are its provider, strictly: ", role(Role::Provider, true)).hears("OPEN without a role", &with("")).becomes(Idle, &ends("2/11"))),
        row("9234 §4.2", "missing", "Otherwise it is not.", at(OpenSent).configured("we are its provider: ", role(Role::Provider, false)).hears("OPEN without a role", &with("")).becomes(OpenConfirm, "KEEPALIVE")),
        row("9234 §4.2", "twice", "Two roles that differ are one too many.", at(OpenSent).configured("we are its provider: ", role(Role::Provider, false)).hears("OPEN of a customer and peer", &with("09 01 03 09 01 04")).becomes(Idle, &ends("2/11"))),
        row("9234 §4.2", "twice-same", "Two that are the same are one.", at(OpenSent).configured("we are its provider: ", role(Role::Provider, false)).hears("OPEN of a customer, said twice", &with("09 01 03 09 01 03")).becomes(OpenConfirm, "KEEPALIVE")),
        row("9234 §4", "internal", "Between internal peers roles mean nothing.", at(OpenSent).configured("internal, and its provider: ", |config| { config.peer_asn = config.local_asn; role(Role::Provider, true)(config); }).hears("OPEN without a role", &message(1, "04 fde9 001e 0a000002 00")).becomes(OpenConfirm, "KEEPALIVE")),
        row("4724 §4.2", "second-connection", "A peer that restarted dials anew: the old connection is dropped, and its paths are kept.", graceful(&restart("0")).given("the peer dials after a while", crate::session::Event::Later(Box::new(Connected(bgp::session::Conn::Inbound)))).becomes(OpenSent, &format!("hang up, {kept}, OPEN"))),
    ];
    for (ours, theirs, name, pair) in [
        (Role::Provider, "03", "provider-customer", true),
        (Role::Customer, "00", "customer-provider", true),
        (Role::Peer, "04", "peer-peer", true),
        (Role::RouteServer, "02", "server-client", true),
        (Role::RouteServerClient, "01", "client-server", true),
        (Role::Provider, "00", "provider-provider", false),
        (Role::Customer, "04", "customer-peer", false),
        (Role::Peer, "03", "peer-customer", false),
    ] {
        let case = at(OpenSent).configured(&format!("we are {ours:?}: "), role(ours, false));
        let case = case.hears("OPEN of a role", &with(&format!("09 01 {theirs}")));
        rows.push(if pair {
            row("9234 §4.2", name, "Roles that belong together are accepted.", case.becomes(OpenConfirm, "KEEPALIVE"))
        } else {
            row("9234 §4.2", name, "Others are refused.", case.becomes(Idle, &ends("2/11")))
        });
    }
    rows
}

/// An UPDATE that withdraws the default route and is as long as that, by an unknown attribute.
fn update(length: usize) -> String {
    let value = length - 19 - 2 - 1 - 2 - 4;
    message(
        2,
        &format!(
            "0001 00 {:04x} d0 63 {value:04x} {}",
            value + 4,
            "00".repeat(value)
        ),
    )
}
