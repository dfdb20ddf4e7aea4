//! Type codes and flags of path attributes, and cutting a block of them into single ones
//! (RFC 4271 §4.3).

use super::{take, take_u8, take_u16};

pub(super) const ORIGIN: u8 = 1;
pub(super) const AS_PATH: u8 = 2;
pub(super) const NEXT_HOP: u8 = 3;
pub(super) const MULTI_EXIT_DISC: u8 = 4;
pub(super) const LOCAL_PREF: u8 = 5;
pub(super) const ATOMIC_AGGREGATE: u8 = 6;
pub(super) const AGGREGATOR: u8 = 7;
pub(super) const COMMUNITIES: u8 = 8;
pub(super) const ORIGINATOR_ID: u8 = 9;
pub(super) const CLUSTER_LIST: u8 = 10;
pub(super) const MP_REACH_NLRI: u8 = 14;
pub(super) const MP_UNREACH_NLRI: u8 = 15;
pub(super) const EXTENDED_COMMUNITIES: u8 = 16;
pub(super) const AS4_PATH: u8 = 17;
pub(super) const AS4_AGGREGATOR: u8 = 18;
pub(super) const LARGE_COMMUNITY: u8 = 32;
pub(super) const ONLY_TO_CUSTOMER: u8 = 35;

pub(super) const OPTIONAL: u8 = 0x80;
pub(super) const TRANSITIVE: u8 = 0x40;
pub(super) const PARTIAL: u8 = 0x20;
pub(super) const EXTENDED_LENGTH: u8 = 0x10;

/// The Optional and Transitive bits that an attribute we know must have; `None` for the others.
pub(super) fn category(code: u8) -> Option<u8> {
    match code {
        ORIGIN | AS_PATH | NEXT_HOP | LOCAL_PREF | ATOMIC_AGGREGATE => Some(TRANSITIVE),
        MULTI_EXIT_DISC | ORIGINATOR_ID | CLUSTER_LIST | MP_REACH_NLRI | MP_UNREACH_NLRI => {
            Some(OPTIONAL)
        }
        AGGREGATOR | COMMUNITIES | EXTENDED_COMMUNITIES | AS4_PATH | AS4_AGGREGATOR
        | LARGE_COMMUNITY | ONLY_TO_CUSTOMER => Some(OPTIONAL | TRANSITIVE),
        _ => None,
    }
}

/// One attribute as it lies in the message.
#[derive(Clone, Copy)]
pub(super) struct Attribute<'a> {
    pub(super) flags: u8,
    pub(super) code: u8,
    pub(super) value: &'a [u8],
    /// Header and value, as the data of a NOTIFICATION wants it.
    pub(super) whole: &'a [u8],
}

/// The attribute at the front of `block`; `None` when its header or value runs past the end. The
/// code is returned in that case too if it could be read.
pub(super) fn next<'a>(block: &mut &'a [u8]) -> Result<Attribute<'a>, u8> {
    let start = *block;
    let flags = take_u8(block).ok_or(0)?;
    let code = take_u8(block).ok_or(0)?;
    let length = if flags & EXTENDED_LENGTH == 0 {
        take_u8(block).map(usize::from)
    } else {
        take_u16(block).map(usize::from)
    };
    let value = length.and_then(|length| take(block, length)).ok_or(code)?;
    let whole = start.get(..start.len() - block.len()).unwrap_or(start);
    Ok(Attribute {
        flags,
        code,
        value,
        whole,
    })
}

/// Appends the header of an attribute, with two octets of length only where one is too short.
pub(super) fn encode_header(flags: u8, code: u8, length: usize, out: &mut Vec<u8>) {
    let flags = flags & !EXTENDED_LENGTH;
    match u8::try_from(length) {
        Ok(length) => out.extend([flags, code, length]),
        Err(_) => {
            let length = u16::try_from(length).unwrap_or(u16::MAX);
            out.extend([flags | EXTENDED_LENGTH, code]);
            out.extend(length.to_be_bytes());
        }
    }
}
