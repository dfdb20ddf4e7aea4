//! Connection collision (RFC 4271 §6.8, RFC 6286 §2.3).

use super::Conn;
use crate::types::{Asn, RouterId};

/// One end as collision compares it: identifier first, AS number only between equal ones.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct End {
    pub(super) router_id: RouterId,
    pub(super) asn: Asn,
}

/// The connection to close when there are two and the peer is known: the one that the lower end dialled.
/// Both ends come to the same answer, for the one's `Inbound` is the other's `Outbound`.
pub(super) fn loser(ours: End, theirs: End) -> Conn {
    if ours < theirs {
        Conn::Outbound
    } else {
        Conn::Inbound
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn both_ends_keep_what_the_higher_one_dialled() {
        let end = |id: u32, asn| End {
            router_id: RouterId::new(Ipv4Addr::from(id)).expect("not zero"),
            asn: Asn(asn),
        };
        for (low, high) in [
            (end(1, 9), end(2, 1)),
            (end(0x7fff_ffff, 1), end(0x8000_0000, 1)),
            (end(5, 1), end(5, 2)),
        ] {
            assert_eq!(loser(low, high), Conn::Outbound);
            assert_eq!(loser(high, low), Conn::Inbound);
        }
    }
}
