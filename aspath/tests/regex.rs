//! What expressions match, by hand and against a library that knows nothing of AS paths.

use aspath::{Mark, Regex};

/// Walks along the text of a path.
fn matches(regex: &Regex, path: &str) -> bool {
    let mut walk = regex.walk();
    let mut rest = path;
    while let Some(c) = rest.chars().next() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        if digits > 0 {
            walk.number(rest[..digits].parse().expect("it is a number"));
            rest = &rest[digits..];
            continue;
        }
        walk.mark(match c {
            ' ' => Mark::Space,
            ',' => Mark::Comma,
            '{' => Mark::SetOpens,
            _ => Mark::SetCloses,
        });
        rest = &rest[1..];
    }
    assert!(!walk.is_decided() || walk.matches_here());
    walk.matches_here()
}

fn parse(text: &str) -> Regex {
    Regex::parse(text).expect(text)
}

#[test]
fn expressions_match_what_operators_expect() {
    let cases: [(&str, &[&str], &[&str]); 22] = [
        ("^$", &[""], &["1", "0"]),
        (".*", &["", "65010", "1 {2,3}"], &[]),
        (".+", &["1"], &[""]),
        (
            "_65010_",
            &[
                "65010",
                "1 65010",
                "65010 1",
                "1 65010 2",
                "1 {65010,2}",
                "{2,65010}",
            ],
            &["", "165010", "650100", "1 650101 2"],
        ),
        (
            "^65010_",
            &["65010", "65010 1", "65010 {1}"],
            &["1 65010", "650101", "{65010}"],
        ),
        (
            "_65010$",
            &["65010", "1 65010"],
            &["65010 1", "165010", "{65010}"],
        ),
        ("^65010$", &["65010"], &["65010 65010", ""]),
        ("^[0-9]+$", &["1", "4294967295"], &["", "1 2", "{1}"]),
        ("^[0-9]+ [0-9]+$", &["1 2"], &["1", "1 2 3"]),
        (
            "^65010(_65010)*$",
            &["65010", "65010 65010 65010"],
            &["65010 1", "65010 65010 1"],
        ),
        (
            "_6451[2-9]_|_645[2-9][0-9]_",
            &["64512", "1 64599 2"],
            &["64511", "64600", "645120"],
        ),
        (
            "_(174|1299|3356)_",
            &["65010 1299 7", "174"],
            &["1740", "3356174"],
        ),
        (
            "^65010_[0-9]+_64512$",
            &["65010 7 64512"],
            &["65010 64512", "65010 7 8 64512"],
        ),
        (
            "^(65010_)+64512$",
            &["65010 64512", "65010 65010 64512"],
            &["64512", "65010 1 64512"],
        ),
        ("{", &["1 {2}"], &["1 2"]),
        ("\\{65010", &["{65010,1}"], &["{1,65010}"]),
        ("[^0-9]", &["1 2", "{1}"], &["", "12"]),
        ("[ ,]7", &["1 7", "{1,7}"], &["7", "{7}"]),
        ("^(1|2){2,3}$", &["12", "121"], &["1", "1212", "1 2"]),
        ("^1{3,}$", &["111", "1111111"], &["11"]),
        ("__65010", &["65010", "1 {65010}"], &["1 65010"]),
        ("651.645", &["651 645", "6511645"], &["651", "651645"]),
    ];
    for (text, yes, no) in cases {
        let regex = parse(text);
        for path in yes {
            assert!(matches(&regex, path), "{text} on {path:?}");
        }
        for path in no {
            assert!(!matches(&regex, path), "{text} on {path:?}");
        }
    }
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    for (text, at, part) in [
        ("(65010", 1, "not closed"),
        ("65010)", 6, "no `(`"),
        ("^*", 2, ""),
        ("*1", 1, "nothing that `*` repeats"),
        ("1**", 3, "repeats a repetition"),
        ("65010a", 6, "an AS path has no 'a'"),
        ("[65010", 1, "not closed"),
        ("[]", 1, "empty"),
        ("[5-2]", 2, "not lower"),
        ("[_]", 2, "no meaning"),
        ("1{2", 2, "is no count"),
        ("1{4,2}", 2, "is no count"),
        ("1{256}", 2, "at most 255"),
        ("1 {65010}", 3, "\\{"),
        ("\\d+", 2, "[0-9]"),
        ("1\\", 3, "before nothing"),
        ("[^0-9 ,{}()]", 1, "no character over"),
    ] {
        match Regex::parse(text) {
            Ok(_) => assert_eq!(part, "", "{text} is read"),
            Err(wrong) => {
                assert_eq!(wrong.at, at, "{text}: {wrong}");
                assert!(wrong.problem.contains(part), "{text}: {wrong}");
            }
        }
    }
}

