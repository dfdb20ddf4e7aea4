//! Two routers on a cable, with as many links of one kind as wanted.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::Kind;
use crate::interrupt;
use crate::lab::netns::{self, Namespace, cable};
use crate::lab::nva::{Binaries, KeyPair, Nva};
use crate::lab::process::wait_for;
use crate::lab::scratch::Scratch;
use crate::lab::strongswan::StrongSwan;

/// Five hundred IKE exchanges on an emulated processor.
const PATIENCE: Duration = Duration::from_secs(900);
const FIRST_PORT: u16 = 20_000;
const SECRET: &str = "a.Secret_of-32.characters.or.more";
/// Names of ends, in order.
const SIDES: [Side; 2] = [Side::Near, Side::Far];

/// One of the two ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// It calls.
    Near,
    /// It waits.
    Far,
}

/// Both routers, with their strongSwans where they need one.
#[derive(Debug)]
pub struct Pair {
    kind: Kind,
    keys: [KeyPair; 2],
    /// In the order of [`SIDES`].
    routers: [Nva; 2],
    strongswans: Option<[StrongSwan; 2]>,
    namespaces: [Namespace; 2],
    // Last: its namespaces end when nobody runs in them any more.
    scratch: Scratch,
}

impl Pair {
    /// Both ends, without a link and with nothing running but strongSwan.
    ///
    /// # Errors
    ///
    /// When something is not installed or does not start.
    pub fn build(kind: Kind, tunnels: u16) -> Result<Self> {
        let mut scratch = Scratch::new("tp")?;
        let namespaces = [scratch.namespace("near")?, scratch.namespace("far")?];
        plug(&namespaces, tunnels, scratch.directory())?;
        let directory = |side| scratch.directory().join(name(side));
        let binaries = Binaries::find()?;
        let mut routers = Vec::new();
        let mut keys = Vec::new();
        for (side, namespace) in SIDES.into_iter().zip(&namespaces) {
            routers.push(Nva::new(namespace, &directory(side), &binaries)?);
            keys.push(KeyPair::generate(&directory(side).join("key"))?);
            keep(&directory(side).join("psk"))?;
        }
        let strongswans = match kind {
            Kind::Ipsec => {
                let start =
                    |side, namespace| StrongSwan::start(namespace, &directory(side).join("charon"));
                let [near, far] = &namespaces;
                Some([start(Side::Near, near)?, start(Side::Far, far)?])
            }
            Kind::Userspace | Kind::Wireguard | Kind::Gre | Kind::Vlan => None,
        };
        Ok(Self {
            kind,
            keys: two(keys)?,
            routers: two(routers)?,
            strongswans,
            namespaces,
            scratch,
        })
    }

    /// Starts both routers with so many links.
    ///
    /// # Errors
    ///
    /// When one does not answer.
    pub fn start(&mut self, tunnels: u16) -> Result<()> {
        for side in SIDES {
            self.configure(side, tunnels)?;
            self.routers[side as usize].start()?;
        }
        wait_for("both routers", PATIENCE, || {
            self.routers.iter_mut().try_for_each(|router| {
                router.check_alive()?;
                router.status().map(drop)
            })
        })
    }

