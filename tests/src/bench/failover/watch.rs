//! The kernel's notifications, each with the moment at which it came.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec};

use super::super::rtnetlink::{Rtnetlink, Told};
use crate::lab::netns::Namespace;

/// Between two looks at whether it is still wanted.
const LOOK: Duration = Duration::from_millis(10);

/// What the kernel told at once, and when.
pub type Change = (Instant, Vec<Told>);

/// A thread that waits for notifications. It runs before the routers, or a notification that comes while
/// they use all processors would look like one that comes late. Dropping it ends it.
#[derive(Debug)]
pub struct Watch {
    changes: Receiver<Result<Change>>,
    on: Arc<AtomicBool>,
}

impl Watch {
    /// From now on.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn start(namespace: &Namespace) -> Result<Self> {
        let mut socket = Rtnetlink::watch(namespace)?;
        let (sender, changes) = mpsc::channel();
        let on = Arc::new(AtomicBool::new(true));
        thread::spawn({
            let on = on.clone();
            move || {
                let told = super::run_first().and_then(|()| {
                    while on.load(Ordering::Relaxed) {
                        while let Some(change) = next(&mut socket)? {
                            if !change.1.is_empty() {
                                // Whoever wanted it may be gone.
                                let _ = sender.send(Ok(change));
                            }
                        }
                        wait(&socket)?;
                    }
                    Ok(())
                });
                if let Err(error) = told {
                    let _ = sender.send(Err(error));
                }
            }
        });
        Ok(Self { changes, on })
    }

    /// The next change; `None` if there is none within some milliseconds.
    ///
    /// # Errors
    ///
    /// The kernel's: some were lost.
    pub fn next(&self) -> Result<Option<Change>> {
        match self.changes.recv_timeout(LOOK) {
            Ok(change) => change.map(Some),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => bail!("nobody listens to the kernel"),
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.on.store(false, Ordering::Relaxed);
    }
}

/// What has come already; there may be nothing of interest in it.
fn next(socket: &mut Rtnetlink) -> Result<Option<Change>> {
    let mut told = Vec::new();
    let at = socket.changes(|one| told.push(one))?;
    Ok(at.map(|at| (at, told)))
}

fn wait(socket: &Rtnetlink) -> Result<()> {
    let mut fds = [PollFd::new(socket.socket(), PollFlags::IN)];
    let timeout = Timespec::try_from(LOOK)?;
    match rustix::event::poll(&mut fds, Some(&timeout)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
