//! Prefixes on the wire: a length in bits and as many octets as it needs (RFC 4271 §4.3).

use std::net::{Ipv4Addr, Ipv6Addr};

use bytes::BufMut;
use ipnet::{Ipv4Net, Ipv6Net};

use super::{take, take_u8, take_u32};
use crate::types::{Family, PathId, Prefix};

/// What is wrong with a list of prefixes, for the log.
pub(super) type Malformed = &'static str;

const TOO_LONG: Malformed = "prefix longer than an address";
const CUT: Malformed = "prefix runs past the end of its field";

/// Prefixes of one field of an UPDATE, with their path identifiers where the peer sends them.
#[derive(Debug, Default)]
pub(super) struct Nlri {
    pub(super) prefixes: Vec<Prefix>,
    /// One for each prefix, or none at all.
    pub(super) path_ids: Vec<PathId>,
}

/// Whether each prefix stands behind a path identifier (RFC 7911 §3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum PathIds {
    Absent,
    Present,
}

impl Nlri {
    pub(super) fn is_empty(&self) -> bool {
        self.prefixes.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.prefixes.clear();
        self.path_ids.clear();
    }

    /// Takes out the prefixes of a kind, and their path identifiers.
    pub(super) fn remove(&mut self, is_of_kind: impl Fn(&Prefix) -> bool) {
        let stay: Vec<bool> = self.prefixes.iter().map(|net| !is_of_kind(net)).collect();
        let mut stays = stay.iter();
        self.prefixes.retain(|_| stays.next() == Some(&true));
        let mut stays = stay.iter();
        self.path_ids.retain(|_| stays.next() == Some(&true));
    }

    pub(super) fn append(&mut self, other: &mut Self) {
        self.prefixes.append(&mut other.prefixes);
        self.path_ids.append(&mut other.path_ids);
    }

    /// Appends the prefixes in `bytes`, host bits cleared. After an error those before it are there.
    pub(super) fn decode(
        &mut self,
        family: Family,
        path_ids: PathIds,
        bytes: &[u8],
    ) -> Result<(), Malformed> {
        match (family, path_ids) {
            (Family::Ipv4Unicast, PathIds::Absent) => self.decode_v4(bytes),
            (Family::Ipv6Unicast, PathIds::Absent) => self.decode_v6(bytes),
            (_, PathIds::Present) => self.decode_with_path_ids(family, bytes),
        }
    }

    fn decode_v4(&mut self, mut bytes: &[u8]) -> Result<(), Malformed> {
        // A prefix of a full table takes four octets on average.
        self.prefixes.reserve(bytes.len() / 4);
        while !bytes.is_empty() {
            self.prefixes.push(take_v4(&mut bytes)?);
        }
        Ok(())
    }

    fn decode_v6(&mut self, mut bytes: &[u8]) -> Result<(), Malformed> {
        self.prefixes.reserve(bytes.len() / 7);
        while !bytes.is_empty() {
            self.prefixes.push(take_v6(&mut bytes)?);
        }
        Ok(())
    }

    fn decode_with_path_ids(&mut self, family: Family, mut bytes: &[u8]) -> Result<(), Malformed> {
        self.prefixes.reserve(bytes.len() / 8);
        self.path_ids.reserve(bytes.len() / 8);
        while !bytes.is_empty() {
            let id = take_u32(&mut bytes).ok_or(CUT)?;
            let prefix = match family {
                Family::Ipv4Unicast => take_v4(&mut bytes)?,
                Family::Ipv6Unicast => take_v6(&mut bytes)?,
            };
            self.prefixes.push(prefix);
            self.path_ids.push(PathId(id));
        }
        Ok(())
    }
}

fn take_v4(bytes: &mut &[u8]) -> Result<Prefix, Malformed> {
    let length = take_u8(bytes).ok_or(CUT)?;
    if length > 32 {
        return Err(TOO_LONG);
    }
    let address = u32::from_be_bytes(take_address(bytes, length)?);
    let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
    let net = Ipv4Net::new(Ipv4Addr::from(address & mask), length).map_err(|_| TOO_LONG)?;
    Ok(Prefix::V4(net))
}

fn take_v6(bytes: &mut &[u8]) -> Result<Prefix, Malformed> {
    let length = take_u8(bytes).ok_or(CUT)?;
    if length > 128 {
        return Err(TOO_LONG);
    }
    let address = u128::from_be_bytes(take_address(bytes, length)?);
    let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
    let net = Ipv6Net::new(Ipv6Addr::from(address & mask), length).map_err(|_| TOO_LONG)?;
    Ok(Prefix::V6(net))
}