    /// Writes the file of one end.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn configure(&self, side: Side, tunnels: u16) -> Result<()> {
        let number = side as usize;
        let mut body = format!("[router]\nname = \"r\"\nasn = 65010\nid = \"10.1.1.{number}\"\n");
        if let Some(strongswans) = &self.strongswans {
            let socket = strongswans[number].socket();
            writeln!(body, "[ipsec]\nsocket = \"{}\"", socket.display())?;
        }
        for tunnel in 0..tunnels {
            let (ours, theirs) = inside(side, tunnel);
            writeln!(
                body,
                "[link.t{tunnel}]\ninside = {{ local = \"{ours}/30\", remote = \"{theirs}\" }}\n\
                 probe = {{ method = \"off\" }}\n{}",
                self.carrier(side, tunnel)
            )?;
        }
        self.routers[number].configure(&body)
    }

    fn carrier(&self, side: Side, tunnel: u16) -> String {
        let (local, remote) = outside(side, tunnel);
        let port = FIRST_PORT + tunnel;
        match self.kind {
            Kind::Gre => format!("gre = {{ local = \"{local}\", remote = \"{remote}\" }}"),
            Kind::Vlan => format!("vlan = {{ parent = \"cable\", id = {} }}", tunnel + 1),
            Kind::Ipsec => format!(
                "ipsec = {{ local = \"{local}\", remote = \"{remote}\", psk = {{ file = \"psk\" }}, initiate = {}, \
                 if-id = {port}, ike = \"aes256gcm16-prfsha256-ecp256\", esp = \"aes256gcm16\" }}",
                side == Side::Near
            ),
            Kind::Userspace | Kind::Wireguard => format!(
                "wireguard = {{ private-key = {{ file = \"key\" }}, listen = {port}, backend = \"{}\", \
                 peer = {{ public-key = \"{}\", endpoint = \"{remote}:{port}\", keepalive = \"25s\" }} }}",
                match self.kind {
                    Kind::Wireguard => "kernel",
                    Kind::Userspace | Kind::Gre | Kind::Vlan | Kind::Ipsec => "userspace",
                },
                self.keys[1 - side as usize].public
            ),
        }
    }

    /// Has one end read its file again.
    ///
    /// # Errors
    ///
    /// What it says against it.
    pub fn reload(&self, side: Side) -> Result<()> {
        self.routers[side as usize].cli(&["reload"]).map(drop)
    }

    /// Waits until all of one end's tunnels are up.
    ///
    /// # Errors
    ///
    /// When that takes too long: what keeps the first of them down.
    pub fn wait_until_up(&self, side: Side, tunnels: u16) -> Result<()> {
        let router = &self.routers[side as usize];
        wait_for("every tunnel", PATIENCE, || {
            let scrape = router.metrics()?;
            let rows = scrape
                .lines()
                .filter(|line| line.starts_with("skybridge_tunnel_up{"));
            let up = rows.filter(|line| line.ends_with(" 1")).count();
            let all = up == usize::from(tunnels);
            ensure!(all, "{up} of {tunnels} are up");
            Ok(())
        })
        .inspect_err(|_| self.show_first(side))?;
        interrupt::check()
    }

    #[expect(clippy::print_stderr, reason = "why a benchmark failed")]
    fn show_first(&self, side: Side) {
        let shown = self.routers[side as usize].cli(&["show", "tunnels"]);
        let shown = shown.unwrap_or_else(|error| error.to_string());
        let lines: Vec<&str> = shown.lines().take(12).collect();
        eprintln!("{}", lines.join("\n"));
    }

    /// The router of this end.
    pub fn router(&mut self, side: Side) -> &mut Nva {
        &mut self.routers[side as usize]
    }

    /// Where this end runs.
    pub fn namespace(&self, side: Side) -> &Namespace {
        &self.namespaces[side as usize]
    }

    /// The strongSwan of this end.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn strongswan(&self, side: Side) -> Result<&StrongSwan> {
        let strongswans = self.strongswans.as_ref().context("no strongSwan")?;
        Ok(&strongswans[side as usize])
    }

    /// Where everything is that it has written.
    pub fn directory(&self) -> &Path {
        self.scratch.directory()
    }
}

fn name(side: Side) -> &'static str {
    match side {
        Side::Near => "near",
        Side::Far => "far",
    }
}

fn two<T: std::fmt::Debug>(ends: Vec<T>) -> Result<[T; 2]> {
    <[T; 2]>::try_from(ends).map_err(|ends| anyhow::anyhow!("not two: {ends:?}"))
}

fn keep(path: &Path) -> Result<()> {
    fs::write(path, SECRET)?;
    Ok(fs::set_permissions(
        path,
        fs::Permissions::from_mode(0o600),
    )?)
}

/// A cable, and at its far end an address for each tunnel.
pub(super) fn plug([near, far]: &[Namespace; 2], tunnels: u16, directory: &Path) -> Result<()> {
    let end = |namespace, address| netns::End {
        namespace,
        interface: "cable",
        address,
    };
    cable(end(near, "172.31.0.1/24"), end(far, "172.31.0.2/24"))?;
    near.ip("route add 172.30.0.0/16 via 172.31.0.2")?;
    let mut batch = String::new();
    for tunnel in 0..tunnels {
        let (address, _) = outside(Side::Far, tunnel);
        writeln!(batch, "addr add {address}/32 dev lo")?;
    }
    let file = directory.join("addresses");
    fs::write(&file, batch)?;
    far.ip(&format!("-batch {}", file.display())).map(drop)
}

/// Our outer address and the other's.
pub(super) fn outside(side: Side, tunnel: u16) -> (String, String) {
    let [high, low] = (tunnel + 256).to_be_bytes();
    let (near, far) = ("172.31.0.1".to_owned(), format!("172.30.{high}.{low}"));
    match side {
        Side::Near => (near, far),
        Side::Far => (far, near),
    }
}

/// Our address inside and the other's.
pub(super) fn inside(side: Side, tunnel: u16) -> (String, String) {
    let [high, low] = (tunnel * 4).to_be_bytes();
    let (near, far) = (
        format!("10.{}.{high}.{}", 64, low + 1),
        format!("10.{}.{high}.{}", 64, low + 2),
    );
    match side {
        Side::Near => (near, far),
        Side::Far => (far, near),
    }
}
