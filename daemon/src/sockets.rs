//! Sockets that leave and arrive where the intent says: bound to an address and an interface.

use std::io;
use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::AsRawFd;

use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tokio::io::Interest;
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};

/// Class selector 6, internetwork control (RFC 2474 §4.2.2.2; RFC 4271 §8 leaves it to us).
const CONTROL: u32 = 0xc0;
const BACKLOG: u32 = 128;

/// Where BGP connections are accepted.
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
    socket.bind(&address.into())?;
    socket.listen(BACKLOG as i32)?;
    TcpListener::from_std(socket.into())
}

/// Opens a BGP connection.
pub(crate) async fn dial(
    remote: SocketAddr,
    local: Option<IpAddr>,
    interface: Option<&str>,
) -> io::Result<TcpStream> {
    let socket = Socket::new(
        Domain::for_address(remote),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_nonblocking(true)?;
    mark(&socket, remote.ip())?;
    socket.bind_device(interface.map(str::as_bytes))?;
    if let Some(local) = local {
        socket.bind(&SocketAddr::new(local, 0).into())?;
    }
    let stream = TcpSocket::from_std_stream(socket.into())
        .connect(remote)
        .await?;
    stream.set_nodelay(true)?;
    Ok(stream)
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
    match local {
        IpAddr::V4(_) => ask_for_ttl(&socket)?,
        IpAddr::V6(_) => socket.set_recv_hoplimit_v6(true)?,
    }
    UdpSocket::from_std(socket.into())
}

#[expect(unsafe_code, reason = "IP_RECVTTL, which socket2 does not know")]
fn ask_for_ttl(socket: &Socket) -> io::Result<()> {
    let on: libc::c_int = 1;
    let length = size_of_val(&on) as libc::socklen_t;
    // SAFETY: `on` lives through the call, with its size beside it.
    let result = unsafe {
        let value = (&raw const on).cast();
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_RECVTTL,
            value,
            length,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
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
    Ok(socket)
}

fn mark(socket: &Socket, address: IpAddr) -> io::Result<()> {
    match address {
        IpAddr::V4(_) => socket.set_tos_v4(CONTROL),
        IpAddr::V6(_) => socket.set_tclass_v6(CONTROL),
    }
}

/// Receives a datagram with the TTL or hop limit it arrived with (255 where the kernel does not
/// say). Cancel-safe.
pub(crate) async fn receive_with_ttl(
    socket: &UdpSocket,
    buffer: &mut [u8],
) -> io::Result<(usize, SocketAddr, u8)> {
    socket
        .async_io(Interest::READABLE, || receive_message(socket, buffer))
        .await
}

#[expect(
    unsafe_code,
    reason = "recvmsg: the only call that gives the TTL of a datagram"
)]
fn receive_message(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr, u8)> {
    let mut control = [MaybeUninit::<libc::cmsghdr>::uninit(); 8];
    let mut part = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    // SAFETY: every pointer in `message` is to something that lives through both calls, with the
    // length beside it; `control` is aligned for a cmsghdr, and only what the kernel says it wrote
    // is walked with the CMSG macros.
    unsafe {
        let (read, from) = SockAddr::try_init(|address, length| {
            let mut message: libc::msghdr = std::mem::zeroed();
            message.msg_name = address.cast();
            message.msg_namelen = *length;
            message.msg_iov = &raw mut part;
            message.msg_iovlen = 1;
            message.msg_control = control.as_mut_ptr().cast();
            message.msg_controllen = size_of_val(&control);
            let read = libc::recvmsg(socket.as_raw_fd(), &raw mut message, libc::MSG_DONTWAIT);
            if read < 0 {
                return Err(io::Error::last_os_error());
            }
            *length = message.msg_namelen;
            let mut ttl = u8::MAX;
            let mut header = libc::CMSG_FIRSTHDR(&raw const message);
            while !header.is_null() {
                let kind = ((*header).cmsg_level, (*header).cmsg_type);
                if kind == (libc::IPPROTO_IP, libc::IP_TTL)
                    || kind == (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT)
                {
                    let value = libc::CMSG_DATA(header)
                        .cast::<libc::c_int>()
                        .read_unaligned();
                    ttl = u8::try_from(value).unwrap_or(u8::MAX);
                }
                header = libc::CMSG_NXTHDR(&raw const message, header);
            }
            Ok((read as usize, ttl))
        })?;
        let from_address = from.as_socket();
        let unknown = || SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
        Ok((read.0, from_address.unwrap_or_else(unknown), read.1))
    }
}
