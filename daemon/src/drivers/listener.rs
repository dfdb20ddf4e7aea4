//! Accepts BGP connections and hands them to the peer they come from.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use socket2::Socket;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tracing::{debug, error, warn};

use super::messages::{Call, Command, ToPeer};
use crate::counters::{Counters, Refusal};
use crate::sockets::{self, Endpoint, Signing};

/// After a failed accept (out of descriptors): not at full speed.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(200);

/// Places in the inbox of a peer that connections leave to others: what the RIB sends against a credit
/// must find room, and a stranger at the peer's address can dial as fast as it likes.
const RESERVED: usize = 32;

/// Who may come in, and how.
#[derive(Default)]
pub(crate) struct Doors {
    pub(crate) peers: BTreeMap<IpAddr, Door>,
    /// Networks whose hosts are peers when they call, with the name of the range.
    pub(crate) ranges: Vec<(IpNet, String)>,
    /// What comes from there has to be signed.
    pub(crate) keys: BTreeMap<IpNet, Signing>,
    /// What no peer would take has come from too far away.
    pub(crate) min_ttl: u8,
}

/// A peer that may come in.
pub(crate) struct Door {
    pub(crate) inbox: mpsc::Sender<ToPeer>,
    pub(crate) endpoint: Endpoint,
}

/// What a listener is made from.
#[derive(Clone)]
pub(crate) struct Gate {
    pub(crate) doors: watch::Receiver<Arc<Doors>>,
    /// Where callers from a range are announced.
    pub(crate) callers: mpsc::Sender<Command>,
    pub(crate) counters: Counters,
}

/// Runs until it is aborted.
pub(crate) async fn run(bound: Socket, mut gate: Gate) {
    // A caller that is answered before the keys are set is answered unsigned.
    if gate.doors.changed().await.is_err() {
        return;
    }
    let doors = Arc::clone(&gate.doors.borrow_and_update());
    let mut guarded = Guarded::default().follow(&bound, doors);
    let listener = match sockets::listen(bound) {
        Ok(listener) => listener,
        Err(error) => {
            error!(%error, "BGP connections are not accepted");
            return;
        }
    };
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, from)) => gate.admit(&guarded, stream, from),
                Err(error) => {
                    warn!(%error, "cannot accept a BGP connection");
                    tokio::time::sleep(ACCEPT_BACKOFF).await;
                }
            },
            changed = gate.doors.changed() => {
                if changed.is_err() {
                    return;
                }
                let doors = Arc::clone(&gate.doors.borrow_and_update());
                let new = guarded.follow(&listener, doors);
                // Whoever was let in with the keys of before must not pass for a peer of now.
                for (stream, from) in sockets::waiting(&listener) {
                    gate.admit(&guarded, stream, from);
                }
                guarded = new;
            }
        }
    }
}

/// What a socket has been told.
#[derive(Default)]
struct Guarded {
    doors: Arc<Doors>,
    /// The kernel did not take the keys for these: nobody comes in from there.
    bare: BTreeSet<IpNet>,
}

impl Guarded {
    /// Tells it what is different from now on.
    fn follow(&self, socket: &impl AsFd, doors: Arc<Doors>) -> Self {
        let (old, new) = (&self.doors.keys, &doors.keys);
        let is_same = |network: &&IpNet| old.get(*network) == new.get(*network);
        let mut bare: BTreeSet<IpNet> = self.bare.iter().filter(is_same).copied().collect();
        for (network, error) in sockets::guard(socket, old, new, doors.min_ttl) {
            error!(?network, %error, "the kernel does not take the keys of a peer: it cannot call us");
            bare.extend(network);
        }
        Self { doors, bare }
    }
}

impl Gate {
    /// A stranger, and a peer that is too busy to take it, is closed without a word.
    fn admit(&self, guarded: &Guarded, stream: TcpStream, from: SocketAddr) {
        let doors = &guarded.doors;
        let address = from.ip().to_canonical();
        if let Some(door) = doors.peers.get(&address) {
            if guarded.bare.contains(&IpNet::from(address)) {
                self.refuse(from, Refusal::Unsigned);
            } else if !door.endpoint.is_called_by(&stream) {
                self.refuse(from, Refusal::Address);
            } else if let Err(error) = sockets::admit(&stream, &door.endpoint) {
                debug!(%from, %error, "connection lost at once");
            } else if door.inbox.capacity() <= RESERVED
                || door.inbox.try_send(ToPeer::Inbound(stream)).is_err()
            {
                self.refuse(from, Refusal::Busy);
            }
            return;
        }
        let range = doors
            .ranges
            .iter()
            .find(|(network, _)| network.contains(&address));
        let Some((network, range)) = range else {
            self.refuse(from, Refusal::Stranger);
            return;
        };
        if guarded.bare.contains(network) {
            self.refuse(from, Refusal::Unsigned);
            return;
        }
        let call = Call {
            range: range.clone(),
            address,
            stream,
        };
        if self.callers.capacity() <= RESERVED
            || self.callers.try_send(Command::Call(call)).is_err()
        {
            self.refuse(from, Refusal::Busy);
        }
    }

    fn refuse(&self, from: SocketAddr, why: Refusal) {
        self.counters.refused(why);
        debug!(%from, ?why, "connection refused");
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn nobody_comes_in_from_where_the_kernel_did_not_take_the_keys() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (inbox, mut received) = mpsc::channel(2 * RESERVED);
        let endpoint = Endpoint {
            remote: listener.local_addr().unwrap(),
            local: None,
            interface: None,
            ttl: 1,
            min_ttl: None,
            signing: None,
        };
        let peers = BTreeMap::from([(endpoint.remote.ip(), Door { inbox, endpoint })]);
        let mut guarded = Guarded {
            doors: Arc::new(Doors {
                peers,
                ..Doors::default()
            }),
            bare: BTreeSet::new(),
        };
        let gate = Gate {
            doors: watch::channel(Arc::default()).1,
            callers: mpsc::channel(1).0,
            counters: Counters::default(),
        };
        for is_bare in [false, true] {
            if is_bare {
                guarded.bare.insert("127.0.0.1/32".parse().unwrap());
            }
            let near = TcpStream::connect(listener.local_addr().unwrap());
            let (_near, far) = tokio::join!(near, listener.accept());
            let (stream, from) = far.unwrap();
            gate.admit(&guarded, stream, from);
            assert_eq!(received.try_recv().is_err(), is_bare);
        }
    }
}
