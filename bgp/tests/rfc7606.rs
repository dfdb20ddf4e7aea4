//! RFC 7606 as a table: one row per fault, what it is found to be, and what becomes of the prefix.

use bgp::wire::{Dialect, Notification, Severity, decode_update};
use bgp::{Asn, Family, RouteEvent};

const ORIGIN: &str = "40 01 01 00";
const AS_PATH: &str = "40 02 06 02 01 0000fdea";
const NEXT_HOP: &str = "40 03 04 c0000201";
const NLRI: &str = "18 cb0071";
/// 2001:db8::/32 with nexthop 2001:db8::1.
const MP_REACH: &str = "80 0e 1a 0002 01 10 20010db8000000000000000000000001 00 20 20010db8";
const MP_UNREACH: &str = "80 0f 08 0002 01 20 20010db8";

/// What must become of the prefixes of a row.
#[derive(Debug, PartialEq, Clone, Copy)]
enum Outcome {
    Announced,
    Withdrawn,
    Nothing,
    /// NOTIFICATION 3 with this subcode.
    Reset(u8),
}
use Outcome::{Announced, Nothing, Reset, Withdrawn};
use Severity::{AttributeDiscard as Ad, SessionReset as Sr, TreatAsWithdraw as Taw};

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u32> = hex.chars().filter_map(|digit| digit.to_digit(16)).collect();
    assert_eq!(digits.len() % 2, 0, "{hex}");
    digits
        .chunks(2)
        .map(|pair| u8::try_from(pair[0] * 16 + pair[1]).expect("two digits"))
        .collect()
}

fn update(attributes: &str, nlri: &str) -> Vec<u8> {
    let attributes = bytes(attributes);
    let mut body = vec![0, 0];
    body.extend(
        u16::try_from(attributes.len())
            .expect("short")
            .to_be_bytes(),
    );
    body.extend(attributes);
    body.extend(bytes(nlri));
    body
}

fn external() -> Dialect {
    Dialect::new(Asn(65001), Asn(65002))
}

type Judged = (
    Outcome,
    Option<Severity>,
    Result<Vec<RouteEvent>, Notification>,
);

fn judge(body: &[u8], dialect: &Dialect) -> Judged {
    let (mut events, mut faults) = (Vec::new(), Vec::new());
    let result = decode_update(body, dialect, &mut events, &mut faults);
    let worst = faults.iter().map(|fault| fault.severity).max();
    let outcome = match (&result, events.as_slice()) {
        (Err(notification), _) => {
            assert_eq!(notification.code, 3);
            Reset(notification.subcode)
        }
        (Ok(()), [RouteEvent::Announce { .. }, ..]) => Announced,
        (Ok(()), [RouteEvent::Withdraw { .. }, ..]) => Withdrawn,
        (Ok(()), _) => Nothing,
    };
    (outcome, worst, result.map(|()| events))
}

