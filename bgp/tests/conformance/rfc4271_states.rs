//! RFC 4271 §8.2.2: every event in every state, and RFC 6608.

use bgp::session::Cease::AdministrativeShutdown;
use bgp::session::Conn::{Inbound, Outbound};
use bgp::session::State::{Active, Connect, Established, Idle, OpenConfirm, OpenSent};

use crate::row::{Row, row};
use crate::session::Event::{Closed, Connected, Deadline, DialFailed, Silence, Start, Stop};
use crate::session::{Case, at, keepalive, message, usual_open};

#[rustfmt::skip]
pub(crate) fn rows() -> Vec<Row> {
    let state = |name, rule, case: Case| row("4271 §8.2.2", name, rule, case);
    let mut rows = vec![
        state("idle-start", "Started, it dials.", at(Idle).given("start", Start).becomes(Connect, "dial")),
        state("idle-start-passive", "Started to wait, it waits.", at(Idle).configured("passive: ", |config| config.mode = bgp::session::Mode::Passive).given("start", Start).becomes(Active, "")),
        state("idle-stop", "Stopping what is stopped does nothing.", at(Idle).given("stop", Stop(AdministrativeShutdown.into())).becomes(Idle, "")),
        state("idle-closed", "Nor do events of connections that are not there.", at(Idle).given("a connection closes", Closed).becomes(Idle, "")),
        state("idle-dial-failed", "Nor of dials.", at(Idle).given("the dial fails", DialFailed).becomes(Idle, "")),
        state("idle-bytes", "Nor bytes.", at(Idle).hears("OPEN", &usual_open()).becomes(Idle, "")),
        state("connect-start", "Starting what is started does nothing.", at(Connect).given("start", Start).becomes(Connect, "")),
        state("connect-stop", "Stopped, it gives up.", at(Connect).given("stop", Stop(AdministrativeShutdown.into())).becomes(Idle, "down")),
        state("connect-opened", "Connected, it says OPEN.", at(Connect).given("the dial succeeds", Connected(Outbound)).becomes(OpenSent, "OPEN")),
        state("connect-called", "So it does to a peer that was faster.", at(Connect).given("the peer dials", Connected(Inbound)).becomes(OpenSent, "OPEN")),
        state("connect-failed", "A dial that fails is tried again after a wait.", at(Connect).given("the dial fails", DialFailed).becomes(Idle, "down")),
        state("active-called", "Whoever waits says OPEN to who comes.", at(Active).given("the peer dials", Connected(Inbound)).becomes(OpenSent, "OPEN")),
        state("active-stop", "Stopped, it waits no longer.", at(Active).given("stop", Stop(AdministrativeShutdown.into())).becomes(Idle, "down")),
        state("active-start", "Starting what is started does nothing.", at(Active).given("start", Start).becomes(Active, "")),
        state("open-sent-open", "An OPEN is answered with a KEEPALIVE.", at(OpenSent).hears("OPEN", &usual_open()).becomes(OpenConfirm, "KEEPALIVE")),
        state("open-sent-hold", "A peer that does not say OPEN within 4 minutes is given up.", at(OpenSent).given("4 minutes pass", Deadline).becomes(Idle, "hang up, down, NOTIFICATION 4/0")),
        state("open-sent-called", "A second connection is spoken to as well.", at(OpenSent).given("the peer dials", Connected(Inbound)).becomes(OpenSent, "OPEN")),
        state("open-confirm-keepalive", "A KEEPALIVE makes the session.", at(OpenConfirm).hears("KEEPALIVE", &keepalive()).becomes(Established, "up")),
        state("open-confirm-timer", "KEEPALIVEs are sent from here on.", at(OpenConfirm).given("a third of the hold time passes", Deadline).becomes(OpenConfirm, "KEEPALIVE")),
        state("established-keepalive", "A KEEPALIVE keeps it.", at(Established).hears("KEEPALIVE", &keepalive()).becomes(Established, "")),
        state("established-timer", "They are sent before the hold time ends.", at(Established).given("a third of the hold time passes", Deadline).becomes(Established, "KEEPALIVE")),
        state("established-update", "An UPDATE brings routes.", at(Established).hears("UPDATE", &message(2, "0004 18 cb0071 0000")).becomes(Established, "withdraw 203.0.113.0/24")),
        state("established-update-error", "A fault that RFC 7606 does not soften ends it.", at(Established).hears("UPDATE", &message(2, "0005 0000")).becomes(Idle, "hang up, down, NOTIFICATION 3/1")),
        row("4271 §6.8", "established-called", "A connection that comes to an established session is refused.", at(Established).given("the peer dials", Connected(Inbound)).becomes(Established, "hang up, NOTIFICATION 6/7")),
        row("4486 §4", "rejected", "A connection that is not wanted is told so.", at(Idle).given("the peer dials", Connected(Inbound)).becomes(Idle, "hang up, NOTIFICATION 6/5")),
        row("2918 §4", "refresh", "A ROUTE-REFRESH is answered with the whole table.", at(Established).hears("ROUTE-REFRESH of IPv4", &message(5, "0001 00 01")).becomes(Established, "send ipv4 again")),
        row("2918 §4", "refresh-other", "One of a family that was not agreed on is ignored.", at(Established).hears("ROUTE-REFRESH of L2VPN", &message(5, "0019 00 46")).becomes(Established, "")),
    ];
    for (at_state, place, subcode) in [(OpenSent, "open-sent", 1), (OpenConfirm, "open-confirm", 2), (Established, "established", 3)] {
        let named = |name: &str| -> &'static str { Box::leak(format!("{place}-{name}").into_boxed_str()) };
        rows.push(state(named("stop"), "Stopped, it says why.", at(at_state).given("stop", Stop(AdministrativeShutdown.into())).becomes(Idle, "hang up, down, NOTIFICATION 6/2")));
        rows.push(state(named("closed"), "A connection that is lost ends the attempt.", at(at_state).given("the connection closes", Closed).becomes(Idle, "down")));
        rows.push(state(named("silence"), "A silent peer is given up.", at(at_state).given("nothing for long", Silence).becomes(Idle, "hang up, down, NOTIFICATION 4/0")));
        rows.push(state(named("notification"), "A NOTIFICATION ends the attempt.", at(at_state).hears("NOTIFICATION 6/4", &message(3, "06 04")).becomes(Idle, "hang up, down")));
        for (name, kind, hex) in [
            ("open", 1, usual_open()),
            ("update", 2, message(2, "0000 0000")),
            ("keepalive", 4, keepalive()),
            ("refresh", 5, message(5, "0001 00 01")),
        ] {
            // OPEN in OpenSent, KEEPALIVE in OpenConfirm, all but OPEN in Established.
            let is_expected = [(1, kind == 1), (2, kind == 4), (3, kind != 1)];
            if !is_expected.contains(&(subcode, true)) {
                let does = format!("hang up, down, NOTIFICATION 5/{subcode} {kind:02x}");
                let rule = "A message that does not belong here is an error of the state machine; the data is its type.";
                rows.push(row("6608 §3", named(name), rule, at(at_state).hears(name, &hex).becomes(Idle, &does)));
            }
        }
    }
    rows
}
