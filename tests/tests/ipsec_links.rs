//! Links over IPsec, through whole routers, to gateways that `swanctl` configures as clouds do.
//!
//! Needs root, strongSwan and `cargo build --workspace --bins`; and a kernel with ESP and XFRM interfaces,
//! which `./dev vm` boots. Elsewhere only what is said about the lack is tested.

use anyhow::{Context as _, Result, ensure};
use api::v1::LinkState;
use tests::lab::clouds::{
    AWS, Between, Clouds, OCI, PATIENCE, PSK, Proof, SECRET, ensure_nothing_lost,
};
use tests::lab::process::wait_for;
use tests::lab::strongswan::has_xfrm;

#[expect(clippy::print_stderr, reason = "a test that does nothing says so")]
fn print_untested(what: &str) {
    eprintln!("NOT TESTED: {what}");
}

#[test]
fn two_tunnels_to_an_aws_like_gateway_survive_rekeys_and_restarts() -> Result<()> {
    let mut clouds = Clouds::build("ia", Between::Cable)?;
    clouds.configure_gateway(AWS, Proof::Secret(SECRET))?;
    clouds.configure("aws-vpn-vgw", PSK)?;
    clouds.nva.start()?;
    if !has_xfrm(&clouds.near) {
        print_untested("IPsec tunnels, which need ESP and XFRM interfaces in the kernel");
        return clouds.wait_for_reason(
            "this kernel has no XFRM interfaces; load its module: modprobe xfrm_interface",
        );
    }
    clouds.make_gateway_s_interfaces()?;
    clouds.wait_for_links("both tunnels with the same selectors", LinkState::Up)?;
    // Of what was offered AES-GCM was agreed on, and there is no NAT: 24 more than it might have been.
    wait_for("the MTU of the agreed cipher", PATIENCE, || {
        let mtu = clouds.near.ip("link show sb-t1")?;
        ensure!(mtu.contains("mtu 1446"), "{mtu}");
        Ok(())
    })?;

    let ping = clouds.ping()?;
    clouds
        .ours
        .swanctl(&["--rekey", "--child", "skybridge-t1"])?;
    clouds.ours.swanctl(&["--rekey", "--ike", "skybridge-t1"])?;
    ensure_nothing_lost(ping).context("rekeyed")?;

    // A new key at both ends changes nothing that is up, and is used by what comes next.
    let before = clouds.children()?;
    let another = "another.Secret_of-32.characters";
    clouds.keep(another)?;
    clouds.configure_gateway(AWS, Proof::Secret(another))?;
    clouds.nva.cli(&["reload"])?;
    ensure!(clouds.children()? == before, "a new key ended a tunnel");

    // Our restart: the kernel forwards on, and the same associations are there after it.
    let ping = clouds.ping()?;
    clouds.nva.process()?.kill()?;
    clouds.nva.start()?;
    ensure_nothing_lost(ping).context("our restart")?;
    clouds.wait_for_links("both tunnels after our restart", LinkState::Up)?;
    ensure!(clouds.children()? == before, "our restart ended a tunnel");

    // The gateway's: found by DPD, called again, with the new key.
    clouds.gateway.kill()?;
    clouds.far.run("ip", &["xfrm", "state", "flush"])?;
    clouds.far.run("ip", &["xfrm", "policy", "flush"])?;
    clouds.gateway.launch()?;
    clouds.configure_gateway(AWS, Proof::Secret(another))?;
    clouds.wait_for_links("down after the gateway's restart", LinkState::Down)?;
    clouds.wait_for_links("up after the gateway's restart", LinkState::Up)?;
    ensure!(clouds.children()? != before, "not called anew");

    // A cut: DPD ends what leads nowhere, and it comes back by itself.
    clouds.far.ip("link set wan down")?;
    clouds.wait_for_reason("t1      down ")?;
    clouds.far.ip("link set wan up")?;
    clouds.wait_for_links("up after a cut", LinkState::Up)
}

