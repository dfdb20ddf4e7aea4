//! Which connections strongSwan should have, whom to call, and when again: a machine without clock or
//! socket.
//!
//! What carries packets is known from events, and from one listing when the connection to strongSwan
//! comes up. Nothing that works is touched by that: neither when we start again nor when strongSwan does.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::IpAddr,
    time::{Duration, Instant},
};

use super::{
    conn,
    event::{Change, Child, SaId},
};
use crate::{
    backoff::{self, Jitter},
    spec::{Initiator, IpsecSpec},
};

/// An association that lasted this long was none that the far end made to end it at once.
const LASTED: Duration = Duration::from_secs(10);

/// An event that comes later than this after the answer to a call does not come.
const OVERTAKEN: Duration = Duration::from_secs(5);

/// Between two looks at whether all is still loaded. There is no event for that, and an operator's
/// `swanctl --load-all` removes what is not in its files.
const INSPECT_EVERY: Duration = Duration::from_secs(30);

/// Tells one call from the next: what is said about one that was given up counts for nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CallId(u64);

/// What happened.
#[derive(Debug)]
pub enum Input<'a> {
    /// This link should have a tunnel like this.
    Wanted(&'a str, Box<IpsecSpec>),
    /// This one should have none.
    Unwanted(&'a str),
    /// strongSwan can be spoken to, has these connections, and these links' children carry packets. Every
    /// wanted link has been told before: what else has our name is a leftover.
    Connected {
        /// Names of all connections, ours and others.
        conns: Vec<String>,
        /// By link.
        children: Vec<(String, Vec<Child>)>,
    },
    /// strongSwan cannot be spoken to, for this reason.
    Lost(String),
    /// Something happened to a link's associations.
    Changed(&'a str, Change),
    /// [`Output::Load`] was tried.
    Loaded(&'a str, Result<(), String>),
    /// The answer to [`Output::Inspect`].
    Inspected {
        /// Names of all connections, ours and others.
        conns: BTreeSet<String>,
        /// Names of our connections whose secret is there.
        with_secret: BTreeSet<String>,
    },
    /// [`Output::Initiate`] still goes on, and this looks like why it takes so long.
    Delayed(&'a str, CallId, String),
    /// The far end of this link, which is to call, has been refused for what looks like this.
    Refused(&'a str, String),
    /// [`Output::Initiate`] has ended.
    Initiated(&'a str, CallId, Result<(), String>),
    /// The moment of [`Ike::poll_timeout`] has come.
    Timeout,
}

/// What the driver should do.
#[derive(PartialEq, Eq, Debug)]
pub enum Output {
    /// Load the secrets and the connection of this link, then say [`Input::Loaded`].
    Load(String, Box<IpsecSpec>),
    /// See what is loaded, then say [`Input::Inspected`].
    Inspect,
    /// Remove what was loaded under this name, and end its associations.
    Remove(String),
    /// End the associations under this name.
    Terminate(String),
    /// Call the far end of this link, then say [`Input::Initiated`].
    Initiate(String, CallId, Box<IpsecSpec>),
    /// [`Ike::state`] of a link is another now.
    State(String),
}

/// How a link's tunnel is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum State {
    /// This child carries its packets.
    Up(Child),
    /// None does, for this reason.
    Down(String),
}

/// Every IPsec tunnel. Handle an input, then drain [`Ike::poll_output`].
#[derive(Debug)]
pub struct Ike {
    links: BTreeMap<String, Link>,
    daemon: Daemon,
    outputs: VecDeque<Output>,
    inspect_at: Option<Instant>,
    /// Made so far.
    calls: u64,
    jitter: Jitter,
}

/// The connection to strongSwan.
#[derive(Debug)]
enum Daemon {
    /// There is none, for this reason.
    Absent(String),
    /// There is one.
    Present,
}

#[derive(Debug)]
struct Link {
    spec: IpsecSpec,
    conn: Conn,
    /// Those that carry packets.
    children: BTreeMap<SaId, Child>,
    call: Call,
    failures: u32,
    problem: Option<String>,
    up_since: Option<Instant>,
    told: Option<State>,
}

/// What strongSwan has of a link's connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Conn {
    /// Nothing, or not what it should be.
    Absent,
    /// It is being loaded.
    Loading,
    /// What it should be.
    Loaded,
}

/// Whether we call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Call {
    /// No: it is up, or theirs to call.
    Idle,
    /// Yes, now.
    Running(CallId),
    /// Yes, at this moment.
    At(Instant),
}

impl Ike {
    /// Knows no tunnel and no strongSwan. `seed` decides the jitter of retries.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            links: BTreeMap::new(),
            daemon: Daemon::Absent("strongSwan has not been asked yet".to_owned()),
            outputs: VecDeque::new(),
            inspect_at: None,
            calls: 0,
            jitter: Jitter::new(seed),
        }
    }

    /// The only way in.
    pub fn handle(&mut self, input: Input<'_>, now: Instant) {
        match input {
            Input::Wanted(link, spec) => self.on_wanted(link, *spec),
            Input::Unwanted(link) => self.on_unwanted(link),
            Input::Connected { conns, children } => self.on_connected(&conns, children, now),
            Input::Lost(reason) => self.on_lost(reason),
            Input::Changed(link, change) => self.on_changed(link, change, now),
            Input::Loaded(link, result) => self.on_loaded(link, result, now),
            Input::Inspected { conns, with_secret } => self.on_inspected(&conns, &with_secret),
            Input::Delayed(link, call, reason) => {
                if let Some(link) = self.calling(link, call) {
                    link.problem = Some(reason);
                }
            }
            Input::Refused(link, reason) => {
                if let Some(link) = self.links.get_mut(link).filter(|link| link.waits()) {
                    link.problem = Some(reason);
                }
            }
            Input::Initiated(link, call, result) => self.on_initiated(link, call, result, now),
            Input::Timeout => self.on_timeout(now),
        }
        self.tell();
    }

    /// Drain after every [`Ike::handle`].
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to send [`Input::Timeout`].
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let calls = self.links.values().filter_map(|link| match link.call {
            Call::At(at) => Some(at),
            Call::Idle | Call::Running(_) => None,
        });
        calls.chain(self.inspect_at).min()
    }

    /// How a link's tunnel is; `None` for one that should not have any.
    #[must_use]
    pub fn state(&self, link: &str) -> Option<State> {
        Some(self.links.get(link)?.state(&self.daemon))
    }

    /// What a link should have that waits to be called.
    #[must_use]
    pub fn waiting(&self, link: &str) -> Option<&IpsecSpec> {
        let link = self.links.get(link).filter(|link| link.waits())?;
        Some(&link.spec)
    }

    /// The link that waits to be called by this address, if there is one and no more.
    #[must_use]
    pub fn waiting_for(&self, caller: IpAddr) -> Option<&str> {
        let by_caller = |link: &&String| {
            let spec = self.waiting(link);
            spec.is_some_and(|spec| spec.remote == caller)
        };
        let mut links = self.links.keys().filter(by_caller);
        links
            .next()
            .filter(|_| links.next().is_none())
            .map(String::as_str)
    }

    /// Whether strongSwan can be spoken to.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        matches!(self.daemon, Daemon::Present)
    }

    fn on_wanted(&mut self, name: &str, spec: IpsecSpec) {
        let link = self.links.entry(name.to_owned()).or_insert_with(|| Link {
            spec: spec.clone(),
            conn: Conn::Absent,
            children: BTreeMap::new(),
            call: Call::Idle,
            failures: 0,
            problem: None,
            up_since: None,
            told: None,
        });
        // A call that has come to something may not have been answered yet.
        let ends = match link.children.is_empty() {
            true => matches!(link.call, Call::Running(_)),
            false => !link.spec.has_same_associations(&spec),
        };
        if ends {
            // A call for what was wanted before is given up. The end of what was up calls again, or has us
            // called.
            self.outputs.push_back(Output::Terminate(conn::name(name)));
        }
        link.spec = spec;
        link.conn = Conn::Absent;
        link.failures = 0;
        self.advance(name);
    }

    fn on_unwanted(&mut self, name: &str) {
        self.links.remove(name);
        // Without strongSwan it is a leftover when that is back.
        if self.is_connected() {
            self.outputs.push_back(Output::Remove(conn::name(name)));
        }
    }

    fn on_connected(
        &mut self,
        conns: &[String],
        children: Vec<(String, Vec<Child>)>,
        now: Instant,
    ) {
        let with_children = children.iter().map(|(link, _)| conn::name(link));
        let ours = conns
            .iter()
            .filter(|name| conn::link(name).is_some())
            .cloned();
        let is_leftover =
            |name: &String| conn::link(name).is_some_and(|link| !self.links.contains_key(link));
        let leftovers: BTreeSet<String> = ours.chain(with_children).filter(is_leftover).collect();
        self.outputs
            .extend(leftovers.into_iter().map(Output::Remove));
        self.daemon = Daemon::Present;
        self.inspect_at = Some(now + INSPECT_EVERY);
        for link in self.links.values_mut() {
            link.children.clear();
            link.conn = Conn::Absent;
            link.call = Call::Idle;
        }
        for (name, children) in children {
            if let Some(link) = self.links.get_mut(&name) {
                let children = children.into_iter().map(|child| (child.id, child));
                link.children.extend(children);
            }
        }
        for name in self.names() {
            self.advance(&name);
        }
    }

    /// What carries packets goes on to do so in the kernel. But whether it does cannot be known, nor
    /// that it ends; the link's own probes see that.
    fn on_lost(&mut self, reason: String) {
        self.daemon = Daemon::Absent(reason);
        self.inspect_at = None;
        for link in self.links.values_mut() {
            link.conn = Conn::Absent;
            link.call = Call::Idle;
        }
    }

    fn on_changed(&mut self, name: &str, change: Change, now: Instant) {
        let jitter = self.jitter.next();
        let Some(link) = self.links.get_mut(name) else {
            return;
        };
        let was_up = !link.children.is_empty();
        link.change(change);
        match (was_up, link.children.is_empty()) {
            (false, false) => {
                link.up_since = Some(now);
                link.problem = None;
            }
            (true, true) => {
                let lasted = link
                    .up_since
                    .take()
                    .is_none_or(|since| now >= since + LASTED);
                link.problem = Some(format!("{} or DPD has ended it", link.spec.remote));
                match lasted {
                    true => link.failures = 0,
                    // Whoever ends it at once would do so again at once.
                    false => link.retry(jitter, now),
                }
            }
            (true, false) | (false, true) => return,
        }
        self.advance(name);
    }

    fn on_loaded(&mut self, name: &str, result: Result<(), String>, now: Instant) {
        let jitter = self.jitter.next();
        let Some(link) = self
            .links
            .get_mut(name)
            .filter(|link| link.conn == Conn::Loading)
        else {
            return;
        };
        match result {
            Ok(()) => {
                link.conn = Conn::Loaded;
                self.advance(name);
            }
            Err(reason) => {
                link.conn = Conn::Absent;
                link.problem = Some(format!("strongSwan does not take the connection: {reason}"));
                link.retry(jitter, now);
            }
        }
    }

    /// What somebody has removed is loaded again; what carries packets goes on meanwhile. A call that runs
    /// loads again by itself when it fails.
    fn on_inspected(&mut self, conns: &BTreeSet<String>, with_secret: &BTreeSet<String>) {
        for link in self.names() {
            let name = conn::name(&link);
            if conns.contains(&name) && with_secret.contains(&name) {
                continue;
            }
            if let Some(lost) = self.links.get_mut(&link)
                && lost.conn == Conn::Loaded
                && !matches!(lost.call, Call::Running(_))
            {
                lost.conn = Conn::Absent;
                self.advance(&link);
            }
        }
    }

    /// The link, if this is the call that it waits for.
    fn calling(&mut self, name: &str, call: CallId) -> Option<&mut Link> {
        let link = self.links.get_mut(name)?;
        (link.call == Call::Running(call)).then_some(link)
    }

    fn on_initiated(&mut self, name: &str, call: CallId, result: Result<(), String>, now: Instant) {
        let jitter = self.jitter.next();
        let Some(link) = self.calling(name, call) else {
            return;
        };
        link.call = Call::Idle;
        if !link.children.is_empty() {
            return;
        }
        let Err(reason) = result else {
            // The answer has overtaken the event: they come by two connections.
            link.call = Call::At(now + OVERTAKEN);
            return;
        };
        link.problem = Some(reason);
        // Somebody else's `swanctl --load-all` removes what is not in its files.
        link.conn = Conn::Absent;
        link.retry(jitter, now);
        // What is left of the attempt would be in the way of the next.
        self.outputs.push_back(Output::Terminate(conn::name(name)));
    }

    fn on_timeout(&mut self, now: Instant) {
        if self.inspect_at.is_some_and(|at| at <= now) {
            self.inspect_at = Some(now + INSPECT_EVERY);
            self.outputs.push_back(Output::Inspect);
        }
        for name in self.names() {
            if let Some(link) = self.links.get_mut(&name)
                && matches!(link.call, Call::At(at) if at <= now)
            {
                link.call = Call::Idle;
                self.advance(&name);
            }
        }
    }

    /// The next step of a link, if there is one: load, then call.
    fn advance(&mut self, name: &str) {
        let present = self.is_connected();
        let Some(link) = self.links.get_mut(name).filter(|_| present) else {
            return;
        };
        match link.conn {
            Conn::Absent => {
                link.conn = Conn::Loading;
                // A call that runs is for what was loaded before.
                link.call = Call::Idle;
                let spec = Box::new(link.spec.clone());
                self.outputs.push_back(Output::Load(name.to_owned(), spec));
            }
            Conn::Loading => {}
            Conn::Loaded if !link.children.is_empty() => {
                if matches!(link.call, Call::At(_)) {
                    link.call = Call::Idle;
                }
            }
            Conn::Loaded if link.spec.initiator == Initiator::Them => link.call = Call::Idle,
            Conn::Loaded if link.call == Call::Idle => {
                self.calls += 1;
                let call = CallId(self.calls);
                link.call = Call::Running(call);
                let spec = Box::new(link.spec.clone());
                self.outputs
                    .push_back(Output::Initiate(name.to_owned(), call, spec));
            }
            Conn::Loaded => {}
        }
    }

    /// Says which links are another way than they were last said to be.
    fn tell(&mut self) {
        for (name, link) in &mut self.links {
            let state = link.state(&self.daemon);
            if link.told.as_ref() != Some(&state) {
                link.told = Some(state);
                self.outputs.push_back(Output::State(name.clone()));
            }
        }
    }

    fn names(&self) -> Vec<String> {
        self.links.keys().cloned().collect()
    }
}

