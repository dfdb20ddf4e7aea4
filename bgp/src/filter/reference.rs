//! The same policy in the plainest words: rules as a tree, conditions one by one over the text of a
//! path. What the compiled filter says has to be what this says.

use std::sync::Arc;

use super::*;
use crate::attrs::{AsPath, Community, ExtCommunity, LargeCommunity, Origin, Segment, SegmentKind};
use crate::types::Family;

const US: Asn = Asn(65010);

#[derive(Clone)]
struct PlainRule {
    matches: Match,
    then: PlainThen,
    set: Set,
}

#[derive(Clone)]
enum PlainThen {
    Accept,
    Call(Vec<PlainRule>),
    Next,
    Reject,
}

fn compiled(rules: &[PlainRule]) -> Filter {
    let rule = |rule: &PlainRule| Rule {
        matches: rule.matches.clone(),
        action: match &rule.then {
            PlainThen::Accept => Action::Accept,
            PlainThen::Call(rules) => Action::Call(Arc::new(compiled(rules))),
            PlainThen::Next => Action::Next,
            PlainThen::Reject => Action::Reject,
        },
        set: rule.set.clone(),
    };
    Filter::compile(rules.iter().map(rule).collect())
}

/// Whether the path passes; `None` where no rule decides. What has been met is added to `sets`.
fn decide(
    rules: &[PlainRule],
    prefix: &Prefix,
    attrs: &Attrs,
    sets: &mut Vec<Set>,
) -> Option<bool> {
    for rule in rules {
        let is_accept = matches!(rule.then, PlainThen::Accept);
        let unnamed = is_accept && prefix.prefix_len() == 0 && !names(&rule.matches, prefix);
        if unnamed || !holds(&rule.matches, prefix, attrs) {
            continue;
        }
        sets.push(rule.set.clone());
        match &rule.then {
            PlainThen::Accept => return Some(true),
            PlainThen::Call(rules) => {
                if let decided @ Some(_) = decide(rules, prefix, attrs, sets) {
                    return decided;
                }
            }
            PlainThen::Next => {}
            PlainThen::Reject => return Some(false),
        }
    }
    None
}

fn evaluate(rules: &[PlainRule], prefix: &Prefix, attrs: &Arc<Attrs>) -> Verdict {
    let mut sets = Vec::new();
    if decide(rules, prefix, attrs, &mut sets) != Some(true) {
        return Verdict::Reject;
    }
    let mut changed = Attrs::clone(attrs);
    for set in sets {
        set.change(&mut changed, US);
    }
    Verdict::Accept(Arc::new(changed))
}

fn is_exactly(pattern: &PrefixPattern, default: &Prefix) -> bool {
    pattern.net == *default && pattern.min == 0 && pattern.max == 0
}

fn names(matches: &Match, default: &Prefix) -> bool {
    matches
        .prefixes
        .iter()
        .any(|pattern| is_exactly(pattern, default))
}

