//! The boundary to the kernel: observe, apply, watch.

mod device;
mod error;
mod interfaces;
mod kernel;
mod netlink;
pub mod nft;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Child,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

pub use error::StepError;
use interfaces::Interfaces;
use kernel::WireGuard;
use netlink::Watch;
use netlink_packet_route::link::LinkInfo;
use tokio::sync::Notify;

use crate::{
    clamp::Clamp,
    ipsec::{
        driver::{self, Handle},
        machine::State,
    },
    names::Answers,
    plan::{Action, Device, Life, MARK, Observed, ObservedWireGuard, Owner, Step},
    spec::{
        BackendChoice, Esp, FarEnd, HANDSHAKE_FRESH, IpsecSpec, Kind, TunnelSpec, TunnelStatus,
        VlanSpec, WireGuardCounts, WireGuardSpec,
    },
    userspace::{self, Pool, Trouble, Tunnel, keeper::Keeper},
};

const NO_INTERFACE: &str = "the interface does not exist yet";

/// Interfaces, addresses and WireGuard of this network namespace.
///
/// The userspace data planes live in it: dropping it ends them and leaves their interfaces.
pub struct Linux {
    interfaces: Interfaces,
    wireguard: WireGuard,
    watch: Watch,
    keeper: Keeper,
    tunnels: BTreeMap<String, Tunnel>,
    /// One of them has begun or ceased to lead somewhere.
    stirred: Arc<Notify>,
    /// What serves them, once there is one.
    pool: Option<Arc<Pool>>,
    /// Keepers that we started, to be reaped when they end.
    keepers: Vec<(String, Child)>,
    /// The endpoint last configured in the kernel, where the peer may have roamed from.
    endpoints: BTreeMap<String, SocketAddr>,
    problems: BTreeMap<String, String>,
    /// Where strongSwan listens.
    vici: PathBuf,
    /// Runs once there is something for it to do.
    ipsec: Option<Handle>,
    nft: nft::Nft,
}

/// What [`Linux::watch`] has seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Noticed {
    /// An interface or an address is not what it was, or not what its tunnel is: time to observe and plan.
    Interfaces,
    /// An IPsec tunnel has got or lost its far end: time to ask for the status.
    FarEnd,
}

impl Linux {
    /// Opens the kernel's sockets, in the network namespace of the calling thread and on its
    /// tokio runtime. Changes from now on wake [`Linux::watch`].
    ///
    /// # Errors
    /// The kernel's.
    pub fn open() -> io::Result<Self> {
        Ok(Self {
            watch: Watch::open()?,
            interfaces: Interfaces::open()?,
            wireguard: WireGuard::open()?,
            keeper: Keeper::own_binary(),
            tunnels: BTreeMap::new(),
            stirred: Arc::default(),
            pool: None,
            keepers: Vec::new(),
            endpoints: BTreeMap::new(),
            problems: BTreeMap::new(),
            vici: PathBuf::from(driver::SOCKET),
            ipsec: None,
            nft: nft::Nft::default(),
        })
    }

    /// With strongSwan's socket elsewhere than at [`driver::SOCKET`].
    #[must_use]
    pub fn with_vici(mut self, socket: &Path) -> Self {
        socket.clone_into(&mut self.vici);
        self
    }

    /// Reads every interface; whose it is tells [`Observed::owner`].
    ///
    /// # Errors
    /// The kernel's.
    pub async fn observe(&mut self) -> io::Result<Vec<Observed>> {
        self.reap();
        let mut observed = self.interfaces.list().await?;
        for seen in &mut observed {
            if let (Owner::Ours(link), Some(ipsec)) = (&seen.owner, &self.ipsec) {
                seen.ipsec = ipsec.wanted(link).cloned().map(Box::new);
            }
            seen.wireguard = match (&seen.owner, &seen.device) {
                (Owner::Ours(_), Some(Device::Tun)) => self.serving(&seen.interface),
                (Owner::Ours(_), Some(Device::WireGuard)) => {
                    self.in_kernel(&seen.interface).await?
                }
                (
                    Owner::Ours(_),
                    Some(Device::Gre(_) | Device::Vlan(_) | Device::Xfrm(_)) | None,
                )
                | (Owner::Foreign, _) => None,
            };
        }
        Ok(observed)
    }

