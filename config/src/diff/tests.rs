use super::*;
use crate::load;

const FILE: &str = r#"
[router]
name = "r"
asn = 65010
id = "10.0.0.1"
listen = ["127.0.0.1:179"]
[originate]
prefixes = ["10.10.0.0/16", "10.11.0.0/16"]
[link.wg-a]
group = "g"
priority = 10
inside = { local = "10.99.0.0/31", remote = "10.99.0.1" }
bgp = { asn = 65020, import = "f", export = "f" }
probe = { method = "icmp", interval = "200ms", timeout = "2s", window = "20s", down-after = 4, up-after = 6 }
[link.wg-a.wireguard]
private-key = { file = "a.key" }
listen = 51820
backend = "kernel"
mtu = 1400
[link.wg-a.wireguard.peer]
public-key = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="
preshared-key = { env = "PSK" }
endpoint = "h:51820"
keepalive = "25s"
[link.nic]
interface = "eth1"
inside = { local = "10.98.0.1/30", remote = "10.98.0.2" }
[link.tgw]
inside = { local = "169.254.6.1/29", remote = "169.254.6.2" }
gre = { local = "198.51.100.1", remote = "198.51.100.2", key = 7, ttl = 32 }
[link.aws]
inside = { local = "169.254.21.2/30", remote = "169.254.21.1" }
profile = "aws-vpn-vgw"
[link.aws.ipsec]
local = "203.0.113.1"
remote = "203.0.113.2"
psk = { file = "aws.psk" }
local-id = "us"
remote-id = "them"
version = 2
ike = "aes128-sha256-modp2048"
esp = "aes128gcm16-modp2048"
ike-lifetime = "7h"
esp-lifetime = "50m"
dpd = "11s"
initiate = true
nat-traversal = "force"
selectors = "ipv4"
if-id = 77
[ipsec]
socket = "/v"
[link.dx]
inside = { local = "10.97.0.1/30", remote = "10.97.0.2" }
vlan = { parent = "eth0", id = 100 }
[group.g]
slo = { rtt = "40ms", loss = "0.5%" }
hold-down = "6s"
[group.h]
[peer.gw]
address = "192.0.2.1"
local-address = "192.0.2.2"
asn = 64512
import = "f"
export = "f"
passive = false
hold-time = "90s"
connect-retry = "6s"
port = 1179
[[filter.f]]
prefix = ["10.10.0.0/16"]
action = "accept"
[[filter.g]]
prefix = ["10.11.0.0/16"]
action = "accept"
[fib]
install = true
table = 100
metric = 30
[api]
socket = "/a"
[metrics]
listen = "127.0.0.1:1"
[log]
level = "warn"
format = "json"
"#;

fn parse(text: &str) -> Config {
    load(text, "t")
        .unwrap_or_else(|report| panic!("{report}"))
        .config
}

