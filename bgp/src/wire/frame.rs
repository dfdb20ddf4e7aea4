//! Framing: a byte stream becomes messages (RFC 4271 §4.1, §6.1).

use super::{HEADER_LEN, MAX_MESSAGE_LEN, Notification};

/// The type of a message.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum MessageKind {
    /// 1.
    Open = 1,
    /// 2.
    Update = 2,
    /// 3.
    Notification = 3,
    /// 4.
    Keepalive = 4,
    /// 5 (RFC 2918).
    RouteRefresh = 5,
}

impl MessageKind {
    fn from_octet(octet: u8) -> Option<Self> {
        match octet {
            1 => Some(Self::Open),
            2 => Some(Self::Update),
            3 => Some(Self::Notification),
            4 => Some(Self::Keepalive),
            5 => Some(Self::RouteRefresh),
            _ => None,
        }
    }

    /// Whether a message of this type can be this long (RFC 4271 §6.1, RFC 2918 §3).
    fn allows(self, length: usize, lengths: Lengths) -> bool {
        let longest = match self {
            Self::Open | Self::Keepalive => MAX_MESSAGE_LEN,
            Self::Update | Self::Notification | Self::RouteRefresh => lengths.longest,
        };
        length <= longest
            && match self {
                Self::Open => length >= 29,
                Self::Update => length >= 23,
                Self::Notification => length >= 21,
                Self::Keepalive => length == 19,
                Self::RouteRefresh => length == 23 || lengths.refresh == RefreshLength::Any,
            }
    }
}

/// How long messages may be, as OPEN has settled it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lengths {
    /// The longest message but OPEN and KEEPALIVE: [`MAX_MESSAGE_LEN`] or [`MAX_EXTENDED_LEN`](super::MAX_EXTENDED_LEN)
    /// (RFC 8654 §4).
    pub longest: usize,
    /// Who judges the length of a ROUTE-REFRESH.
    pub refresh: RefreshLength,
}

impl Default for Lengths {
    /// What holds before OPEN.
    fn default() -> Self {
        Self {
            longest: MAX_MESSAGE_LEN,
            refresh: RefreshLength::Exact,
        }
    }
}

/// Who judges the length of a ROUTE-REFRESH.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RefreshLength {
    /// The framing: one of another length is a Message Header Error (RFC 2918).
    Exact,
    /// Whoever reads it: it has an error of its own (RFC 7313 §5).
    Any,
}

/// A message whose header is in order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Frame<'a> {
    /// Its type.
    pub kind: MessageKind,
    /// What follows the header.
    pub body: &'a [u8],
}

/// Cuts messages out of the chunks of a byte stream.
///
/// A message that lies whole in a chunk is handed out as a slice of that chunk. Only one that
/// spans chunks is put together in a buffer, which therefore never holds more than one message, and
/// is there only while one is incomplete.
#[derive(Debug, Default)]
pub struct Frames {
    partial: Vec<u8>,
    /// What is in `partial` has been handed out.
    spent: bool,
    lengths: Lengths,
}

impl Frames {
    /// From the next message on.
    pub fn set_lengths(&mut self, lengths: Lengths) {
        self.lengths = lengths;
    }

    /// The next message of the stream, taken from the front of `input`. `None` once `input` is
    /// used up: what is left of it is kept for the next chunk.
    ///
    /// # Errors
    ///
    /// A Message Header Error (RFC 4271 §6.1). The stream is out of step from there on, so the
    /// connection has to end.
    pub fn next<'a, 'i: 'a>(
        &'a mut self,
        input: &mut &'i [u8],
    ) -> Option<Result<Frame<'a>, Notification>> {
        if self.spent {
            self.partial = Vec::new();
            self.spent = false;
        }
        if self.partial.is_empty() {
            match Header::read(input, self.lengths) {
                Ok(Some(header)) if input.len() >= header.length => {
                    return Some(Ok(header.frame(super::take(input, header.length)?)));
                }
                Ok(_) => {
                    self.partial.extend_from_slice(input);
                    *input = &[];
                    return None;
                }
                Err(notification) => return Some(Err(notification)),
            }
        }
        self.fill(HEADER_LEN, input);
        let header = match Header::read(&self.partial, self.lengths) {
            Ok(header) => header?,
            Err(notification) => return Some(Err(notification)),
        };
        self.fill(header.length, input);
        if self.partial.len() < header.length {
            return None;
        }
        self.spent = true;
        Some(Ok(header.frame(&self.partial)))
    }

    /// Octets held back because their message is not complete: always below the longest message.
    #[must_use]
    pub fn buffered(&self) -> usize {
        if self.spent { 0 } else { self.partial.len() }
    }

    fn fill(&mut self, length: usize, input: &mut &[u8]) {
        let missing = length.saturating_sub(self.partial.len()).min(input.len());
        if let Some(bytes) = super::take(input, missing) {
            let whole = length.saturating_sub(self.partial.len());
            self.partial.reserve_exact(whole);
            self.partial.extend_from_slice(bytes);
        }
    }
}

