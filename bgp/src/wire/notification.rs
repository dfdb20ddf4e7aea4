//! NOTIFICATION (RFC 4271 §4.5): why a session ends.

use std::fmt;

use bytes::{BufMut, BytesMut};

use super::text::Escaped;
use super::{HEADER_LEN, MAX_MESSAGE_LEN, MessageKind, encode_message};
use crate::session::Cease;
use crate::types::Family;

const CEASE: u8 = 6;
const MAXIMUM_PREFIXES: u8 = Cease::MaximumPrefixes as u8;
const HARD_RESET: u8 = 9;

/// The content of a NOTIFICATION message.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Notification {
    /// Error code.
    pub code: u8,
    /// Error subcode.
    pub subcode: u8,
    /// Diagnostic data, meaning depends on code and subcode.
    pub data: Vec<u8>,
}

impl Notification {
    /// Code 4.
    pub const HOLD_TIMER_EXPIRED: Self = Self {
        code: 4,
        subcode: 0,
        data: Vec::new(),
    };

    /// Code 8 (RFC 9687 §4).
    pub const SEND_HOLD_TIMER_EXPIRED: Self = Self {
        code: 8,
        subcode: 0,
        data: Vec::new(),
    };

    /// A notification with its data, cut to what fits into a message.
    #[must_use]
    pub fn new(code: u8, subcode: u8, data: &[u8]) -> Self {
        let room = MAX_MESSAGE_LEN - HEADER_LEN - 2;
        Self {
            code,
            subcode,
            data: data.get(..room).unwrap_or(data).to_vec(),
        }
    }

    /// An OPEN Message Error without data (RFC 4271 §6.2).
    #[must_use]
    pub fn open_error(subcode: u8) -> Self {
        Self::new(2, subcode, &[])
    }

    /// An UPDATE Message Error; `data` is the attribute at fault where there is one
    /// (RFC 4271 §6.3).
    #[must_use]
    pub fn update_error(subcode: u8, data: &[u8]) -> Self {
        Self::new(3, subcode, data)
    }

    /// A Cease without data.
    #[must_use]
    pub fn cease(cease: Cease) -> Self {
        Self::new(CEASE, cease as u8, &[])
    }

    /// A Cease that says which limit was passed (RFC 4486 §4).
    #[must_use]
    pub fn maximum_prefixes(family: Family, limit: u32) -> Self {
        let mut data = family.afi().to_be_bytes().to_vec();
        data.push(family.safi());
        data.extend(limit.to_be_bytes());
        Self::new(CEASE, Cease::MaximumPrefixes as u8, &data)
    }

    /// A ROUTE-REFRESH Message Error: `message` is not as long as its type (RFC 7313 §5).
    #[must_use]
    pub fn refresh_length(message: &[u8]) -> Self {
        Self::new(7, 1, message)
    }

    /// The same, so that a peer which would keep our routes does not (RFC 8538 §3.1).
    #[must_use]
    pub fn into_hard_reset(self) -> Self {
        let mut data = vec![self.code, self.subcode];
        data.extend(self.data);
        Self::new(CEASE, HARD_RESET, &data)
    }

    /// Whether nothing of the session may be kept (RFC 8538 §4).
    #[must_use]
    pub fn is_hard_reset(&self) -> bool {
        (self.code, self.subcode) == (CEASE, HARD_RESET)
    }

    /// What a hard reset carries, if it is one and says it (RFC 8538 §3.1).
    #[must_use]
    pub fn inner(&self) -> Option<Self> {
        match self.data.as_slice() {
            [code, subcode, data @ ..] if self.is_hard_reset() => {
                let inner = Self::new(*code, *subcode, data);
                // One in another would be shown without end.
                (!inner.is_hard_reset()).then_some(inner)
            }
            _ => None,
        }
    }

    /// The limit that was passed, if this says so; within a hard reset too (RFC 4486 §4).
    #[must_use]
    pub fn prefix_limit(&self) -> Option<PrefixLimitPassed> {
        if let Some(inner) = self.inner() {
            return inner.prefix_limit();
        }
        match (self.code, self.subcode, self.data.as_slice()) {
            (CEASE, MAXIMUM_PREFIXES, [a, b, safi, c, d, e, f]) => Some(PrefixLimitPassed {
                afi: u16::from_be_bytes([*a, *b]),
                safi: *safi,
                limit: u32::from_be_bytes([*c, *d, *e, *f]),
            }),
            _ => None,
        }
    }

