//! From what is there to what should be there: a pure function.
//!
//! The keys are interface names, and the plan walks the union of both sets, so what a crash left
//! behind is seen. An interface is ours when its alias says so (`skybridge:<link>`); one that is
//! not ours is never touched, only reported.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU32,
};

use ipnet::IpNet;

use crate::spec::{
    BackendKind, GreSpec, IpsecSpec, Kind, TunnelSpec, VlanSpec, WireGuardPeer, WireGuardSpec,
};

/// What our interfaces' aliases (`IFLA_IFALIAS`) begin with.
pub const MARK: &str = "skybridge:";

/// One interface as it is: ours, or of a name that we want.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Observed {
    /// Its name.
    pub interface: String,
    /// Whose it is.
    pub owner: Owner,
    /// What it is; `None` when it is nothing that we make.
    pub device: Option<Device>,
    /// In bytes.
    pub mtu: u32,
    /// Its addresses with their prefix lengths, link-local IPv6 left out: the kernel makes those.
    pub addresses: BTreeSet<IpNet>,
    /// Admin up (`IFF_UP`).
    pub admin_up: bool,
    /// What it is said to be while admin up.
    pub readiness: Readiness,
    /// IPv4 is forwarded through it, with loose reverse path filtering.
    pub forwards: bool,
    /// How WireGuard is set up on it; `None` when it is not, as on a TUN that no process serves.
    pub wireguard: Option<ObservedWireGuard>,
    /// What the IPsec task was told about it in this run.
    pub ipsec: Option<Box<IpsecSpec>>,
    /// Bytes received since it was made.
    pub rx_bytes: u64,
    /// Bytes sent since it was made.
    pub tx_bytes: u64,
}

/// A kind of interface that we make, with what the kernel keeps about it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Device {
    /// A TUN.
    Tun,
    /// A `wireguard` interface.
    WireGuard,
    /// A `gre` or `ip6gre` interface.
    Gre(GreSpec),
    /// A `vlan` interface.
    Vlan(VlanSpec),
    /// An `xfrm` interface with this number.
    Xfrm(NonZeroU32),
}

impl Device {
    /// Who carries packets through it.
    #[must_use]
    pub fn backend(&self) -> BackendKind {
        match self {
            Self::Tun => BackendKind::Userspace,
            Self::WireGuard | Self::Gre(_) | Self::Vlan(_) | Self::Xfrm(_) => BackendKind::Kernel,
        }
    }
}

/// Who made an interface.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Owner {
    /// We did, for the link of this name.
    Ours(String),
    /// Somebody else.
    Foreign,
}

/// The part of a [`WireGuardSpec`] that can be read back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ObservedWireGuard {
    /// As in the spec; `endpoint` is the configured one, wherever the peer has roamed since.
    pub peer: Option<WireGuardPeer>,
    /// Ours.
    pub private_key: Option<crate::spec::Secret>,
    /// UDP.
    pub listen_port: u16,
    /// Whether the interface may look as if it led somewhere.
    pub life: Life,
}

/// Whether a tunnel leads anywhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Life {
    /// It does, or it did when we found it and it is too early to say.
    #[default]
    Possible,
    /// Nobody has answered for [`HANDSHAKE_FRESH`](crate::spec::HANDSHAKE_FRESH), or ever.
    Over,
}

/// What the operational state of an interface that is admin up (RFC 2863 §3.1.12) says to others.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Readiness {
    /// It can carry packets, as far as anybody knows.
    #[default]
    Ready,
    /// It waits for something outside: `dormant`, and not `IFF_RUNNING`.
    Dormant,
}

/// One thing to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Step {
    /// To which interface.
    pub interface: String,
    /// What.
    pub action: Action,
}

