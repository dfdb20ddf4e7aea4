//! Datagrams with what only `recvmsg` tells: the hop limit they arrived with, the address they were
//! sent to, the interface they came in on, and when they did.

use std::io;
use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::{Duration, SystemTime};

use socket2::{SockAddr, Socket};

use super::tcp;

/// A datagram, without its octets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message {
    pub(crate) length: usize,
    pub(crate) from: SocketAddr,
    /// `None` where the kernel does not say.
    pub(crate) to: Option<IpAddr>,
    /// 0 where the kernel does not say.
    pub(crate) interface: u32,
    /// 255 where the kernel does not say.
    pub(crate) hop_limit: u8,
    /// When it came to this host, by its wall clock, since 1970-01-01 00:00 UTC; `None` where the kernel does
    /// not say.
    pub(crate) arrived: Option<Duration>,
}

impl Message {
    /// For how long it lay in the socket until now; zero where that is not known, or makes no sense, because
    /// the clock was set back.
    pub(crate) fn waited(&self) -> Duration {
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let waited = |arrived| since_epoch.ok()?.checked_sub(arrived);
        self.arrived.and_then(waited).unwrap_or_default()
    }
}

/// Has the kernel note when datagrams come, before anybody reads them.
pub(crate) fn ask_for_time(socket: &Socket) -> io::Result<()> {
    let on: libc::c_int = 1;
    tcp::set(socket.as_fd(), libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, &on)
}

/// Has the kernel tell all of it about what comes to a socket of this family.
pub(crate) fn ask_for_details(socket: &Socket, family: IpAddr) -> io::Result<()> {
    let on: libc::c_int = 1;
    let names = match family {
        IpAddr::V4(_) => [libc::IP_RECVTTL, libc::IP_PKTINFO],
        IpAddr::V6(_) => [libc::IPV6_RECVHOPLIMIT, libc::IPV6_RECVPKTINFO],
    };
    let level = match family {
        IpAddr::V4(_) => libc::IPPROTO_IP,
        IpAddr::V6(_) => libc::IPPROTO_IPV6,
    };
    for name in names {
        tcp::set(socket.as_fd(), level, name, &on)?;
    }
    Ok(())
}

/// Receives a datagram; what does not fit is cut.
///
/// # Errors
///
/// The kernel's; `WouldBlock` if there is none.
#[expect(
    unsafe_code,
    reason = "recvmsg: the only call that gives the hop limit of a datagram"
)]
pub(crate) fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Message> {
    let mut control = [MaybeUninit::<libc::cmsghdr>::uninit(); 16];
    let mut part = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    // SAFETY: every pointer in `message` is to something that lives through both calls, with the
    // length beside it; `control` is aligned for a cmsghdr, and only what the kernel says it wrote
    // is walked with the CMSG macros.
    unsafe {
        let (mut received, from) = SockAddr::try_init(|address, length| {
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
            let mut received = Message {
                length: read as usize,
                from: SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0),
                to: None,
                interface: 0,
                hop_limit: u8::MAX,
                arrived: None,
            };
            let mut header = libc::CMSG_FIRSTHDR(&raw const message);
            while !header.is_null() {
                note(&*header, libc::CMSG_DATA(header), &mut received);
                header = libc::CMSG_NXTHDR(&raw const message, header);
            }
            Ok(received)
        })?;
        received.from = from.as_socket().unwrap_or(received.from);
        Ok(received)
    }
}

/// Takes what one control message says.
///
/// # Safety
///
/// `data` points to the data of a message that the kernel wrote, with `header` before it.
#[expect(unsafe_code, reason = "the kernel's control messages are C structures")]
unsafe fn note(header: &libc::cmsghdr, data: *const u8, received: &mut Message) {
    // SAFETY: what is read has the type that the kernel gives a message of this level and type.
    unsafe {
        match (header.cmsg_level, header.cmsg_type) {
            (libc::IPPROTO_IP, libc::IP_TTL) | (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT) => {
                let value = data.cast::<libc::c_int>().read_unaligned();
                received.hop_limit = u8::try_from(value).unwrap_or(u8::MAX);
            }
            (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) => {
                let time = data.cast::<libc::timespec>().read_unaligned();
                let seconds = u64::try_from(time.tv_sec).ok();
                let nanos = u32::try_from(time.tv_nsec).ok();
                received.arrived = seconds
                    .zip(nanos.filter(|nanos| *nanos < 1_000_000_000))
                    .map(|(seconds, nanos)| Duration::new(seconds, nanos));
            }
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                let info = data.cast::<libc::in_pktinfo>().read_unaligned();
                let to = Ipv4Addr::from(u32::from_be(info.ipi_addr.s_addr));
                received.to = Some(to.into());
                received.interface = info.ipi_ifindex.unsigned_abs();
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                let info = data.cast::<libc::in6_pktinfo>().read_unaligned();
                received.to = Some(Ipv6Addr::from(info.ipi6_addr.s6_addr).into());
                received.interface = info.ipi6_ifindex;
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use socket2::{Domain, Type};

    use super::*;

    #[test]
    fn the_kernel_tells_hop_limit_address_and_interface_of_both_families() {
        for (domain, address) in [(Domain::IPV4, "127.0.0.1"), (Domain::IPV6, "::1")] {
            let address: IpAddr = address.parse().unwrap();
            let socket = Socket::new(domain, Type::DGRAM, None).unwrap();
            ask_for_details(&socket, address).unwrap();
            ask_for_time(&socket).unwrap();
            socket.bind(&SocketAddr::new(address, 0).into()).unwrap();
            let socket: UdpSocket = socket.into();
            let sender = UdpSocket::bind(SocketAddr::new(address, 0)).unwrap();
            tcp::set_ttl(sender.as_fd(), address, 42).unwrap();
            sender
                .send_to(b"hello", socket.local_addr().unwrap())
                .unwrap();
            let mut buffer = [0; 16];
            let received = receive(socket.as_fd(), &mut buffer).unwrap();
            assert_eq!(&buffer[..received.length], b"hello");
            assert_eq!(received.from, sender.local_addr().unwrap());
            assert_eq!(received.to, Some(address));
            assert_eq!(received.hop_limit, 42);
            assert_ne!(received.interface, 0);
            assert!(received.waited() > Duration::ZERO);
            let error = receive(socket.as_fd(), &mut buffer).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        }
    }
}