#[derive(Clone, Copy)]
struct Header {
    kind: MessageKind,
    length: usize,
}

impl Header {
    /// `None` while it is not complete.
    fn read(bytes: &[u8], lengths: Lengths) -> Result<Option<Self>, Notification> {
        let Some(header) = bytes.get(..HEADER_LEN) else {
            return Ok(None);
        };
        let mut rest = header;
        let (Some(marker), Some(length), Some(kind)) = (
            super::take(&mut rest, 16),
            super::take_u16(&mut rest),
            super::take_u8(&mut rest),
        ) else {
            return Ok(None);
        };
        if marker != [0xff; 16] {
            return Err(Notification::new(1, 1, &[]));
        }
        let bad_length = || Notification::new(1, 2, &length.to_be_bytes());
        let length_octets = usize::from(length);
        if !(HEADER_LEN..=lengths.longest).contains(&length_octets) {
            return Err(bad_length());
        }
        let kind = MessageKind::from_octet(kind).ok_or_else(|| Notification::new(1, 3, &[kind]))?;
        if !kind.allows(length_octets, lengths) {
            return Err(bad_length());
        }
        Ok(Some(Self {
            kind,
            length: length_octets,
        }))
    }

    fn frame(self, message: &[u8]) -> Frame<'_> {
        Frame {
            kind: self.kind,
            body: message.get(HEADER_LEN..).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, length: u16, body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0xff; 16];
        bytes.extend(length.to_be_bytes());
        bytes.push(kind);
        bytes.extend(body);
        bytes
    }

    fn first(mut input: &[u8]) -> Option<Result<(MessageKind, Vec<u8>), Notification>> {
        let mut frames = Frames::default();
        let frame = frames.next(&mut input)?;
        Some(frame.map(|frame| (frame.kind, frame.body.to_vec())))
    }

    #[test]
    fn headers_that_are_wrong_name_what_is_wrong() {
        for (kind, length, (code, subcode), data) in [
            (4, 18, (1, 2), &[0, 18][..]),
            (2, 4097, (1, 2), &[0x10, 0x01][..]),
            (1, 28, (1, 2), &[0, 28][..]),
            (2, 22, (1, 2), &[0, 22][..]),
            (3, 20, (1, 2), &[0, 20][..]),
            (4, 20, (1, 2), &[0, 20][..]),
            (5, 24, (1, 2), &[0, 24][..]),
            (0, 19, (1, 3), &[0][..]),
            (6, 19, (1, 3), &[6][..]),
        ] {
            let got = first(&message(kind, length, &[]));
            let want = Notification::new(code, subcode, data);
            assert_eq!(got, Some(Err(want)), "type {kind} length {length}");
        }
    }

    #[test]
    fn a_marker_with_one_wrong_bit_is_not_synchronised() {
        let mut bytes = message(4, 19, &[]);
        bytes[7] = 0xfe;
        assert_eq!(first(&bytes), Some(Err(Notification::new(1, 1, &[]))));
    }

    #[test]
    fn any_fragmentation_gives_the_same_messages() {
        let mut stream = message(4, 19, &[]);
        stream.extend(message(2, 27, &[1, 2, 3, 4, 5, 6, 7, 8]));
        stream.extend(message(5, 23, &[0, 1, 0, 1]));
        for size in 1..=stream.len() {
            let mut frames = Frames::default();
            let mut seen = Vec::new();
            for mut chunk in stream.chunks(size) {
                while let Some(frame) = frames.next(&mut chunk) {
                    let frame = frame.expect("a valid stream");
                    seen.push((frame.kind, frame.body.len()));
                }
                assert!(chunk.is_empty());
                assert!(frames.buffered() < MAX_MESSAGE_LEN);
            }
            let want = [
                (MessageKind::Keepalive, 0),
                (MessageKind::Update, 8),
                (MessageKind::RouteRefresh, 4),
            ];
            assert_eq!(seen, want, "chunks of {size}");
            assert_eq!(frames.buffered(), 0);
        }
    }
}
