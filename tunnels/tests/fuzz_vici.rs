//! Any bytes from strongSwan's socket: a packet or an error, never a panic, and never much more memory than
//! they took themselves.

use bolero::check;
use tunnels::ipsec::{
    event,
    vici::{
        Message, Value,
        packet::{self, Packet},
    },
};

/// What strongSwan sends, in short: an answer, a listing, and every event that is read.
fn samples() -> Vec<Vec<u8>> {
    let child = Message::new()
        .with("uniqueid", "5")
        .with("state", "INSTALLED")
        .with("encr-alg", "AES_GCM_16")
        .with("encr-keysize", "256");
    let children = Message::new().with_section("skybridge-a-5", child.clone());
    let ike = Message::new()
        .with("uniqueid", "1")
        .with_section("child-sas", children);
    let both = Message::new()
        .with_section("old", child.clone())
        .with_section("new", child);
    let rekeyed = Message::new().with("uniqueid", "1").with_section(
        "child-sas",
        Message::new().with_section("skybridge-a", both.clone()),
    );
    let messages = [
        (
            "",
            Message::new()
                .with("success", "yes")
                .with_list("conns", ["a", "b"]),
        ),
        (
            "list-sa",
            Message::new().with_section("skybridge-a", ike.clone()),
        ),
        (
            "child-updown",
            Message::new()
                .with("up", "yes")
                .with_section("skybridge-a", ike),
        ),
        (
            "child-rekey",
            Message::new().with_section("skybridge-a", rekeyed),
        ),
        (
            "ike-rekey",
            Message::new().with_section("skybridge-a", both),
        ),
    ];
    let packet = |(event, message): (&str, Message)| {
        let mut octets = match event {
            "" => vec![1],
            event => [
                &[7, u8::try_from(event.len()).expect("short")],
                event.as_bytes(),
            ]
            .concat(),
        };
        message.encode(&mut octets);
        octets
    };
    messages.into_iter().map(packet).collect()
}

/// Octets that a message holds.
fn held(message: &Message) -> usize {
    let values = message.iter().map(|(name, value)| {
        name.len()
            + match value {
                Value::Text(text) => text.len(),
                Value::List(items) => items.iter().map(Vec::len).sum(),
                Value::Section(section) => held(section),
            }
    });
    values.sum()
}

fn read(octets: &[u8]) {
    if let Ok(message) = Message::decode(octets) {
        assert!(held(&message) <= octets.len());
        let mut again = Vec::new();
        message.encode(&mut again);
        assert!(message.room() >= again.len());
        assert_eq!(again, octets, "what is understood is understood whole");
    }
    let Ok(Packet::Event(name, message)) = Packet::decode(octets) else {
        return;
    };
    for event in event::EVENTS.into_iter().chain([name.as_str()]) {
        assert!(event::read(event, &message).len() <= octets.len());
    }
    assert!(event::listed(&message).len() <= octets.len());
}

#[test]
fn any_bytes_are_a_packet_or_an_error() {
    check!().for_each(read);
}

#[test]
fn mutants_of_what_strongswan_sends_are_a_packet_or_an_error() {
    let mut random = 0x5b5b_5b5b_5b5b_5b5bu64;
    let mut below = |limit: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random >> 8).expect("64 bits") % limit.max(1)
    };
    let samples = samples();
    for sample in &samples {
        assert!(Packet::decode(sample).is_ok(), "{sample:?}");
    }
    for mutant in 0..100_000 {
        let mut octets = samples[mutant % samples.len()].clone();
        for _ in 0..=below(3) {
            let at = below(octets.len());
            match below(4) {
                0 => octets.truncate(at),
                1 => octets.insert(at, u8::try_from(below(256)).expect("an octet")),
                2 if !octets.is_empty() => octets[at] = u8::try_from(below(8)).expect("an octet"),
                _ if !octets.is_empty() => octets[at] ^= 1 << below(8),
                _ => {}
            }
        }
        read(&octets);
    }
}

#[test]
fn requests_are_never_longer_than_their_length_says() {
    let request = packet::request("load-conn", &Message::new().with("k", vec![0; 100_000]));
    let (length, rest) = request.split_first_chunk::<4>().expect("a length");
    assert_eq!(u32::from_be_bytes(*length) as usize, rest.len());
}
