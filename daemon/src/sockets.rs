//! Sockets that leave and arrive where the intent says: bound to an address and an interface.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::time::Duration;

use ipnet::IpNet;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

pub(crate) mod ao;
pub(crate) mod bfd;
pub(crate) mod echo;
mod gauge;
mod message;
mod mtu;
mod signing;
mod tcp;

pub(crate) use gauge::Gauge;
pub(crate) use message::Message;
pub(crate) use mtu::unfragmented;
use signing::Change;
pub(crate) use signing::Signing;

/// Class selector 6, internetwork control (RFC 2474 §4.2.2.2; RFC 4271 §8 leaves it to us).
const CONTROL: u32 = 0xc0;
const BACKLOG: i32 = 128;

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
    /// Packets from it that are not signed like this are dropped by the kernel.
    pub(crate) signing: Option<Signing>,
}

impl Endpoint {
    /// Whether a connection came to the address that is ours toward this peer. From another one it would be answered from
    /// there.
    pub(crate) fn is_called_by(&self, stream: &TcpStream) -> bool {
        let Some(local) = self.local else { return true };
        let called = stream.local_addr();
        called.is_ok_and(|called| called.ip().to_canonical() == local)
    }
}

/// Where BGP connections are going to be accepted: nobody is answered before it [`listen`]s. Its answers
/// travel as far as those to any peer must; each accepted connection is then [`admit`]ted on the terms of
/// its peer.
///
/// # Errors
///
/// The address is taken, not ours, or needs a privilege.
pub(crate) fn bind(address: SocketAddr) -> io::Result<Socket> {
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
    Ok(socket)
}

