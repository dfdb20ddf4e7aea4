//! What a peer is like unless the file says otherwise: as any peer, or as its provider's profile says.

use std::net::IpAddr;
use std::time::Duration;

use crate::model::{Distance, Family, GracefulRestart, Knob, Limits, WayBack};
use crate::profile::{Bgp, Profile, Reach, Restart};
use crate::read::Draft;

const HOLD_TIME: Duration = Duration::from_secs(90);
const FAMILIES: &[Family] = &[Family::Ipv4, Family::Ipv6];

/// Where the defaults of a peer come from.
#[derive(Default)]
pub(crate) struct Usual {
    pub(super) profile: Option<&'static Profile>,
    /// Its address, if it could be read.
    pub(super) address: Option<IpAddr>,
    pub(super) watch: Watch,
    /// Of the link that it is reached through.
    way_back: Option<WayBack>,
}

/// Whether BFD watches the link that a peer is reached through.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Watch {
    #[default]
    NoBfd,
    Bfd,
}

impl Usual {
    /// Of the peer at the far end of a link.
    pub(crate) fn of_link(
        profile: Option<&'static Profile>,
        address: Option<IpAddr>,
        watch: Watch,
        way_back: WayBack,
    ) -> Self {
        Self {
            profile,
            address,
            watch,
            way_back: Some(way_back),
        }
    }

    /// Of `[peer.NAME]`. One that is reached through a link is of the service at the end of that.
    pub(super) fn of_peer(
        given: Option<&'static Profile>,
        link: Option<&str>,
        address: Option<IpAddr>,
        draft: &Draft,
    ) -> Self {
        let sketch = link.and_then(|link| draft.sketches.get(link));
        let of_link = || sketch?.profile;
        let bfd = link.and_then(|link| draft.links.get(link)?.bfd.as_ref());
        Self {
            profile: given.or_else(of_link),
            address,
            watch: bfd.map_or(Watch::NoBfd, |_| Watch::Bfd),
            way_back: sketch.map(|sketch| sketch.way_back),
        }
    }

    fn bgp(&self) -> Option<&'static Bgp> {
        self.profile.map(|profile| &profile.bgp)
    }

    pub(super) fn asn(&self) -> Option<u32> {
        self.bgp()?.asn.usual()
    }

    pub(super) fn hold_time(&self) -> Duration {
        let usual = self.bgp().and_then(|bgp| bgp.hold_time.usual());
        usual.unwrap_or(HOLD_TIME)
    }

    pub(super) fn families(&self) -> &'static [Family] {
        self.bgp().map_or(FAMILIES, |bgp| bgp.families)
    }

    pub(super) fn limits(&self) -> Limits {
        let usual = self.bgp().map(|bgp| bgp.accepts.usual());
        let (ipv4, ipv6) = usual.unwrap_or_default();
        Limits { ipv4, ipv6 }
    }

    pub(super) fn graceful_restart(&self) -> Option<GracefulRestart> {
        let restart = self.bgp().map(|bgp| bgp.graceful_restart);
        let is_off = restart == Some(Restart::UnlessBfd) && self.watch == Watch::Bfd;
        (!is_off).then(GracefulRestart::default)
    }

    /// What the far side honours is the profile's to know; without one it is a router that compares MEDs.
    pub(super) fn way_back(&self) -> Option<Knob> {
        let honoured = self.bgp().map_or(&[Knob::Med][..], |bgp| bgp.honours);
        let is_communities = |knob: &&Knob| matches!(knob, Knob::Communities(_));
        match self.way_back? {
            WayBack::Auto => honoured.first().copied(),
            WayBack::Off => None,
            WayBack::Med => Some(Knob::Med),
            WayBack::Prepend => Some(Knob::Prepend),
            WayBack::Communities => honoured.iter().find(is_communities).copied(),
        }
    }

    pub(super) fn distance(&self, is_internal: bool) -> Distance {
        let plain = if is_internal {
            Distance::Multihop(u8::MAX)
        } else {
            Distance::Connected
        };
        match self.bgp().map(|bgp| bgp.reach) {
            None | Some(Reach::OneHop) => plain,
            Some(Reach::TtlOfOne) => Distance::Connected,
            Some(Reach::Multihop { usual, .. }) => Distance::Multihop(usual),
            Some(Reach::UsuallyMultihop(ttl)) => Distance::Multihop(ttl),
            Some(Reach::MultihopUnlessLinkLocal(ttl)) if !self.is_link_local() => {
                Distance::Multihop(ttl)
            }
            Some(Reach::MultihopUnlessLinkLocal(_)) => plain,
        }
    }

    fn is_link_local(&self) -> bool {
        matches!(self.address, Some(IpAddr::V4(address)) if address.is_link_local())
    }
}
