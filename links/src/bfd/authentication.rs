//! Keyed SHA1 (RFC 5880 §4.4, §6.7.4): who knows the key, and that a packet is no older than the last.

use sha1::{Digest, Sha1};

use super::packet;

/// Octets of the authentication section.
pub(super) const LEN: usize = 28;
/// Octets of a digest, and of the longest key.
const DIGEST: usize = 20;
/// Where the digest is in a packet.
const DIGEST_AT: usize = packet::LEN + 8;

/// A shared secret of 1 to 20 octets (RFC 5880 §6.7.4). Shorter ones are padded with zeros, as others do.
pub type Key = crate::key::Key<1, DIGEST>;

/// How packets are authenticated.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Authentication {
    /// Which of the two.
    pub kind: Kind,
    /// Which of several keys; both ends must have the same.
    pub key_id: u8,
    /// The secret.
    pub key: Key,
}

/// What the sequence number does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Grows when the contents change: an old packet can be played again until then.
    KeyedSha1,
    /// Grows with every packet: none can be played again.
    MeticulousKeyedSha1,
}

impl Kind {
    fn code(self) -> u8 {
        match self {
            Self::KeyedSha1 => 4,
            Self::MeticulousKeyedSha1 => 5,
        }
    }
}

impl Authentication {
    /// Whether the sequence number grows for the next packet, given that it has something new to say.
    pub(super) fn counts(&self, news: bool) -> bool {
        match self.kind {
            Kind::KeyedSha1 => news,
            Kind::MeticulousKeyedSha1 => true,
        }
    }

    /// Appends the section, sequence number included, to a header whose length and A bit are set.
    pub(super) fn sign(&self, header: [u8; packet::LEN], sequence: u32) -> [u8; packet::MAX_LEN] {
        let mut signed = [0; packet::MAX_LEN];
        signed[..packet::LEN].copy_from_slice(&header);
        let section = &mut signed[packet::LEN..];
        section[0] = self.kind.code();
        section[1] = LEN as u8;
        section[2] = self.key_id;
        section[4..8].copy_from_slice(&sequence.to_be_bytes());
        section[8..].copy_from_slice(self.key.octets());
        let digest = Sha1::digest(signed);
        signed[DIGEST_AT..].copy_from_slice(&digest);
        signed
    }

    /// The sequence number of a packet of which `section` is the authentication; `None` if the packet
    /// is not signed with our key in our way.
    pub(super) fn verify(&self, datagram: &[u8], section: &[u8]) -> Option<u32> {
        let section: &[u8; LEN] = section.try_into().ok()?;
        let told = [section[0], section[1], section[2]];
        if told != [self.kind.code(), LEN as u8, self.key_id] {
            return None;
        }
        let header: &[u8; DIGEST_AT] = datagram.first_chunk()?;
        let mut hash = Sha1::new();
        hash.update(header);
        hash.update(self.key.octets());
        let expected = hash.finalize();
        let differs = expected.iter().zip(&section[8..]);
        // Every octet is looked at, so that the time says nothing about how many were right.
        let differs = differs.fold(0, |all, (a, b)| all | (a ^ b));
        let mut sequence = [0; 4];
        sequence.copy_from_slice(&section[4..8]);
        (differs == 0).then(|| u32::from_be_bytes(sequence))
    }

    /// Whether a packet numbered `sequence` may follow `last` (RFC 5880 §6.7.4): ahead of it, in a
    /// circular sense, by no more than three detection times.
    pub(super) fn may_follow(&self, last: u32, sequence: u32, multiplier: u8) -> bool {
        let ahead = sequence.wrapping_sub(last);
        let first = match self.kind {
            Kind::KeyedSha1 => 0,
            Kind::MeticulousKeyedSha1 => 1,
        };
        (first..=3 * u32::from(multiplier)).contains(&ahead)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: Kind) -> Authentication {
        Authentication {
            kind,
            key_id: 1,
            key: Key::new(b"k").unwrap(),
        }
    }

    #[test]
    fn sequence_numbers_go_round_at_the_end_of_32_bits() {
        for last in [0, 7, u32::MAX - 4, u32::MAX] {
            for (kind, first) in [(Kind::KeyedSha1, 0), (Kind::MeticulousKeyedSha1, 1)] {
                for ahead in 0..=12 {
                    let may = of(kind).may_follow(last, last.wrapping_add(ahead), 3);
                    assert_eq!(may, (first..=9).contains(&ahead), "{kind:?} {last} {ahead}");
                }
                assert!(!of(kind).may_follow(last, last.wrapping_sub(1), 3));
            }
        }
    }
}