/// The octets of an address that `length` bits need. What follows them in the result is arbitrary.
fn take_address<const N: usize>(bytes: &mut &[u8], length: u8) -> Result<[u8; N], Malformed> {
    let octets = usize::from(length).div_ceil(8);
    // In the middle of a message, one load; only its end needs to be copied with care.
    if let Some(address) = bytes.first_chunk::<N>() {
        *bytes = bytes.get(octets..).ok_or(CUT)?;
        return Ok(*address);
    }
    let mut address = [0; N];
    for (to, from) in address.iter_mut().zip(take(bytes, octets).ok_or(CUT)?) {
        *to = *from;
    }
    Ok(address)
}

/// Octets that `prefix` takes.
pub(crate) fn encoded_len(prefix: &Prefix) -> usize {
    1 + usize::from(prefix.prefix_len()).div_ceil(8)
}

/// Appends `prefix`.
pub(super) fn encode(prefix: &Prefix, out: &mut impl BufMut) {
    let octets = encoded_len(prefix) - 1;
    out.put_u8(prefix.prefix_len());
    match prefix {
        Prefix::V4(net) => {
            let address = net.addr().octets();
            out.put_slice(address.get(..octets).unwrap_or(&address));
        }
        Prefix::V6(net) => {
            let address = net.addr().octets();
            out.put_slice(address.get(..octets).unwrap_or(&address));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(family: Family, bytes: &[u8]) -> Result<Vec<String>, Malformed> {
        let mut nlri = Nlri::default();
        nlri.decode(family, PathIds::Absent, bytes)?;
        assert!(nlri.path_ids.is_empty());
        Ok(nlri.prefixes.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn host_bits_are_cleared() {
        let v4 = decoded(Family::Ipv4Unicast, &[9, 10, 255, 0, 32, 1, 2, 3, 4]);
        assert_eq!(
            v4.expect("valid"),
            ["10.128.0.0/9", "0.0.0.0/0", "1.2.3.4/32"]
        );
        let v6 = decoded(Family::Ipv6Unicast, &[20, 0x20, 0x01, 0xff]);
        assert_eq!(v6.expect("valid"), ["2001:f000::/20"]);
    }

    #[test]
    fn every_length_survives_a_round_trip() {
        for length in 0..=32 {
            let net = Ipv4Net::new(Ipv4Addr::new(203, 0, 113, 255), length).expect("legal");
            round_trip(Prefix::V4(net.trunc()));
        }
        for length in 0..=128 {
            let net = Ipv6Net::new(Ipv6Addr::from(u128::MAX - 7), length).expect("legal");
            round_trip(Prefix::V6(net.trunc()));
        }
    }

    fn round_trip(prefix: Prefix) {
        let mut bytes = Vec::new();
        encode(&prefix, &mut bytes);
        assert_eq!(bytes.len(), encoded_len(&prefix));
        let mut back = Nlri::default();
        back.decode(Family::of(&prefix), PathIds::Absent, &bytes)
            .expect("valid");
        assert_eq!(back.prefixes, [prefix]);
    }

    #[test]
    fn path_identifiers_stand_in_front_of_their_prefixes() {
        let mut nlri = Nlri::default();
        let bytes = [0, 0, 0, 7, 8, 10, 0, 1, 0, 0, 0];
        nlri.decode(Family::Ipv4Unicast, PathIds::Present, &bytes)
            .expect("valid");
        let names: Vec<String> = nlri.prefixes.iter().map(ToString::to_string).collect();
        assert_eq!(names, ["10.0.0.0/8", "0.0.0.0/0"]);
        assert_eq!(nlri.path_ids, [PathId(7), PathId(0x0001_0000)]);
        for cut in [&[0, 0, 0][..], &[0, 0, 0, 7], &[0, 0, 0, 7, 8]] {
            let got = nlri.decode(Family::Ipv4Unicast, PathIds::Present, cut);
            assert_eq!(got, Err(CUT), "{cut:?}");
        }
    }

    #[test]
    fn what_cannot_be_a_prefix_is_refused() {
        assert_eq!(
            decoded(Family::Ipv4Unicast, &[33, 0, 0, 0, 0, 0]),
            Err(TOO_LONG)
        );
        assert_eq!(decoded(Family::Ipv6Unicast, &[129]), Err(TOO_LONG));
        assert_eq!(decoded(Family::Ipv4Unicast, &[24, 1, 2]), Err(CUT));
        assert_eq!(decoded(Family::Ipv6Unicast, &[128, 0]), Err(CUT));
    }
}
