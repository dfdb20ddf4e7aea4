//! One router under test and one real program at the other end of a cable.
//!
//! ```text
//! router 192.0.2.1 ── cable ── 192.0.2.2 other: FRR, BIRD or GoBGP
//!    2001:db8:1::1             2001:db8:1::2
//! ```
//!
//! A third speaker may stand behind another cable, 198.51.100.2, or on the same segment, 192.0.2.3. The same
//! [`Terms`] are written in the words of each program, and what each holds is read back as the same [`Held`],
//! so that one test is a test with all of them.

mod bird;
mod frr;
mod gobgp;
mod held;
mod other;
mod terms;

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use api::v1::Peer;
use api::v1::peer::State;

use super::capture::{Capture, Packets};
use super::netns::{End, Namespace, cable};
use super::nva::{Binaries, Nva};
use super::process::wait_for;
use super::scratch::Scratch;
pub use held::{Held, Paths, Table};
pub use other::{Other, Program};
pub use terms::{Announced, Family, Over, Place, Terms};

/// GoBGP answers nobody for up to ten seconds after a session has ended, and a machine may be busy.
const PATIENCE: Duration = Duration::from_secs(30);
/// Filters that let everything but a default route pass, where a test needs no others.
pub const FILTERS: &str = r#"
[[filter.import]]
action = "accept"
[[filter.export]]
action = "accept"
"#;

/// Makes a test of each of these functions with each [`Program`].
#[macro_export]
macro_rules! with_every_program {
    ($($test:ident)*) => {
        $crate::with_program! { frr: Frr, $($test)* }
        $crate::with_program! { bird: Bird, $($test)* }
        $crate::with_program! { gobgp: GoBgp, $($test)* }
    };
}