#[test]
fn every_fault_is_judged_as_rfc_7606_says() {
    let rest = |without: &str| -> String {
        [ORIGIN, AS_PATH, NEXT_HOP]
            .into_iter()
            .filter(|attribute| *attribute != without)
            .collect::<Vec<_>>()
            .join(" ")
    };
    let with = |extra: &str| format!("{} {extra}", rest(""));
    let instead = |of: &str, new: &str| format!("{new} {}", rest(of));
    #[rustfmt::skip]
    let rows: Vec<(&str, String, &str, Option<Severity>, Outcome)> = vec![
        ("no fault", with(""), NLRI, None, Announced),
        ("§7.1 ORIGIN length 2", instead(ORIGIN, "40 01 02 0000"), NLRI, Some(Taw), Withdrawn),
        ("§7.1 ORIGIN length 0", instead(ORIGIN, "40 01 00"), NLRI, Some(Taw), Withdrawn),
        ("§7.1 ORIGIN value 3", instead(ORIGIN, "40 01 01 03"), NLRI, Some(Taw), Withdrawn),
        ("§7.2 AS_PATH segment overruns", instead(AS_PATH, "40 02 06 02 02 0000fdea"), NLRI, Some(Taw), Withdrawn),
        ("§7.2 AS_PATH segment header cut", instead(AS_PATH, "40 02 07 02 01 0000fdea 02"), NLRI, Some(Taw), Withdrawn),
        ("§7.2 AS_PATH unknown segment", instead(AS_PATH, "40 02 06 05 01 0000fdea"), NLRI, Some(Taw), Withdrawn),
        ("§7.2 AS_PATH empty segment", instead(AS_PATH, "40 02 08 02 01 0000fdea 02 00"), NLRI, Some(Taw), Withdrawn),
        ("RFC 5065 §5 confederation segment", instead(AS_PATH, "40 02 06 03 01 0000fdea"), NLRI, Some(Taw), Withdrawn),
        ("RFC 4271 §6.3 first AS is another", instead(AS_PATH, "40 02 06 02 01 0000fdeb"), NLRI, Some(Taw), Withdrawn),
        ("RFC 4271 §6.3 empty path", instead(AS_PATH, "40 02 00"), NLRI, Some(Taw), Withdrawn),
        ("§7.3 NEXT_HOP length 5", instead(NEXT_HOP, "40 03 05 c000020100"), NLRI, Some(Taw), Withdrawn),
        ("NEXT_HOP 0.0.0.0", instead(NEXT_HOP, "40 03 04 00000000"), NLRI, Some(Taw), Withdrawn),
        ("NEXT_HOP 127.0.0.1", instead(NEXT_HOP, "40 03 04 7f000001"), NLRI, Some(Taw), Withdrawn),
        ("NEXT_HOP multicast", instead(NEXT_HOP, "40 03 04 e0000001"), NLRI, Some(Taw), Withdrawn),
        ("NEXT_HOP class E", instead(NEXT_HOP, "40 03 04 f0000001"), NLRI, Some(Taw), Withdrawn),
        ("§7.4 MED length 3", with("80 04 03 000001"), NLRI, Some(Taw), Withdrawn),
        ("§7.5 LOCAL_PREF from an external peer", with("40 05 04 00000064"), NLRI, Some(Ad), Announced),
        ("§7.6 ATOMIC_AGGREGATE length 1", with("40 06 01 00"), NLRI, Some(Ad), Announced),
        ("§7.7 AGGREGATOR length 7", with("c0 07 07 00000000000000"), NLRI, Some(Ad), Announced),
        ("§7.7 AGGREGATOR length 6 from a 4-octet peer", with("c0 07 06 000000000000"), NLRI, Some(Ad), Announced),
        ("§7.8 COMMUNITIES length 6", with("c0 08 06 000000000000"), NLRI, Some(Taw), Withdrawn),
        ("§7.8 COMMUNITIES length 0", with("c0 08 00"), NLRI, Some(Taw), Withdrawn),
        ("RFC 8092 §5 LARGE_COMMUNITY length 13", with("c0 20 0d 00000000000000000000000000"), NLRI, Some(Taw), Withdrawn),
        ("RFC 8092 §5 LARGE_COMMUNITY length 0", with("c0 20 00"), NLRI, Some(Taw), Withdrawn),
        ("RFC 6793 §4.1 AS4_PATH from a 4-octet peer", with("c0 11 06 02 01 0000fdea"), NLRI, Some(Ad), Announced),
        ("§3 c ORIGIN marked optional", instead(ORIGIN, "c0 01 01 00"), NLRI, Some(Taw), Withdrawn),
        ("§3 c COMMUNITIES marked well-known", with("40 08 04 00000001"), NLRI, Some(Taw), Withdrawn),
        ("§3 c MED marked transitive", with("c0 04 04 00000001"), NLRI, Some(Taw), Withdrawn),
        ("§3 d ORIGIN missing", rest(ORIGIN), NLRI, Some(Taw), Withdrawn),
        ("§3 d AS_PATH missing", rest(AS_PATH), NLRI, Some(Taw), Withdrawn),
        ("§3 d NEXT_HOP missing", rest(NEXT_HOP), NLRI, Some(Taw), Withdrawn),
        ("NEXT_HOP not needed for MP_REACH", format!("{} {MP_REACH}", rest(NEXT_HOP)), "", None, Announced),
        ("§3 g MED twice", with("80 04 04 00000001 80 04 04 00000002"), NLRI, Some(Ad), Announced),
        ("§3 g MP_REACH twice", with(&format!("{MP_REACH} {MP_REACH}")), "", Some(Sr), Reset(1)),
        ("§3 g MP_UNREACH twice", format!("{MP_UNREACH} {MP_UNREACH}"), "", Some(Sr), Reset(1)),
        ("§3 h the strongest counts", with("40 06 01 00 80 04 03 000001"), NLRI, Some(Taw), Withdrawn),
        ("§4 last attribute overruns", with("80 04 09 00000001"), NLRI, Some(Taw), Withdrawn),
        ("§4 one octet left over", with("80"), NLRI, Some(Taw), Withdrawn),
        ("§4 extended length cut", with("90 04 00"), NLRI, Some(Taw), Withdrawn),
        ("§5.2 a fault and no prefix", with("80 04 03 000001"), "", Some(Sr), Reset(1)),
        ("§5.2 discard and no prefix", with("40 06 01 00"), "", Some(Ad), Nothing),
        ("§5.3 NLRI length 33", with(""), "21 cb00710000", Some(Sr), Reset(10)),
        ("§5.3 NLRI cut", with(""), "18 cb00", Some(Sr), Reset(10)),
        ("§5.3 MP_REACH length 129", with("80 0e 16 0002 01 10 20010db8000000000000000000000001 00 81"), "", Some(Sr), Reset(10)),
        ("§5.3 MP_UNREACH length 129", "80 0f 04 0002 01 81".into(), "", Some(Sr), Reset(10)),
        ("§7.11 MP_REACH nexthop length 15", with("80 0e 14 0002 01 0f 20010db80000000000000000000000 00"), "", Some(Sr), Reset(9)),
        ("§7.11 MP_REACH cut", with("80 0e 02 0002"), "", Some(Sr), Reset(9)),
        ("MP_REACH nexthop ::", with("80 0e 1a 0002 01 10 00000000000000000000000000000000 00 20 20010db8"), "", Some(Taw), Withdrawn),
        ("MP_REACH with wrong flags", with(&MP_REACH.replacen("80", "c0", 1)), "", Some(Taw), Withdrawn),
        ("RFC 4760 §6 family not agreed on", with("80 0f 03 0019 46"), NLRI, Some(Ad), Announced),
        ("RFC 4271 §6.3 unknown well-known", with("40 63 01 00"), NLRI, Some(Sr), Reset(2)),
        ("unknown optional transitive", with("c0 63 01 00"), NLRI, None, Announced),
        ("unknown optional non-transitive", with("80 63 01 00"), NLRI, None, Announced),
        ("IPv6 withdrawn", MP_UNREACH.into(), "", None, Withdrawn),
    ];
    for (name, attributes, nlri, severity, outcome) in rows {
        let (got, worst, result) = judge(&update(&attributes, nlri), &external());
        assert_eq!((got, worst), (outcome, severity), "{name}: {result:?}");
    }
}

