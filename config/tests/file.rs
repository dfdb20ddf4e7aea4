//! Whole files: the example that is shipped, files that are not text at all, and secrets.

use std::time::Duration;

use config::model::{Backend, Carrier, Limit, ProbeMethod, SecretSource};
use config::report::Style;
use config::{diff, load};

const EXAMPLE: &str = include_str!("../../packaging/skybridge.toml");
const SECRET: &str = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=";

#[test]
fn the_shipped_example_is_legal_and_nothing_about_it_is_odd() {
    let loaded = load(EXAMPLE, "skybridge.toml").unwrap_or_else(|report| panic!("{report}"));
    assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
    let config = loaded.config;
    assert_eq!(config.router.asn, 65010);
    assert_eq!(config.router.listen.len(), 2);
    assert_eq!(config.links.len(), 2);
    assert_eq!(
        config.peers.keys().collect::<Vec<_>>(),
        ["aws-gw", "azure-a", "azure-b"]
    );
    assert_eq!(config.peers["aws-gw"].hold_time, Duration::from_secs(30));
    assert_eq!(config.filters["from-azure"].len(), 3);
    assert_eq!(config.prefix_lists["azure"].len(), 1);
    assert_eq!(config.groups["azure"].slo.loss, Some(Limit::from(0.005)));
    let link = &config.links["azure-a"];
    assert_eq!(
        (link.interface.as_str(), link.probe.method),
        ("sb-azure-a", ProbeMethod::Auto)
    );
    let Carrier::WireGuard(wireguard) = &link.carrier else {
        panic!("azure-a is carried by {:?}", link.carrier)
    };
    assert_eq!(
        wireguard.private_key,
        SecretSource::File("secrets/wg.key".into())
    );
    assert_eq!((wireguard.backend, wireguard.mtu), (Backend::Auto, 1420));
}

/// Every line `# key = value` of the example shows a default: with all of them the same is asked.
#[test]
fn the_defaults_that_the_example_shows_are_the_defaults() {
    let is_default = |line: &&str| {
        let line = line.trim_start_matches("# ");
        [
            "listen = [",
            "backend ",
            "mtu ",
            "policy ",
            "hold-down ",
            "port ",
            "passive ",
            "connect-retry ",
        ]
        .iter()
        .chain(&[
            "install ",
            "table ",
            "metric ",
            "socket ",
            "listen = \"127",
            "level ",
            "format ",
        ])
        .any(|key| line.starts_with(key))
    };
    let shown = EXAMPLE
        .lines()
        .map(|line| {
            if is_default(&line) {
                line.trim_start_matches("# ")
            } else {
                line
            }
        })
        .collect::<Vec<_>>()
        .join("\n");
    let plain = load(EXAMPLE, "a").expect("the example is legal").config;
    let shown = load(&shown, "b")
        .unwrap_or_else(|report| panic!("{report}"))
        .config;
    assert_eq!(diff(&plain, &shown), []);
}

#[test]
fn a_report_looks_like_a_compilers() {
    let text = "[router]\nname = \"r\"\nasn = 65010\nid = \"10.0.0.1\"\n[fib]\ninstal = true\n";
    let report = load(text, "sky.toml").expect_err("`instal` is not known");
    let expected = "\
error[key.unknown]: `instal` is not known in `fib`
 --> sky.toml:6:1
  |
6 | instal = true
  | ^^^^^^
  |
  = help: did you mean `install`? known here: `install`, `metric`, `resolve-via-default`, `table`";
    assert_eq!(report.to_string(), expected);
    assert!(report.render(Style::Coloured).contains("\u{1b}["));
    assert!(!report.render(Style::Plain).contains('\u{1b}'));
}

