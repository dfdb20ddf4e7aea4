//! What the packet path tells the control plane.

use std::{
    net::SocketAddr,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicI32, AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::noise::Trouble;

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
    /// The errno of the last failed send; 0 after one that worked.
    send_error: AtomicI32,
    endpoint: Mutex<Option<SocketAddr>>,
    trouble: Mutex<Option<Trouble>>,
}

impl Counters {
    pub(crate) fn rx_bytes(&self) -> u64 {
        self.rx_bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn tx_bytes(&self) -> u64 {
        self.tx_bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn handshakes(&self) -> u64 {
        self.handshakes.load(Ordering::Relaxed)
    }

    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    pub(crate) fn tx_dropped(&self) -> u64 {
        self.tx_dropped.load(Ordering::Relaxed)
    }

    pub(crate) fn last_handshake(&self) -> Option<SystemTime> {
        match self.last_handshake.load(Ordering::Relaxed) {
            0 => None,
            millis => UNIX_EPOCH.checked_add(Duration::from_millis(millis)),
        }
    }

    pub(super) fn set_last_handshake(&self, at: Option<SystemTime>) {
        let since = at.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let millis = since.map_or(0, |since| {
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        });
        self.last_handshake.store(millis, Ordering::Relaxed);
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
