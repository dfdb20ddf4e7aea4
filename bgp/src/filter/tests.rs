//! What filters do, rule by rule.

use super::*;
use crate::attrs::{AsPath, Community, ExtCommunity, LargeCommunity, Origin};

const US: Asn = Asn(65010);

fn net(text: &str) -> Prefix {
    text.parse().unwrap()
}

fn within(text: &str, min: u8, max: u8) -> Match {
    Match {
        prefixes: vec![PrefixPattern {
            net: net(text),
            min,
            max,
        }],
        ..Match::default()
    }
}

fn rule(matches: Match, action: Action, set: Set) -> Rule {
    Rule {
        matches,
        action,
        set,
    }
}

fn accept(matches: Match) -> Rule {
    rule(matches, Action::Accept, Set::default())
}

fn attrs() -> Arc<Attrs> {
    Arc::new(Attrs {
        as_path: AsPath::sequence(&[Asn(64512), Asn(7)]),
        communities: [Community(1), Community(5)].into_iter().collect(),
        large_communities: [LargeCommunity(1, 2, 3)].into_iter().collect(),
        ..Attrs::originated()
    })
}

fn passes(filter: &Filter, prefix: &str) -> bool {
    filter.evaluate(&net(prefix), &attrs(), US) != Verdict::Reject
}

#[test]
fn without_a_matching_rule_nothing_passes() {
    assert!(!passes(&Filter::reject_all(), "10.0.0.0/8"));
    let filter = Filter::compile(vec![accept(within("10.0.0.0/8", 8, 8))]);
    assert!(!passes(&filter, "11.0.0.0/8"));
}

#[test]
fn the_first_matching_rule_decides() {
    let filter = Filter::compile(vec![
        rule(
            within("10.1.0.0/16", 16, 32),
            Action::Reject,
            Set::default(),
        ),
        accept(within("10.0.0.0/8", 8, 32)),
    ]);
    assert!(!passes(&filter, "10.1.2.0/24"));
    assert!(passes(&filter, "10.2.2.0/24"));
}

#[test]
fn a_default_route_passes_only_where_it_is_named_exactly() {
    assert!(!passes(&Filter::accept_all(), "0.0.0.0/0"));
    assert!(!passes(&Filter::accept_all(), "::/0"));
    let le = Filter::compile(vec![accept(within("0.0.0.0/0", 0, 24))]);
    assert!(!passes(&le, "0.0.0.0/0"));
    assert!(passes(&le, "10.0.0.0/8"));
    let named = Filter::compile(vec![accept(within("0.0.0.0/0", 0, 0))]);
    assert!(passes(&named, "0.0.0.0/0"));
    assert!(!passes(&named, "::/0"));
    assert!(!passes(&named, "10.0.0.0/8"));
}

#[test]
fn a_rejecting_rule_holds_for_a_default_route_too() {
    let filter = Filter::compile(vec![
        rule(
            Match {
                communities: vec![Community(5).into()],
                ..Match::default()
            },
            Action::Reject,
            Set::default(),
        ),
        accept(within("0.0.0.0/0", 0, 0)),
    ]);
    assert!(!passes(&filter, "0.0.0.0/0"));
}

#[test]
fn all_conditions_of_a_rule_must_hold() {
    let matching = Match {
        prefixes: vec![PrefixPattern::exact(net("10.0.0.0/8"))],
        communities: vec![Community(9).into(), Community(5).into()],
        large_communities: vec![LargeCommunity(1, 2, 3).into()],
        as_path_contains: vec![Span::exactly(7)],
        ..Match::default()
    };
    let passes_with =
        |matches: Match| passes(&Filter::compile(vec![accept(matches)]), "10.0.0.0/8");
    assert!(passes_with(matching.clone()));
    let refused = [
        Match {
            communities: vec![Community(9).into()],
            ..matching.clone()
        },
        Match {
            large_communities: vec![LargeCommunity(1, 2, 4).into()],
            ..matching.clone()
        },
        Match {
            as_path_contains: vec![Span::exactly(8)],
            ..matching
        },
    ];
    for matches in refused {
        assert!(!passes_with(matches.clone()), "{matches:?}");
    }
}

