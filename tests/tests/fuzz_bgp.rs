//! Any bytes at the BGP codec and the session. The committed corpus is replayed by every run,
//! followed by random inputs; `cargo bolero test <name>` searches for more.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use bgp::session::{
    Cease, Conn, GracefulRestart, Input, Mode, Output, Session, SessionConfig, SessionRole, State,
};
use bgp::wire::{
    AddPathFamily, Capability, Dialect, Direction, Frames, LongLivedFamily, MAX_MESSAGE_LEN,
    MessageKind, NexthopEncoding, Notification, Open, RestartCapability, RestartFamily,
    RouteRefresh, UpdateWriter, decode_update, encode_end_of_rib, encode_keepalive,
    encode_withdraw,
};
use bgp::{Asn, Family, FamilySet, Prefix, Role, RouteEvent, RouterId, Updates};
use bolero::check;
use bytes::BytesMut;

/// The corpus starts with an octet that chooses the dialect.
#[test]
fn decode_message() {
    check!().for_each(check_stream);
}

/// Random bytes rarely pass for a message, so a mutant of the corpus gets further.
#[test]
fn mutated_messages_are_decoded_or_refused() {
    mutate("decode_message", check_stream);
}

/// As above, for sessions.
#[test]
fn mutated_scripts_leave_a_session_in_order() {
    mutate("session_bytes", |input| {
        let Some((_, script)) = input.split_first() else {
            return;
        };
        // Each script with as many configurations as its mutants have sums.
        let choice = script.iter().copied().fold(0, u8::wrapping_add);
        check_script(&[&[choice], script].concat());
    });
}

const MUTANTS: usize = 100_000;

fn mutate(target: &str, check: fn(&[u8])) {
    let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/__fuzz__")
        .join(target)
        .join("corpus");
    let files = std::fs::read_dir(&corpus).expect("the corpus is committed");
    let mut paths: Vec<_> = files.map(|file| file.expect("readable").path()).collect();
    paths.sort();
    let inputs: Vec<Vec<u8>> = paths
        .iter()
        .map(|path| std::fs::read(path).expect("readable"))
        .collect();
    assert!(inputs.len() >= 24, "the corpus of {target} is not complete");
    for mutant in 0..MUTANTS {
        let mut random = u64::try_from(mutant).expect("64 bits") * 0x9e37_79b9 + 1;
        let mut below = |limit: usize| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            usize::try_from(random >> 8).expect("64 bits") % limit.max(1)
        };
        let mut input = inputs[mutant % inputs.len()].clone();
        for _ in 0..=below(3) {
            // Mostly past the marker, or hardly any mutant would get beyond it.
            let from = if below(8) == 0 {
                0
            } else {
                17.min(input.len())
            };
            let at = from + below(input.len() - from);
            match below(4) {
                0 => input.truncate(at),
                1 => input.insert(
                    at.min(input.len()),
                    u8::try_from(below(256)).expect("an octet"),
                ),
                _ => {
                    if let Some(octet) = input.get_mut(at) {
                        *octet ^= 1 << below(8);
                    }
                }
            }
        }
        let checked = std::panic::catch_unwind(|| check(&input));
        assert!(checked.is_ok(), "mutant {mutant} of {target}: {input:02x?}");
    }
}

fn check_stream(input: &[u8]) {
    let Some((choice, mut stream)) = input.split_first() else {
        return;
    };
    let dialect = Dialect {
        peer_asn: Asn(if choice & 1 == 0 { 65002 } else { 65001 }),
        four_octet_asn: choice & 2 == 0,
        ..Dialect::new(Asn(65001), Asn(65001))
    };
    let mut frames = Frames::default();
    while let Some(frame) = frames.next(&mut stream) {
        let Ok(frame) = frame else { return };
        match frame.kind {
            MessageKind::Open => check_open(frame.body),
            MessageKind::Update => check_update(frame.body, &dialect),
            MessageKind::Notification => check_notification(frame.body),
            MessageKind::RouteRefresh => assert!(RouteRefresh::decode(frame.body).is_some()),
            MessageKind::Keepalive => assert!(frame.body.is_empty()),
        }
    }
    assert!(frames.buffered() < MAX_MESSAGE_LEN);
}