impl Link {
    fn waits(&self) -> bool {
        self.spec.initiator == Initiator::Them && self.children.is_empty()
    }

    fn change(&mut self, change: Change) {
        match change {
            Change::ChildUp(child) => {
                self.children.insert(child.id, child);
            }
            Change::ChildDown(id) => {
                self.children.remove(&id);
            }
            Change::ChildRekeyed { old, new } => {
                self.children.remove(&old);
                self.children.insert(new.id, new);
            }
            Change::IkeDown(ike) => self.children.retain(|_, child| child.ike != ike),
            Change::IkeRekeyed { old, new } => {
                let moved = self.children.values_mut().filter(|child| child.ike == old);
                moved.for_each(|child| child.ike = new);
            }
        }
    }

    /// Tries again later, and later each time.
    fn retry(&mut self, jitter: u32, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        self.call = Call::At(now + backoff::delay(self.failures, jitter));
    }

    fn state(&self, daemon: &Daemon) -> State {
        if let Some((_, newest)) = self.children.last_key_value() {
            return State::Up(newest.clone());
        }
        let reason = match (daemon, &self.problem, self.spec.initiator) {
            (Daemon::Absent(reason), _, _) => reason.clone(),
            (Daemon::Present, Some(problem), _) => problem.clone(),
            (Daemon::Present, None, Initiator::Us) => format!("calling {}", self.spec.remote),
            (Daemon::Present, None, Initiator::Them) => format!(
                "waiting for {} to call; are UDP 500 and 4500 open to it?",
                self.spec.remote
            ),
        };
        State::Down(reason)
    }
}

#[cfg(test)]
mod tests;