#[test]
fn what_would_take_much_memory_or_time_is_refused() {
    for text in [
        "(.*1.{20}){10}",
        "((((((1{200}){200}){200}){200}){200}){200})",
        "((((((){255}){255}){255}){255}){255}){255}",
        &format!("{}1{}", "(".repeat(60), ")".repeat(60)),
    ] {
        assert!(Regex::parse(text).is_err(), "{text}");
    }
}

#[test]
fn a_long_list_of_numbers_is_no_trouble() {
    let numbers: Vec<String> = (0..500)
        .map(|i| (1000 + i * 7919 % 400_000).to_string())
        .collect();
    let regex = parse(&format!("_({})_", numbers.join("|")));
    assert!(matches(&regex, &format!("65010 {} 7", numbers[499])));
    assert!(!matches(&regex, "65010 999 7"));
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
}

fn random_text(random: &mut Random, depth: usize) -> String {
    let atoms = [
        "1", "2", "12", "_", "^", "$", ".", "[12]", "[^1]", "\\{", " ", ",", "[0-9]",
    ];
    let mut text = String::new();
    for _ in 0..random.below(4) {
        let atom = if depth > 0 && random.below(4) == 0 {
            format!("({})", random_text(random, depth - 1))
        } else {
            atoms[random.below(atoms.len())].to_owned()
        };
        let repeat = ["", "", "", "*", "+", "?", "{2}", "{1,}", "{0,2}"];
        let simple = !matches!(atom.as_str(), "12" | "_" | "^" | "$");
        text.push_str(&atom);
        text.push_str(if simple {
            repeat[random.below(repeat.len())]
        } else {
            ""
        });
    }
    if depth > 0 && random.below(4) == 0 {
        text = format!("{text}|{}", random_text(random, depth - 1));
    }
    text
}

fn random_path(random: &mut Random) -> String {
    let mut path = Vec::new();
    for _ in 0..random.below(5) {
        let number = ["1", "2", "12", "21", "112"][random.below(5)];
        path.push(match random.below(5) {
            0 => format!("{{{number},2}}"),
            1 => format!("{{{number}}}"),
            _ => number.to_owned(),
        });
    }
    path.join(" ")
}

#[test]
fn random_expressions_match_as_a_general_library_matches_them() {
    let seed = 11;
    println!("seed {seed}");
    let mut random = Random(seed);
    let mut matched = 0;
    for _ in 0..3000 {
        let text = random_text(&mut random, 3);
        let ours = parse(&text);
        let theirs = regex::Regex::new(&text.replace('_', "(?:^|[ ,{}()]|$)")).unwrap();
        for _ in 0..20 {
            let path = random_path(&mut random);
            let expected = theirs.is_match(&path);
            assert_eq!(matches(&ours, &path), expected, "{text:?} on {path:?}");
            matched += usize::from(expected);
        }
    }
    assert!(
        (5_000..55_000).contains(&matched),
        "{matched} of 60000 matched"
    );
}

#[test]
fn any_text_is_read_or_refused() {
    let seed = 5;
    println!("seed {seed}");
    let mut random = Random(seed);
    let letters: Vec<char> = "0129_^$.[]()*+?{},|\\- xé".chars().collect();
    let mut read = 0;
    for _ in 0..20_000 {
        let text: String = (0..random.below(24))
            .map(|_| letters[random.below(letters.len())])
            .collect();
        read += usize::from(Regex::parse(&text).is_ok());
    }
    assert!(read > 100, "{read} were read");
}
