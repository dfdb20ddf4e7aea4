//! Links over IPsec, through whole routers, to gateways that `swanctl` configures as clouds do.
//!
//! Needs root, strongSwan and `cargo build --workspace --bins`; and a kernel with ESP and XFRM interfaces,
//! which `./dev vm` boots. Elsewhere only what is said about the lack is tested.
//!
//! ```text
//! nva 203.0.113.10 ── wan ── 203.0.113.20, .21 gateway          or, behind a NAT:
//! nva 10.0.0.4 ── 10.0.0.1 nat 203.0.113.10 ── wan ── 203.0.113.20, .21 gateway
//! ```

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use api::v1::LinkState;
use tests::lab::netns::{End, Namespace, cable};
use tests::lab::nva::{Binaries, Nva};
use tests::lab::process::wait_for;
use tests::lab::scratch::Scratch;
use tests::lab::strongswan::{StrongSwan, has_xfrm};

/// Emulated time is slow.
const PATIENCE: Duration = Duration::from_secs(120);
const SECRET: &str = "a.Secret_of-32.characters.or.more";

/// What stands between the router and the gateway.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Between {
    Cable,
    Nat,
}

/// A router and its strongSwan, and a cloud's gateway with the ends of two tunnels.
struct Clouds {
    nva: Nva,
    ours: StrongSwan,
    gateway: StrongSwan,
    near: Namespace,
    far: Namespace,
    between: Between,
    scratch: Scratch,
}

#[expect(clippy::print_stderr, reason = "a test that does nothing says so")]
fn print_untested(what: &str) {
    eprintln!("NOT TESTED: {what}");
}

impl Clouds {
    fn build(name: &str, between: Between) -> Result<Self> {
        let mut scratch = Scratch::new(name)?;
        let (near, far) = (scratch.namespace("nva")?, scratch.namespace("gw")?);
        let end = |namespace, interface, address| End {
            namespace,
            interface,
            address,
        };
        match between {
            Between::Cable => cable(
                end(&near, "wan", "203.0.113.10/24"),
                end(&far, "wan", "203.0.113.20/24"),
            )?,
            Between::Nat => {
                let nat = scratch.namespace("nat")?;
                cable(
                    end(&near, "wan", "10.0.0.4/24"),
                    end(&nat, "in", "10.0.0.1/24"),
                )?;
                cable(
                    end(&nat, "out", "203.0.113.10/24"),
                    end(&far, "wan", "203.0.113.20/24"),
                )?;
                near.ip("route add default via 10.0.0.1")?;
                nat.sysctl("net.ipv4.ip_forward", "1")?;
                let rules = "table ip nat {\n chain post {\n type nat hook postrouting priority 100\n \
                             oifname \"out\" masquerade\n }\n}\n";
                nat.run("nft", &[rules])?;
            }
        }
        far.ip("addr add 203.0.113.21/24 dev wan")?;
        let directory = scratch.directory().to_owned();
        let ours = StrongSwan::start(&near, &directory.join("ours"))?;
        let gateway = StrongSwan::start(&far, &directory.join("gateway"))?;
        let clouds = Self {
            nva: Nva::new(&near, &directory, &Binaries::find()?)?,
            ours,
            gateway,
            near,
            far,
            between,
            scratch,
        };
        clouds.keep(SECRET)?;
        Ok(clouds)
    }

    /// Writes the pre-shared key where the router looks for it.
    fn keep(&self, secret: &str) -> Result<()> {
        let path = self.scratch.directory().join("psk");
        fs::write(&path, format!("{secret}\n"))?;
        Ok(fs::set_permissions(
            &path,
            fs::Permissions::from_mode(0o600),
        )?)
    }

