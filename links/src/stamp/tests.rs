use super::*;

const T1: NtpTime = NtpTime(0xee00_0001_4000_0000);
const T2: NtpTime = NtpTime(0xee00_0001_5000_0000);
const T3: NtpTime = NtpTime(0xee00_0001_5010_0000);

const OPEN: Mode = Mode::Unauthenticated;

/// `20` to `3f`, as many octets as a digest has.
fn key() -> Key {
    let octets: Vec<u8> = (0x20..0x40).collect();
    Key::new(&octets).unwrap()
}

fn signed() -> Mode {
    signed_by(key(), None)
}

fn signed_by(key: Key, accept: Option<Key>) -> Mode {
    Mode::Authenticated(Keys { key, accept })
}

fn other_key() -> Key {
    Key::new(&[7; 16]).unwrap()
}

fn modes() -> [Mode; 2] {
    [OPEN, signed()]
}

fn request(mode: &Mode) -> Vec<u8> {
    let request = Request {
        sequence: 7,
        timestamp: T1,
        session: 0xbeef,
    };
    request.encode(mode)
}

fn reflect(request: &[u8], mode: &Mode, ttl: u8, sequence: Option<u32>) -> Result<Vec<u8>, Fault> {
    let head = Head::decode(request, mode)?;
    Ok(head.reflect(ttl, T2, T3, sequence))
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(16)).collect();
    let octets = digits.chunks(2);
    octets.map(|pair| (pair[0] << 4 | pair[1]) as u8).collect()
}

#[test]
fn request_has_the_octets_of_rfc_8762() {
    let mut expected = hex("00000007 ee00000140000000 1601 beef");
    expected.resize(LEN, 0);
    assert_eq!(request(&OPEN), expected);
}

/// The signatures are those of `openssl dgst -sha256 -mac HMAC -macopt hexkey:202122…3f` over what is before them.
#[test]
fn authenticated_request_has_the_octets_of_rfc_8762() {
    let mut expected = hex("00000007 000000000000000000000000 ee00000140000000 1601 beef");
    expected.resize(96, 0);
    expected.extend(hex("e482b06a9f4ebcd63191910a64779bda"));
    assert_eq!(request(&signed()), expected);
}

#[test]
fn stateless_reply_has_the_octets_of_rfc_8762() {
    let reply = reflect(&request(&OPEN), &OPEN, 63, None).unwrap();
    let expected = "00000007 ee00000150100000 1601 beef \
                    ee00000150000000 \
                    00000007 ee00000140000000 1601 0000 \
                    3f 000000";
    assert_eq!(reply, hex(expected));
}

#[test]
fn authenticated_reply_has_the_octets_of_rfc_8762() {
    let reply = reflect(&request(&signed()), &signed(), 63, Some(0x0102_0304)).unwrap();
    let expected = "01020304 000000000000000000000000 ee00000150100000 1601 beef 00000000 \
                    ee00000150000000 0000000000000000 \
                    00000007 000000000000000000000000 ee00000140000000 1601 000000000000 \
                    3f 000000000000000000000000000000 \
                    ecad6423d6247f2428901547fc5f0eb4";
    assert_eq!(reply, hex(expected));
}

#[test]
fn padding_is_a_tlv_of_its_own_and_comes_back_as_it_went() {
    for mode in modes() {
        let base = request(&mode).len();
        let padded = |length| {
            let request = Request {
                sequence: 7,
                timestamp: T1,
                session: 0xbeef,
            };
            request.encode_padded(&mode, length, 42)
        };
        let packet = padded(base + 4 + 0x540);
        assert_eq!(packet[..base], request(&mode));
        let (header, padding) = packet[base..].split_at(4);
        assert_eq!((header, padding.len()), (&[0x80, 1, 0x05, 0x40][..], 0x540));
        assert!(padding.iter().any(|octet| *octet != padding[0]));
        let reply = reflect(&packet, &mode, 64, None).unwrap();
        assert_eq!(reply[base..], packet[base..]);
        for (length, expected) in [
            (0, base),
            (base, base),
            (base + 3, base),
            (base + 4, base + 4),
            (MAX_LEN, MAX_LEN),
        ] {
            assert_eq!(padded(length).len(), expected);
        }
    }
}

#[test]
fn stateful_reply_counts_on_its_own_and_keeps_the_senders_sequence() {
    for mode in modes() {
        let packet = reflect(&request(&mode), &mode, 255, Some(0x0102_0304)).unwrap();
        let reply = Reply::decode(&packet, &mode).unwrap();
        assert_eq!((reply.sequence, reply.sender_sequence), (0x0102_0304, 7));
        assert_eq!(
            (reply.received, reply.sent, reply.sender_timestamp),
            (T2, T3, T1)
        );
        assert_eq!((reply.session, reply.sender_ttl), (0xbeef, 255));
        assert_eq!(reply.processing(), T3.since(T2));
    }
}

