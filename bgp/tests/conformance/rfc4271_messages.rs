//! RFC 4271 §4.1, §4.2, §6.1, §6.2, §6.4: headers and OPENs.

use bgp::session::State::{Established, Idle, OpenConfirm, OpenSent};

use crate::row::{Row, row};
use crate::session::{at, capabilities, keepalive, message, open, usual_open};

#[rustfmt::skip]
pub(crate) fn rows() -> Vec<Row> {
    let ends = |notification: &str| format!("hang up, down, NOTIFICATION {notification}");
    let mut rows = Vec::new();
    for (state, place) in [(OpenSent, "open-sent"), (OpenConfirm, "open-confirm"), (Established, "established")] {
        let mut marker = keepalive();
        marker.replace_range(6..8, "fe");
        let header = |length: &str, kind: &str| format!("{}{length}{kind}", "ff".repeat(16));
        for (name, rule, hex, notification) in [
            ("marker", "The marker is all ones.", marker, "1/1"),
            ("too-short", "A message has at least its header; the data says which length was wrong.", header("0012", "04"), "1/2 0012"),
            ("too-long", "No message is longer than 4096 octets.", header("1001", "02"), "1/2 1001"),
            ("short-open", "An OPEN has at least 29 octets.", header("001c", "01"), "1/2 001c"),
            ("short-update", "An UPDATE has at least 23.", header("0016", "02"), "1/2 0016"),
            ("short-notification", "A NOTIFICATION has at least 21.", header("0014", "03"), "1/2 0014"),
            ("long-keepalive", "A KEEPALIVE has exactly 19.", header("0014", "04"), "1/2 0014"),
            ("type", "A message has a known type; the data says which was not.", header("0013", "09"), "1/3 09"),
        ] {
            let name: &'static str = Box::leak(format!("{name}-{place}").into_boxed_str());
            rows.push(row("4271 §6.1", name, rule, at(state).hears("a header", &hex).becomes(Idle, &ends(notification))));
        }
    }
    let opened = |what: &'static str, hex: &str| at(OpenSent).hears(what, hex);
    let refused = |name, rule, what, hex: &str, notification: &str| {
        row("4271 §6.2", name, rule, opened(what, hex).becomes(Idle, &ends(notification)))
    };
    rows.extend([
        refused("version", "We speak version 4; the data says so.", "OPEN of version 3", &message(1, "03 fdea 001e 0a000002 00"), "2/1 0004"),
        refused("asn", "The AS is the one configured.", "OPEN of AS 65099", &message(1, "04 fe4b 001e 0a000002 00"), "2/2 fe4b"),
        refused("hold-time-1", "A hold time is not 1", "OPEN with hold time 1", &message(1, "04 fdea 0001 0a000002 00"), "2/6"),
        refused("hold-time-2", "nor 2 seconds.", "OPEN with hold time 2", &message(1, "04 fdea 0002 0a000002 00"), "2/6"),
        refused("identifier", "An identifier is not 0.", "OPEN with identifier 0.0.0.0", &message(1, "04 fdea 001e 00000000 00"), "2/3"),
        refused("parameter", "An optional parameter is one that we know.", "OPEN with parameter 9", &open("03 09 01 00"), "2/4"),
        refused("parameters-length", "The parameters fill the message.", "OPEN with a length too long", &open("05 02 01"), "2/0"),
        refused("parameter-length", "A parameter ends within them.", "OPEN with a parameter too long", &open("03 02 09 00"), "2/0"),
        row("4271 §4.2", "hold-time-0", "Without a hold time there are no timers.", opened("OPEN with hold time 0", &message(1, "04 fdea 0000 0a000002 00")).becomes(OpenConfirm, "KEEPALIVE")),
        row("4271 §4.2", "plain", "An OPEN without parameters will do.", opened("OPEN", &open("00")).becomes(OpenConfirm, "KEEPALIVE")),
        row("4271 §4.1", "pieces", "Part of a message is waited for.", opened("half an OPEN", &usual_open()[..60]).becomes(OpenSent, "")),
        row("4271 §6.4", "notification", "A NOTIFICATION is not answered.", at(Established).hears("NOTIFICATION 3/1", &message(3, "03 01")).becomes(Idle, "hang up, down")),
        row("4271 §6.5", "hold", "A peer that is silent for the hold time is given up.", at(Established).given("nothing for 30 s", crate::session::Event::Silence).becomes(Idle, &ends("4/0"))),
        row("5492 §4", "capabilities", "Capabilities come in one parameter or in several.", opened("OPEN with two parameters", &open("0c 02 02 02 00 02 06 41 04 0000fdea")).becomes(OpenConfirm, "KEEPALIVE")),
        row("5492 §4", "unknown", "One that we do not know is ignored.", opened("OPEN with capability 200", &open(&capabilities("c8 03 010203"))).becomes(OpenConfirm, "KEEPALIVE")),
        row("5492 §4", "overrun", "A capability ends within its parameter.", opened("OPEN with a capability too long", &open("04 02 02 02 05")).becomes(Idle, &ends("2/0"))),
        row("5492 §5", "no-common-family", "Without a family in common the data lists ours.", opened("OPEN with L2VPN only", &open(&capabilities("01 04 0019 00 46"))).becomes(Idle, &ends("2/7 010400010001010400020001"))),
        row("4760 §8", "implicit", "A peer that names no family speaks IPv4 unicast.", opened("OPEN without families", &open(&capabilities("02 00"))).becomes(OpenConfirm, "KEEPALIVE")),
        row("6286 §2.1", "same-identifier-external", "An external peer may have our identifier.", opened("OPEN with identifier 10.0.0.1", &message(1, "04 fdea 001e 0a000001 00")).becomes(OpenConfirm, "KEEPALIVE")),
        row("6286 §2.2", "same-identifier-internal", "An internal one may not.", at(OpenSent).configured("peer in AS 65001: ", |config| config.peer_asn = config.local_asn).hears("OPEN with identifier 10.0.0.1", &message(1, "04 fde9 001e 0a000001 00")).becomes(Idle, &ends("2/3"))),
        row("6793 §4.1", "asn", "The 4-octet number in the capability is the one that counts.", at(OpenSent).configured("peer is AS 70000: ", |config| config.peer_asn = bgp::Asn(70000)).hears("OPEN of AS 23456 and 70000", &message(1, &format!("04 5ba0 001e 0a000002 {}", capabilities("41 04 00011170")))).becomes(OpenConfirm, "KEEPALIVE")),
        row("6793 §4.1", "asn-refused", "The data is the number that was refused.", opened("OPEN of AS 23456 and 70000", &message(1, &format!("04 5ba0 001e 0a000002 {}", capabilities("41 04 00011170")))).becomes(Idle, &ends("2/2 00011170"))),
        row("7607 §2", "open", "AS 0 is no peer.", opened("OPEN of AS 0", &message(1, "04 0000 001e 0a000002 00")).becomes(Idle, &ends("2/2 0000"))),
        row("7607 §2", "open-capability", "Not in the capability either.", opened("OPEN of AS 23456 and 0", &message(1, &format!("04 5ba0 001e 0a000002 {}", capabilities("41 04 00000000")))).becomes(Idle, &ends("2/2 0000"))),
        row("9072 §2", "extended", "Parameters may have lengths of two octets.", opened("OPEN in extended form", &open("ff ff 000b 02 0008 02 00 41 04 0000fdea")).becomes(OpenConfirm, "KEEPALIVE")),
        row("9072 §2", "any-first-length", "Any first length but 0 says so.", opened("OPEN in extended form with first length 1", &open("01 ff 000b 02 0008 02 00 41 04 0000fdea")).becomes(OpenConfirm, "KEEPALIVE")),
    ]);
    rows
}