fn holds(matches: &Match, prefix: &Prefix, attrs: &Attrs) -> bool {
    let none_or = |empty: bool, found: bool| empty || found;
    let in_pattern = |p: &PrefixPattern| {
        p.net.contains(prefix) && (p.min..=p.max).contains(&prefix.prefix_len())
    };
    let text = text(&attrs.as_path);
    let matching = |regex: &aspath::Regex| {
        let general = regex.text().replace('_', "(?:^|[ ,{}()]|$)");
        regex::Regex::new(&general).unwrap().is_match(&text)
    };
    let among = |spans: &[Span], asn: Option<Asn>| {
        asn.is_some_and(|asn| spans.iter().any(|s| s.min <= asn.0 && asn.0 <= s.max))
    };
    let standard = |p: &CommunityPattern| {
        let fits = |c: &Community| p.high.contains(c.0 >> 16) && p.low.contains(c.0 & 0xffff);
        attrs.communities.iter().any(fits)
    };
    let large = |p: &LargeCommunityPattern| {
        let fits = |c: &LargeCommunity| {
            p.global.contains(c.0) && p.first.contains(c.1) && p.second.contains(c.2)
        };
        attrs.large_communities.iter().any(fits)
    };
    let last = || {
        let ends_in_set = text.ends_with('}');
        attrs.as_path.iter().last().filter(|_| !ends_in_set)
    };
    matches
        .family
        .is_none_or(|family| Family::of(prefix) == family)
        && none_or(
            matches.prefixes.is_empty(),
            matches.prefixes.iter().any(in_pattern),
        )
        && none_or(
            matches.as_path.is_empty(),
            matches.as_path.iter().any(matching),
        )
        && none_or(
            matches.as_path_contains.is_empty(),
            attrs
                .as_path
                .iter()
                .any(|asn| among(&matches.as_path_contains, Some(asn))),
        )
        && matches
            .as_path_length
            .is_none_or(|l| l.contains(attrs.as_path.length() as u32))
        && none_or(
            matches.origin_as.is_empty(),
            among(&matches.origin_as, last()),
        )
        && none_or(
            matches.neighbor_as.is_empty(),
            among(&matches.neighbor_as, attrs.as_path.first()),
        )
        && none_or(
            matches.communities.is_empty(),
            matches.communities.iter().any(standard),
        )
        && matches.communities_all.iter().all(standard)
        && none_or(
            matches.large_communities.is_empty(),
            matches.large_communities.iter().any(large),
        )
        && matches.large_communities_all.iter().all(large)
        && none_or(
            matches.origin.is_empty(),
            matches.origin.contains(&attrs.origin),
        )
        && none_or(
            matches.nexthop.is_empty(),
            attrs
                .nexthop
                .is_some_and(|hop| matches.nexthop.iter().any(|net| net.contains(&hop))),
        )
        && matches.med.is_none_or(|wanted| match wanted {
            MedMatch::Absent => attrs.med.is_none(),
            MedMatch::Within(span) => attrs.med.is_some_and(|med| span.contains(med)),
        })
        && matches
            .local_pref
            .is_none_or(|span| span.contains(attrs.local_pref.unwrap_or(100)))
        && !matches
            .unless
            .as_ref()
            .is_some_and(|unless| holds(unless, prefix, attrs))
}

fn text(path: &AsPath) -> String {
    let segment = |segment: &Segment| {
        let asns: Vec<_> = segment.asns.iter().map(ToString::to_string).collect();
        match segment.kind {
            SegmentKind::Sequence => asns.join(" "),
            SegmentKind::Set => format!("{{{}}}", asns.join(",")),
        }
    };
    path.segments
        .iter()
        .map(segment)
        .collect::<Vec<_>>()
        .join(" ")
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % end as u64) as usize
    }

    fn rarely<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        (self.below(7) == 0).then(|| make(self))
    }

    fn few<T>(&mut self, make: impl Fn(&mut Self) -> T) -> Vec<T> {
        let count = if self.below(7) == 0 {
            1 + self.below(2)
        } else {
            0
        };
        (0..count).map(|_| make(self)).collect()
    }

    fn span(&mut self) -> Span {
        match self.below(4) {
            0 => Span::ANY,
            1 => Span {
                min: self.below(4) as u32,
                max: self.below(4) as u32,
            },
            _ => Span::exactly(self.below(4) as u32),
        }
    }
}

const PREFIXES: [&str; 6] = [
    "0.0.0.0/0",
    "10.0.0.0/8",
    "10.1.0.0/16",
    "10.1.2.0/24",
    "::/0",
    "2001:db8::/32",
];

fn prefix(random: &mut Random) -> Prefix {
    PREFIXES[random.below(PREFIXES.len())].parse().unwrap()
}

fn pattern(random: &mut Random) -> PrefixPattern {
    let net = prefix(random);
    let max = [net.prefix_len(), 16, 24, 32][random.below(4)];
    PrefixPattern {
        net,
        min: net.prefix_len(),
        max,
    }
}