#[test]
fn reply_is_exactly_as_long_as_the_request() {
    for mode in modes() {
        let request = request(&mode);
        for more in [0, 1, 100, 1472, MAX_LEN - request.len()] {
            let mut long = request.clone();
            long.resize(request.len() + more, 0xa5);
            let reply = reflect(&long, &mode, 64, None).unwrap();
            assert_eq!(reply.len(), long.len());
            assert_eq!(reply[request.len()..], long[request.len()..]);
        }
    }
}

#[test]
fn what_is_not_a_request_is_not_reflected() {
    for mode in modes() {
        let request = request(&mode);
        for length in 0..request.len() {
            assert!(reflect(&request[..length], &mode, 64, None).is_err());
        }
        let mut long = request.clone();
        long.resize(MAX_LEN + 1, 0);
        assert_eq!(reflect(&long, &mode, 64, None), Err(Fault::Malformed));
        let reply = reflect(&request, &mode, 64, None).unwrap();
        let again = reflect(&reply, &mode, 64, None);
        assert_eq!(again, Err(Fault::Malformed), "a reply is not a request");
    }
}

#[test]
fn a_bit_that_was_changed_anywhere_makes_a_packet_unauthentic() {
    let mode = signed();
    let request = request(&mode);
    let reply = reflect(&request, &mode, 64, None).unwrap();
    for bit in 0..AUTHENTICATED_LEN * 8 {
        let changed = |packet: &[u8]| {
            let mut packet = packet.to_vec();
            packet[bit / 8] ^= 1 << (bit % 8);
            packet
        };
        let asked = Head::decode(&changed(&request), &mode).map(drop);
        assert!(matches!(asked, Err(Fault::Unauthentic(_))), "bit {bit}");
        let answered = Reply::decode(&changed(&reply), &mode).map(drop);
        assert!(matches!(answered, Err(Fault::Unauthentic(_))), "bit {bit}");
    }
}

#[test]
fn each_kind_of_disagreement_about_the_key_is_told_apart() {
    let (ours, other) = (signed(), signed_by(other_key(), None));
    for (sender, receiver, why) in [
        (&OPEN, &ours, Unauthentic::Unsigned),
        (&other, &ours, Unauthentic::OtherKey),
        (&ours, &OPEN, Unauthentic::Signed),
    ] {
        let asked = request(sender);
        let answered = reflect(&asked, sender, 64, Some(3)).unwrap();
        let fault = Err(Fault::Unauthentic(why));
        assert_eq!(reflect(&asked, receiver, 64, None), fault);
        assert_eq!(
            Reply::decode(&answered, receiver).map(drop),
            fault.map(drop)
        );
        let mut padded = asked.clone();
        padded.resize(1400, 0xa5);
        let refused = reflect(&padded, receiver, 64, None);
        assert_eq!(refused, Err(Fault::Unauthentic(why)), "padded");
    }
    assert!(reflect(&request(&ours), &ours, 64, None).is_ok());
}

#[test]
fn a_second_key_is_believed_and_answered_with_itself() {
    let (old, new) = (signed(), signed_by(other_key(), None));
    let changing = signed_by(key(), Some(other_key()));
    for mode in [&old, &new] {
        let reply = reflect(&request(mode), &changing, 64, None).unwrap();
        assert!(Reply::decode(&reply, mode).is_ok());
        assert!(Reply::decode(&reply, &changing).is_ok());
    }
    assert!(reflect(&request(&changing), &old, 64, None).is_ok());
    assert!(reflect(&request(&changing), &new, 64, None).is_err());
}

#[test]
fn keys_have_16_to_64_octets_and_are_never_shown() {
    for length in 0..100 {
        let key = Key::new(&vec![b'k'; length]);
        assert_eq!(key.is_ok(), (16..=64).contains(&length), "{length}");
    }
    let shown = format!("{:?}", signed_by(key(), Some(other_key())));
    assert!(
        shown.contains("Key(..)") && !shown.contains("32"),
        "{shown}"
    );
}

#[test]
fn timestamps_only_go_forward_whatever_the_clock_does() {
    let (mut timestamps, mut random) = (Timestamps::default(), Random::new(3));
    let mut last = None;
    for wall in [T2, T2, T3, T1, T1, NtpTime(0), T3, NtpTime(u64::MAX), T1] {
        for _ in 0..1000 {
            let next = timestamps.next(wall, random.next());
            assert!(last.is_none_or(|last| next.is_after(last)), "{wall:?}");
            last = Some(next);
        }
    }
}

#[test]
fn time_since_crosses_an_era_and_never_goes_negative() {
    let before = NtpTime(u64::MAX);
    assert_eq!(NtpTime(1 << 32).since(before).unwrap().as_secs(), 1);
    assert_eq!(T2.since(T3), None);
    assert_eq!(T2.since(T2), Some(Duration::ZERO));
}

#[test]
fn unix_time_becomes_ntp_time() {
    assert_eq!(NtpTime::from_unix(Duration::ZERO).0, UNIX_EPOCH << 32);
    let half = NtpTime::from_unix(Duration::from_millis(500));
    assert_eq!(half.0 & 0xffff_ffff, 0x8000_0000);
    NtpTime::from_unix(Duration::MAX);
}
