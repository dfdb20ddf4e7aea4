//! The scenarios, each with one daemon in a namespace of its own. Nothing is tuned: beside its peers and
//! that they may say and hear everything, a daemon is told nothing that is not its default.

use std::fmt;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use bgp::Asn;

use super::daemon::{self, Daemon, Installing, Kind};
use super::kernel::{self, Filling};
use super::peer::{Identity, Peer};
use super::replay::{Replay, Right};
use super::table::{Ranking, Table, sender_asn};
use crate::interrupt;
use crate::lab::netns::{End, Namespace, cable};
use crate::lab::scratch::Scratch;

/// Senders of a fan-in.
pub const SENDERS: usize = 10;
/// Receivers of a fan-out.
pub const RECEIVERS: usize = 20;
/// Private, as many as one likes (RFC 6996).
const FIRST_RECEIVER: u32 = 4_200_000_000;
/// When nothing was heard for so long, what was heard is judged.
const QUIET: Duration = Duration::from_millis(300);
/// When nothing was heard for so long and it is not right, it never will be.
const STALLED: Duration = Duration::from_secs(5);
/// A daemon that used no processor for so long has nothing left to do.
const IDLE: Duration = Duration::from_millis(300);
/// The interface at each end of the cable.
const WIRE: &str = "wire";
const POLL: Duration = Duration::from_millis(10);
/// Clock ticks a second in `/proc/PID/stat`: fixed on Linux for all that users see.
const TICKS: f64 = 100.0;

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scenario {
    /// One sender, one receiver: until the receiver has all.
    FullTable,
    /// After that, the sender withdraws all: until the receiver has nothing.
    Withdraw,
    /// Ten senders of the same prefixes: until the receiver has the best path for all.
    FanIn,
    /// One sender, twenty receivers: until the last has all.
    FanOut,
    /// The connection of the better of two senders ends: until the receiver has the other's paths.
    Failover,
    /// One sender, one receiver: until the kernel has all.
    KernelRoutes,
}

impl Scenario {
    /// Whether routes are given to the kernel.
    pub fn installing(self) -> Installing {
        match self {
            Self::KernelRoutes => Installing::Yes,
            Self::FullTable | Self::Withdraw | Self::FanIn | Self::FanOut | Self::Failover => {
                Installing::No
            }
        }
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::FullTable => "full table",
            Self::Withdraw => "withdraw",
            Self::FanIn => "fan-in",
            Self::FanOut => "fan-out",
            Self::Failover => "failover",
            Self::KernelRoutes => "kernel",
        })
    }
}

/// What one run gave.
#[derive(Clone, PartialEq, Debug)]
pub enum Outcome {
    /// Every receiver had exactly the right set.
    Right(Figures),
    /// Not in time: why.
    Timeout(String),
    /// Never: why.
    Wrong(String),
}

/// The figures of a run that ended right.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Figures {
    /// From the first UPDATE sent, or the event, to the read that made the last receiver right, or to the
    /// last route of the kernel.
    pub time: Duration,
    /// Processor time of the daemon from then to the end of its work, in steps of 10 ms.
    pub cpu: Duration,
    /// The most memory that the daemon ever had in use, octets. Without a daemon there is none.
    pub peak: Option<u64>,
}

/// What there is to measure with.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// Who.
    pub kind: Kind,
    /// What is announced.
    pub table: &'a Table,
    /// How long one scenario may take.
    pub limit: Duration,
}

/// Runs a scenario once. [`Scenario::FullTable`] is followed by [`Scenario::Withdraw`].
///
/// # Errors
///
/// When the daemon does not start or take sessions, the kernel refuses, or a signal arrived.
pub fn run(scenario: Scenario, terms: Terms<'_>) -> Result<Vec<(Scenario, Outcome)>> {
    let mut outcomes = Vec::new();
    match scenario {
        Scenario::FullTable | Scenario::Withdraw => {
            let mut bench = Bench::set_up(scenario, terms, 1, 1, Ranking::InOrder)?;
            let full = bench.send(&[0])?.until(&mut bench, Right::Best)?;
            let is_full = matches!(full, Outcome::Right(_));
            outcomes.push((Scenario::FullTable, full));
            if is_full {
                let gone = bench.withdraw()?.until(&mut bench, Right::Nothing)?;
                outcomes.push((Scenario::Withdraw, gone));
            }
        }
        Scenario::FanIn => {
            let ranking = Ranking::Rotating(SENDERS);
            let mut bench = Bench::set_up(scenario, terms, SENDERS, 1, ranking)?;
            let all: Vec<usize> = (0..SENDERS).collect();
            let outcome = bench.send(&all)?.until(&mut bench, Right::Best)?;
            outcomes.push((scenario, outcome));
        }
        Scenario::FanOut => {
            let mut bench = Bench::set_up(scenario, terms, 1, RECEIVERS, Ranking::InOrder)?;
            let outcome = bench.send(&[0])?.until(&mut bench, Right::Best)?;
            outcomes.push((scenario, outcome));
        }
        Scenario::Failover => {
            let mut bench = Bench::set_up(scenario, terms, 2, 1, Ranking::InOrder)?;
            outcomes.push((scenario, bench.fail_over()?));
        }
        Scenario::KernelRoutes if terms.kind == Kind::Kernel => {
            outcomes.push((scenario, kernel_alone(terms)?));
        }
        Scenario::KernelRoutes => {
            let mut bench = Bench::set_up(scenario, terms, 1, 1, Ranking::InOrder)?;
            outcomes.push((scenario, bench.fill_kernel()?));
        }
    }
    Ok(outcomes)
}

