//! Roles (RFC 9234 §4).

mod single;

use bgp::session::{Conn, SessionConfig, SessionRole, State};
use bgp::wire::Capability;
use bgp::{Asn, Role};
use single::{Single, config, keepalive, open};

const ROLES: [Role; 5] = [
    Role::Provider,
    Role::RouteServer,
    Role::RouteServerClient,
    Role::Customer,
    Role::Peer,
];

fn with_role(role: Role, strict: bool) -> SessionConfig {
    SessionConfig {
        role: Some(SessionRole { role, strict }),
        ..config()
    }
}

/// What the peer said it is, or how it was refused.
fn meet(config: SessionConfig, theirs: &[Capability]) -> Result<Option<Role>, (u8, u8)> {
    let mut single = Single::new(config);
    single.connect(Conn::Inbound);
    single.hear(Conn::Inbound, &open(theirs));
    single.hear(Conn::Inbound, &keepalive());
    if single.state() == State::Established {
        return Ok(single.negotiated().peer_role);
    }
    Err(single.refusal(Conn::Inbound).expect("refused"))
}

#[test]
fn only_the_pairs_of_rfc_9234_meet() {
    use Role::{Customer, Peer, Provider, RouteServer, RouteServerClient};
    let pairs = [
        (Provider, Customer),
        (Customer, Provider),
        (RouteServer, RouteServerClient),
        (RouteServerClient, RouteServer),
        (Peer, Peer),
    ];
    for ours in ROLES {
        for theirs in ROLES {
            let met = meet(with_role(ours, false), &[Capability::Role(theirs as u8)]);
            let want = if pairs.contains(&(ours, theirs)) {
                Ok(Some(theirs))
            } else {
                Err((2, 11))
            };
            assert_eq!(met, want, "{ours} with {theirs}");
        }
        let unassigned = meet(with_role(ours, false), &[Capability::Role(5)]);
        assert_eq!(unassigned, Err((2, 11)), "{ours}");
    }
}

#[test]
fn a_peer_without_a_role_is_refused_only_where_that_is_strict() {
    assert_eq!(meet(with_role(Role::Peer, false), &[]), Ok(None));
    assert_eq!(meet(with_role(Role::Peer, true), &[]), Err((2, 11)));
    assert_eq!(
        meet(config(), &[Capability::Role(0)]),
        Ok(Some(Role::Provider))
    );
}

#[test]
fn saying_the_same_role_twice_is_fine_and_two_roles_are_not() {
    let (peer, customer) = (Capability::Role(4), Capability::Role(3));
    let ours = || with_role(Role::Peer, true);
    assert_eq!(
        meet(ours(), &[peer.clone(), peer.clone()]),
        Ok(Some(Role::Peer))
    );
    assert_eq!(
        meet(ours(), &[peer.clone(), customer.clone()]),
        Err((2, 11))
    );
    assert_eq!(meet(config(), &[peer, customer]), Err((2, 11)));
}

#[test]
fn internal_peers_have_no_roles() {
    let internal = SessionConfig {
        local_asn: Asn(65002),
        ..with_role(Role::Provider, true)
    };
    assert_eq!(meet(internal.clone(), &[Capability::Role(0)]), Ok(None));
    let mut single = Single::new(internal);
    single.connect(Conn::Inbound);
    let offered = single.session.status().offered;
    assert!(
        !offered
            .iter()
            .any(|offer| matches!(offer, Capability::Role(_)))
    );
}
