//! From the far end to the TUN.

use std::{io, io::IoSliceMut, net::SocketAddr, time::Instant};

use quinn_udp::RecvMeta;

use super::{
    coalesce::{Coalescer, UdpRuns},
    noise::{BUFFER, Noise, Path, Received},
    tunnel::Shared,
};

/// Datagrams, or trains of them, that one system call takes.
const BATCH: usize = 16;
/// Where decrypted packets lie until they are written.
const PLAIN: usize = 3 * BUFFER;
/// Writes that wait.
const RUNS: usize = 128;
/// The shortest IP packet; boringtun lets through what claims to be shorter.
const MIN_PACKET: usize = 20;

/// Receives, decrypts and writes, for one tunnel after another.
pub(super) struct Rx {
    datagrams: Vec<u8>,
    metas: Vec<RecvMeta>,
    plain: Plain,
}

/// Decrypted packets.
struct Plain {
    bytes: Vec<u8>,
    used: usize,
    runs: Coalescer,
}

impl Rx {
    pub(super) fn new() -> Self {
        Self {
            datagrams: vec![0; BATCH * BUFFER],
            metas: vec![RecvMeta::default(); BATCH],
            plain: Plain {
                bytes: vec![0; PLAIN],
                used: 0,
                runs: Coalescer::new(RUNS),
            },
        }
    }

    /// Forgets what was not written.
    pub(super) fn clear(&mut self) {
        self.plain.used = 0;
        self.plain.runs.drain(&mut self.plain.bytes, |_| {});
    }

    /// Takes one batch.
    pub(super) fn serve(&mut self, shared: &Shared) {
        let Ok(count) = self.receive(shared) else {
            return;
        };
        let trains = self.datagrams.chunks(BUFFER).zip(&self.metas);
        for (datagrams, meta) in trains.take(count) {
            let datagrams = datagrams.get(..meta.len).unwrap_or_default();
            self.plain.decrypt_all(shared, datagrams, meta);
        }
        self.plain.write(shared);
        self.send_kept(shared);
    }

    fn receive(&mut self, shared: &Shared) -> io::Result<usize> {
        let mut chunks = self.datagrams.chunks_mut(BUFFER);
        let mut slices: [IoSliceMut<'_>; BATCH] =
            std::array::from_fn(|_| IoSliceMut::new(chunks.next().unwrap_or_default()));
        shared.udp.receive(&mut slices, &mut self.metas)
    }

    fn send_kept(&mut self, shared: &Shared) {
        let mut noise = shared.noise();
        let (true, Some(to)) = (noise.has_kept_packets(), noise.path()) else {
            return;
        };
        shared.udp.forget_refusals();
        while let Some(length) = noise.next_kept(&mut self.plain.bytes) {
            let datagram = self.plain.bytes.get(..length).unwrap_or_default();
            match shared.udp.send(datagram, to) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Ok(()) | Err(_) => {}
            }
        }
    }
}

impl Plain {
    /// The lock is held until all are decrypted or there is no more room for packets.
    fn decrypt_all(&mut self, shared: &Shared, datagrams: &[u8], meta: &RecvMeta) {
        let from = Path {
            remote: SocketAddr::new(meta.addr.ip().to_canonical(), meta.addr.port()),
            local: meta.dst_ip.map(|local| local.to_canonical()),
        };
        let udp_runs = shared.queue.udp_runs();
        let now = Instant::now();
        let mut datagrams = datagrams.chunks(meta.stride.max(1)).peekable();
        while datagrams.peek().is_some() {
            let mut noise = shared.noise();
            while let Some(datagram) = datagrams.next_if(|_| self.has_room()) {
                let reply = self.decrypt(&mut noise, (from, datagram), udp_runs, now);
                if let Some(reply) = reply {
                    // Lost replies are asked for again.
                    let _ = shared.udp.send(reply, from);
                }
            }
            drop(noise);
            if !self.has_room() {
                self.write(shared);
            }
        }
    }

    fn has_room(&self) -> bool {
        self.bytes.len() - self.used >= BUFFER && !self.runs.is_full()
    }

    fn decrypt(
        &mut self,
        noise: &mut Noise,
        (from, datagram): (Path, &[u8]),
        udp_runs: UdpRuns,
        now: Instant,
    ) -> Option<&[u8]> {
        let room = self.bytes.get_mut(self.used..).unwrap_or_default();
        match noise.decrypt(from, datagram, room, now) {
            Received::Reply(length) => return self.bytes.get(self.used..self.used + length),
            Received::Packet(length) if length >= MIN_PACKET => {
                let at = self.used..self.used + length;
                self.used = at.end;
                self.runs.add(&self.bytes, at, udp_runs);
            }
            Received::Packet(_) | Received::Nothing => {}
        }
        None
    }

    fn write(&mut self, shared: &Shared) {
        self.runs.drain(&mut self.bytes, |slices| {
            // The kernel refuses packets while the interface is down; there is nobody to tell.
            let _ = shared.queue.write(slices);
        });
        self.used = 0;
    }
}