/// The memory in use, octets, by a daemon with so many peers whose sessions are up and who say nothing.
///
/// # Errors
///
/// As [`run`].
pub fn idle(terms: Terms<'_>, peers: usize) -> Result<u64> {
    let bench = Bench::set_up(Scenario::FanOut, terms, 0, peers, Ranking::InOrder)?;
    memory(&bench.daemon, "VmRSS:")
}

/// The routes go straight into a namespace like a daemon's.
fn kernel_alone(terms: Terms<'_>) -> Result<Outcome> {
    interrupt::check()?;
    let mut scratch = Scratch::new(&terms.kind.to_string())?;
    let namespaces = [scratch.namespace("dut")?, scratch.namespace("peers")?];
    let peer = identity(sender_asn(0), 0);
    plug(&namespaces, &[peer])?;
    let filling = Filling::watch(&namespaces[0], terms.table.prefixes())?;
    let begun = Instant::now();
    let cpu = kernel::fill(&namespaces[0], WIRE, peer.address, terms.table.prefixes())?;
    Ok(match filling.complete(Instant::now() + terms.limit)? {
        Ok(at) => Outcome::Right(Figures {
            time: at.saturating_duration_since(begun),
            cpu,
            peak: None,
        }),
        Err(why) => Outcome::Wrong(why),
    })
}

/// A daemon and its peers. Dropping it ends and removes all of it.
struct Bench<'a> {
    // Fields are dropped in this order: sessions, then the daemon, then the namespaces.
    senders: Vec<Peer>,
    receivers: Vec<Receiver<'a>>,
    daemon: Daemon,
    namespaces: [Namespace; 2],
    terms: Terms<'a>,
    ranking: Ranking,
    _scratch: Scratch,
}

struct Receiver<'a> {
    peer: Peer,
    replay: Replay<'a>,
}

/// What has begun: when, and how much processor time the daemon had used by then.
struct Begun {
    at: Instant,
    cpu: Duration,
}

impl<'a> Bench<'a> {
    fn set_up(
        scenario: Scenario,
        terms: Terms<'a>,
        senders: usize,
        receivers: usize,
        ranking: Ranking,
    ) -> Result<Self> {
        interrupt::check()?;
        let mut scratch = Scratch::new(&terms.kind.to_string())?;
        let namespaces = [scratch.namespace("dut")?, scratch.namespace("peers")?];
        let senders: Vec<_> = (0..senders)
            .map(|sender| identity(sender_asn(sender), sender))
            .collect();
        let receivers: Vec<_> = (0..receivers)
            .map(|receiver| {
                let asn = Asn(FIRST_RECEIVER + u32::try_from(receiver).unwrap_or_default());
                identity(asn, senders.len() + receiver)
            })
            .collect();
        let everybody = [senders.as_slice(), &receivers].concat();
        plug(&namespaces, &everybody)?;
        let directory = scratch.directory().join("daemon");
        fs::create_dir(&directory)?;
        let installing = scenario.installing();
        let mut daemon = terms
            .kind
            .start(&namespaces[0], &directory, &everybody, installing)?;
        let establish = |identity: &Identity| Peer::establish(&namespaces[1], *identity);
        let sessions = || -> Result<_> {
            let senders = senders.iter().map(establish).collect::<Result<Vec<_>>>()?;
            let receivers = receivers.iter().map(|identity| {
                let right = Right::Best;
                let replay = Replay::new(terms.table, ranking, daemon::ASN, identity.asn, right);
                let peer = establish(identity)?;
                Ok(Receiver { peer, replay })
            });
            Ok((senders, receivers.collect::<Result<Vec<_>>>()?))
        };
        let (senders, receivers) = match sessions() {
            Ok(established) => established,
            Err(error) => {
                daemon.check_alive()?;
                return Err(error.context(daemon.last_words()));
            }
        };
        let mut bench = Self {
            senders,
            receivers,
            daemon,
            namespaces,
            terms,
            ranking,
            _scratch: scratch,
        };
        bench.until_idle()?;
        Ok(bench)
    }

