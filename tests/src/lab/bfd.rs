//! A router under test, and a neighbour that speaks BFD and BGP: FRR or BIRD. It is at the end of a link, or a peer
//! on none: on the same cable, or behind a third router.
//!
//! ```text
//! router, AS 65010   192.0.2.1 ── cable ── 192.0.2.2   neighbour, AS 65020
//!                2001:db8:1::1             2001:db8:1::2
//!
//!                    192.0.2.1 ── 192.0.2.254 · 198.51.100.254 ── 198.51.100.2
//! ```

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use api::v1::{BfdSession, Link, Peer};
use rustix::process::Signal;
use serde_json::Value;

use super::capture::{Capture, Packets};
use super::gateway::{Bird, Frr};
use super::netns::{End, Namespace, cable};
use super::nva::{Binaries, Nva};
use super::process::{Process, wait_for};
use super::scratch::Scratch;

const PATIENCE: Duration = Duration::from_secs(15);

/// Whose BFD the neighbour's is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Program {
    /// FRR's `bfdd`.
    Frr,
    /// BIRD's.
    Bird,
}

/// What both ends are told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Terms {
    /// Of the neighbour, both ways, ms.
    pub interval: u64,
    /// IPv4 or IPv6.
    pub over: Over,
    /// Further words for BIRD's interface, such as its authentication.
    pub bird_words: &'static str,
    /// What the neighbour is to the router.
    pub as_a: Role,
}

/// What a neighbour is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// The far end of a link, which is called `wire`.
    Link,
    /// A peer on no link, called `wire` too, on the same network.
    Peer,
    /// One behind a router.
    FarPeer,
}

/// Family of the link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Over {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Terms {
    /// IPv4, no authentication.
    pub fn every(interval: u64) -> Self {
        Self {
            interval,
            over: Over::V4,
            bird_words: "",
            as_a: Role::Link,
        }
    }

    /// As [`Terms::every`], for a neighbour in another role.
    pub fn as_a(role: Role, interval: u64) -> Self {
        Self {
            as_a: role,
            ..Self::every(interval)
        }
    }

    fn ours(self) -> &'static str {
        match self.over {
            Over::V4 => "192.0.2.1",
            Over::V6 => "2001:db8:1::1",
        }
    }

    fn theirs(self) -> &'static str {
        match (self.as_a, self.over) {
            (Role::FarPeer, _) => "198.51.100.2",
            (Role::Link | Role::Peer, Over::V4) => "192.0.2.2",
            (Role::Link | Role::Peer, Over::V6) => "2001:db8:1::2",
        }
    }
}

#[derive(Debug)]
enum Neighbour {
    Frr(Frr),
    Bird(Bird),
}

/// Both. Dropping it removes every trace.
#[derive(Debug)]
pub struct Watched {
    /// The router under test.
    pub router: Nva,
    neighbour: Neighbour,
    terms: Terms,
    capture: Option<Capture>,
    _scratch: Scratch,
}

impl Watched {
    /// Starts the neighbour, and writes the router's file with these keys of its link's `bfd`; the router
    /// is not started.
    ///
    /// # Errors
    ///
    /// Without root, or when a program is missing or does not come up.
    pub fn build(program: Program, test: &str, terms: Terms, keys: &str) -> Result<Self> {
        let mut scratch = Scratch::new(test)?;
        let [ours, theirs] = [scratch.namespace("router")?, scratch.namespace("other")?];
        match terms.as_a {
            Role::Link | Role::Peer => plug(&ours, &theirs)?,
            Role::FarPeer => plug_far(&ours, &scratch.namespace("middle")?, &theirs)?,
        }
        let directory = scratch.directory().to_owned();
        let capture = Capture::start(&ours, "wire", &directory)?;
        let router = Nva::new(&ours, &directory, &Binaries::find()?)?;
        let neighbour = start(program, &theirs, &directory.join("other"), terms)?;
        let watched = Self {
            router,
            neighbour,
            terms,
            capture: Some(capture),
            _scratch: scratch,
        };
        watched.configure(keys)?;
        Ok(watched)
    }