#[test]
fn accepted_without_changes_is_the_same_arc() {
    let attrs = attrs();
    let Verdict::Accept(same) = Filter::accept_all().evaluate(&net("10.0.0.0/8"), &attrs, US)
    else {
        panic!("rejected");
    };
    assert!(Arc::ptr_eq(&attrs, &same));
}

#[test]
fn set_changes_what_it_names_and_nothing_else() {
    let filter = Filter::compile(vec![rule(
        Match::default(),
        Action::Accept,
        Set {
            local_pref: Some(200.into()),
            med: Some(7.into()),
            prepend: Some(Prepend::own(2)),
            add_communities: vec![Community(3), Community(1)],
            delete_communities: vec![Community(5).into()],
            add_large_communities: vec![LargeCommunity(0, 0, 1)],
            ..Set::default()
        },
    )]);
    let before = attrs();
    let expected = Attrs {
        local_pref: Some(200),
        med: Some(7),
        as_path: AsPath::sequence(&[US, US, Asn(64512), Asn(7)]),
        communities: [Community(1), Community(3)].into_iter().collect(),
        large_communities: [LargeCommunity(0, 0, 1), LargeCommunity(1, 2, 3)]
            .into_iter()
            .collect(),
        ..Attrs::clone(&before)
    };
    let verdict = filter.evaluate(&net("10.0.0.0/8"), &before, US);
    assert_eq!(verdict, Verdict::Accept(Arc::new(expected)));
}

#[test]
fn filters_of_the_same_rules_are_equal_in_any_order_of_patterns() {
    let patterns = |texts: [&str; 2]| Match {
        prefixes: texts.map(|text| PrefixPattern::exact(net(text))).to_vec(),
        ..Match::default()
    };
    let a = Filter::compile(vec![accept(patterns(["10.0.0.0/8", "11.0.0.0/8"]))]);
    let b = Filter::compile(vec![accept(patterns(["11.0.0.0/8", "10.0.0.0/8"]))]);
    assert_eq!(a, b);
    assert_ne!(a, Filter::accept_all());
}

fn next(matches: Match, set: Set) -> Rule {
    rule(matches, Action::Next, set)
}

fn call(matches: Match, rules: Vec<Rule>) -> Rule {
    let called = Arc::new(Filter::compile(rules));
    rule(matches, Action::Call(called), Set::default())
}

fn adding(community: u32) -> Set {
    Set {
        add_communities: vec![Community(community)],
        ..Set::default()
    }
}

fn carrying(community: u32) -> Match {
    Match {
        communities: vec![Community(community).into()],
        ..Match::default()
    }
}

/// The communities of 10.0.0.0/8 after the filter, if it passes.
fn communities_after(rules: Vec<Rule>) -> Option<Vec<u32>> {
    let filter = Filter::compile(rules);
    match filter.evaluate(&net("10.0.0.0/8"), &attrs(), US) {
        Verdict::Accept(attrs) => Some(attrs.communities.iter().map(|c| c.0).collect()),
        Verdict::Reject => None,
    }
}

#[test]
fn rules_that_go_on_are_applied_once_a_later_one_accepts() {
    let tag = || next(Match::default(), adding(7));
    let missed = next(carrying(99), adding(8));
    let take = || rule(Match::default(), Action::Accept, adding(9));
    assert_eq!(
        communities_after(vec![tag(), missed, take()]),
        Some(vec![1, 5, 7, 9])
    );
    assert_eq!(communities_after(vec![tag()]), None);
    let refuse = rule(Match::default(), Action::Reject, Set::default());
    assert_eq!(communities_after(vec![tag(), refuse, take()]), None);
}

#[test]
fn a_condition_does_not_see_what_an_earlier_rule_set() {
    let rules = vec![next(Match::default(), adding(7)), accept(carrying(7))];
    assert_eq!(communities_after(rules), None);
}

#[test]
fn what_is_set_later_wins() {
    let preferring = |to: Number| Set {
        local_pref: Some(to),
        ..Set::default()
    };
    let filter = Filter::compile(vec![
        next(Match::default(), preferring(Number::To(200))),
        rule(
            Match::default(),
            Action::Accept,
            preferring(Number::Add(10)),
        ),
    ]);
    let Verdict::Accept(after) = filter.evaluate(&net("10.0.0.0/8"), &attrs(), US) else {
        panic!("rejected");
    };
    assert_eq!(after.local_pref, Some(210));
}

