//! A router with its strongSwan, and a cloud's VPN gateway with the ends of two tunnels, which `swanctl` configures as
//! clouds do.
//!
//! ```text
//! Cable: nva 203.0.113.10 ── wan ── 203.0.113.20, .21 gateway
//! Nat:   nva 10.0.0.4 ── 10.0.0.1 nat 203.0.113.10 ── wan ── 203.0.113.20, .21 gateway
//! Ipv6:  nva 2001:db8:1::4 ── ::1 router 2001:db8:2::1 ── wan ── 2001:db8:2::20, ::21 gateway
//! ```

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use api::v1::LinkState;

use super::netns::{End, Namespace, cable, output};
use super::nva::{Binaries, Nva};
use super::process::wait_for;
use super::scratch::Scratch;
use super::strongswan::StrongSwan;

/// Emulated time is slow.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// What both ends have, unless a test says otherwise.
pub const SECRET: &str = "a.Secret_of-32.characters.or.more";
/// How the router's file says who it is: by [`SECRET`].
pub const PSK: &str = "psk = { file = \"psk\" }";
/// By what [`Clouds::make_certificates`] makes.
pub const CERTIFICATE: &str =
    "certificate = \"us.pem\", private-key = { file = \"us.key\" }, ca = \"ca.pem\"";
/// What a gateway of AWS takes for IKE and for ESP, shortened.
pub const AWS: [&str; 2] = [
    "aes256gcm16-prfsha384-ecp384,aes256-sha256-modp2048",
    "aes256gcm16-ecp384,aes256gcm16-modp2048",
];
/// What one of Oracle's takes.
pub const OCI: [&str; 2] = ["aes256-sha384-ecp384", "aes256gcm16-modp1536"];

/// What stands between the router and the gateway.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Between {
    /// Nothing.
    Cable,
    /// A NAT, as most cloud VMs have.
    Nat,
    /// A router, and IPv6 outside.
    Ipv6,
}

impl Between {
    /// The router's own address.
    fn local(self) -> &'static str {
        match self {
            Self::Cable => "203.0.113.10",
            Self::Nat => "10.0.0.4",
            Self::Ipv6 => "2001:db8:1::4",
        }
    }

    /// Who it says it is.
    fn identity(self) -> &'static str {
        match self {
            Self::Cable | Self::Nat => "203.0.113.10",
            Self::Ipv6 => "2001:db8:1::4",
        }
    }

    /// Of the gateway's network.
    fn length(self) -> u8 {
        match self {
            Self::Cable | Self::Nat => 24,
            Self::Ipv6 => 64,
        }
    }

    /// The words of the router's file for both.
    fn words(self) -> String {
        let local = format!("local = \"{}\"", self.local());
        match self {
            Self::Cable | Self::Ipv6 => local,
            Self::Nat => format!("{local}, local-id = \"{}\"", self.identity()),
        }
    }

    /// The gateway's two addresses.
    fn gateways(self) -> [&'static str; 2] {
        match self {
            Self::Cable | Self::Nat => ["203.0.113.20", "203.0.113.21"],
            Self::Ipv6 => ["2001:db8:2::20", "2001:db8:2::21"],
        }
    }
}

/// How the gateway and the router prove who they are.
#[derive(Clone, Copy, Debug)]
pub enum Proof<'a> {
    /// By a pre-shared key, as the gateway has it.
    Secret(&'a str),
    /// By certificates that [`Clouds::make_certificates`] has made.
    Certificates,
}

/// A router and its strongSwan, and a cloud's gateway with the ends of two tunnels.
#[derive(Debug)]
pub struct Clouds {
    /// The router.
    pub nva: Nva,
    /// Its strongSwan.
    pub ours: StrongSwan,
    /// The cloud's.
    pub gateway: StrongSwan,
    /// Where the router runs.
    pub near: Namespace,
    /// Where the gateway runs.
    pub far: Namespace,
    /// What stands between them, if that is somewhere.
    middle: Option<Namespace>,
    between: Between,
    scratch: Scratch,
}

