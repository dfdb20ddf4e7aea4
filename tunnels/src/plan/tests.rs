use super::*;
use crate::spec::{BackendChoice, Secret};

fn spec(interface: &str) -> TunnelSpec {
    TunnelSpec {
        name: format!("link-{interface}"),
        interface: interface.to_owned(),
        mtu: 1420,
        address: "10.99.0.0/31".parse().expect("a network"),
        kind: Kind::WireGuard(WireGuardSpec {
            private_key: Secret::new([1; 32]),
            listen_port: 51820,
            backend: BackendChoice::Auto,
            peer: WireGuardPeer {
                public_key: [2; 32],
                preshared_key: None,
                endpoint: Some("192.0.2.1:51820".parse().expect("an endpoint")),
                keepalive_secs: Some(25),
            },
        }),
    }
}

fn wireguard(spec: &mut TunnelSpec) -> &mut WireGuardSpec {
    match &mut spec.kind {
        Kind::WireGuard(wireguard) => wireguard,
        Kind::Gre(_) | Kind::Vlan(_) | Kind::Ipsec(_) => panic!("not WireGuard"),
    }
}

fn gre(interface: &str, remote: &str) -> TunnelSpec {
    let local = match remote.contains(':') {
        true => "2001:db8::1",
        false => "192.0.2.1",
    };
    TunnelSpec {
        kind: Kind::Gre(GreSpec {
            local: local.parse().expect("an address"),
            remote: remote.parse().expect("an address"),
            key: Some(7),
            ttl: 64,
        }),
        ..spec(interface)
    }
}

fn vlan(interface: &str, parent: &str, id: u16) -> TunnelSpec {
    TunnelSpec {
        kind: Kind::Vlan(VlanSpec {
            parent: parent.to_owned(),
            id,
        }),
        ..spec(interface)
    }
}

/// What an obedient kernel would do with the steps.
#[derive(Default)]
struct Model(BTreeMap<String, Observed>);

impl Model {
    fn apply(&mut self, steps: &[Step]) {
        for Step { interface, action } in steps {
            if let Action::Create(spec) = action {
                assert!(
                    !self.0.contains_key(interface),
                    "{interface} exists already"
                );
                self.0.insert(interface.clone(), created(spec));
                continue;
            }
            if *action == Action::Remove {
                self.0.remove(interface).expect("it was there");
                continue;
            }
            self.change(interface, action);
        }
    }

    fn change(&mut self, interface: &str, action: &Action) {
        let seen = self.0.get_mut(interface).expect("it is there");
        match action {
            Action::Mark(link) => seen.owner = Owner::Ours(link.clone()),
            Action::SetMtu(mtu) => seen.mtu = *mtu,
            Action::SetAddress(address) => assert!(seen.addresses.insert(*address)),
            Action::RemoveAddress(address) => assert!(seen.addresses.remove(address)),
            Action::Forward => seen.forwards = true,
            Action::Up => seen.admin_up = true,
            Action::Down => seen.admin_up = false,
            Action::Say(readiness) => seen.readiness = *readiness,
            Action::Configure(spec) => {
                seen.device = Some(device(&spec.kind));
                if let Kind::Ipsec(spec) = &spec.kind {
                    seen.ipsec = Some(spec.clone());
                }
                seen.wireguard = spec.kind.wireguard().map(|wireguard| ObservedWireGuard {
                    peer: Some(wireguard.peer.clone()),
                    private_key: Some(wireguard.private_key.clone()),
                    listen_port: wireguard.listen_port,
                    life: Life::Possible,
                });
            }
            Action::Refuse => {}
            Action::Create(_) | Action::Remove => unreachable!("handled above"),
        }
    }

    fn observed(&self) -> Vec<Observed> {
        self.0.values().cloned().collect()
    }
}

fn created(spec: &TunnelSpec) -> Observed {
    Observed {
        interface: spec.interface.clone(),
        owner: Owner::Ours(spec.name.clone()),
        device: Some(device(&spec.kind)),
        mtu: 1500,
        addresses: BTreeSet::new(),
        admin_up: false,
        readiness: Readiness::Ready,
        forwards: false,
        wireguard: None,
        ipsec: None,
        rx_bytes: 0,
        tx_bytes: 0,
    }
}

/// What an obedient kernel with everything makes.
fn device(kind: &Kind) -> Device {
    match kind {
        Kind::WireGuard(wireguard) => match wireguard.backend {
            BackendChoice::Auto | BackendChoice::Kernel => Device::WireGuard,
            BackendChoice::Userspace => Device::Tun,
        },
        Kind::Gre(gre) => Device::Gre(gre.clone()),
        Kind::Vlan(vlan) => Device::Vlan(vlan.clone()),
        Kind::Ipsec(ipsec) => Device::Xfrm(ipsec.if_id),
    }
}

fn settled(desired: &[TunnelSpec]) -> Model {
    let mut model = Model::default();
    model.apply(&plan(desired, &[]));
    assert_eq!(plan(desired, &model.observed()), []);
    model
}

