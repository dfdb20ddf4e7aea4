//! From the far end to the TUN.

use std::{
    io,
    io::IoSliceMut,
    net::SocketAddr,
    os::fd::AsFd,
    time::{Duration, Instant},
};

use quinn_udp::{BATCH_SIZE, RecvMeta};
use rustix::event::PollFlags;
use tun_rs::{GROTable, IDEAL_BATCH_SIZE, VIRTIO_NET_HDR_LEN};

use super::{
    noise::{BUFFER, Noise, Received},
    tunnel::{Shared, Wake},
};

/// Every packet for the TUN has the virtio header before it.
const OFFSET: usize = VIRTIO_NET_HDR_LEN;
/// The shortest IP packet; boringtun lets through what claims to be shorter.
const MIN_PACKET: usize = 20;
/// How often to look around when nothing arrives.
const IDLE: Duration = Duration::from_secs(1);

/// Receives, decrypts and writes until the tunnel stops.
pub(super) fn run(shared: &Shared) {
    let mut datagrams = vec![0; BATCH_SIZE * BUFFER];
    let mut metas = vec![RecvMeta::default(); BATCH_SIZE];
    let mut rx = Rx::new();
    loop {
        if shared.wait(shared.udp.as_fd(), PollFlags::IN, IDLE) == Wake::Stop {
            return;
        }
        let mut chunks = datagrams.chunks_mut(BUFFER);
        let mut slices: [IoSliceMut<'_>; BATCH_SIZE] =
            std::array::from_fn(|_| IoSliceMut::new(chunks.next().unwrap_or_default()));
        let Ok(count) = shared.udp.receive(&mut slices, &mut metas) else {
            continue;
        };
        for (datagrams, meta) in datagrams.chunks(BUFFER).zip(&metas).take(count) {
            rx.decrypt_all(shared, datagrams, meta);
        }
        rx.write(shared);
        rx.send_queued(shared);
    }
}

struct Rx {
    /// Decrypted packets, each after [`OFFSET`] bytes; with room to grow when coalesced.
    packets: Vec<Vec<u8>>,
    used: usize,
    /// Replies to handshakes, and packets that waited for a session.
    out: Vec<u8>,
    gro: GROTable,
}

impl Rx {
    fn new() -> Self {
        Self {
            packets: (0..IDEAL_BATCH_SIZE)
                .map(|_| Vec::with_capacity(OFFSET + BUFFER))
                .collect(),
            used: 0,
            out: vec![0; BUFFER],
            gro: GROTable::new(),
        }
    }

    fn decrypt_all(&mut self, shared: &Shared, datagrams: &[u8], meta: &RecvMeta) {
        let from = SocketAddr::new(meta.addr.ip().to_canonical(), meta.addr.port());
        let datagrams = datagrams.get(..meta.len).unwrap_or_default();
        let now = Instant::now();
        let mut noise = shared.noise();
        for datagram in datagrams.chunks(meta.stride.max(1)) {
            self.decrypt(shared, &mut noise, from, datagram, now);
            if self.used == self.packets.len() {
                self.write(shared);
            }
        }
    }

    fn decrypt(
        &mut self,
        shared: &Shared,
        noise: &mut Noise,
        from: SocketAddr,
        datagram: &[u8],
        now: Instant,
    ) {
        let packet = &mut self.packets[self.used];
        packet.resize(OFFSET + datagram.len().max(MIN_REPLY), 0);
        match noise.decrypt(from, datagram, &mut packet[OFFSET..], now) {
            Received::Nothing => {}
            Received::Reply(length) => {
                // Lost replies are asked for again.
                let _ = shared.udp.send(&packet[OFFSET..OFFSET + length], from);
            }
            Received::Packet(length) if length >= MIN_PACKET => {
                packet.truncate(OFFSET + length);
                self.used += 1;
            }
            Received::Packet(_) => {}
        }
    }

    /// Coalesces what was decrypted and writes it to the TUN.
    fn write(&mut self, shared: &Shared) {
        if self.used > 0 {
            // The kernel refuses packets while the interface is down; there is nobody to tell.
            let _ =
                shared
                    .device
                    .send_multiple(&mut self.gro, &mut self.packets[..self.used], OFFSET);
            self.used = 0;
        }
    }

    fn send_queued(&mut self, shared: &Shared) {
        let mut noise = shared.noise();
        let Some(endpoint) = noise.endpoint() else {
            return;
        };
        while let Some(length) = noise.next_queued(&mut self.out) {
            match shared.udp.send(&self.out[..length], endpoint) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Ok(()) | Err(_) => {}
            }
        }
    }
}

/// Room for any handshake message.
const MIN_REPLY: usize = 148;