#[test]
fn two_tunnels_to_an_oci_like_gateway_come_up_with_both_versions_of_ike() -> Result<()> {
    let mut clouds = Clouds::build("io", Between::Cable)?;
    clouds.configure_gateway(OCI, Proof::Secret(SECRET))?;
    if !has_xfrm(&clouds.near) {
        print_untested("IPsec tunnels, which need ESP and XFRM interfaces in the kernel");
        return Ok(());
    }
    clouds.make_gateway_s_interfaces()?;
    clouds.configure("oci-vpn", PSK)?;
    clouds.nva.start()?;
    clouds.wait_for_links("IKEv2", LinkState::Up)?;
    clouds.configure("oci-vpn", &format!("{PSK}, version = 1"))?;
    clouds.nva.cli(&["reload"])?;
    clouds.wait_for_reason("IKEv1 to 203.0.113.20: ESP AES_GCM_16-256")?;
    clouds.wait_for_links("IKEv1", LinkState::Up)
}

#[test]
fn a_nat_in_between_puts_esp_into_udp() -> Result<()> {
    let mut clouds = Clouds::build("in", Between::Nat)?;
    clouds.configure_gateway(AWS, Proof::Secret(SECRET))?;
    if !has_xfrm(&clouds.near) {
        print_untested("IPsec tunnels, which need ESP and XFRM interfaces in the kernel");
        return Ok(());
    }
    clouds.make_gateway_s_interfaces()?;
    clouds.configure("aws-vpn-vgw", PSK)?;
    clouds.nva.start()?;
    clouds.wait_for_links("through a NAT", LinkState::Up)?;
    clouds.wait_for_reason(", in UDP")
}

#[test]
fn a_wrong_key_and_a_wrong_proposal_are_said_and_hurt_no_other_link() -> Result<()> {
    let mut clouds = Clouds::build("iw", Between::Cable)?;
    clouds.configure_gateway(AWS, Proof::Secret("what.they.have"))?;
    if !has_xfrm(&clouds.near) {
        print_untested("IPsec tunnels, which need ESP and XFRM interfaces in the kernel");
        return Ok(());
    }
    clouds.make_gateway_s_interfaces()?;
    clouds.configure("aws-vpn-vgw", PSK)?;
    clouds.nva.start()?;
    clouds.wait_for_reason("compare the pre-shared keys")?;
    clouds.configure_gateway(AWS, Proof::Secret(SECRET))?;
    clouds.wait_for_links("with the key that both have", LinkState::Up)?;
    let weak = format!("{PSK}, ike = \"aes128-sha256-modp3072\"");
    clouds.configure("aws-vpn-vgw", &weak)?;
    clouds.nva.cli(&["reload"])?;
    clouds.wait_for_reason("no proposal for IKE in common; ours: aes128-sha256-modp3072")
}

/// Why a link has gone down, each time that it has.
fn falls(clouds: &Clouds, link: &str) -> Result<Vec<String>> {
    let events = clouds.nva.events()?.into_iter();
    let of_link = events.filter(|event| event.kind == "link-state" && event.subject == link);
    let texts = of_link.map(|event| event.text);
    Ok(texts.filter(|text| text.starts_with("down")).collect())
}

