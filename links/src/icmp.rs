//! ICMP echo as a ping socket sends and receives it (RFC 792, RFC 4443 §4).
//!
//! The kernel owns the identifier, which is what it finds the socket of a reply by, the checksum, and the IP
//! header in front, in both families.

use crate::probe::AddressFamily;
use crate::random::Random;

/// Octets of an echo message as we send it: as long as a STAMP packet, so that both measure alike.
pub const LEN: usize = 44;

/// Type of an echo reply, IPv4.
const REPLY_V4: u8 = 0;
/// Type of an echo request, IPv4.
const REQUEST_V4: u8 = 8;
/// Type of an echo request, IPv6.
const REQUEST_V6: u8 = 128;
/// Type of an echo reply, IPv6.
const REPLY_V6: u8 = 129;

/// What an echo request carries and its reply returns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Echo {
    /// Tells our probes from each other.
    pub sequence: u16,
    /// First eight octets of the payload: proves that the reply answers this very request.
    pub nonce: u64,
}

impl Echo {
    /// The request, as far as it is not the kernel's.
    pub fn encode_request(&self, family: AddressFamily) -> [u8; LEN] {
        let mut message = [0; LEN];
        message[0] = match family {
            AddressFamily::V4 => REQUEST_V4,
            AddressFamily::V6 => REQUEST_V6,
        };
        message[6..8].copy_from_slice(&self.sequence.to_be_bytes());
        message[8..16].copy_from_slice(&self.nonce.to_be_bytes());
        message
    }

    /// The request, `length` octets long, but not shorter than [`LEN`]. What follows the nonce is made from
    /// it, so that no path can compress it.
    pub fn encode_padded(&self, family: AddressFamily, length: usize) -> Vec<u8> {
        let mut message = self.encode_request(family).to_vec();
        let padding = length.saturating_sub(LEN);
        message.extend(Random::new(self.nonce).octets().take(padding));
        message
    }

    /// Reads an echo reply; `None` if it is anything else.
    pub fn decode_reply(received: &[u8], family: AddressFamily) -> Option<Self> {
        let reply = match family {
            AddressFamily::V4 => REPLY_V4,
            AddressFamily::V6 => REPLY_V6,
        };
        let head = received.first_chunk::<16>()?;
        let [kind, code, _, _, _, _, seq0, seq1, nonce @ ..] = *head;
        (kind == reply && code == 0).then(|| Self {
            sequence: u16::from_be_bytes([seq0, seq1]),
            nonce: u64::from_be_bytes(nonce),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ECHO: Echo = Echo {
        sequence: 0x0102,
        nonce: 0x0a0b_0c0d_0e0f_1011,
    };
    const FAMILIES: [(AddressFamily, u8, u8); 2] =
        [(AddressFamily::V4, 8, 0), (AddressFamily::V6, 128, 129)];

    #[test]
    fn a_request_has_the_octets_of_its_rfc() {
        for (family, request, _) in FAMILIES {
            let mut expected = vec![request, 0, 0, 0, 0, 0, 0x01, 0x02];
            expected.extend([0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f, 0x10, 0x11]);
            expected.resize(LEN, 0);
            assert_eq!(ECHO.encode_request(family).to_vec(), expected);
        }
    }

    #[test]
    fn a_padded_request_is_as_long_as_asked() {
        for length in [0, LEN, LEN + 1, 1400, 8981] {
            let message = ECHO.encode_padded(AddressFamily::V4, length);
            assert_eq!(message.len(), length.max(LEN));
            assert_eq!(message[..LEN], ECHO.encode_request(AddressFamily::V4));
        }
    }

    #[test]
    fn a_reply_is_what_was_asked_with_whatever_identifier_the_kernel_gave_it() {
        for (family, _, reply) in FAMILIES {
            let mut message = ECHO.encode_request(family);
            message[0] = reply;
            message[4..6].copy_from_slice(&[0x12, 0x34]);
            assert_eq!(Echo::decode_reply(&message, family), Some(ECHO));
        }
    }

    #[test]
    fn a_request_an_error_and_half_a_reply_are_no_reply() {
        for (family, _, reply) in FAMILIES {
            let mut message = ECHO.encode_request(family);
            assert_eq!(Echo::decode_reply(&message, family), None);
            message[0] = reply;
            for length in 0..16 {
                assert_eq!(Echo::decode_reply(&message[..length], family), None);
            }
            message[1] = 1;
            assert_eq!(Echo::decode_reply(&message, family), None);
        }
    }
}
