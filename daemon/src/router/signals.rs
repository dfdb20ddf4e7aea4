//! What the process is asked by signals.

/// Catches them.
pub(crate) struct Signals {
    hangup: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

pub(super) enum Signal {
    Reload,
    /// SIGTERM: end; another start follows soon, so that peers may keep our routes.
    Stop,
    /// SIGINT: end for good.
    Leave,
}

impl Signals {
    /// Catches them from here on.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub(crate) fn catch() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    pub(super) async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.hangup.recv() => Signal::Reload,
            _ = self.terminate.recv() => Signal::Stop,
            _ = self.interrupt.recv() => Signal::Leave,
        }
    }
}
