use super::*;
use crate::userspace::split::{self, Read};

/// Numbers from a seed (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u64) -> usize {
        usize::try_from(self.next() % limit).expect("small")
    }
}

/// A packet of one of four flows: TCP and UDP over IPv4 and IPv6.
#[derive(Clone, Copy)]
struct Flow {
    is_ipv6: bool,
    protocol: u8,
    port: u8,
}

impl Flow {
    fn packet(self, sequence: u32, payload: &[u8], flags: u8) -> Vec<u8> {
        let transport_length = if self.protocol == TCP { 32 } else { 8 } + payload.len();
        let length = u16::try_from(transport_length).expect("short");
        let mut packet = if self.is_ipv6 {
            let mut ip = vec![0; 40];
            (ip[0], ip[6], ip[7], ip[23], ip[39]) = (0x60, self.protocol, 64, 1, 2);
            ip[4..6].copy_from_slice(&length.to_be_bytes());
            ip
        } else {
            let mut ip = vec![0; 20];
            (ip[0], ip[6], ip[8], ip[9]) = (0x45, 0x40, 64, self.protocol);
            ip[2..4].copy_from_slice(&(length + 20).to_be_bytes());
            ip[12..20].copy_from_slice(&[10, 0, 0, 1, 10, 0, 0, 2]);
            let sum = checksum::finish(checksum::add(0, &ip));
            ip[10..12].copy_from_slice(&sum);
            ip
        };
        let start = packet.len();
        packet.extend([self.port, 1, 0, 80]);
        if self.protocol == TCP {
            packet.extend(sequence.to_be_bytes());
            packet.extend([0, 0, 0, 9, 0x80, flags, 1, 1, 0, 0, 0, 0]);
            packet.extend([1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8]);
        } else {
            packet.extend(length.to_be_bytes());
            packet.extend([0, 0]);
        }
        packet.extend(payload);
        seal(&mut packet, start, self.protocol);
        packet
    }
}

/// Makes the checksum right.
fn seal(packet: &mut [u8], start: usize, protocol: u8) {
    let field = start + if protocol == TCP { 16 } else { 6 };
    packet[field..field + 2].fill(0);
    let addresses = if start == 20 { 12..20 } else { 8..40 };
    let length = u16::try_from(packet.len() - start).expect("short");
    let pseudo = checksum::pseudo_header(&packet[addresses], protocol, length);
    let sum = checksum::finish(checksum::add(pseudo, &packet[start..]));
    packet[field..field + 2].copy_from_slice(&sum);
}

/// What the kernel is given for these packets, one write each.
fn writes(packets: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut buffer = packets.concat();
    let mut coalescer = Coalescer::new(256);
    let mut at = 0;
    for packet in packets {
        assert!(!coalescer.is_full());
        coalescer.add(&buffer, at..at + packet.len(), UdpRuns::Taken);
        at += packet.len();
    }
    let mut writes = Vec::new();
    coalescer.drain(&mut buffer, |slices| {
        writes.push(slices.iter().flat_map(|slice| slice.to_vec()).collect());
    });
    writes
}

/// What such writes stand for.
fn packets_in(writes: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut packets = Vec::new();
    for write in writes {
        match split::parse(&mut write.clone()).expect("as the kernel promises") {
            Read::Packet(packet) => packets.push(packet.to_vec()),
            Read::Run(run) => {
                for number in 0..run.count() {
                    let mut out = vec![0; run.longest()];
                    let length = run.segment(number, &mut out).expect("it is there");
                    packets.push(out[..length].to_vec());
                }
            }
        }
    }
    packets
}

/// But for the identification, which means nothing where fragments are forbidden.
fn without_identification(packets: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut packets = packets.to_vec();
    for packet in &mut packets {
        if packet.len() >= 20 && packet[0] == 0x45 && packet[6] & 0x40 != 0 {
            packet[4..6].fill(0);
            packet[10..12].fill(0);
        }
    }
    packets
}

