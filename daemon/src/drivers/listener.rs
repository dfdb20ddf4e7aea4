//! Accepts BGP connections and hands them to the peer they come from.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use tokio::net::{TcpListener, TcpStream};
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
pub(crate) async fn run(listener: TcpListener, mut gate: Gate) {
    let mut guarded = BTreeMap::new();
    guard(&listener, &mut gate.doors, &mut guarded);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, from)) => gate.admit(stream, from),
                Err(error) => {
                    warn!(%error, "cannot accept a BGP connection");
                    tokio::time::sleep(ACCEPT_BACKOFF).await;
                }
            },
            changed = gate.doors.changed() => {
                if changed.is_err() {
                    return;
                }
                guard(&listener, &mut gate.doors, &mut guarded);
            }
        }
    }
}

/// - `guarded`: the networks that have keys
fn guard(
    listener: &TcpListener,
    doors: &mut watch::Receiver<Arc<Doors>>,
    guarded: &mut BTreeMap<IpNet, Signing>,
) {
    let doors = Arc::clone(&doors.borrow_and_update());
    for error in sockets::guard(listener, guarded, &doors.keys, doors.min_ttl) {
        error!(%error, "the kernel does not take the keys of a peer: it cannot call us");
    }
    guarded.clone_from(&doors.keys);
}

impl Gate {
    /// A stranger, and a peer that is too busy to take it, is closed without a word.
    fn admit(&self, stream: TcpStream, from: SocketAddr) {
        let doors = self.doors.borrow();
        let address = from.ip().to_canonical();
        if let Some(door) = doors.peers.get(&address) {
            if let Err(error) = sockets::admit(&stream, &door.endpoint) {
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
        let Some((_, range)) = range else {
            self.refuse(from, Refusal::Stranger);
            return;
        };
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
