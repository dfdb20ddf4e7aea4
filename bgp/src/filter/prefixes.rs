//! Prefix patterns, compiled for lookup.

use std::net::IpAddr;

use crate::types::Prefix;

/// Prefixes inside `net` whose length is between `min` and `max`, both included.
///
/// Host bits of `net` are ignored. A pattern that can not match (`min` above `max`) matches
/// nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PrefixPattern {
    /// What the prefix lies in.
    pub net: Prefix,
    /// Shortest length that matches, in bits.
    pub min: u8,
    /// Longest length that matches, in bits.
    pub max: u8,
}

impl PrefixPattern {
    /// Exactly this prefix.
    #[must_use]
    pub fn exact(net: Prefix) -> Self {
        let len = net.prefix_len();
        Self {
            net,
            min: len,
            max: len,
        }
    }

    /// Whether this names a default route and nothing else.
    fn names_default(&self) -> bool {
        self.net.prefix_len() == 0 && self.min == 0 && self.max == 0
    }
}

/// Prefix patterns of a rule, or of a list that filters share: sorted by their `net`, with the lengths
/// that occur among them.
///
/// A prefix of length L is inside a `net` of length N exactly if the prefix cut to N bits is that
/// `net`. So a lookup tries each length that occurs, at most L, by binary search: for a thousand
/// patterns of five different lengths that is five searches of ten comparisons.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PrefixList {
    patterns: Box<[PrefixPattern]>,
    lengths_v4: Box<[u8]>,
    lengths_v6: Box<[u8]>,
}

impl PrefixList {
    /// Prepares `patterns` for lookup.
    #[must_use]
    pub fn new(patterns: &[PrefixPattern]) -> Self {
        let mut patterns: Vec<_> = patterns
            .iter()
            .map(|pattern| PrefixPattern {
                net: pattern.net.trunc(),
                ..*pattern
            })
            .collect();
        patterns.sort_unstable();
        patterns.dedup();
        let lengths = |is_v4: fn(&Prefix) -> bool| {
            let mut lengths: Vec<u8> = patterns
                .iter()
                .filter(|pattern| is_v4(&pattern.net))
                .map(|pattern| pattern.net.prefix_len())
                .collect();
            lengths.sort_unstable();
            lengths.dedup();
            lengths.into_boxed_slice()
        };
        Self {
            lengths_v4: lengths(|net| matches!(net, Prefix::V4(_))),
            lengths_v6: lengths(|net| matches!(net, Prefix::V6(_))),
            patterns: patterns.into_boxed_slice(),
        }
    }

    pub(super) fn matches(&self, prefix: &Prefix) -> bool {
        let lengths = match prefix {
            Prefix::V4(_) => &self.lengths_v4,
            Prefix::V6(_) => &self.lengths_v6,
        };
        lengths
            .iter()
            .take_while(|&&len| len <= prefix.prefix_len())
            .filter_map(|&len| cut(prefix.addr(), len))
            .any(|net| {
                self.of_net(net)
                    .any(|pattern| (pattern.min..=pattern.max).contains(&prefix.prefix_len()))
            })
    }

    /// Whether a pattern is exactly the default route of this family.
    pub(super) fn names_default(&self, default: &Prefix) -> bool {
        self.of_net(*default).any(PrefixPattern::names_default)
    }

    fn of_net(&self, net: Prefix) -> impl Iterator<Item = &PrefixPattern> {
        let start = self.patterns.partition_point(|pattern| pattern.net < net);
        self.patterns[start..]
            .iter()
            .take_while(move |pattern| pattern.net == net)
    }
}

fn cut(address: IpAddr, len: u8) -> Option<Prefix> {
    Prefix::new(address, len).ok().map(|net| net.trunc())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> Prefix {
        text.parse().unwrap()
    }

    fn pattern(text: &str, min: u8, max: u8) -> PrefixPattern {
        PrefixPattern {
            net: net(text),
            min,
            max,
        }
    }

    #[test]
    fn lengths_outside_the_range_do_not_match() {
        let set = PrefixList::new(&[pattern("10.1.0.0/16", 20, 24)]);
        assert!(!set.matches(&net("10.1.0.0/16")));
        assert!(!set.matches(&net("10.1.0.0/19")));
        assert!(set.matches(&net("10.1.16.0/20")));
        assert!(set.matches(&net("10.1.255.0/24")));
        assert!(!set.matches(&net("10.1.255.0/25")));
        assert!(!set.matches(&net("10.2.16.0/20")));
    }

    #[test]
    fn families_do_not_match_each_other() {
        let set = PrefixList::new(&[
            pattern("0.0.0.0/0", 0, 32),
            pattern("2001:db8::/32", 32, 64),
        ]);
        assert!(!set.matches(&net("2001:db9::/32")));
        assert!(set.matches(&net("2001:db8:1::/48")));
        assert!(set.matches(&net("192.0.2.0/24")));
    }

    #[test]
    fn a_set_answers_as_its_patterns_one_by_one() {
        let patterns: Vec<_> = (0..1000u32)
            .map(|i| {
                let len = 8 + (i % 17) as u8;
                let address = std::net::Ipv4Addr::from(i.wrapping_mul(2_654_435_761));
                pattern(
                    &format!("{address}/{len}"),
                    len + (i % 3) as u8,
                    24 + (i % 9) as u8,
                )
            })
            .collect();
        let set = PrefixList::new(&patterns);
        for i in 0..5000u32 {
            let address = std::net::Ipv4Addr::from(i.wrapping_mul(2_246_822_519));
            let prefix = Prefix::new(address.into(), (i % 33) as u8).unwrap().trunc();
            let slow = patterns.iter().any(|pattern| {
                pattern.net.trunc().contains(&prefix)
                    && (pattern.min..=pattern.max).contains(&prefix.prefix_len())
            });
            assert_eq!(set.matches(&prefix), slow, "{prefix}");
        }
    }

    #[test]
    fn host_bits_and_impossible_ranges_are_harmless() {
        let set = PrefixList::new(&[
            pattern("10.1.2.3/16", 16, 16),
            pattern("10.2.0.0/16", 24, 20),
        ]);
        assert!(set.matches(&net("10.1.0.0/16")));
        assert!(!set.matches(&net("10.2.0.0/22")));
    }
}
