//! The connections of a peer: the one that we made, the one that was made to us, and the dial.

use std::collections::VecDeque;
use std::future::pending;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Weak};

use bgp::session::{Conn, Session};
use bytes::{Buf, Bytes};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::TcpStream;

use super::super::read_buffer::ReadBuffer;
use crate::sockets::Gauge;

/// Runs of messages written at once.
const WRITES: usize = 16;

/// Writes what is left, says that no more comes, and reads until the other side has closed too:
/// closing with unread bytes would reset the connection and take our last message along.
pub(super) async fn last_words(mut transport: Transport) -> io::Result<()> {
    for bytes in &transport.out {
        transport.stream.write_all(bytes).await?;
    }
    transport.stream.shutdown().await?;
    let mut sink = [0; 4096];
    while transport.stream.read(&mut sink).await? > 0 {}
    Ok(())
}

/// A connection.
pub(super) struct Transport {
    pub(super) stream: TcpStream,
    /// For the link's task, if it has to measure by this connection.
    pub(super) gauge: Option<Arc<Gauge>>,
    /// Taken from the session and not written yet.
    pub(super) out: VecDeque<Bytes>,
    /// Nothing can be written any more. What the other side said before may still be read: its last
    /// message says why it went.
    is_mute: bool,
}

impl Transport {
    pub(super) fn new(stream: TcpStream, gauge: Option<Arc<Gauge>>) -> Self {
        Self {
            stream,
            gauge,
            out: VecDeque::new(),
            is_mute: false,
        }
    }

    fn try_write(&mut self) -> io::Result<()> {
        let mut slices = [IoSlice::new(&[]); WRITES];
        for (slice, bytes) in slices.iter_mut().zip(&self.out) {
            *slice = IoSlice::new(bytes);
        }
        let count = self.out.len().min(WRITES);
        let mut written = self.stream.try_write_vectored(&slices[..count])?;
        while let Some(first) = self.out.front_mut() {
            let step = written.min(first.len());
            first.advance(step);
            written -= step;
            if !first.is_empty() {
                break;
            }
            self.out.pop_front();
        }
        Ok(())
    }
}

pub(super) type Dialling = Pin<Box<dyn Future<Output = io::Result<TcpStream>> + Send>>;

/// Both connections and the dial.
#[derive(Default)]
pub(super) struct Conns {
    inbound: Option<Transport>,
    outbound: Option<Transport>,
    pub(super) dial: Option<Dialling>,
    pub(super) buffer: ReadBuffer,
}

pub(super) enum Event {
    /// They are in the buffer.
    Bytes(Conn),
    Closed(Conn),
    Dialled(io::Result<TcpStream>),
    Written,
}

impl Conns {
    pub(super) fn slot(&mut self, conn: Conn) -> &mut Option<Transport> {
        match conn {
            Conn::Inbound => &mut self.inbound,
            Conn::Outbound => &mut self.outbound,
        }
    }

    pub(super) fn latest(&self) -> Option<&TcpStream> {
        let transport = self.inbound.as_ref().or(self.outbound.as_ref())?;
        Some(&transport.stream)
    }

    /// Of a session that is up only one connection is left.
    pub(super) fn gauge(&self) -> Weak<Gauge> {
        let transport = self.outbound.as_ref().or(self.inbound.as_ref());
        let gauge = transport.and_then(|transport| transport.gauge.as_ref());
        gauge.map(Arc::downgrade).unwrap_or_default()
    }

    pub(super) fn take(&mut self, conn: Conn) -> Option<Transport> {
        self.slot(conn).take()
    }

    /// Asks the session for bytes where the last ones have left.
    pub(super) fn fill(&mut self, session: &mut Session) {
        for conn in [Conn::Inbound, Conn::Outbound] {
            if let Some(transport) = self.slot(conn)
                && transport.out.is_empty()
                && !transport.is_mute
            {
                transport.out.extend(session.poll_transmit(conn));
            }
        }
    }