    /// These senders announce the whole table, at once.
    fn send(&mut self, senders: &[usize]) -> Result<Begun> {
        let tables: Vec<_> = senders
            .iter()
            .map(|&sender| {
                let nexthop = IpAddr::V4(identity(sender_asn(sender), sender).address);
                let announced = self.terms.table.announced(sender, nexthop, self.ranking);
                (sender, announced.freeze())
            })
            .collect();
        let begun = self.begin()?;
        for (sender, messages) in tables {
            self.senders[sender].send(messages)?;
        }
        Ok(begun)
    }

    fn withdraw(&mut self) -> Result<Begun> {
        let messages = self.terms.table.withdrawn().freeze();
        let begun = self.begin()?;
        self.senders[0].send(messages)?;
        Ok(begun)
    }

    fn begin(&self) -> Result<Begun> {
        Ok(Begun {
            cpu: cpu(&self.daemon)?,
            at: Instant::now(),
        })
    }

    fn fail_over(&mut self) -> Result<Outcome> {
        let begun = self.send(&[0])?;
        let before = |why| format!("before anything failed: {why}");
        match begun.until(self, Right::Best)? {
            Outcome::Right(_) => {}
            Outcome::Timeout(why) => return Ok(Outcome::Timeout(before(why))),
            Outcome::Wrong(why) => return Ok(Outcome::Wrong(before(why))),
        }
        // The receiver hears nothing of the worse paths: when the daemon rests, it has them.
        let second = self.send(&[1])?;
        while !self.senders[1].has_sent() {
            self.pause()?;
            if second.at.elapsed() > self.terms.limit {
                let why = "the daemon does not read the second table";
                return Ok(Outcome::Timeout(why.to_owned()));
            }
        }
        self.until_idle()?;
        let begun = self.begin()?;
        drop(self.senders.remove(0));
        begun.until(self, Right::Of(1))
    }

    /// The receiver has to have all as well, whenever that is.
    fn fill_kernel(&mut self) -> Result<Outcome> {
        let filling = Filling::watch(&self.namespaces[0], self.terms.table.prefixes())?;
        let begun = self.send(&[0])?;
        match begun.until(self, Right::Best)? {
            Outcome::Right(_) => {}
            failed @ (Outcome::Timeout(_) | Outcome::Wrong(_)) => return Ok(failed),
        }
        match filling.complete(begun.at + self.terms.limit)? {
            Ok(at) => begun.figures(self, at).map(Outcome::Right),
            Err(why) => Ok(Outcome::Wrong(why)),
        }
    }

    /// Waits until the daemon uses no processor any more, for as long as a scenario may take.
    fn until_idle(&mut self) -> Result<()> {
        let deadline = Instant::now() + self.terms.limit;
        let mut last = (Instant::now(), cpu(&self.daemon)?);
        while last.0.elapsed() < IDLE && Instant::now() < deadline {
            self.pause()?;
            let cpu = cpu(&self.daemon)?;
            // A tick now and then is no work.
            if cpu > last.1 + Duration::from_millis(10) {
                last = (Instant::now(), cpu);
            }
        }
        Ok(())
    }

    /// Lets some time pass, unless a signal arrived. Who waits longer does it with this.
    fn pause(&mut self) -> Result<()> {
        interrupt::check()?;
        thread::sleep(POLL);
        let receivers = self.receivers.iter_mut().map(|receiver| &mut receiver.peer);
        self.senders
            .iter_mut()
            .chain(receivers)
            .for_each(Peer::keep_alive);
        Ok(())
    }

    fn last_heard(&self) -> Option<Instant> {
        let receivers = self.receivers.iter();
        receivers
            .filter_map(|receiver| receiver.peer.last_heard())
            .max()
    }

