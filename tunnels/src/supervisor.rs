//! When to try again, and when a tunnel is up: a machine without clock or socket.
//!
//! The driver feeds it what happened and what it saw; it answers with events and with the moment
//! at which to observe, plan and apply again. Handshakes are WireGuard's own business: whoever
//! makes the tunnel keeps trying. What is supervised here is the bring-up, and whether the far
//! end answers.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant, SystemTime},
};

use crate::{
    backoff::{self, BACKOFF_MIN, Jitter},
    spec::TunnelStatus,
};

/// Everything is looked at this often even when nothing seems to have happened.
const RESYNC_EVERY: Duration = Duration::from_secs(30);

/// What happened.
#[derive(Clone, Debug)]
pub enum Input<'a> {
    /// These links, and no others, should have a tunnel.
    Wanted(&'a [String]),
    /// The steps of this link's tunnel were applied.
    Applied(&'a str, Outcome),
    /// A tunnel was looked at.
    Status(&'a TunnelStatus, SystemTime),
    /// An interface or address changed behind our back.
    Changed,
    /// The moment of [`Supervisor::poll_timeout`] has come.
    Timeout,
}

/// How the steps of one tunnel went.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// All were done, or there were none.
    Done,
    /// One failed, for this reason.
    Failed(String),
}

/// What the driver should do or tell.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Output {
    /// Observe, plan and apply.
    Apply,
    /// This link's tunnel carries traffic.
    Up(String),
    /// This link's tunnel carries no traffic, for this reason.
    Down(String, String),
}

/// Supervises every tunnel. Handle an input, then drain [`Supervisor::poll_output`].
#[derive(Debug)]
pub struct Supervisor {
    tunnels: BTreeMap<String, Tunnel>,
    outputs: VecDeque<Output>,
    resync_at: Option<Instant>,
    jitter: Jitter,
}

#[derive(Debug, Default)]
struct Tunnel {
    failures: u32,
    retry_at: Option<Instant>,
    reason: Option<String>,
    up: bool,
}

impl Supervisor {
    /// Supervises nothing yet. `seed` decides the jitter of retries.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            tunnels: BTreeMap::new(),
            outputs: VecDeque::new(),
            resync_at: None,
            jitter: Jitter::new(seed),
        }
    }

    /// The only way in.
    pub fn handle(&mut self, input: Input<'_>, now: Instant) {
        match input {
            Input::Wanted(links) => self.on_wanted(links, now),
            Input::Applied(link, outcome) => self.on_applied(link, outcome, now),
            Input::Status(status, at) => self.on_status(status, at, now),
            Input::Changed => self.apply_once(),
            Input::Timeout => self.on_timeout(now),
        }
    }

    /// Drain after every [`Supervisor::handle`].
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to send [`Input::Timeout`].
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let retries = self.tunnels.values().filter_map(|tunnel| tunnel.retry_at);
        retries.chain(self.resync_at).min()
    }

    /// Whether the far end of this link's tunnel answers.
    #[must_use]
    pub fn is_up(&self, link: &str) -> bool {
        self.tunnels.get(link).is_some_and(|tunnel| tunnel.up)
    }

    fn on_wanted(&mut self, links: &[String], now: Instant) {
        let gone: Vec<String> = self
            .tunnels
            .keys()
            .filter(|link| !links.contains(link))
            .cloned()
            .collect();
        for link in gone {
            if self.tunnels.remove(&link).is_some_and(|tunnel| tunnel.up) {
                self.outputs
                    .push_back(Output::Down(link, "removed".to_owned()));
            }
        }
        for link in links {
            let tunnel = self.tunnels.entry(link.clone()).or_default();
            // A changed intent deserves an attempt at once, whatever went wrong with the last.
            tunnel.failures = 0;
            tunnel.retry_at = None;
        }
        self.resync_at = (!links.is_empty()).then(|| now + RESYNC_EVERY);
        self.apply_once();
    }

    fn on_applied(&mut self, link: &str, outcome: Outcome, now: Instant) {
        let jitter = self.jitter.next();
        let Some(tunnel) = self.tunnels.get_mut(link) else {
            return;
        };
        match outcome {
            Outcome::Done => {
                tunnel.failures = 0;
                tunnel.retry_at = None;
                tunnel.reason = None;
            }
            Outcome::Failed(reason) => {
                tunnel.failures = tunnel.failures.saturating_add(1);
                tunnel.retry_at = Some(now + backoff::delay(tunnel.failures, jitter));
                tunnel.reason = Some(reason);
            }
        }
    }

    fn on_status(&mut self, status: &TunnelStatus, at: SystemTime, now: Instant) {
        let Some(tunnel) = self.tunnels.get_mut(&status.name) else {
            return;
        };
        // Somebody set the interface down, or its data plane ended: it is made again. Or the tunnel
        // led nowhere, and may lead somewhere again.
        if !status.up && tunnel.retry_at.is_none() {
            tunnel.retry_at = Some(now + BACKOFF_MIN);
        }
        let carries = status.up && status.is_fresh(at);
        if carries == tunnel.up {
            return;
        }
        tunnel.up = carries;
        let link = status.name.clone();
        self.outputs.push_back(if carries {
            Output::Up(link)
        } else {
            let reason = tunnel.reason.clone().or_else(|| status.problem.clone());
            Output::Down(link, reason.unwrap_or_else(|| why_down(status).to_owned()))
        });
        // An interface shows what its tunnel is.
        self.apply_once();
    }

    fn on_timeout(&mut self, now: Instant) {
        let mut due = false;
        if self.resync_at.is_some_and(|at| at <= now) {
            self.resync_at = Some(now + RESYNC_EVERY);
            due = true;
        }
        for tunnel in self.tunnels.values_mut() {
            if tunnel.retry_at.is_some_and(|at| at <= now) {
                tunnel.retry_at = None;
                due = true;
            }
        }
        if due {
            self.apply_once();
        }
    }

    fn apply_once(&mut self) {
        if !self.outputs.contains(&Output::Apply) {
            self.outputs.push_back(Output::Apply);
        }
    }
}

