//! Sockets whose packets arrive whole or not at all.

use std::io;
use std::net::{IpAddr, UdpSocket};
use std::os::fd::AsFd;

use super::tcp;

/// What is sent is as long as the interface takes, whatever the kernel believes of the path, and nobody may
/// fragment it (RFC 8899 §3).
///
/// # Errors
///
/// The kernel's.
pub(crate) fn unfragmented(socket: UdpSocket, family: IpAddr) -> io::Result<UdpSocket> {
    let (level, name, value) = match family {
        IpAddr::V4(_) => (
            libc::IPPROTO_IP,
            libc::IP_MTU_DISCOVER,
            libc::IP_PMTUDISC_PROBE,
        ),
        IpAddr::V6(_) => (
            libc::IPPROTO_IPV6,
            libc::IPV6_MTU_DISCOVER,
            libc::IPV6_PMTUDISC_PROBE,
        ),
    };
    tcp::set(socket.as_fd(), level, name, &value)?;
    Ok(socket)
}