/// What is said after one replacement in `FILE`.
fn said(from: &str, to: &str) -> Vec<String> {
    assert!(FILE.contains(from), "{from}");
    let new = parse(&FILE.replacen(from, to, 1));
    diff(&parse(FILE), &new)
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn an_intent_does_not_differ_from_itself() {
    assert_eq!(diff(&parse(FILE), &parse(FILE)), []);
}

#[test]
fn a_change_of_any_key_is_seen_and_said_in_one_line() {
    let cases = [
        ("name = \"r\"", "name = \"s\"", "router: name r -> s"),
        (
            "asn = 65010",
            "asn = 65011",
            "router: asn 65010 -> 65011 (needs a restart)",
        ),
        (
            "id = \"10.0.0.1\"",
            "id = \"10.0.0.2\"",
            "router: id 10.0.0.1 -> 10.0.0.2 (needs a restart)",
        ),
        (
            "[\"127.0.0.1:179\"]",
            "[]",
            "router: listen [127.0.0.1:179] -> []",
        ),
        (
            "\"10.11.0.0/16\"]",
            "\"10.12.0.0/16\"]",
            "originate: +10.12.0.0/16 -10.11.0.0/16",
        ),
        ("group = \"g\"", "group = \"h\"", "link wg-a: group g -> h"),
        (
            "priority = 10",
            "priority = 11",
            "link wg-a: priority 10 -> 11",
        ),
        ("\"eth1\"", "\"eth2\"", "link nic: interface eth1 -> eth2"),
        (
            "10.98.0.1/30",
            "10.98.0.1/29",
            "link nic: inside.local 10.98.0.1/30 -> 10.98.0.1/29",
        ),
        (
            "\"icmp\"",
            "\"stamp\"",
            "link wg-a: probe.method icmp -> stamp",
        ),
        (
            "method = \"icmp\"",
            "method = \"tcp\", port = 1790",
            "link wg-a: probe.method icmp -> tcp, probe.port 179 -> 1790",
        ),
        (
            "\"200ms\"",
            "\"250ms\"",
            "link wg-a: probe.interval 200ms -> 250ms",
        ),
        (
            "timeout = \"2s\"",
            "timeout = \"3s\"",
            "link wg-a: probe.timeout 2s -> 3s",
        ),
        ("\"20s\"", "\"30s\"", "link wg-a: probe.window 20s -> 30s"),
        (
            "down-after = 4",
            "down-after = 5",
            "link wg-a: probe.down-after 4 -> 5",
        ),
        (
            "up-after = 6",
            "up-after = 7",
            "link wg-a: probe.up-after 6 -> 7",
        ),
        (
            "up-after = 6",
            "up-after = 6, mtu = false",
            "link wg-a: probe.mtu true -> false",
        ),
        (
            "\"a.key\"",
            "\"b.key\"",
            "link wg-a: private-key file a.key -> file b.key",
        ),
        (
            "listen = 51820",
            "listen = 51821",
            "link wg-a: listen 51820 -> 51821",
        ),
        (
            "\"kernel\"",
            "\"auto\"",
            "link wg-a: backend kernel -> auto",
        ),
        ("mtu = 1400", "mtu = 1300", "link wg-a: mtu 1400 -> 1300"),
        (
            "xTIB",
            "yTIB",
            "link wg-a: peer.public-key xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg= -> yTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=",
        ),
        (
            "preshared-key = { env = \"PSK\" }",
            "",
            "link wg-a: peer.preshared-key env PSK -> none",
        ),
        (
            "\"h:51820\"",
            "\"[::1]:51820\"",
            "link wg-a: peer.endpoint h:51820 -> [::1]:51820",
        ),
        (
            "keepalive = \"25s\"",
            "",
            "link wg-a: peer.keepalive 25s -> none",
        ),
        (
            "local = \"198.51.100.1\"",
            "local = \"198.51.100.3\"",
            "link tgw: gre.local 198.51.100.1 -> 198.51.100.3",
        ),
        (
            "remote = \"198.51.100.2\"",
            "remote = \"198.51.100.3\"",
            "link tgw: gre.remote 198.51.100.2 -> 198.51.100.3",
        ),
        (
            "key = 7, ",
            "",
            "link tgw: mtu 1472 -> 1476, gre.key 7 -> none",
        ),
        ("ttl = 32", "ttl = 33", "link tgw: gre.ttl 32 -> 33"),
        (
            "id = 100 }",
            "id = 101, mtu = 9000 }",
            "link dx: mtu 1500 -> 9000, vlan.id 100 -> 101",
        ),
        (
            "\"203.0.113.1\"",
            "\"203.0.113.3\"",
            "link aws: ipsec.local 203.0.113.1 -> 203.0.113.3",
        ),
        (
            "\"203.0.113.2\"",
            "\"203.0.113.3\"",
            "link aws: ipsec.remote 203.0.113.2 -> 203.0.113.3",
        ),
        (
            "\"aws.psk\"",
            "\"b.psk\"",
            "link aws: ipsec.psk file aws.psk -> file b.psk",
        ),
        ("\"us\"", "\"me\"", "link aws: ipsec.local-id us -> me"),
        (
            "\"them\"",
            "\"you\"",
            "link aws: ipsec.remote-id them -> you",
        ),
        (
            "version = 2",
            "version = 1",
            "link aws: ipsec.version v2 -> v1",
        ),
        (
            "aes128-sha256",
            "aes256-sha256",
            "link aws: ipsec.ike aes128-sha256-modp2048 -> aes256-sha256-modp2048",
        ),
        (
            "esp = \"aes128gcm16",
            "esp = \"aes256gcm16",
            "link aws: ipsec.esp aes128gcm16-modp2048 -> aes256gcm16-modp2048",
        ),
        ("\"7h\"", "\"6h\"", "link aws: ipsec.ike-lifetime 7h -> 6h"),
        (
            "\"50m\"",
            "\"40m\"",
            "link aws: ipsec.esp-lifetime 50m -> 40m",
        ),
        ("\"11s\"", "\"12s\"", "link aws: ipsec.dpd 11s -> 12s"),
        (
            "initiate = true",
            "initiate = false",
            "link aws: ipsec.initiate true -> false",
        ),
        (
            "\"force\"",
            "\"auto\"",
            "link aws: ipsec.nat-traversal force -> auto",
        ),
        (
            "selectors = \"ipv4\"",
            "selectors = \"both\"",
            "link aws: ipsec.selectors ipv4 -> both",
        ),
        ("if-id = 77", "if-id = 78", "link aws: ipsec.if-id 77 -> 78"),
        (
            "-vgw\"",
            "-tgw\"",
            "link aws: profile aws-vpn-vgw -> aws-vpn-tgw",
        ),
        (
            "socket = \"/v\"",
            "socket = \"/w\"",
            "ipsec: socket /v -> /w",
        ),
        (
            "\"eth0\", id",
            "\"eth2\", id",
            "link dx: vlan.parent eth0 -> eth2",
        ),
        (
            "rtt = \"40ms\"",
            "rtt = \"41ms\"",
            "group g: slo.rtt 40ms -> 41ms",
        ),
        ("\"0.5%\"", "\"1%\"", "group g: slo.loss 0.5% -> 1%"),
        (
            "rtt = \"40ms\"",
            "rtt = \"40ms\", rtt-leave = \"30ms\"",
            "group g: slo.rtt-leave 80% -> 30ms",
        ),
        (
            "\"0.5%\"",
            "\"0.5%\", loss-leave = \"0.2%\"",
            "group g: slo.loss-leave 80% -> 0.2%",
        ),
        (
            "[group.h]",
            "[group.h]\npolicy = \"balance\"",
            "group h: policy priority -> balance",
        ),
        (
            "[group.h]",
            "[group.h]\npolicy = \"latency\"",
            "group h: policy priority -> latency, margin none -> 10%, hold-down 5s -> 30s",
        ),
        (
            "priority = 10",
            "priority = 10\ncost = 0.02",
            "link wg-a: cost none -> 0.02",
        ),
        (
            "priority = 10",
            "priority = 10\nweight = 3",
            "link wg-a: weight 1 -> 3",
        ),
        (
            "priority = 10",
            "priority = 10\ndrain = true",
            "link wg-a: drain false -> true",
        ),
        (
            "hold-down = \"6s\"",
            "hold-down = \"7s\"",
            "group g: hold-down 6s -> 7s",
        ),
        ("[group.h]", "", "group h: removed"),
        ("[group.h]", "[group.h]\n[group.i]", "group i: added"),
        (
            "\"192.0.2.1\"",
            "\"192.0.2.3\"",
            "peer gw: address 192.0.2.1 -> 192.0.2.3 (restarts the session)",
        ),
        (
            "\"192.0.2.2\"",
            "\"192.0.2.3\"",
            "peer gw: local-address 192.0.2.2 -> 192.0.2.3 (restarts the session)",
        ),
        (
            "asn = 64512",
            "asn = 64513",
            "peer gw: asn 64512 -> 64513 (restarts the session)",
        ),
        (
            "port = 1179",
            "link = \"nic\"\nport = 1179",
            "peer gw: link none -> nic, way-back none -> med (restarts the session)",
        ),
        (
            "port = 1179",
            "",
            "peer gw: port 1179 -> 179 (restarts the session)",
        ),
        (
            "import = \"f\"\nexport",
            "import = \"g\"\nexport",
            "peer gw: import f -> g",
        ),
        (
            "export = \"f\"\npassive",
            "export = \"g\"\npassive",
            "peer gw: export f -> g",
        ),
        (
            "passive = false",
            "passive = true",
            "peer gw: passive false -> true",
        ),
        (
            "\"90s\"",
            "\"30s\"",
            "peer gw: hold-time 90s -> 30s (restarts the session)",
        ),
        (
            "connect-retry = \"6s\"",
            "connect-retry = \"7s\"",
            "peer gw: connect-retry 6s -> 7s",
        ),
        (
            "asn = 65020",
            "asn = 65021",
            "peer wg-a: asn 65020 -> 65021 (restarts the session)",
        ),
        (
            "bgp = { asn = 65020, import = \"f\", export = \"f\" }",
            "",
            "peer wg-a: removed",
        ),
        (
            "[\"10.11.0.0/16\"]",
            "[\"10.12.0.0/16\"]",
            "filter g: changed",
        ),
        (
            "[[filter.g]]",
            "[[filter.f]]",
            "filter f: changed|filter g: removed",
        ),
        (
            "install = true",
            "install = false",
            "fib: install true -> false",
        ),
        ("table = 100", "table = 101", "fib: table 100 -> 101"),
        ("metric = 30", "metric = 31", "fib: metric 30 -> 31"),
        ("\"/a\"", "\"/b\"", "api: socket /a -> /b"),
        (
            "\"127.0.0.1:1\"",
            "\"off\"",
            "metrics: listen 127.0.0.1:1 -> off",
        ),
        ("\"warn\"", "\"debug\"", "log: level warn -> debug"),
        ("format = \"json\"", "", "log: format json -> text"),
    ];
    for (from, to, expected) in cases {
        assert_eq!(said(from, to).join("|"), expected, "{from} -> {to}");
    }
}

/// Each on a line of its own in place of `connect-retry`, what is said, and what it costs.
const TERMS: [(&str, &str, PeerPart); 28] = [
    (
        "interface = \"eth0\"",
        "interface none -> eth0",
        PeerPart::Session,
    ),
    (
        "description = \"d\"",
        "description none -> d",
        PeerPart::Live,
    ),
    (
        "shutdown = \"so long\"",
        "shutdown none -> \"so long\"",
        PeerPart::Live,
    ),
    ("shutdown = true", "shutdown none -> true", PeerPart::Live),
    (
        "families = [\"ipv6\"]",
        "families [ipv4, ipv6] -> [ipv6]",
        PeerPart::Session,
    ),
    (
        "send-hold-time = \"10m\"",
        "send-hold-time none -> 10m",
        PeerPart::Live,
    ),
    (
        "multihop = 4",
        "ttl connected -> multihop 4",
        PeerPart::Session,
    ),
    (
        "ttl-security = true",
        "ttl connected -> security 1",
        PeerPart::Session,
    ),
    (
        "ttl-security = 3",
        "ttl connected -> security 3",
        PeerPart::Session,
    ),
    (
        "md5 = { env = \"K\" }",
        "md5 none -> env K",
        PeerPart::Session,
    ),
    (
        "tcp-ao = { keys = [{ id = 1, receive-id = 2, algorithm = \"hmac-sha-1-96\", key = { env = \"K\" } }] }",
        "tcp-ao none -> with options, tcp-ao.keys none -> [1/2 hmac-sha-1-96 env K]",
        PeerPart::Session,
    ),
    (
        "extended-messages = false",
        "extended-messages true -> false",
        PeerPart::Session,
    ),
    (
        "enhanced-refresh = false",
        "enhanced-refresh true -> false",
        PeerPart::Session,
    ),
    (
        "extended-nexthop = true",
        "extended-nexthop false -> true",
        PeerPart::Session,
    ),
    (
        "add-path = \"both\"",
        "add-path off -> both",
        PeerPart::Session,
    ),
    (
        "add-path-limit = 4",
        "add-path-limit 0 -> 4",
        PeerPart::Live,
    ),
    (
        "graceful-restart = false",
        "graceful-restart 2m -> false",
        PeerPart::Session,
    ),
    (
        "graceful-restart = { time = \"90s\", long-lived = \"1h\" }",
        "graceful-restart 2m -> 90s long-lived 1h",
        PeerPart::Session,
    ),
    (
        "role = \"customer\"",
        "role none -> customer",
        PeerPart::Session,
    ),
    (
        "local-as = { asn = 64600, replace-as = true }",
        "local-as none -> 64600 replace-as",
        PeerPart::Session,
    ),
    ("allowas-in = 2", "allowas-in 0 -> 2", PeerPart::Live),
    (
        "enforce-first-as = false",
        "enforce-first-as true -> false",
        PeerPart::Session,
    ),
    (
        "as-override = true",
        "as-override false -> true",
        PeerPart::Live,
    ),
    (
        "remove-private = \"replace\"",
        "remove-private false -> replace",
        PeerPart::Live,
    ),
    (
        "nexthop = \"unchanged\"",
        "nexthop self -> unchanged",
        PeerPart::Live,
    ),
    (
        "prefix-limit = { ipv4 = 100 }",
        "prefix-limit none -> ipv4 100 warn 80% restart after 15m",
        PeerPart::Live,
    ),
    (
        "prefix-limit = { ipv6 = 9, warn = \"50%\", action = \"discard\" }",
        "prefix-limit none -> ipv6 9 warn 50% discard",
        PeerPart::Live,
    ),
    (
        "prefix-limit-out = { ipv4 = 100, ipv6 = 5 }",
        "prefix-limit-out none -> ipv4 100 ipv6 5",
        PeerPart::Live,
    ),
];

#[test]
fn every_term_of_a_peer_is_compared_and_says_whether_it_costs_the_session() {
    for (line, change, part) in TERMS {
        let with = format!("connect-retry = \"6s\"\n{line}");
        let cost = match part {
            PeerPart::Live => "",
            PeerPart::Session => " (restarts the session)",
        };
        let said = said("connect-retry = \"6s\"", &with);
        assert_eq!(said, [format!("peer gw: {change}{cost}")], "{line}");
    }
}

#[test]
fn the_way_of_choosing_routes_cannot_change_under_them() {
    for (line, change) in [
        ("cluster-id = \"10.0.0.9\"", "cluster-id none -> 10.0.0.9"),
        ("multipath = { ebgp = 2 }", "multipath.ebgp 1 -> 2"),
        ("multipath = { ibgp = 2 }", "multipath.ibgp 1 -> 2"),
        (
            "multipath = { relax-as-path = true }",
            "multipath.relax-as-path false -> true",
        ),
        (
            "always-compare-med = true",
            "always-compare-med false -> true",
        ),
    ] {
        let with = format!("name = \"r\"\n{line}");
        let said = said("name = \"r\"", &with);
        assert_eq!(said, [format!("router: {change} (needs a restart)")]);
    }
}

#[test]
fn a_range_is_compared_like_a_peer() {
    let range = "[listen.dc]\nrange = \"10.5.0.0/24\"\nasn = 64512\n";
    let before = format!("{range}[group.h]");
    for (after, change) in [
        ("[group.h]".to_owned(), "listen dc: removed"),
        (
            before.replace("asn = 64512", "asn = 64513"),
            "listen dc: asn 64512 -> 64513",
        ),
        (
            before.replace("asn = 64512", "asn = 64512\nlimit = 3\nhold-time = \"9s\""),
            "listen dc: limit 64 -> 3, hold-time 90s -> 9s",
        ),
        (
            before.replace("10.5.0.0/24", "10.5.0.0/25"),
            "listen dc: range 10.5.0.0/24 -> 10.5.0.0/25",
        ),
    ] {
        let config = |text: &str| parse(&FILE.replacen("[group.h]", text, 1));
        let changes = diff(&config(&before), &config(&after));
        let lines: Vec<_> = changes.iter().map(ToString::to_string).collect();
        assert_eq!(lines, [change]);
    }
    assert_eq!(said("[group.h]", &before), ["listen dc: added"]);
    assert_eq!(
        said(
            "[group.h]",
            "[[aggregate]]\nprefix = \"10.0.0.0/8\"\n[group.h]"
        ),
        ["aggregates: changed"]
    );
}

#[test]
fn a_link_says_which_of_its_parts_must_be_done_again() {
    let parts = |from: &str, to: &str| {
        let new = parse(&FILE.replacen(from, to, 1));
        match diff(&parse(FILE), &new).as_slice() {
            [Change::LinkChanged { parts, .. }] => parts.iter().copied().collect::<Vec<_>>(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(parts("priority = 10", "priority = 11"), [LinkPart::Group]);
    let drained = "priority = 10\ndrain = true";
    assert_eq!(parts("priority = 10", drained), [LinkPart::Group]);
    assert_eq!(parts("\"200ms\"", "\"250ms\""), [LinkPart::Probe]);
    assert_eq!(parts("mtu = 1400", "mtu = 1300"), [LinkPart::Tunnel]);
    assert_eq!(parts("10.98.0.1/30", "10.98.0.1/29"), [LinkPart::Inside]);
}

#[test]
fn a_link_that_goes_takes_its_peer_with_it_and_coming_back_is_the_reverse() {
    let (start, end) = (FILE.find("[link.wg-a]"), FILE.find("[link.nic]"));
    let without = format!(
        "{}{}",
        &FILE[..start.expect("wg-a is there")],
        &FILE[end.expect("nic is there")..]
    );
    let lines = |old: &Config, new: &Config| {
        diff(old, new)
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    let (with, without) = (parse(FILE), parse(&without));
    assert_eq!(
        lines(&with, &without),
        ["link wg-a: removed", "peer wg-a: removed"]
    );
    assert_eq!(
        lines(&without, &with),
        ["link wg-a: added", "peer wg-a: added"]
    );
}

#[test]
fn a_filter_changes_with_the_lists_it_names_and_the_filters_it_calls() {
    let text = |length: u8, action: &str| {
        format!(
            "[router]\nname = \"a\"\nasn = 65010\nid = \"192.0.2.1\"\n\
             [prefix-list.nets]\nprefixes = [\"10.0.0.0/8 le {length}\"]\n\
             [[filter.lists]]\nprefix-list = \"nets\"\naction = \"accept\"\n\
             [[filter.excepts]]\nunless = {{ prefix-list = \"nets\" }}\naction = \"accept\"\n\
             [[filter.calls]]\ncall = \"lists\"\n\
             [[filter.calls-again]]\ncall = \"calls\"\n\
             [[filter.last]]\naction = \"{action}\"\n\
             [[filter.calls-last]]\ncall = \"last\"\n"
        )
    };
    let lines = |before: &str, after: &str| {
        let config = |text| load(text, "t").expect("it is legal").config;
        let changes = diff(&config(before), &config(after));
        changes.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(
        lines(&text(24, "accept"), &text(23, "accept")),
        [
            "prefix-list nets: changed",
            "filter calls: changed",
            "filter calls-again: changed",
            "filter excepts: changed",
            "filter lists: changed",
        ]
    );
    assert_eq!(
        lines(&text(24, "accept"), &text(24, "reject")),
        ["filter calls-last: changed", "filter last: changed"]
    );
    let without = text(24, "accept").replace("nets", "other");
    assert_eq!(
        lines(&text(24, "accept"), &without)
            .first()
            .map(String::as_str),
        Some("prefix-list nets: removed")
    );
}