    /// `None` when code or subcode are missing, which the framing excludes.
    #[must_use]
    pub fn decode(body: &[u8]) -> Option<Self> {
        match body {
            [code, subcode, data @ ..] => Some(Self::new(*code, *subcode, data)),
            _ => None,
        }
    }

    /// Appends the whole message.
    pub fn encode(&self, out: &mut BytesMut) {
        encode_message(MessageKind::Notification, out, |out| {
            out.put_u8(self.code);
            out.put_u8(self.subcode);
            let room = MAX_MESSAGE_LEN - HEADER_LEN - 2;
            out.put_slice(self.data.get(..room).unwrap_or(&self.data));
        });
    }

    /// The name of the error code, if it is a known one.
    #[must_use]
    pub fn code_name(&self) -> Option<&'static str> {
        Some(match self.code {
            1 => "message header error",
            2 => "OPEN error",
            3 => "UPDATE error",
            4 => "hold timer expired",
            5 => "state machine error",
            6 => "Cease",
            7 => "ROUTE-REFRESH error",
            8 => "send hold timer expired",
            _ => return None,
        })
    }

    /// The name of the subcode, if it is a known one (RFC 4271 §4.5, RFC 4486, RFC 6608,
    /// RFC 7313, RFC 8538, RFC 9234, RFC 9384).
    #[must_use]
    pub fn subcode_name(&self) -> Option<&'static str> {
        Some(match (self.code, self.subcode) {
            (1, 1) => "connection not synchronised",
            (1, 2) => "bad message length",
            (1, 3) => "bad message type",
            (2, 1) => "unsupported version",
            (2, 2) => "bad peer AS",
            (2, 3) => "bad BGP identifier",
            (2, 4) => "unsupported optional parameter",
            (2, 5) => "authentication failure",
            (2, 6) => "unacceptable hold time",
            (2, 7) => "unsupported capability",
            (2, 11) => "role mismatch",
            (3, 1) => "malformed attribute list",
            (3, 2) => "unrecognised well-known attribute",
            (3, 3) => "missing well-known attribute",
            (3, 4) => "attribute flags error",
            (3, 5) => "attribute length error",
            (3, 6) => "invalid ORIGIN",
            (3, 7) => "AS routing loop",
            (3, 8) => "invalid NEXT_HOP",
            (3, 9) => "optional attribute error",
            (3, 10) => "invalid network field",
            (3, 11) => "malformed AS_PATH",
            (5, 1) => "unexpected message in OpenSent",
            (5, 2) => "unexpected message in OpenConfirm",
            (5, 3) => "unexpected message in Established",
            (6, 1) => "maximum number of prefixes reached",
            (6, 2) => "administrative shutdown",
            (6, 3) => "peer deconfigured",
            (6, 4) => "administrative reset",
            (6, 5) => "connection rejected",
            (6, 6) => "other configuration change",
            (6, 7) => "connection collision resolution",
            (6, 8) => "out of resources",
            (6, 9) => "hard reset",
            (6, 10) => "BFD down",
            (7, 1) => "invalid message length",
            _ => return None,
        })
    }

    fn write_data(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code, self.subcode, self.data.as_slice()) {
            (_, _, []) => Ok(()),
            (1, 2, [a, b]) => write!(f, " (length {})", u16::from_be_bytes([*a, *b])),
            (1, 3, [kind]) => write!(f, " (type {kind})"),
            (2, 1, [a, b]) => write!(f, " (supports {})", u16::from_be_bytes([*a, *b])),
            (2, 2, [a, b]) => write!(f, " ({})", u16::from_be_bytes([*a, *b])),
            (2, 2, [a, b, c, d]) => write!(f, " ({})", u32::from_be_bytes([*a, *b, *c, *d])),
            (5, _, [kind]) => write!(f, " (type {kind})"),
            (6, 1, _) if let Some(limit) = self.prefix_limit() => write!(f, " (limit of {limit})"),
            (6, 9, _) if let Some(inner) = self.inner() => write!(f, ": {inner}"),
            (6, 2 | 4, [length, text @ ..]) => {
                let text = text.get(..usize::from(*length)).unwrap_or(text);
                write!(f, ": \"{}\"", Escaped(text))
            }
            (_, _, data) => write_hex(f, data),
        }
    }
}

