//! Sockets of BFD: one a port and family to hear on, one a session to send from.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;

use links::bfd::{FIRST_SOURCE_PORT, Hops, MULTIHOP_PORT, PORT, Path};
use socket2::{Domain, Protocol, Socket, Type};

use super::message;
use super::{mark, tcp};

/// Ports tried before giving up.
const ATTEMPTS: u16 = 64;

/// Where sessions of a kind are heard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Door {
    any: IpAddr,
    port: u16,
}

/// A datagram, as far as the kernel says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Datagram {
    pub(crate) length: usize,
    pub(crate) path: Path,
    pub(crate) hop_limit: u8,
}

impl Door {
    pub(crate) fn of(path: Path, hops: Hops) -> Self {
        Self {
            any: match path.local {
                IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
                IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
            },
            port: port(hops),
        }
    }

    /// # Errors
    ///
    /// The port is taken: another BFD runs on this host.
    pub(crate) fn open(self) -> io::Result<UdpSocket> {
        let Self { any, port } = self;
        let address = SocketAddr::new(any, port);
        let socket = udp(address)?;
        message::ask_for_details(&socket, any)?;
        socket.bind(&address.into()).map_err(|error| {
            let text = format!("UDP port {port}: {error}; does another BFD run on this host?");
            io::Error::new(error.kind(), text)
        })?;
        Ok(socket.into())
    }
}

/// From where the packets of one session leave: an address, an interface if it is to be that one, and a port of
/// its own (RFC 5881 §4), with hop limit 255.
///
/// # Errors
///
/// The address or the interface is not there.
pub(crate) fn towards(interface: Option<&str>, path: Path, hops: Hops) -> io::Result<UdpSocket> {
    let socket = udp(SocketAddr::new(path.local, 0))?;
    mark(&socket, path.local)?;
    tcp::set_ttl(socket.as_fd(), path.local, u8::MAX)?;
    socket.bind_device(interface.map(str::as_bytes))?;
    bind(&socket, path.local)?;
    let scope = match (path.remote, path.interface) {
        (IpAddr::V6(remote), Some(index)) if remote.is_unicast_link_local() => index,
        _ => 0,
    };
    let mut remote = SocketAddr::new(path.remote, port(hops));
    if let SocketAddr::V6(remote) = &mut remote {
        remote.set_scope_id(scope);
    }
    socket.connect(&remote.into())?;
    Ok(socket.into())
}

/// To a port from 49152 on, which the kernel's own choice need not be. Where to begin is a matter of the
/// address, so that sessions do not try each other's ports first.
fn bind(socket: &Socket, local: IpAddr) -> io::Result<()> {
    let octets = match local {
        IpAddr::V4(address) => u32::from(address),
        IpAddr::V6(address) => u128::from(address) as u32,
    };
    let all = u16::MAX - FIRST_SOURCE_PORT;
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for attempt in 0..ATTEMPTS {
        let offset = (octets % u32::from(all)) as u16;
        let port = FIRST_SOURCE_PORT + (offset + attempt) % all;
        match socket.bind(&SocketAddr::new(local, port).into()) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => last = error,
            Err(error) => return Err(error),
        }
    }
    Err(last)
}

/// The next datagram, if there is one.
///
/// # Errors
///
/// The kernel's.
pub(crate) fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<Option<Datagram>> {
    let message = super::receive(socket, buffer)?;
    Ok(message.map(|message| Datagram {
        length: message.length,
        path: Path {
            local: message.to.unwrap_or(Ipv4Addr::UNSPECIFIED.into()),
            remote: message.from.ip().to_canonical(),
            interface: Some(message.interface),
        },
        hop_limit: message.hop_limit,
    }))
}

fn port(hops: Hops) -> u16 {
    match hops {
        Hops::Single => PORT,
        Hops::Multi { .. } => MULTIHOP_PORT,
    }
}

fn udp(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}
