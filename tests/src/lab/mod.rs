//! Two clouds on one machine: gateways (FRR, BIRD), two `skybridged` under test, two internets.
//!
//! ```text
//! host-aws ─ gw-aws ─ nva-aws ═╦═ internet-a ═╦═ nva-oci ─ gw-oci ─ host-oci
//!            FRR     AS 65010  ╚═ internet-b ═╝  AS 65020  BIRD
//!            AS 64512                                      AS 31898
//! ```
//!
//! Every node is a network namespace. The demo shows this, the namespace tests assert on it.

pub mod bfd;
pub mod cables;
pub mod capture;
mod cleanup;
pub mod clouds;
pub mod failover;
pub mod flow;
pub mod gateway;
mod intent;
pub mod internet;
pub mod kernel;
pub mod netns;
mod network;
pub mod nva;
pub mod pair;
pub mod process;
pub mod scratch;
mod site;
pub mod strongswan;
pub mod ways;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use api::v1::peer::State;
use cleanup::{Cleanup, remove_orphans};
pub use cleanup::{ensure_gone, remains, remove};
use flow::Flow;
use gateway::{Bird, Frr, Role};
use intent::Keys;
use internet::Internet;
use netns::Namespace;
use nva::{Binaries, KeyPair, Nva};
use process::wait_for;
pub use site::{AWS, OCI, Site, Way};

/// Where labs keep configurations, sockets and logs.
const RUN: &str = "/run/skybridge-lab";
/// Generous: a loaded machine with two cores starts FRR in under a second.
const GATEWAY_START: Duration = Duration::from_secs(15);
/// Every namespace of a lab, after its prefix.
const NODES: [&str; 8] = [
    "host-aws",
    "gw-aws",
    "nva-aws",
    "internet-a",
    "internet-b",
    "nva-oci",
    "gw-oci",
    "host-oci",
];

/// Which WireGuard the routers use.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum WireGuard {
    /// The kernel's, as in the virtual machine of `./dev vm`.
    Kernel,
    /// Ours, which needs nothing but a TUN.
    #[default]
    Userspace,
}

/// The whole topology. Dropping it removes every trace, unless it is kept.
#[derive(Debug)]
pub struct Lab {
    name: String,
    directory: PathBuf,
    internets: [Internet; 2],
    keys: Keys,
    backend: WireGuard,
    /// FRR, once started.
    pub frr: Option<Frr>,
    /// BIRD, once started.
    pub bird: Option<Bird>,
    /// Left router.
    pub aws: Nva,
    /// Right router.
    pub oci: Nva,
    cleanup: Cleanup,
}

impl Lab {
    /// Makes namespaces, cables and configurations; starts no daemon.
    ///
    /// `name` prefixes every namespace. Labs of dead makers are removed first.
    ///
    /// # Errors
    ///
    /// When not root, when a lab of that name stands, or when something is not installed.
    pub fn build(name: &str, backend: WireGuard) -> Result<Self> {
        ensure!(
            rustix::process::geteuid().is_root(),
            "network namespaces need root"
        );
        remove_orphans()?;
        let directory = Path::new(RUN).join(name);
        ensure!(
            !directory.exists(),
            "a lab called {name} stands already in {}",
            directory.display()
        );
        let binaries = Binaries::find()?;
        fs::create_dir_all(&directory)?;
        let cleanup = Cleanup {
            name: name.to_owned(),
            armed: true,
        };
        fs::write(directory.join("maker"), std::process::id().to_string())?;
        let internets = network::build(name, &directory)?;
        let nva = |site: &Site| {
            let node = format!("nva-{}", site.name);
            Nva::new(&namespace(name, &node), &directory.join(node), &binaries)
        };
        let (aws, oci) = (nva(&AWS)?, nva(&OCI)?);
        let keys = [site_keys(&directory, &AWS)?, site_keys(&directory, &OCI)?];
        let lab = Self {
            name: name.to_owned(),
            directory,
            internets,
            keys,
            backend,
            frr: None,
            bird: None,
            aws,
            oci,
            cleanup,
        };
        lab.configure(&AWS, &[])?;
        lab.configure(&OCI, &[])?;
        Ok(lab)
    }

