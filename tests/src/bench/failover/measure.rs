//! One router, one table: the link dies and comes back, as often as wanted.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use bgp::{Family, Prefix};
use rustix::event::{PollFd, PollFlags, Timespec};

use super::heard::Heard;
use super::routers::{DETECTION, Peer, Router};
use super::rtnetlink::{Model, Rtnetlink, Told};
use super::stream::{Report, Stream};
use super::topology::{Death, Side, Topology, host};
use crate::bench::daemon::Kind;
use crate::interrupt;
use crate::lab::netns::Namespace;

/// Packets a second.
pub const RATE: u32 = 10_000;
/// When the kernel was told nothing for so long, its routes are read.
const QUIET: Duration = Duration::from_secs(1);
/// The stream runs for so long before the cut, and after each end.
const CALM: Duration = Duration::from_secs(1);
/// A router that used so little of a processor for so long has nothing left to do.
const IDLE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));
/// Between two looks at the sample.
const LOOK: Duration = Duration::from_millis(1);
/// Hosts that are looked at.
const SAMPLE: usize = 64;
const POLL: Duration = Duration::from_millis(20);

/// What there is to measure.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// Who.
    pub kind: Kind,
    /// Whose routes.
    pub family: Family,
    /// Which.
    pub prefixes: &'a [Prefix],
    /// How the link dies.
    pub death: Death,
    /// So often.
    pub rounds: usize,
    /// How long each step may take.
    pub limit: Duration,
}

/// What one round gave.
#[derive(Clone, PartialEq, Debug)]
pub enum Outcome {
    /// Every route led where it should before, in between and after.
    Right(Figures),
    /// Why not.
    Wrong(String),
}

/// The figures of a round that was right.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Figures {
    /// From the cut to the first route that led elsewhere.
    pub found: Duration,
    /// From the cut to the last.
    pub switched: Duration,
    /// From the cut to the moment at which BFD had to call the link down: its detection time after the last
    /// packet that came in. `None` where the carrier tells before.
    pub due: Option<Duration>,
    /// From the cut until every host of the sample was seen to be led elsewhere.
    pub seen: Duration,
    /// Packets of the stream that were lost to the cut.
    pub lost: usize,
    /// From the cut to the last packet that was lost.
    pub last_lost: Duration,
    /// Packets that were lost when the link came back.
    pub lost_back: usize,
}

impl Figures {
    /// What the switch took beyond what the protocol had to wait, ms; less than 0 for what came before.
    pub fn past_due(&self) -> Option<f64> {
        let due = self.due?;
        Some((self.switched.as_secs_f64() - due.as_secs_f64()) * 1000.0)
    }
}

/// Starts a router and its peers, and lets the link die again and again. A round that is not right is the last.
///
/// # Errors
///
/// When something cannot be started, the kernel refuses, or a signal arrived.
pub fn run(terms: Terms<'_>) -> Result<Vec<Outcome>> {
    let mut bench = Bench::set_up(terms)?;
    let mut outcomes = Vec::new();
    for _ in 0..terms.rounds {
        outcomes.push(match bench.round() {
            Ok(figures) => Outcome::Right(figures),
            Err(error) => {
                interrupt::check()?;
                Outcome::Wrong(format!("{error:#}\n{}", bench.router.last_words()))
            }
        });
        if matches!(outcomes.last(), Some(Outcome::Wrong(_))) {
            break;
        }
    }
    Ok(outcomes)
}

/// Dropping it ends and removes all of it.
struct Bench<'a> {
    // Fields are dropped in this order: programs, then namespaces.
    router: Router,
    _peers: [Peer; 2],
    heard: Heard,
    topology: Topology,
    terms: Terms<'a>,
}

/// What the kernel was told, and when.
type Changes = Vec<(Instant, Vec<Told>)>;

impl<'a> Bench<'a> {
    fn set_up(terms: Terms<'a>) -> Result<Self> {
        let Terms {
            kind,
            family,
            prefixes,
            ..
        } = terms;
        let topology = Topology::build(family)?;
        let start = |side| Peer::start(side, &topology, family, prefixes);
        let peers = [start(Side::A)?, start(Side::B)?];
        let router = Router::start(kind, &topology, family)?;
        let heard = Heard::start(&topology.router, Side::A.interface(), topology.directory())?;
        let mut bench = Self {
            router,
            _peers: peers,
            heard,
            topology,
            terms,
        };
        bench.await_tables()?;
        Ok(bench)
    }

    /// Until the router has both tables, and nothing left to do.
    fn await_tables(&mut self) -> Result<()> {
        let deadline = Instant::now() + self.terms.limit;
        loop {
            self.pause(Duration::from_millis(200))?;
            let told = self._peers.iter().try_for_each(Peer::check_told);
            let there = told.and_then(|()| self.check_leads(Side::A));
            match there {
                Ok(()) => return self.until_idle(),
                Err(error) if Instant::now() > deadline => {
                    let words = self.router.last_words();
                    return Err(error.context(format!("the tables do not come\n{words}")));
                }
                Err(_) => {}
            }
        }
    }

