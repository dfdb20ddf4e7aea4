//! Filters that are wrong, or that nobody can have meant.

use super::*;

#[test]
fn filters_have_legal_prefixes_lengths_and_communities() {
    let cases = [
        (
            "prefix = [\"10.1.2.3/16\"]",
            "prefix.host-bits",
            11,
            "write \"10.1.0.0/16\"",
        ),
        (
            "prefix = [\"10.1.2.3/16 le 24\"]",
            "prefix.host-bits",
            11,
            "write \"10.1.0.0/16 le 24\"",
        ),
        (
            "prefix = [\"10.1.0.0/16 le 8\"]",
            "prefix.length",
            11,
            "from 16 to 32",
        ),
        (
            "prefix = [\"10.1.0.0/16 ge 24 le 20\"]",
            "prefix.length",
            11,
            "`ge` before `le`",
        ),
        (
            "prefix = [\"10.1.0.0/16 lt 24\"]",
            "prefix.length",
            11,
            "ge 20 le 24",
        ),
        ("prefix = [\"10.1.0.0\"]", "value.prefix", 11, "10.1.0.0/32"),
        ("prefix = 5", "value.type", 10, "an integer, not a prefix"),
        ("prefix = []", "filter.empty", 1, "matches everything"),
        (
            "community = [\"65536:1\"]",
            "value.community",
            14,
            "0 to 65535",
        ),
        (
            "large-community = [\"1:2\"]",
            "value.community",
            20,
            "65010:1:2",
        ),
        (
            "as-path-contains = [\"AS1\"]",
            "value.asn",
            21,
            "64512-65534",
        ),
        ("origin-as = \"5-2\"", "value.asn", 13, "range"),
        ("neighbor-as = []", "filter.empty", 1, "matches everything"),
        (
            "as-path = [\"(1\"]",
            "filter.regex",
            12,
            "character 1: this `(` is not closed",
        ),
        ("as-path = \"65010 a\"", "filter.regex", 11, "no 'a'"),
        ("as-path-length = \"<0\"", "value.comparison", 18, "<=100"),
        (
            "med = \"high\"",
            "value.comparison",
            7,
            "\"none\" or \"any\"",
        ),
        ("family = \"ipv5\"", "value.unknown", 10, "ipv4"),
        (
            "origin = \"ibgp\"",
            "value.unknown",
            10,
            "did you mean \"igp\"?",
        ),
        (
            "community = \"no-exprt\"",
            "value.community",
            13,
            "did you mean \"no-export\"?",
        ),
        (
            "community = \"65010:9-1\"",
            "value.community",
            13,
            "0 to 65535",
        ),
        (
            "community-all = \"65010\"",
            "value.community",
            17,
            "0 to 65535",
        ),
        (
            "ext-community = \"rt:1\"",
            "value.community",
            17,
            "rt:65010:100",
        ),
        (
            "ext-community = \"0x12\"",
            "value.community",
            17,
            "eight octets",
        ),
        ("nexthop = \"10.0.0.1\"", "value.prefix", 11, "10.0.0.1/32"),
        (
            "comunity = \"1:1\"",
            "key.unknown",
            1,
            "did you mean `community`?",
        ),
        ("unless = {}", "filter.empty", 1, "holds always"),
        (
            "unless = { comunity = \"1:1\" }",
            "key.unknown",
            12,
            "did you mean `community`?",
        ),
        (
            "unless = { prefix = [] }",
            "filter.empty",
            12,
            "matches everything",
        ),
        ("name = \"my rule\"", "name.invalid", 8, "a-z"),
        (
            "call = \"f2\"\n[[filter.f2]]\naction = \"reject\"",
            "filter.action",
            1,
            "keep `action` or `call`",
        ),
        (
            "prefix-list = \"nets\"",
            "prefix-list.unknown",
            15,
            "add [prefix-list.nets]",
        ),
        (
            "prefix-list = \"nets\"\n[prefix-list.nets]\nprefixes = []",
            "filter.empty",
            1,
            "matches nothing",
        ),
        (
            "prefix-list = \"nets\"\n[prefix-list.nets]",
            "key.missing",
            14,
            "add prefixes = ",
        ),
        ("set = { prepend = 17 }", "value.range", 19, "1 to 16"),
        (
            "set = { prepend = { as = \"first\" } }",
            "value.unknown",
            26,
            "\"last-as\", \"own\"",
        ),
        (
            "set = { prepend = { as = 0 } }",
            "asn.reserved",
            26,
            "RFC 7607",
        ),
        (
            "set = { prepend = { times = 2 } }",
            "key.missing",
            9,
            "has no `as`",
        ),
        (
            "set = { local-pref = \"10\" }",
            "value.number",
            22,
            "\"+10\"",
        ),
        (
            "set = { med = \"no\" }",
            "value.number",
            15,
            "\"none\" to remove it",
        ),
        (
            "set = { bandwidth = \"1G\" }",
            "value.bandwidth",
            21,
            "2.5Gbit",
        ),
        (
            "set = { add-community = \"65010:*\" }",
            "value.community",
            25,
            "the one community",
        ),
        (
            "set = { add-large-community = \"1:*:2\" }",
            "value.community",
            31,
            "the one community",
        ),
        (
            "set = { add-ext-community = \"link-bandwidth\" }",
            "value.community",
            29,
            "bandwidth = \"1Gbit\"",
        ),
        (
            "set = { add-ext-community = \"rt:65536:65536\" }",
            "value.community",
            29,
            "rt:65010:100",
        ),
        (
            "set = { community = [], add-community = \"1:1\" }",
            "filter.set",
            25,
            "replaces all of them",
        ),
        (
            "set = { nexthop = \"192.0.2.1\" }",
            "filter.nexthop",
            19,
            "family = \"ipv4\"",
        ),
        (
            "set = { nexthop = \"self\" }",
            "filter.nexthop",
            19,
            "used for import",
        ),
        ("set = { weight = 1 }", "key.unknown", 9, "local-pref"),
    ];
    for (rule, name, column, part) in cases {
        let text = format!(
            "{HEAD}[peer.p]\naddress = \"192.0.2.1\"\nasn = 65010\nimport = \"f\"\nexport = \"f\"\n\
             [[filter.f]]\naction = \"accept\"\n{rule}\n"
        );
        let found = findings(&text);
        assert_eq!(found.len(), 1, "{rule}: {found:#?}");
        let said = format!("{} {}", found[0].message, found[0].fix);
        assert_eq!((found[0].rule, found[0].column), (name, column), "{said}");
        assert!(said.contains(part), "{said:?} lacks {part:?}");
    }
}