#[test]
fn a_called_filter_decides_or_gives_back() {
    let refusing = || rule(carrying(5), Action::Reject, Set::default());
    let take = || accept(Match::default());
    let rest = || rule(Match::default(), Action::Accept, adding(9));
    let called = |rules| communities_after(vec![call(Match::default(), rules), rest()]);
    assert_eq!(called(vec![take()]), Some(vec![1, 5]), "it accepts");
    assert_eq!(called(vec![refusing(), take()]), None, "it rejects");
    assert_eq!(called(vec![]), Some(vec![1, 5, 9]), "it says nothing");
    let tagging = vec![next(Match::default(), adding(7)), accept(carrying(99))];
    assert_eq!(called(tagging), Some(vec![1, 5, 7, 9]), "what it set stays");
    let not_called = vec![call(carrying(99), vec![refusing()]), rest()];
    assert_eq!(communities_after(not_called), Some(vec![1, 5, 9]));
    let deep = vec![call(Match::default(), vec![refusing()])];
    assert_eq!(called(deep), None, "a call in a call");
}

#[test]
fn a_default_route_has_to_be_named_where_it_is_accepted() {
    let named = || within("0.0.0.0/0", 0, 0);
    let everything = || accept(Match::default());
    let passes_with = |rules| passes(&Filter::compile(rules), "0.0.0.0/0");
    assert!(!passes_with(vec![next(named(), adding(7)), everything()]));
    assert!(!passes_with(vec![call(named(), vec![everything()])]));
    assert!(passes_with(vec![call(
        Match::default(),
        vec![accept(named())]
    )]));
    assert!(passes_with(vec![
        next(Match::default(), adding(7)),
        accept(named())
    ]));
    let inverted = Match {
        unless: Some(Box::new(named())),
        ..Match::default()
    };
    assert!(!passes_with(vec![accept(inverted)]));
}

#[test]
fn a_default_route_may_be_named_by_a_list_but_every_condition_has_to() {
    let list = |text: &str| {
        vec![Arc::new(PrefixList::new(&[PrefixPattern::exact(net(
            text,
        ))]))]
    };
    let passes_with = |matches| passes(&Filter::compile(vec![accept(matches)]), "0.0.0.0/0");
    let listed = Match {
        prefix_lists: list("0.0.0.0/0"),
        ..Match::default()
    };
    assert!(passes_with(listed.clone()));
    assert!(passes_with(Match {
        prefix_lists: listed.prefix_lists.clone(),
        ..within("0.0.0.0/0", 0, 0)
    }));
    assert!(!passes_with(Match {
        prefix_lists: list("10.0.0.0/8"),
        ..within("0.0.0.0/0", 0, 0)
    }));
    assert!(!passes_with(Match {
        prefix_lists: listed.prefix_lists,
        ..within("0.0.0.0/0", 0, 32)
    }));
}

#[test]
fn more_than_fits_is_refused_and_not_forgotten() {
    let tag = |i: usize| next(Match::default(), adding(i as u32 + 100));
    let take = || accept(Match::default());
    let tagging = |count| (0..count).map(tag).chain([take()]).collect();
    let after = communities_after(tagging(Filter::MOST_SETTING));
    assert_eq!(after.map(|all| all.len()), Some(Filter::MOST_SETTING + 2));
    assert_eq!(communities_after(tagging(Filter::MOST_SETTING + 1)), None);

    let mut filter = Filter::compile(vec![next(carrying(99), Set::default())]);
    for _ in 0..20 {
        let twice = Arc::new(filter);
        let call = || {
            rule(
                Match::default(),
                Action::Call(Arc::clone(&twice)),
                Set::default(),
            )
        };
        filter = Filter::compile(vec![call(), call(), take()]);
        assert!(filter.steps.len() <= Filter::MOST_RULES);
    }
    assert!(
        !passes(&filter, "10.0.0.0/8"),
        "a call that does not fit rejects"
    );
}