const FLOW: Flow = Flow {
    is_ipv6: false,
    protocol: TCP,
    port: 1,
};

/// Consecutive full segments of one flow.
fn stream(flow: Flow, count: usize, size: usize) -> Vec<Vec<u8>> {
    let payload: Vec<u8> = (0..size).map(|n| n as u8).collect();
    let sequence = |n: usize| u32::try_from(n * size).expect("short");
    (0..count)
        .map(|n| flow.packet(sequence(n).wrapping_sub(3000), &payload, ACK))
        .collect()
}

fn assert_same(packets: &[Vec<u8>], expected_writes: usize) {
    let writes = writes(packets);
    assert_eq!(writes.len(), expected_writes);
    assert_eq!(
        without_identification(&packets_in(&writes)),
        without_identification(packets)
    );
}

#[test]
fn segments_of_a_stream_are_one_write_and_come_apart_as_they_were() {
    for is_ipv6 in [false, true] {
        for protocol in [TCP, UDP] {
            let flow = Flow {
                is_ipv6,
                protocol,
                port: 3,
            };
            assert_same(&stream(flow, 40, 1368), 1);
            assert_same(&stream(flow, 2, 1), 1);
            assert_same(&stream(flow, 1, 1368), 1);
            // 64 parts at most, and 65,535 bytes.
            assert_same(&stream(flow, 65, 100), 2);
            assert_same(&stream(flow, 60, 1368), 2);
        }
    }
}

#[test]
fn what_does_not_continue_a_stream_begins_the_next_run() {
    let full = [7; 1000];
    let next = |n: u32| FLOW.packet(n * 1000, &full, ACK);
    // A hole, a shorter one, and a push each end a run.
    assert_same(&[next(0), next(1), next(3), next(4)], 2);
    let short = FLOW.packet(2000, &full[..10], ACK);
    let after = FLOW.packet(2010, &full, ACK);
    assert_same(&[next(0), next(1), short, after], 2);
    let pushed = FLOW.packet(1000, &full, ACK | PSH);
    assert_same(&[next(0), pushed, next(2), next(3)], 2);
    // What closes, and what only acknowledges, is never part of one, and nothing passes it.
    let closing = FLOW.packet(1000, &full, ACK | 1);
    assert_same(&[next(0), closing, next(2), next(3)], 3);
    let bare = FLOW.packet(1000, &[], ACK);
    assert_same(&[next(0), bare, next(1), next(2)], 3);
}

#[test]
fn a_wrong_checksum_stays_wrong() {
    for broken in 0..3 {
        let mut packets = stream(FLOW, 3, 500);
        *packets[broken].last_mut().expect("not empty") ^= 1;
        assert_same(&packets, if broken == 1 { 3 } else { 2 });
    }
}

#[test]
fn streams_side_by_side_do_not_mix() {
    let flows = [1, 2, 3, 4].map(|port| Flow { port, ..FLOW });
    let streams = flows.map(|flow| stream(flow, 10, 700));
    let mixed: Vec<Vec<u8>> = (0..40).map(|n| streams[n % 4][n / 4].clone()).collect();
    let writes = writes(&mixed);
    assert_eq!(writes.len(), 4);
    let apart = without_identification(&packets_in(&writes));
    assert_eq!(apart, without_identification(&streams.concat()));
}

#[test]
fn datagrams_stay_single_where_the_kernel_takes_no_runs_of_them() {
    let flow = Flow {
        protocol: UDP,
        ..FLOW
    };
    let packets = stream(flow, 5, 172);
    let buffer = packets.concat();
    let mut coalescer = Coalescer::new(8);
    for (n, packet) in packets.iter().enumerate() {
        let at = n * packet.len()..(n + 1) * packet.len();
        coalescer.add(&buffer, at, UdpRuns::Refused);
    }
    assert_eq!(coalescer.used, 5);
}

