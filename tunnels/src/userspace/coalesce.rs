//! Packets for a TUN with offloads, as few writes.
//!
//! Consecutive TCP segments or UDP datagrams of one flow become one write: the first packet, then
//! only the payloads of the others. Nothing is copied; a write gathers where packets lie. Packets
//! of one flow are never reordered: what does not continue its flow's run begins the next.

use std::{io::IoSlice, ops::Range};

use super::{
    checksum,
    vnet::{self, Gso, Header},
};

/// Packets in one write; the kernel takes no more segments of UDP.
const PARTS: usize = 64;
/// The length of an IP packet is 16 bits.
const LONGEST: usize = 65_535;
/// How many runs back the one of a packet's flow is looked for.
const LOOK_BACK: usize = 8;

const TCP: u8 = 6;
const UDP: u8 = 17;
const ACK: u8 = 0x10;
const PSH: u8 = 0x08;
/// Where flags are in a TCP header.
const FLAGS: usize = 13;

/// Whether the kernel takes runs of UDP datagrams (Linux 6.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum UdpRuns {
    Taken,
    Refused,
}

/// Gathers packets that lie in one buffer into runs.
#[derive(Debug)]
pub(super) struct Coalescer {
    runs: Vec<Run>,
    used: usize,
}

/// One write.
#[derive(Debug, Default)]
struct Run {
    shape: Option<Shape>,
    /// Of the flow's next segment.
    next: u32,
    /// Bytes without the vnet header.
    length: usize,
    /// Nothing can follow.
    closed: bool,
    verified: bool,
    pushed: bool,
    /// The first packet, then payloads.
    parts: Vec<Range<usize>>,
}

/// What decides whether a packet continues a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Shape {
    protocol: u8,
    /// Where the TCP or UDP header begins.
    transport: usize,
    /// Where the payload begins.
    headers: usize,
    /// Bytes of payload.
    size: usize,
    sequence: u32,
    flags: u8,
}

impl Coalescer {
    /// Room for `runs` writes.
    pub(super) fn new(runs: usize) -> Self {
        let run = || Run {
            parts: Vec::with_capacity(PARTS),
            ..Run::default()
        };
        Self {
            runs: (0..runs).map(|_| run()).collect(),
            used: 0,
        }
    }

    /// The next packet may need a run of its own, and there is none left.
    pub(super) fn is_full(&self) -> bool {
        self.used == self.runs.len()
    }

    /// Takes the packet at `at` of `buffer`; not while [`Coalescer::is_full`].
    pub(super) fn add(&mut self, buffer: &[u8], at: Range<usize>, udp: UdpRuns) {
        let packet = buffer.get(at.clone()).unwrap_or_default();
        let shape = Shape::of(packet, udp);
        if let Some(shape) = shape
            && let Some(run) = self.run_of(buffer, packet, shape)
            && run.takes(buffer, packet, shape)
        {
            run.append(&at, shape);
            return;
        }
        if let Some(run) = self.runs.get_mut(self.used) {
            run.begin(at, shape);
            self.used += 1;
        }
    }

    /// Hands each write to `write`, oldest first, and forgets them.
    pub(super) fn drain(&mut self, buffer: &mut [u8], mut write: impl FnMut(&[IoSlice<'_>])) {
        for run in self.runs.iter_mut().take(self.used) {
            let header = run.finish(buffer);
            let mut slices = [IoSlice::new(&[]); PARTS + 1];
            slices[0] = IoSlice::new(&header);
            for (slice, part) in slices[1..].iter_mut().zip(&run.parts) {
                *slice = IoSlice::new(buffer.get(part.clone()).unwrap_or_default());
            }
            write(slices.get(..=run.parts.len()).unwrap_or_default());
        }
        self.used = 0;
    }

    /// The latest run of the packet's flow.
    fn run_of(&mut self, buffer: &[u8], packet: &[u8], shape: Shape) -> Option<&mut Run> {
        let runs = self.runs.get_mut(..self.used)?;
        runs.iter_mut().rev().take(LOOK_BACK).find(|run| {
            run.shape
                .is_some_and(|other| is_same_flow((run.first(buffer), other), (packet, shape)))
        })
    }
}

impl Run {
    fn begin(&mut self, at: Range<usize>, shape: Option<Shape>) {
        self.shape = shape;
        self.length = at.len();
        self.verified = false;
        self.pushed = false;
        self.closed = !shape.is_some_and(Shape::can_begin);
        self.next = shape.map_or(0, Shape::next);
        self.parts.clear();
        self.parts.push(at);
    }

    fn first<'a>(&self, buffer: &'a [u8]) -> &'a [u8] {
        let first = self.parts.first().cloned().unwrap_or_default();
        buffer.get(first).unwrap_or_default()
    }