fn check_open(body: &[u8]) {
    if let Ok(open) = Open::decode(body) {
        let mut out = BytesMut::new();
        open.encode(&mut out);
        assert_eq!(Open::decode(&out[19..]), Ok(open));
    }
}

fn check_notification(body: &[u8]) {
    let notification = Notification::decode(body).expect("the framing asked for two octets");
    assert!(!notification.to_string().chars().any(char::is_control));
    let mut out = BytesMut::new();
    notification.encode(&mut out);
    assert_eq!(Notification::decode(&out[19..]), Some(notification));
}

fn check_update(body: &[u8], dialect: &Dialect) {
    let (mut events, mut faults) = (Vec::new(), Vec::new());
    let result = decode_update(body, dialect, &mut events, &mut faults);
    assert!(result.is_ok() || (events.is_empty() && !faults.is_empty()));
    for event in events {
        check_event(event, dialect);
    }
}

/// Written again, an event reads back the same. The peer's side of the dialect differs only in
/// who is who.
fn check_event(event: RouteEvent, dialect: &Dialect) {
    let mut out = BytesMut::new();
    match &event {
        RouteEvent::EndOfRib(family) => encode_end_of_rib(*family, &mut out),
        RouteEvent::RefreshBegins(_) | RouteEvent::RefreshEnds(_) => return,
        RouteEvent::Withdraw { prefixes, .. } => write_all(prefixes, &mut out, |rest, out| {
            encode_withdraw(rest, &[], MAX_MESSAGE_LEN, out)
        }),
        RouteEvent::Announce {
            attrs, prefixes, ..
        } => {
            // Sent back to an internal peer a missing LOCAL_PREF becomes the default.
            let is_same = dialect.local_asn != dialect.peer_asn || attrs.local_pref.is_some();
            let family = prefixes.first().map(Family::of).expect("never empty");
            let nexthop = attrs.nexthop.expect("received paths have one");
            let mut writer = UpdateWriter::default();
            let loaded = writer.load(attrs, nexthop, family, dialect);
            if loaded.is_err() || !is_same {
                return;
            }
            write_all(prefixes, &mut out, |prefixes, out| {
                writer.write(prefixes, &[], out)
            });
        }
    }
    let (attrs, prefixes) = flatten([event]);
    let again = flatten(read(&out, dialect));
    assert_eq!(again, (attrs, prefixes));
}

fn write_all(
    mut prefixes: &[Prefix],
    out: &mut BytesMut,
    mut write: impl FnMut(&[Prefix], &mut BytesMut) -> usize,
) {
    while !prefixes.is_empty() {
        let before = out.len();
        let count = write(prefixes, out);
        assert!(count > 0 && out.len() - before <= MAX_MESSAGE_LEN);
        prefixes = &prefixes[count..];
    }
}

fn read(mut stream: &[u8], dialect: &Dialect) -> Vec<RouteEvent> {
    let (mut frames, mut events, mut faults) = (Frames::default(), Vec::new(), Vec::new());
    while let Some(frame) = frames.next(&mut stream) {
        let body = frame.expect("we write valid headers").body;
        decode_update(body, dialect, &mut events, &mut faults).expect("we write valid UPDATEs");
    }
    events
}

/// What was said of which prefixes, whatever messages it was in.
fn flatten(events: impl IntoIterator<Item = RouteEvent>) -> (Vec<RouteEvent>, Vec<Prefix>) {
    let mut kinds = Vec::new();
    let mut all = Vec::new();
    for mut event in events {
        match &mut event {
            RouteEvent::Announce { prefixes, .. } | RouteEvent::Withdraw { prefixes, .. } => {
                all.append(prefixes);
            }
            RouteEvent::EndOfRib(_) | RouteEvent::RefreshBegins(_) | RouteEvent::RefreshEnds(_) => {
            }
        }
        if kinds.last() != Some(&event) {
            kinds.push(event);
        }
    }
    (kinds, all)
}