/// A router with one external peer, whose filters are `f` and `g`.
const PEER: &str =
    "[peer.p]\naddress = \"192.0.2.1\"\nasn = 64512\nimport = \"f\"\nexport = \"g\"\n";

/// Rule, line after `PEER`, part of message or fix.
fn assert_filters(text: &str, expected: &[(&str, usize, &str)]) {
    let found = findings(&format!("{HEAD}{PEER}{text}"));
    let shown: Vec<String> = found.iter().map(ToString::to_string).collect();
    let places: Vec<_> = found
        .iter()
        .map(|f| (f.rule, f.line.saturating_sub(11)))
        .collect();
    let wanted: Vec<_> = expected
        .iter()
        .map(|(rule, line, _)| (*rule, *line))
        .collect();
    assert_eq!(places, wanted, "in\n{text}\nfound {shown:#?}");
    for (finding, (_, _, part)) in found.iter().zip(expected) {
        let said = format!("{} {}", finding.message, finding.fix);
        assert!(said.contains(part), "in\n{text}\n{said:?} lacks {part:?}");
    }
}

const G: &str = "[[filter.g]]\nprefix = \"10.10.0.0/16\"\naction = \"accept\"\n";

#[test]
fn calls_lead_to_filters_that_exist_and_never_back() {
    assert_filters(
        &format!("{G}[[filter.f]]\ncall = \"gg\"\n"),
        &[("filter.unknown", 5, "did you mean `g`?")],
    );
    assert_filters(
        &format!("{G}[[filter.f]]\ncall = \"f\"\n"),
        &[("filter.cycle", 5, "`f` calls itself: f -> f")],
    );
    assert_filters(
        &format!(
            "{G}[[filter.f]]\ncall = \"a\"\n[[filter.a]]\ncall = \"b\"\n[[filter.b]]\ncall = \"a\"\n"
        ),
        &[("filter.cycle", 9, "`a` calls itself: a -> b -> a")],
    );
}