/// `Cease / administrative shutdown: "back at 4"`, for logs and the CLI.
impl fmt::Display for Notification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code_name() {
            Some(name) => f.write_str(name)?,
            None => write!(f, "error {}", self.code)?,
        }
        match self.subcode_name() {
            Some(name) => write!(f, " / {name}")?,
            None if self.subcode != 0 => write!(f, " / subcode {}", self.subcode)?,
            None => {}
        }
        self.write_data(f)
    }
}

/// Which limit of the sender of a NOTIFICATION was passed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PrefixLimitPassed {
    /// Address family identifier.
    pub afi: u16,
    /// Subsequent address family identifier.
    pub safi: u8,
    /// Prefixes that it takes.
    pub limit: u32,
}

/// `100 ipv4 prefixes`.
impl fmt::Display for PrefixLimitPassed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { afi, safi, limit } = self;
        match Family::from_afi_safi(*afi, *safi) {
            Some(family) => write!(f, "{limit} {family} prefixes"),
            None => write!(f, "{limit} prefixes of afi {afi} safi {safi}"),
        }
    }
}

fn write_hex(f: &mut fmt::Formatter<'_>, data: &[u8]) -> fmt::Result {
    const SHOWN: usize = 32;
    f.write_str(" (data ")?;
    for octet in data.iter().take(SHOWN) {
        write!(f, "{octet:02x}")?;
    }
    f.write_str(if data.len() > SHOWN { "...)" } else { ")" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_what_an_operator_needs() {
        let mut hostile = vec![14];
        hostile.extend(b"bye\n\x1b[31mnow\"\xff");
        let cases: &[(u8, u8, &[u8], &str)] = &[
            (6, 2, &[], "Cease / administrative shutdown"),
            (
                6,
                2,
                b"\x06back 4",
                "Cease / administrative shutdown: \"back 4\"",
            ),
            (
                6,
                2,
                b"\xffshort",
                "Cease / administrative shutdown: \"short\"",
            ),
            (
                6,
                4,
                &hostile,
                "Cease / administrative reset: \"bye\\n\\u{1b}[31mnow\\\"\u{fffd}\"",
            ),
            (2, 2, &[0xfe, 0x4b], "OPEN error / bad peer AS (65099)"),
            (2, 2, &[0, 1, 0, 0], "OPEN error / bad peer AS (65536)"),
            (
                6,
                1,
                &[0, 1, 1, 0, 0, 0, 100],
                "Cease / maximum number of prefixes reached (limit of 100 ipv4 prefixes)",
            ),
            (
                6,
                1,
                &[0, 25, 70, 0, 0, 0, 7],
                "Cease / maximum number of prefixes reached (limit of 7 prefixes of afi 25 safi 70)",
            ),
            (
                1,
                2,
                &[0x10, 1],
                "message header error / bad message length (length 4097)",
            ),
            (
                6,
                9,
                b"\x06\x02\x06back 4",
                "Cease / hard reset: Cease / administrative shutdown: \"back 4\"",
            ),
            (6, 9, &[6, 9, 6, 9], "Cease / hard reset (data 06090609)"),
            (6, 9, &[], "Cease / hard reset"),
            (2, 11, &[], "OPEN error / role mismatch"),
            (4, 0, &[], "hold timer expired"),
            (8, 0, &[], "send hold timer expired"),
            (
                3,
                11,
                &[0x40, 2],
                "UPDATE error / malformed AS_PATH (data 4002)",
            ),
            (99, 3, &[], "error 99 / subcode 3"),
            (3, 0, &[], "UPDATE error"),
        ];
        for (code, subcode, data, text) in cases {
            let notification = Notification::new(*code, *subcode, data);
            assert_eq!(notification.to_string(), *text);
        }
    }

    #[test]
    fn data_is_cut_to_what_fits() {
        let mut out = BytesMut::new();
        Notification::new(6, 2, &[7; 5000]).encode(&mut out);
        assert_eq!(out.len(), MAX_MESSAGE_LEN);
        let huge = Notification {
            code: 6,
            subcode: 2,
            data: vec![7; 5000],
        };
        out.clear();
        huge.encode(&mut out);
        assert_eq!(out.len(), MAX_MESSAGE_LEN);
    }
}