fn matches(random: &mut Random, depth: usize) -> Match {
    let expressions = ["^1_", "_2$", "^$", "_(1|3)_", "\\{", "^[0-9]+$"];
    Match {
        family: random.rarely(|r| Family::ALL[r.below(2)]),
        prefixes: if random.below(2) == 0 {
            vec![pattern(random)]
        } else {
            random.few(pattern)
        },
        prefix_lists: Vec::new(),
        as_path: random.few(|r| aspath::Regex::parse(expressions[r.below(6)]).unwrap()),
        as_path_contains: random.few(Random::span),
        as_path_length: random.rarely(Random::span),
        origin_as: random.few(Random::span),
        neighbor_as: random.few(Random::span),
        communities: random.few(|r| CommunityPattern {
            high: r.span(),
            low: r.span(),
        }),
        communities_all: random.few(|r| CommunityPattern {
            high: r.span(),
            low: r.span(),
        }),
        ext_communities: Vec::new(),
        ext_communities_all: Vec::new(),
        large_communities: random.few(large_pattern),
        large_communities_all: random.few(large_pattern),
        nexthop: random.few(|r| ["10.0.0.0/8", "10.0.0.1/32"][r.below(2)].parse().unwrap()),
        origin: random.few(|r| [Origin::Igp, Origin::Egp][r.below(2)]),
        med: random.rarely(|r| match r.below(2) {
            0 => MedMatch::Absent,
            _ => MedMatch::Within(r.span()),
        }),
        local_pref: random.rarely(Random::span),
        unless: (depth > 0)
            .then(|| random.rarely(|r| Box::new(matches(r, 0))))
            .flatten(),
    }
}

fn large_pattern(random: &mut Random) -> LargeCommunityPattern {
    LargeCommunityPattern {
        global: random.span(),
        first: random.span(),
        second: random.span(),
    }
}

fn rules(random: &mut Random, depth: usize) -> Vec<PlainRule> {
    let count = 1 + random.below(4);
    let rule = |random: &mut Random| {
        let then = match random.below(6) {
            0 | 1 => PlainThen::Accept,
            2 => PlainThen::Reject,
            3 if depth > 0 => PlainThen::Call(rules(random, depth - 1)),
            _ => PlainThen::Next,
        };
        let set = Set {
            add_communities: random.few(|r| Community(r.below(9) as u32)),
            delete_communities: random.few(|r| CommunityPattern {
                high: r.span(),
                low: r.span(),
            }),
            med: random.rarely(|r| MedChange::Number(Number::Add(r.below(9) as u32))),
            local_pref: random.rarely(|r| Number::Add(r.below(9) as u32)),
            ..Set::default()
        };
        PlainRule {
            matches: matches(random, 1),
            then,
            set,
        }
    };
    (0..count).map(|_| rule(random)).collect()
}

fn path_attrs(random: &mut Random) -> Arc<Attrs> {
    let segment = |random: &mut Random| Segment {
        kind: [SegmentKind::Sequence, SegmentKind::Set][usize::from(random.below(4) == 0)],
        asns: (0..=random.below(3))
            .map(|_| Asn(random.below(4) as u32))
            .collect(),
    };
    let mut communities: Vec<_> = random.few(|r| Community((r.below(4) << 16 | r.below(4)) as u32));
    communities.sort_unstable();
    communities.dedup();
    Arc::new(Attrs {
        as_path: AsPath {
            segments: (0..random.below(3)).map(|_| segment(random)).collect(),
        },
        communities: communities.into(),
        large_communities: [LargeCommunity(1, 2, random.below(3) as u32)]
            .into_iter()
            .collect(),
        ext_communities: [ExtCommunity(1)].into_iter().collect(),
        nexthop: random.rarely(|_| "10.0.0.1".parse().unwrap()),
        med: random.rarely(|r| r.below(4) as u32),
        local_pref: random.rarely(|r| r.below(4) as u32),
        origin: [Origin::Igp, Origin::Egp, Origin::Incomplete][random.below(3)],
        ..Attrs::originated()
    })
}

#[test]
fn a_compiled_filter_says_what_its_rules_say_one_by_one() {
    let seed = 3;
    println!("seed {seed}");
    let mut random = Random(seed);
    let mut accepted = 0;
    for _ in 0..8_000 {
        let plain = rules(&mut random, 2);
        let filter = compiled(&plain);
        for _ in 0..4 {
            let attrs = path_attrs(&mut random);
            let prepared = filter.prepare(&attrs);
            for text in PREFIXES {
                let prefix = text.parse().unwrap();
                let expected = evaluate(&plain, &prefix, &attrs);
                let found = filter.evaluate(&prefix, &attrs, US);
                assert_eq!(found, expected, "{prefix} {attrs:?}");
                assert_eq!(filter.explain(&prefix, &attrs, US).1, expected);
                assert_eq!(
                    filter.accepting_rule_of(&prepared, &prefix, &attrs),
                    filter.accepting_rule(&prefix, &attrs)
                );
                accepted += usize::from(expected != Verdict::Reject);
            }
        }
    }
    assert!(
        (5_000..150_000).contains(&accepted),
        "{accepted} of 192000 passed"
    );
}
