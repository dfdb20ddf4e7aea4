//! Control packets, octet by octet.

use links::bfd::{Diagnostic, Fault, Packet, State};

/// Written here once more from RFC 5880 §4.1, so that the encoder is not its own judge.
pub(crate) fn encode(packet: &Packet) -> Vec<u8> {
    let diagnostic = match packet.diagnostic {
        Diagnostic::DetectionTimeExpired => 1,
        Diagnostic::NeighborDown => 3,
        Diagnostic::AdministrativelyDown => 7,
        Diagnostic::Other(other) => other,
        Diagnostic::None
        | Diagnostic::EchoFailed
        | Diagnostic::ForwardingPlaneReset
        | Diagnostic::PathDown
        | Diagnostic::ConcatenatedPathDown
        | Diagnostic::ReverseConcatenatedPathDown => 0,
    };
    let state = match packet.state {
        State::AdminDown => 0,
        State::Down => 1,
        State::Init => 2,
        State::Up => 3,
    };
    let flags = [
        packet.poll,
        packet.is_final,
        packet.control_plane_independent,
        packet.authenticated,
        packet.demand,
        false,
    ];
    let flags = flags.iter().fold(0, |all, flag| all << 1 | u8::from(*flag));
    let mut bytes = vec![0x20 | diagnostic, state << 6 | flags, packet.multiplier, 24];
    for word in [
        packet.my_discriminator,
        packet.your_discriminator,
        packet.desired_min_tx,
        packet.required_min_rx,
        packet.required_min_echo_rx,
    ] {
        bytes.extend(word.to_be_bytes());
    }
    bytes
}

/// An up session polls: version 1, diagnostic 1, state 3, P; 3 x 50 ms.
const LEGAL: [u8; 24] = [
    0x21, 0xe0, 3, 24, 0, 0, 0, 9, 0, 0, 0, 8, 0, 0, 0xc3, 0x50, 0, 0, 0xc3, 0x50, 0, 0, 0, 0,
];

#[test]
fn a_packet_reads_as_rfc_5880_draws_it() {
    let (packet, section) = Packet::decode(&LEGAL).unwrap();
    let expected = Packet {
        diagnostic: Diagnostic::DetectionTimeExpired,
        state: State::Up,
        poll: true,
        is_final: false,
        control_plane_independent: false,
        authenticated: false,
        demand: false,
        multiplier: 3,
        my_discriminator: 9,
        your_discriminator: 8,
        desired_min_tx: 50_000,
        required_min_rx: 50_000,
        required_min_echo_rx: 0,
    };
    assert_eq!(packet, expected);
    assert_eq!(section, []);
    assert_eq!(encode(&packet), LEGAL);
}

#[test]
fn a_packet_that_breaks_a_rule_is_dropped_for_it() {
    let change = |at: usize, to: u8| {
        let mut bytes = LEGAL;
        bytes[at] = to;
        Packet::decode(&bytes).unwrap_err()
    };
    assert_eq!(change(0, 0x01), Fault::Version);
    assert_eq!(change(0, 0x41), Fault::Version);
    assert_eq!(change(1, 0xe1), Fault::Multipoint);
    assert_eq!(change(2, 0), Fault::Multiplier);
    assert_eq!(change(3, 23), Fault::Length);
    assert_eq!(change(3, 25), Fault::Truncated);
    assert_eq!(change(7, 0), Fault::Discriminator);
    assert_eq!(change(11, 0), Fault::NoYourDiscriminator);
    // The A bit needs at least a type and a length.
    assert_eq!(change(1, 0xe4), Fault::Length);
    for length in 0..LEGAL.len() {
        assert_eq!(Packet::decode(&LEGAL[..length]), Err(Fault::Truncated));
    }
}

#[test]
fn what_follows_the_length_is_no_part_of_the_packet() {
    let mut bytes = LEGAL.to_vec();
    bytes.extend([0xff; 40]);
    let (_, section) = Packet::decode(&bytes).unwrap();
    assert_eq!(section, []);
}