impl Clouds {
    /// Cables and both strongSwans. The router is not started.
    ///
    /// # Errors
    ///
    /// When something is not installed or does not start.
    pub fn build(name: &str, between: Between) -> Result<Self> {
        let mut scratch = Scratch::new(name)?;
        let (near, far) = (scratch.namespace("nva")?, scratch.namespace("gw")?);
        let mut middle = None;
        if between == Between::Cable {
            let ends = [(&near, "wan"), (&far, "wan")];
            plug(ends, ["203.0.113.10/24", "203.0.113.20/24"])?;
        } else {
            let node = scratch.namespace("mid")?;
            let (inner, outer) = (
                [(&near, "wan"), (&node, "in")],
                [(&node, "out"), (&far, "wan")],
            );
            lay(between, inner, outer)?;
            middle = Some(node);
        }
        let ([_, second], length) = (between.gateways(), between.length());
        far.ip(&format!("addr add {second}/{length} dev wan"))?;
        let directory = scratch.directory().to_owned();
        let ours = StrongSwan::start(&near, &directory.join("ours"))?;
        let gateway = StrongSwan::start(&far, &directory.join("gateway"))?;
        let clouds = Self {
            nva: Nva::new(&near, &directory, &Binaries::find()?)?,
            ours,
            gateway,
            near,
            far,
            middle,
            between,
            scratch,
        };
        clouds.keep(SECRET)?;
        Ok(clouds)
    }

    /// Where its files are.
    pub fn directory(&self) -> &Path {
        self.scratch.directory()
    }