    fn round(&mut self) -> Result<Figures> {
        self.until_idle()?;
        let before = self.read()?;
        self.ensure_over(&before, Side::A)?;
        let hosts: Vec<IpAddr> = self.terms.prefixes.iter().map(host).collect();
        let sample = sample(&hosts);
        let Topology { source, sink, .. } = &self.topology;
        let stream = Stream::start(source, sink, hosts, RATE)?;
        let began = Instant::now();
        self.pause(CALM)?;
        let mut watch = Rtnetlink::watch(&self.topology.router)?;
        let look = Look::start(&self.topology.router, sample, self.interface(Side::B))?;
        let (cut, cut_on_clock) = self.topology.cut(self.terms.death)?;
        let changes = self.follow(&mut watch, Side::B, &look.all_seen)?;
        let seen = look.finish()?;
        self.pause(CALM)?;
        let mended = self.topology.mend(self.terms.death)?;
        let never = AtomicBool::new(true);
        self.follow(&mut watch, Side::A, &never)?;
        self.until_idle()?;
        self.pause(CALM)?;
        let ended = Instant::now();
        let report = stream.finish()?;
        ensure!(
            report.lost(began, cut) == 0,
            "{} packets were lost before anything failed: the machine is too busy",
            report.lost(began, cut)
        );
        let (found, switched) = self.judge(before, &changes, cut)?;
        let due = self.due(cut_on_clock)?;
        Ok(figures(
            &report,
            [cut, mended, ended],
            [found, switched, seen],
            due,
        ))
    }

    /// Notes changes until all routes lead over this side.
    fn follow(
        &mut self,
        watch: &mut Rtnetlink,
        side: Side,
        all_seen: &AtomicBool,
    ) -> Result<Changes> {
        let begun = Instant::now();
        let (mut changes, mut last) = (Changes::new(), begun);
        loop {
            let mut batch = Vec::new();
            if let Some(at) = watch.changes(|told| batch.push(told))? {
                if !batch.is_empty() {
                    changes.push((at, batch));
                    last = at;
                }
                continue;
            }
            let is_late = begun.elapsed() > self.terms.limit;
            if is_late || (last.elapsed() > QUIET && all_seen.load(Ordering::Relaxed)) {
                self.router.check_alive()?;
                match self.check_leads(side) {
                    Ok(()) => return Ok(changes),
                    Err(error) if is_late => return Err(error.context("not in time")),
                    Err(_) => last = Instant::now(),
                }
            }
            interrupt::check()?;
            wait(watch)?;
        }
    }

    /// When the first route led elsewhere, and when the last.
    fn judge(
        &self,
        mut model: Model,
        changes: &Changes,
        cut: Instant,
    ) -> Result<(Instant, Instant)> {
        let (all, other) = (self.terms.prefixes.len(), self.interface(Side::B));
        let (mut first, mut last) = (None, None);
        let mut over = 0;
        for (at, batch) in changes {
            for told in batch {
                model.note(told.clone());
            }
            let now = model.over(other);
            if now > 0 && first.is_none() {
                first = Some(*at);
            }
            if now == all && over != all {
                last = Some(*at);
            }
            over = now;
        }
        ensure!(
            over == all,
            "by its notifications {over} of {all} routes lead to the other peer"
        );
        match (first, last) {
            (Some(first), Some(last)) if first >= cut => Ok((first, last)),
            _ => bail!("routes led to the other peer before anything failed"),
        }
    }

    /// When BFD had to call the link down, counted from the cut.
    fn due(&self, cut: SystemTime) -> Result<Option<Duration>> {
        match self.terms.death {
            Death::Carrier => Ok(None),
            Death::Silent => {
                let last = self.heard.last_before(cut)?;
                Ok((last + DETECTION).duration_since(cut).ok())
            }
        }
    }

    fn check_leads(&self, side: Side) -> Result<()> {
        let model = self.read()?;
        self.ensure_over(&model, side)
    }

    fn ensure_over(&self, model: &Model, side: Side) -> Result<()> {
        let (over, all) = (model.over(self.interface(side)), self.terms.prefixes.len());
        ensure!(
            over == all,
            "{over} of {all} routes lead to peer {side:?} in the kernel"
        );
        Ok(())
    }

    /// What the router's kernel holds.
    fn read(&self) -> Result<Model> {
        let wanted = self.terms.prefixes.first().zip(self.terms.prefixes.last());
        wanted.context("there are prefixes")?;
        let mut model = Model::default();
        let mut socket = Rtnetlink::open(&self.topology.router)?;
        socket.dump(self.terms.family, |told| {
            if !is_connected(&told) {
                model.note(told);
            }
        })?;
        Ok(model)
    }

