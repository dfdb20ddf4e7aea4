//! What the provider at the far end does not do, of links and of peers.

use crate::profile;
use crate::read::Draft;
use crate::report::Sink;

mod link;
mod peer;

pub(super) fn check(draft: &Draft, sink: &mut Sink<'_>) {
    for (name, sketch) in &draft.sketches {
        if let Some(profile) = sketch.profile {
            link::check(name, profile, sketch, draft, sink);
        }
    }
    for (name, peer) in &draft.peers {
        if let Some(profile) = peer.profile.and_then(profile::named) {
            let path = super::peer::path(name, draft, sink);
            peer::check(&path, peer, profile, draft, sink);
        }
    }
}
