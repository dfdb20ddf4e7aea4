//! Why a step failed, in sentences that name the remedy.

use std::io;

use crate::{
    plan::Action,
    spec::{BackendChoice, Kind, TunnelSpec, VlanSpec},
};

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// The interface was not made by us.
    #[error(
        "interface {interface} exists and is not ours; give the link another `interface`, or \
         remove that one"
    )]
    NotOurs {
        /// Its name.
        interface: String,
    },
    /// `backend = "kernel"` without the module.
    #[error(
        "this kernel has no WireGuard; load the wireguard module, or use backend = \"auto\" or \
         \"userspace\""
    )]
    NoKernelWireGuard,
    /// The kernel has no interfaces of this kind.
    #[error("this kernel has no {what}; load its module: modprobe {module}")]
    NoModule {
        /// What it cannot do.
        what: &'static str,
        /// What would let it.
        module: &'static str,
    },
    /// A VLAN of an interface that is not there.
    #[error("there is no interface {} to carry VLAN {}; it is made when that comes", .0.parent, .0.id)]
    NoParent(VlanSpec),
    /// Another interface does the same already.
    #[error("another interface is {0} already; remove that one, or change this link")]
    Taken(String),
    /// No `/dev/net/tun`.
    #[error(
        "there is no /dev/net/tun; load the tun module (modprobe tun), or give the container the \
         device (--device /dev/net/tun)"
    )]
    NoTun,
    /// `EPERM` or `EACCES`.
    #[error(
        "cannot {what} interface {interface}: not permitted; skybridged needs CAP_NET_ADMIN: run \
         it by its systemd unit or as root, or give the container --cap-add NET_ADMIN"
    )]
    NotPermitted {
        /// To do what.
        what: &'static str,
        /// To which interface.
        interface: String,
    },
    /// `EADDRINUSE`.
    #[error(
        "UDP port {port} is in use by another program or link; give this link another `listen`"
    )]
    PortInUse {
        /// Which one.
        port: u16,
    },
    /// An earlier step of the same interface failed.
    #[error("not tried, because an earlier step for interface {interface} failed")]
    Skipped {
        /// Its name.
        interface: String,
    },
    /// Anything else.
    #[error("cannot {what} interface {interface}: {source}")]
    Kernel {
        /// To do what.
        what: &'static str,
        /// To which interface.
        interface: String,
        /// The kernel's answer.
        source: io::Error,
    },
}

impl StepError {
    /// The sentence for what the kernel answered to `action`; `port` is the one it may have bound.
    pub(super) fn of(
        action: &Action,
        interface: &str,
        port: Option<u16>,
        source: io::Error,
    ) -> Self {
        let (what, interface) = (verb(action), interface.to_owned());
        if let Action::Configure(spec) = action
            && source.raw_os_error() == Some(libc::EEXIST)
            && let Some(same) = same(&spec.kind)
        {
            return Self::Taken(same);
        }
        match (source.raw_os_error(), port) {
            (Some(libc::EPERM | libc::EACCES), _) => Self::NotPermitted { what, interface },
            (Some(libc::EADDRINUSE), Some(port)) => Self::PortInUse { port },
            (Some(libc::ENOENT | libc::ENXIO), _) if !is_there("/dev/net/tun") => Self::NoTun,
            _ => Self::Kernel {
                what,
                interface,
                source,
            },
        }
    }
}

impl StepError {
    /// The sentence for what the kernel answered when it was to make the interface of a tunnel.
    pub(super) fn of_creation(spec: &TunnelSpec, source: io::Error) -> Self {
        match (source.raw_os_error(), same(&spec.kind)) {
            (Some(libc::EEXIST), Some(same)) => Self::Taken(same),
            (Some(libc::EOPNOTSUPP | libc::ENOENT), _) => match missing(&spec.kind) {
                Some(error) => error,
                None => Self::of(&Action::Create(spec.clone()), &spec.interface, None, source),
            },
            _ => Self::of(&Action::Create(spec.clone()), &spec.interface, None, source),
        }
    }
}

/// What the kernel lacks when it does not know this kind of interface.
fn missing(kind: &Kind) -> Option<StepError> {
    let (what, module) = match kind {
        Kind::WireGuard(wireguard) => {
            return (wireguard.backend == BackendChoice::Kernel)
                .then_some(StepError::NoKernelWireGuard);
        }
        Kind::Gre(gre) if gre.local.is_ipv4() => ("GRE over IPv4", "ip_gre"),
        Kind::Gre(_) => ("GRE over IPv6", "ip6_gre"),
        Kind::Vlan(_) => ("VLANs", "8021q"),
        Kind::Ipsec(_) => ("XFRM interfaces", "xfrm_interface"),
    };
    Some(StepError::NoModule { what, module })
}

/// What only one interface can be.
fn same(kind: &Kind) -> Option<String> {
    match kind {
        Kind::WireGuard(_) => None,
        Kind::Gre(gre) => Some(gre.to_string()),
        Kind::Vlan(vlan) => Some(vlan.to_string()),
        Kind::Ipsec(ipsec) => Some(format!("IPsec with if-id {}", ipsec.if_id)),
    }
}

fn is_there(path: &str) -> bool {
    std::path::Path::new(path).exists()
}

fn verb(action: &Action) -> &'static str {
    match action {
        Action::Create(_) => "create",
        Action::Configure(_) => "configure",
        Action::Mark(_) => "set the alias of",
        Action::SetMtu(_) => "set the MTU of",
        Action::Forward => "set forwarding and rp_filter of",
        Action::SetAddress(_) => "add the address to",
        Action::RemoveAddress(_) => "remove an address from",
        Action::Up => "set up",
        Action::Down => "set down",
        Action::Say(_) => "set the operational state of",
        Action::Remove => "remove",
        Action::Refuse => "touch",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sentence(errno: i32, port: Option<u16>) -> String {
        StepError::of(
            &Action::Up,
            "sb-a",
            port,
            io::Error::from_raw_os_error(errno),
        )
        .to_string()
    }

    #[test]
    fn an_if_id_of_somebody_else_s_interface_is_named() {
        let ipsec = crate::ipsec::example();
        let spec = TunnelSpec {
            name: "a".to_owned(),
            interface: "sb-a".to_owned(),
            mtu: 1400,
            address: "10.99.0.0/31".parse().expect("a network"),
            kind: Kind::Ipsec(Box::new(ipsec)),
        };
        let exists = io::Error::from_raw_os_error(libc::EEXIST);
        let said = StepError::of_creation(&spec, exists).to_string();
        assert!(said.contains("IPsec with if-id 7"), "{said}");
    }

    #[test]
    fn common_refusals_name_their_remedy() {
        assert!(sentence(libc::EPERM, None).contains("CAP_NET_ADMIN"));
        assert!(sentence(libc::EADDRINUSE, Some(51820)).starts_with("UDP port 51820 is in use"));
        assert!(
            sentence(libc::ENODEV, None).contains("cannot set up interface sb-a: No such device")
        );
    }
}
