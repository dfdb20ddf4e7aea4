//! A start after which the kernel still forwards what an earlier run gave it.
//!
//! Peers that agreed on graceful restart keep our routes then, and we tell nobody anything until
//! they have told us what they have (RFC 4724 §4.1).

use bgp::FamilySet;
use bgp::session::SessionConfig;
use tokio::sync::oneshot;

pub(super) struct Restart {
    /// Families with routes of an earlier run; none once it is over.
    kept: FamilySet,
    /// Told when what peers had to tell has been waited for.
    settled: oneshot::Receiver<()>,
}

impl Restart {
    pub(super) fn new(kept: FamilySet, settled: oneshot::Receiver<()>) -> Self {
        Self { kept, settled }
    }

    /// A session that says so, where it offers graceful restart.
    pub(super) fn said_by(&self, mut session: SessionConfig) -> SessionConfig {
        if let Some(restart) = &mut session.graceful_restart
            && !self.kept.is_empty()
        {
            restart.restarting = true;
            restart.preserved = self.kept.intersection(session.families);
        }
        session
    }

    /// Resolves when sessions have to be told that it is over; never if there was nothing to say.
    /// Cancel-safe.
    pub(super) async fn over(&mut self) {
        if self.kept.is_empty() {
            return std::future::pending().await;
        }
        // The end of the RIB is the end of the process, which somebody else notices.
        if (&mut self.settled).await.is_err() {
            return std::future::pending().await;
        }
        self.kept = FamilySet::default();
    }
}
