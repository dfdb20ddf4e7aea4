mod clock;
mod simulated;

use super::{protocol::HANDSHAKE_LENGTH, *};
use crate::spec::{BackendChoice, Secret, WireGuardPeer};

fn spec(ours: u8, theirs: u8, endpoint: Option<&str>) -> WireGuardSpec {
    WireGuardSpec {
        private_key: Secret::new([ours; 32]),
        listen_port: 51820,
        backend: BackendChoice::Userspace,
        peer: WireGuardPeer {
            public_key: Secret::new([theirs; 32]).public_key(),
            preshared_key: None,
            endpoint: endpoint.map(address),
            keepalive_secs: None,
        },
    }
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

const A: &str = "192.0.2.1:51820";
const B: &str = "192.0.2.2:51820";

struct End {
    noise: Noise,
    counters: Arc<Counters>,
}

fn end(spec: &WireGuardSpec) -> End {
    let counters = Arc::new(Counters::default());
    End {
        noise: Noise::new(spec, counters.clone(), Instant::now()),
        counters,
    }
}

impl End {
    fn tick(&mut self) -> Option<Vec<u8>> {
        let mut out = vec![0; BUFFER];
        let length = self.noise.tick(&mut out, Instant::now())?;
        Some(out[..length].to_vec())
    }

    fn encrypt(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
        let mut out = vec![0; BUFFER];
        let length = self.noise.encrypt(packet, &mut out, Instant::now())?;
        Some(out[..length].to_vec())
    }

    fn decrypt(&mut self, from: &str, datagram: &[u8]) -> (Received, Vec<u8>) {
        let mut out = vec![0; BUFFER];
        let received = self
            .noise
            .decrypt(address(from).into(), datagram, &mut out, Instant::now());
        let length = match received {
            Received::Nothing => 0,
            Received::Reply(length) | Received::Packet(length) => length,
        };
        (received, out[..length].to_vec())
    }
}

/// A knows where B is; B waits.
fn connected() -> (End, End) {
    let (mut a, mut b) = (end(&spec(1, 2, Some(B))), end(&spec(2, 1, None)));
    let initiation = a.tick().expect("an end that knows its peer starts at once");
    let (_, response) = b.decrypt(A, &initiation);
    assert_eq!(b.counters.last_handshake(), None, "unconfirmed");
    let (_, keepalive) = a.decrypt(B, &response);
    assert_eq!(b.decrypt(A, &keepalive).0, Received::Nothing);
    (a, b)
}

fn ipv4_packet(length: usize) -> Vec<u8> {
    let mut packet = vec![0; length];
    packet[0] = 0x45;
    packet[2..4].copy_from_slice(&u16::try_from(length).expect("short").to_be_bytes());
    packet
}

#[test]
fn one_round_trip_makes_a_session_that_both_ends_know_of() {
    let (mut a, mut b) = connected();
    assert!(a.counters.last_handshake().is_some());
    assert!(b.counters.last_handshake().is_some());
    assert_eq!(b.counters.endpoint(), Some(address(A)), "learned");
    let packet = ipv4_packet(1420);
    let datagram = a.encrypt(&packet).expect("encrypted");
    assert_eq!(datagram.len(), packet.len() + OVERHEAD);
    assert_eq!(b.decrypt(A, &datagram), (Received::Packet(1420), packet));
    let answer = b.encrypt(&ipv4_packet(40)).expect("encrypted");
    assert_eq!(a.decrypt(B, &answer).0, Received::Packet(40));
}

#[test]
fn the_endpoint_follows_authentic_packets_only() {
    let (mut a, mut b) = connected();
    let mut forged = a.encrypt(&ipv4_packet(40)).expect("encrypted");
    *forged.last_mut().expect("not empty") ^= 1;
    assert_eq!(b.decrypt("203.0.113.66:1", &forged).0, Received::Nothing);
    assert_eq!(b.counters.endpoint(), Some(address(A)));
    let authentic = a.encrypt(&ipv4_packet(40)).expect("encrypted");
    b.decrypt("198.51.100.7:4000", &authentic);
    assert_eq!(b.counters.endpoint(), Some(address("198.51.100.7:4000")));
    b.decrypt("203.0.113.66:1", &authentic);
    assert_eq!(
        b.counters.endpoint(),
        Some(address("198.51.100.7:4000")),
        "a replay"
    );
}

#[test]
fn what_is_under_way_from_the_former_endpoint_does_not_undo_the_configured_one() {
    let (mut a, mut b) = connected();
    let elsewhere = "198.51.100.7:4000";
    let now = Instant::now();
    a.noise.change(&spec(1, 2, Some(elsewhere)), now);
    let mut from_b = |at: Instant| {
        let packet = b.encrypt(&ipv4_packet(40)).expect("encrypted");
        let mut out = vec![0; BUFFER];
        let received = a.noise.decrypt(address(B).into(), &packet, &mut out, at);
        assert_eq!(received, Received::Packet(40), "traffic goes on");
        a.counters.endpoint()
    };
    assert_eq!(from_b(now), Some(address(elsewhere)));
    assert_eq!(
        from_b(now + Duration::from_secs(4)),
        Some(address(elsewhere))
    );
    assert_eq!(
        from_b(now + Duration::from_secs(6)),
        Some(address(B)),
        "an endpoint where nobody is does not keep a living peer away"
    );
}

#[test]
fn a_handshake_replayed_to_new_keys_moves_nothing() {
    let (mut a, mut b) = (end(&spec(1, 2, Some(B))), end(&spec(2, 1, None)));
    let initiation = a.tick().expect("an initiation");
    let (_, response) = b.decrypt(A, &initiation);
    let (_, keepalive) = a.decrypt(B, &response);
    b.decrypt(A, &keepalive);
    let mut changed = spec(2, 1, None);
    changed.peer.preshared_key = Some(Secret::new([5; 32]));
    b.noise.change(&changed, Instant::now());
    let (_, answer) = b.decrypt("203.0.113.66:1", &initiation);
    assert_eq!(answer.first(), Some(&RESPONSE), "who cannot know answers");
    assert_eq!(b.counters.endpoint(), Some(address(A)));
    let packet = b.encrypt(&ipv4_packet(40)).expect("encrypted");
    assert_eq!(a.decrypt(B, &packet).0, Received::Packet(40));
}

#[test]
fn packets_that_waited_for_the_session_are_sent_in_it() {
    let (mut a, mut b) = (end(&spec(1, 2, Some(B))), end(&spec(2, 1, None)));
    let initiation = a.encrypt(&ipv4_packet(100)).expect("an initiation");
    assert_eq!(initiation.len(), HANDSHAKE_LENGTH);
    let (_, response) = b.decrypt(A, &initiation);
    let mut out = vec![0; BUFFER];
    assert!(!a.noise.has_kept_packets(), "no session yet");
    assert_eq!(a.noise.next_kept(&mut out), None, "no session yet");
    a.decrypt(B, &response);
    let length = a.noise.next_kept(&mut out).expect("the packet that waited");
    assert_eq!(b.decrypt(A, &out[..length]).0, Received::Packet(100));
    assert_eq!(a.noise.next_kept(&mut out), None);
    assert!(!a.noise.has_kept_packets());
}

#[test]
fn wrong_keys_are_told_apart() {
    let (mut a, mut stranger) = (end(&spec(1, 2, Some(B))), end(&spec(2, 9, None)));
    let initiation = a.tick().expect("an initiation");
    assert_eq!(stranger.decrypt(A, &initiation).0, Received::Nothing);
    assert_eq!(
        stranger.counters.trouble(),
        Some(Trouble::UnknownPeer(address(A)))
    );

    let mut other = end(&spec(3, 1, None));
    other.decrypt(A, &initiation);
    assert_eq!(
        other.counters.trouble(),
        Some(Trouble::MeantForAnother(address(A)))
    );

    let mut with_psk = spec(2, 1, None);
    with_psk.peer.preshared_key = Some(Secret::new([5; 32]));
    let (_, response) = end(&with_psk).decrypt(A, &initiation);
    a.decrypt(B, &response);
    assert_eq!(a.counters.trouble(), Some(Trouble::DoesNotOpen(address(B))));
    assert_eq!(a.counters.last_handshake(), None);
}

#[test]
fn a_restarted_end_without_endpoint_answers_an_unknown_session_by_one_handshake_a_second() {
    let (mut a, _) = connected();
    let mut restarted = end(&spec(2, 1, None));
    let stale = a.encrypt(&ipv4_packet(40)).expect("encrypted");
    let (received, initiation) = restarted.decrypt(A, &stale);
    assert_eq!(received, Received::Reply(HANDSHAKE_LENGTH));
    assert_eq!(
        restarted.counters.endpoint(),
        None,
        "an unauthentic source is not learned"
    );
    assert_eq!(
        restarted.decrypt(A, &stale).0,
        Received::Nothing,
        "once a second"
    );
    let (_, response) = a.decrypt(B, &initiation);
    let (_, keepalive) = restarted.decrypt(A, &response);
    a.decrypt(B, &keepalive);
    assert_eq!(restarted.counters.endpoint(), Some(address(A)));
    let packet = a.encrypt(&ipv4_packet(40)).expect("encrypted");
    assert_eq!(
        restarted.decrypt(A, &packet).0,
        Received::Packet(40),
        "in the session just made"
    );
}

/// Both ends of a session, and who of them renews it first: the larger public key.
fn renewals(first: u8, second: u8) -> [Option<u64>; 2] {
    let mut a = end(&spec(first, second, Some(B)));
    let mut b = end(&spec(second, first, None));
    let initiation = a.tick().expect("an end that knows its peer starts at once");
    let (_, response) = b.decrypt(A, &initiation);
    let (_, keepalive) = a.decrypt(B, &response);
    b.decrypt(A, &keepalive);
    [a, b].map(|mut end| {
        let start = Instant::now();
        let mut out = vec![0; BUFFER];
        (1..200).find(|secs| {
            let later = start + Duration::from_secs(*secs);
            end.noise.tick(&mut out, later).is_some()
        })
    })
}

#[test]
fn the_end_with_the_larger_public_key_renews_first_whoever_began() {
    let is_larger = |a: u8, b: u8| public(a) > public(b);
    let (large, small) = if is_larger(1, 2) { (1, 2) } else { (2, 1) };
    let secs = |limit: Duration| Some(limit.as_secs());
    assert_eq!(
        renewals(large, small),
        [secs(RENEW_EAGERLY), secs(RENEW_FOR_THE_OTHER)]
    );
    assert_eq!(renewals(small, large), [secs(RENEW), secs(RENEW_EAGERLY)]);
}

fn public(private: u8) -> [u8; 32] {
    Secret::new([private; 32]).public_key()
}

#[test]
fn answers_that_nobody_uses_never_cost_the_session_in_use() {
    let (mut a, mut b) = connected();
    let mut other = spec(1, 2, Some(B));
    other.peer.preshared_key = Some(Secret::new([5; 32]));
    for round in 0..40 {
        clock::advance(Duration::from_secs(1));
        let initiation = end(&other).tick().expect("an initiation");
        b.decrypt(A, &initiation);
        let packet = b.encrypt(&ipv4_packet(40)).expect("encrypted");
        assert_eq!(a.decrypt(B, &packet).0, Received::Packet(40), "{round}");
    }
}

#[test]
fn handshakes_under_load_cost_a_cookie() {
    let (mut a, mut b) = (end(&spec(1, 2, Some(B))), end(&spec(2, 1, None)));
    let initiation = a.tick().expect("an initiation");
    let mut cookies = 0;
    for _ in 0..20 {
        let (_, reply) = b.decrypt(A, &initiation);
        cookies += usize::from(reply.first() == Some(&3));
    }
    assert!(cookies >= 9, "{cookies} cookies");
}

#[test]
fn no_datagram_and_no_buffer_makes_it_panic() {
    let mut seed = 1u64;
    let mut next = move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        seed >> 33
    };
    let (mut a, mut b) = connected();
    let authentic = a.encrypt(&ipv4_packet(200)).expect("encrypted");
    for round in 0..20_000 {
        let mut datagram = authentic.clone();
        datagram.truncate(next() as usize % 260);
        for _ in 0..next() % 4 {
            if let Some(byte) = datagram.get_mut(next() as usize % 232) {
                *byte = next() as u8;
            }
        }
        if round % 2 == 0
            && let Some(kind) = datagram.first_mut()
        {
            *kind = (next() % 6) as u8;
        }
        let mut out = vec![0; next() as usize % 300];
        b.noise
            .decrypt(address(A).into(), &datagram, &mut out, Instant::now());
        b.noise.encrypt(&datagram, &mut out, Instant::now());
        b.noise.tick(&mut out, Instant::now());
        b.noise.next_kept(&mut out);
    }
}