    /// Starts FRR and BIRD.
    ///
    /// # Errors
    ///
    /// When one does not come up: the end of its log.
    pub fn start_gateways(&mut self) -> Result<()> {
        let directory = |site: &Site| self.directory.join(site.gateway);
        self.frr = Some(Frr::start(
            &self.gateway(&AWS),
            &directory(&AWS),
            role(&AWS),
        )?);
        self.bird = Some(Bird::start(
            &self.gateway(&OCI),
            &directory(&OCI),
            role(&OCI),
        )?);
        Ok(())
    }

    /// Starts both routers.
    ///
    /// # Errors
    ///
    /// When one cannot be started.
    pub fn start_routers(&mut self) -> Result<()> {
        self.aws.start()?;
        self.oci.start()
    }

    /// Writes a router's configuration.
    ///
    /// - `refused`: prefixes of the other site that it shall not let in, on top of its filters
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn configure(&self, site: &Site, refused: &[&str]) -> Result<()> {
        let nva = if site.name == AWS.name {
            &self.aws
        } else {
            &self.oci
        };
        nva.configure(&intent::render(site, &self.keys, self.backend, refused))
    }

    /// Waits until every session is established, as each side sees it.
    ///
    /// # Errors
    ///
    /// After `limit`, or as soon as a router has ended: which, and the end of its log.
    pub fn wait_for_sessions(&mut self, limit: Duration) -> Result<()> {
        let waited = wait_for("every BGP session established", limit, || {
            for nva in [&mut self.aws, &mut self.oci] {
                nva.check_alive()?;
                let peers = nva.peers()?;
                ensure!(
                    peers.len() == 3,
                    "{} has {} peers, not 3",
                    nva.namespace().name(),
                    peers.len()
                );
                for peer in peers {
                    ensure!(
                        peer.state() == State::Established,
                        "{}: peer {} is {:?} {}",
                        nva.namespace().name(),
                        peer.name,
                        peer.state(),
                        peer.last_down,
                    );
                }
            }
            let frr = self
                .frr
                .as_ref()
                .context("FRR was not started")?
                .session_state()?;
            ensure!(frr == "Established", "FRR says {frr}");
            let bird = self
                .bird
                .as_ref()
                .context("BIRD was not started")?
                .session_state()?;
            ensure!(bird == "Established", "BIRD says {bird}");
            Ok(())
        });
        waited.map_err(|error| self.diagnose(error))
    }

    /// Waits until traffic of both routers goes over `way`.
    ///
    /// # Errors
    ///
    /// After `limit`: which router says what, and the ends of the logs.
    pub fn wait_for_active(&mut self, way: Way, limit: Duration) -> Result<()> {
        let waited = wait_for(&format!("traffic on {}", way.link()), limit, || {
            for nva in [&mut self.aws, &mut self.oci] {
                nva.check_alive()?;
                let links = nva.links()?;
                let active = links
                    .iter()
                    .find(|link| link.active)
                    .map_or("none", |link| &link.name);
                ensure!(
                    active == way.link(),
                    "{}: active is {active}",
                    nva.namespace().name()
                );
            }
            Ok(())
        });
        waited.map_err(|error| self.diagnose(error))
    }

    /// Waits until every kernel holds what is intended, and nothing else.
    ///
    /// # Errors
    ///
    /// After `limit`: which kernel, what it holds and what it should.
    pub fn wait_for_routes(&mut self, way: Way, limit: Duration) -> Result<()> {
        let waited = wait_for("the intended routes in every kernel", limit, || {
            for (namespace, protocol, wanted) in self.intended_routes(way) {
                let found = kernel::routes(&namespace, protocol)?;
                ensure!(
                    found == wanted,
                    "{}: {found:?}, should be {wanted:?}",
                    namespace.name()
                );
            }
            Ok(())
        });
        waited.map_err(|error| self.diagnose(error))
    }

