//! What is read from a TUN with offloads, as the packets that it stands for.
//!
//! The kernel hands over runs of TCP segments or UDP datagrams as one packet of up to 64 KiB, with
//! one header and no checksum. Here each segment gets its own.

use super::{
    checksum,
    vnet::{self, Gso, Header},
};

const FIN: u8 = 0x01;
const PSH: u8 = 0x08;
const CWR: u8 = 0x80;
/// Where flags are in a TCP header.
const FLAGS: usize = 13;

const TCP: u8 = 6;
const UDP: u8 = 17;

/// What one read from the TUN holds.
#[derive(Debug)]
pub(super) enum Read<'a> {
    /// One packet, with its checksum.
    Packet(&'a [u8]),
    /// A run of segments.
    Run(Run<'a>),
}

/// Segments of one flow that share a header.
#[derive(Debug)]
pub(super) struct Run<'a> {
    headers: &'a [u8],
    payload: &'a [u8],
    /// Bytes of payload in each but the last.
    size: usize,
    /// Where the TCP or UDP header begins.
    transport: usize,
    protocol: u8,
}

/// Takes what was read apart; `None` when it is not what the kernel promises.
pub(super) fn parse(read: &mut [u8]) -> Option<Read<'_>> {
    let (header, packet) = read.split_first_chunk_mut::<{ vnet::LENGTH }>()?;
    let header = Header::parse(header)?;
    if header.gso != Gso::None {
        return Run::parse(header, packet).map(Read::Run);
    }
    if header.needs_checksum {
        finish_checksum(header, packet)?;
    }
    Some(Read::Packet(packet))
}

/// The field holds the sum of the pseudo header already.
fn finish_checksum(header: Header, packet: &mut [u8]) -> Option<()> {
    let covered = packet.get_mut(usize::from(header.checksum_start)..)?;
    let sum = checksum::finish(checksum::add(0, covered));
    let offset = usize::from(header.checksum_offset);
    // Zero means "none" in UDP, the one protocol where the field is at 6.
    let sum = if offset == 6 && sum == [0, 0] {
        [0xff; 2]
    } else {
        sum
    };
    covered.get_mut(offset..offset + 2)?.copy_from_slice(&sum);
    Some(())
}

impl<'a> Run<'a> {
    fn parse(header: Header, packet: &'a [u8]) -> Option<Self> {
        let transport = usize::from(header.checksum_start);
        let version = packet.first()? >> 4;
        let (protocol, length) = match (header.gso, version) {
            (Gso::Tcp4, 4) | (Gso::Tcp6, 6) => {
                let words = packet.get(transport + 12)? >> 4;
                (TCP, usize::from(words) * 4)
            }
            (Gso::Udp, 4 | 6) => (UDP, 8),
            _ => return None,
        };
        let shortest_ip = if version == 4 { 20 } else { 40 };
        let shortest = if protocol == TCP { 20 } else { 8 };
        if transport < shortest_ip || length < shortest || header.gso_size == 0 {
            return None;
        }
        let (headers, payload) = packet.split_at_checked(transport + length)?;
        Some(Self {
            headers,
            payload,
            size: usize::from(header.gso_size),
            transport,
            protocol,
        })
    }

    /// How many segments it is.
    pub(super) fn count(&self) -> usize {
        self.payload.len().div_ceil(self.size)
    }

    /// The length of the longest segment.
    pub(super) fn longest(&self) -> usize {
        self.headers.len() + self.size.min(self.payload.len())
    }

    /// Writes the segment of this number to `out`, which has room for [`Run::longest`]; its length.
    pub(super) fn segment(&self, number: usize, out: &mut [u8]) -> Option<usize> {
        let payload = self.payload.chunks(self.size).nth(number)?;
        let length = self.headers.len() + payload.len();
        let out = out.get_mut(..length)?;
        let (headers, room) = out.split_at_mut(self.headers.len());
        headers.copy_from_slice(self.headers);
        room.copy_from_slice(payload);
        let (ip, transport) = out.split_at_mut(self.transport);
        let position = u32::try_from(number).ok()?;
        let addresses = finish_ip(ip, u16::try_from(length).ok()?, position);
        let covered = u16::try_from(transport.len()).ok()?;
        let pseudo = checksum::pseudo_header(addresses, self.protocol, covered);
        if self.protocol == TCP {
            let is_last = number + 1 == self.count();
            self.finish_tcp(transport, pseudo, position, is_last);
        } else {
            finish_udp(transport, pseudo, covered);
        }
        Some(length)
    }

    fn finish_tcp(&self, tcp: &mut [u8], pseudo: u64, number: u32, is_last: bool) {
        let before = number.wrapping_mul(u32::try_from(self.size).unwrap_or_default());
        let first = u32::from_be_bytes([tcp[4], tcp[5], tcp[6], tcp[7]]);
        tcp[4..8].copy_from_slice(&first.wrapping_add(before).to_be_bytes());
        // They are the run's: its end closes or pushes, and its beginning answers congestion.
        if !is_last {
            tcp[FLAGS] &= !(FIN | PSH);
        }
        if number > 0 {
            tcp[FLAGS] &= !CWR;
        }
        tcp[16..18].fill(0);
        let sum = checksum::finish(checksum::add(pseudo, tcp));
        tcp[16..18].copy_from_slice(&sum);
    }
}

/// Sets length, identification and checksum; returns source and destination.
fn finish_ip(ip: &mut [u8], length: u16, number: u32) -> &[u8] {
    if ip[0] >> 4 == 6 {
        ip[4..6].copy_from_slice(&length.saturating_sub(40).to_be_bytes());
        return &ip[8..40];
    }
    ip[2..4].copy_from_slice(&length.to_be_bytes());
    let first = u16::from_be_bytes([ip[4], ip[5]]);
    let identification = first.wrapping_add(u16::try_from(number).unwrap_or_default());
    ip[4..6].copy_from_slice(&identification.to_be_bytes());
    ip[10..12].fill(0);
    let sum = checksum::finish(checksum::add(0, ip));
    ip[10..12].copy_from_slice(&sum);
    &ip[12..20]
}

fn finish_udp(udp: &mut [u8], pseudo: u64, length: u16) {
    udp[4..6].copy_from_slice(&length.to_be_bytes());
    udp[6..8].fill(0);
    let sum = checksum::finish(checksum::add(pseudo, udp));
    udp[6..8].copy_from_slice(if sum == [0, 0] { &[0xff; 2] } else { &sum });
}