#[test]
fn planning_applying_and_planning_again_leaves_nothing_to_do() {
    settled(&[spec("sb-a"), spec("sb-b")]);
}

#[test]
fn a_leftover_of_ours_is_removed_and_a_foreign_interface_is_not() {
    let mut model = settled(&[spec("sb-a"), spec("sb-b")]);
    model.0.get_mut("sb-b").expect("it is there").owner = Owner::Foreign;
    let steps = plan(&[], &model.observed());
    assert_eq!(steps, [step("sb-a", Action::Remove)]);
}

#[test]
fn a_foreign_interface_of_a_wanted_name_is_refused_and_left_alone() {
    let mut model = settled(&[spec("sb-a")]);
    let seen = model.0.get_mut("sb-a").expect("it is there");
    seen.owner = Owner::Foreign;
    seen.mtu = 9000;
    assert_eq!(
        plan(&[spec("sb-a")], &model.observed()),
        [step("sb-a", Action::Refuse)]
    );
}

#[test]
fn only_what_differs_is_changed() {
    let mut model = settled(&[spec("sb-a")]);
    let mut changed = spec("sb-a");
    changed.mtu = 1380;
    assert_eq!(
        plan(&[changed.clone()], &model.observed()),
        [step("sb-a", Action::SetMtu(1380))]
    );
    wireguard(&mut changed).peer.keepalive_secs = None;
    let steps = plan(&[changed.clone()], &model.observed());
    assert_eq!(steps.len(), 2);
    assert!(matches!(steps[1].action, Action::Configure(_)));
    model.apply(&steps);
    assert_eq!(plan(&[changed], &model.observed()), []);
}

#[test]
fn a_change_of_address_adds_before_it_removes() {
    let mut model = settled(&[spec("sb-a")]);
    let mut changed = spec("sb-a");
    changed.address = "10.99.0.2/31".parse().expect("a network");
    let steps = plan(&[changed.clone()], &model.observed());
    let old = spec("sb-a").address;
    assert_eq!(
        steps,
        [
            step("sb-a", Action::SetAddress(changed.address)),
            step("sb-a", Action::RemoveAddress(old))
        ]
    );
    model.apply(&steps);
    assert_eq!(plan(&[changed], &model.observed()), []);
}

#[test]
fn a_change_of_backend_replaces_the_interface_and_auto_keeps_what_runs() {
    let mut model = settled(&[spec("sb-a")]);
    let mut changed = spec("sb-a");
    wireguard(&mut changed).backend = BackendChoice::Userspace;
    let steps = plan(&[changed.clone()], &model.observed());
    assert_eq!(steps[0], step("sb-a", Action::Remove));
    assert!(matches!(steps[1].action, Action::Create(_)));
    model.apply(&steps);
    assert_eq!(plan(&[changed], &model.observed()), []);
    assert_eq!(
        plan(&[spec("sb-a")], &model.observed()),
        [],
        "auto keeps the userspace one"
    );
}

#[test]
fn a_renamed_link_keeps_its_interface() {
    let model = settled(&[spec("sb-a")]);
    let mut renamed = spec("sb-a");
    renamed.name = "other".to_owned();
    let expected = [step("sb-a", Action::Mark("other".to_owned()))];
    assert_eq!(plan(&[renamed], &model.observed()), expected);
}

#[test]
fn a_learned_endpoint_stays_when_none_is_configured() {
    let model = settled(&[spec("sb-a")]);
    let mut waiting = spec("sb-a");
    wireguard(&mut waiting).peer.endpoint = None;
    assert_eq!(plan(&[waiting], &model.observed()), []);
}

#[test]
fn a_private_key_that_the_kernel_returns_clamped_is_no_change() {
    let mut model = settled(&[spec("sb-a")]);
    let seen = model.0.get_mut("sb-a").expect("it is there");
    let mut clamped = [1; 32];
    (clamped[0], clamped[31]) = (0, 65);
    seen.wireguard.as_mut().expect("configured").private_key = Some(Secret::new(clamped));
    assert_eq!(plan(&[spec("sb-a")], &model.observed()), []);
}

#[test]
fn a_tun_that_no_process_serves_is_configured_and_nothing_else() {
    let mut model = settled(&[spec("sb-a")]);
    model.0.get_mut("sb-a").expect("it is there").wireguard = None;
    let steps = plan(&[spec("sb-a")], &model.observed());
    assert_eq!(steps, [step("sb-a", Action::Configure(spec("sb-a")))]);
}

