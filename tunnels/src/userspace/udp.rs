//! The UDP socket of a tunnel: one for both families, with GSO and GRO.

use std::{
    io::{self, IoSliceMut},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket},
    os::fd::{AsFd, BorrowedFd},
    sync::atomic::{AtomicUsize, Ordering},
};

use quinn_udp::{RecvMeta, Transmit, UdpSocketState};
use rustix::net::sockopt::{Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery};
use socket2::{Domain, Protocol, Socket, Type};

use super::noise::Path;

/// What the kernel may hold for us in each direction, in bytes. Without CAP_NET_ADMIN it grants
/// what `net.core.{r,w}mem_max` allow.
const SOCKET_BUFFER: usize = 4 << 20;
/// What one UDP datagram, or one GSO train of them, may carry.
const MAX_PAYLOAD: usize = 65_507;

/// Sends and receives datagrams; shared by the threads of a tunnel.
pub(super) struct Udp {
    socket: UdpSocket,
    state: UdpSocketState,
    is_ipv6: bool,
    /// Trains of datagrams as long as this were refused: by a device that cannot segment, or a
    /// path whose MTU is smaller than they are.
    refused: AtomicUsize,
}

/// How far a train got.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Sent {
    /// Every datagram was sent, or cannot be.
    All,
    /// The socket is full; so many bytes went.
    UpTo(usize),
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
        enlarge_buffers(&socket);
        let socket = UdpSocket::from(socket);
        let state = UdpSocketState::new((&socket).into())?;
        // quinn-udp forbids fragmentation. WireGuard allows it: an outer path whose MTU is smaller
        // than the tunnel's MTU assumes must be slow, not dead. Where fragments are dropped as well, the
        // probes inside the link find out what passes whole.
        rustix::net::sockopt::set_ip_mtu_discover(&socket, Ipv4PathMtuDiscovery::DONT)?;
        if is_ipv6 {
            rustix::net::sockopt::set_ipv6_mtu_discover(&socket, Ipv6PathMtuDiscovery::DONT)?;
        }
        Ok(Self {
            socket,
            state,
            is_ipv6,
            refused: AtomicUsize::new(usize::MAX),
        })
    }

    /// Sends one datagram; a full socket buffer drops it.
    ///
    /// # Errors
    /// The kernel's.
    pub(super) fn send(&self, contents: &[u8], to: Path) -> io::Result<()> {
        self.transmit(contents, None, to)
    }

    /// Sends `contents`, which is datagrams of `segment` bytes, the last possibly shorter.
    ///
    /// # Errors
    /// The kernel's, of the last datagram that cannot be sent; others were tried.
    pub(super) fn send_train(
        &self,
        contents: &[u8],
        segment: usize,
        to: Path,
    ) -> (Sent, io::Result<()>) {
        let segment = segment.max(1);
        let step = segment * self.per_send(segment);
        let mut result = Ok(());
        let mut done = 0;
        while let Some(rest) = contents.get(done..).filter(|rest| !rest.is_empty()) {
            let train = rest.get(..step.min(rest.len())).unwrap_or(rest);
            match self.transmit(train, Some(segment), to) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return (Sent::UpTo(done), result);
                }
                // quinn-udp leaves it to us to do without (its issue 2575).
                Err(error) if is_gso_refusal(&error) && train.len() > segment => {
                    self.refused.fetch_min(segment, Ordering::Relaxed);
                    let (sent, each) = self.send_train(rest, segment, to);
                    return match sent {
                        Sent::All => (sent, result.and(each)),
                        Sent::UpTo(more) => (Sent::UpTo(done + more), result.and(each)),
                    };
                }
                Err(error) => result = Err(error),
            }
            done += train.len();
        }
        (Sent::All, result)
    }

    /// Trains are tried again; call it now and then, since paths change.
    pub(super) fn forget_refusals(&self) {
        self.refused.store(usize::MAX, Ordering::Relaxed);
    }

    /// How many datagrams of this length one send takes.
    fn per_send(&self, segment: usize) -> usize {
        if segment >= self.refused.load(Ordering::Relaxed) {
            return 1;
        }
        let most = self.state.max_gso_segments();
        most.min(MAX_PAYLOAD / segment).max(1)
    }

    fn transmit(&self, contents: &[u8], segment_size: Option<usize>, to: Path) -> io::Result<()> {
        let destination = self.destination(to.remote);
        let transmit = Transmit {
            destination,
            ecn: None,
            contents,
            segment_size,
            src_ip: to.local,
        };
        match self.state.try_send((&self.socket).into(), &transmit) {
            // The host may have lost that address; what comes next says which one is good.
            Err(error) if to.local.is_some() && error.kind() != io::ErrorKind::WouldBlock => {
                self.transmit(contents, segment_size, to.remote.into())
            }
            sent => sent,
        }
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

/// Refused sizes are no error: the kernel's default works, with more loss under load.
fn enlarge_buffers(socket: &Socket) {
    use rustix::net::sockopt;
    if sockopt::set_socket_recv_buffer_size_force(socket, SOCKET_BUFFER).is_err() {
        let _ = socket.set_recv_buffer_size(SOCKET_BUFFER);
    }
    if sockopt::set_socket_send_buffer_size_force(socket, SOCKET_BUFFER).is_err() {
        let _ = socket.set_send_buffer_size(SOCKET_BUFFER);
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
        let (sent, result) = udp.send_train(&contents, 64, to.into());
        assert_eq!(sent, Sent::All);
        result.expect("sent");
        for datagram in contents.chunks(64) {
            assert_eq!(received(&far), datagram);
        }
    }

    #[test]
    fn a_train_that_was_refused_is_sent_one_by_one_and_arrives_alike() {
        let (udp, far, to) = pair();
        let contents = vec![5; 1000];
        udp.refused.store(300, Ordering::Relaxed);
        assert_eq!((udp.per_send(300), udp.per_send(299) > 1), (1, true));
        udp.send_train(&contents, 300, to.into()).1.expect("sent");
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