/// What a step does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// Remove the interface, with its addresses and the routes through it.
    Remove,
    /// Make a persistent interface for the tunnel, marked as ours.
    Create(TunnelSpec),
    /// Say in the mark that it belongs to this link.
    Mark(String),
    /// Set the MTU, in bytes.
    SetMtu(u32),
    /// Set what the tunnel leads to: outer addresses; with WireGuard keys, port and peer, and in
    /// userspace also start the data plane if it does not run; with IPsec have strongSwan told.
    Configure(TunnelSpec),
    /// Remove an address.
    RemoveAddress(IpNet),
    /// Add an address, with its connected route.
    SetAddress(IpNet),
    /// Have IPv4 forwarded through it, with loose reverse path filtering.
    Forward,
    /// Set it admin up; a userspace tunnel that has no session yet stays down.
    Up,
    /// Set it admin down: what is sent there would be lost.
    Down,
    /// Set its operational state, which routing daemons of others look at.
    Say(Readiness),
    /// Do nothing, and fail: an interface of that name exists and is not ours.
    Refuse,
}

/// The steps that turn `observed` into `desired`, in the order in which to do them.
///
/// Removals come first, so that a name or a port is free for whoever wants it next. Applied to
/// what it was planned from, the next plan is empty but for refusals.
#[must_use]
pub fn plan(desired: &[TunnelSpec], observed: &[Observed]) -> Vec<Step> {
    let wanted: BTreeMap<&str, &TunnelSpec> = desired
        .iter()
        .map(|spec| (spec.interface.as_str(), spec))
        .collect();
    let there: BTreeMap<&str, &Observed> = observed
        .iter()
        .map(|seen| (seen.interface.as_str(), seen))
        .collect();

    let leftovers = there
        .iter()
        .filter(|(name, seen)| is_ours(seen) && !wanted.contains_key(*name))
        .map(|(name, _)| step(name, Action::Remove));
    let mut steps: Vec<Step> = leftovers.collect();
    // Creation last: an interface that changes its backend frees its port before others take it.
    let (replaced, kept): (Vec<_>, Vec<_>) = wanted
        .iter()
        .map(|(name, spec)| (*name, *spec, there.get(name).copied()))
        .partition(|(_, spec, seen)| seen.is_some_and(|seen| must_be_replaced(spec, seen)));
    steps.extend(
        replaced
            .iter()
            .map(|(name, _, _)| step(name, Action::Remove)),
    );
    for (_, spec, seen) in kept {
        match seen {
            Some(seen) => adjust(spec, seen, &mut steps),
            None => create(spec, &mut steps),
        }
    }
    for (_, spec, _) in replaced {
        create(spec, &mut steps);
    }
    steps
}

/// The peer's part of two WireGuard configurations is the same.
///
/// Without a wanted endpoint the one that is there stays: it was learned.
#[must_use]
pub fn is_configured(spec: &WireGuardSpec, seen: &ObservedWireGuard) -> bool {
    let same_peer = seen.peer.as_ref().is_some_and(|peer| {
        peer.public_key == spec.peer.public_key
            && peer.preshared_key == spec.peer.preshared_key
            && peer.keepalive_secs == spec.peer.keepalive_secs
            && (spec.peer.endpoint.is_none() || peer.endpoint == spec.peer.endpoint)
    });
    let same_key = seen
        .private_key
        .as_ref()
        .is_some_and(|key| key.is_same_private_key(&spec.private_key));
    same_peer && same_key && seen.listen_port == spec.listen_port
}

fn is_ours(seen: &Observed) -> bool {
    matches!(seen.owner, Owner::Ours(_))
}

fn must_be_replaced(spec: &TunnelSpec, seen: &Observed) -> bool {
    is_ours(seen)
        && !seen
            .device
            .as_ref()
            .is_some_and(|device| can_become(device, &spec.kind))
}

/// Whether an interface can be made into what is wanted without making it anew.
fn can_become(device: &Device, kind: &Kind) -> bool {
    match (kind, device) {
        (Kind::WireGuard(wanted), Device::Tun | Device::WireGuard) => {
            wanted.backend.accepts(device.backend())
        }
        // `gre` and `ip6gre` are two kinds of interface.
        (Kind::Gre(wanted), Device::Gre(seen)) => wanted.remote.is_ipv4() == seen.remote.is_ipv4(),
        // The kernel changes neither the tag nor the parent.
        (Kind::Vlan(wanted), Device::Vlan(seen)) => wanted == seen,
        (Kind::Ipsec(wanted), Device::Xfrm(if_id)) => wanted.if_id == *if_id,
        (Kind::WireGuard(_) | Kind::Gre(_) | Kind::Vlan(_) | Kind::Ipsec(_), _) => false,
    }
}