    /// Does the steps of a whole plan in order; one result per step. After a step that failed, the others of the
    /// same interface are skipped.
    pub async fn apply(&mut self, steps: &[Step]) -> Vec<Result<(), StepError>> {
        let mut results = Vec::with_capacity(steps.len());
        let mut failed = BTreeSet::new();
        // An interface that needs no step has no problem left.
        self.problems
            .retain(|interface, _| steps.iter().any(|step| step.interface == *interface));
        for step in steps {
            if failed.contains(&step.interface) {
                results.push(Err(StepError::Skipped {
                    interface: step.interface.clone(),
                }));
                continue;
            }
            let result = self.perform(step).await;
            match &result {
                Ok(()) => drop(self.problems.remove(&step.interface)),
                Err(error) => {
                    failed.insert(step.interface.clone());
                    self.problems
                        .insert(step.interface.clone(), error.to_string());
                }
            }
            results.push(result);
        }
        if let Some(ipsec) = &mut self.ipsec {
            ipsec.complete().await;
        }
        results
    }

    /// Resolves when something changed. Cancel-safe.
    ///
    /// # Errors
    /// The kernel's. An overrun is no error: it is a change.
    pub async fn watch(&mut self) -> io::Result<Noticed> {
        let stirred = async {
            match &mut self.ipsec {
                Some(ipsec) => ipsec.changed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = self.watch.changed() => changed.map(|()| Noticed::Interfaces),
            () = stirred => Ok(Noticed::FarEnd),
            () = self.stirred.notified() => Ok(Noticed::Interfaces),
        }
    }

    /// Has TCP told what these interfaces carry in one segment.
    pub async fn clamp(&mut self, clamps: &[Clamp]) {
        self.nft.set(clamps).await;
    }

    /// Those of these tunnels that have no far end, by what is known without asking anybody.
    pub fn severed<'a>(&'a self, desired: &'a [TunnelSpec]) -> impl Iterator<Item = &'a str> {
        let ends = desired
            .iter()
            .filter(|spec| matches!(spec.kind, Kind::Ipsec(_)));
        let lost = ends.filter(|spec| {
            let standing = self
                .ipsec
                .as_ref()
                .and_then(|ipsec| ipsec.standing(&spec.name));
            !standing.is_some_and(|standing| matches!(standing.state, State::Up(_)))
        });
        lost.map(|spec| spec.name.as_str())
    }

    /// How each of these tunnels is, in their order.
    ///
    /// # Errors
    /// The kernel's.
    pub async fn status(&mut self, desired: &[TunnelSpec]) -> io::Result<Vec<TunnelStatus>> {
        self.reap();
        let observed = self.interfaces.list().await?;
        let mut all = Vec::with_capacity(desired.len());
        for spec in desired {
            let seen = observed
                .iter()
                .find(|seen| seen.interface == spec.interface);
            let mut status = self.plain_status(spec, seen);
            if let Kind::WireGuard(wireguard) = &spec.kind {
                self.wireguard_status(wireguard, seen, &mut status).await?;
            } else if let Kind::Ipsec(ipsec) = &spec.kind {
                self.ipsec_status(ipsec, &mut status);
            } else if status.problem.is_none() && status.backend.is_none() {
                status.problem = Some(NO_INTERFACE.to_owned());
            }
            all.push(status);
        }
        Ok(all)
    }

    /// Removes every interface of ours, as an uninstallation does. Returns their names.
    ///
    /// # Errors
    /// The kernel's.
    pub async fn flush(&mut self) -> io::Result<Vec<String>> {
        let mut removed = Vec::new();
        for seen in self.interfaces.list().await? {
            if matches!(seen.owner, Owner::Ours(_)) {
                self.interfaces.remove(&seen.interface).await?;
                removed.push(seen.interface);
            }
        }
        Ok(removed)
    }

    async fn perform(&mut self, Step { interface, action }: &Step) -> Result<(), StepError> {
        let done = match action {
            Action::Refuse => {
                return Err(StepError::NotOurs {
                    interface: interface.clone(),
                });
            }
            Action::Create(spec) => return self.create(spec).await,
            Action::Configure(spec) => return self.configure(spec).await,
            Action::Remove => self.remove(interface).await,
            Action::Mark(link) => self.interfaces.set_alias(interface, &mark(link)).await,
            Action::SetMtu(mtu) => self.interfaces.set_mtu(interface, *mtu).await,
            Action::Forward => {
                tracing::info!(interface, "forwarding on, rp_filter 2 (loose)");
                self.interfaces.forward(interface).await
            }
            Action::SetAddress(address) => self.interfaces.add_address(interface, *address).await,
            Action::RemoveAddress(address) => {
                self.interfaces.remove_address(interface, *address).await
            }
            Action::Down => self.interfaces.set_down(interface).await,
            Action::Say(readiness) => self.interfaces.say(interface, *readiness).await,
            // One that has just been made; with its first session it is looked at again.
            Action::Up if self.leads_nowhere(interface) => Ok(()),
            Action::Up => {
                // A kernel `wireguard` interface binds its port when it goes up.
                let port = self.wireguard.listen_port(interface).await;
                let up = self.interfaces.set_up(interface).await;
                return up.map_err(|error| StepError::of(action, interface, port, error));
            }
        };
        done.map_err(|error| StepError::of(action, interface, None, error))
    }

    async fn create(&mut self, spec: &TunnelSpec) -> Result<(), StepError> {
        let interface = &spec.interface;
        if self
            .interfaces
            .exists(interface)
            .await
            .map_err(|error| failed(spec, error))?
        {
            return Err(StepError::NotOurs {
                interface: interface.clone(),
            });
        }
        match &spec.kind {
            Kind::WireGuard(wireguard) => self.create_wireguard(spec, wireguard).await,
            Kind::Gre(gre) => self.make(spec, device::gre(gre), None).await,
            Kind::Vlan(vlan) => {
                let parent = self.parent(vlan).await?;
                self.make(spec, device::vlan(vlan), Some(parent)).await
            }
            Kind::Ipsec(ipsec) => self.make(spec, device::xfrm(ipsec.if_id), None).await,
        }
        .map_err(|error| StepError::of_creation(spec, error))
    }

    /// Makes an interface and says that it is ours.
    async fn make(
        &mut self,
        spec: &TunnelSpec,
        infos: Vec<LinkInfo>,
        parent: Option<u32>,
    ) -> io::Result<()> {
        let interface = &spec.interface;
        self.interfaces.create(interface, infos, parent).await?;
        let marked = self
            .interfaces
            .set_alias(interface, &mark(&spec.name))
            .await;
        if marked.is_err() {
            // Unmarked, the next start would not know it for ours.
            let _ = self.interfaces.remove(interface).await;
        }
        marked
    }

    async fn create_wireguard(
        &mut self,
        spec: &TunnelSpec,
        wireguard: &WireGuardSpec,
    ) -> io::Result<()> {
        if wireguard.backend != BackendChoice::Userspace {
            match self.make(spec, device::wireguard(), None).await {
                Err(error)
                    if kernel::is_missing(&error) && wireguard.backend == BackendChoice::Auto => {}
                made => return made,
            }
        }
        self.create_tun(spec).await
    }

    async fn parent(&mut self, vlan: &VlanSpec) -> Result<u32, StepError> {
        self.interfaces
            .index(&vlan.parent)
            .await
            .map_err(|source| match source.raw_os_error() {
                Some(libc::ENODEV) => StepError::NoParent(vlan.clone()),
                _ => StepError::Kernel {
                    what: "find",
                    interface: vlan.parent.clone(),
                    source,
                },
            })
    }

    /// Until it is persistent the interface is gone when its queue closes: no step half done
    /// leaves an interface that we would not recognise.
    async fn create_tun(&mut self, spec: &TunnelSpec) -> io::Result<()> {
        let queue = userspace::Queue::attach(&spec.interface)?;
        self.interfaces
            .set_alias(&spec.interface, &mark(&spec.name))
            .await?;
        queue.persist()?;
        self.keep(&spec.interface);
        Ok(())
    }

    async fn configure(&mut self, spec: &TunnelSpec) -> Result<(), StepError> {
        let interface = &spec.interface;
        let port = spec.kind.wireguard().map(|wireguard| wireguard.listen_port);
        let done = match &spec.kind {
            Kind::WireGuard(wireguard) => self.configure_wireguard(interface, wireguard).await,
            Kind::Gre(gre) => self.interfaces.change(interface, device::gre(gre)).await,
            // Only made anew.
            Kind::Vlan(_) => Ok(()),
            Kind::Ipsec(ipsec) => {
                self.ipsec().want(&spec.name, ipsec).await;
                Ok(())
            }
        };
        done.map_err(|error| {
            StepError::of(&Action::Configure(spec.clone()), interface, port, error)
        })
    }

    async fn configure_wireguard(
        &mut self,
        interface: &str,
        wireguard: &WireGuardSpec,
    ) -> io::Result<()> {
        match self.interfaces.device(interface).await? {
            Some(Device::WireGuard) => {
                self.wireguard.set(interface, wireguard).await?;
                if let Some(endpoint) = wireguard.peer.endpoint {
                    self.endpoints.insert(interface.to_owned(), endpoint);
                }
                Ok(())
            }
            Some(Device::Tun) => self.serve(interface, wireguard).await,
            Some(Device::Gre(_) | Device::Vlan(_) | Device::Xfrm(_)) | None => {
                Err(io::Error::from_raw_os_error(libc::ENODEV))
            }
        }
    }

    async fn serve(&mut self, interface: &str, spec: &WireGuardSpec) -> io::Result<()> {
        if let Some(tunnel) = self.tunnels.get_mut(interface)
            && tunnel.is_running()
        {
            return tunnel.adopt(spec);
        }
        // Its port must be free before the next one binds it.
        self.tunnels.remove(interface);
        // Carrier without a queue of ours: a keeper holds it, of this run or an earlier one.
        if !self.interfaces.has_carrier(interface).await? {
            self.keep(interface);
        }
        // What was up when we came may lead somewhere, and others rely on it.
        let life = match self.interfaces.is_up(interface).await? {
            true => Life::Possible,
            false => Life::Over,
        };
        let (pool, stirred) = (self.pool()?, self.stirred.clone());
        let tunnel = Tunnel::start(&pool, interface, spec, life, stirred)?;
        self.tunnels.insert(interface.to_owned(), tunnel);
        Ok(())
    }

    fn pool(&mut self) -> io::Result<Arc<Pool>> {
        if let Some(pool) = self.pool.as_ref().filter(|pool| pool.is_running()) {
            return Ok(pool.clone());
        }
        Ok(self.pool.insert(Arc::new(Pool::start()?)).clone())
    }

    async fn remove(&mut self, interface: &str) -> io::Result<()> {
        if let Some((link, Device::Xfrm(_))) = self.interfaces.ours(interface).await? {
            // A leftover is one of strongSwan's too.
            self.ipsec().forget(&link).await;
        }
        self.tunnels.remove(interface);
        self.endpoints.remove(interface);
        self.problems.remove(interface);
        self.interfaces.remove(interface).await
    }

    /// Starts a keeper. Without one the tunnel works, and only a restart loses its routes.
    fn keep(&mut self, interface: &str) {
        let queue = userspace::detached_queue(interface);
        match queue.and_then(|queue| self.keeper.start(interface, queue)) {
            Ok(child) => self.keepers.push((interface.to_owned(), child)),
            Err(error) => {
                tracing::warn!(interface, %error, "no keeper: routes will not survive a restart");
            }
        }
    }

    /// Waits for keepers that ended, and replaces one that ended before its interface.
    fn reap(&mut self) {
        let mut lost = Vec::new();
        self.keepers
            .retain_mut(|(interface, child)| match child.try_wait() {
                Ok(None) => true,
                Ok(Some(_)) | Err(_) => {
                    lost.push(interface.clone());
                    false
                }
            });
        for interface in lost {
            let is_kept = self.keepers.iter().any(|(kept, _)| *kept == interface);
            // It may have ended with an interface that was then made anew, which has its own.
            if !is_kept && self.tunnels.get(&interface).is_some_and(Tunnel::is_running) {
                self.keep(&interface);
            }
        }
    }

    fn leads_nowhere(&self, interface: &str) -> bool {
        let tunnel = self.tunnels.get(interface);
        tunnel.is_some_and(|tunnel| tunnel.counters().life() == Life::Over)
    }

    fn serving(&self, interface: &str) -> Option<ObservedWireGuard> {
        let tunnel = self
            .tunnels
            .get(interface)
            .filter(|tunnel| tunnel.is_running())?;
        let spec = tunnel.spec();
        Some(ObservedWireGuard {
            peer: Some(spec.peer.clone()),
            private_key: Some(spec.private_key.clone()),
            listen_port: spec.listen_port,
            life: tunnel.counters().life(),
        })
    }

    async fn in_kernel(&mut self, interface: &str) -> io::Result<Option<ObservedWireGuard>> {
        let mut seen = self.wireguard.read(interface).await?;
        if let (Some(seen), Some(endpoint)) = (&mut seen, self.endpoints.get(interface))
            && let Some(peer) = &mut seen.peer
        {
            peer.endpoint = Some(*endpoint);
        }
        Ok(seen)
    }

    /// What can be said about a tunnel of any kind.
    fn plain_status(&self, spec: &TunnelSpec, seen: Option<&Observed>) -> TunnelStatus {
        let ours = seen.filter(|seen| matches!(seen.owner, Owner::Ours(_)));
        let device = ours.and_then(|seen| seen.device.as_ref());
        TunnelStatus {
            name: spec.name.clone(),
            interface: spec.interface.clone(),
            backend: device.map(Device::backend),
            up: ours.is_some_and(|seen| seen.admin_up && seen.addresses.contains(&spec.address)),
            endpoint: spec.kind.wireguard().and_then(|spec| spec.peer.endpoint),
            far_end: match spec.kind {
                Kind::WireGuard(_) => FarEnd::ByHandshake,
                Kind::Gre(_) | Kind::Vlan(_) => FarEnd::Unknown,
                Kind::Ipsec(_) => FarEnd::NotAssociated,
            },
            last_handshake: None,
            rx_bytes: ours.map_or(0, |seen| seen.rx_bytes),
            tx_bytes: ours.map_or(0, |seen| seen.tx_bytes),
            counts: WireGuardCounts::default(),
            unanswered_since: None,
            problem: self.problems.get(&spec.interface).cloned(),
            detail: match &spec.kind {
                Kind::WireGuard(_) => String::new(),
                Kind::Gre(gre) => gre.to_string(),
                Kind::Vlan(vlan) => vlan.to_string(),
                Kind::Ipsec(ipsec) => ipsec.to_string(),
            },
            esp: None,
        }
    }

    fn ipsec_status(&self, spec: &IpsecSpec, status: &mut TunnelStatus) {
        let standing = self
            .ipsec
            .as_ref()
            .and_then(|ipsec| ipsec.standing(&status.name));
        let problem = match standing.as_ref().map(|standing| &standing.state) {
            _ if status.backend.is_none() => Some(NO_INTERFACE.to_owned()),
            Some(State::Up(child)) => {
                status.far_end = FarEnd::Associated;
                let udp = if child.in_udp { ", in UDP" } else { "" };
                status.detail = format!("{spec}: ESP {}{udp}", child.cipher);
                status.esp = Some(Esp {
                    cipher: child.cipher.clone(),
                    in_udp: child.in_udp,
                });
                None
            }
            Some(State::Down(reason)) => Some(reason.clone()),
            None => Some("strongSwan has not been told yet".to_owned()),
        };
        let unwatched = standing.and_then(|standing| standing.unwatched);
        if status.problem.is_none() {
            status.problem = problem.or(unwatched);
        }
    }

    /// The IPsec task, which is started when there is something for it to do.
    fn ipsec(&mut self) -> &mut Handle {
        self.ipsec.get_or_insert_with(|| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            let seed = now.map_or(0, |now| u64::from(now.subsec_nanos()));
            Handle::start(&self.vici, seed)
        })
    }