/// The first octet chooses the configuration, the rest is a list of operations.
#[test]
fn session_bytes() {
    check!().for_each(check_script);
}

fn check_script(input: &[u8]) {
    let Some((choice, mut script)) = input.split_first() else {
        return;
    };
    let mut now = Instant::now();
    let mut session = Session::new(config(*choice), u64::from(*choice), now);
    session.handle(Input::Start, now);
    let mut running = true;
    while let Some((operation, rest)) = script.split_first() {
        match operation & 0x0f {
            0 => running = true,
            1 => running = false,
            _ => {}
        }
        script = operate(&mut session, *operation, rest, &mut now);
        check_session(&mut session, running);
    }
}

/// Bit by bit: hold time, mode, graceful restart, role, long messages and marked refreshes, several
/// paths, nexthops of another family; strictness of the role, and that we restarted.
fn config(choice: u8) -> SessionConfig {
    let has = |bit: u8| choice & 1 << bit != 0;
    let families = |bit| {
        if has(bit) {
            FamilySet::ALL
        } else {
            FamilySet::EMPTY
        }
    };
    SessionConfig {
        hold_time_secs: if choice & 1 == 0 { 90 } else { 0 },
        connect_retry: Duration::from_secs(5),
        connect_retry_max: Duration::from_secs(60),
        mode: if choice & 2 == 0 {
            Mode::Active
        } else {
            Mode::Passive
        },
        graceful_restart: has(2).then_some(GracefulRestart {
            restart_secs: 30,
            long_lived_secs: u32::from(has(3)) * 60,
            restarting: has(7),
            preserved: families(7),
        }),
        role: has(3).then_some(SessionRole {
            role: Role::Provider,
            strict: has(7),
        }),
        extended_messages: has(4),
        enhanced_refresh: has(4),
        add_path_receive: families(5),
        add_path_send: families(5),
        extended_nexthop: families(6),
        ..SessionConfig::new(
            Asn(65001),
            RouterId::new(Ipv4Addr::new(10, 0, 0, 1)).expect("not zero"),
            Asn(65002),
        )
    }
}

/// The OPEN and KEEPALIVE of a peer in order. Bit by bit: graceful restart, with the restart bit,
/// long-lived, long messages, marked refreshes, several paths, nexthops of another family, a role.
fn greeting(choice: u8) -> BytesMut {
    let has = |bit: u8| choice & 1 << bit != 0;
    let both = Family::ALL.map(|family| (family.afi(), family.safi()));
    let family = |(afi, safi)| RestartFamily {
        afi,
        safi,
        forwarding: true,
    };
    let several = |(afi, safi)| AddPathFamily {
        afi,
        safi,
        direction: Direction::Both,
    };
    let mut capabilities = vec![
        Capability::RouteRefresh,
        Capability::FourOctetAsn(Asn(65002)),
    ];
    let all = both.map(|(afi, safi)| Capability::Multiprotocol { afi, safi });
    capabilities.extend(all);
    let mut add = |bit, capability| {
        if has(bit) {
            capabilities.push(capability);
        }
    };
    add(
        0,
        Capability::GracefulRestart(RestartCapability {
            restarting: has(1),
            notification: true,
            secs: 30,
            families: both.map(family).to_vec(),
        }),
    );
    let long_lived = both.map(|it| LongLivedFamily {
        family: family(it),
        secs: 60,
    });
    add(2, Capability::LongLivedRestart(long_lived.to_vec()));
    add(3, Capability::ExtendedMessage);
    add(4, Capability::EnhancedRefresh);
    add(5, Capability::AddPath(both.map(several).to_vec()));
    let encoding = NexthopEncoding {
        afi: 1,
        safi: 1,
        nexthop_afi: 2,
    };
    add(6, Capability::ExtendedNexthop(vec![encoding]));
    add(7, Capability::Role(3));
    let open = Open {
        my_as: 65002,
        hold_time_secs: 30,
        router_id: RouterId::new(Ipv4Addr::new(10, 0, 0, 2)).expect("not zero"),
        capabilities,
    };
    let mut out = BytesMut::new();
    open.encode(&mut out);
    encode_keepalive(&mut out);
    out
}

