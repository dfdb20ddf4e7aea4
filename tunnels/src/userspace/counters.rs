//! What the packet path tells the control plane.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::sync::Notify;

use super::noise::Trouble;
use crate::{plan::Life, spec::WireGuardCounts};

/// Written by the packet path, read by anyone. Locks are taken only when a value changes.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(super) rx_bytes: AtomicU64,
    pub(super) tx_bytes: AtomicU64,
    /// Sessions made.
    pub(super) handshakes: AtomicU64,
    /// Datagrams that were not for us, or not good.
    pub(super) refused: AtomicU64,
    /// Datagrams that could not be sent.
    pub(super) tx_dropped: AtomicU64,
    /// Milliseconds since 1970; 0 before the first handshake.
    last_handshake: AtomicU64,
    /// Alike, of the first handshake that was begun since; 0 when none was.
    unanswered_since: AtomicU64,
    /// The errno of the last failed send; 0 after one that worked.
    send_error: AtomicI32,
    is_over: AtomicBool,
    /// Told when life begins or ends.
    stirred: Arc<Notify>,
    endpoint: Mutex<Option<SocketAddr>>,
    trouble: Mutex<Option<Trouble>>,
}

impl Counters {
    /// All zero. `stirred` is told when the tunnel begins or ceases to lead somewhere.
    pub(crate) fn new(life: Life, stirred: Arc<Notify>) -> Self {
        Self {
            is_over: AtomicBool::new(life == Life::Over),
            stirred,
            ..Self::default()
        }
    }

    pub(crate) fn rx_bytes(&self) -> u64 {
        self.rx_bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn tx_bytes(&self) -> u64 {
        self.tx_bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn counts(&self) -> WireGuardCounts {
        WireGuardCounts {
            handshakes: self.handshakes.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            dropped: self.tx_dropped.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn last_handshake(&self) -> Option<SystemTime> {
        moment(&self.last_handshake)
    }

    pub(crate) fn unanswered_since(&self) -> Option<SystemTime> {
        moment(&self.unanswered_since)
    }

    pub(super) fn set_last_handshake(&self, at: Option<SystemTime>) {
        self.last_handshake
            .store(at.map_or(0, millis), Ordering::Relaxed);
        self.unanswered_since.store(0, Ordering::Relaxed);
    }

    /// A handshake was begun.
    pub(super) fn note_asked(&self, at: SystemTime) {
        let first = &self.unanswered_since;
        let _ = first.compare_exchange(0, millis(at), Ordering::Relaxed, Ordering::Relaxed);
    }

    pub(crate) fn life(&self) -> Life {
        if self.is_over.load(Ordering::Relaxed) {
            Life::Over
        } else {
            Life::Possible
        }
    }

    pub(super) fn set_life(&self, life: Life) {
        let is_over = life == Life::Over;
        if self.is_over.swap(is_over, Ordering::Relaxed) != is_over {
            self.stirred.notify_one();
        }
    }

    pub(crate) fn send_error(&self) -> Option<std::io::Error> {
        match self.send_error.load(Ordering::Relaxed) {
            0 => None,
            errno => Some(std::io::Error::from_raw_os_error(errno)),
        }
    }

    pub(super) fn set_send_error(&self, errno: i32) {
        if self.send_error.load(Ordering::Relaxed) != errno {
            self.send_error.store(errno, Ordering::Relaxed);
        }
    }

    pub(crate) fn endpoint(&self) -> Option<SocketAddr> {
        *self.endpoint.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_endpoint(&self, endpoint: Option<SocketAddr>) {
        *self.endpoint.lock().unwrap_or_else(PoisonError::into_inner) = endpoint;
    }

    pub(crate) fn trouble(&self) -> Option<Trouble> {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_trouble(&self, trouble: Option<Trouble>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }
}

fn moment(since_1970: &AtomicU64) -> Option<SystemTime> {
    match since_1970.load(Ordering::Relaxed) {
        0 => None,
        millis => UNIX_EPOCH.checked_add(Duration::from_millis(millis)),
    }
}

fn millis(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
