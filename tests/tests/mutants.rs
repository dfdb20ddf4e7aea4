//! A million messages, each right but for a few things, at the decoder and at sessions in every
//! state: no panic, an answer of the right kind, and no more memory than a small multiple of what
//! came.
//!
//! Messages are made from their parts, broken in one or more of them (flags, lengths, order,
//! duplicates, types), and then sometimes in single bits. So most get deep into the decoder. The
//! number of a mutant, which a failure prints, makes it again.

mod breaking;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::Instant;

use bgp::session::{Conn, Input, Mode, Output, Session, SessionConfig, State};
use bgp::wire::{
    Dialect, Frame, Frames, MessageKind, Notification, Open, RouteRefresh, Severity, decode_update,
};
use bgp::{Asn, Attrs, FamilySet, RouteEvent, RouterId};
use breaking::{Random, mutant};

const MUTANTS: u64 = 1_000_000;
const THREADS: u64 = 2;
/// OPEN of AS 65002, identifier 10.0.0.2, hold time 30 s, 4-octet numbers, both families.
const OPEN: &[u8] = &[
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 0, 49, 1, 4,
    0xfd, 0xea, 0, 30, 10, 0, 0, 2, 20, 2, 18, 1, 4, 0, 1, 0, 1, 1, 4, 0, 2, 0, 1, 65, 4, 0, 0,
    0xfd, 0xea,
];
const KEEPALIVE: &[u8] = &[
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 0, 19, 4,
];

#[test]
fn a_million_mutants_do_no_harm() {
    let threads: Vec<_> = (0..THREADS)
        .map(|first| thread::spawn(move || run(first)))
        .collect();
    let mut outcomes = BTreeMap::new();
    for thread in threads {
        for (outcome, count) in thread.join().expect("see above") {
            *outcomes.entry(outcome).or_insert(0) += count;
        }
    }
    println!("{outcomes:?}");
    // Mutants that all fail at the first octet would prove little.
    for outcome in ALL {
        let count = outcomes.get(&outcome).copied().unwrap_or(0);
        assert!(count > MUTANTS / 50, "{outcome:?}: {outcomes:?}");
    }
}

/// What became of a mutant's first message.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Outcome {
    BadHeader,
    Incomplete,
    OpenRefused,
    UpdateInOrder,
    PartDiscarded,
    TreatedAsWithdraw,
    SessionReset,
    Other,
}

const ALL: [Outcome; 8] = [
    Outcome::BadHeader,
    Outcome::Incomplete,
    Outcome::OpenRefused,
    Outcome::UpdateInOrder,
    Outcome::PartDiscarded,
    Outcome::TreatedAsWithdraw,
    Outcome::SessionReset,
    Outcome::Other,
];

fn run(first: u64) -> BTreeMap<Outcome, u64> {
    let mut outcomes = BTreeMap::new();
    for number in (first..MUTANTS).step_by(THREADS as usize) {
        *outcomes.entry(judge(number)).or_insert(0) += 1;
    }
    outcomes
}

fn judge(number: u64) -> Outcome {
    let bytes = mutant(number);
    let states = [State::OpenSent, State::OpenConfirm, State::Established];
    let judged = catch_unwind(AssertUnwindSafe(|| {
        converse(&bytes, states[(number % 3) as usize]);
        decode(&bytes, &dialect(number))
    }));
    judged.unwrap_or_else(|_| unreachable!("mutant {number}: {bytes:02x?}"))
}

/// What is agreed on differs from mutant to mutant.
fn dialect(number: u64) -> Dialect {
    let mut random = Random::new(!number);
    let mut dialect = Dialect::new(Asn(65001), Asn([65002, 65001][random.below(2)]));
    dialect.four_octet_asn = random.below(4) != 0;
    if random.below(4) == 0 {
        dialect.add_path_receive = FamilySet::ALL;
    }
    if random.below(4) == 0 {
        dialect.extended_nexthop = FamilySet::ALL;
    }
    dialect
}

fn decode(bytes: &[u8], dialect: &Dialect) -> Outcome {
    let mut frames = Frames::default();
    let mut rest = bytes;
    let mut first = None;
    while let Some(frame) = frames.next(&mut rest) {
        let outcome = match frame {
            Ok(frame) => message(&frame, dialect),
            Err(fault) => {
                assert!(fault.code == 1 && (1..=3).contains(&fault.subcode));
                return first.unwrap_or(Outcome::BadHeader);
            }
        };
        first.get_or_insert(outcome);
    }
    assert!(frames.buffered() <= bytes.len());
    first.unwrap_or(Outcome::Incomplete)
}

fn message(frame: &Frame<'_>, dialect: &Dialect) -> Outcome {
    match frame.kind {
        MessageKind::Open => {
            if let Err(fault) = Open::decode(frame.body) {
                assert!(fault.code == 2 && fault.subcode <= 11, "{fault:?}");
                return Outcome::OpenRefused;
            }
        }
        MessageKind::Update => return update(frame.body, dialect),
        MessageKind::Notification => {
            let notification = Notification::decode(frame.body).expect("framed");
            assert!(notification.to_string().len() <= 200 + 16 * frame.body.len());
        }
        MessageKind::RouteRefresh => assert!(RouteRefresh::decode(frame.body).is_some()),
        MessageKind::Keepalive => assert!(frame.body.is_empty()),
    }
    Outcome::Other
}

