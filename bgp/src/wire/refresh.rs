//! ROUTE-REFRESH (RFC 2918 §3, RFC 7313 §3.2).

use bytes::{BufMut, BytesMut};

use super::{MessageKind, encode_message, take_u8, take_u16};
use crate::types::Family;

/// The content of a ROUTE-REFRESH message.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct RouteRefresh {
    /// Address family identifier.
    pub afi: u16,
    /// Reserved in RFC 2918; RFC 7313 §3.2 uses it as a subtype.
    pub subtype: u8,
    /// Subsequent address family identifier.
    pub safi: u8,
}

impl RouteRefresh {
    /// Subtype 0 asks for routes.
    pub const REQUEST: u8 = 0;
    /// Subtype 1: all routes of the family follow (BoRR).
    pub const BEGINS: u8 = 1;
    /// Subtype 2: they have followed (EoRR).
    pub const ENDS: u8 = 2;

    /// Asks for the routes of `family`.
    #[must_use]
    pub fn request(family: Family) -> Self {
        Self::new(family, Self::REQUEST)
    }

    /// A message about `family`.
    #[must_use]
    pub fn new(family: Family, subtype: u8) -> Self {
        Self {
            afi: family.afi(),
            subtype,
            safi: family.safi(),
        }
    }

    /// `None` unless `body` has exactly the four octets that the framing has already asked for.
    #[must_use]
    pub fn decode(mut body: &[u8]) -> Option<Self> {
        let refresh = Self {
            afi: take_u16(&mut body)?,
            subtype: take_u8(&mut body)?,
            safi: take_u8(&mut body)?,
        };
        body.is_empty().then_some(refresh)
    }

    /// Appends the whole message.
    pub fn encode(self, out: &mut BytesMut) {
        encode_message(MessageKind::RouteRefresh, out, |out| {
            out.put_u16(self.afi);
            out.put_u8(self.subtype);
            out.put_u8(self.safi);
        });
    }
}