#[test]
fn filters_have_bounds_and_the_first_that_breaks_one_is_named() {
    let mut deep = format!("{G}[[filter.f]]\ncall = \"c0\"\n");
    for i in 0..20 {
        deep.push_str(&format!("[[filter.c{i}]]\ncall = \"c{}\"\n", i + 1));
    }
    deep.push_str("[[filter.c20]]\naction = \"reject\"\n");
    assert_filters(&deep, &[("filter.size", 12, "17 deep, 16 is the most")]);
    let mut wide = format!("{G}[[filter.f]]\ncall = \"c0\"\n");
    for i in 0..15 {
        let call = format!("[[filter.c{i}]]\ncall = \"c{}\"\n", i + 1);
        wide.push_str(&call);
        wide.push_str(&call);
    }
    wide.push_str("[[filter.c15]]\naction = \"reject\"\n");
    assert_filters(&wide, &[("filter.size", 14, "24574 rules")]);
    let mut many = format!("{G}[[filter.f]]\ncall = \"a\"\n");
    many.push_str(&"[[filter.a]]\nmed = 1\naction = \"reject\"\n".repeat(4_000));
    for i in 0..70 {
        many.push_str(&format!("[[filter.f]]\ncall = \"b{i:02}\"\nmed = {i}\n"));
        many.push_str(&format!("[[filter.b{i:02}]]\ncall = \"a\"\n"));
    }
    let found = findings(&format!("{HEAD}{PEER}{many}"));
    let rules: Vec<_> = found.iter().map(|f| (f.rule, f.message.as_str())).collect();
    assert_eq!(rules.len(), 2, "{rules:#?}");
    assert!(
        rules
            .iter()
            .any(|(_, said)| said.contains("filter `b64` is one too many")),
        "{rules:#?}"
    );
    assert!(
        rules
            .iter()
            .any(|(_, said)| said.contains("filter `f` has 284141 rules")),
        "{rules:#?}"
    );
    let tagging = |count| {
        let rule = "[[filter.f]]\naction = \"next\"\nset = { med = 1 }\n";
        format!("{G}{}", rule.repeat(count))
    };
    assert_filters(&tagging(128), &[]);
    assert_filters(&tagging(129), &[("filter.size", 4, "129 rules that set")]);
}

#[test]
fn what_nobody_reaches_is_named() {
    let used =
        "[[filter.f]]\nprefix-list = \"nets\"\ncall = \"h\"\n[[filter.h]]\naction = \"reject\"\n";
    let nets = "[prefix-list.nets]\nprefixes = [\"10.0.0.0/8\"]\n";
    assert_filters(&format!("{G}{used}{nets}"), &[]);
    let unused = "[[filter.i]]\ncall = \"j\"\n[[filter.j]]\naction = \"reject\"\n[prefix-list.old]\nprefixes = [\"10.0.0.0/8\"]\n";
    assert_filters(
        &format!("{G}{used}{nets}{unused}"),
        &[
            ("filter.unused", 11, "filter `i`"),
            ("filter.unused", 13, "filter `j`"),
            ("prefix-list.unused", 15, "prefix list `old`"),
        ],
    );
    let all = "[[filter.f]]\naction = \"accept\"\n";
    let rest = "[[filter.f]]\nprefix = \"10.0.0.0/8\"\naction = \"reject\"\n";
    assert_filters(
        &format!("{G}{all}{rest}"),
        &[("filter.shadowed", 6, "rule 1 of `f` decides")],
    );
    let default = "[[filter.f]]\nprefix = \"0.0.0.0/0\"\naction = \"accept\"\n";
    assert_filters(&format!("{G}{all}{default}"), &[]);
    assert_filters(
        &format!("{G}{}{default}", all.replace("accept", "reject")),
        &[("filter.shadowed", 6, "")],
    );
    assert_filters(
        &format!("{G}[[filter.f]]\naction = \"next\"\n"),
        &[("filter.set", 5, "no effect")],
    );
    assert_filters(
        &format!(
            "{G}{}",
            "[[filter.f]]\nname = \"a\"\ncall = \"g\"\n".repeat(2)
        ),
        &[("filter.name", 8, "named `a`")],
    );
}

#[test]
fn a_leak_is_found_behind_a_call() {
    let f = "[[filter.f]]\ncall = \"all\"\n[[filter.all]]\naction = \"accept\"\n";
    assert_filters(
        &format!("{f}[[filter.g]]\ncall = \"all\"\n"),
        &[("leak.transit", 3, "filter `all`")],
    );
    assert_filters(
        &format!("{f}[[filter.g]]\nprefix = \"10.10.0.0/16\"\ncall = \"all\"\n"),
        &[],
    );
    let default = "[prefix-list.d]\nprefixes = [\"::/0\"]\n[[filter.g]]\nprefix-list = \"d\"\naction = \"accept\"\n";
    assert_filters(
        &format!("{f}{default}"),
        &[("leak.default-route", 8, "::/0")],
    );
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn pick<'t>(&mut self, items: &[&'t str]) -> &'t str {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        items[((z ^ (z >> 31)) % items.len() as u64) as usize]
    }
}