fn why_down(status: &TunnelStatus) -> &'static str {
    match (status.up, status.last_handshake) {
        (false, _) => "the interface is not up, or lacks our address",
        (true, None) => "no handshake yet",
        (true, Some(_)) => "no handshake for 180 seconds",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{backoff::BACKOFF_MAX, spec::FarEnd};

    fn status(up: bool, age_secs: Option<u64>, at: SystemTime) -> TunnelStatus {
        TunnelStatus {
            name: "a".to_owned(),
            interface: "sb-a".to_owned(),
            backend: None,
            up,
            endpoint: None,
            far_end: FarEnd::ByHandshake,
            last_handshake: age_secs.map(|age| at - Duration::from_secs(age)),
            rx_bytes: 0,
            tx_bytes: 0,
            counts: crate::spec::WireGuardCounts::default(),
            unanswered_since: None,
            problem: None,
            detail: String::new(),
        }
    }

    fn drained(supervisor: &mut Supervisor) -> Vec<Output> {
        std::iter::from_fn(|| supervisor.poll_output()).collect()
    }

    fn supervisor() -> Supervisor {
        let mut supervisor = Supervisor::new(7);
        supervisor.handle(Input::Wanted(&["a".to_owned()]), Instant::now());
        assert_eq!(drained(&mut supervisor), [Output::Apply]);
        supervisor
    }

    #[test]
    fn failures_are_retried_with_growing_delays_up_to_a_bound() {
        let mut supervisor = supervisor();
        let mut now = Instant::now();
        let mut delays = Vec::new();
        for _ in 0..12 {
            // Only retries are of interest here.
            supervisor.resync_at = Some(now + RESYNC_EVERY * 100);
            let failed = Outcome::Failed("no".to_owned());
            supervisor.handle(Input::Applied("a", failed), now);
            let at = supervisor.poll_timeout().expect("a retry is due");
            delays.push(at - now);
            supervisor.handle(Input::Timeout, now);
            assert_eq!(drained(&mut supervisor), [], "not before its time");
            now = at;
            supervisor.handle(Input::Timeout, now);
            assert_eq!(drained(&mut supervisor), [Output::Apply]);
        }
        assert!(delays[0] >= BACKOFF_MIN && delays[0] < BACKOFF_MIN * 5 / 4);
        assert!(delays[3] >= BACKOFF_MIN * 8);
        assert!(delays.iter().all(|delay| *delay <= BACKOFF_MAX * 5 / 4));
        supervisor.handle(Input::Applied("a", Outcome::Done), now);
        assert!(
            supervisor
                .poll_timeout()
                .is_some_and(|at| at >= now + RESYNC_EVERY / 2)
        );
    }

    #[test]
    fn a_handshake_brings_a_tunnel_up_and_its_age_takes_it_down() {
        let (mut supervisor, now, at) = (supervisor(), Instant::now(), SystemTime::now());
        supervisor.handle(Input::Status(&status(true, None, at), at), now);
        assert_eq!(drained(&mut supervisor), []);
        supervisor.handle(Input::Status(&status(true, Some(180), at), at), now);
        let up = [Output::Up("a".to_owned()), Output::Apply];
        assert_eq!(drained(&mut supervisor), up);
        assert!(supervisor.is_up("a"));
        supervisor.handle(Input::Status(&status(true, Some(179), at), at), now);
        assert_eq!(drained(&mut supervisor), [], "told once");
        supervisor.handle(Input::Status(&status(true, Some(181), at), at), now);
        let reason = "no handshake for 180 seconds".to_owned();
        assert_eq!(
            drained(&mut supervisor),
            [Output::Down("a".to_owned(), reason), Output::Apply]
        );
    }

    #[test]
    fn an_interface_that_is_down_is_no_tunnel_however_fresh_the_handshake() {
        let (mut supervisor, now, at) = (supervisor(), Instant::now(), SystemTime::now());
        supervisor.handle(Input::Status(&status(true, Some(1), at), at), now);
        supervisor.handle(Input::Status(&status(false, Some(1), at), at), now);
        let expected = Output::Down(
            "a".to_owned(),
            "the interface is not up, or lacks our address".to_owned(),
        );
        assert!(drained(&mut supervisor).contains(&expected));
    }

    #[test]
    fn a_tunnel_that_is_no_longer_wanted_goes_down_and_is_forgotten() {
        let (mut supervisor, now, at) = (supervisor(), Instant::now(), SystemTime::now());
        supervisor.handle(Input::Status(&status(true, Some(1), at), at), now);
        drained(&mut supervisor);
        supervisor.handle(Input::Wanted(&[]), now);
        let expected = [
            Output::Down("a".to_owned(), "removed".to_owned()),
            Output::Apply,
        ];
        assert_eq!(drained(&mut supervisor), expected);
        supervisor.handle(Input::Status(&status(true, Some(1), at), at), now);
        supervisor.handle(Input::Applied("a", Outcome::Failed("no".to_owned())), now);
        assert_eq!(drained(&mut supervisor), []);
        assert_eq!(supervisor.poll_timeout(), None);
    }

    #[test]
    fn two_changes_before_a_drain_ask_for_one_apply() {
        let mut supervisor = supervisor();
        supervisor.handle(Input::Changed, Instant::now());
        supervisor.handle(Input::Changed, Instant::now());
        assert_eq!(drained(&mut supervisor), [Output::Apply]);
    }

    #[test]
    fn everything_is_looked_at_again_every_30_seconds() {
        let (mut supervisor, start) = (Supervisor::new(7), Instant::now());
        supervisor.handle(Input::Wanted(&["a".to_owned()]), start);
        drained(&mut supervisor);
        for round in 1..4 {
            let at = supervisor.poll_timeout().expect("a deadline");
            assert_eq!(at, start + RESYNC_EVERY * round);
            supervisor.handle(Input::Timeout, at);
            assert_eq!(drained(&mut supervisor), [Output::Apply]);
        }
    }

    #[test]
    fn a_tunnel_found_down_is_made_again_within_a_second() {
        let (mut supervisor, now, at) = (supervisor(), Instant::now(), SystemTime::now());
        supervisor.handle(Input::Status(&status(false, None, at), at), now);
        supervisor.handle(Input::Timeout, now + BACKOFF_MIN);
        assert_eq!(drained(&mut supervisor), [Output::Apply]);
    }

    #[test]
    fn different_seeds_retry_at_different_moments() {
        let now = Instant::now();
        let delay = |seed| {
            let mut supervisor = Supervisor::new(seed);
            supervisor.handle(Input::Wanted(&["a".to_owned()]), now);
            supervisor.handle(Input::Applied("a", Outcome::Failed("no".to_owned())), now);
            supervisor.poll_timeout().expect("a retry is due") - now
        };
        assert!((0..8).map(delay).any(|d| d != delay(0)));
    }
}
