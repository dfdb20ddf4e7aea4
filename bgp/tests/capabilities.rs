//! Capabilities: what is offered, what is understood, and what both ends agree on.

mod single;

use bgp::session::{Conn, Output, SessionConfig, State};
use bgp::wire::{
    AddPathFamily, Capability, Direction, LongLivedFamily, MAX_EXTENDED_LEN, MAX_MESSAGE_LEN,
    NexthopEncoding, Notification, Open, RestartCapability, RestartFamily,
};
use bgp::{Asn, Family, FamilySet, RouteEvent};
use bytes::BytesMut;
use single::{Single, config, message, open};

fn only(family: Family) -> FamilySet {
    [family].into_iter().collect()
}

fn family(forwarding: bool) -> RestartFamily {
    RestartFamily {
        afi: 2,
        safi: 1,
        forwarding,
    }
}

fn every_capability() -> Vec<Capability> {
    let add_path = |afi, direction| AddPathFamily {
        afi,
        safi: 1,
        direction,
    };
    vec![
        Capability::Multiprotocol { afi: 1, safi: 1 },
        Capability::RouteRefresh,
        Capability::ExtendedNexthop(vec![NexthopEncoding {
            afi: 1,
            safi: 1,
            nexthop_afi: 2,
        }]),
        Capability::ExtendedMessage,
        Capability::Role(3),
        Capability::GracefulRestart(RestartCapability {
            restarting: true,
            notification: true,
            secs: 4095,
            families: vec![family(true), family(false)],
        }),
        Capability::FourOctetAsn(Asn(4_200_000_000)),
        Capability::AddPath(vec![
            add_path(1, Direction::Receive),
            add_path(2, Direction::Send),
            add_path(25, Direction::Both),
        ]),
        Capability::EnhancedRefresh,
        Capability::LongLivedRestart(vec![LongLivedFamily {
            family: family(true),
            secs: 0x00ff_fffe,
        }]),
        Capability::Fqdn {
            host: b"gw-1".to_vec(),
            domain: b"example.net".to_vec(),
        },
        Capability::Unknown {
            code: 200,
            value: vec![1, 2, 3],
        },
    ]
}

fn decoded(bytes: &[u8]) -> Result<Open, Notification> {
    Open::decode(&bytes[19..])
}

#[test]
fn every_capability_is_read_back_the_same() {
    let bytes = open(&every_capability());
    let all = decoded(&bytes).expect("valid").capabilities;
    assert_eq!(all[4..], every_capability());
}

#[test]
fn operators_read_capabilities_in_words() {
    let shown: Vec<String> = every_capability().iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [
            "family ipv4",
            "route refresh",
            "extended nexthop ipv4 over ipv6",
            "extended messages",
            "role customer",
            "graceful restart 4095 s, restarted, with notification ipv6 forwarding, ipv6",
            "4-octet AS 4200000000",
            "add-path ipv4 receive, ipv6 send, 25/1 both",
            "enhanced route refresh",
            "long-lived graceful restart ipv6 forwarding 16777214 s",
            "name gw-1.example.net",
            "capability 200 of 3 octets",
        ]
    );
    let hostile = Capability::Fqdn {
        host: b"gw\x1b[2J".to_vec(),
        domain: Vec::new(),
    };
    assert_eq!(hostile.to_string(), "name gw\\u{1b}[2J");
}

/// RFC 5492 §3 for the newer ones, RFC 7911 §4 for a direction that does not exist.
#[test]
fn a_value_that_makes_no_sense_makes_a_capability_unknown() {
    for (code, value) in [
        (5, &[0, 1, 0, 1, 0][..]),
        (6, &[0]),
        (9, &[]),
        (9, &[3, 3]),
        (64, &[0]),
        (64, &[0, 120, 0, 1, 1]),
        (69, &[0, 1, 1]),
        (69, &[0, 1, 1, 3, 0, 2, 1, 0]),
        (69, &[0, 1, 1, 4]),
        (70, &[1]),
        (71, &[0, 1, 1, 0, 0, 0]),
        (73, &[4, b'a', 0]),
    ] {
        let raw = Capability::Unknown {
            code,
            value: value.to_vec(),
        };
        let bytes = open(std::slice::from_ref(&raw));
        let open = decoded(&bytes).expect("the rest is valid");
        assert_eq!(open.capabilities.last(), Some(&raw), "{code} {value:?}");
    }
}

