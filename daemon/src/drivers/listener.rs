//! Accepts BGP connections and hands them to the peer they come from.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tracing::{debug, warn};

use super::messages::ToPeer;

/// After a failed accept (out of descriptors): not at full speed.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(200);

/// Places in the inbox of a peer that connections leave to others: what the RIB sends against a credit
/// must find room, and a stranger at the peer's address can dial as fast as it likes.
const RESERVED: usize = 32;

/// Peers by address.
pub(crate) type Doors = Arc<BTreeMap<IpAddr, mpsc::Sender<ToPeer>>>;

/// Runs until it is aborted.
pub(crate) async fn run(listener: TcpListener, doors: watch::Receiver<Doors>) {
    loop {
        match listener.accept().await {
            Ok((stream, from)) => admit(stream, from, &doors.borrow()),
            Err(error) => {
                warn!(%error, "cannot accept a BGP connection");
                tokio::time::sleep(ACCEPT_BACKOFF).await;
            }
        }
    }
}

/// A stranger, and a peer that is too busy to take it, is closed without a word.
fn admit(stream: TcpStream, from: SocketAddr, doors: &Doors) {
    let Some(door) = doors.get(&from.ip().to_canonical()) else {
        debug!(%from, "connection from no configured peer");
        return;
    };
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%from, %error, "connection lost at once");
        return;
    }
    if door.capacity() <= RESERVED || door.try_send(ToPeer::Inbound(stream)).is_err() {
        debug!(%from, "peer is busy, connection closed");
    }
}