    /// The gateway's two ends, with the same selectors, on two XFRM interfaces.
    fn configure_gateway(&self, proposals: [&str; 2], secret: &str) -> Result<()> {
        let [ike, esp] = proposals;
        let mut conf = String::from("connections {\n");
        for (number, address) in [(1, "203.0.113.20"), (2, "203.0.113.21")] {
            writeln!(
                conf,
                "  t{number} {{ local_addrs = {address}\n remote_addrs = %any\n proposals = {ike}\n unique = no\n \
                 local {{ auth = psk\n id = {address} }}\n remote {{ auth = psk\n id = 203.0.113.10 }}\n \
                 children {{ c{number} {{ local_ts = 0.0.0.0/0\n remote_ts = 0.0.0.0/0\n esp_proposals = {esp}\n \
                 if_id_in = {number}\n if_id_out = {number} }} }} }}"
            )?;
        }
        writeln!(
            conf,
            "}}\nsecrets {{ ike-us {{ id = 203.0.113.10\n secret = \"{secret}\" }} }}"
        )?;
        self.gateway.load(&conf)
    }

    fn make_gateway_s_interfaces(&self) -> Result<()> {
        for number in [1, 2] {
            self.far
                .ip(&format!("link add t{number} type xfrm if_id {number}"))?;
            self.far
                .ip(&format!("addr add 169.254.2{number}.1/30 dev t{number}"))?;
            self.far.ip(&format!("link set t{number} mtu 1400 up"))?;
        }
        Ok(())
    }

    /// The router's file: two tunnels of one group.
    ///
    /// - `more`: further keys of `ipsec`
    fn configure(&self, profile: &str, more: &str) -> Result<()> {
        let ends = match self.between {
            Between::Cable => "local = \"203.0.113.10\"",
            Between::Nat => "local = \"10.0.0.4\", local-id = \"203.0.113.10\"",
        };
        let mut body = format!(
            "[router]\nname = \"r\"\nasn = 65010\nid = \"10.1.1.1\"\n[ipsec]\nsocket = \"{}\"\n",
            self.ours.socket().display()
        );
        for (number, address) in [(1, "203.0.113.20"), (2, "203.0.113.21")] {
            writeln!(
                body,
                "[link.t{number}]\nprofile = \"{profile}\"\ngroup = \"cloud\"\n\
                 inside = {{ local = \"169.254.2{number}.2/30\", remote = \"169.254.2{number}.1\" }}\n\
                 ipsec = {{ {ends}, remote = \"{address}\", psk = {{ file = \"psk\" }}, dpd = \"2s\"{more} }}"
            )?;
        }
        self.nva.configure(&body)
    }

    fn wait_for_links(&self, what: &str, wanted: LinkState) -> Result<()> {
        wait_for(what, PATIENCE, || {
            let links = self.nva.links()?;
            let all = links.len() == 2 && links.iter().all(|link| link.state() == wanted);
            ensure!(all, "{}", self.nva.cli(&["show", "tunnels"])?);
            Ok(())
        })
        .with_context(|| {
            format!(
                "ours:\n{}\ngateway:\n{}",
                self.ours.log(),
                self.gateway.log()
            )
        })
    }

    fn wait_for_reason(&self, part: &str) -> Result<()> {
        wait_for(part, PATIENCE, || {
            let shown = self.nva.cli(&["show", "tunnels"])?;
            ensure!(shown.contains(part), "{shown}");
            Ok(())
        })
    }

    /// Numbers of the CHILD_SAs of ours that carry packets: `{name=skybridge-t1 uniqueid=1 reqid=1 state=…`.
    fn children(&self) -> Result<Vec<String>> {
        let listed = self.ours.swanctl(&["--list-sas", "--raw"])?;
        let children = listed.split("{name=skybridge-").skip(1);
        let installed = children.filter(|child| child.contains(" state=INSTALLED "));
        let number = |child: &str| {
            Some(
                child
                    .split_once("uniqueid=")?
                    .1
                    .split(' ')
                    .next()?
                    .to_owned(),
            )
        };
        let mut numbers: Vec<String> = installed.filter_map(number).collect();
        numbers.sort();
        ensure!(numbers.len() == 2, "two tunnels have one each: {listed}");
        Ok(numbers)
    }

