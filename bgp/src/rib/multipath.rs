//! Which paths share the traffic of a prefix, and in what parts.
//!
//! Equal are paths that no pass of the decision before [`Step::RouterId`](super::Step::RouterId)
//! tells apart, and that come from the same neighbouring AS unless that is relaxed. As many as are
//! configured for the kind of the best one share.
//!
//! The decision looks at link ranks before that. So of the links of one group only those share that
//! have the best rank there: where the group ranks its links one by one, its policy decides and
//! traffic is not spread over them here. Paths over links of different groups, or over none, are
//! not told apart by ranks, and share.

use std::sync::Arc;

use smallvec::SmallVec;

use super::decision::{self, Candidate, Places};
use super::interface::{MultipathAs, RibConfig};
use super::source::Kind;
use crate::attrs::Attrs;

/// The candidates that share traffic, best first; none where it takes only one path.
pub(super) fn shared(candidates: &[Candidate], config: &RibConfig) -> Places {
    let multipath = &config.multipath;
    if multipath.external.max(multipath.internal) < 2 || candidates.len() < 2 {
        return Places::new();
    }
    let mut equal = decision::equals(candidates, config.med);
    let Some(&best) = equal.first() else {
        return equal;
    };
    let best = &candidates[best];
    if multipath.as_paths == MultipathAs::SameNeighbour {
        equal.retain(|index| candidates[*index].neighbour == best.neighbour);
    }
    equal.truncate(match best.kind {
        Kind::Originated => 0,
        Kind::External => usize::from(multipath.external),
        Kind::Internal => usize::from(multipath.internal),
    });
    equal.truncate(super::select::MAX_HOPS);
    if equal.len() < 2 {
        equal.clear();
    }
    equal
}

/// Parts of the traffic: by the bandwidth of the links where every path says it, otherwise equal.
pub(super) fn weights<'a>(paths: impl Iterator<Item = &'a Arc<Attrs>>) -> SmallVec<[u8; 8]> {
    let bandwidths: SmallVec<[Option<f32>; 8]> = paths.map(|attrs| bandwidth(attrs)).collect();
    let most = bandwidths.iter().flatten().copied().fold(0.0, f32::max);
    let all_known = bandwidths.iter().all(Option::is_some);
    let weight = |bandwidth: &Option<f32>| match bandwidth {
        // Within 1 to 255, so the cast cuts nothing off.
        Some(bandwidth) if all_known => (bandwidth / most * 255.0).round().clamp(1.0, 255.0) as u8,
        Some(_) | None => 1,
    };
    bandwidths.iter().map(weight).collect()
}

/// Bytes a second, from the link bandwidth community (draft-ietf-idr-link-bandwidth §2).
fn bandwidth(attrs: &Attrs) -> Option<f32> {
    attrs
        .ext_communities
        .iter()
        .filter_map(|community| community.link_bandwidth())
        .find(|bandwidth| bandwidth.is_finite() && *bandwidth > 0.0)
}