    /// Per kernel: namespace, routing protocol, complete set of its routes with traffic on `way`.
    pub fn intended_routes(&self, way: Way) -> Vec<(Namespace, &'static str, kernel::Routes)> {
        let set = |prefixes: &[&str], interface: &str| -> kernel::Routes {
            prefixes
                .iter()
                .map(|prefix| ((*prefix).to_owned(), [interface.to_owned()].into()))
                .collect()
        };
        let mut intended = Vec::new();
        for (site, protocol) in [(&AWS, "bgp"), (&OCI, "bird")] {
            let far = site.other().prefixes;
            intended.push((self.gateway(site), protocol, set(far, "to-nva")));
            let mut router = set(site.prefixes, "to-gw");
            router.append(&mut set(far, &way.interface()));
            intended.push((
                self.node(&format!("nva-{}", site.name)),
                kernel::SKYBRIDGE,
                router,
            ));
        }
        intended
    }

    /// Pings across once.
    ///
    /// # Errors
    ///
    /// When no answer comes within 200 ms.
    pub fn ping(&self, from: &Site) -> Result<()> {
        let to = from.other().host.to_string();
        self.host(from)
            .run("ping", &["-n", "-q", "-c", "1", "-W", "0.2", &to])
            .map(drop)
    }

    /// Starts a stream of packets from the left host to the right one and back.
    ///
    /// # Errors
    ///
    /// See [`Flow::start`].
    pub fn flow(&self, per_second: u32) -> Result<Flow> {
        Flow::start(&self.host(&AWS), &self.host(&OCI), OCI.host, per_second)
    }

    /// The internet of that way.
    pub fn internet(&self, way: Way) -> &Internet {
        let [a, b] = &self.internets;
        match way {
            Way::A => a,
            Way::B => b,
        }
    }

    /// Where logs and sockets are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The host of a site.
    pub fn host(&self, site: &Site) -> Namespace {
        self.node(&format!("host-{}", site.name))
    }

    /// Leaves everything running; [`remove`] ends it.
    ///
    /// # Errors
    ///
    /// When that cannot be written down.
    pub fn keep(mut self) -> Result<()> {
        fs::write(self.directory.join("kept"), "")?;
        self.cleanup.armed = false;
        for nva in [&mut self.aws, &mut self.oci] {
            nva.process()?.release();
        }
        for internet in &mut self.internets {
            internet.program().release();
        }
        for process in self.frr.iter_mut().flat_map(Frr::processes) {
            process.release();
        }
        for process in self.bird.iter_mut().flat_map(Bird::processes) {
            process.release();
        }
        Ok(())
    }

    /// Adds to an error what the routers logged last.
    pub fn diagnose(&self, error: anyhow::Error) -> anyhow::Error {
        let logs = [&self.aws, &self.oci]
            .map(|nva| process::tail(&nva.log(), 12))
            .join("\n");
        anyhow::anyhow!("{error:#}\n{logs}")
    }

    fn node(&self, node: &str) -> Namespace {
        namespace(&self.name, node)
    }

    fn gateway(&self, site: &Site) -> Namespace {
        self.node(&format!("gw-{}", site.name))
    }
}

/// True while a lab of that name stands.
pub fn stands(name: &str) -> bool {
    Path::new(RUN).join(name).exists()
}

/// Says a line to an internet of a lab that stands, whoever made it; see [`Internet::tell`].
///
/// # Errors
///
/// When no such lab stands, or the line is not understood.
pub fn tell_internet(name: &str, way: Way, line: &str) -> Result<String> {
    internet::tell(
        &internet::control(&Path::new(RUN).join(name).join(way.internet())),
        line,
    )
}

fn namespace(lab: &str, node: &str) -> Namespace {
    Namespace::named(&format!("{lab}-{node}"))
}

fn role(site: &Site) -> Role<'_> {
    Role {
        site,
        local: site.gateway_address,
        peer: site.router_address,
    }
}

fn site_keys(directory: &Path, site: &Site) -> Result<[KeyPair; 2]> {
    let key = |way: Way| {
        KeyPair::generate(
            &directory
                .join(format!("nva-{}", site.name))
                .join(format!("{}.key", way.link())),
        )
    };
    Ok([key(Way::A)?, key(Way::B)?])
}