    /// A packet of this flow that continues it, with a checksum that is right. From here on
    /// nothing else continues the run if this does not.
    fn takes(&mut self, buffer: &[u8], packet: &[u8], shape: Shape) -> bool {
        let Some(own) = self.shape.filter(|_| !self.closed) else {
            return false;
        };
        let first = self.first(buffer);
        let continues = shape.can_continue()
            && shape.size <= own.size
            && shape.sequence == self.next
            && self.parts.len() < PARTS
            && self.length + shape.size <= LONGEST
            && have_same_headers(first, packet, own)
            && is_in_order(first, packet, self.parts.len())
            && (self.verified || is_checksum_right(first, own))
            && is_checksum_right(packet, shape);
        self.closed = !continues;
        continues
    }

    fn append(&mut self, at: &Range<usize>, shape: Shape) {
        self.parts.push(at.start + shape.headers..at.end);
        self.length += shape.size;
        self.next = shape.next();
        self.verified = true;
        let is_last = self.shape.is_some_and(|own| shape.size < own.size) || shape.is_pushed();
        self.pushed = shape.is_pushed();
        self.closed = is_last;
    }

    /// Makes the first packet's headers those of the whole run, and returns what goes before them.
    fn finish(&self, buffer: &mut [u8]) -> [u8; vnet::LENGTH] {
        let first = self.parts.first().cloned().unwrap_or_default();
        let (Some(shape), 2..) = (self.shape, self.parts.len()) else {
            return Header::PLAIN.bytes(0);
        };
        let packet = buffer.get_mut(first).unwrap_or_default();
        let (ip, transport) = packet.split_at_mut(shape.transport);
        let (addresses, gso) = lengthen_ip(ip, self.length, shape.protocol);
        let covered = u16::try_from(self.length - shape.transport).unwrap_or_default();
        let pseudo = checksum::fold(checksum::pseudo_header(addresses, shape.protocol, covered));
        let checksum_offset = if shape.protocol == TCP {
            if self.pushed {
                transport[FLAGS] |= PSH;
            }
            transport[16..18].copy_from_slice(&pseudo);
            16
        } else {
            transport[4..6].copy_from_slice(&covered.to_be_bytes());
            transport[6..8].copy_from_slice(&pseudo);
            6
        };
        let header = Header {
            needs_checksum: true,
            gso,
            gso_size: u16::try_from(shape.size).unwrap_or_default(),
            checksum_start: u16::try_from(shape.transport).unwrap_or_default(),
            checksum_offset,
        };
        header.bytes(u16::try_from(shape.headers).unwrap_or_default())
    }
}

impl Shape {
    /// `None` for what is never part of a run.
    fn of(packet: &[u8], udp: UdpRuns) -> Option<Self> {
        let (protocol, transport) = match packet.first()? {
            // Without options, and no fragment.
            0x45 if packet.len() >= 20
                && [packet[2], packet[3]] == u16::try_from(packet.len()).ok()?.to_be_bytes()
                && packet[6] & 0xbf == 0
                && packet[7] == 0
                && checksum::fold(checksum::add(0, &packet[..20])) == [0xff; 2] =>
            {
                (packet[9], 20)
            }
            0x60..=0x6f
                if packet.len() >= 40
                    && [packet[4], packet[5]]
                        == u16::try_from(packet.len() - 40).ok()?.to_be_bytes() =>
            {
                (packet[6], 40)
            }
            _ => return None,
        };
        let inner = packet.get(transport..)?;
        match protocol {
            TCP if inner.len() >= 20 => {
                let length = usize::from(inner[12] >> 4) * 4;
                (20..=inner.len()).contains(&length).then(|| Self {
                    protocol,
                    transport,
                    headers: transport + length,
                    size: inner.len() - length,
                    sequence: u32::from_be_bytes([inner[4], inner[5], inner[6], inner[7]]),
                    flags: inner[FLAGS],
                })
            }
            UDP if udp == UdpRuns::Taken
                && inner.len() > 8
                && [inner[4], inner[5]] == u16::try_from(inner.len()).ok()?.to_be_bytes() =>
            {
                Some(Self {
                    protocol,
                    transport,
                    headers: transport + 8,
                    size: inner.len() - 8,
                    sequence: 0,
                    flags: ACK,
                })
            }
            _ => None,
        }
    }

