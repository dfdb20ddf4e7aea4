//! Sockets that leave and arrive where the intent says: bound to an address and an interface.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::io::Interest;
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};

use crate::secrets::Md5Key;

pub(crate) mod bfd;
mod gauge;
mod message;
mod tcp;

pub(crate) use gauge::Gauge;
pub(crate) use message::Message;

/// Class selector 6, internetwork control (RFC 2474 §4.2.2.2; RFC 4271 §8 leaves it to us).
const CONTROL: u32 = 0xc0;
const BACKLOG: u32 = 128;

/// How a peer is reached.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Endpoint {
    pub(crate) remote: SocketAddr,
    pub(crate) local: Option<IpAddr>,
    pub(crate) interface: Option<String>,
    /// Of packets to it.
    pub(crate) ttl: u8,
    /// Packets from it with less are dropped by the kernel (RFC 5082).
    pub(crate) min_ttl: Option<u8>,
    /// Packets from it that are not signed with it are dropped by the kernel (RFC 2385).
    pub(crate) key: Option<Arc<Md5Key>>,
}

/// Where BGP connections are accepted. Its answers travel as far as those to any peer must; each
/// accepted connection is then [`admit`]ted on the terms of its peer.
///
/// # Errors
///
/// The address is taken, not ours, or needs a privilege.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        // 0.0.0.0 has a socket of its own.
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    mark(&socket, address.ip())?;
    tcp::set_ttl(socket.as_fd(), address.ip(), u8::MAX)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG as i32)?;
    TcpListener::from_std(socket.into())
}

/// Has a listening socket drop what is not signed with the key of the network it comes from, and
/// what came from too far away for any peer. A network of `before` that is not in `keys` needs no key
/// any more. Keys of another family of addresses than the socket's are none of its business.
///
/// # Errors
///
/// The kernel has no memory for more keys, or no TCP MD5.
pub(crate) fn guard(
    listener: &TcpListener,
    before: &[IpNet],
    keys: &[(IpNet, Arc<Md5Key>)],
    min_ttl: u8,
) -> io::Result<()> {
    let own = listener.local_addr()?.ip();
    let ours = |network: &&IpNet| network.addr().is_ipv4() == own.is_ipv4();
    for network in before.iter().filter(ours) {
        if !keys.iter().any(|(kept, _)| kept == network) {
            tcp::set_key(listener.as_fd(), *network, &[])?;
        }
    }
    for (network, key) in keys.iter().filter(|(network, _)| ours(&network)) {
        tcp::set_key(listener.as_fd(), *network, key.as_bytes())?;
    }
    tcp::set_min_ttl(listener.as_fd(), own, min_ttl)
}

/// Puts an accepted connection on the terms of its peer. Its key it has from the listening socket.
///
/// # Errors
///
/// The connection is gone, or the interface is.
pub(crate) fn admit(stream: &TcpStream, endpoint: &Endpoint) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    socket.bind_device(endpoint.interface.as_deref().map(str::as_bytes))?;
    on_terms(&socket, endpoint)
}

fn on_terms(socket: &Socket, endpoint: &Endpoint) -> io::Result<()> {
    let remote = endpoint.remote.ip();
    tcp::set_ttl(socket.as_fd(), remote, endpoint.ttl)?;
    tcp::set_min_ttl(socket.as_fd(), remote, endpoint.min_ttl.unwrap_or(0))
}

/// Opens a BGP connection.
///
/// # Errors
///
/// The kernel's, and the peer's refusal.
pub(crate) async fn dial(endpoint: &Endpoint) -> io::Result<TcpStream> {
    let Endpoint {
        remote,
        local,
        interface,
        key,
        ..
    } = endpoint;
    let socket = Socket::new(
        Domain::for_address(*remote),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_nonblocking(true)?;
    mark(&socket, remote.ip())?;
    socket.bind_device(interface.as_deref().map(str::as_bytes))?;
    on_terms(&socket, endpoint)?;
    if let Some(key) = key {
        tcp::set_key(socket.as_fd(), remote.ip().into(), key.as_bytes())?;
    }
    if let Some(local) = local {
        socket.bind(&SocketAddr::new(*local, 0).into())?;
    }
    let stream = TcpSocket::from_std_stream(socket.into())
        .connect(*remote)
        .await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Has the far end answer a TCP connection, and closes it at once: with a reset, so that nothing lingers at
/// either end. A refusal is an answer.
///
/// # Errors
///
/// The kernel's.
pub(crate) async fn knock(endpoint: &Endpoint) -> io::Result<()> {
    match dial(endpoint).await {
        Ok(stream) => SockRef::from(&stream).set_linger(Some(Duration::ZERO)),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        Err(error) => Err(error),
    }
}

/// The sending end of a STAMP probe.
pub(crate) fn probe(interface: &str, local: IpAddr, remote: SocketAddr) -> io::Result<UdpSocket> {
    let socket = datagram(interface, SocketAddr::new(local, 0), Protocol::UDP)?;
    socket.connect(&remote.into())?;
    UdpSocket::from_std(socket.into())
}

/// Both ends of an ICMP echo; needs CAP_NET_RAW.
pub(crate) fn echo(interface: &str, local: IpAddr, remote: IpAddr) -> io::Result<UdpSocket> {
    let protocol = if local.is_ipv4() {
        Protocol::ICMPV4
    } else {
        Protocol::ICMPV6
    };
    let socket = datagram(interface, SocketAddr::new(local, 0), protocol)?;
    socket.connect(&SocketAddr::new(remote, 0).into())?;
    UdpSocket::from_std(socket.into())
}

/// The reflecting end of STAMP.
pub(crate) fn reflector(interface: &str, local: IpAddr, port: u16) -> io::Result<UdpSocket> {
    let socket = datagram(interface, SocketAddr::new(local, port), Protocol::UDP)?;
    message::ask_for_details(&socket, local)?;
    UdpSocket::from_std(socket.into())
}

fn datagram(interface: &str, local: SocketAddr, protocol: Protocol) -> io::Result<Socket> {
    let kind = if protocol == Protocol::UDP {
        Type::DGRAM
    } else {
        Type::RAW
    };
    let socket = Socket::new(Domain::for_address(local), kind, Some(protocol))?;
    socket.set_nonblocking(true)?;
    mark(&socket, local.ip())?;
    socket.bind_device(Some(interface.as_bytes()))?;
    socket.bind(&local.into())?;
    message::ask_for_time(&socket)?;
    Ok(socket)
}

fn mark(socket: &Socket, address: IpAddr) -> io::Result<()> {
    match address {
        IpAddr::V4(_) => socket.set_tos_v4(CONTROL),
        IpAddr::V6(_) => socket.set_tclass_v6(CONTROL),
    }
}

/// Receives a datagram with what the kernel tells about it. Cancel-safe.
pub(crate) async fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<Message> {
    socket
        .async_io(Interest::READABLE, || {
            message::receive(socket.as_fd(), buffer)
        })
        .await
}