    async fn wireguard_status(
        &mut self,
        spec: &WireGuardSpec,
        seen: Option<&Observed>,
        status: &mut TunnelStatus,
    ) -> io::Result<()> {
        (status.rx_bytes, status.tx_bytes) = (0, 0);
        match seen.and_then(|seen| seen.device.as_ref()) {
            _ if status.backend.is_none() => {}
            Some(Device::Tun) => self.userspace_status(status),
            Some(Device::WireGuard) => self.wireguard.status(status).await?,
            Some(Device::Gre(_) | Device::Vlan(_) | Device::Xfrm(_)) | None => {}
        }
        let now = SystemTime::now();
        if status.problem.is_none() && !status.is_fresh(now) {
            status.problem = Some(self.no_handshake(spec, status));
        } else if status.problem.is_none() {
            status.problem = unanswered(status, now);
        }
        Ok(())
    }

    fn userspace_status(&self, status: &mut TunnelStatus) {
        let running = self
            .tunnels
            .get(&status.interface)
            .filter(|tunnel| tunnel.is_running());
        let Some(tunnel) = running else {
            status.up = false;
            status
                .problem
                .get_or_insert_with(|| "its data plane does not run".to_owned());
            return;
        };
        let counters = tunnel.counters();
        status.endpoint = counters.endpoint();
        status.last_handshake = counters.last_handshake();
        status.rx_bytes = counters.rx_bytes();
        status.tx_bytes = counters.tx_bytes();
        status.counts = counters.counts();
        status.unanswered_since = counters.unanswered_since();
    }

