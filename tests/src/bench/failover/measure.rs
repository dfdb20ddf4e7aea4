//! One router, one table: the link dies and comes back, as often as wanted.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, bail, ensure};
use bgp::{Family, Prefix};

use super::super::rtnetlink::{Model, Rtnetlink, Told};
use super::heard::Heard;
use super::look::{self, Look};
use super::routers::{DETECTION, Peer, Router};
use super::stream::{Report, Stream};
use super::topology::{Death, Side, Topology, host};
use super::watch::{Change, Watch};
use crate::bench::daemon::Kind;
use crate::interrupt;

/// Packets a second.
pub const RATE: u32 = 10_000;
/// When the kernel was told nothing for so long, its routes are read.
const QUIET: Duration = Duration::from_secs(1);
/// The stream runs for so long before the cut, and after each end.
const CALM: Duration = Duration::from_secs(1);
/// A router that used so little of a processor for so long has nothing left to do.
const IDLE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));
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
    /// From the cut to the first route that led elsewhere: by the kernel's notifications, or where it does not
    /// notify, as with a carrier, by looking at a sample.
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

/// Starts a router and its peers, and lets the link die again and again. A round that is not right is the last; a
/// router that does not come so far has none that is right.
///
/// # Errors
///
/// When something cannot be started, the kernel refuses, or a signal arrived.
pub fn run(terms: Terms<'_>) -> Result<Vec<Outcome>> {
    let mut bench = Bench::set_up(terms)?;
    if let Err(error) = bench.await_tables() {
        interrupt::check()?;
        let why = format!("{error:#}\n{}", bench.router.last_words());
        return Ok(vec![Outcome::Wrong(why)]);
    }
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
    peers: [Peer; 2],
    heard: Heard,
    topology: Topology,
    terms: Terms<'a>,
}

/// What the kernel was told, and when.
type Changes = Vec<Change>;

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
        Ok(Self {
            router,
            peers,
            heard,
            topology,
            terms,
        })
    }

    /// Until the router has both tables, and nothing left to do.
    fn await_tables(&mut self) -> Result<()> {
        let deadline = Instant::now() + self.terms.limit;
        loop {
            self.pause(Duration::from_millis(200))?;
            match self.check_tables() {
                Ok(()) => return Ok(()),
                Err(error) if Instant::now() > deadline => {
                    return Err(error.context("the tables do not come"));
                }
                Err(_) => {}
            }
        }
    }

    /// The kernel is asked only once the router rests: to read half a million routes holds up whoever adds some.
    fn check_tables(&mut self) -> Result<()> {
        self.peers.iter().try_for_each(Peer::check_told)?;
        self.until_idle()?;
        self.check_leads(Side::A)
    }

    fn round(&mut self) -> Result<Figures> {
        self.until_idle()?;
        let before = self.read()?;
        self.ensure_over(&before, Side::A)?;
        let hosts: Vec<IpAddr> = self.terms.prefixes.iter().map(host).collect();
        let looked_at = look::sample(&hosts);
        let Topology { source, sink, .. } = &self.topology;
        let stream = Stream::start(source, sink, hosts, RATE)?;
        let began = Instant::now();
        self.pause(CALM)?;
        let watch = Watch::start(&self.topology.router)?;
        let ours = Side::B.ours(self.terms.family);
        let look = Look::start(&self.topology.router, looked_at, ours)?;
        let (cut, cut_on_clock) = self.topology.cut(self.terms.death)?;
        let changes = self.follow(&watch, Side::B, &look.all_seen)?;
        let seen = look.finish()?;
        self.pause(CALM)?;
        let mended = self.topology.mend(self.terms.death)?;
        let never = AtomicBool::new(true);
        self.follow(&watch, Side::A, &never)?;
        self.until_idle()?;
        self.pause(CALM)?;
        let ended = Instant::now();
        let report = stream.finish()?;
        ensure!(
            report.lost(began, cut) == 0,
            "{} packets were lost before anything failed: the machine is too busy",
            report.lost(began, cut)
        );
        let (found, switched) = match self.terms.death {
            Death::Silent => self.judge(before, &changes, cut)?,
            Death::Carrier => seen,
        };
        let seen = seen.1;
        let due = self.due(cut_on_clock)?;
        Ok(figures(
            &report,
            [cut, mended, ended],
            [found, switched, seen],
            due,
        ))
    }

    /// Notes changes until all routes lead over this side.
    fn follow(&mut self, watch: &Watch, side: Side, all_seen: &AtomicBool) -> Result<Changes> {
        let begun = Instant::now();
        let (mut changes, mut last) = (Changes::new(), begun);
        loop {
            interrupt::check()?;
            if let Some(change) = watch.next()? {
                last = change.0;
                changes.push(change);
                continue;
            }
            let is_late = begun.elapsed() > self.terms.limit;
            if is_late || (last.elapsed() > QUIET && all_seen.load(Ordering::Relaxed)) {
                self.router.check_alive()?;
                match self.check_leads(side) {
                    // With many routes of IPv6 the kernel tells long after it has done it.
                    Ok(()) if !is_late && self.is_told(side) && changes.is_empty() => {
                        last = Instant::now();
                    }
                    Ok(()) => return Ok(changes),
                    Err(error) if is_late => return Err(error.context("not in time")),
                    Err(_) => last = Instant::now(),
                }
            }
        }
    }

    /// Whether the kernel tells of the move to this side: when it makes it by itself it does not.
    fn is_told(&self, side: Side) -> bool {
        self.terms.death == Death::Silent && side == Side::B
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
