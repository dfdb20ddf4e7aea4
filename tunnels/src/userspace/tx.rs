//! From the TUN to the far end.

use std::{io, sync::atomic::Ordering, time::Instant};

use super::{
    noise::{BUFFER, Noise, OVERHEAD, Path},
    split::{self, Read},
    tunnel::Shared,
    udp::Sent,
    vnet,
};

/// Small packets read before any is sent.
const READS_PER_BATCH: usize = 64;
/// A batch is sent once it has so many bytes: few turns, in what fits in a second-level cache.
const ENOUGH: usize = 256 << 10;
/// Room for one more read than that, each segment of which gets headers and our overhead. The
/// kernel makes no run of more segments than fit its limit on one packet's fragments.
const ARENA: usize = ENOUGH + BUFFER + SEGMENTS * (120 + OVERHEAD);
/// Segments of a run that are sent on; a run of more is of payloads too small to be worth it.
const SEGMENTS: usize = 512;

/// Reads, encrypts and sends, for one tunnel after another.
pub(super) struct Tx {
    /// One read from the TUN.
    read: Vec<u8>,
    /// One segment of it.
    segment: Vec<u8>,
    batch: Batch,
}

/// Encrypted datagrams, back to back, so that a train of equal ones is one send.
#[derive(Default)]
pub(super) struct Batch {
    arena: Vec<u8>,
    used: usize,
    lengths: Vec<usize>,
}

/// How a turn ended.
pub(super) enum Turn {
    Done,
    /// The socket took no more; this is what is left for later.
    Stalled(Backlog),
}

/// Datagrams that wait for room in the socket. Nothing more is read from the TUN until they went,
/// so that its queue fills, and the kernel holds back or drops where it does for any interface.
pub(super) struct Backlog {
    bytes: Vec<u8>,
    lengths: Vec<usize>,
    to: Path,
}

impl Tx {
    pub(super) fn new() -> Self {
        Self {
            read: vec![0; vnet::LENGTH + BUFFER],
            segment: vec![0; BUFFER],
            batch: Batch {
                arena: vec![0; ARENA],
                used: 0,
                lengths: Vec::with_capacity(ENOUGH / OVERHEAD + SEGMENTS),
            },
        }
    }

    /// Forgets what was not sent.
    pub(super) fn clear(&mut self) {
        self.batch.clear();
    }

    /// Runs the protocol's timers.
    pub(super) fn tick(&mut self, shared: &Shared, now: Instant) -> Turn {
        let mut noise = shared.noise();
        if let Some(length) = noise.tick(&mut self.batch.arena, now) {
            self.batch.push(length);
        }
        let to = noise.path();
        drop(noise);
        self.batch.send(shared, to)
    }

    /// Reads and encrypts until the TUN is empty or the batch is full, and sends it.
    pub(super) fn serve(&mut self, shared: &Shared) -> Turn {
        let now = Instant::now();
        let mut to = None;
        for _ in 0..READS_PER_BATCH {
            match shared.queue.read(&mut self.read) {
                Ok(length) => {
                    let mut noise = shared.noise();
                    self.encrypt(&mut noise, length, now);
                    to = noise.path();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // A packet that cannot be read is lost; the ones behind it are not.
                Err(_) => {}
            }
            if self.batch.used >= ENOUGH {
                break;
            }
        }
        self.batch.send(shared, to)
    }

    fn encrypt(&mut self, noise: &mut Noise, length: usize, now: Instant) {
        let read = self.read.get_mut(..length).unwrap_or_default();
        match split::parse(read) {
            Some(Read::Packet(packet)) => self.batch.encrypt(noise, packet, now),
            Some(Read::Run(run)) if run.longest() <= self.segment.len() => {
                for number in 0..run.count().min(SEGMENTS) {
                    let segment = run.segment(number, &mut self.segment);
                    if let Some(packet) = segment.and_then(|length| self.segment.get(..length)) {
                        self.batch.encrypt(noise, packet, now);
                    }
                }
            }
            Some(Read::Run(_)) | None => {}
        }
    }
}

impl Batch {
    fn encrypt(&mut self, noise: &mut Noise, packet: &[u8], now: Instant) {
        let room = self.arena.get_mut(self.used..).unwrap_or_default();
        if let Some(length) = noise.encrypt(packet, room, now) {
            self.push(length);
        }
    }

    fn push(&mut self, length: usize) {
        self.used += length;
        self.lengths.push(length);
    }