/// Any packets, legal or not, are given to the kernel as they are, and each flow's in order.
#[test]
fn nothing_is_lost_changed_or_reordered_within_a_flow() {
    for seed in 0..1000 {
        let mut random = Random(seed);
        let mut sequences = [0u32; 8];
        let mut packets = Vec::new();
        for _ in 0..1 + random.below(60) {
            let which = random.below(8);
            let flow = Flow {
                is_ipv6: which & 1 != 0,
                protocol: if which & 2 != 0 { TCP } else { UDP },
                port: (which >> 2) as u8,
            };
            let size = [0, 1, 99, 100, 100, 100][random.below(6)];
            let flags = [ACK, ACK, ACK, ACK | PSH, ACK | 1, 2][random.below(6)];
            // The number makes every payload another.
            let mut payload = vec![0; size];
            for (to, from) in payload
                .iter_mut()
                .zip(packets.len().to_be_bytes().iter().rev())
            {
                *to = *from;
            }
            let mut packet = flow.packet(sequences[which], &payload, flags);
            sequences[which] += size as u32;
            if random.below(10) == 0 {
                let at = random.below(packet.len() as u64);
                packet[at] ^= 1 << random.below(8);
            }
            if random.below(20) == 0 {
                packet.truncate(1 + random.below(packet.len() as u64));
            }
            packets.push(packet);
        }
        let came = packets_in(&writes(&packets));
        let mut given = without_identification(&came);
        let mut expected = without_identification(&packets);
        given.sort();
        expected.sort();
        assert!(given == expected, "seed {seed}");
        for packet in &packets {
            let Some(flow) = flow_of(packet) else {
                continue;
            };
            let of_flow = |all: &[Vec<u8>]| {
                let same = |other: &&Vec<u8>| flow_of(other).as_ref() == Some(&flow);
                let found: Vec<Vec<u8>> = all.iter().filter(same).cloned().collect();
                without_identification(&found)
            };
            assert_eq!(of_flow(&came), of_flow(&packets), "seed {seed}");
        }
    }
}

fn flow_of(packet: &[u8]) -> Option<(usize, Vec<u8>)> {
    let shape = Shape::of(packet, UdpRuns::Taken)?;
    let addresses = if shape.transport == 20 { 12..20 } else { 8..40 };
    let ports = &packet[shape.transport..shape.transport + 4];
    Some((
        usize::from(shape.protocol),
        [&packet[addresses], ports].concat(),
    ))
}

/// The kernel is trusted, and still nothing that it could write makes a read panic.
#[test]
fn no_read_makes_it_panic() {
    for seed in 0..200_000 {
        let mut random = Random(seed);
        let flow = Flow {
            is_ipv6: random.below(2) == 0,
            protocol: if random.below(2) == 0 { TCP } else { UDP },
            port: 1,
        };
        let payload = vec![3; random.below(300)];
        let header = Header {
            needs_checksum: random.below(2) == 0,
            gso: [Gso::None, Gso::Tcp4, Gso::Tcp6, Gso::Udp][random.below(4)],
            gso_size: random.below(90) as u16,
            checksum_start: [0, 20, 40, 70, 65_000][random.below(5)],
            checksum_offset: [6, 16, 0, 65_535][random.below(4)],
        };
        let mut read = header.bytes(0).to_vec();
        read.extend(flow.packet(5, &payload, ACK));
        for _ in 0..random.below(4) {
            let at = random.below(read.len() as u64);
            read[at] = random.next() as u8;
        }
        read.truncate(random.below(read.len() as u64 + 1));
        if let Some(Read::Run(run)) = split::parse(&mut read) {
            let mut out = vec![0; run.longest()];
            for number in 0..=run.count() {
                let length = run.segment(number, &mut out);
                assert_eq!(length.is_some(), number < run.count(), "seed {seed}");
            }
        }
    }
}