    fn can_continue(self) -> bool {
        self.size > 0 && self.flags & !PSH == ACK
    }

    fn can_begin(self) -> bool {
        self.can_continue() && !self.is_pushed()
    }

    fn is_pushed(self) -> bool {
        self.flags & PSH != 0
    }

    /// The sequence number of what continues it; datagrams have none.
    fn next(self) -> u32 {
        match self.protocol {
            TCP => self
                .sequence
                .wrapping_add(u32::try_from(self.size).unwrap_or_default()),
            _ => 0,
        }
    }
}

/// Same addresses, protocol and ports.
fn is_same_flow((one, a): (&[u8], Shape), (other, b): (&[u8], Shape)) -> bool {
    let same = |range: Range<usize>| one.get(range.clone()) == other.get(range);
    let addresses = if a.transport == 20 { 12..20 } else { 8..40 };
    (a.protocol, a.transport) == (b.protocol, b.transport)
        && same(addresses)
        && same(a.transport..a.transport + 4)
}

/// Whatever may not differ within a run besides the flow itself.
fn have_same_headers(one: &[u8], other: &[u8], shape: Shape) -> bool {
    let same = |range: Range<usize>| one.get(range.clone()) == other.get(range);
    let ip = if shape.transport == 20 {
        // Service, don't-fragment, and hops.
        same(1..2) && same(6..9)
    } else {
        // Class and label, and hops.
        same(0..4) && same(7..8)
    };
    let transport = shape.transport;
    // All but sequence number, flags and checksum.
    let tcp = || {
        same(transport + 8..transport + 13)
            && same(transport + 14..transport + 16)
            && same(transport + 18..shape.headers)
    };
    ip && (shape.protocol == UDP || tcp())
}

/// Identifications count up where fragments are allowed, as they do when a run is taken apart.
/// Elsewhere they mean nothing (RFC 6864).
fn is_in_order(first: &[u8], packet: &[u8], number: usize) -> bool {
    let identification = |packet: &[u8]| u16::from_be_bytes([packet[4], packet[5]]);
    let allows_fragments = first[0] == 0x45 && first[6] & 0x40 == 0;
    let passed = u16::try_from(number).unwrap_or_default();
    !allows_fragments || identification(packet) == identification(first).wrapping_add(passed)
}

fn is_checksum_right(packet: &[u8], shape: Shape) -> bool {
    let Some((ip, inner)) = packet.split_at_checked(shape.transport) else {
        return false;
    };
    let Ok(length) = u16::try_from(inner.len()) else {
        return false;
    };
    // A datagram over IPv4 without a checksum must not get one.
    if shape.protocol == UDP && inner.get(6..8) == Some(&[0, 0]) {
        return false;
    }
    let addresses = if shape.transport == 20 {
        &ip[12..20]
    } else {
        &ip[8..40]
    };
    let pseudo = checksum::pseudo_header(addresses, shape.protocol, length);
    checksum::fold(checksum::add(pseudo, inner)) == [0xff, 0xff]
}

/// Sets length and checksum; returns source and destination, and what kind of run it is.
fn lengthen_ip(ip: &mut [u8], length: usize, protocol: u8) -> (&[u8], Gso) {
    let udp = protocol == UDP;
    if ip.len() == 40 {
        let payload = u16::try_from(length - 40).unwrap_or_default();
        ip[4..6].copy_from_slice(&payload.to_be_bytes());
        return (&ip[8..40], if udp { Gso::Udp } else { Gso::Tcp6 });
    }
    ip[2..4].copy_from_slice(&u16::try_from(length).unwrap_or_default().to_be_bytes());
    ip[10..12].fill(0);
    let sum = checksum::finish(checksum::add(0, ip));
    ip[10..12].copy_from_slice(&sum);
    (&ip[12..20], if udp { Gso::Udp } else { Gso::Tcp4 })
}

#[cfg(test)]
mod tests;
