//! Routes in the kernel: when it had a whole table, and how soon it can have one.

use std::collections::HashSet;
use std::fs;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use bgp::{Family, Prefix};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{RecvFlags, SendFlags};

use super::failover::topology::index;
use super::rtnetlink::{
    HEADER, MAIN, NHA_ID, NHA_OIF, NLM_F_ACK, NLM_F_REQUEST, NLMSG_ERROR, RTA_DST, RTA_NH_ID,
    RTM_NEWNEXTHOP, RTM_NEWROUTE, Rtnetlink, Told,
};
use crate::interrupt;
use crate::lab::netns::Namespace;

const NLM_F_CREATE: u16 = 0x400;
const NHA_GATEWAY: u16 = 6;
const AF_INET: u8 = 2;
/// `RTPROT_BGP`.
const PROTOCOL: u8 = 186;
const UNICAST: u8 = 1;
/// The nexthop object of all routes.
const NEXTHOP: u32 = 4271;
/// Routes in a system call.
const BATCH: usize = 512;
const PATIENCE: Duration = Duration::from_millis(100);

/// Hears what the kernel of a namespace says of its routes.
pub struct Filling {
    full: mpsc::Receiver<Instant>,
    rtnetlink: Rtnetlink,
    wanted: HashSet<Prefix>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<()>>,
}

impl Filling {
    /// From now on.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn watch(namespace: &Namespace, prefixes: &[Prefix]) -> Result<Self> {
        let (told, full) = mpsc::channel();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let watch = Rtnetlink::watch(namespace)?;
        let wanted = prefixes.len();
        Ok(Self {
            full,
            rtnetlink: Rtnetlink::open(namespace)?,
            wanted: prefixes.iter().copied().collect(),
            stop,
            thread: thread::spawn(move || listen(watch, wanted, &told, &stopped)),
        })
    }

    /// When the last of the routes came; or why that is not to be said.
    ///
    /// # Errors
    ///
    /// Notifications were lost, or a signal arrived.
    pub fn complete(mut self, deadline: Instant) -> Result<Result<Instant, String>> {
        let at = loop {
            interrupt::check()?;
            match self.full.recv_timeout(PATIENCE) {
                Err(RecvTimeoutError::Timeout) if Instant::now() < deadline => {}
                Err(RecvTimeoutError::Disconnected) => break None,
                other => break other.ok(),
            }
        };
        self.stop.store(true, Ordering::Relaxed);
        let panicked = |_| anyhow!("the thread that listens to the kernel panicked");
        self.thread.join().map_err(panicked)??;
        let mut there = HashSet::with_capacity(self.wanted.len());
        self.rtnetlink.dump(Family::Ipv4Unicast, |told| {
            if let Told::Route(prefix, _) = told
                && self.wanted.contains(&prefix)
            {
                there.insert(prefix);
            }
        })?;
        let (have, wanted) = (there.len(), self.wanted.len());
        Ok(match at {
            Some(at) if have == wanted => Ok(at),
            Some(_) | None => Err(format!("the kernel has {have} of {wanted} routes")),
        })
    }
}