    /// Writes the pre-shared key where the router looks for it.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn keep(&self, secret: &str) -> Result<()> {
        let path = self.scratch.directory().join("psk");
        fs::write(&path, format!("{secret}\n"))?;
        let mode = fs::Permissions::from_mode(0o600);
        Ok(fs::set_permissions(&path, mode)?)
    }

    /// Makes certificates of both ends, each too long for one packet, and who signs them.
    ///
    /// # Errors
    ///
    /// When `openssl` fails.
    pub fn make_certificates(&self) -> Result<()> {
        let directory = self.scratch.directory();
        let openssl = |words: &str| {
            let mut openssl = Command::new("openssl");
            output(
                openssl
                    .current_dir(directory)
                    .args(words.split_whitespace()),
            )
        };
        let curve = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
        openssl(&format!(
            "req -x509 {curve} -keyout ca.key -out ca.pem -subj /CN=ca -days 2"
        ))?;
        let [first, second] = self.between.gateways();
        let ours = format!("IP:{}", self.between.identity());
        for (name, addresses) in [("us", ours), ("them", format!("IP:{first},IP:{second}"))] {
            let more = (0..40).map(|number| format!(",DNS:gateway-{number:02}.clouds.example.net"));
            let more: String = more.collect();
            fs::write(
                directory.join("ext"),
                format!("subjectAltName={addresses}{more}\n"),
            )?;
            openssl(&format!(
                "req {curve} -keyout {name}.key -out {name}.csr -subj /CN={name}"
            ))?;
            openssl(&format!(
                "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out {name}.pem -extfile ext"
            ))?;
        }
        let mode = fs::Permissions::from_mode(0o600);
        fs::set_permissions(directory.join("us.key"), mode)?;
        self.gateway.own("private", &directory.join("them.key"))?;
        self.gateway.own("x509", &directory.join("them.pem"))?;
        self.gateway.own("x509ca", &directory.join("ca.pem"))
    }

    /// The gateway's two ends, with the same selectors, on two XFRM interfaces.
    ///
    /// - `proposals`: for IKE and for ESP
    ///
    /// # Errors
    ///
    /// When it does not take them.
    pub fn configure_gateway(&self, proposals: [&str; 2], proof: Proof<'_>) -> Result<()> {
        let ([ike, esp], us) = (proposals, self.between.identity());
        let (local, remote) = match proof {
            Proof::Secret(_) => ("auth = psk", "auth = psk"),
            Proof::Certificates => (
                "auth = pubkey\n certs = them.pem",
                "auth = pubkey\n cacerts = ca.pem",
            ),
        };
        let mut conf = String::from("connections {\n");
        for (number, address) in (1..).zip(self.between.gateways()) {
            writeln!(
                conf,
                "  t{number} {{ local_addrs = {address}\n remote_addrs = %any\n proposals = {ike}\n unique = no\n \
                 local {{ {local}\n id = {address} }}\n remote {{ {remote}\n id = {us} }}\n \
                 children {{ c{number} {{ local_ts = 0.0.0.0/0\n remote_ts = 0.0.0.0/0\n esp_proposals = {esp}\n \
                 if_id_in = {number}\n if_id_out = {number} }} }} }}"
            )?;
        }
        conf.push_str("}\n");
        if let Proof::Secret(secret) = proof {
            writeln!(
                conf,
                "secrets {{ ike-us {{ id = \"{us}\"\n secret = \"{secret}\" }} }}"
            )?;
        }
        self.gateway.load(&conf)
    }

    /// The gateway's ends of the tunnels, with MTUs of clouds.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn make_gateway_s_interfaces(&self) -> Result<()> {
        for number in [1, 2] {
            self.far
                .ip(&format!("link add t{number} type xfrm if_id {number}"))?;
            self.far
                .ip(&format!("addr add 169.254.2{number}.1/30 dev t{number}"))?;
            self.far.ip(&format!("link set t{number} mtu 1400 up"))?;
        }
        Ok(())
    }

    /// The way to the gateway and back takes so many octets in one packet, and says nothing about longer ones.
    ///
    /// # Errors
    ///
    /// Without anything between the two.
    pub fn narrow(&self, octets: u32) -> Result<()> {
        let middle = self.middle.as_ref().context("nothing is in between")?;
        for interface in ["in", "out"] {
            middle.ip(&format!("link set {interface} mtu {octets}"))?;
        }
        let quiet = "table inet quiet {\n chain out {\n type filter hook output priority 0\n \
                     icmp type destination-unreachable drop\n icmpv6 type packet-too-big drop\n }\n}\n";
        middle.run("nft", &[quiet]).map(drop)
    }

    /// The router's file: two tunnels of one group.
    ///
    /// - `words`: further keys of `ipsec`, [`PSK`] or [`CERTIFICATE`] among them
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn configure(&self, profile: &str, words: &str) -> Result<()> {
        self.configure_each(&format!("profile = \"{profile}\""), [words, words])
    }

    /// The same with keys of each tunnel.
    ///
    /// - `terms`: further keys of both links
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn configure_each(&self, terms: &str, words: [&str; 2]) -> Result<()> {
        let us = self.between.words();
        let mut body = format!(
            "[router]\nname = \"r\"\nasn = 65010\nid = \"10.1.1.1\"\n[ipsec]\nsocket = \"{}\"\n",
            self.ours.socket().display()
        );
        let ends = self.between.gateways().into_iter().zip(words);
        for (number, (address, words)) in (1..).zip(ends) {
            writeln!(
                body,
                "[link.t{number}]\ngroup = \"cloud\"\n{terms}\n\
                 inside = {{ local = \"169.254.2{number}.2/30\", remote = \"169.254.2{number}.1\" }}\n\
                 ipsec = {{ {us}, remote = \"{address}\", dpd = \"2s\", {words} }}"
            )?;
        }
        self.nva.configure(&body)
    }

    /// Waits until both links are so.
    ///
    /// # Errors
    ///
    /// After [`PATIENCE`]: what the router shows and both strongSwans have logged.
    pub fn wait_for_links(&self, what: &str, wanted: LinkState) -> Result<()> {
        wait_for(what, PATIENCE, || {
            let links = self.nva.links()?;
            let all = links.len() == 2 && links.iter().all(|link| link.state() == wanted);
            ensure!(all, "{}", self.nva.cli(&["show", "tunnels"])?);
            Ok(())
        })
        .with_context(|| {
            let (ours, gateway) = (self.ours.log(), self.gateway.log());
            format!("ours:\n{ours}\ngateway:\n{gateway}")
        })
    }

    /// Waits until `skybridge show tunnels` has these words.
    ///
    /// # Errors
    ///
    /// After [`PATIENCE`]: what it shows instead.
    pub fn wait_for_reason(&self, part: &str) -> Result<()> {
        wait_for(part, PATIENCE, || {
            let shown = self.nva.cli(&["show", "tunnels"])?;
            ensure!(shown.contains(part), "{shown}");
            Ok(())
        })
    }

    /// Numbers of the CHILD_SAs of ours that carry packets: `{name=skybridge-t1 uniqueid=1 reqid=1 state=…`.
    ///
    /// # Errors
    ///
    /// Unless each tunnel has one.
    pub fn children(&self) -> Result<Vec<String>> {
        let listed = self.ours.swanctl(&["--list-sas", "--raw"])?;
        let children = listed.split("{name=skybridge-").skip(1);
        let installed = children.filter(|child| child.contains(" state=INSTALLED "));
        let number = |child: &str| {
            let (_, rest) = child.split_once("uniqueid=")?;
            Some(rest.split(' ').next()?.to_owned())
        };
        let mut numbers: Vec<String> = installed.filter_map(number).collect();
        numbers.sort();
        ensure!(numbers.len() == 2, "two tunnels have one each: {listed}");
        Ok(numbers)
    }

    /// Pings through the first tunnel, 20 times a second for 10 s.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub fn ping(&self) -> Result<Child> {
        let words = "-n -q -i 0.05 -c 200 -W 10 169.254.21.1";
        let mut command: Command = self.near.command("ping");
        command.args(words.split(' '));
        Ok(command.stdout(Stdio::piped()).spawn()?)
    }
}

