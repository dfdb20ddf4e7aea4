//! ICMP echo as a raw socket sends and receives it (RFC 792, RFC 4443 §4).
//!
//! A raw IPv4 socket takes a message without IP header, wants the checksum done, and gives back the
//! IP header in front of what it received. A raw IPv6 socket does neither: the kernel owns the
//! checksum and strips the header (RFC 3542 §3).

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
/// ICMP in the protocol field of an IPv4 header.
const PROTOCOL_V4: u8 = 1;

/// What an echo request carries and its reply returns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Echo {
    /// Tells our probes from those of others on the same host.
    pub identifier: u16,
    /// Tells our probes from each other.
    pub sequence: u16,
    /// First eight octets of the payload: proves that the reply answers this very request.
    pub nonce: u64,
}

impl Echo {
    /// The request, with checksum for IPv4 and without for IPv6.
    pub fn encode_request(&self, family: AddressFamily) -> [u8; LEN] {
        let mut message = [0; LEN];
        message[4..6].copy_from_slice(&self.identifier.to_be_bytes());
        message[6..8].copy_from_slice(&self.sequence.to_be_bytes());
        message[8..16].copy_from_slice(&self.nonce.to_be_bytes());
        match family {
            AddressFamily::V4 => {
                message[0] = REQUEST_V4;
                let sum = checksum(&message);
                message[2..4].copy_from_slice(&sum.to_be_bytes());
            }
            AddressFamily::V6 => message[0] = REQUEST_V6,
        }
        message
    }

    /// The request, `length` octets long, but not shorter than [`LEN`]. What follows the nonce is made from
    /// it, so that no path can compress it.
    pub fn encode_padded(&self, family: AddressFamily, length: usize) -> Vec<u8> {
        let mut message = self.encode_request(family).to_vec();
        let padding = length.saturating_sub(LEN);
        message.extend(Random::new(self.nonce).octets().take(padding));
        if family == AddressFamily::V4 {
            message[2..4].fill(0);
            let sum = checksum(&message);
            message[2..4].copy_from_slice(&sum.to_be_bytes());
        }
        message
    }

    /// Reads an echo reply from what a raw socket received; `None` if it is anything else, which is
    /// common: such a socket sees every ICMP message of the host.
    pub fn decode_reply(received: &[u8], family: AddressFamily) -> Option<Self> {
        let message = match family {
            AddressFamily::V4 => after_ipv4_header(received)?,
            AddressFamily::V6 => received,
        };
        let reply = match family {
            AddressFamily::V4 => REPLY_V4,
            AddressFamily::V6 => REPLY_V6,
        };
        let head = message.first_chunk::<16>()?;
        let [kind, code, _, _, id0, id1, seq0, seq1, nonce @ ..] = *head;
        if kind != reply || code != 0 {
            return None;
        }
        if family == AddressFamily::V4 && checksum(message) != 0 {
            return None;
        }
        Some(Self {
            identifier: u16::from_be_bytes([id0, id1]),
            sequence: u16::from_be_bytes([seq0, seq1]),
            nonce: u64::from_be_bytes(nonce),
        })
    }
}

/// What follows the IPv4 header, if the packet is ICMP and not a later fragment.
fn after_ipv4_header(packet: &[u8]) -> Option<&[u8]> {
    let head = packet.first_chunk::<20>()?;
    let length = usize::from(head[0] & 0x0f) * 4;
    let offset = u16::from_be_bytes([head[6], head[7]]) & 0x1fff;
    if head[0] >> 4 != 4 || length < 20 || head[9] != PROTOCOL_V4 || offset != 0 {
        return None;
    }
    packet.get(length..)
}

/// The Internet checksum (RFC 1071); 0 over a message that contains a right one.
fn checksum(message: &[u8]) -> u16 {
    let mut sum: u32 = 0;
    for pair in message.chunks(2) {
        let word = [pair[0], pair.get(1).copied().unwrap_or(0)];
        sum += u32::from(u16::from_be_bytes(word));
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ECHO: Echo = Echo {
        identifier: 0x1234,
        sequence: 0x0102,
        nonce: 0x0a0b_0c0d_0e0f_1011,
    };

    /// The reply as a raw IPv4 socket delivers it.
    fn reply_v4() -> Vec<u8> {
        let mut message = ECHO.encode_request(AddressFamily::V4);
        message[0] = REPLY_V4;
        message[2..4].fill(0);
        let sum = checksum(&message);
        message[2..4].copy_from_slice(&sum.to_be_bytes());
        let header = [
            0x45, 0, 0, 64, 0, 0, 0x40, 0, 64, 1, 0, 0, 10, 0, 0, 2, 10, 0, 0, 1,
        ];
        [&header[..], &message].concat()
    }

    #[test]
    fn request_v4_has_the_octets_of_rfc_792_with_checksum() {
        let mut expected = vec![8, 0, 0xb0, 0x91, 0x12, 0x34, 0x01, 0x02];
        expected.extend([0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f, 0x10, 0x11]);
        expected.resize(LEN, 0);
        assert_eq!(ECHO.encode_request(AddressFamily::V4).to_vec(), expected);
    }

    #[test]
    fn a_padded_request_is_as_long_as_asked_with_a_checksum_over_all_of_it() {
        for length in [0, LEN, LEN + 1, 1400, 8981] {
            let message = ECHO.encode_padded(AddressFamily::V4, length);
            assert_eq!(message.len(), length.max(LEN));
            assert_eq!(checksum(&message), 0);
            assert_eq!(
                message[4..16],
                ECHO.encode_request(AddressFamily::V4)[4..16]
            );
        }
        let message = ECHO.encode_padded(AddressFamily::V6, 1400);
        assert_eq!(message[2..4], [0, 0], "the kernel's");
    }

    #[test]
    fn request_v6_leaves_the_checksum_to_the_kernel() {
        let message = ECHO.encode_request(AddressFamily::V6);
        assert_eq!(message[..8], [128, 0, 0, 0, 0x12, 0x34, 0x01, 0x02]);
    }

    #[test]
    fn reply_v4_is_read_behind_its_ip_header_with_and_without_options() {
        assert_eq!(
            Echo::decode_reply(&reply_v4(), AddressFamily::V4),
            Some(ECHO)
        );
        let mut with_options = reply_v4();
        with_options[0] = 0x46;
        with_options.splice(20..20, [1, 1, 1, 0]);
        assert_eq!(
            Echo::decode_reply(&with_options, AddressFamily::V4),
            Some(ECHO)
        );
    }

    #[test]
    fn reply_v6_is_read_without_header() {
        let mut message = ECHO.encode_request(AddressFamily::V6);
        message[0] = REPLY_V6;
        assert_eq!(Echo::decode_reply(&message, AddressFamily::V6), Some(ECHO));
    }

    #[test]
    fn request_and_damaged_reply_are_no_reply() {
        let mut request = reply_v4();
        request[20] = REQUEST_V4;
        assert_eq!(Echo::decode_reply(&request, AddressFamily::V4), None);
        for at in 20..reply_v4().len() {
            let mut damaged = reply_v4();
            damaged[at] ^= 0x10;
            assert_eq!(
                Echo::decode_reply(&damaged, AddressFamily::V4),
                None,
                "octet {at}"
            );
        }
        for length in 0..36 {
            assert_eq!(
                Echo::decode_reply(&reply_v4()[..length], AddressFamily::V4),
                None
            );
        }
    }

    #[test]
    fn checksum_of_odd_length_pads_with_zero() {
        assert_eq!(
            checksum(&[0x12, 0x34, 0x56]),
            checksum(&[0x12, 0x34, 0x56, 0])
        );
    }
}