#[test]
fn a_secret_in_the_file_is_refused_and_never_shown() {
    let head = "[router]\nname = \"r\"\nasn = 65010\nid = \"10.0.0.1\"\n[link.a]\n";
    let lines = [
        format!("wireguard = {{ private-key = \"{SECRET}\", listen = 1, oops = 1 }}"),
        format!("wireguard = {{ private-key = {{ value = \"{SECRET}\" }}, listen = 1 }}"),
        format!("wireguard = {{ private-key = {{ file = \"{SECRET}\", oops = 1 }}, listen = 1 }}"),
        format!("wireguard = {{ privat-key = \"{SECRET}\", listen = \"{SECRET}\" }}"),
        format!("wireguard = {{ peer = {{ preshared-key = \"{SECRET}\", public-key = 5 }} }}"),
        format!("wireguard = {{ private-key = [\"{SECRET}\"] }}"),
        format!("wireguard = {{ private-key = \"\"\"\n{SECRET}\"\"\", listen = 0, oops = 1 }}"),
        format!("wireguard = {{ private-key = \"{SECRET}, listen = 1 }}"),
        format!("wireguard = {{ private-key = {SECRET}, listen = 1 }}"),
        format!("inside = {{ local = \"{SECRET}\", remote = \"{SECRET}\" }}"),
        format!("group = \"{SECRET}\"\nsecret = \"{SECRET}\""),
    ];
    for line in lines {
        let report = load(&format!("{head}{line}\n"), "t").expect_err(&line);
        let shown = format!("{report}{:?}{}", report, report.render(Style::Coloured));
        assert!(report.errors() > 0);
        for window in SECRET.as_bytes().windows(12) {
            let part = std::str::from_utf8(window).expect("Base64 is ASCII");
            assert!(!shown.contains(part), "{line}\n{shown}");
        }
    }
}

#[test]
fn an_inline_secret_is_told_the_four_ways_that_there_are() {
    let text = format!("[link.a]\nwireguard = {{ private-key = \"{SECRET}\" }}\n");
    let report = load(&text, "t").expect_err("there is much wrong");
    let finding = report
        .findings()
        .iter()
        .find(|f| f.rule == "secret.inline")
        .expect("refused");
    assert_eq!((finding.line, finding.column), (2, 29));
    for form in ["{ file =", "{ env =", "{ credential =", "{ command ="] {
        assert!(finding.fix.contains(form), "{}", finding.fix);
    }
    assert!(
        finding.text.contains("private-key = ***"),
        "{}",
        finding.text
    );
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((x ^ (x >> 31)) % u64::try_from(limit.max(1)).expect("fits")).expect("fits")
    }
}

/// The example without its comments, so that a change hits something.
fn dense() -> Vec<u8> {
    let lines = EXAMPLE.lines().map(|line| {
        line.split_once('#')
            .map_or(line, |(text, _)| text)
            .trim_end()
    });
    lines
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join("\n")
        .into_bytes()
}

fn mutate(bytes: &mut Vec<u8>, random: &mut Random) {
    let at = random.below(bytes.len());
    let alphabet = b"[]{}=\"'.,#\n\\-_09azAZ/: \t\xc3\xa4\x00\xff";
    match random.below(5) {
        0 => bytes[at] = alphabet[random.below(alphabet.len())],
        1 => bytes.insert(at, alphabet[random.below(alphabet.len())]),
        2 => drop(bytes.remove(at)),
        3 => {
            let end = (at + random.below(60)).min(bytes.len());
            let piece = bytes[at..end].to_vec();
            let to = random.below(bytes.len());
            bytes.splice(to..to, piece);
        }
        _ => {
            let end = (at + random.below(30)).min(bytes.len());
            bytes.drain(at..end);
        }
    }
}

#[test]
fn a_file_that_is_nested_without_end_is_refused() {
    let deep = [
        format!("a = {}", "[".repeat(100_000)),
        format!("a = {}", "{b=".repeat(100_000)),
        format!("{}a = 1", "b.".repeat(100_000)),
        format!("[{}a]", "b.".repeat(100_000)),
        "[[a]]\n".repeat(10_000),
    ];
    for text in deep {
        let report = load(&text, "t").expect_err("none of it is known");
        assert!(report.errors() > 0);
    }
}

