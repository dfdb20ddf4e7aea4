//! OPEN (RFC 4271 §4.2), and how capabilities lie in it (RFC 5492, RFC 9072).

use std::net::Ipv4Addr;

use bytes::{BufMut, BytesMut};

use super::{
    Capability, MessageKind, Notification, encode_message, take, take_u8, take_u16, take_u32,
};
use crate::types::{Asn, Family, RouterId};

/// The content of an OPEN message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Open {
    /// The 2-octet field; [`Asn::TRANS`] stands for a number that does not fit.
    pub my_as: u16,
    /// Seconds: 0 or at least 3.
    pub hold_time_secs: u16,
    /// The sender's identifier.
    pub router_id: RouterId,
    /// In the order of the message.
    pub capabilities: Vec<Capability>,
}

const VERSION: u8 = 4;
const PARAMETER_CAPABILITIES: u8 = 2;
const PARAMETER_EXTENDED: u8 = 255;
/// The most octets of capabilities that fit into one classic optional parameter.
const CLASSIC_ROOM: usize = 253;

impl Open {
    /// The sender's AS number: that of the 4-octet capability if there is one.
    #[must_use]
    pub fn asn(&self) -> Asn {
        let asn = self.asn_capability();
        asn.unwrap_or(Asn(u32::from(self.my_as)))
    }

    /// The AS number of the 4-octet capability (RFC 6793 §3).
    #[must_use]
    pub fn asn_capability(&self) -> Option<Asn> {
        self.capabilities.iter().find_map(|capability| {
            if let Capability::FourOctetAsn(asn) = capability {
                Some(*asn)
            } else {
                None
            }
        })
    }

    /// Whether exactly this capability is there.
    #[must_use]
    pub fn has(&self, capability: &Capability) -> bool {
        self.capabilities.contains(capability)
    }

    /// Whether this family is offered; IPv4 unicast is when none is named (RFC 4760 §8).
    #[must_use]
    pub fn offers(&self, family: Family) -> bool {
        let mut named = self
            .capabilities
            .iter()
            .filter_map(|capability| {
                if let Capability::Multiprotocol { afi, safi } = capability {
                    Some((*afi, *safi))
                } else {
                    None
                }
            })
            .peekable();
        if named.peek().is_none() {
            return family == Family::Ipv4Unicast;
        }
        named.any(|(afi, safi)| Family::from_afi_safi(afi, safi) == Some(family))
    }

    /// Reads what follows the header.
    ///
    /// # Errors
    ///
    /// An OPEN Message Error (RFC 4271 §6.2) for what can be judged without knowing the peer:
    /// version, hold time, identifier, optional parameters, AS 0 (RFC 7607).
    pub fn decode(body: &[u8]) -> Result<Self, Notification> {
        let malformed = || Notification::open_error(0);
        let mut rest = body;
        if take_u8(&mut rest).ok_or_else(malformed)? != VERSION {
            return Err(Notification::new(2, 1, &u16::from(VERSION).to_be_bytes()));
        }
        let my_as = take_u16(&mut rest).ok_or_else(malformed)?;
        let hold_time_secs = take_u16(&mut rest).ok_or_else(malformed)?;
        let router_id = Ipv4Addr::from(take_u32(&mut rest).ok_or_else(malformed)?);
        let capabilities = decode_parameters(rest)?;
        let open = Self {
            my_as,
            hold_time_secs,
            router_id: RouterId::new(router_id).ok_or_else(|| Notification::open_error(3))?,
            capabilities,
        };
        if open.my_as == 0 || open.asn() == Asn(0) {
            return Err(Notification::new(2, 2, &[0, 0]));
        }
        if matches!(hold_time_secs, 1 | 2) {
            return Err(Notification::open_error(6));
        }
        Ok(open)
    }

    /// Appends the whole message, with all capabilities in one optional parameter; in the form of
    /// RFC 9072 when they need more than 253 octets. Capabilities beyond the longest message are
    /// left out.
    pub fn encode(&self, out: &mut BytesMut) {
        let mut capabilities = Vec::new();
        for capability in &self.capabilities {
            let before = capabilities.len();
            capability.encode(&mut capabilities);
            if capabilities.len() > EXTENDED_ROOM {
                capabilities.truncate(before);
            }
        }
        encode_message(MessageKind::Open, out, |out| {
            out.put_u8(VERSION);
            out.put_u16(self.my_as);
            out.put_u16(self.hold_time_secs);
            out.put_slice(&self.router_id.address().octets());
            encode_parameters(&capabilities, out);
        });
    }
}

/// The most octets of capabilities that fit into a message in the form of RFC 9072.
const EXTENDED_ROOM: usize = super::MAX_MESSAGE_LEN - super::HEADER_LEN - 9 - 4 - 3;

fn encode_parameters(capabilities: &[u8], out: &mut BytesMut) {
    let length = u16::try_from(capabilities.len()).unwrap_or(u16::MAX);
    if capabilities.is_empty() {
        out.put_u8(0);
    } else if capabilities.len() <= CLASSIC_ROOM {
        let short = u8::try_from(length).unwrap_or(u8::MAX);
        out.put_slice(&[short + 2, PARAMETER_CAPABILITIES, short]);
    } else {
        out.put_slice(&[255, PARAMETER_EXTENDED]);
        out.put_u16(length + 3);
        out.put_u8(PARAMETER_CAPABILITIES);
        out.put_u16(length);
    }
    out.put_slice(capabilities);
}

