//! What a rule changes on a path that is accepted.

use std::net::IpAddr;

use smallvec::{Array, SmallVec};

use super::community::{
    CommunityPattern, ExtCommunityPattern, LargeCommunityPattern, Patterned, link_bandwidth,
};
use crate::attrs::{Attrs, Community, ExtCommunity, LargeCommunity, Origin};
use crate::types::Asn;

/// Changes to an accepted path. Of communities, those to delete go before those to add come.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Set {
    /// LOCAL_PREF. What is relative is so to [`Attrs::DEFAULT_LOCAL_PREF`] where the path has none.
    pub local_pref: Option<Number>,
    /// MULTI_EXIT_DISC. What is relative is so to 0 where the path has none (RFC 4271 §9.1.2.2 c: a
    /// missing one counts as the lowest).
    pub med: Option<MedChange>,
    /// ORIGIN.
    pub origin: Option<Origin>,
    /// NEXT_HOP.
    pub nexthop: Option<Nexthop>,
    /// What is put in front of the AS path.
    pub prepend: Option<Prepend>,
    /// Added.
    pub add_communities: Vec<Community>,
    /// Taken away.
    pub delete_communities: Vec<CommunityPattern>,
    /// Added.
    pub add_ext_communities: Vec<ExtCommunity>,
    /// Taken away.
    pub delete_ext_communities: Vec<ExtCommunityPattern>,
    /// Added.
    pub add_large_communities: Vec<LargeCommunity>,
    /// Taken away.
    pub delete_large_communities: Vec<LargeCommunityPattern>,
    /// Bits per second, as a link bandwidth community of our own AS, in place of any other.
    pub bandwidth: Option<u64>,
}

/// A new value for a number. It stays between 0 and [`u32::MAX`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Number {
    /// So much more.
    Add(u32),
    /// So much less.
    Subtract(u32),
    /// This.
    To(u32),
}

impl Number {
    fn of(self, old: u32) -> u32 {
        match self {
            Self::Add(more) => old.saturating_add(more),
            Self::Subtract(less) => old.saturating_sub(less),
            Self::To(value) => value,
        }
    }
}

impl From<u32> for Number {
    fn from(value: u32) -> Self {
        Self::To(value)
    }
}

/// What happens to the MED.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MedChange {
    /// It becomes this.
    Number(Number),
    /// It goes.
    Remove,
}

impl From<u32> for MedChange {
    fn from(value: u32) -> Self {
        Self::Number(Number::To(value))
    }
}

/// What happens to the nexthop. [`Attrs`] can say [`Nexthop::Address`] and, by `None`,
/// [`Nexthop::Ourselves`]; that a peer is to be told what we were told is for the export to know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Nexthop {
    /// This one.
    Address(IpAddr),
    /// The address of our own end of the session.
    Ourselves,
    /// The one that the path came with.
    Unchanged,
}

/// `asn` so many times.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Prepend {
    /// Whose number.
    pub who: Prepended,
    /// How often.
    pub times: u8,
}

impl Prepend {
    /// Our own AS.
    #[must_use]
    pub fn own(times: u8) -> Self {
        Self {
            who: Prepended::Own,
            times,
        }
    }
}

/// Whose number is put in front of an AS path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Prepended {
    /// That of this AS.
    Asn(Asn),
    /// The number that stands in front already; nothing where none does.
    First,
    /// Our own.
    Own,
}

impl Set {
    /// - `local_asn`: our own
    pub(super) fn change(&self, attrs: &mut Attrs, local_asn: Asn) {
        if let Some(number) = self.local_pref {
            let old = attrs.local_pref.unwrap_or(Attrs::DEFAULT_LOCAL_PREF);
            attrs.local_pref = Some(number.of(old));
        }
        match self.med {
            Some(MedChange::Number(number)) => {
                attrs.med = Some(number.of(attrs.med.unwrap_or(0)));
            }
            Some(MedChange::Remove) => attrs.med = None,
            None => {}
        }
        attrs.origin = self.origin.unwrap_or(attrs.origin);
        match self.nexthop {
            Some(Nexthop::Address(address)) => attrs.nexthop = Some(address),
            Some(Nexthop::Ourselves) => attrs.nexthop = None,
            Some(Nexthop::Unchanged) | None => {}
        }
        self.prepend(attrs, local_asn);
        self.change_communities(attrs, local_asn);
    }

    fn prepend(&self, attrs: &mut Attrs, local_asn: Asn) {
        let Some(Prepend { who, times }) = self.prepend else {
            return;
        };
        let asn = match who {
            Prepended::Asn(asn) => Some(asn),
            Prepended::First => attrs.as_path.first(),
            Prepended::Own => Some(local_asn),
        };
        if let Some(asn) = asn {
            attrs.as_path = attrs.as_path.prepended(asn, times.into());
        }
    }

    fn change_communities(&self, attrs: &mut Attrs, local_asn: Asn) {
        edit(
            &mut attrs.communities,
            &self.delete_communities,
            &self.add_communities,
        );
        edit(
            &mut attrs.large_communities,
            &self.delete_large_communities,
            &self.add_large_communities,
        );
        edit(
            &mut attrs.ext_communities,
            &self.delete_ext_communities,
            &self.add_ext_communities,
        );
        if let Some(bits_per_second) = self.bandwidth {
            edit(
                &mut attrs.ext_communities,
                &[ExtCommunityPattern::LinkBandwidth],
                &[link_bandwidth(local_asn, bits_per_second)],
            );
        }
    }
}

/// Leaves `items` sorted, without duplicates.
fn edit<A>(items: &mut SmallVec<A>, delete: &[<A::Item as Patterned>::Pattern], add: &[A::Item])
where
    A: Array,
    A::Item: Patterned,
{
    if !delete.is_empty() {
        items.retain(|item| !delete.iter().any(|pattern| item.fits(pattern)));
    }
    if !add.is_empty() {
        items.extend_from_slice(add);
        items.sort_unstable();
        items.dedup();
    }
}