    /// Cancel-safe: waits for readiness, and reads or writes without waiting.
    pub(super) async fn next(&mut self, may_read: bool) -> Event {
        loop {
            let event = tokio::select! {
                ready = ready(self.inbound.as_ref(), may_read) => self.act(Conn::Inbound, ready),
                ready = ready(self.outbound.as_ref(), may_read) => self.act(Conn::Outbound, ready),
                result = dialled(&mut self.dial) => {
                    self.dial = None;
                    Some(Event::Dialled(result))
                }
            };
            if let Some(event) = event {
                return event;
            }
        }
    }

    fn act(&mut self, conn: Conn, ready: io::Result<tokio::io::Ready>) -> Option<Event> {
        let Self {
            inbound,
            outbound,
            buffer,
            ..
        } = self;
        let transport = match conn {
            Conn::Inbound => inbound.as_mut()?,
            Conn::Outbound => outbound.as_mut()?,
        };
        let Ok(ready) = ready else {
            return Some(Event::Closed(conn));
        };
        if ready.is_writable() && !transport.out.is_empty() {
            match transport.try_write() {
                Ok(()) => return Some(Event::Written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => {
                    transport.is_mute = true;
                    transport.out.clear();
                    return None;
                }
            }
        }
        if !ready.is_readable() && !ready.is_read_closed() {
            return None;
        }
        match transport.stream.try_read(buffer.room()) {
            Ok(0) => Some(Event::Closed(conn)),
            Ok(read) => {
                buffer.filled(read);
                Some(Event::Bytes(conn))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(_) => Some(Event::Closed(conn)),
        }
    }
}

async fn dialled(dial: &mut Option<Dialling>) -> io::Result<TcpStream> {
    match dial {
        Some(dial) => dial.await,
        None => pending().await,
    }
}

async fn ready(transport: Option<&Transport>, may_read: bool) -> io::Result<tokio::io::Ready> {
    let Some(transport) = transport else {
        return pending().await;
    };
    let interest = match (may_read, transport.out.is_empty()) {
        (true, true) => Interest::READABLE,
        (true, false) => Interest::READABLE | Interest::WRITABLE,
        (false, false) => Interest::WRITABLE,
        (false, true) => return pending().await,
    };
    transport.stream.ready(interest).await
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use socket2::SockRef;
    use tokio::net::TcpListener;
    use tokio::time::timeout;

    use super::*;

    /// Both ends of a connection, ours first.
    async fn connection() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let at = listener.local_addr().expect("bound");
        let ours = TcpStream::connect(at).await.expect("a connection");
        let (theirs, _) = listener.accept().await.expect("a connection");
        (ours, theirs)
    }

    /// As of a speaker that says why it goes and closes, with something of ours unread.
    #[tokio::test]
    async fn last_words_are_read_though_the_connection_was_reset_while_we_had_something_to_say() {
        let (ours, mut theirs) = connection().await;
        theirs.write_all(b"why").await.expect("written");
        SockRef::from(&theirs)
            .set_linger(Some(Duration::ZERO))
            .expect("an option");
        drop(theirs);
        // Both readable and writable, as far as the runtime knows.
        ours.ready(Interest::READABLE).await.expect("ready");
        let mut transport = Transport::new(ours, None);
        transport.out.push_back(Bytes::from_static(b"more"));
        let mut conns = Conns {
            outbound: Some(transport),
            ..Conns::default()
        };
        let mut heard = Vec::new();
        let ended = async {
            loop {
                match conns.next(true).await {
                    Event::Bytes(_) => heard.extend_from_slice(conns.buffer.bytes()),
                    Event::Closed(conn) => return conn,
                    Event::Written | Event::Dialled(_) => {}
                }
            }
        };
        let ended = timeout(Duration::from_secs(10), ended).await;
        assert_eq!(ended.ok(), Some(Conn::Outbound));
        assert_eq!(heard, b"why");
    }
}
