//! The queue of an interface in which packets of a drill are delayed. \[boundary\]
//!
//! ```text
//! root: prio 5b00: ─┬─ band 1: whatever leaves by the interface
//!                   └─ band 2: netem 5b01:, what nftables gives the priority 5b00:2
//! ```
//!
//! A queue has no lease, so the delay is not in it: packets come to the second band through the rule of a [`Tap`](super::Tap) only, whose
//! lease the kernel forgets. What is left of a drill when nobody renews that is a queue that delays nothing. The next start
//! removes it, and finds it by its number.

use std::io;
use std::time::Duration;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use rustix::net::{AddressFamily, SocketType, netdevice, socket};
use thiserror::Error;
use tokio::task::block_in_place;

use crate::fib::request::{Attributes, Batch, Requests, dump_request};

/// The priority of packets that are delayed, as nftables writes it.
pub(super) const BAND: &str = "5b00:2";
/// Ours alone: the kernel numbers queues without a number from 0x8000 on.
const ROOT: u32 = 0x5b00_0000;
/// Of the second band.
const LATE_BAND: u32 = ROOT | 2;
const LATE: u32 = 0x5b01_0000;
/// More packets than 10 Gbit/s bring in small ones while the first waits for a tenth of a second.
const ROOM: u32 = 100_000;

/// `<linux/rtnetlink.h>`, `<linux/pkt_sched.h>`, `<linux/gen_stats.h>`.
const RTM_NEWQDISC: u16 = 36;
const RTM_DELQDISC: u16 = 37;
const RTM_GETQDISC: u16 = 38;
const TC_H_ROOT: u32 = 0xffff_ffff;
const TCA_KIND: u16 = 1;
const TCA_OPTIONS: u16 = 2;
const TCA_STATS2: u16 = 7;
const TCA_STATS_QUEUE: u16 = 3;
const TCA_NETEM_LATENCY64: u16 = 10;
/// `sizeof(struct tcmsg)`.
const FIXED: usize = 20;
/// Only where the kernel's own queue is.
const NEW: u16 = NLM_F_CREATE | NLM_F_EXCL;

/// Why packets on an interface cannot be delayed.
#[derive(Debug, Error)]
pub(crate) enum Obstacle {
    /// The kernel lacks `sch_netem` or `sch_prio`.
    #[error(
        "this kernel cannot delay packets: it has no {0} (Debian has it in linux-image-amd64, not in the cloud image)"
    )]
    NoModule(&'static str),
    /// Its queue is not the one that the kernel gives every interface.
    #[error(
        "{0} has a queue that somebody has set up (`tc qdisc show dev {0}`), which a delay would have to replace"
    )]
    Taken(String),
    /// Something else.
    #[error("packets on {interface} cannot be delayed: {error}")]
    Kernel { interface: String, error: io::Error },
}

/// Looks whether [`set`] would work, and changes nothing: a queue that is asked for without its options is refused,
/// but only when there is no other obstacle.
///
/// # Errors
///
/// It would not.
pub(crate) fn check(interface: &str) -> Result<(), Obstacle> {
    for (kind, module) in [("prio", "sch_prio"), ("netem", "sch_netem")] {
        try_out(interface, kind).map_err(|error| {
            let is = |kind| error.kind() == kind;
            let interface = interface.to_owned();
            if is(io::ErrorKind::NotFound) {
                Obstacle::NoModule(module)
            } else if is(io::ErrorKind::AlreadyExists) {
                Obstacle::Taken(interface)
            } else {
                Obstacle::Kernel { interface, error }
            }
        })?;
    }
    Ok(())
}

/// Puts the queue there. Nothing is delayed yet.
///
/// - `by`: more than nothing
///
/// # Errors
///
/// The kernel refuses: nothing has changed.
pub(super) fn set(interface: &str, by: Duration) -> io::Result<()> {
    let index = index(interface)?;
    let mut requests = Requests::open()?;
    let mut batch = Batch::default();
    begin(&mut batch, RTM_NEWQDISC, NEW, index, ROOT, TC_H_ROOT);
    batch.attribute(TCA_KIND, b"prio\0");
    batch.attribute(TCA_OPTIONS, &prio());
    done(&mut requests, &mut batch)?;
    batch.clear();
    begin(&mut batch, RTM_NEWQDISC, NEW, index, LATE, LATE_BAND);
    batch.attribute(TCA_KIND, b"netem\0");
    batch.attribute(TCA_OPTIONS, &netem(by));
    let done = done(&mut requests, &mut batch);
    if done.is_err() {
        take_away(&mut requests, index)?;
    }
    done
}

/// Takes it away; an interface that is gone has none. Packets for which it had no room.
///
/// # Errors
///
/// The kernel refuses.
pub(super) fn remove(interface: &str) -> io::Result<u64> {
    let Ok(index) = index(interface) else {
        return Ok(0);
    };
    let mut requests = Requests::open()?;
    let mut dropped = 0;
    each_queue(&mut requests, |queue| {
        if queue.index == index && queue.handle == LATE {
            dropped = queue.dropped();
        }
    })?;
    take_away(&mut requests, index)?;
    Ok(dropped)
}

/// Takes away what an earlier life left.
///
/// # Errors
///
/// The kernel refuses.
pub(super) fn clear() -> io::Result<()> {
    let mut requests = Requests::open()?;
    let mut left = Vec::new();
    each_queue(&mut requests, |queue| {
        if queue.handle == ROOT && queue.parent == TC_H_ROOT {
            left.push(queue.index);
        }
    })?;
    for index in left {
        take_away(&mut requests, index)?;
    }
    Ok(())
}