#[test]
fn no_file_makes_the_reader_panic() {
    let seed = 0x5eed_0001;
    let mut random = Random(seed);
    let example = dense();
    let mut legal = 0;
    for round in 0..20_000 {
        let mut bytes = example.clone();
        for _ in 0..=random.below(4) {
            mutate(&mut bytes, &mut random);
        }
        let text = String::from_utf8_lossy(&bytes);
        let outcome = std::panic::catch_unwind(|| match load(&text, "t") {
            Ok(_) => true,
            Err(report) => {
                assert!(report.errors() > 0, "refused without an error");
                if round % 100 == 0 {
                    assert!(!report.to_string().is_empty());
                }
                false
            }
        });
        match outcome {
            Ok(is_legal) => legal += usize::from(is_legal),
            Err(_) => panic!("seed {seed:#x}, round {round}:\n{text}"),
        }
    }
    assert!(
        legal > 200,
        "the mutations are too wild to be worth much: {legal} legal files"
    );
}

#[test]
fn a_profile_fills_in_what_the_file_leaves_out_and_the_file_may_say_otherwise() {
    use config::model::{IkeVersion, Selectors};
    let ipsec = |profile: &str, more: &str| {
        let text = format!(
            "[router]\nname = \"r\"\nasn = 65010\nid = \"10.0.0.1\"\n[link.aws-1]\n{profile}\n\
             inside = {{ local = \"169.254.21.2/30\", remote = \"169.254.21.1\" }}\n\
             ipsec = {{ remote = \"198.51.100.1\", psk = {{ file = \"p\" }}{more} }}\n"
        );
        let loaded = load(&text, "t").unwrap_or_else(|report| panic!("{report}"));
        let carrier = loaded.config.links["aws-1"].carrier.clone();
        let Carrier::Ipsec(ipsec) = carrier else {
            panic!("{carrier:?}")
        };
        *ipsec
    };
    let plain = ipsec("", "");
    assert_eq!(
        (plain.version, plain.selectors),
        (IkeVersion::V2, Selectors::Both)
    );
    assert_eq!(plain.ike_lifetime, Duration::from_secs(28_800));
    // AES-CBC with SHA-256 behind a NAT, which is the most that the proposals may take.
    assert_eq!(plain.mtu.offered(), 1422);
    let azure = ipsec("profile = \"azure-vpn\"", "");
    assert_eq!(
        (azure.mtu.offered(), azure.selectors),
        (1400, Selectors::Ipv4)
    );
    assert_eq!(azure.esp_lifetime, Duration::from_secs(27_000));
    let own = ipsec(
        "profile = \"azure-vpn\"",
        ", mtu = 1380, esp = \"aes128gcm16\", version = 1",
    );
    assert_eq!(
        (own.mtu.offered(), own.esp.as_slice()),
        (1380, &["aes128gcm16".to_owned()][..])
    );
    assert_eq!(own.version, IkeVersion::V1);
    assert_eq!(plain.if_id, azure.if_id, "made of the name alone");
}

#[test]
fn an_aggregate_discards_what_nothing_covers_unless_it_covers_what_is_originated() {
    let file = "
[router]
name = \"r\"
asn = 65010
id = \"10.0.0.1\"
[originate]
prefixes = [\"10.10.0.0/16\"]
[[aggregate]]
prefix = \"10.0.0.0/8\"
[[aggregate]]
prefix = \"10.10.0.0/16\"
[[aggregate]]
prefix = \"10.20.0.0/16\"
[[aggregate]]
prefix = \"10.30.0.0/16\"
discard = false
";
    let load = |text: &str| load(text, "t.toml").unwrap_or_else(|report| panic!("{report}"));
    let config = load(file).config;
    let discards: Vec<bool> = config.aggregates.iter().map(|it| it.discard).collect();
    assert_eq!(discards, [false, true, true, false]);
    let decided = file.replacen("/8\"", "/8\"\ndiscard = true", 1);
    let decided = load(&decided).config;
    assert!(decided.aggregates[0].discard);
    let changes = diff(&config, &decided);
    let said: Vec<String> = changes.iter().map(ToString::to_string).collect();
    assert_eq!(said, ["aggregates: changed"]);
}
