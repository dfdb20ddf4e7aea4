use super::*;
use bgp::filter::{Condition, Verdict};
use bgp::{AsPath, Asn, Community, ExtCommunity, LargeCommunity, Prefix};

const US: Asn = Asn(65010);

fn config(filters: &str) -> Config {
    let text = format!("[router]\nname = \"r\"\nasn = 65010\nid = \"192.0.2.1\"\n{filters}");
    match config::load(&text, "t.toml") {
        Ok(loaded) => loaded.config,
        Err(report) => panic!("{report}"),
    }
}

fn net(text: &str) -> Prefix {
    text.parse().unwrap()
}

fn attrs() -> Arc<Attrs> {
    Arc::new(Attrs {
        as_path: AsPath::sequence(&[Asn(64512), Asn(3356), Asn(7)]),
        nexthop: Some("192.0.2.9".parse().unwrap()),
        med: Some(50),
        local_pref: Some(150),
        communities: [Community(65010 << 16 | 120)].into_iter().collect(),
        large_communities: [LargeCommunity(65010, 1, 2)].into_iter().collect(),
        ext_communities: [ExtCommunity(0x0002_fdf2_0000_0064)].into_iter().collect(),
        ..Attrs::originated()
    })
}

/// Every condition of the file, in a form that holds for 10.1.0.0/16 and in one that does not.
#[test]
fn each_condition_of_the_file_is_asked() {
    let lists = "[prefix-list.yes]\nprefixes = [\"10.0.0.0/8 le 24\"]\n\
                 [prefix-list.no]\nprefixes = [\"11.0.0.0/8\", \"10.1.0.0/16 ge 17\"]\n";
    for (holds, fails, named) in [
        ("family = \"ipv4\"", "family = \"ipv6\"", Condition::Family),
        (
            "prefix = \"10.0.0.0/8 ge 16\"",
            "prefix = [\"10.0.0.0/8\", \"::/0 le 128\"]",
            Condition::Prefix,
        ),
        (
            "prefix-list = [\"no\", \"yes\"]",
            "prefix-list = \"no\"",
            Condition::PrefixList,
        ),
        (
            "as-path = \"_3356_\"",
            "as-path = [\"_335_\", \"^3356\"]",
            Condition::AsPath,
        ),
        (
            "as-path-contains = [1, \"3000-4000\"]",
            "as-path-contains = 3355",
            Condition::AsPathContains,
        ),
        (
            "as-path-length = \"<=3\"",
            "as-path-length = \"<3\"",
            Condition::AsPathLength,
        ),
        ("origin-as = [7]", "origin-as = 64512", Condition::OriginAs),
        (
            "neighbor-as = \"64512-65534\"",
            "neighbor-as = 7",
            Condition::NeighborAs,
        ),
        (
            "community = [\"no-export\", \"65010:100-199\"]",
            "community = \"65010:1-2\"",
            Condition::Community,
        ),
        (
            "community-all = [\"*:120\", \"65010:*\"]",
            "community-all = [\"*:120\", \"no-llgr\"]",
            Condition::CommunityAll,
        ),
        (
            "ext-community = \"rt:65010:*\"",
            "ext-community = [\"soo:65010:*\", \"link-bandwidth\"]",
            Condition::ExtCommunity,
        ),
        (
            "ext-community-all = [\"*\", \"0x0002fdf200000064\"]",
            "ext-community-all = [\"*\", \"rt:1:1\"]",
            Condition::ExtCommunityAll,
        ),
        (
            "large-community = \"65010:*:2\"",
            "large-community = \"65010:*:3\"",
            Condition::LargeCommunity,
        ),
        (
            "large-community-all = \"65010:1:0-9\"",
            "large-community-all = \"1:1:*\"",
            Condition::LargeCommunityAll,
        ),
        (
            "nexthop = \"192.0.2.0/24\"",
            "nexthop = [\"192.0.3.0/24\", \"::/0\"]",
            Condition::Nexthop,
        ),
        (
            "origin = [\"egp\", \"igp\"]",
            "origin = \"incomplete\"",
            Condition::Origin,
        ),
        ("med = \"any\"", "med = \"none\"", Condition::Med),
        ("med = \">=50\"", "med = \">50\"", Condition::Med),
        (
            "local-pref = \"150-160\"",
            "local-pref = 100",
            Condition::LocalPref,
        ),
        (
            "unless = { med = \"none\", origin = \"igp\" }",
            "unless = { med = 50, prefix = \"10.1.0.0/16\" }",
            Condition::Unless,
        ),
    ] {
        for (condition, expected) in [(holds, None), (fails, Some(named))] {
            let config = config(&format!(
                "{lists}[[filter.f]]\n{condition}\naction = \"accept\"\n"
            ));
            let filter = Filters::of(&config).get(Some("f"));
            let (visits, verdict) = filter.explain(&net("10.1.0.0/16"), &attrs(), US);
            assert_eq!(visits[0].failed, expected, "{condition}");
            assert_eq!(
                verdict == Verdict::Reject,
                expected.is_some(),
                "{condition}"
            );
        }
    }
}

