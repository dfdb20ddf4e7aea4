//! The far end of a session, as far as UPDATEs go.

use bgp::wire::{Dialect, Frames, MessageKind, RouteRefresh, decode_update};
use bgp::{Family, RouteEvent, Updates};

/// What a peer makes of the UPDATEs that it is sent.
///
/// - `dialect`: as the speaker has it, not the peer
pub(crate) fn heard(updates: &Updates, dialect: &Dialect) -> Vec<RouteEvent> {
    let dialect = Dialect {
        local_asn: dialect.peer_asn,
        peer_asn: dialect.local_asn,
        add_path_receive: dialect.add_path_send,
        add_path_send: dialect.add_path_receive,
        ..dialect.clone()
    };
    let (mut frames, mut events, mut faults) = (Frames::default(), Vec::new(), Vec::new());
    for bytes in &updates.bytes {
        let mut stream = &bytes[..];
        while let Some(frame) = frames.next(&mut stream) {
            let frame = frame.expect("a valid header");
            if frame.kind == MessageKind::RouteRefresh {
                events.push(mark(frame.body));
            } else {
                assert_eq!(frame.kind, MessageKind::Update);
                decode_update(frame.body, &dialect, &mut events, &mut faults).expect("valid");
            }
        }
        assert_eq!(frames.buffered(), 0, "messages are whole");
    }
    assert_eq!(faults, []);
    events
}

fn mark(body: &[u8]) -> RouteEvent {
    let refresh = RouteRefresh::decode(body).expect("valid");
    let family = Family::from_afi_safi(refresh.afi, refresh.safi).expect("known");
    match refresh.subtype {
        RouteRefresh::BEGINS => RouteEvent::RefreshBegins(family),
        RouteRefresh::ENDS => RouteEvent::RefreshEnds(family),
        other => unreachable!("subtype {other}"),
    }
}
