//! The [`Table`]: routes in from the RIB, steps out to the kernel, interfaces out to everyone.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{mpsc, oneshot, watch};
use tracing::{debug, error, info, warn};

use super::messages::{FibMessage, Steering};
use super::until;
use crate::board::{Board, FibRow};
use crate::counters::StepCount;
use crate::fib::{
    Applied, Change, Fib, FoundRoutes, Interfaces, Netlink, Others, Step, Table, ViaDefault, Work,
};
use crate::journal::Severity;

/// Batches that the kernel may have to do. One takes it a millisecond or two, and while a table comes
/// in this task may wait longer than that for a processor: with fewer, the kernel waits for us. With
/// more, a link that dies waits longer for what is ahead of it.
const IN_FLIGHT: usize = 8;

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
    others: watch::Sender<Arc<Others>>,
    installing: Installing,
    via_default: ViaDefault,
    switched: watch::Sender<Option<Instant>>,
    board: Arc<Board>,
) {
    let table = Table::new(via_default, Netlink::standby(), Instant::now());
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
        others,
        switched,
        board,
        row,
        in_flight: VecDeque::new(),
        pass: None,
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
    others: watch::Sender<Arc<Others>>,
    /// When the kernel last was made to forward elsewhere because of a link.
    switched: watch::Sender<Option<Instant>>,
    board: Arc<Board>,
    row: FibRow,
    in_flight: VecDeque<oneshot::Receiver<Applied>>,
    /// The routes that are being read, and since when.
    pass: Option<(mpsc::Receiver<io::Result<FoundRoutes>>, Instant)>,
    /// When the change of links was found out that has not reached the kernel yet.
    found_out: Option<Instant>,
}

impl<F: Fib> Driver<F> {
    async fn run(mut self) {
        loop {
            // First: while a whole table comes in, traffic has to be moved all the same.
            while let Ok(steering) = self.steering.try_recv() {
                self.steer(steering);
            }
            if self.in_flight.len() < IN_FLIGHT
                && let Some(work) = self.table.poll_work(Instant::now())
            {
                self.perform(work).await;
                continue;
            }
            self.share_others();
            if self.in_flight.is_empty() {
                self.found_out = None;
                self.publish();
            }
            let deadline = match self.in_flight.len() {
                IN_FLIGHT => None,
                _ => self.table.poll_timeout(),
            };
            tokio::select! {
                biased;
                Some(steering) = self.steering.recv() => self.steer(steering),
                applied = applied(&mut self.in_flight) => self.on_applied(applied),
                change = self.kernel.watch() => self.react(change),
                found = found(&mut self.pass) => self.on_found(found),
                () = until(deadline) => {}
                message = self.inbox.recv(), if self.table.has_room() => match message {
                    Some(message) => self.obey(message),
                    None => return,
                }
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
            Steering::Scopes(scopes) => self.table.set_scopes(scopes),
            Steering::Dead(peers, found_out) => {
                self.found_out = Some(found_out);
                self.table.set_dead(peers);
            }
        }
    }

    fn obey(&mut self, message: FibMessage) {
        match message {
            FibMessage::Routes(changes) => {
                if self.row.installing {
                    self.table.set_all(&changes);
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

    fn react(&mut self, change: io::Result<Change>) {
        let now = Instant::now();
        match change {
            Ok(Change::Interfaces) => match self.kernel.interfaces() {
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
            Ok(Change::Other(change)) => self.table.other_changed(change, now),
            Err(error) => self.complain("cannot watch the kernel", &error),
        }
    }

    async fn perform(&mut self, work: Work) {
        match work {
            Work::Observe => {
                while !self.in_flight.is_empty() {
                    let applied = applied(&mut self.in_flight).await;
                    self.on_applied(applied);
                }
                self.observe();
            }
            Work::Apply(steps) => {
                let receipt = self.kernel.apply(steps);
                self.in_flight.push_back(receipt);
            }
        }
    }

    fn observe(&mut self) {
        match self.kernel.observe() {
            Ok(observed) => {
                self.table.observe(observed);
                self.pass = Some((self.kernel.observe_routes(), Instant::now()));
                // What is still wrong fails again before anyone looks.
                self.row.last_error.clear();
                self.share_interfaces();
            }
            Err(error) => self.complain("cannot read the nexthops", &error),
        }
    }

    fn on_found(&mut self, found: Option<io::Result<FoundRoutes>>) {
        match found {
            Some(Ok(routes)) => self.table.observe_routes(routes),
            Some(Err(error)) => {
                self.pass = None;
                self.table.broken_off();
                self.complain("cannot read the routes", &error);
            }
            None => {
                if let Some((_, since)) = self.pass.take() {
                    self.table.observed_all(since.elapsed(), Instant::now());
                }
            }
        }
    }

    fn on_applied(&mut self, applied: Option<Applied>) {
        let Some(Applied { steps, failures }) = applied else {
            let gone = io::Error::other("the thread that speaks to the kernel has ended");
            self.complain("cannot change the routes", &gone);
            return;
        };
        for (kind, done) in count(&steps, &failures) {
            self.board.fib_steps(kind, done);
        }
        let moved = steps
            .iter()
            .any(|step| matches!(step, Step::SetGroup { .. }));
        if let Some(found_out) = self.found_out.take_if(|_| moved) {
            self.board.failover(found_out.elapsed());
            self.switched.send_replace(Some(Instant::now()));
        }
        let Some((number, error)) = failures.into_iter().next() else {
            self.row.last_error.clear();
            return;
        };
        let step = &steps[number];
        let text = format!("{step:?}: {error}");
        warn!(kind = step.kind(), %error, "the kernel refused a step, trying again");
        self.board
            .journal
            .record(Severity::Warning, "fib-error", "fib", text.clone());
        self.row.last_error = text;
        self.table.failed(Instant::now());
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

    fn share_others(&self) {
        self.others.send_if_modified(|shared| {
            let changed = !Arc::ptr_eq(shared, self.table.found_with());
            if changed {
                *shared = Arc::clone(self.table.found_with());
            }
            changed
        });
    }

    fn publish(&mut self) {
        self.row.counts = self.table.counts();
        self.board.set_fib(self.row.clone());
    }
}

/// How many steps of each kind have worked, and how many not.
fn count(steps: &[Step], failures: &[(usize, io::Error)]) -> BTreeMap<&'static str, StepCount> {
    let mut counts: BTreeMap<_, StepCount> = BTreeMap::new();
    for step in steps {
        counts.entry(step.kind()).or_default().done += 1;
    }
    for (number, _) in failures {
        let count = counts.entry(steps[*number].kind()).or_default();
        count.done -= 1;
        count.failed += 1;
    }
    counts
}

/// The outcome of the batch that was handed over first. Cancel-safe.
async fn applied(in_flight: &mut VecDeque<oneshot::Receiver<Applied>>) -> Option<Applied> {
    let Some(first) = in_flight.front_mut() else {
        return std::future::pending().await;
    };
    let applied = first.await;
    in_flight.pop_front();
    applied.ok()
}

/// The next routes that were read; `None` when there are no more. Cancel-safe.
async fn found(
    pass: &mut Option<(mpsc::Receiver<io::Result<FoundRoutes>>, Instant)>,
) -> Option<io::Result<FoundRoutes>> {
    match pass {
        Some((found, _)) => found.recv().await,
        None => std::future::pending().await,
    }
}