/// Makes tests of one program, in a module of its own.
#[doc(hidden)]
#[macro_export]
macro_rules! with_program {
    ($module:ident: $program:ident, $($test:ident)*) => {
        mod $module {
            use $crate::lab::pair::Program;
            $(#[test] fn $test() -> anyhow::Result<()> { super::$test(Program::$program) })*
        }
    };
}

/// Both, with a capture between them. Dropping it removes every trace.
#[derive(Debug)]
pub struct Pair {
    /// The router under test.
    pub router: Nva,
    /// The real one.
    pub other: Other,
    terms: Terms,
    capture: Option<Capture>,
    namespaces: [Namespace; 2],
    scratch: Scratch,
}

impl Pair {
    /// Makes both namespaces, captures, and starts the other program but not the router.
    ///
    /// # Errors
    ///
    /// Without root, or when a program is not installed or does not come up.
    pub fn build(program: Program, test: &str, terms: Terms) -> Result<Self> {
        let mut scratch = Scratch::new(&format!("{}{test}", program.initial()))?;
        let namespaces = [scratch.namespace("router")?, scratch.namespace("other")?];
        plug(&namespaces)?;
        let directory = scratch.directory().to_owned();
        let capture = Capture::start(&namespaces[0], "wire", &directory)?;
        let router = Nva::new(&namespaces[0], &directory, &Binaries::find()?)?;
        let other = Other::start(program, &namespaces[1], &directory.join("other"), &terms)?;
        let pair = Self {
            router,
            other,
            terms,
            capture: Some(capture),
            namespaces,
            scratch,
        };
        pair.configure("", FILTERS)?;
        Ok(pair)
    }

    /// As [`Pair::build`], with the router started and the session established.
    ///
    /// # Errors
    ///
    /// As [`Pair::build`], or when there is no session within 10 s.
    pub fn established(program: Program, test: &str, terms: Terms) -> Result<Self> {
        let mut pair = Self::build(program, test, terms)?;
        pair.router.start()?;
        pair.wait_for_session()?;
        Ok(pair)
    }

    /// Makes the cable a segment, with a third speaker on it: 192.0.2.3. Before the router starts.
    ///
    /// # Errors
    ///
    /// As [`Pair::build`].
    pub fn neighbour(&mut self, program: Program, terms: Terms) -> Result<Other> {
        let third = self.scratch.namespace("third")?;
        third.sysctl("net.ipv6.conf.default.accept_dad", "0")?;
        let router = &self.namespaces[0];
        let end = |namespace, interface, address| End {
            namespace,
            interface,
            address,
        };
        cable(
            end(router, "third", "192.0.2.9/24"),
            end(&third, "wire", "192.0.2.3/24"),
        )?;
        router.ip("link add segment type bridge")?;
        for port in ["wire", "third"] {
            router.ip(&format!("addr flush dev {port}"))?;
            router.ip(&format!("link set {port} master segment"))?;
        }
        router.ip("addr add 192.0.2.1/24 dev segment")?;
        router.ip("addr add 2001:db8:1::1/64 dev segment")?;
        router.ip("link set segment up")?;
        third.ip("addr add 2001:db8:1::3/64 dev wire")?;
        let terms = Terms {
            place: Place::Segment,
            ..terms
        };
        let directory = self.scratch.directory().join("third");
        Other::start(program, &third, &directory, &terms)
    }

    /// Plugs in a third speaker, which the router's file has to name as a peer: 198.51.100.2.
    ///
    /// # Errors
    ///
    /// As [`Pair::build`].
    pub fn third(&mut self, program: Program, terms: Terms) -> Result<Other> {
        let third = self.scratch.namespace("third")?;
        let end = |namespace, interface, address| End {
            namespace,
            interface,
            address,
        };
        cable(
            end(&self.namespaces[0], "third", "198.51.100.1/24"),
            end(&third, "wire", "198.51.100.2/24"),
        )?;
        let terms = Terms {
            place: Place::Third,
            ..terms
        };
        let directory = self.scratch.directory().join("third");
        Other::start(program, &third, &directory, &terms)
    }

    /// Writes the router's file: `keys` go into the section of the peer, `sections` follow it.
    ///
    /// The filters `import` and `export` are used; `sections` has to define them, as [`FILTERS`].
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn configure(&self, keys: &str, sections: &str) -> Result<()> {
        let Terms {
            our_asn,
            their_asn,
            hold_secs,
            ..
        } = &self.terms;
        let mut text = String::new();
        writeln!(
            text,
            "[router]\nname = \"under-test\"\nasn = {our_asn}\nid = \"192.0.2.1\"\n"
        )?;
        writeln!(
            text,
            "[peer.other]\naddress = \"{}\"\nasn = {their_asn}\nhold-time = \"{hold_secs}s\"
connect-retry = \"1s\"\nimport = \"import\"\nexport = \"export\"\n{keys}\n{sections}",
            self.terms.theirs()
        )?;
        self.router.configure(&text)
    }

    /// As [`Pair::configure`], for a router that runs.
    ///
    /// # Errors
    ///
    /// When the router refuses the file.
    pub fn reconfigure(&self, keys: &str, sections: &str) -> Result<()> {
        self.configure(keys, sections)?;
        self.router.cli(&["reload"]).map(drop)
    }

    /// Waits until both say that the session is established.
    ///
    /// # Errors
    ///
    /// After 10 s: who says what, and the end of the router's log.
    pub fn wait_for_session(&mut self) -> Result<()> {
        let waited = wait_for("an established session", PATIENCE, || {
            self.router.check_alive()?;
            let (peer, state) = (self.peer()?, self.other.session_state()?);
            ensure!(
                peer.state() == State::Established,
                "the router says {:?} {}",
                peer.state(),
                peer.last_down
            );
            ensure!(state == "Established", "the other says {state}");
            Ok(())
        });
        waited.map_err(|error| self.diagnose(error))
    }

    /// Waits until the router says of its peer what `accept` wants.
    ///
    /// # Errors
    ///
    /// After 10 s: what it said instead.
    pub fn wait_for_peer(&self, what: &str, accept: impl Fn(&Peer) -> bool) -> Result<Peer> {
        let waited = wait_for(what, PATIENCE, || {
            let peer = self.peer()?;
            ensure!(accept(&peer), "{peer:?}");
            Ok(peer)
        });
        waited.map_err(|error| self.diagnose(error))
    }

    /// Waits until the router holds exactly these routes from the other, as received.
    ///
    /// # Errors
    ///
    /// After 10 s: what it holds instead.
    pub fn wait_for_ours(&self, family: Family, wanted: &Table) -> Result<()> {
        self.wait_for_table("the router's table", wanted, || self.received(family))
    }

    /// Waits until the other holds exactly these routes from the router.
    ///
    /// # Errors
    ///
    /// After 10 s: what it holds instead.
    pub fn wait_for_theirs(&self, family: Family, wanted: &Table) -> Result<()> {
        self.wait_for_table("the other's table", wanted, || self.other.received(family))
    }

    fn wait_for_table(
        &self,
        what: &str,
        wanted: &Table,
        read: impl Fn() -> Result<Table>,
    ) -> Result<()> {
        let waited = wait_for(what, PATIENCE, || {
            let found = read()?;
            ensure!(found == *wanted, "{found:#?}\nshould be {wanted:#?}");
            Ok(())
        });
        waited.map_err(|error| self.diagnose(error))
    }

    /// The other, as the router sees it.
    ///
    /// # Errors
    ///
    /// When the router does not answer.
    pub fn peer(&self) -> Result<Peer> {
        let mut peers = self.router.peers()?.into_iter();
        let other = peers.find(|peer| peer.name == "other");
        other.context("the router has no such peer")
    }

    /// What the router holds from the other, after its import filter: the first path of each prefix.
    ///
    /// # Errors
    ///
    /// When the router does not answer.
    pub fn received(&self, family: Family) -> Result<Table> {
        self.received_paths(family).map(held::first)
    }

    /// What the router holds from its peers, after its import filters, where that is several paths
    /// a prefix.
    ///
    /// # Errors
    ///
    /// When the router does not answer.
    pub fn received_paths(&self, family: Family) -> Result<Paths> {
        let said = self.router.cli(&["--json", "show", "routes"])?;
        let routes = said.lines().map(serde_json::from_str);
        let routes = routes.collect::<serde_json::Result<Vec<_>>>()?;
        let mut held = held::of_router(&routes, family);
        held.values_mut().for_each(|paths| paths.sort());
        Ok(held)
    }

    /// The namespaces of router and other.
    pub fn namespaces(&self) -> &[Namespace; 2] {
        &self.namespaces
    }

    /// Ends the capture and fails unless every packet is well formed.
    ///
    /// # Errors
    ///
    /// The packets that are not.
    pub fn packets(&mut self) -> Result<Packets> {
        let Some(capture) = self.capture.take() else {
            bail!("the capture has ended already");
        };
        let packets = capture.finish()?;
        packets.ensure_well_formed()?;
        Ok(packets)
    }

    /// Adds to an error what the router and the other logged last, and what they said to each other.
    pub fn diagnose(&self, error: anyhow::Error) -> anyhow::Error {
        let router = super::process::tail(&self.router.log(), 15);
        let capture = self.capture.as_ref();
        let said = capture.map(|capture| capture.so_far().matching("bgp"));
        let said = said.and_then(Result::ok).unwrap_or_default().join("\n  ");
        let other = self.other.log_tail();
        anyhow::anyhow!("{error:#}\n{router}\n{other}\n  {said}")
    }
}

fn plug(namespaces: &[Namespace; 2]) -> Result<()> {
    for namespace in namespaces {
        // Without duplicate address detection an address can be used at once, the link-local one
        // too, which speakers want for IPv6.
        namespace.sysctl("net.ipv6.conf.default.accept_dad", "0")?;
    }
    let end = |side: usize, address| End {
        namespace: &namespaces[side],
        interface: "wire",
        address,
    };
    cable(end(0, "192.0.2.1/24"), end(1, "192.0.2.2/24"))?;
    for (namespace, address) in namespaces.iter().zip(["2001:db8:1::1", "2001:db8:1::2"]) {
        namespace.ip(&format!("addr add {address}/64 dev wire"))?;
    }
    for (namespace, address) in namespaces.iter().zip(["fe80::1", "fe80::2"]) {
        namespace.ip(&format!("addr add {address}/64 dev wire"))?;
    }
    Ok(())
}