/// Has callers answered from here on.
///
/// # Errors
///
/// Somebody else listens at the address since it was bound.
pub(crate) fn listen(socket: Socket) -> io::Result<TcpListener> {
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Connections that wait to be accepted: all that do by now, and however many come meanwhile it ends.
pub(crate) fn waiting(listener: &TcpListener) -> impl Iterator<Item = (TcpStream, SocketAddr)> {
    // The kernel has one more wait than the backlog.
    let accepted = (0..=BACKLOG).map_while(move |_| SockRef::from(listener).accept().ok());
    accepted.filter_map(|(socket, from)| {
        socket.set_nonblocking(true).ok()?;
        let stream = TcpStream::from_std(socket.into()).ok()?;
        Some((stream, from.as_socket()?))
    })
}

/// Has a socket that listens, or is to, drop what is not signed with the keys of the network it comes from, and
/// what came from too far away for any peer. Keys of another family of addresses than the socket's are
/// none of its business.
///
/// - `before`: what it was told the last time
///
/// # Errors
///
/// One for each network whose keys the kernel does not take: it has no memory for more, or not what
/// they need. One without a network if the rest cannot be had.
pub(crate) fn guard(
    listener: &impl AsFd,
    before: &BTreeMap<IpNet, Signing>,
    keys: &BTreeMap<IpNet, Signing>,
    min_ttl: u8,
) -> Vec<(Option<IpNet>, io::Error)> {
    let own = match SockRef::from(listener).local_addr() {
        Ok(own) => own.as_socket().map(|own| own.ip()),
        Err(error) => return vec![(None, error)],
    };
    let Some(own) = own else {
        return Vec::new();
    };
    let networks: BTreeSet<&IpNet> = before.keys().chain(keys.keys()).collect();
    let ours = networks
        .into_iter()
        .filter(|network| network.addr().is_ipv4() == own.is_ipv4());
    let changes: Vec<_> = ours
        .map(|network| Change {
            network: *network,
            old: before.get(network),
            new: keys.get(network),
        })
        .collect();
    // An ID may move from a network to one around it, and is never in both.
    let released = changes.iter().map(|change| {
        let result = change.release(listener.as_fd());
        (Some(change.network), result)
    });
    let guarded = changes.iter().map(|change| {
        let result = change.guard(listener.as_fd());
        (Some(change.network), result)
    });
    let secured = (None, tcp::set_min_ttl(listener.as_fd(), own, min_ttl));
    let results = released.chain(guarded).chain([secured]);
    results
        .filter_map(|(network, result)| Some((network, result.err()?)))
        .collect()
}

/// Gives a connection the keys of its peer, and has the peer use the first of them.
///
/// # Errors
///
/// It was opened without a signature, or with keys of another kind.
pub(crate) fn settle(stream: &TcpStream, endpoint: &Endpoint) -> io::Result<()> {
    match &endpoint.signing {
        Some(Signing::Ao(keys)) => ao::settle(stream.as_fd(), endpoint.remote.ip(), keys),
        // Its one key it has had from the start.
        Some(Signing::Md5(_)) | None => Ok(()),
    }
}

/// What TCP-AO does for a connection; `None` if nothing.
pub(crate) fn ao_status(stream: &TcpStream) -> Option<ao::Status> {
    ao::status(stream.as_fd()).ok()
}

/// Tries whether the kernel can sign like this.
///
/// # Errors
///
/// Why not, in words.
pub(crate) fn try_signing(signing: Option<&Signing>) -> Result<(), String> {
    match signing {
        Some(Signing::Ao(keys)) => ao::try_keys(keys),
        Some(Signing::Md5(key)) => tcp::try_key(key),
        None => Ok(()),
    }
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
/// - `attempt`: how many have failed before
///
/// # Errors
///
/// The kernel's, and the peer's refusal.
pub(crate) async fn dial(endpoint: &Endpoint, attempt: usize) -> io::Result<TcpStream> {
    let Endpoint {
        remote,
        local,
        interface,
        signing,
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
    if let Some(signing) = signing {
        signing.prepare(socket.as_fd(), remote.ip(), attempt)?;
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
/// - `attempt`: see [`dial`]
///
/// # Errors
///
/// The kernel's.
pub(crate) async fn knock(endpoint: &Endpoint, attempt: usize) -> io::Result<()> {
    match dial(endpoint, attempt).await {
        Ok(stream) => SockRef::from(&stream).set_linger(Some(Duration::ZERO)),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        Err(error) => Err(error),
    }
}

/// The sending end of a STAMP probe.
pub(crate) fn probe(interface: &str, local: IpAddr, remote: SocketAddr) -> io::Result<UdpSocket> {
    let socket = datagram(interface, SocketAddr::new(local, 0), Protocol::UDP)?;
    socket.connect(&remote.into())?;
    Ok(socket.into())
}

/// Both ends of an ICMP echo.
pub(crate) fn echo(interface: &str, local: IpAddr, remote: IpAddr) -> io::Result<UdpSocket> {
    let protocol = match local {
        IpAddr::V4(_) => Protocol::ICMPV4,
        IpAddr::V6(_) => Protocol::ICMPV6,
    };
    let socket = datagram(interface, SocketAddr::new(local, 0), protocol);
    let socket = socket.map_err(echo::explained)?;
    socket.connect(&SocketAddr::new(remote, 0).into())?;
    Ok(socket.into())
}

/// The reflecting end of STAMP.
pub(crate) fn reflector(interface: &str, local: IpAddr, port: u16) -> io::Result<UdpSocket> {
    let socket = datagram(interface, SocketAddr::new(local, port), Protocol::UDP)?;
    message::ask_for_details(&socket, local)?;
    Ok(socket.into())
}

fn datagram(interface: &str, local: SocketAddr, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(local), Type::DGRAM, Some(protocol))?;
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

/// The next datagram, if there is one, with what the kernel tells about it.
///
/// # Errors
///
/// The kernel's; that nobody listens at the far end is one.
pub(crate) fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<Option<Message>> {
    match message::receive(socket.as_fd(), buffer) {
        Ok(message) => Ok(Some(message)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}