#[test]
fn lengths_that_do_not_add_up_reset_the_session() {
    for body in ["0005 0000", "0000 0005 40", "0000", ""] {
        let (outcome, worst, _) = judge(&bytes(body), &external());
        assert_eq!((outcome, worst), (Reset(1), Some(Sr)), "{body}");
    }
}

#[test]
fn withdrawn_prefixes_survive_faults_of_the_attributes() {
    let mut body = bytes("0003 10 0a01");
    body.extend(&update(&[ORIGIN, AS_PATH, "40 03 01 00"].join(" "), NLRI)[2..]);
    let (_, _, events) = judge(&body, &external());
    let events = events.expect("no reset");
    let [RouteEvent::Withdraw { prefixes, .. }] = events.as_slice() else {
        unreachable!("{events:?}");
    };
    let names: Vec<String> = prefixes.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["10.1.0.0/16", "203.0.113.0/24"]);
}

#[test]
fn only_the_transitive_of_the_unknown_is_kept_and_marked_partial() {
    let attributes = [
        ORIGIN,
        AS_PATH,
        NEXT_HOP,
        "c0 64 01 02",
        "80 63 01 00",
        "c0 21 00",
    ]
    .join(" ");
    let (_, _, events) = judge(&update(&attributes, NLRI), &external());
    let events = events.expect("valid");
    let [RouteEvent::Announce { attrs, .. }] = events.as_slice() else {
        unreachable!("{events:?}");
    };
    let kept: Vec<(u8, u8)> = attrs
        .unknown
        .iter()
        .flat_map(|unknown| unknown.iter())
        .map(|raw| (raw.code, raw.flags))
        .collect();
    assert_eq!(kept, [(0x21, 0xe0), (0x64, 0xe0)]);
}