    fn interface(&self, side: Side) -> u32 {
        let [a, b] = self.topology.interfaces;
        match side {
            Side::A => a,
            Side::B => b,
        }
    }

    /// Waits until the router uses no processor to speak of.
    fn until_idle(&mut self) -> Result<()> {
        let deadline = Instant::now() + self.terms.limit;
        let (little, long) = IDLE;
        let mut last = (Instant::now(), self.router.cpu()?);
        while last.0.elapsed() < long {
            self.pause(POLL)?;
            let cpu = self.router.cpu()?;
            if cpu > last.1 + little {
                last = (Instant::now(), cpu);
            }
            ensure!(Instant::now() < deadline, "it does not come to rest");
        }
        Ok(())
    }

    /// Lets some time pass, unless a signal arrived.
    fn pause(&mut self, time: Duration) -> Result<()> {
        interrupt::check()?;
        self.router.check_alive()?;
        thread::sleep(time);
        Ok(())
    }
}

fn figures(
    report: &Report,
    [cut, mended, ended]: [Instant; 3],
    [found, switched, seen]: [Instant; 3],
    due: Option<Duration>,
) -> Figures {
    let last_lost = report.last_lost(cut, mended);
    Figures {
        found: found - cut,
        switched: switched - cut,
        due,
        seen: seen.saturating_duration_since(cut),
        lost: report.lost(cut, mended),
        last_lost: last_lost.map_or(Duration::ZERO, |at| at - cut),
        lost_back: report.lost(mended, ended),
    }
}

/// Networks of the topology itself, which no daemon gave.
fn is_connected(told: &Told) -> bool {
    let prefix = match told {
        Told::Route(prefix, _) | Told::NoRoute(prefix, _) => prefix,
        Told::Nexthop(..) | Told::NoNexthop(_) => return false,
    };
    match prefix.network() {
        IpAddr::V4(network) => network.octets()[0] == 10,
        IpAddr::V6(network) => matches!(network.segments()[0], 0xfd78 | 0xfe80 | 0xff00),
    }
}

/// At most a millisecond, so that a notification is noted when it comes.
fn wait(watch: &Rtnetlink) -> Result<()> {
    let mut fds = [PollFd::new(watch.socket(), PollFlags::IN)];
    let timeout = Timespec {
        tv_sec: 0,
        tv_nsec: 10_000_000,
    };
    match rustix::event::poll(&mut fds, Some(&timeout)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// From all over the table, the first and the last among them.
fn sample(hosts: &[IpAddr]) -> Vec<IpAddr> {
    let step = (hosts.len() / SAMPLE).max(1);
    let mut sample: Vec<IpAddr> = hosts.iter().copied().step_by(step).collect();
    sample.extend(hosts.last().copied());
    sample.dedup();
    sample
}

/// Asks the kernel for the way to hosts of a sample until it is the other one for each.
struct Look {
    on: Arc<AtomicBool>,
    all_seen: Arc<AtomicBool>,
    thread: JoinHandle<Result<Instant>>,
}

impl Look {
    fn start(namespace: &Namespace, mut sample: Vec<IpAddr>, other: u32) -> Result<Self> {
        let on = Arc::new(AtomicBool::new(true));
        let all_seen = Arc::new(AtomicBool::new(false));
        let mut socket = Rtnetlink::open(namespace)?;
        let thread = thread::spawn({
            let (on, all_seen) = (on.clone(), all_seen.clone());
            move || {
                let mut last = Instant::now();
                while on.load(Ordering::Relaxed) && !sample.is_empty() {
                    let mut left = Vec::new();
                    for host in sample {
                        if socket.way(host)? == Some(other) {
                            last = Instant::now();
                        } else {
                            left.push(host);
                        }
                    }
                    sample = left;
                    thread::sleep(LOOK);
                }
                all_seen.store(true, Ordering::Relaxed);
                Ok(last)
            }
        });
        Ok(Self {
            on,
            all_seen,
            thread,
        })
    }

    /// When the last host of the sample was seen to be led elsewhere.
    fn finish(self) -> Result<Instant> {
        self.on.store(false, Ordering::Relaxed);
        self.thread
            .join()
            .map_err(|_panic| anyhow!("the thread that looks panicked"))?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_has_the_first_and_the_last_host() {
        for count in [1_u32, 5, 64, 1_000] {
            let hosts: Vec<IpAddr> = (0..count).map(|n| IpAddr::V4(n.into())).collect();
            let sample = sample(&hosts);
            assert_eq!(sample.first(), hosts.first());
            assert_eq!(sample.last(), hosts.last());
            assert!(sample.len() <= 2 * SAMPLE, "{}", sample.len());
        }
    }
}