    /// Pings through the first tunnel, 20 times a second for 10 s.
    fn ping(&self) -> Result<Child> {
        let mut command: Command = self.near.command("ping");
        command.args([
            "-n",
            "-q",
            "-i",
            "0.05",
            "-c",
            "200",
            "-W",
            "10",
            "169.254.21.1",
        ]);
        Ok(command.stdout(Stdio::piped()).spawn()?)
    }
}

/// Every ping was answered.
fn ensure_nothing_lost(ping: Child) -> Result<()> {
    let output = ping.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(said.contains(" 0% packet loss"), "{said}");
    Ok(())
}

const AWS: [&str; 2] = [
    "aes256gcm16-prfsha384-ecp384,aes256-sha256-modp2048",
    "aes256gcm16-ecp384,aes256gcm16-modp2048",
];
const OCI: [&str; 2] = ["aes256-sha384-ecp384", "aes256gcm16-modp1536"];

#[test]
fn two_tunnels_to_an_aws_like_gateway_survive_rekeys_and_restarts() -> Result<()> {
    let mut clouds = Clouds::build("ia", Between::Cable)?;
    clouds.configure_gateway(AWS, SECRET)?;
    clouds.configure("aws-vpn-vgw", "")?;
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
    clouds.configure_gateway(AWS, another)?;
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
    clouds.configure_gateway(AWS, another)?;
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
    clouds.configure_gateway(OCI, SECRET)?;
    if !has_xfrm(&clouds.near) {
        print_untested("IPsec tunnels, which need ESP and XFRM interfaces in the kernel");
        return Ok(());
    }
    clouds.make_gateway_s_interfaces()?;
    clouds.configure("oci-vpn", "")?;
    clouds.nva.start()?;
    clouds.wait_for_links("IKEv2", LinkState::Up)?;
    clouds.configure("oci-vpn", ", version = 1")?;
    clouds.nva.cli(&["reload"])?;
    clouds.wait_for_reason("IKEv1 to 203.0.113.20: ESP AES_GCM_16-256")?;
    clouds.wait_for_links("IKEv1", LinkState::Up)
}

#[test]
fn a_nat_in_between_puts_esp_into_udp() -> Result<()> {
    let mut clouds = Clouds::build("in", Between::Nat)?;
    clouds.configure_gateway(AWS, SECRET)?;
    if !has_xfrm(&clouds.near) {
        print_untested("IPsec tunnels, which need ESP and XFRM interfaces in the kernel");
        return Ok(());
    }
    clouds.make_gateway_s_interfaces()?;
    clouds.configure("aws-vpn-vgw", "")?;
    clouds.nva.start()?;
    clouds.wait_for_links("through a NAT", LinkState::Up)?;
    clouds.wait_for_reason(", in UDP")
}

#[test]
fn a_wrong_key_and_a_wrong_proposal_are_said_and_hurt_no_other_link() -> Result<()> {
    let mut clouds = Clouds::build("iw", Between::Cable)?;
    clouds.configure_gateway(AWS, "what.they.have")?;
    if !has_xfrm(&clouds.near) {
        print_untested("IPsec tunnels, which need ESP and XFRM interfaces in the kernel");
        return Ok(());
    }
    clouds.make_gateway_s_interfaces()?;
    clouds.configure("aws-vpn-vgw", "")?;
    clouds.nva.start()?;
    clouds.wait_for_reason("compare the pre-shared keys")?;
    clouds.configure_gateway(AWS, SECRET)?;
    clouds.wait_for_links("with the key that both have", LinkState::Up)?;
    clouds.configure("aws-vpn-vgw", ", ike = \"aes128-sha256-modp3072\"")?;
    clouds.nva.cli(&["reload"])?;
    clouds.wait_for_reason("no proposal for IKE in common; ours: aes128-sha256-modp3072")
}