#[test]
fn an_explanation_names_each_rule_that_was_asked_and_what_failed() {
    let filter = Filter::compile(vec![
        accept(within("11.0.0.0/8", 8, 8)),
        call(carrying(99), vec![accept(Match::default())]),
        call(carrying(5), vec![accept(carrying(98))]),
        next(Match::default(), adding(7)),
        accept(within("10.0.0.0/8", 8, 8)),
        accept(Match::default()),
    ]);
    let (visits, verdict) = filter.explain(&net("10.0.0.0/8"), &attrs(), US);
    let visits: Vec<_> = visits
        .iter()
        .map(|visit| (visit.step, visit.failed))
        .collect();
    assert_eq!(
        visits,
        [
            (0, Some(Condition::Prefix)),
            (1, Some(Condition::Community)),
            (3, None),
            (4, Some(Condition::Community)),
            (5, None),
            (6, None),
        ]
    );
    assert_eq!(verdict, filter.evaluate(&net("10.0.0.0/8"), &attrs(), US));
    let (visits, _) = filter.explain(&net("0.0.0.0/0"), &attrs(), US);
    let last = visits.last().and_then(|visit| visit.failed);
    assert_eq!(last, Some(Condition::DefaultRoute));
}

#[test]
fn numbers_and_communities_are_changed_as_they_are_told_to() {
    let changed = |set: Set, before: Attrs| {
        let filter = Filter::compile(vec![rule(Match::default(), Action::Accept, set)]);
        match filter.evaluate(&net("10.0.0.0/8"), &Arc::new(before), US) {
            Verdict::Accept(after) => Attrs::clone(&after),
            Verdict::Reject => panic!("rejected"),
        }
    };
    let set = |local_pref, med| Set {
        local_pref: Some(local_pref),
        med,
        ..Set::default()
    };
    let plain = || Attrs::clone(&attrs());
    let after = changed(
        set(Number::Add(10), Some(MedChange::Number(Number::Add(3)))),
        plain(),
    );
    assert_eq!(
        (after.local_pref, after.med),
        (Some(110), Some(3)),
        "from 100 and 0"
    );
    let with_med = Attrs {
        med: Some(5),
        local_pref: Some(u32::MAX),
        ..plain()
    };
    let after = changed(
        set(
            Number::Add(10),
            Some(MedChange::Number(Number::Subtract(9))),
        ),
        with_med.clone(),
    );
    assert_eq!(
        (after.local_pref, after.med),
        (Some(u32::MAX), Some(0)),
        "never past the ends"
    );
    let after = changed(set(Number::Subtract(1), Some(MedChange::Remove)), with_med);
    assert_eq!((after.local_pref, after.med), (Some(u32::MAX - 1), None));

    let first = Set {
        prepend: Some(Prepend {
            who: Prepended::First,
            times: 2,
        }),
        ..Set::default()
    };
    let path = |attrs: Attrs| attrs.as_path.to_string();
    assert_eq!(path(changed(first.clone(), plain())), "64512 64512 64512 7");
    assert_eq!(
        path(changed(first, Attrs::originated())),
        "",
        "nothing is in front"
    );
    let other = Set {
        prepend: Some(Prepend {
            who: Prepended::Asn(Asn(9)),
            times: 1,
        }),
        ..Set::default()
    };
    assert_eq!(path(changed(other, plain())), "9 64512 7");

    let replaced = Set {
        delete_communities: vec![CommunityPattern::ANY],
        ..adding(3)
    };
    assert_eq!(
        changed(replaced, plain()).communities.as_slice(),
        [Community(3)]
    );
    let bandwidth = Set {
        bandwidth: Some(8),
        ..Set::default()
    };
    let old = Attrs {
        ext_communities: [ExtCommunity(5), ExtCommunity(0x4004_0001_0000_0000)]
            .into_iter()
            .collect(),
        ..plain()
    };
    assert_eq!(
        changed(bandwidth, old).ext_communities.as_slice(),
        [ExtCommunity(5), ExtCommunity(0x4004_fdf2_3f80_0000)]
    );
    let address = "192.0.2.9".parse().unwrap();
    let hop = |nexthop| {
        changed(
            Set {
                nexthop: Some(nexthop),
                origin: Some(Origin::Egp),
                ..Set::default()
            },
            Attrs {
                nexthop: Some(address),
                ..plain()
            },
        )
    };
    assert_eq!(
        (
            hop(Nexthop::Ourselves).nexthop,
            hop(Nexthop::Unchanged).nexthop
        ),
        (None, Some(address))
    );
    assert_eq!(hop(Nexthop::Unchanged).origin, Origin::Egp);
}