/// `Ok` when the kernel has nothing against it but that it lacks its options.
fn try_out(interface: &str, kind: &str) -> io::Result<()> {
    let index = index(interface)?;
    let mut batch = Batch::default();
    begin(&mut batch, RTM_NEWQDISC, NEW, index, ROOT, TC_H_ROOT);
    batch.attribute(TCA_KIND, &[kind.as_bytes(), b"\0"].concat());
    match done(&mut Requests::open()?, &mut batch) {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
        done => done,
    }
}

fn take_away(requests: &mut Requests, index: u32) -> io::Result<()> {
    let mut batch = Batch::default();
    begin(&mut batch, RTM_DELQDISC, 0, index, ROOT, TC_H_ROOT);
    done(requests, &mut batch)
}

/// Begins a message about a queue.
fn begin(batch: &mut Batch, kind: u16, flags: u16, index: u32, handle: u32, parent: u32) {
    let mut fixed = [0; FIXED];
    fixed[4..8].copy_from_slice(&index.to_ne_bytes());
    fixed[8..12].copy_from_slice(&handle.to_ne_bytes());
    fixed[12..16].copy_from_slice(&parent.to_ne_bytes());
    batch.begin(kind, flags, &fixed);
}

/// Has the one message of a batch worked on.
fn done(requests: &mut Requests, batch: &mut Batch) -> io::Result<()> {
    let failures = block_in_place(|| requests.send(batch))?;
    failures
        .into_iter()
        .next()
        .map_or(Ok(()), |(_, error)| Err(error))
}

/// `struct tc_prio_qopt`: two bands, and everything in the first that does not ask for the second.
fn prio() -> [u8; 20] {
    let mut options = [0; 20];
    options[..4].copy_from_slice(&2_i32.to_ne_bytes());
    options
}

/// `struct tc_netem_qopt`, and the delay in nanoseconds, which it has no room for.
fn netem(by: Duration) -> Vec<u8> {
    let mut options = vec![0; 24];
    options[4..8].copy_from_slice(&ROOM.to_ne_bytes());
    let nanos = i64::try_from(by.as_nanos()).unwrap_or(i64::MAX);
    options.extend_from_slice(&12_u16.to_ne_bytes());
    options.extend_from_slice(&TCA_NETEM_LATENCY64.to_ne_bytes());
    options.extend_from_slice(&nanos.to_ne_bytes());
    options
}

/// What the kernel says of a queue.
struct Queue<'a> {
    index: u32,
    handle: u32,
    parent: u32,
    attributes: &'a [u8],
}

impl<'a> Queue<'a> {
    fn read(body: &'a [u8]) -> Option<Self> {
        let number = |at: usize| Some(u32::from_ne_bytes(*body.get(at..)?.first_chunk()?));
        Some(Self {
            index: number(4)?,
            handle: number(8)?,
            parent: number(12)?,
            attributes: body.get(FIXED..)?,
        })
    }

    /// Packets for which it had no room: `drops` of `struct gnet_stats_queue`.
    fn dropped(&self) -> u64 {
        let value = |attributes, wanted| {
            let mut attributes = Attributes(attributes);
            attributes.find_map(|(kind, value)| (kind == wanted).then_some(value))
        };
        let stats = value(self.attributes, TCA_STATS2);
        let queue = stats.and_then(|stats| value(stats, TCA_STATS_QUEUE));
        let drops = queue.and_then(|queue| queue.get(8..)?.first_chunk());
        drops.map_or(0, |drops| u64::from(u32::from_ne_bytes(*drops)))
    }
}

fn each_queue(requests: &mut Requests, mut each: impl FnMut(Queue<'_>)) -> io::Result<()> {
    let request = dump_request(RTM_GETQDISC, &[0; FIXED]);
    block_in_place(|| {
        requests.dump(&request, |kind, body| {
            if let (RTM_NEWQDISC, Some(queue)) = (kind, Queue::read(body)) {
                each(queue);
            }
        })
    })
}

/// Its number in the kernel.
fn index(interface: &str) -> io::Result<u32> {
    let any = socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    Ok(netdevice::name_to_index(any, interface)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_is_told_in_nanoseconds_behind_what_has_no_room_for_them() {
        let options = netem(Duration::from_millis(80));
        assert_eq!(options[..4], [0; 4], "no ticks");
        let attributes: Vec<_> = Attributes(&options[24..]).collect();
        let nanos = 80_000_000_i64.to_ne_bytes();
        assert_eq!(attributes, [(TCA_NETEM_LATENCY64, &nanos[..])]);
    }

    #[test]
    fn everything_goes_by_the_first_band_unless_it_asks() {
        let options = prio();
        assert_eq!(options[..4], 2_i32.to_ne_bytes());
        assert_eq!(options[4..], [0; 16]);
    }

    #[test]
    fn what_a_queue_had_no_room_for_is_read() {
        let mut stats = [0; 20];
        stats[8..12].copy_from_slice(&7_u32.to_ne_bytes());
        let mut batch = Batch::default();
        begin(&mut batch, RTM_NEWQDISC, 0, 3, LATE, LATE_BAND);
        batch.attribute(TCA_KIND, b"netem\0");
        batch.nested(TCA_STATS2, &[(TCA_STATS_QUEUE, &stats)]);
        let queue = Queue::read(batch.body()).expect("whole");
        assert_eq!(
            (queue.index, queue.handle, queue.parent),
            (3, LATE, LATE_BAND)
        );
        assert_eq!(queue.dropped(), 7);
    }

    #[test]
    fn what_is_cut_short_is_no_queue_and_has_dropped_nothing() {
        assert!(Queue::read(&[0; FIXED - 1]).is_none());
        let queue = Queue::read(&[0; FIXED]).expect("whole");
        assert_eq!(queue.dropped(), 0);
    }
}