    fn send(&mut self, shared: &Shared, to: Option<Path>) -> Turn {
        let bytes = self.arena.get(..self.used).unwrap_or_default();
        let turn = match to {
            Some(to) => send(shared, bytes, &self.lengths, to),
            // Without an endpoint there was no session either: these are handshakes for nobody.
            None => Turn::Done,
        };
        self.clear();
        turn
    }

    fn clear(&mut self) {
        self.used = 0;
        self.lengths.clear();
    }
}

impl Backlog {
    /// Goes on where the socket was full.
    pub(super) fn send(self, shared: &Shared) -> Turn {
        send(shared, &self.bytes, &self.lengths, self.to)
    }
}

/// Sends datagrams of these lengths, which lie back to back.
fn send(shared: &Shared, bytes: &[u8], lengths: &[usize], to: Path) -> Turn {
    let mut done = 0;
    for train in trains(lengths) {
        let contents = bytes.get(done..done + train.bytes).unwrap_or_default();
        let (sent, result) = shared.udp.send_train(contents, train.segment, to);
        note(shared, &result);
        let length = match sent {
            Sent::All => train.bytes,
            Sent::UpTo(length) => length,
        };
        let counter = &shared.counters.tx_bytes;
        counter.fetch_add(length as u64, Ordering::Relaxed);
        done += length;
        if sent != Sent::All {
            return Turn::Stalled(rest(bytes, lengths, done, to));
        }
    }
    Turn::Done
}

fn note(shared: &Shared, result: &io::Result<()>) {
    let errno = result.as_ref().err().map_or(0, |error| {
        shared.counters.tx_dropped.fetch_add(1, Ordering::Relaxed);
        error.raw_os_error().unwrap_or(libc::EIO)
    });
    shared.counters.set_send_error(errno);
}

/// What is left after the first `done` bytes, which are whole datagrams.
fn rest(bytes: &[u8], lengths: &[usize], done: usize, to: Path) -> Backlog {
    let mut before = 0;
    let sent = lengths.iter().take_while(|length| {
        before += **length;
        before <= done
    });
    let sent = sent.count();
    Backlog {
        bytes: bytes.get(done..).unwrap_or_default().to_vec(),
        lengths: lengths.get(sent..).unwrap_or_default().to_vec(),
        to,
    }
}

/// Datagrams that one GSO send can carry: equal lengths, the last possibly shorter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Train {
    segment: usize,
    bytes: usize,
}

/// Cuts datagrams of these lengths into trains, in order.
fn trains(lengths: &[usize]) -> impl Iterator<Item = Train> {
    let mut rest = lengths;
    std::iter::from_fn(move || {
        let segment = *rest.first()?;
        let equal = rest.iter().take_while(|length| **length == segment).count();
        let last_is_shorter = rest.get(equal).is_some_and(|length| *length < segment);
        let (train, after) = rest.split_at(equal + usize::from(last_is_shorter));
        rest = after;
        Some(Train {
            segment,
            bytes: train.iter().sum(),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_train_is_equal_lengths_and_at_most_one_shorter_at_its_end() {
        let cut: Vec<(usize, usize)> = trains(&[100, 100, 40, 40, 70, 100])
            .map(|train| (train.segment, train.bytes))
            .collect();
        assert_eq!(cut, [(100, 240), (40, 40), (70, 70), (100, 100)]);
        assert_eq!(trains(&[]).count(), 0);
    }

    #[test]
    fn trains_lose_no_byte() {
        let mut seed = 3u64;
        for _ in 0..1000 {
            let lengths: Vec<usize> = (0..seed % 50)
                .map(|_| {
                    seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    60 + (seed >> 40) as usize % 3
                })
                .collect();
            seed = seed.wrapping_add(1);
            let bytes: usize = trains(&lengths).map(|train| train.bytes).sum();
            assert_eq!(bytes, lengths.iter().sum::<usize>(), "{lengths:?}");
        }
    }

    #[test]
    fn what_is_left_begins_with_the_first_datagram_that_did_not_go() {
        let to = std::net::SocketAddr::from(([192, 0, 2, 1], 1)).into();
        let bytes: Vec<u8> = (0..60).collect();
        let left = rest(&bytes, &[10, 20, 30], 30, to);
        assert_eq!((left.bytes.first(), left.lengths), (Some(&30), vec![30]));
        assert_eq!(rest(&bytes, &[10, 20, 30], 0, to).lengths, [10, 20, 30]);
    }
}