#[test]
fn any_filter_text_is_read_or_refused() {
    let seed = 17;
    println!("seed {seed}");
    let mut random = Random(seed);
    let keys = [
        "prefix",
        "prefix-list",
        "as-path",
        "as-path-contains",
        "as-path-length",
        "origin-as",
        "neighbor-as",
        "community",
        "community-all",
        "ext-community",
        "large-community",
        "nexthop",
        "origin",
        "med",
        "local-pref",
        "family",
        "name",
        "action",
        "call",
        "unless",
        "set",
        "prepend",
        "bandwidth",
        "add-community",
        "delete-ext-community",
        "as",
        "times",
        "x",
    ];
    let values = [
        "\"10.0.0.0/8 le 24\"",
        "\"0.0.0.0/0\"",
        "\"n\"",
        "\"_1_\"",
        "\"(((\"",
        "\"1{255}{2}\"",
        "5",
        "-1",
        "\"<5\"",
        "\">4294967295\"",
        "\"1:1\"",
        "\"*:*\"",
        "\"1:2:3\"",
        "\"rt:1:*\"",
        "\"0x0000000000000000\"",
        "\"self\"",
        "\"10.0.0.1\"",
        "\"accept\"",
        "\"next\"",
        "\"f\"",
        "\"g\"",
        "\"1Gbit\"",
        "\"é:é\"",
        "\"\"",
        "true",
        "[]",
        "{}",
        "1.5",
        "\"4294967296\"",
        "\"+\"",
        "\"-4294967296\"",
        "\"0-4294967295\"",
        "\":\"",
        "\"::\"",
        "\"rt::\"",
        "\"1e9Gbit\"",
    ];
    let mut good = 0;
    for _ in 0..5_000 {
        let mut text = format!("{HEAD}{PEER}[prefix-list.n]\nprefixes = [\"10.0.0.0/8\"]\n");
        for filter in ["f", "g", "f"] {
            text.push_str(&format!("[[filter.{filter}]]\n"));
            if random.pick(&["good", "good", "any"]) == "good" {
                text.push_str("prefix-list = \"n\"\naction = \"accept\"\n");
                continue;
            }
            let mut used: Vec<&str> = Vec::new();
            for _ in 0..3 {
                let key = random.pick(&keys);
                if used.contains(&key) {
                    continue;
                }
                used.push(key);
                let (a, b) = (random.pick(&values), random.pick(&values));
                let inner = random.pick(&keys);
                let value = match random.pick(&["one", "one", "list", "table"]) {
                    "list" => format!("[{a}, {b}]"),
                    "table" => format!("{{ {inner} = {a} }}"),
                    _ => a.to_owned(),
                };
                text.push_str(&format!("{key} = {value}\n"));
            }
            if !used.contains(&"action") && !used.contains(&"call") {
                text.push_str("action = \"accept\"\n");
            }
        }
        good += usize::from(load(&text, "t.toml").is_ok());
    }
    assert!((500..4_500).contains(&good), "{good} of 5000 were legal");
}

#[test]
fn export_filters_that_let_too_much_out_are_warned_of() {
    let with = |asn: u32, rule: &str| {
        let text = format!(
            "{HEAD}[peer.p]\naddress = \"192.0.2.1\"\nasn = {asn}\nimport = \"f\"\nexport = \"f\"\n\
             [[filter.f]]\naction = \"accept\"\n{rule}\n"
        );
        findings(&text).iter().map(|f| f.rule).collect::<Vec<_>>()
    };
    assert_eq!(with(64512, ""), ["leak.transit"]);
    assert_eq!(
        with(64512, "prefix = [\"0.0.0.0/0 le 32\"]"),
        ["leak.transit"]
    );
    assert_eq!(
        with(64512, "prefix = [\"0.0.0.0/0\"]"),
        ["leak.default-route"]
    );
    assert_eq!(with(64512, "community = [\"65010:1\"]"), [""; 0]);
    assert_eq!(
        with(65010, ""),
        [""; 0],
        "an iBGP peer is to know everything"
    );
}