    /// As [`Watched::build`], with the router started and BFD up at both ends.
    ///
    /// # Errors
    ///
    /// As [`Watched::build`], or when it does not come up.
    pub fn up(program: Program, test: &str, terms: Terms, keys: &str) -> Result<Self> {
        let mut watched = Self::build(program, test, terms, keys)?;
        watched.router.start()?;
        watched.wait_for_both("up")?;
        Ok(watched)
    }

    /// Writes the router's file with these keys of its link's or peer's `bfd`.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn configure(&self, keys: &str) -> Result<()> {
        self.configure_with(keys, "")
    }

    /// As [`Watched::configure`], with further keys of the peer.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn configure_with(&self, keys: &str, of_peer: &str) -> Result<()> {
        let (ours, theirs) = (self.terms.ours(), self.terms.theirs());
        let length = match self.terms.over {
            Over::V4 => 24,
            Over::V6 => 64,
        };
        let terms = "asn = 65020, connect-retry = \"1s\", import = \"all\", export = \"all\"";
        let place = match self.terms.as_a {
            Role::Link => format!(
                "[link.wire]\ninterface = \"wire\"
inside = {{ local = \"{ours}/{length}\", remote = \"{theirs}\" }}
probe = {{ method = \"off\" }}\nbfd = {{ {keys} }}\nbgp = {{ {terms}{of_peer} }}"
            ),
            Role::Peer => format!(
                "[peer]\nwire = {{ address = \"{theirs}\", bfd = {{ {keys} }}, {terms}{of_peer} }}"
            ),
            Role::FarPeer => format!(
                "[peer]\nwire = {{ address = \"{theirs}\", bfd = {{ {keys} }}, {terms}, \
                 local-address = \"{ours}\", multihop = 2{of_peer} }}"
            ),
        };
        self.router.configure(&format!(
            "[router]\nname = \"bfd\"\nasn = 65010\nid = \"192.0.2.1\"\n
{place}\n[[filter.all]]\naction = \"accept\"\n"
        ))
    }

    /// The router's only link.
    ///
    /// # Errors
    ///
    /// When the router does not answer.
    pub fn link(&self) -> Result<Link> {
        self.router.links()?.pop().context("the router has no link")
    }

    /// The router's session.
    ///
    /// # Errors
    ///
    /// When the router does not answer, or has none.
    pub fn session(&self) -> Result<BfdSession> {
        match self.terms.as_a {
            Role::Link => self.link()?.bfd.context("the link has no BFD session"),
            Role::Peer | Role::FarPeer => self.peer()?.bfd.context("the peer has no BFD session"),
        }
    }

    /// The router's only peer.
    ///
    /// # Errors
    ///
    /// When the router does not answer.
    pub fn peer(&self) -> Result<Peer> {
        self.router.peers()?.pop().context("the router has no peer")
    }

    /// What the neighbour calls the state of its session: "up", "down" or "init".
    ///
    /// # Errors
    ///
    /// When it does not answer.
    pub fn theirs(&self) -> Result<String> {
        match &self.neighbour {
            Neighbour::Frr(_) => Ok(word(&self.frr_says()?["status"])),
            Neighbour::Bird(bird) => {
                // 192.0.2.1    wire    Up    10:22:46.127    0.050    0.150
                let said = bird.birdc("show bfd sessions")?;
                let ours = self.terms.ours();
                let line = said.lines().find(|line| line.trim().starts_with(ours));
                let state = line.and_then(|line| line.split_whitespace().nth(2));
                Ok(state.unwrap_or("none").to_lowercase())
            }
        }
    }

    /// What FRR's `bfdd` says of the session.
    ///
    /// # Errors
    ///
    /// When it does not answer, or is not FRR's.
    pub fn frr_says(&self) -> Result<Value> {
        let Neighbour::Frr(frr) = &self.neighbour else {
            bail!("the neighbour is not FRR");
        };
        let said = frr.vtysh_bfdd(&["show bfd peers json"])?;
        let mut told: Value = serde_json::from_str(&said)?;
        Ok(told[0].take())
    }

    /// Has FRR's `bfdd` change its session by these words.
    ///
    /// # Errors
    ///
    /// When it refuses, or is not FRR's.
    pub fn frr_change(&self, words: &str) -> Result<()> {
        let Neighbour::Frr(frr) = &self.neighbour else {
            bail!("the neighbour is not FRR");
        };
        let peer = frr_peer(self.terms);
        frr.vtysh_bfdd(&["configure terminal", "bfd", &peer, words])
            .map(drop)
    }

    /// The neighbour's process that speaks BFD hears and says nothing until [`Watched::resume`].
    ///
    /// # Errors
    ///
    /// When it is gone.
    pub fn freeze(&mut self) -> Result<()> {
        self.process()?.signal(Signal::STOP)
    }

    /// Undoes [`Watched::freeze`].
    ///
    /// # Errors
    ///
    /// When it is gone.
    pub fn resume(&mut self) -> Result<()> {
        self.process()?.signal(Signal::CONT)
    }

    fn process(&mut self) -> Result<&mut Process> {
        let processes = match &mut self.neighbour {
            Neighbour::Frr(frr) => frr.processes(),
            Neighbour::Bird(bird) => bird.processes(),
        };
        processes.last_mut().context("no process")
    }

    /// What the neighbour calls the state of its BGP session.
    ///
    /// # Errors
    ///
    /// When it does not answer.
    pub fn bgp(&self) -> Result<String> {
        match &self.neighbour {
            Neighbour::Frr(frr) => frr.session_state(),
            Neighbour::Bird(bird) => bird.session_state(),
        }
    }

    /// Waits until both ends are in this state.
    ///
    /// # Errors
    ///
    /// After 15 s: what they are in.
    pub fn wait_for_both(&mut self, state: &str) -> Result<()> {
        self.wait_for(&format!("BFD {state} at both ends"), |watched| {
            let (ours, theirs) = (watched.session()?, watched.theirs()?);
            let said = state_word(&ours);
            ensure!(said == state, "the router says {said}: {ours:?}");
            ensure!(theirs == state, "the neighbour says {theirs}");
            Ok(())
        })
    }

    /// Waits until `attempt` succeeds.
    ///
    /// # Errors
    ///
    /// After 15 s: its last error, and the end of the router's log.
    pub fn wait_for<T>(
        &mut self,
        what: &str,
        mut attempt: impl FnMut(&Self) -> Result<T>,
    ) -> Result<T> {
        let waited = wait_for(what, PATIENCE, || {
            self.router.check_alive()?;
            attempt(self)
        });
        waited.map_err(|error| {
            let log = super::process::tail(&self.router.log(), 20);
            anyhow::anyhow!("{error:#}\n{log}")
        })
    }

    /// Ends the capture, and fails unless every packet is well formed.
    ///
    /// # Errors
    ///
    /// The packets that are not.
    pub fn packets(&mut self) -> Result<Packets> {
        let capture = self.capture.take().context("the capture has ended")?;
        let packets = capture.finish()?;
        packets.ensure_well_formed()?;
        Ok(packets)
    }
}

/// The state of a session of ours, as FRR and BIRD call it.
pub fn state_word(session: &BfdSession) -> &'static str {
    match session.state() {
        api::v1::BfdState::Unspecified => "none",
        api::v1::BfdState::AdminDown => "admin-down",
        api::v1::BfdState::Down => "down",
        api::v1::BfdState::Init => "init",
        api::v1::BfdState::Up => "up",
    }
}

fn word(value: &Value) -> String {
    value.as_str().unwrap_or("none").to_owned()
}

fn plug(ours: &Namespace, theirs: &Namespace) -> Result<()> {
    for namespace in [ours, theirs] {
        namespace.sysctl("net.ipv6.conf.default.accept_dad", "0")?;
    }
    let end = |namespace, address| End {
        namespace,
        interface: "wire",
        address,
    };
    cable(end(ours, "192.0.2.1/24"), end(theirs, "192.0.2.2/24"))?;
    ours.ip("addr add 2001:db8:1::1/64 dev wire")?;
    theirs.ip("addr add 2001:db8:1::2/64 dev wire")?;
    Ok(())
}

fn plug_far(ours: &Namespace, middle: &Namespace, theirs: &Namespace) -> Result<()> {
    middle.sysctl("net.ipv4.ip_forward", "1")?;
    let end = |namespace, interface, address| End {
        namespace,
        interface,
        address,
    };
    cable(
        end(ours, "wire", "192.0.2.1/24"),
        end(middle, "near", "192.0.2.254/24"),
    )?;
    cable(
        end(middle, "far", "198.51.100.254/24"),
        end(theirs, "wire", "198.51.100.2/24"),
    )?;
    ours.ip("route add 198.51.100.0/24 via 192.0.2.254")?;
    theirs.ip("route add 192.0.2.0/24 via 198.51.100.254")?;
    Ok(())
}

fn start(
    program: Program,
    namespace: &Namespace,
    directory: &Path,
    terms: Terms,
) -> Result<Neighbour> {
    let ours = terms.ours();
    match program {
        Program::Frr => {
            let multihop = match terms.as_a {
                Role::Link | Role::Peer => String::new(),
                Role::FarPeer => format!(" neighbor {ours} ebgp-multihop 2\n"),
            };
            let bgpd = format!(
                "hostname other
router bgp 65020
 bgp router-id 192.0.2.2
 no bgp ebgp-requires-policy
 neighbor {ours} remote-as 65010
 neighbor {ours} timers connect 1
{multihop}"
            );
            let mut frr = Frr::launch(namespace, directory, ours.parse()?, &bgpd)?;
            frr.add_bfdd(namespace, &frr_config(terms))?;
            Ok(Neighbour::Frr(frr))
        }
        Program::Bird => {
            let Terms {
                interval,
                bird_words,
                ..
            } = terms;
            let theirs = terms.theirs();
            let (place, neighbour, multihop) = match terms.as_a {
                Role::Link | Role::Peer => ("interface \"wire\"", "dev \"wire\"".to_owned(), ""),
                Role::FarPeer => (
                    "multihop",
                    format!("local {theirs} multihop on"),
                    "multihop 2;",
                ),
            };
            let config = format!(
                "log stderr all;
router id 192.0.2.2;
protocol device {{ scan time 10; }}
protocol bfd {{
  {place} {{ interval {interval} ms; multiplier 3; {bird_words} }};
  neighbor {ours} {neighbour};
}}
protocol bgp nva {{
  local {theirs} as 65020;
  neighbor {ours} as 65010;
  {multihop}
  connect retry time 1;
  connect delay time 1;
  error wait time 1, 4;
  ipv4 {{ import all; export none; }};
}}
"
            );
            let bird = Bird::launch(namespace, directory, &config)?;
            Ok(Neighbour::Bird(bird))
        }
    }
}

fn frr_peer(terms: Terms) -> String {
    let (ours, theirs) = (terms.ours(), terms.theirs());
    match (terms.as_a, terms.over) {
        (Role::FarPeer, _) => format!("peer {ours} multihop local-address {theirs}"),
        (_, Over::V4) => format!("peer {ours} interface wire"),
        // FRR wants to know where from.
        (_, Over::V6) => format!("peer {ours} local-address {theirs} interface wire"),
    }
}

fn frr_config(terms: Terms) -> String {
    let interval = terms.interval;
    format!(
        "hostname other
bfd
 {}
  detect-multiplier 3
  receive-interval {interval}
  transmit-interval {interval}
  no shutdown
 !
!
",
        frr_peer(terms)
    )
}