    /// A sentence on why there is no fresh handshake, and the remedy.
    fn no_handshake(&self, spec: &WireGuardSpec, status: &TunnelStatus) -> String {
        let counters = self.tunnels.get(&status.interface).map(Tunnel::counters);
        if status.backend.is_none() {
            return NO_INTERFACE.to_owned();
        }
        if let Some(trouble) = counters.and_then(userspace_trouble) {
            return trouble;
        }
        let age = HANDSHAKE_FRESH.as_secs();
        let since = match status.last_handshake {
            None => "no handshake yet".to_owned(),
            Some(_) => format!("no handshake for {age} seconds"),
        };
        match (
            status.endpoint,
            counters.and_then(|counters| counters.send_error()),
        ) {
            (Some(endpoint), Some(error)) => {
                format!("{since}: cannot send to {endpoint}: {error}")
            }
            (Some(endpoint), None) => format!(
                "{since}: {endpoint} does not answer; is its UDP port open to us, and is each \
                 side's public key the other's peer key?"
            ),
            (None, _) => format!(
                "{since}: waiting for the peer to reach UDP port {}; is the port open?",
                spec.listen_port
            ),
        }
    }
}

fn userspace_trouble(counters: &userspace::Counters) -> Option<String> {
    Some(match counters.trouble()? {
        Trouble::MeantForAnother(from) => format!(
            "no handshake: {from} has another public key for this end than ours; compare its \
             peer key with our public key"
        ),
        Trouble::UnknownPeer(from) => format!(
            "no handshake: {from} uses another key than the configured peer's; compare its \
             public key with our peer key"
        ),
        Trouble::DoesNotOpen(from) => {
            format!("no handshake: the answer of {from} does not open; compare the preshared keys")
        }
        Trouble::Old(from) => format!(
            "no handshake: {from} sends handshakes older than its last one; was its clock set back?"
        ),
    })
}

/// The session still carries traffic, and cannot be renewed.
fn unanswered(status: &TunnelStatus, now: SystemTime) -> Option<String> {
    let since = status.unanswered_since?;
    let (endpoint, Answers::No) = (status.endpoint?, status.answers(now)) else {
        return None;
    };
    let secs = now.duration_since(since).unwrap_or_default().as_secs();
    Some(format!(
        "{endpoint} has not answered handshakes for {secs} seconds; the session there is ends {} \
         seconds after its own",
        HANDSHAKE_FRESH.as_secs()
    ))
}

fn mark(link: &str) -> String {
    format!("{MARK}{link}")
}

fn failed(spec: &TunnelSpec, error: io::Error) -> StepError {
    StepError::of(&Action::Create(spec.clone()), &spec.interface, None, error)
}

/// Removes every interface of ours, and what strongSwan has of ours, for an uninstallation. Returns the
/// names of the interfaces.
///
/// # Errors
/// The kernel's.
pub async fn flush(vici: &Path) -> io::Result<Vec<String>> {
    let removed = Linux::open()?.flush().await?;
    nft::flush().await?;
    driver::flush(vici).await.map_err(io::Error::other)?;
    Ok(removed)
}