/// Nobody probes these links, and nothing else speaks on them: what is known of the far end is what IKE says.
#[test]
fn a_link_goes_down_because_its_tunnel_was_ended_and_no_other_does() -> Result<()> {
    let mut clouds = Clouds::build("id", Between::Cable)?;
    clouds.configure_gateway(AWS, Proof::Secret(SECRET))?;
    if !has_xfrm(&clouds.near) {
        print_untested("IPsec tunnels, which need ESP and XFRM interfaces in the kernel");
        return Ok(());
    }
    clouds.make_gateway_s_interfaces()?;
    let terms = "profile = \"aws-vpn-vgw\"\nprobe = { method = \"off\" }";
    clouds.configure_each(terms, [PSK, PSK])?;
    clouds.nva.start()?;
    clouds.wait_for_links("unprobed", LinkState::Up)?;
    let before = [falls(&clouds, "t1")?.len(), falls(&clouds, "t2")?.len()];
    clouds.gateway.swanctl(&["--terminate", "--ike", "t1"])?;
    wait_for("the link down", PATIENCE, || {
        let fallen = falls(&clouds, "t1")?;
        let last = fallen.get(before[0]..).and_then(<[String]>::first);
        let last = last.context("not down yet")?;
        ensure!(last.starts_with("down: tunnel down"), "{last}");
        Ok(())
    })?;
    clouds.wait_for_links("called again", LinkState::Up)?;
    let fallen = falls(&clouds, "t2")?;
    ensure!(fallen.len() == before[1], "{fallen:?}");
    clouds.nva.check_alive()
}

/// The first tunnel is wrong in one way after the other, and the second goes on. They are not probed: what is slow is
/// nobody's failure.
#[test]
fn each_failure_is_shown_with_its_remedy_and_hurts_no_other_link() -> Result<()> {
    let mut clouds = Clouds::build("if", Between::Cable)?;
    clouds.configure_gateway(AWS, Proof::Secret(SECRET))?;
    if !has_xfrm(&clouds.near) {
        print_untested("IPsec tunnels, which need ESP and XFRM interfaces in the kernel");
        return Ok(());
    }
    clouds.make_gateway_s_interfaces()?;
    let profile = "profile = \"aws-vpn-vgw\"\nprobe = { method = \"off\" }";
    clouds.configure_each(profile, [PSK, PSK])?;
    clouds.nva.start()?;
    clouds.wait_for_links("as they should be", LinkState::Up)?;
    let before = falls(&clouds, "t2")?.len();
    clouds.near.ip("link add theirs type xfrm if_id 99")?;
    let wrong = [
        (
            "local-id = \"10.0.0.4\"",
            "we say that we are 10.0.0.4 and expect 203.0.113.20: are `local-id` and `remote-id` what it has? Behind a NAT an \
             identity is usually the public address",
        ),
        ("remote-id = \"203.0.113.99\"", "`remote-id`"),
        (
            "selectors = \"ipv6\"",
            "the far end refuses our traffic selectors ::/0; make it route-based",
        ),
        (
            "esp = \"aes128-sha1-modp1024\"",
            "no proposal for ESP in common; ours: aes128-sha1-modp1024",
        ),
        ("if-id = 99", "if-id 99"),
    ];
    for (words, reason) in wrong {
        clouds.configure_each(profile, [&format!("{PSK}, {words}"), PSK])?;
        clouds.nva.cli(&["reload"])?;
        clouds.wait_for_reason(reason).context(words)?;
    }

    let deaf = "table inet deaf {\n chain in {\n type filter hook input priority 0\n \
                ip daddr 203.0.113.20 udp dport { 500, 4500 } drop\n }\n}\n";
    clouds.far.run("nft", &[deaf])?;
    clouds.configure_each(profile, [PSK, PSK])?;
    clouds.nva.cli(&["reload"])?;
    clouds.wait_for_reason("203.0.113.20 does not answer on UDP 500 and 4500")?;
    clouds.far.run("nft", &["delete table inet deaf"])?;
    clouds.wait_for_links("mended", LinkState::Up)?;
    let fallen = falls(&clouds, "t2")?;
    ensure!(fallen.len() == before, "{fallen:?}");

    // Without strongSwan the kernel carries on, and that nobody watches is said.
    clouds.ours.kill()?;
    clouds.wait_for_reason("strongSwan does not run")?;
    let ping = clouds.ping()?;
    ensure_nothing_lost(ping).context("without strongSwan")?;
    clouds.ours.launch()?;
    clouds.wait_for_links("with another strongSwan", LinkState::Up)
}