fn update(body: &[u8], dialect: &Dialect) -> Outcome {
    let (mut events, mut faults) = (Vec::new(), Vec::new());
    let decoded = decode_update(body, dialect, &mut events, &mut faults);
    let worst = faults.iter().map(|fault| fault.severity).max();
    let is_reset = worst == Some(Severity::SessionReset);
    assert_eq!(decoded.is_err(), is_reset, "{faults:?}");
    if let Err(fault) = decoded {
        assert!(fault.code == 3 && (1..=11).contains(&fault.subcode));
        assert!(events.is_empty());
    }
    let held: usize = events.iter().map(footprint).sum();
    // Two events at most share the attributes; what else there is takes an octet of the message at
    // least.
    assert!(held <= 2 * body.len() && faults.len() <= body.len());
    match worst {
        None => Outcome::UpdateInOrder,
        Some(Severity::PrefixDiscard | Severity::AttributeDiscard) => Outcome::PartDiscarded,
        Some(Severity::TreatAsWithdraw) => Outcome::TreatedAsWithdraw,
        Some(Severity::SessionReset) => Outcome::SessionReset,
    }
}

/// Things held for an event, each of which is at most a few words.
fn footprint(event: &RouteEvent) -> usize {
    match event {
        RouteEvent::Announce {
            attrs,
            prefixes,
            path_ids,
        } => {
            assert!(!prefixes.is_empty() && attrs.nexthop.is_some());
            assert!(path_ids.is_empty() || path_ids.len() == prefixes.len());
            prefixes.len() + attributes(attrs)
        }
        RouteEvent::Withdraw { prefixes, path_ids } => {
            assert!(!prefixes.is_empty());
            assert!(path_ids.is_empty() || path_ids.len() == prefixes.len());
            prefixes.len()
        }
        RouteEvent::EndOfRib(_) | RouteEvent::RefreshBegins(_) | RouteEvent::RefreshEnds(_) => 0,
    }
}

fn attributes(attrs: &Attrs) -> usize {
    let unknown = attrs.unknown.iter().flat_map(|unknown| unknown.iter());
    let clusters = attrs
        .reflection
        .as_ref()
        .map_or(0, |reflection| reflection.cluster_list.len());
    attrs.as_path.iter().count()
        + attrs.as_path.segments.len()
        + attrs.communities.len()
        + attrs.large_communities.len()
        + attrs.ext_communities.len()
        + clusters
        + unknown.map(|raw| raw.value.len()).sum::<usize>()
}

/// A session that is in `state` hears the mutant, and nothing else.
fn converse(bytes: &[u8], state: State) {
    let mut config = SessionConfig::new(Asn(65001), identifier(1), Asn(65002));
    config.mode = Mode::Passive;
    let now = Instant::now();
    let mut session = Session::new(config, 7, now);
    session.handle(Input::Start, now);
    let local = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    session.handle(
        Input::Connected {
            conn: Conn::Inbound,
            local,
        },
        now,
    );
    if state >= State::OpenConfirm {
        session.handle(Input::Bytes(Conn::Inbound, OPEN), now);
    }
    if state >= State::Established {
        session.handle(Input::Bytes(Conn::Inbound, KEEPALIVE), now);
    }
    assert_eq!(session.status().state, state);
    drain(&mut session);
    session.handle(Input::Bytes(Conn::Inbound, bytes), now);
    let (outputs, sent) = drain(&mut session);
    let downs = outputs
        .iter()
        .filter(|output| matches!(output, Output::Down(..)));
    let notifications = notifications(&sent);
    if session.status().state == State::Idle {
        assert_eq!(downs.count(), 1);
        assert!(session.poll_timeout().is_some(), "it never tries again");
        check_answer(bytes, state, &notifications);
    } else {
        assert_eq!((downs.count(), notifications.len()), (0, 0));
    }
    assert!(outputs.len() <= 4 && sent.len() <= 4096 + 1024);
}

fn identifier(last: u8) -> RouterId {
    RouterId::new(Ipv4Addr::new(10, 0, 0, last)).expect("not zero")
}

fn drain(session: &mut Session) -> (Vec<Output>, Vec<u8>) {
    let outputs = std::iter::from_fn(|| session.poll_output()).collect();
    let parts = std::iter::from_fn(|| session.poll_transmit(Conn::Inbound));
    let sent = parts.flatten().collect();
    (outputs, sent)
}

fn notifications(mut sent: &[u8]) -> Vec<Notification> {
    let mut frames = Frames::default();
    let mut found = Vec::new();
    while let Some(frame) = frames.next(&mut sent) {
        let frame = frame.expect("we send valid headers");
        if frame.kind == MessageKind::Notification {
            found.extend(Notification::decode(frame.body));
        }
    }
    found
}

/// The message that ended the session may be the first of several.
fn check_answer(bytes: &[u8], state: State, said: &[Notification]) {
    let heard = kinds(bytes);
    let Some(answer) = said.first() else {
        return assert!(heard.contains(&3), "only a NOTIFICATION needs no answer");
    };
    assert_eq!(said.len(), 1);
    let may = match answer.code {
        1 => true,
        2 => state == State::OpenSent && heard.contains(&1),
        3 => state != State::OpenSent && heard.contains(&2),
        5 => answer.subcode > state as u8 - State::OpenSent as u8,
        7 => heard.contains(&5),
        _ => false,
    };
    assert!(may, "{answer:?} in {state:?} to {heard:?}");
}

/// Types of the messages in `bytes`, as far as lengths can be followed.
fn kinds(mut bytes: &[u8]) -> Vec<u8> {
    let mut kinds = Vec::new();
    while let Some(kind) = bytes.get(18) {
        kinds.push(*kind);
        let length = usize::from(u16::from_be_bytes([bytes[16], bytes[17]]));
        bytes = bytes.get(length.max(19)..).unwrap_or_default();
    }
    kinds
}