    /// Judges what was heard so far: since when all receivers are right, or what is wrong first.
    fn judge(&mut self) -> Result<Instant, String> {
        if self.senders.iter().any(Peer::is_closed) {
            return Err("the daemon has ended the session with a sender".to_owned());
        }
        let mut since = None;
        for (number, receiver) in self.receivers.iter_mut().enumerate() {
            receiver.replay.hear(&receiver.peer.take_heard());
            let name = |what: String| format!("receiver {}: {what}", number + 1);
            if receiver.peer.is_closed() {
                return Err(name("the daemon has ended the session".to_owned()));
            }
            since = since.max(Some(receiver.replay.verdict().map_err(name)?));
        }
        since.ok_or_else(|| "there is no receiver".to_owned())
    }
}

impl Begun {
    /// Waits until every receiver holds what is right, or will not.
    fn until(&self, bench: &mut Bench<'_>, right: Right) -> Result<Outcome> {
        for receiver in &mut bench.receivers {
            receiver.replay.expect(right);
        }
        loop {
            bench.pause()?;
            if let Err(ended) = bench.daemon.check_alive() {
                return Ok(Outcome::Wrong(format!("{ended:#}")));
            }
            let heard = bench.last_heard().unwrap_or(self.at).max(self.at);
            let is_late = self.at.elapsed() > bench.terms.limit;
            if heard.elapsed() < QUIET && !is_late {
                continue;
            }
            match bench.judge() {
                Ok(since) => return self.figures(bench, since).map(Outcome::Right),
                Err(why) if is_late => return Ok(Outcome::Timeout(why)),
                Err(why) if heard.elapsed() > STALLED && self.is_idle(bench)? => {
                    return Ok(Outcome::Wrong(why));
                }
                Err(_) => {}
            }
        }
    }

    /// Whether the daemon has nothing to do.
    fn is_idle(&self, bench: &Bench<'_>) -> Result<bool> {
        let before = cpu(&bench.daemon)?;
        thread::sleep(IDLE);
        let used = cpu(&bench.daemon)?.saturating_sub(before);
        Ok(used < IDLE / 4)
    }

    fn figures(&self, bench: &mut Bench<'_>, since: Instant) -> Result<Figures> {
        bench.until_idle()?;
        Ok(Figures {
            time: since.saturating_duration_since(self.at),
            cpu: cpu(&bench.daemon)?.saturating_sub(self.cpu),
            peak: Some(memory(&bench.daemon, "VmHWM:")?),
        })
    }
}

/// The peer that stands at a place on the cable.
fn identity(asn: Asn, place: usize) -> Identity {
    let place = u16::try_from(place).expect("few peers");
    let [high, low] = (place + 257).to_be_bytes();
    Identity {
        asn,
        address: Ipv4Addr::new(10, 77, high, low),
        daemon: daemon::ADDRESS,
    }
}

fn plug([daemon, peers]: &[Namespace; 2], everybody: &[Identity]) -> Result<()> {
    let addresses: Vec<_> = everybody
        .iter()
        .map(|peer| format!("{}/16", peer.address))
        .collect();
    let (first, others) = addresses.split_first().context("there are peers")?;
    let end = |namespace, address| End {
        namespace,
        interface: WIRE,
        address,
    };
    let own = format!("{}/16", daemon::ADDRESS);
    cable(end(daemon, &own), end(peers, first))?;
    for address in others {
        peers.ip(&format!("addr add {address} dev {WIRE}"))?;
    }
    Ok(())
}

/// User and system time of all threads of a process, those that ended included.
pub(super) fn cpu_time(pid: u32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("the daemon has ended")?;
    // The name, in brackets, may hold anything; the third field follows it.
    let (_, fields) = stat.rsplit_once(')').context("no name in stat")?;
    let mut ticks = fields.split_whitespace().skip(11).map(str::parse::<u32>);
    let (Some(Ok(user)), Some(Ok(system))) = (ticks.next(), ticks.next()) else {
        bail!("no times in {stat}");
    };
    Ok(Duration::from_secs_f64(f64::from(user + system) / TICKS))
}

fn cpu(daemon: &Daemon) -> Result<Duration> {
    daemon.pids().map(cpu_time).sum()
}

/// Memory of a daemon, octets: `VmRSS:` is what it has in use, `VmHWM:` the most it ever had.
fn memory(daemon: &Daemon, which: &str) -> Result<u64> {
    daemon.pids().map(|pid| memory_of(pid, which)).sum()
}

fn memory_of(pid: u32, which: &str) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(which));
    let kib = line.and_then(|line| line.split_whitespace().next());
    let kib: u64 = kib.context("no such line in status")?.parse()?;
    Ok(kib * 1024)
}