fn listen(
    mut watch: Rtnetlink,
    wanted: usize,
    full: &mpsc::Sender<Instant>,
    stop: &AtomicBool,
) -> Result<()> {
    let mut there = HashSet::with_capacity(wanted);
    while !stop.load(Ordering::Relaxed) {
        let wait = Timespec::try_from(PATIENCE)?;
        let mut sockets = [PollFd::new(watch.socket(), PollFlags::IN)];
        poll(&mut sockets, Some(&wait))?;
        loop {
            let next = watch.changes(|told| {
                if let Told::Route(prefix, _) = told {
                    there.insert(prefix);
                }
            })?;
            let Some(at) = next else {
                break;
            };
            if there.len() == wanted {
                // Who asked may have had enough.
                let _ = full.send(at);
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Gives the routes to the kernel, in their order, all by one nexthop object: the least that a daemon has to
/// do. Returns the processor time that took.
///
/// # Errors
///
/// What the kernel refused.
pub fn fill(
    namespace: &Namespace,
    interface: &str,
    gateway: Ipv4Addr,
    prefixes: &[Prefix],
) -> Result<Duration> {
    let rtnetlink = Rtnetlink::open(namespace)?;
    let interface = index(namespace, interface)?;
    let mut batch = Vec::new();
    begin(
        &mut batch,
        RTM_NEWNEXTHOP,
        &[AF_INET, 0, PROTOCOL, 0, 0, 0, 0, 0],
    );
    attribute(&mut batch, NHA_ID, &NEXTHOP.to_ne_bytes());
    attribute(&mut batch, NHA_OIF, &interface.to_ne_bytes());
    attribute(&mut batch, NHA_GATEWAY, &gateway.octets());
    end(&mut batch, 0, NLM_F_CREATE | NLM_F_ACK);
    send(&rtnetlink, &batch)?;
    let before = own_cpu()?;
    for some in prefixes.chunks(BATCH) {
        batch.clear();
        for (number, prefix) in (1..).zip(some) {
            let start = batch.len();
            route(&mut batch, prefix)?;
            let flags = match number == some.len() {
                true => NLM_F_CREATE | NLM_F_ACK,
                false => NLM_F_CREATE,
            };
            end(&mut batch, start, flags);
        }
        send(&rtnetlink, &batch)?;
    }
    Ok(own_cpu()?.saturating_sub(before))
}

/// Processor time of this thread.
fn own_cpu() -> Result<Duration> {
    let stat = fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanos = stat.split_whitespace().next().context("no times")?;
    Ok(Duration::from_nanos(nanos.parse()?))
}

fn route(batch: &mut Vec<u8>, prefix: &Prefix) -> Result<()> {
    let Prefix::V4(net) = prefix else {
        bail!("{prefix} is not of IPv4");
    };
    let length = net.prefix_len();
    let header = [
        AF_INET, length, 0, 0, MAIN, PROTOCOL, 0, UNICAST, 0, 0, 0, 0,
    ];
    begin(batch, RTM_NEWROUTE, &header);
    attribute(batch, RTA_DST, &net.addr().octets());
    attribute(batch, RTA_NH_ID, &NEXTHOP.to_ne_bytes());
    Ok(())
}

fn begin(batch: &mut Vec<u8>, kind: u16, body: &[u8]) {
    batch.extend([0; 4]);
    batch.extend(kind.to_ne_bytes());
    batch.extend([0; HEADER - 6]);
    batch.extend(body);
}

fn attribute(batch: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = 4 + value.len() as u16;
    batch.extend(length.to_ne_bytes());
    batch.extend(kind.to_ne_bytes());
    batch.extend(value);
    batch.resize(batch.len().next_multiple_of(4), 0);
}

/// Fills in what is known once a message is whole: its length.
fn end(batch: &mut [u8], start: usize, flags: u16) {
    let length = (batch.len() - start) as u32;
    batch[start..start + 4].copy_from_slice(&length.to_ne_bytes());
    batch[start + 6..start + 8].copy_from_slice(&(NLM_F_REQUEST | flags).to_ne_bytes());
}

/// Sends messages of which the last asks for an answer, and waits for it.
fn send(rtnetlink: &Rtnetlink, batch: &[u8]) -> Result<()> {
    rustix::net::send(rtnetlink.socket(), batch, SendFlags::empty())?;
    let mut answer = [0; 8192];
    let (_, length) = rustix::net::recv(rtnetlink.socket(), &mut answer, RecvFlags::empty())?;
    let answer = &answer[..length];
    let is_done = answer.get(4..6) == Some(&NLMSG_ERROR.to_ne_bytes()[..])
        && answer.get(HEADER..HEADER + 4) == Some(&[0; 4]);
    ensure!(is_done, "the kernel refused a route");
    Ok(())
}