/// One operation; returns the rest of the script.
fn operate<'a>(
    session: &mut Session,
    operation: u8,
    rest: &'a [u8],
    now: &mut Instant,
) -> &'a [u8] {
    let conn = if operation & 0x80 == 0 {
        Conn::Inbound
    } else {
        Conn::Outbound
    };
    let (argument, after) = rest.split_first().map_or((0, rest), |(a, b)| (*a, b));
    let input = match operation & 0x0f {
        0 => Input::Start,
        1 => Input::Stop(Cease::AdministrativeShutdown.into()),
        2 => Input::Reconfigure(config(argument)),
        3 | 4 => Input::Connected {
            conn,
            local: IpAddr::from([192, 0, 2, 1]),
        },
        5 => Input::DialFailed,
        6 => Input::Closed(conn),
        7 => {
            let prefix =
                Prefix::V4(ipnet::Ipv4Net::new([argument, 0, 0, 0].into(), 8).expect("legal"));
            let mut out = BytesMut::new();
            encode_withdraw(&[prefix], &[], MAX_MESSAGE_LEN, &mut out);
            Input::Transmit(Updates {
                bytes: [out.freeze()].into_iter().collect(),
                count: 1,
            })
        }
        8 => {
            session.handle(Input::Bytes(conn, &greeting(argument)), *now);
            return after;
        }
        9 => Input::RequestRefresh(Family::Ipv6Unicast),
        10 => {
            *now += Duration::from_secs(argument.into());
            Input::Timeout
        }
        _ => {
            let (chunk, after) = after.split_at(after.len().min(argument.into()));
            session.handle(Input::Bytes(conn, chunk), *now);
            return after;
        }
    };
    session.handle(input, *now);
    after
}

fn check_session(session: &mut Session, running: bool) {
    while let Some(output) = session.poll_output() {
        match output {
            Output::Routes(events) => assert!(!events.is_empty()),
            Output::Dial
            | Output::Hangup(_)
            | Output::Up(_)
            | Output::Down(_, _)
            | Output::Refresh(_) => {}
        }
    }
    let status = session.status();
    assert!(session.pending() <= 256 * 28);
    assert_eq!(
        status.negotiated.is_some(),
        status.state == State::Established
    );
    let waits = match status.state {
        State::Idle => running,
        State::OpenSent => true,
        // The owner answers a dial; a passive peer may never come.
        State::Connect | State::Active | State::OpenConfirm => false,
        State::Established => status
            .negotiated
            .is_some_and(|agreed| agreed.hold_time.is_some()),
    };
    assert!(
        !waits || session.poll_timeout().is_some(),
        "it waits without a deadline"
    );
    assert!(status.state == State::Established || session.pending() == 0);
    let mut buf = BytesMut::new();
    for conn in [Conn::Inbound, Conn::Outbound] {
        while let Some(bytes) = session.poll_transmit(conn) {
            buf.extend_from_slice(&bytes);
        }
    }
    assert!(buf.len() <= 64 * 1024 + MAX_MESSAGE_LEN);
    let mut frames = Frames::default();
    let mut sent = &buf[..];
    while let Some(frame) = frames.next(&mut sent) {
        assert!(frame.is_ok());
    }
    assert_eq!(frames.buffered(), 0);
}