/// Whether an interface that can become what is wanted is that already.
fn is_set_up(kind: &Kind, seen: &Observed) -> bool {
    match (kind, &seen.device) {
        (Kind::WireGuard(wanted), _) => seen
            .wireguard
            .as_ref()
            .is_some_and(|seen| is_configured(wanted, seen)),
        (Kind::Gre(wanted), Some(Device::Gre(seen))) => wanted == seen,
        (Kind::Vlan(wanted), Some(Device::Vlan(seen))) => wanted == seen,
        (Kind::Ipsec(wanted), _) => seen.ipsec.as_ref() == Some(wanted),
        (Kind::Gre(_) | Kind::Vlan(_), _) => false,
    }
}

fn create(spec: &TunnelSpec, steps: &mut Vec<Step>) {
    let name = &spec.interface;
    steps.push(step(name, Action::Create(spec.clone())));
    steps.push(step(name, Action::SetMtu(spec.mtu)));
    match spec.kind {
        Kind::WireGuard(_) | Kind::Ipsec(_) => {
            steps.push(step(name, Action::Configure(spec.clone())));
        }
        // Made as they shall be.
        Kind::Gre(_) | Kind::Vlan(_) => {}
    }
    steps.push(step(name, Action::SetAddress(spec.address)));
    steps.push(step(name, Action::Forward));
    steps.push(step(name, Action::Up));
}

fn adjust(spec: &TunnelSpec, seen: &Observed, steps: &mut Vec<Step>) {
    let name = &spec.interface;
    let Owner::Ours(link) = &seen.owner else {
        steps.push(step(name, Action::Refuse));
        return;
    };
    if *link != spec.name {
        steps.push(step(name, Action::Mark(spec.name.clone())));
    }
    if seen.mtu != spec.mtu {
        steps.push(step(name, Action::SetMtu(spec.mtu)));
    }
    if !is_set_up(&spec.kind, seen) {
        steps.push(step(name, Action::Configure(spec.clone())));
    }
    // The wanted address goes on before others go off, so that routes through it never lack one.
    if !seen.addresses.contains(&spec.address) {
        steps.push(step(name, Action::SetAddress(spec.address)));
    }
    for address in seen
        .addresses
        .iter()
        .filter(|address| **address != spec.address)
    {
        steps.push(step(name, Action::RemoveAddress(*address)));
    }
    if !seen.forwards {
        steps.push(step(name, Action::Forward));
    }
    follow_life(name, seen, steps);
}

/// An interface is what its tunnel is. Handshakes of the kernel's WireGuard need it up: there it is dormant
/// instead of down.
fn follow_life(name: &str, seen: &Observed, steps: &mut Vec<Step>) {
    let life = seen
        .wireguard
        .as_ref()
        .map_or(Life::Possible, |seen| seen.life);
    let in_kernel = seen.device == Some(Device::WireGuard);
    match (life, seen.admin_up) {
        (Life::Possible, false) => steps.push(step(name, Action::Up)),
        (Life::Over, false) if in_kernel => steps.push(step(name, Action::Up)),
        (Life::Over, true) if !in_kernel => steps.push(step(name, Action::Down)),
        (Life::Possible | Life::Over, _) => {}
    }
    let readiness = match life {
        Life::Possible => Readiness::Ready,
        Life::Over => Readiness::Dormant,
    };
    if in_kernel && seen.readiness != readiness {
        steps.push(step(name, Action::Say(readiness)));
    }
}

fn step(interface: &str, action: Action) -> Step {
    Step {
        interface: interface.to_owned(),
        action,
    }
}

#[cfg(test)]
mod tests;
