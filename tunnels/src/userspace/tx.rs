//! From the TUN to the far end.

use std::{
    io,
    os::fd::AsFd,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use rustix::event::PollFlags;
use tun_rs::{IDEAL_BATCH_SIZE, VIRTIO_NET_HDR_LEN};

use super::{
    noise::{BUFFER, OVERHEAD},
    tunnel::{Shared, Wake},
};

/// How often the protocol's timers run.
const TICK: Duration = Duration::from_millis(100);
/// Small packets read before any is sent.
const READS_PER_BATCH: usize = 64;
/// What the largest read can become: each segment gets IPv6 and TCP headers with options of its
/// own, and our overhead.
const LARGEST_READ: usize = BUFFER + IDEAL_BATCH_SIZE * (100 + OVERHEAD);
/// Room for the datagrams of a batch.
const ARENA: usize = 4 * LARGEST_READ;
/// How long to wait for room in the socket before a batch is dropped.
const PATIENCE: Duration = Duration::from_millis(100);

/// Reads, encrypts and sends until the tunnel stops; also runs the protocol's timers.
pub(super) fn run(shared: &Shared) {
    let mut tx = Tx::new();
    let mut next_tick = Instant::now();
    loop {
        let now = Instant::now();
        if now >= next_tick {
            tx.tick(shared, now);
            next_tick = now + TICK;
        }
        let until_tick = next_tick.saturating_duration_since(now);
        match shared.wait(shared.device.as_fd(), PollFlags::IN, until_tick) {
            Wake::Stop => return,
            Wake::Timeout => {}
            Wake::Ready => {
                tx.read(shared);
                tx.send(shared);
            }
        }
    }
}

struct Tx {
    /// One read from the TUN: virtio header and up to 64 KiB.
    read: Vec<u8>,
    /// What that read was split into.
    packets: Vec<Vec<u8>>,
    sizes: Vec<usize>,
    /// Encrypted datagrams, back to back, so that a run of equal ones is one send.
    arena: Vec<u8>,
    used: usize,
    lengths: Vec<usize>,
}

impl Tx {
    fn new() -> Self {
        Self {
            read: vec![0; VIRTIO_NET_HDR_LEN + BUFFER],
            // Each allocated by itself, not cloned: what no packet has been written to costs no memory.
            packets: (0..IDEAL_BATCH_SIZE).map(|_| vec![0; BUFFER]).collect(),
            sizes: vec![0; IDEAL_BATCH_SIZE],
            arena: vec![0; ARENA],
            used: 0,
            lengths: Vec::with_capacity(READS_PER_BATCH * IDEAL_BATCH_SIZE),
        }
    }

    fn tick(&mut self, shared: &Shared, now: Instant) {
        let mut noise = shared.noise();
        let length = noise.tick(&mut self.arena, now);
        let endpoint = noise.endpoint();
        drop(noise);
        if let (Some(length), Some(endpoint)) = (length, endpoint) {
            self.used = length;
            self.lengths.push(length);
            self.send_to(shared, endpoint);
        }
    }

    /// Reads and encrypts until the TUN is empty or the batch is full.
    fn read(&mut self, shared: &Shared) {
        for _ in 0..READS_PER_BATCH {
            if self.arena.len() - self.used < LARGEST_READ {
                return;
            }
            let read =
                shared
                    .device
                    .recv_multiple(&mut self.read, &mut self.packets, &mut self.sizes, 0);
            match read {
                Ok(count) => self.encrypt(shared, count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // A packet that cannot be split is lost; the ones behind it are not.
                Err(_) => {}
            }
        }
    }

    fn encrypt(&mut self, shared: &Shared, count: usize) {
        let mut noise = shared.noise();
        for (packet, size) in self.packets.iter().zip(&self.sizes).take(count) {
            let Some(packet) = packet.get(..*size) else {
                continue;
            };
            if let Some(length) = noise.encrypt(packet, &mut self.arena[self.used..]) {
                self.used += length;
                self.lengths.push(length);
            }
        }
    }

    fn send(&mut self, shared: &Shared) {
        if self.lengths.is_empty() {
            return;
        }
        match shared.noise().endpoint() {
            Some(endpoint) => self.send_to(shared, endpoint),
            // Without an endpoint there was no session either: these are handshakes for nobody.
            None => self.clear(),
        }
    }

    fn send_to(&mut self, shared: &Shared, endpoint: std::net::SocketAddr) {
        let mut offset = 0;
        for run in runs(&self.lengths) {
            let contents = &self.arena[offset..offset + run.bytes];
            offset += run.bytes;
            let mut sent = shared.udp.send_train(contents, run.segment, endpoint);
            if would_block(&sent)
                && shared.wait(shared.udp.as_fd(), PollFlags::OUT, PATIENCE) == Wake::Ready
            {
                sent = shared.udp.send_train(contents, run.segment, endpoint);
            }
            match sent {
                Ok(()) => {
                    shared
                        .counters
                        .tx_bytes
                        .fetch_add(run.bytes as u64, Ordering::Relaxed);
                    shared.counters.set_send_error(0);
                }
                Err(error) => {
                    shared
                        .counters
                        .set_send_error(error.raw_os_error().unwrap_or(libc::EIO));
                }
            }
        }
        self.clear();
    }

    fn clear(&mut self) {
        self.used = 0;
        self.lengths.clear();
    }
}

fn would_block(sent: &io::Result<()>) -> bool {
    matches!(sent, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

/// Datagrams that one GSO send can carry: equal lengths, the last possibly shorter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Run {
    segment: usize,
    bytes: usize,
}

/// Cuts datagrams of these lengths into runs, in order.
fn runs(lengths: &[usize]) -> impl Iterator<Item = Run> {
    let mut rest = lengths;
    std::iter::from_fn(move || {
        let segment = *rest.first()?;
        let equal = rest.iter().take_while(|length| **length == segment).count();
        let last_is_shorter = rest.get(equal).is_some_and(|length| *length < segment);
        let (run, after) = rest.split_at(equal + usize::from(last_is_shorter));
        rest = after;
        Some(Run {
            segment,
            bytes: run.iter().sum(),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_equal_lengths_and_at_most_one_shorter_at_its_end() {
        let cut: Vec<(usize, usize)> = runs(&[100, 100, 40, 40, 70, 100])
            .map(|run| (run.segment, run.bytes))
            .collect();
        assert_eq!(cut, [(100, 240), (40, 40), (70, 70), (100, 100)]);
        assert_eq!(runs(&[]).count(), 0);
    }

    #[test]
    fn runs_lose_no_byte() {
        let mut seed = 3u64;
        for _ in 0..1000 {
            let lengths: Vec<usize> = (0..seed % 50)
                .map(|_| {
                    seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    60 + (seed >> 40) as usize % 3
                })
                .collect();
            seed = seed.wrapping_add(1);
            let bytes: usize = runs(&lengths).map(|run| run.bytes).sum();
            assert_eq!(bytes, lengths.iter().sum::<usize>(), "{lengths:?}");
        }
    }
}