/// The ends of a cable, which may be IPv6's.
fn plug(ends: [(&Namespace, &str); 2], addresses: [&str; 2]) -> Result<()> {
    let mut plugs = ends.into_iter().zip(addresses);
    let mut next = || {
        let ((namespace, interface), address) = plugs.next()?;
        // Addresses that are looked for on the cable first cannot be used for a second.
        namespace
            .sysctl("net.ipv6.conf.default.accept_dad", "0")
            .ok()?;
        Some(End {
            namespace,
            interface,
            address,
        })
    };
    let (a, b) = next().zip(next()).context("no IPv6")?;
    cable(a, b)
}

/// Two cables with something between them.
fn lay(
    between: Between,
    inner: [(&Namespace, &str); 2],
    outer: [(&Namespace, &str); 2],
) -> Result<()> {
    let ([(near, _), (middle, _)], [_, (far, _)]) = (inner, outer);
    if between == Between::Ipv6 {
        plug(inner, ["2001:db8:1::4/64", "2001:db8:1::1/64"])?;
        plug(outer, ["2001:db8:2::1/64", "2001:db8:2::20/64"])?;
        near.ip("route add default via 2001:db8:1::1")?;
        far.ip("route add default via 2001:db8:2::1")?;
        return middle.sysctl("net.ipv6.conf.all.forwarding", "1");
    }
    plug(inner, ["10.0.0.4/24", "10.0.0.1/24"])?;
    plug(outer, ["203.0.113.10/24", "203.0.113.20/24"])?;
    near.ip("route add default via 10.0.0.1")?;
    middle.sysctl("net.ipv4.ip_forward", "1")?;
    let rules = "table ip nat {\n chain post {\n type nat hook postrouting priority 100\n \
                 oifname \"out\" masquerade\n }\n}\n";
    middle.run("nft", &[rules]).map(drop)
}

/// Every ping was answered.
///
/// # Errors
///
/// What `ping` says otherwise.
pub fn ensure_nothing_lost(ping: Child) -> Result<()> {
    let output = ping.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(said.contains(" 0% packet loss"), "{said}");
    Ok(())
}