/// RFC 4271 §6.2 for those that every speaker knows.
#[test]
fn a_family_or_as_number_of_the_wrong_length_is_refused() {
    for (code, length) in [(1, 3), (1, 5), (2, 1), (65, 3), (65, 5)] {
        let value = vec![0; length];
        let bytes = open(&[Capability::Unknown { code, value }]);
        assert_eq!(decoded(&bytes), Err(Notification::open_error(0)), "{code}");
    }
}

/// With everything that can be offered.
fn generous() -> SessionConfig {
    SessionConfig {
        add_path_receive: FamilySet::ALL,
        add_path_send: FamilySet::ALL,
        extended_nexthop: only(Family::Ipv4Unicast),
        extended_messages: true,
        enhanced_refresh: true,
        ..config()
    }
}

fn what_we_say(config: SessionConfig) -> Vec<Capability> {
    let mut single = Single::new(config);
    single.connect(Conn::Inbound);
    let capabilities = decoded(&single.sent(Conn::Inbound))
        .expect("ours")
        .capabilities;
    assert_eq!(*single.session.status().offered, capabilities[..]);
    capabilities
}

#[test]
fn nothing_is_offered_that_was_not_asked_for() {
    let usual = [
        Capability::Multiprotocol { afi: 1, safi: 1 },
        Capability::Multiprotocol { afi: 2, safi: 1 },
        Capability::RouteRefresh,
        Capability::FourOctetAsn(Asn(65001)),
    ];
    assert_eq!(what_we_say(config()), usual);
}

#[test]
fn what_is_asked_for_is_offered_for_our_families_only() {
    let offer = what_we_say(SessionConfig {
        families: only(Family::Ipv4Unicast),
        ..generous()
    });
    let add_path = AddPathFamily {
        afi: 1,
        safi: 1,
        direction: Direction::Both,
    };
    assert!(offer.contains(&Capability::AddPath(vec![add_path])));
    assert!(offer.contains(&Capability::ExtendedMessage));
    assert!(offer.contains(&Capability::EnhancedRefresh));
}

#[test]
fn both_ends_have_to_want_a_capability() {
    let theirs = every_capability();
    let without = Single::established(config(), &theirs).negotiated();
    assert_eq!(without.dialect.add_path_send, FamilySet::EMPTY);
    assert_eq!(without.dialect.add_path_receive, FamilySet::EMPTY);
    assert_eq!(without.dialect.extended_nexthop, FamilySet::EMPTY);
    assert_eq!(without.dialect.max_message_len, MAX_MESSAGE_LEN);
    assert!(!without.enhanced_refresh && without.graceful_restart.is_none());

    let with = Single::established(generous(), &theirs[1..6]).negotiated();
    assert_eq!(with.dialect.add_path_send, FamilySet::EMPTY);
    assert_eq!(with.dialect.extended_nexthop, only(Family::Ipv4Unicast));
    assert_eq!(with.dialect.max_message_len, MAX_EXTENDED_LEN);

    let with = Single::established(generous(), &theirs[7..9]).negotiated();
    let v4 = only(Family::Ipv4Unicast);
    assert_eq!(with.dialect.add_path_send, v4, "they receive it");
    let v6 = only(Family::Ipv6Unicast);
    assert_eq!(with.dialect.add_path_receive, v6, "they send it");
    assert!(with.enhanced_refresh);
}

/// RFC 8950 §4: without an IPv4 address of our own, ours is the IPv6 one.
#[test]
fn our_ipv6_address_is_the_nexthop_of_ipv4_where_that_was_agreed_on() {
    let local = "2001:db8::1".parse().expect("valid");
    for (theirs, nexthop) in [(&every_capability()[2..3], Some(local)), (&[], None)] {
        let mut single = Single::new(generous());
        single.input(bgp::session::Input::Connected {
            conn: Conn::Inbound,
            local,
        });
        single.finish(Conn::Inbound, theirs);
        let nexthops = single.negotiated().nexthops;
        assert_eq!(nexthops, [nexthop, Some(local)]);
    }
}

/// An UPDATE that withdraws IPv4 prefixes in a message of this length.
fn long_update(length: usize) -> BytesMut {
    let withdrawn = length - 19 - 4;
    let mut body = u16::try_from(withdrawn)
        .expect("it fits")
        .to_be_bytes()
        .to_vec();
    // 0.0.0.0/0 takes one octet.
    body.resize(2 + withdrawn + 2, 0);
    message(2, &body)
}