#[test]
fn local_pref_counts_from_an_internal_peer() {
    let internal = Dialect {
        peer_asn: Asn(65001),
        ..external()
    };
    let preference = |value: &str| {
        let attributes = [ORIGIN, "40 02 00", NEXT_HOP, value].join(" ");
        judge(&update(&attributes, NLRI), &internal)
    };
    let (_, _, events) = preference("40 05 04 000000c8");
    let events = events.expect("valid");
    assert!(
        matches!(&events[..], [RouteEvent::Announce { attrs, .. }] if attrs.local_pref == Some(200))
    );
    let (outcome, worst, _) = preference("40 05 03 000000");
    assert_eq!((outcome, worst), (Withdrawn, Some(Taw)));
}

#[test]
fn end_of_rib_is_told_per_family() {
    let marker = |body: &str| judge(&bytes(body), &external()).2;
    let v4 = vec![RouteEvent::EndOfRib(Family::Ipv4Unicast)];
    let v6 = vec![RouteEvent::EndOfRib(Family::Ipv6Unicast)];
    assert_eq!(marker("0000 0000"), Ok(v4));
    assert_eq!(marker("0000 0006 80 0f 03 0002 01"), Ok(v6));
}

#[test]
fn paths_through_old_speakers_get_their_numbers_back() {
    let old = Dialect {
        four_octet_asn: false,
        ..external()
    };
    let path = |extra: &str| {
        // AS_PATH 65002 23456 23456.
        let old_path = "40 02 08 02 03 fdea 5ba0 5ba0";
        let attributes = [ORIGIN, old_path, NEXT_HOP, extra].join(" ");
        let events = judge(&update(&attributes, NLRI), &old).2.expect("valid");
        let Some(RouteEvent::Announce { attrs, .. }) = events.first() else {
            unreachable!("{events:?}");
        };
        (attrs.as_path.to_string(), attrs.aggregator.map(|by| by.asn))
    };
    let as4_path = "c0 11 0a 02 02 00011170 00013880";
    let merged = "65002 70000 80000".to_owned();
    assert_eq!(path(as4_path), (merged.clone(), None));
    let trans = "c0 07 06 5ba0 0a000001 c0 12 08 00011170 0a000001";
    assert_eq!(
        path(&format!("{as4_path} {trans}")),
        (merged, Some(Asn(70000)))
    );
    // An old speaker aggregated: both AS4 attributes are out of date (RFC 6793 §4.2.3).
    let aggregated = "c0 07 06 fdea 0a000001 c0 12 08 00011170 0a000001";
    assert_eq!(
        path(&format!("{as4_path} {aggregated}")),
        ("65002 23456 23456".to_owned(), Some(Asn(65002)))
    );
}
