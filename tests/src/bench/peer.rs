//! A peer of the daemon under test: dials it, says what it is told to, stores what it hears.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use bgp::wire::{
    Capability, Frames, HEADER_LEN, MessageKind, Notification, Open, encode_keepalive,
};
use bgp::{Asn, RouterId};
use bytes::{Bytes, BytesMut};
use rustix::net::{AddressFamily, SocketType};

use crate::interrupt;
use crate::lab::netns::Namespace;

const HOLD_TIME_SECS: u16 = 180;
/// Well within the hold time.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// Within so long after its start a daemon takes every session.
const PATIENCE: Duration = Duration::from_secs(20);
const RETRY: Duration = Duration::from_millis(100);
const BGP_PORT: u16 = 179;
/// What one read takes at most.
const READ: usize = 256 * 1024;

/// Who a peer is, and whom it dials.
#[derive(Clone, Copy, Debug)]
pub struct Identity {
    /// Its AS.
    pub asn: Asn,
    /// Its address, which is its identifier too.
    pub address: Ipv4Addr,
    /// The daemon's address.
    pub daemon: Ipv4Addr,
}

/// What one read of the socket gave, and when.
#[derive(Debug)]
pub struct Chunk {
    /// The moment after the read.
    pub at: Instant,
    /// Messages, cut anywhere.
    pub bytes: Box<[u8]>,
}

/// An established session. Dropping it closes the connection.
#[derive(Debug)]
pub struct Peer {
    stream: Arc<TcpStream>,
    heard: Arc<Mutex<Heard>>,
    reader: Option<JoinHandle<()>>,
    writer: Option<JoinHandle<Result<()>>>,
    last_keepalive: Instant,
}

#[derive(Debug, Default)]
struct Heard {
    /// Since they were last taken.
    chunks: Vec<Chunk>,
    last: Option<Instant>,
    is_closed: bool,
}

impl Peer {
    /// Dials from inside `namespace` until a session is established, for up to 20 s.
    ///
    /// # Errors
    ///
    /// When there is none by then: why the last attempt failed.
    pub fn establish(namespace: &Namespace, identity: Identity) -> Result<Self> {
        let stream = thread::scope(|scope| {
            let dialler = scope.spawn(|| {
                namespace.enter()?;
                dial_until_established(identity)
            });
            dialler.join().expect("a dialler does not panic")
        })?;
        let (stream, heard) = (Arc::new(stream), Arc::default());
        let reader = {
            let (stream, heard) = (Arc::clone(&stream), Arc::clone(&heard));
            thread::spawn(move || store(&stream, &heard))
        };
        Ok(Self {
            stream,
            heard,
            reader: Some(reader),
            writer: None,
            last_keepalive: Instant::now(),
        })
    }

    /// Sends messages from a thread of its own.
    ///
    /// # Errors
    ///
    /// When what was sent before could not be.
    pub fn send(&mut self, messages: Bytes) -> Result<()> {
        self.finish_sending()?;
        let stream = Arc::clone(&self.stream);
        self.writer = Some(thread::spawn(move || {
            (&*stream).write_all(&messages).context("sending UPDATEs")
        }));
        Ok(())
    }

