//! The UDP socket of a tunnel: one for both families, with GSO and GRO.

use std::{
    io::{self, IoSliceMut},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket},
    os::fd::{AsFd, BorrowedFd},
};

use quinn_udp::{RecvMeta, Transmit, UdpSocketState};
use rustix::net::sockopt::{Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery};
use socket2::{Domain, Protocol, Socket, Type};

/// What we ask the kernel for, in bytes; it grants what `net.core.{r,w}mem_max` allow.
const SOCKET_BUFFER: usize = 8 << 20;
/// What one UDP datagram, or one GSO train of them, may carry.
const MAX_PAYLOAD: usize = 65_507;

/// Sends and receives datagrams; shared by the threads of a tunnel.
pub(super) struct Udp {
    socket: UdpSocket,
    state: UdpSocketState,
    is_ipv6: bool,
}

impl Udp {
    /// Binds `port` on every address of the host, IPv4 only where there is no IPv6.
    ///
    /// # Errors
    /// The kernel's; `EADDRINUSE` when somebody else has the port.
    pub(super) fn bind(port: u16) -> io::Result<Self> {
        let (socket, is_ipv6) = match bind_dual_stack(port) {
            Ok(socket) => (socket, true),
            Err(error) if has_no_ipv6(&error) => (bind_ipv4(port)?, false),
            Err(error) => return Err(error),
        };
        // Refused sizes are no error: the kernel's default works, with more loss under load.
        let _ = socket.set_recv_buffer_size(SOCKET_BUFFER);
        let _ = socket.set_send_buffer_size(SOCKET_BUFFER);
        let socket = UdpSocket::from(socket);
        let state = UdpSocketState::new((&socket).into())?;
        // quinn-udp forbids fragmentation. WireGuard allows it: an outer path whose MTU is smaller
        // than the tunnel's MTU assumes must be slow, not dead.
        rustix::net::sockopt::set_ip_mtu_discover(&socket, Ipv4PathMtuDiscovery::DONT)?;
        if is_ipv6 {
            rustix::net::sockopt::set_ipv6_mtu_discover(&socket, Ipv6PathMtuDiscovery::DONT)?;
        }
        Ok(Self {
            socket,
            state,
            is_ipv6,
        })
    }

    /// Sends one datagram; a full socket buffer drops it.
    ///
    /// # Errors
    /// The kernel's.
    pub(super) fn send(&self, contents: &[u8], to: SocketAddr) -> io::Result<()> {
        self.transmit(contents, None, to)
    }

    /// Sends `contents`, which is datagrams of `segment` bytes, the last possibly shorter.
    ///
    /// # Errors
    /// The kernel's, for the first datagram that could not be sent; others were tried.
    pub(super) fn send_train(
        &self,
        contents: &[u8],
        segment: usize,
        to: SocketAddr,
    ) -> io::Result<()> {
        let per_train = self
            .state
            .max_gso_segments()
            .min(MAX_PAYLOAD / segment.max(1))
            .max(1);
        let mut result = Ok(());
        for train in contents.chunks(segment.saturating_mul(per_train).max(1)) {
            let sent = match self.transmit(train, Some(segment), to) {
                // What devices and old kernels that cannot segment answer.
                Err(error) if is_gso_refusal(&error) && train.len() > segment => {
                    self.send_each(train, segment, to)
                }
                sent => sent,
            };
            result = result.and(sent);
        }
        result
    }

    fn send_each(&self, train: &[u8], segment: usize, to: SocketAddr) -> io::Result<()> {
        let mut result = Ok(());
        for datagram in train.chunks(segment.max(1)) {
            result = result.and(self.transmit(datagram, None, to));
        }
        result
    }

    fn transmit(
        &self,
        contents: &[u8],
        segment_size: Option<usize>,
        to: SocketAddr,
    ) -> io::Result<()> {
        let destination = self.destination(to);
        let transmit = Transmit {
            destination,
            ecn: None,
            contents,
            segment_size,
            src_ip: None,
        };
        self.state.try_send((&self.socket).into(), &transmit)
    }

    fn destination(&self, to: SocketAddr) -> SocketAddr {
        match to {
            SocketAddr::V4(v4) if self.is_ipv6 => {
                SocketAddrV6::new(v4.ip().to_ipv6_mapped(), v4.port(), 0, 0).into()
            }
            SocketAddr::V4(_) | SocketAddr::V6(_) => to,
        }
    }

    /// Receives into `buffers`, each possibly a run of equal datagrams; see [`RecvMeta::stride`].
    ///
    /// # Errors
    /// `WouldBlock` when there is nothing.
    pub(super) fn receive(
        &self,
        buffers: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> io::Result<usize> {
        self.state.recv((&self.socket).into(), buffers, metas)
    }
}

impl AsFd for Udp {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn bind_dual_stack(port: u16) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV6, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_only_v6(false)?;
    socket.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)).into())?;
    Ok(socket)
}

fn bind_ipv4(port: u16) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)).into())?;
    Ok(socket)
}

fn has_no_ipv6(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL)
    )
}

fn is_gso_refusal(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EIO | libc::EINVAL | libc::EMSGSIZE)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both ends on loopback; each test has ports of its own because the kernel chooses them.
    fn pair() -> (Udp, UdpSocket, SocketAddr) {
        let far = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
        let to = far.local_addr().expect("bound");
        (Udp::bind(0).expect("a socket"), far, to)
    }

    fn received(far: &UdpSocket) -> Vec<u8> {
        let mut buffer = [0; 2048];
        far.set_read_timeout(Some(std::time::Duration::from_secs(5)))
            .expect("a timeout");
        let length = far.recv(&mut buffer).expect("a datagram");
        buffer[..length].to_vec()
    }

    #[test]
    fn a_train_arrives_as_its_datagrams() {
        let (udp, far, to) = pair();
        let contents: Vec<u8> = (0..100 * 64 + 7).map(|n| n as u8).collect();
        udp.send_train(&contents, 64, to).expect("sent");
        for datagram in contents.chunks(64) {
            assert_eq!(received(&far), datagram);
        }
    }

    #[test]
    fn a_train_sent_one_by_one_arrives_alike() {
        let (udp, far, to) = pair();
        let contents = vec![5; 1000];
        udp.send_each(&contents, 300, to).expect("sent");
        let lengths: Vec<usize> = (0..4).map(|_| received(&far).len()).collect();
        assert_eq!(lengths, [300, 300, 300, 100]);
    }

    #[test]
    fn a_port_that_is_taken_is_an_error() {
        let taken = Udp::bind(0).expect("a socket");
        let port = taken.socket.local_addr().expect("bound").port();
        let error = Udp::bind(port).err().expect("taken");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }
}
