//! Messages as bytes (RFC 4271 §4).
//!
//! [`Frames`] cuts a byte stream into messages and checks their headers. [`Open`],
//! [`Notification`] and [`RouteRefresh`] are values with `decode` and `encode`. An UPDATE is never
//! a value of its own: [`decode_update`] turns its bytes straight into
//! [`RouteEvent`](crate::RouteEvent)s, and an [`UpdateWriter`] packs prefixes that share a set of
//! attributes into as few messages as fit.
//!
//! Decoding never panics and never allocates more than a small multiple of the message. What is
//! wrong with an UPDATE is told as [`Fault`]s, each with the [`Severity`] RFC 7606 gives it.

mod as_path;
mod attribute;
mod capability;
mod dialect;
mod fault;
mod frame;
mod nlri;
mod notification;
mod open;
mod refresh;
mod text;
mod update;
mod writer;

pub use capability::{
    AddPathFamily, Capability, Direction, LongLivedFamily, NexthopEncoding, RestartCapability,
    RestartFamily,
};
pub use dialect::Dialect;
pub use fault::{Fault, Severity};
pub use frame::{Frame, Frames, Lengths, MessageKind, RefreshLength};
pub(crate) use nlri::encoded_len as prefix_octets;
pub use notification::{Notification, PrefixLimitPassed};
pub use open::Open;
pub use refresh::RouteRefresh;
pub use update::decode_update;
pub use writer::{Unsendable, UpdateWriter, encode_end_of_rib, encode_withdraw};

use bytes::{BufMut, BytesMut};

/// Octets of the header: marker, length, type (RFC 4271 §4.1).
pub const HEADER_LEN: usize = 19;

/// The longest message (RFC 4271 §4.1).
pub const MAX_MESSAGE_LEN: usize = 4096;

/// The longest message but OPEN and KEEPALIVE where both ends said so (RFC 8654 §3).
pub const MAX_EXTENDED_LEN: usize = 65535;

/// Appends a KEEPALIVE (RFC 4271 §4.4).
pub fn encode_keepalive(out: &mut BytesMut) {
    encode_message(MessageKind::Keepalive, out, |_| ());
}

/// Appends a header, lets `body` append the rest, and fills in the length.
fn encode_message(kind: MessageKind, out: &mut BytesMut, body: impl FnOnce(&mut BytesMut)) {
    let start = out.len();
    out.put_slice(&[0xff; 16]);
    out.put_u16(0);
    out.put_u8(kind as u8);
    body(out);
    let length = out.len() - start;
    debug_assert!(
        length <= MAX_EXTENDED_LEN,
        "every encoder keeps to the limit"
    );
    if let Some(field) = out.get_mut(start + 16..start + 18) {
        field.copy_from_slice(&u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes());
    }
}

/// A message as it was on the wire, of which `body` followed the header.
pub(crate) fn whole(kind: MessageKind, body: &[u8]) -> BytesMut {
    let mut message = BytesMut::with_capacity(HEADER_LEN + body.len());
    encode_message(kind, &mut message, |out| out.put_slice(body));
    message
}

/// Splits off `count` octets, or tells that there are not so many.
fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (head, tail) = bytes.split_at_checked(count)?;
    *bytes = tail;
    Some(head)
}

fn take_u8(bytes: &mut &[u8]) -> Option<u8> {
    take(bytes, 1)?.first().copied()
}

fn take_u16(bytes: &mut &[u8]) -> Option<u16> {
    Some(u16::from_be_bytes(take(bytes, 2)?.try_into().ok()?))
}

fn take_u32(bytes: &mut &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(take(bytes, 4)?.try_into().ok()?))
}