/// Both forms of optional parameters: lengths of one octet, or of two (RFC 9072 §2).
fn decode_parameters(mut bytes: &[u8]) -> Result<Vec<Capability>, Notification> {
    let malformed = || Notification::open_error(0);
    let mut length = usize::from(take_u8(&mut bytes).ok_or_else(malformed)?);
    let extended = length != 0 && bytes.first() == Some(&PARAMETER_EXTENDED);
    if extended {
        take_u8(&mut bytes);
        length = usize::from(take_u16(&mut bytes).ok_or_else(malformed)?);
    }
    if length != bytes.len() {
        return Err(malformed());
    }
    let mut capabilities = Vec::new();
    while let Some(kind) = take_u8(&mut bytes) {
        let length = if extended {
            take_u16(&mut bytes).map(usize::from)
        } else {
            take_u8(&mut bytes).map(usize::from)
        };
        let value = length.and_then(|length| take(&mut bytes, length));
        let value = value.ok_or_else(malformed)?;
        if kind != PARAMETER_CAPABILITIES {
            return Err(Notification::open_error(4));
        }
        decode_capabilities(value, &mut capabilities)?;
    }
    Ok(capabilities)
}

fn decode_capabilities(mut bytes: &[u8], out: &mut Vec<Capability>) -> Result<(), Notification> {
    while let Some(code) = take_u8(&mut bytes) {
        let length = take_u8(&mut bytes).map(usize::from);
        let value = length.and_then(|length| take(&mut bytes, length));
        let capability = value.and_then(|value| Capability::decode(code, value));
        out.push(capability.ok_or_else(|| Notification::open_error(0))?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(capabilities: Vec<Capability>) -> Open {
        Open {
            my_as: 65010,
            hold_time_secs: 90,
            router_id: RouterId::new(Ipv4Addr::new(10, 0, 0, 1)).expect("not zero"),
            capabilities,
        }
    }

    fn body(parameters: &[u8]) -> Vec<u8> {
        let mut body = vec![4, 0xfd, 0xf2, 0, 90, 10, 0, 0, 1];
        body.extend(parameters);
        body
    }

    fn encoded(open: &Open) -> BytesMut {
        let mut out = BytesMut::new();
        open.encode(&mut out);
        out
    }

    #[test]
    fn what_is_encoded_decodes_to_itself_in_both_forms() {
        let unknown = |size| Capability::Unknown {
            code: 99,
            value: vec![9; size],
        };
        for capabilities in [
            vec![],
            vec![
                Capability::Multiprotocol { afi: 1, safi: 1 },
                Capability::Multiprotocol { afi: 25, safi: 70 },
                Capability::RouteRefresh,
                Capability::FourOctetAsn(Asn(4_200_000_000)),
            ],
            vec![unknown(251)],
            vec![unknown(252)],
            vec![unknown(255), unknown(255), unknown(0)],
        ] {
            let open = open(capabilities);
            let bytes = encoded(&open);
            assert_eq!(Open::decode(&bytes[19..]), Ok(open));
        }
    }

    #[test]
    fn capabilities_beyond_the_longest_message_are_left_out() {
        let many = open(vec![
            Capability::Unknown {
                code: 99,
                value: vec![9; 255]
            };
            40
        ]);
        let bytes = encoded(&many);
        assert!(bytes.len() <= super::super::MAX_MESSAGE_LEN);
        assert!(Open::decode(&bytes[19..]).is_ok());
    }

    #[test]
    fn one_parameter_each_or_all_in_one_is_the_same() {
        let each = body(&[12, 2, 2, 2, 0, 2, 6, 1, 4, 0, 2, 0, 1]);
        let together = body(&[10, 2, 8, 2, 0, 1, 4, 0, 2, 0, 1]);
        let want = vec![
            Capability::RouteRefresh,
            Capability::Multiprotocol { afi: 2, safi: 1 },
        ];
        for bytes in [each, together] {
            assert_eq!(Open::decode(&bytes), Ok(open(want.clone())));
        }
    }

    #[test]
    fn faults_have_their_subcode() {
        let with = |at: usize, octets: &[u8]| {
            let mut bytes = body(&[0]);
            bytes[at..at + octets.len()].copy_from_slice(octets);
            bytes
        };
        let cases: &[(&str, Vec<u8>, u8, &[u8])] = &[
            ("version 3", with(0, &[3]), 1, &[0, 4]),
            ("AS 0", with(1, &[0, 0]), 2, &[0, 0]),
            ("hold time 2", with(3, &[0, 2]), 6, &[]),
            ("identifier 0", with(5, &[0; 4]), 3, &[]),
            ("authentication parameter", body(&[3, 1, 1, 0]), 4, &[]),
            ("length beyond the message", body(&[4, 2, 2, 2]), 0, &[]),
            ("length short of the message", body(&[0, 2]), 0, &[]),
            ("capability overruns", body(&[4, 2, 2, 65, 4]), 0, &[]),
            (
                "family of three octets",
                body(&[7, 2, 5, 1, 3, 0, 1, 0]),
                0,
                &[],
            ),
            ("extended length cut", body(&[255, 255, 0]), 0, &[]),
            ("no parameter length", body(&[]), 0, &[]),
        ];
        for (name, bytes, subcode, data) in cases {
            let want = Notification::new(2, *subcode, data);
            assert_eq!(Open::decode(bytes), Err(want), "{name}");
        }
    }

    #[test]
    fn no_family_named_means_ipv4() {
        assert!(open(vec![]).offers(Family::Ipv4Unicast));
        assert!(!open(vec![]).offers(Family::Ipv6Unicast));
        let v6 = open(vec![Capability::Multiprotocol { afi: 2, safi: 1 }]);
        assert!(v6.offers(Family::Ipv6Unicast) && !v6.offers(Family::Ipv4Unicast));
    }
}
