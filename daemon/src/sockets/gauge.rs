//! A look at a TCP connection that somebody else owns.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use links::TcpState;
use tokio::net::TcpStream;

use super::tcp;

/// `TCP_ESTABLISHED`, linux/tcp_states.h.
const ESTABLISHED: u8 = 1;

/// A second descriptor of a connection. Whoever owns the connection keeps it; others have it weakly, so that
/// it closes with the first.
#[derive(Debug)]
pub(crate) struct Gauge(OwnedFd);

impl Gauge {
    /// # Errors
    ///
    /// There are too many descriptors.
    pub(crate) fn of(stream: &TcpStream) -> io::Result<Self> {
        stream.as_fd().try_clone_to_owned().map(Self)
    }

    /// `None` unless it is established.
    pub(crate) fn read(&self) -> Option<TcpState> {
        let info = tcp::info(self.0.as_fd()).ok()?;
        (info.tcpi_state == ESTABLISHED).then(|| TcpState {
            rtt: Some(info.tcpi_rtt)
                .filter(|rtt| *rtt > 0)
                .map(|rtt| Duration::from_micros(rtt.into())),
            silence: Duration::from_millis(info.tcpi_last_ack_recv.into()),
            timeouts: info.tcpi_retransmits.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_connection_is_seen_until_it_is_closed() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap());
        let (near, far) = tokio::join!(near, listener.accept());
        let (mut near, mut far) = (near.unwrap(), far.unwrap().0);
        let gauge = Gauge::of(&near).unwrap();
        near.write_all(b"hello").await.unwrap();
        far.read_exact(&mut [0; 5]).await.unwrap();
        let state = gauge.read().unwrap();
        assert!(state.rtt.is_some());
        assert_eq!(state.timeouts, 0);
        near.shutdown().await.unwrap();
        assert_eq!(gauge.read(), None);
    }
}
