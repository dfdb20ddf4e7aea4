//! Keys of TCP-AO that the kernel could not tell apart: it finds those of a caller by its address.

use ipnet::IpNet;

use crate::check::{overlap, pairs};
use crate::model::{Signing, TcpAo};
use crate::read::Draft;
use crate::report::{Sink, Wrong};

use super::path;

/// A peer or a listen range.
struct Holder<'d> {
    path: String,
    network: IpNet,
    signing: Option<&'d Signing>,
}

pub(super) fn check(draft: &Draft, sink: &mut Sink<'_>) {
    let peers = draft.peers.iter().map(|(name, peer)| Holder {
        path: path(name, draft, sink),
        network: peer.address.into(),
        signing: peer.signing.as_ref(),
    });
    let ranges = draft.ranges.iter().map(|(name, range)| Holder {
        path: format!("listen.{name}"),
        network: range.network,
        signing: range.peer.signing.as_ref(),
    });
    let holders: Vec<Holder<'_>> = peers.chain(ranges).collect();
    for ((_, a), (_, b)) in pairs(&holders) {
        if overlap(&a.network, &b.network)
            && let Some((holder, wrong)) = conflict(a, b).or_else(|| conflict(b, a))
        {
            sink.error(sink.place(&holder.path), wrong);
        }
    }
}

/// What is wrong with `inner` because of the keys of `outer`, in whose network it is.
fn conflict<'h>(outer: &Holder<'_>, inner: &'h Holder<'_>) -> Option<(&'h Holder<'h>, Wrong)> {
    if outer.network.prefix_len() > inner.network.prefix_len() {
        return None;
    }
    let message = match (outer.signing?, inner.signing) {
        (Signing::Ao(outer), Some(Signing::Ao(inner))) if are_apart(outer, inner) => return None,
        (Signing::Ao(_), Some(Signing::Ao(_))) => "uses the same IDs for its keys of TCP-AO",
        (Signing::Ao(_), _) => "signs with TCP-AO, and this does not",
        (Signing::Md5(_), Some(Signing::Ao(_))) => "signs with TCP MD5, and this with TCP-AO",
        (Signing::Md5(_), _) => return None,
    };
    let message = format!("`{}` has this address too, and {message}", outer.path);
    let fix = "the kernel finds the keys of a caller by its address: \
               use `tcp-ao` with other IDs here, or another network there";
    Some((inner, Wrong::new("tcp-ao.overlap", message, fix)))
}

fn are_apart(a: &TcpAo, b: &TcpAo) -> bool {
    a.keys.iter().all(|a| {
        let mut others = b.keys.iter();
        others.all(|b| a.id != b.id && a.receive_id != b.receive_id)
    })
}
