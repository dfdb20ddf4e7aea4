//! Why a step failed, in sentences that name the remedy.

use std::io;

use crate::plan::Action;

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

fn is_there(path: &str) -> bool {
    std::path::Path::new(path).exists()
}

fn verb(action: &Action) -> &'static str {
    match action {
        Action::Create(_) => "create",
        Action::Configure(_) => "configure WireGuard on",
        Action::Mark(_) => "set the alias of",
        Action::SetMtu(_) => "set the MTU of",
        Action::SetAddress(_) => "add the address to",
        Action::RemoveAddress(_) => "remove an address from",
        Action::Up => "set up",
        Action::Down => "set down",
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
    fn common_refusals_name_their_remedy() {
        assert!(sentence(libc::EPERM, None).contains("CAP_NET_ADMIN"));
        assert!(sentence(libc::EADDRINUSE, Some(51820)).starts_with("UDP port 51820 is in use"));
        assert!(
            sentence(libc::ENODEV, None).contains("cannot set up interface sb-a: No such device")
        );
    }
}