#[test]
fn any_starting_point_settles_in_one_round() {
    // Every combination of what can differ, 2^7 of them.
    for bits in 0u32..128 {
        let mut model = settled(&[spec("sb-a")]);
        let seen = model.0.get_mut("sb-a").expect("it is there");
        if bits & 1 != 0 {
            seen.mtu = 1;
        }
        if bits & 2 != 0 {
            seen.addresses.clear();
        }
        if bits & 4 != 0 {
            seen.addresses
                .insert("fd00::1/64".parse().expect("a network"));
        }
        if bits & 8 != 0 {
            seen.admin_up = false;
        }
        if bits & 16 != 0 {
            seen.wireguard = None;
        }
        if bits & 32 != 0 {
            seen.device = None;
        }
        if bits & 64 != 0 {
            seen.forwards = false;
        }
        model.apply(&plan(&[spec("sb-a")], &model.observed()));
        assert_eq!(
            plan(&[spec("sb-a")], &model.observed()),
            [],
            "starting point {bits:#b}"
        );
    }
}

#[test]
fn an_interface_over_a_dead_tunnel_goes_down_and_comes_up_when_it_lives() {
    for (backend, died, lives) in [
        (BackendChoice::Userspace, Action::Down, Action::Up),
        // Its handshakes need it up.
        (
            BackendChoice::Kernel,
            Action::Say(Readiness::Dormant),
            Action::Say(Readiness::Ready),
        ),
    ] {
        let mut spec = spec("sb-a");
        wireguard(&mut spec).backend = backend;
        let wanted = std::slice::from_ref(&spec);
        let mut model = settled(wanted);
        for (life, action) in [(Life::Over, died), (Life::Possible, lives)] {
            let seen = model.0.get_mut("sb-a").expect("it is there");
            seen.wireguard.as_mut().expect("configured").life = life;
            let steps = plan(wanted, &model.observed());
            assert_eq!(steps, [step("sb-a", action)]);
            model.apply(&steps);
            assert_eq!(plan(wanted, &model.observed()), []);
        }
    }
}

#[test]
fn the_kernel_s_wireguard_comes_up_without_a_session_and_says_that_it_waits() {
    let mut model = settled(&[spec("sb-a")]);
    let seen = model.0.get_mut("sb-a").expect("it is there");
    seen.admin_up = false;
    seen.wireguard.as_mut().expect("configured").life = Life::Over;
    let steps = plan(&[spec("sb-a")], &model.observed());
    let waits = Action::Say(Readiness::Dormant);
    assert_eq!(steps, [step("sb-a", Action::Up), step("sb-a", waits)]);
}

#[test]
fn a_tunnel_of_any_kind_is_made_and_then_left_alone() {
    settled(&[
        gre("sb-a", "192.0.2.9"),
        gre("sb-b", "2001:db8::9"),
        vlan("sb-c", "eth0", 100),
    ]);
}

#[test]
fn gre_is_led_elsewhere_without_making_it_anew() {
    let model = settled(&[gre("sb-a", "192.0.2.9")]);
    let moved = gre("sb-a", "192.0.2.10");
    let steps = plan(std::slice::from_ref(&moved), &model.observed());
    assert_eq!(steps, [step("sb-a", Action::Configure(moved))]);
}

#[test]
fn what_the_kernel_cannot_change_is_made_anew() {
    for (from, to) in [
        (gre("sb-a", "192.0.2.9"), gre("sb-a", "2001:db8::9")),
        (vlan("sb-a", "eth0", 100), vlan("sb-a", "eth0", 101)),
        (vlan("sb-a", "eth0", 100), vlan("sb-a", "eth1", 100)),
        (vlan("sb-a", "eth0", 100), gre("sb-a", "192.0.2.9")),
        (gre("sb-a", "192.0.2.9"), spec("sb-a")),
        (spec("sb-a"), vlan("sb-a", "eth0", 100)),
    ] {
        let mut model = settled(std::slice::from_ref(&from));
        let steps = plan(std::slice::from_ref(&to), &model.observed());
        assert_eq!(steps.first(), Some(&step("sb-a", Action::Remove)));
        model.apply(&steps);
        assert_eq!(plan(std::slice::from_ref(&to), &model.observed()), []);
    }
}

fn ipsec(interface: &str, if_id: u32) -> TunnelSpec {
    let spec = IpsecSpec {
        if_id: if_id.try_into().expect("not zero"),
        ..crate::ipsec::example()
    };
    TunnelSpec {
        kind: Kind::Ipsec(Box::new(spec)),
        ..self::spec(interface)
    }
}

#[test]
fn an_ipsec_interface_found_at_start_is_kept_and_strongswan_told() {
    let wanted = ipsec("sb-a", 7);
    let mut model = settled(std::slice::from_ref(&wanted));
    model.0.get_mut("sb-a").expect("it is there").ipsec = None;
    let steps = plan(std::slice::from_ref(&wanted), &model.observed());
    assert_eq!(steps, [step("sb-a", Action::Configure(wanted))]);
}

#[test]
fn an_ipsec_interface_of_another_number_is_made_anew() {
    let mut model = settled(&[ipsec("sb-a", 7)]);
    let wanted = ipsec("sb-a", 8);
    let steps = plan(std::slice::from_ref(&wanted), &model.observed());
    assert_eq!(steps.first(), Some(&step("sb-a", Action::Remove)));
    model.apply(&steps);
    assert_eq!(plan(std::slice::from_ref(&wanted), &model.observed()), []);
}
