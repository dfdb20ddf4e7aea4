//! AS_PATH and AS4_PATH (RFC 4271 §4.3 b, §5.1.2; RFC 6793).

use smallvec::SmallVec;

use super::{take, take_u8};
use crate::attrs::{AsPath, Segment, SegmentKind};
use crate::types::Asn;

const AS_SET: u8 = 1;
const AS_SEQUENCE: u8 = 2;
const AS_CONFED_SEQUENCE: u8 = 3;
const AS_CONFED_SET: u8 = 4;

/// How many octets an AS number takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Width {
    Two = 2,
    Four = 4,
}

/// Reads a path into one that is empty; after an error it holds what came before. Sequences that
/// follow each other become one, so that a path split for the 255 numbers of a segment is the path it
/// was before. AS 0 makes it malformed (RFC 7607 §2).
pub(super) fn decode(
    mut bytes: &[u8],
    width: Width,
    path: &mut AsPath,
) -> Result<(), &'static str> {
    while let Some(kind) = take_u8(&mut bytes) {
        let kind = match kind {
            AS_SET => SegmentKind::Set,
            AS_SEQUENCE => SegmentKind::Sequence,
            AS_CONFED_SEQUENCE | AS_CONFED_SET => {
                return Err("confederation segment from outside a confederation");
            }
            _ => return Err("unknown segment type"),
        };
        let count = take_u8(&mut bytes).ok_or("segment header is cut")?;
        if count == 0 {
            return Err("empty segment");
        }
        let length = usize::from(count) * width as usize;
        let numbers = take(&mut bytes, length).ok_or("segment runs past the end")?;
        match width {
            Width::Two => {
                let numbers = numbers.as_chunks::<2>().0.iter();
                let asns = numbers.map(|octets| Asn(u16::from_be_bytes(*octets).into()));
                append_legal(path, kind, asns)?;
            }
            Width::Four => {
                let numbers = numbers.as_chunks::<4>().0.iter();
                let asns = numbers.map(|octets| Asn(u32::from_be_bytes(*octets)));
                append_legal(path, kind, asns)?;
            }
        }
    }
    Ok(())
}

fn append_legal(
    path: &mut AsPath,
    kind: SegmentKind,
    mut asns: impl Iterator<Item = Asn> + Clone,
) -> Result<(), &'static str> {
    append(path, kind, asns.clone());
    if asns.any(|asn| asn == Asn(0)) {
        return Err("AS 0 is in the path");
    }
    Ok(())
}

fn append(path: &mut AsPath, kind: SegmentKind, asns: impl Iterator<Item = Asn>) {
    match path.segments.last_mut() {
        Some(last) if kind == SegmentKind::Sequence && last.kind == kind => last.asns.extend(asns),
        _ => path.segments.push(Segment {
            kind,
            asns: asns.collect(),
        }),
    }
}

/// The real path of a route that crossed speakers with 2-octet AS numbers: what they put in
/// front of `path`, then `as4_path` (RFC 6793 §4.2.3).
pub(super) fn merge(path: AsPath, as4_path: AsPath) -> AsPath {
    let Some(mut front) = path.length().checked_sub(as4_path.length()) else {
        return path;
    };
    let mut merged = AsPath::default();
    for segment in path.segments {
        if front == 0 {
            break;
        }
        match segment.kind {
            SegmentKind::Set => {
                front -= 1;
                append(&mut merged, segment.kind, segment.asns.into_iter());
            }
            SegmentKind::Sequence => {
                let taken = front.min(segment.asns.len());
                front -= taken;
                append(
                    &mut merged,
                    segment.kind,
                    segment.asns.into_iter().take(taken),
                );
            }
        }
    }
    for segment in as4_path.segments {
        append(&mut merged, segment.kind, segment.asns.into_iter());
    }
    merged
}

/// Whether the path holds a number that two octets cannot.
pub(super) fn is_wide(path: &AsPath) -> bool {
    path.iter().any(|asn| asn.0 > u32::from(u16::MAX))
}

/// Octets of the encoded path.
pub(super) fn encoded_len(path: &AsPath, width: Width) -> usize {
    path.segments
        .iter()
        .map(|segment| 2 * segment.asns.len().div_ceil(255) + segment.asns.len() * width as usize)
        .sum()
}

/// Appends the path, segments of more than 255 numbers split.
pub(super) fn encode(path: &AsPath, width: Width, out: &mut Vec<u8>) {
    for segment in &path.segments {
        let kind = match segment.kind {
            SegmentKind::Set => AS_SET,
            SegmentKind::Sequence => AS_SEQUENCE,
        };
        for asns in split(&segment.asns) {
            out.extend([kind, u8::try_from(asns.len()).unwrap_or(u8::MAX)]);
            for asn in asns {
                match width {
                    Width::Two => out.extend(asn.as_two_octets().to_be_bytes()),
                    Width::Four => out.extend(asn.0.to_be_bytes()),
                }
            }
        }
    }
}

/// Full parts at the end, so that a later prepend finds room in the first (RFC 4271 §5.1.2).
fn split(asns: &SmallVec<[Asn; 6]>) -> impl Iterator<Item = &[Asn]> {
    let (first, rest) = asns.split_at(asns.len() % 255);
    std::iter::once(first)
        .filter(|part| !part.is_empty())
        .chain(rest.chunks(255))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(asns: &[u32]) -> Segment {
        segment(SegmentKind::Set, asns)
    }

    fn sequence(asns: &[u32]) -> Segment {
        segment(SegmentKind::Sequence, asns)
    }

    fn segment(kind: SegmentKind, asns: &[u32]) -> Segment {
        Segment {
            kind,
            asns: asns.iter().copied().map(Asn).collect(),
        }
    }

    fn path<const N: usize>(segments: [Segment; N]) -> AsPath {
        AsPath {
            segments: segments.into_iter().collect(),
        }
    }

    #[test]
    fn long_sequences_are_split_and_joined_again() {
        for length in [1, 254, 255, 256, 510, 600] {
            let long = path([sequence(&(1..=length).collect::<Vec<_>>())]);
            for width in [Width::Two, Width::Four] {
                let mut bytes = Vec::new();
                encode(&long, width, &mut bytes);
                assert_eq!(bytes.len(), encoded_len(&long, width));
                let mut back = AsPath::default();
                assert_eq!(decode(&bytes, width, &mut back), Ok(()));
                assert_eq!(back, long, "{length}");
            }
        }
    }

    #[test]
    fn merging_puts_what_old_speakers_added_in_front() {
        let trans = 23456;
        let cases = [
            (
                path([sequence(&[10, trans, trans])]),
                path([sequence(&[70000, 80000])]),
                path([sequence(&[10, 70000, 80000])]),
            ),
            (
                path([sequence(&[10]), set(&[1, 2]), sequence(&[trans])]),
                path([sequence(&[70000])]),
                path([sequence(&[10]), set(&[1, 2]), sequence(&[70000])]),
            ),
            // Shorter than AS4_PATH: an old speaker aggregated, so AS4_PATH means nothing.
            (
                path([sequence(&[10])]),
                path([sequence(&[70000, 80000])]),
                path([sequence(&[10])]),
            ),
        ];
        for (old, new, want) in cases {
            assert_eq!(merge(old, new), want);
        }
    }
}