/// RFC 8654 §3, §4: whoever has offered to read long messages reads them from anyone.
#[test]
fn long_messages_are_read_by_whoever_offered_to() {
    for (config, longest) in [(config(), 4096), (generous(), 65535)] {
        for theirs in [&[][..], &[Capability::ExtendedMessage]] {
            let mut single = Single::established(config.clone(), theirs);
            single.hear(Conn::Inbound, &long_update(longest));
            assert_eq!(single.state(), State::Established);
            if longest < 65535 {
                single.hear(Conn::Inbound, &long_update(longest + 1));
                assert_eq!(single.refusal(Conn::Inbound), Some((1, 2)));
            }
        }
    }
}

/// RFC 8654 §4.
#[test]
fn open_is_never_long_nor_is_what_comes_before_it() {
    for kind in [1, 2] {
        let mut single = Single::new(generous());
        single.connect(Conn::Inbound);
        single.sent(Conn::Inbound);
        single.hear(Conn::Inbound, &message(kind, &[0; 4097 - 19]));
        assert_eq!(single.refusal(Conn::Inbound), Some((1, 2)), "type {kind}");
    }
}

#[test]
fn a_marked_refresh_is_heard_in_order_with_the_routes() {
    let refresh = |subtype| message(5, &[0, 1, subtype, 1]);
    let mut stream = refresh(1);
    stream.extend_from_slice(&long_update(24));
    stream.extend_from_slice(&refresh(2));
    let routes = |single: &Single| -> Vec<RouteEvent> {
        let routes = single.outputs.iter().filter_map(|output| {
            if let Output::Routes(events) = output {
                Some(events.clone())
            } else {
                None
            }
        });
        routes.flatten().collect()
    };
    let withdrawn = RouteEvent::withdraw(vec!["0.0.0.0/0".parse().expect("valid")]);
    let mut plain = Single::established(config(), &[Capability::EnhancedRefresh]);
    plain.hear(Conn::Inbound, &stream);
    assert_eq!(routes(&plain), std::slice::from_ref(&withdrawn));
    let mut marked = Single::established(generous(), &[Capability::EnhancedRefresh]);
    marked.hear(Conn::Inbound, &stream);
    let family = Family::Ipv4Unicast;
    let all = [
        RouteEvent::RefreshBegins(family),
        withdrawn,
        RouteEvent::RefreshEnds(family),
    ];
    assert_eq!(routes(&marked), all);
}

#[test]
fn a_flood_of_refreshes_asks_for_each_family_once() {
    let mut stream = BytesMut::new();
    for _ in 0..1000 {
        stream.extend_from_slice(&message(5, &[0, 1, 0, 1]));
        stream.extend_from_slice(&message(5, &[0, 2, 0, 1]));
    }
    let mut single = Single::established(config(), &[]);
    single.hear(Conn::Inbound, &stream);
    assert_eq!(single.outputs, Family::ALL.map(Output::Refresh));
}

/// RFC 7313 §5; without that capability the framing judges it.
#[test]
fn a_refresh_of_the_wrong_length_has_an_error_of_its_own() {
    for body in [&[0, 1, 1][..], &[0, 1, 1, 1, 0]] {
        let bytes = message(5, body);
        let mut plain = Single::established(config(), &[Capability::EnhancedRefresh]);
        plain.hear(Conn::Inbound, &bytes);
        assert_eq!(plain.refusal(Conn::Inbound), Some((1, 2)));
        let mut marked = Single::established(generous(), &[Capability::EnhancedRefresh]);
        marked.hear(Conn::Inbound, &bytes);
        let told = marked.notification(Conn::Inbound);
        assert_eq!(told, Some(Notification::new(7, 1, &bytes)));
    }
}

#[test]
fn what_the_peer_offered_is_shown_even_if_it_was_refused() {
    let mut single = Single::new(SessionConfig {
        peer_asn: Asn(7),
        ..config()
    });
    single.connect(Conn::Inbound);
    single.hear(Conn::Inbound, &open(&every_capability()));
    assert_eq!(single.state(), State::Idle);
    let received = single.session.status().received;
    assert_eq!(received[4..], every_capability());
}