#[test]
fn each_setting_of_the_file_is_made() {
    let after = |set: &str| {
        let config = config(&format!(
            "[[filter.f]]\nfamily = \"ipv4\"\naction = \"accept\"\nset = {{ {set} }}\n"
        ));
        match Filters::of(&config)
            .get(Some("f"))
            .evaluate(&net("10.1.0.0/16"), &attrs(), US)
        {
            Verdict::Accept(after) => Attrs::clone(&after),
            Verdict::Reject => panic!("{set}: rejected"),
        }
    };
    let shown = |set: &str| {
        let after = after(set);
        let communities: Vec<_> = after.communities.iter().map(ToString::to_string).collect();
        let large: Vec<_> = after
            .large_communities
            .iter()
            .map(ToString::to_string)
            .collect();
        let ext: Vec<_> = after
            .ext_communities
            .iter()
            .map(|c| format!("{:x}", c.0))
            .collect();
        format!(
            "{:?} {:?} {} {} {} | {} | {} | {}",
            after.local_pref,
            after.med,
            after.origin,
            after
                .nexthop
                .map_or_else(|| "self".to_owned(), |hop| hop.to_string()),
            after.as_path,
            communities.join(" "),
            ext.join(" "),
            large.join(" ")
        )
    };
    let plain =
        "Some(150) Some(50) igp 192.0.2.9 64512 3356 7 | 65010:120 | 2fdf200000064 | 65010:1:2";
    assert_eq!(shown(""), plain);
    for (set, from, to) in [
        ("local-pref = 200", "Some(150)", "Some(200)"),
        ("local-pref = \"-10\"", "Some(150)", "Some(140)"),
        ("med = \"+10\"", "Some(50)", "Some(60)"),
        ("med = \"none\"", "Some(50)", "None"),
        ("origin = \"incomplete\"", "igp", "incomplete"),
        ("nexthop = \"192.0.2.7\"", "192.0.2.9", "192.0.2.7"),
        ("nexthop = \"self\"", "192.0.2.9", "self"),
        ("prepend = 2", "64512", "65010 65010 64512"),
        ("prepend = { as = \"last-as\" }", "64512", "64512 64512"),
        (
            "prepend = { as = 65020, times = 2 }",
            "64512",
            "65020 65020 64512",
        ),
        (
            "add-community = [\"no-export\", \"1:2\"]",
            "65010:120",
            "1:2 65010:120 65535:65281",
        ),
        ("delete-community = \"65010:*\"", " 65010:120 ", "  "),
        ("community = [\"1:2\"]", "65010:120", "1:2"),
        ("community = []", " 65010:120 ", "  "),
        (
            "add-ext-community = \"soo:192.0.2.1:7\"",
            "2fdf200000064",
            "2fdf200000064 103c00002010007",
        ),
        (
            "delete-ext-community = \"rt:*:100\"",
            " 2fdf200000064 ",
            "  ",
        ),
        (
            "ext-community = \"rt:65536:1\"",
            "2fdf200000064",
            "202000100000001",
        ),
        (
            "bandwidth = \"1Gbit\"",
            "2fdf200000064",
            "2fdf200000064 4004fdf24cee6b28",
        ),
        (
            "add-large-community = \"1:2:3\"",
            "65010:1:2",
            "1:2:3 65010:1:2",
        ),
        ("delete-large-community = \"*:*:2\"", " 65010:1:2", " "),
        ("large-community = [\"1:2:3\"]", "65010:1:2", "1:2:3"),
    ] {
        assert_eq!(shown(set), plain.replacen(from, to, 1), "{set}");
    }
}

#[test]
fn steps_name_the_rules_of_the_compiled_filter_through_calls() {
    let config = config(
        "[[filter.f]]\nmed = \"none\"\naction = \"reject\"\n\
         [[filter.f]]\ncall = \"common\"\n\
         [[filter.f]]\naction = \"accept\"\n\
         [[filter.common]]\nname = \"tag\"\naction = \"next\"\nset = { med = 1 }\n\
         [[filter.common]]\ncall = \"none\"\n\
         [[filter.none]]\nmed = \"none\"\naction = \"reject\"\n",
    );
    let steps = steps(&config, "f");
    let filter = Filters::of(&config).get(Some("f"));
    let (visits, _) = filter.explain(&net("10.0.0.0/8"), &attrs(), US);
    let visited: Vec<_> = visits
        .iter()
        .map(|visit| {
            (
                steps[visit.step].filter,
                steps[visit.step].index,
                steps[visit.step].depth,
            )
        })
        .collect();
    assert_eq!(
        visited,
        [
            ("f", 0, 0),
            ("f", 1, 0),
            ("common", 0, 1),
            ("common", 1, 1),
            ("none", 0, 2),
            ("f", 2, 0)
        ]
    );
    assert_eq!(steps.len(), visits.len(), "all were asked");
}

#[test]
fn without_a_filter_nothing_passes() {
    let filters = Filters::of(&config("[[filter.f]]\naction = \"accept\"\n"));
    let passes =
        |name| filters.get(name).evaluate(&net("10.0.0.0/8"), &attrs(), US) != Verdict::Reject;
    assert!(passes(Some("f")));
    assert!(!passes(None) && !passes(Some("g")));
}

#[test]
fn a_changed_list_or_called_filter_is_another_filter() {
    let text = |length: u8, med: u8| {
        format!(
            "[prefix-list.nets]\nprefixes = [\"10.0.0.0/8 le {length}\"]\n\
             [[filter.f]]\nprefix-list = \"nets\"\ncall = \"g\"\n\
             [[filter.g]]\nmed = {med}\naction = \"accept\"\n"
        )
    };
    let compiled = |length, med| Filters::of(&config(&text(length, med))).get(Some("f"));
    assert_eq!(compiled(24, 1), compiled(24, 1));
    assert_ne!(compiled(24, 1), compiled(23, 1));
    assert_ne!(compiled(24, 1), compiled(24, 2));
}

#[test]
fn a_route_that_was_written_down_has_the_attributes_it_says() {
    let text = "prefix=10.0.0.0/8 as-path=\"64512 3356 7\" nexthop=192.0.2.9 med=50 local-pref=150 \
                community=65010:120,65010:120 large-community=65010:1:2 ext-community=rt:65010:100";
    assert_eq!(super::attrs(&config::Route::parse(text).unwrap()), attrs());
}
