//! The [`Table`]: routes in from the RIB, steps out to the kernel, interfaces out to everyone.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use bgp::rib::RouteChange;
use futures_util::FutureExt;
use tokio::sync::{mpsc, watch};
use tracing::{debug, error, info, warn};

use super::messages::{FibMessage, Steering};
use super::until;
use crate::board::{Board, FibRow};
use crate::fib::{Change, Fib, Interfaces, Step, Table, Work};
use crate::journal::Severity;

/// Messages taken from the inbox before the kernel is turned to.
const BURST: usize = 64;

/// Whether routes are given to the kernel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Installing {
    Yes,
    /// `[fib] install = false`: interfaces are watched all the same.
    No,
}

/// Runs until every sender of the inbox is gone.
pub(crate) async fn run(
    kernel: impl Fib,
    inbox: mpsc::Receiver<FibMessage>,
    steering: mpsc::Receiver<Steering>,
    interfaces: watch::Sender<Arc<Interfaces>>,
    installing: Installing,
    board: Arc<Board>,
) {
    let table = Table::new(Instant::now());
    let row = FibRow {
        installing: installing == Installing::Yes,
        ..FibRow::default()
    };
    let driver = Driver {
        kernel,
        table,
        inbox,
        steering,
        interfaces,
        board,
        row,
        found_out: None,
    };
    driver.run().await;
}

struct Driver<F> {
    kernel: F,
    table: Table,
    inbox: mpsc::Receiver<FibMessage>,
    steering: mpsc::Receiver<Steering>,
    interfaces: watch::Sender<Arc<Interfaces>>,
    board: Arc<Board>,
    row: FibRow,
    /// When the change of links was found out that has not reached the kernel yet.
    found_out: Option<Instant>,
}

impl<F: Fib> Driver<F> {
    async fn run(mut self) {
        let mut burst = Vec::with_capacity(BURST);
        loop {
            // Not more: while a whole table comes in, traffic has to be moved all the same.
            for _ in 0..BURST {
                if let Ok(steering) = self.steering.try_recv() {
                    self.steer(steering);
                    break;
                }
                let Ok(message) = self.inbox.try_recv() else {
                    break;
                };
                self.obey(message);
            }
            if let Some(work) = self.table.poll_work(Instant::now()) {
                self.perform(work).await;
                if let Some(change) = self.kernel.watch().now_or_never() {
                    self.react(change).await;
                }
                tokio::task::yield_now().await;
                continue;
            }
            self.found_out = None;
            self.publish();
            let deadline = self.table.poll_timeout();
            tokio::select! {
                Some(steering) = self.steering.recv() => self.steer(steering),
                taken = self.inbox.recv_many(&mut burst, BURST) => {
                    if taken == 0 {
                        return;
                    }
                    for message in burst.drain(..) {
                        self.obey(message);
                    }
                }
                change = self.kernel.watch() => self.react(change).await,
                () = until(deadline) => {}
            }
        }
    }

    fn steer(&mut self, steering: Steering) {
        match steering {
            Steering::Links(links, found_out) => {
                self.found_out = Some(found_out);
                self.table.set_links(links);
            }
            Steering::Peers(peers) => self.table.set_peers(peers),
        }
    }

    fn obey(&mut self, message: FibMessage) {
        match message {
            FibMessage::Routes(changes) => {
                if self.row.installing {
                    for RouteChange { prefix, hops } in changes {
                        self.table.set(prefix, &hops);
                    }
                }
            }
            FibMessage::Sweep => {
                // Without installing, what is there is another's, or was left on purpose.
                if self.row.installing {
                    info!("all peers have told what they have; removing leftovers");
                    self.table.sweep();
                }
            }
            FibMessage::Read(prefixes, answer) => {
                let read = prefixes
                    .iter()
                    .map(|prefix| self.table.route(prefix))
                    .collect();
                // The one who asked may be gone.
                let _ = answer.send(read);
            }
        }
    }

    async fn react(&mut self, change: io::Result<Change>) {
        let now = Instant::now();
        match change {
            Ok(Change::Interfaces) => match self.kernel.interfaces().await {
                Ok(interfaces) => {
                    self.table.set_interfaces(interfaces, now);
                    self.share_interfaces();
                }
                Err(error) => self.complain("cannot read the interfaces", &error),
            },
            Ok(Change::Ours) => {
                debug!("routes of ours changed behind our back");
                self.table.disturbed(now);
            }
            Err(error) => self.complain("cannot watch the kernel", &error),
        }
    }

    async fn perform(&mut self, work: Work) {
        match work {
            Work::Observe => match self.kernel.observe().await {
                Ok(observed) => {
                    self.table.observe(observed, Instant::now());
                    // What is still wrong fails again before anyone looks.
                    self.row.last_error.clear();
                    self.share_interfaces();
                }
                Err(error) => self.complain("cannot read the routes", &error),
            },
            Work::Apply(steps) => self.apply(&steps).await,
        }
    }

    async fn apply(&mut self, steps: &[Step]) {
        let results = self.kernel.apply(steps).await;
        let mut failure = None;
        for (step, result) in steps.iter().zip(results) {
            self.board.fib_step(step.kind(), result.is_ok());
            if let Err(error) = result {
                debug!(?step, %error, "step failed");
                failure.get_or_insert_with(|| (step.clone(), error));
            }
        }
        let moved = steps
            .iter()
            .any(|step| matches!(step, Step::SetGroup { .. }));
        if let Some(found_out) = self.found_out.take_if(|_| moved) {
            self.board.failover(found_out.elapsed());
        }
        match failure {
            Some((step, error)) => {
                let text = format!("{step:?}: {error}");
                warn!(kind = step.kind(), %error, "the kernel refused a step, trying again");
                self.board
                    .journal
                    .record(Severity::Warning, "fib-error", "fib", text.clone());
                self.row.last_error = text;
                self.table.failed(Instant::now());
            }
            None => self.row.last_error.clear(),
        }
    }

    fn complain(&mut self, what: &'static str, error: &io::Error) {
        error!(%error, "{what}");
        self.row.last_error = format!("{what}: {error}");
        self.table.failed(Instant::now());
    }

    fn share_interfaces(&self) {
        self.interfaces.send_if_modified(|shared| {
            let changed = **shared != *self.table.interfaces();
            if changed {
                *shared = Arc::new(self.table.interfaces().clone());
                self.board.set_interfaces(Arc::clone(shared));
            }
            changed
        });
    }

    fn publish(&mut self) {
        self.row.counts = self.table.counts();
        self.board.set_fib(self.row.clone());
    }
}