    /// Whether all that was to be sent has been.
    pub fn has_sent(&self) -> bool {
        self.writer.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Sends a KEEPALIVE if one is due. UPDATEs do as well, so not while there are some to send.
    pub fn keep_alive(&mut self) {
        if self.last_keepalive.elapsed() > KEEPALIVE && self.has_sent() {
            let mut message = BytesMut::new();
            encode_keepalive(&mut message);
            // A connection that has ended is found by its reader.
            let _ = (&*self.stream).write_all(&message);
            self.last_keepalive = Instant::now();
        }
    }

    /// What was heard since the last call, in order.
    pub fn take_heard(&self) -> Vec<Chunk> {
        std::mem::take(&mut lock(&self.heard).chunks)
    }

    /// When something was last heard.
    pub fn last_heard(&self) -> Option<Instant> {
        lock(&self.heard).last
    }

    /// Whether the daemon has ended the session.
    pub fn is_closed(&self) -> bool {
        lock(&self.heard).is_closed
    }

    /// Ends the connection, without a NOTIFICATION.
    fn close(&self) {
        // It fails where the daemon was first, which comes to the same.
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    fn finish_sending(&mut self) -> Result<()> {
        match self.writer.take() {
            Some(writer) => writer.join().expect("a writer does not panic"),
            None => Ok(()),
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Wakes both threads, whatever they wait for.
        self.close();
        let _ = self.finish_sending();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

fn lock(heard: &Mutex<Heard>) -> MutexGuard<'_, Heard> {
    heard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Stores all that comes, until the connection ends.
fn store(mut stream: &TcpStream, heard: &Mutex<Heard>) {
    let mut buffer = vec![0; READ];
    loop {
        let read = match stream.read(&mut buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            other => other.unwrap_or(0),
        };
        let at = Instant::now();
        let mut heard = lock(heard);
        if read == 0 {
            heard.is_closed = true;
            return;
        }
        let bytes = buffer[..read].into();
        heard.chunks.push(Chunk { at, bytes });
        heard.last = Some(at);
    }
}

/// A daemon that has just started may refuse a connection, or take it and close it.
fn dial_until_established(identity: Identity) -> Result<TcpStream> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        interrupt::check()?;
        match dial(identity) {
            Ok(stream) => return Ok(stream),
            Err(error) if Instant::now() > deadline => {
                let what = format!("no session from {} within {PATIENCE:?}", identity.address);
                return Err(error.context(what));
            }
            Err(_) => thread::sleep(RETRY),
        }
    }
}

fn dial(identity: Identity) -> Result<TcpStream> {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None)?;
    let own = SocketAddr::V4(SocketAddrV4::new(identity.address, 0));
    rustix::net::bind(&socket, &own)?;
    let daemon = SocketAddr::V4(SocketAddrV4::new(identity.daemon, BGP_PORT));
    rustix::net::connect(&socket, &daemon).context("connecting")?;
    let mut stream = TcpStream::from(socket);
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut greeting = BytesMut::new();
    open(identity)?.encode(&mut greeting);
    stream.write_all(&greeting)?;
    expect(&mut stream, MessageKind::Open)?;
    let mut answer = BytesMut::new();
    encode_keepalive(&mut answer);
    stream.write_all(&answer)?;
    expect(&mut stream, MessageKind::Keepalive)?;
    stream.set_read_timeout(None)?;
    Ok(stream)
}

fn open(identity: Identity) -> Result<Open> {
    Ok(Open {
        my_as: identity.asn.as_two_octets(),
        hold_time_secs: HOLD_TIME_SECS,
        router_id: RouterId::new(identity.address).context("a peer has an address")?,
        capabilities: vec![
            Capability::Multiprotocol { afi: 1, safi: 1 },
            Capability::RouteRefresh,
            Capability::FourOctetAsn(identity.asn),
        ],
    })
}

/// Reads exactly one message, so that what follows is left to [`store`].
fn expect(stream: &mut TcpStream, wanted: MessageKind) -> Result<()> {
    let mut message = vec![0; HEADER_LEN];
    stream
        .read_exact(&mut message)
        .context("reading a header")?;
    let length = usize::from(u16::from_be_bytes([message[16], message[17]]));
    ensure!(length >= HEADER_LEN, "a message of {length} octets");
    message.resize(length, 0);
    stream.read_exact(&mut message[HEADER_LEN..])?;
    let mut frames = Frames::default();
    match frames.next(&mut message.as_slice()) {
        Some(Ok(frame)) if frame.kind == wanted => Ok(()),
        Some(Ok(frame)) if frame.kind == MessageKind::Notification => {
            bail!("it said {:?}", Notification::decode(frame.body))
        }
        other => bail!("no {wanted:?} but {other:?}"),
    }
}
