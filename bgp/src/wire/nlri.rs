//! Prefixes on the wire: a length in bits and as many octets as it needs (RFC 4271 §4.3).

use std::net::{Ipv4Addr, Ipv6Addr};

use bytes::BufMut;
use ipnet::{Ipv4Net, Ipv6Net};

use super::{take, take_u8};
use crate::types::{Family, Prefix};

/// What is wrong with a list of prefixes, for the log.
pub(super) type Malformed = &'static str;

const TOO_LONG: Malformed = "prefix longer than an address";
const CUT: Malformed = "prefix runs past the end of its field";

/// Appends the prefixes in `bytes`, host bits cleared. After an error `out` holds those before it.
pub(super) fn decode(family: Family, bytes: &[u8], out: &mut Vec<Prefix>) -> Result<(), Malformed> {
    match family {
        Family::Ipv4Unicast => decode_v4(bytes, out),
        Family::Ipv6Unicast => decode_v6(bytes, out),
    }
}

fn decode_v4(mut bytes: &[u8], out: &mut Vec<Prefix>) -> Result<(), Malformed> {
    // A prefix of a full table takes four octets on average.
    out.reserve(bytes.len() / 4);
    while let Some(length) = take_u8(&mut bytes) {
        if length > 32 {
            return Err(TOO_LONG);
        }
        let octets = take(&mut bytes, usize::from(length).div_ceil(8)).ok_or(CUT)?;
        let mut address = [0; 4];
        for (to, from) in address.iter_mut().zip(octets) {
            *to = *from;
        }
        let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
        let address = Ipv4Addr::from(u32::from_be_bytes(address) & mask);
        out.push(Prefix::V4(
            Ipv4Net::new(address, length).map_err(|_| TOO_LONG)?,
        ));
    }
    Ok(())
}

fn decode_v6(mut bytes: &[u8], out: &mut Vec<Prefix>) -> Result<(), Malformed> {
    out.reserve(bytes.len() / 7);
    while let Some(length) = take_u8(&mut bytes) {
        if length > 128 {
            return Err(TOO_LONG);
        }
        let octets = take(&mut bytes, usize::from(length).div_ceil(8)).ok_or(CUT)?;
        let mut address = [0; 16];
        for (to, from) in address.iter_mut().zip(octets) {
            *to = *from;
        }
        let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
        let address = Ipv6Addr::from(u128::from_be_bytes(address) & mask);
        out.push(Prefix::V6(
            Ipv6Net::new(address, length).map_err(|_| TOO_LONG)?,
        ));
    }
    Ok(())
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
        let mut prefixes = Vec::new();
        decode(family, bytes, &mut prefixes)?;
        Ok(prefixes.iter().map(ToString::to_string).collect())
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
        let mut back = Vec::new();
        decode(Family::of(&prefix), &bytes, &mut back).expect("valid");
        assert_eq!(back, [prefix]);
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
