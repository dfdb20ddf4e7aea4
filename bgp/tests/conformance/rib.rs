//! Cases of the decision and of what is advertised, with a handful of peers and one prefix.
//!
//! | Peer | AS | Identifier | Address |
//! |---|---|---|---|
//! | A | 65002 | 10.0.0.2 | 10.0.1.2 |
//! | B | 65003 | 10.0.0.3 | 10.0.1.3 |
//! | C | 65002 | 10.0.0.4 | 10.0.1.4 |
//! | D | 65002 | 10.0.0.2 | 10.0.1.5 |
//! | I | 65001, as we | 10.0.0.6 | 10.0.1.6 |
//! | J | 65001, as we | 10.0.0.7 | 10.0.1.7 |

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bgp::filter::Filter;
use bgp::rib::{
    Aggregate, Input, MoreSpecifics, Output, PeerOptions, Preference, Rest, Rib, RibConfig,
    RibPeer, RouteHop, RouteTo,
};
use bgp::wire::Dialect;
use bgp::{
    AsPath, Asn, Attrs, Community, Family, FamilySet, FirstAs, LargeCommunity, Leftover, Origin,
    PeerId, Prefix, Retained, RouteEvent, RouterId, SessionUp,
};

use crate::describe;
use crate::listener::heard;
use crate::row::{self, Shown};

const US: Asn = Asn(65001);
const OUR_NEXTHOP: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 1, 1));
const PREFIX: &str = "203.0.113.0/24";
/// Name, AS, last octet of the identifier, last octet of the address.
const PEERS: [(char, u32, u8, u8); 6] = [
    ('A', 65002, 2, 2),
    ('B', 65003, 3, 3),
    ('C', 65002, 4, 4),
    ('D', 65002, 2, 5),
    ('I', 65001, 6, 6),
    ('J', 65001, 7, 7),
];

/// Paths for one prefix, and what is asked about it.
pub(crate) struct Case {
    paths: &'static [&'static str],
    question: Question,
    output: String,
    with: &'static str,
    change: fn(char, &mut Setup),
    change_router: fn(&mut RibConfig),
}

/// What a case may change of a peer.
pub(crate) struct Setup {
    pub(crate) options: PeerOptions,
    pub(crate) import: Filter,
    pub(crate) export: Filter,
    pub(crate) up: SessionUp,
    /// For the way back.
    pub(crate) preference: Preference,
    /// That we share with it.
    pub(crate) network: Option<Prefix>,
}

enum Question {
    Best,
    Told(char),
    Sent(char),
    Hops,
    Routes,
}

/// Which of these paths is best, and by what. Each begins with its peer, or is `own`, or names a
/// prefix that is an `aggregate`, or a `summary` that is told alone. Between them something may happen: see
/// [`Case::happens`].
pub(crate) fn among(paths: &'static [&'static str]) -> Case {
    Case {
        paths,
        question: Question::Best,
        output: String::new(),
        with: "",
        change: |_, _| (),
        change_router: |_| (),
    }
}

impl Case {
    /// With peers that are not like all others.
    pub(crate) fn configured(mut self, with: &'static str, change: fn(char, &mut Setup)) -> Self {
        self.with = with;
        self.change = change;
        self
    }

    /// With a router that is not like all others.
    pub(crate) fn router(mut self, with: &'static str, change: fn(&mut RibConfig)) -> Self {
        self.with = with;
        self.change_router = change;
        self
    }

    /// The ways that share the traffic, each with its part, as in `A 1, B 1`.
    pub(crate) fn leads(mut self, hops: &str) -> Self {
        self.question = Question::Hops;
        hops.clone_into(&mut self.output);
        self
    }

    /// Every route that the FIB has, and what becomes of its packets: the peers that they go to, or `discard`.
    pub(crate) fn forwards(mut self, routes: &str) -> Self {
        self.question = Question::Routes;
        routes.clone_into(&mut self.output);
        self
    }

    /// The UPDATEs that `peer` is sent, in hexadecimal, but for the ends of its tables.
    pub(crate) fn sends(mut self, peer: char, hex: &str) -> Self {
        self.question = Question::Sent(peer);
        hex.clone_into(&mut self.output);
        self
    }

    /// As in `A by LocalPref`, or what the last one lost by where none is.
    pub(crate) fn best(mut self, best: &str) -> Self {
        best.clone_into(&mut self.output);
        self
    }

    /// What `peer` is told about the prefix: attributes, or `nothing`.
    pub(crate) fn tells(mut self, peer: char, told: &str) -> Self {
        self.question = Question::Told(peer);
        told.clone_into(&mut self.output);
        self
    }

    pub(crate) fn show(&self) -> Shown {
        let asked = match self.question {
            Question::Best => "best?".to_owned(),
            Question::Told(peer) => format!("told {peer}?"),
            Question::Sent(peer) => format!("sent {peer}?"),
            Question::Hops => "ways?".to_owned(),
            Question::Routes => "routes?".to_owned(),
        };
        let paths = self.paths.join("; ");
        Shown {
            input: format!("{}{paths} — {asked}", self.with),
            output: self.output.clone(),
        }
    }

    pub(crate) fn run(&self) -> String {
        let mut rib = self.rib();
        match self.question {
            Question::Best => best(&rib),
            Question::Told(peer) => told(&mut rib, id(peer), &self.setup(peer).up.dialect),
            Question::Sent(peer) => sent(&mut rib, id(peer)),
            Question::Hops => hops(&mut rib),
            Question::Routes => routes(&mut rib),
        }
    }

    /// Something that a peer does but for sending a path: `lost A 120 3600` ends its session, and its paths are
    /// kept for so many seconds, and so many more as those of last resort; `lost A 120 again` keeps what is
    /// left of an earlier one as well. `back A` is the next session, `end A` its End-of-RIB, `begins A` and `ends
    /// A` are the marks of a refresh. After `unplugged A` we share no network with it.
    fn happens(&self, text: &str) -> Option<Input> {
        let mut words = text.split(' ');
        let what = words.next()?;
        let peer = words.next().and_then(|name| name.chars().next())?;
        let family = Family::Ipv4Unicast;
        let says = |event| Some(Input::Routes(id(peer), vec![event]));
        match what {
            "lost" => {
                let times: Vec<&str> = words.collect();
                let retained = Retained {
                    family,
                    restart: seconds_of(times[0]),
                    long_lived: match times.get(1) {
                        None | Some(&"again") => Duration::ZERO,
                        Some(seconds) => seconds_of(seconds),
                    },
                    leftover: match times.last() {
                        Some(&"again") => Leftover::Stays,
                        _ => Leftover::Goes,
                    },
                };
                Some(Input::Down(id(peer), [retained].into_iter().collect()))
            }
            "back" => {
                let up = SessionUp {
                    preserved: FamilySet::ALL,
                    ..self.setup(peer).up
                };
                Some(Input::Up(id(peer), up))
            }
            "end" => says(RouteEvent::EndOfRib(family)),
            "begins" => says(RouteEvent::RefreshBegins(family)),
            "ends" => says(RouteEvent::RefreshEnds(family)),
            "unplugged" => Some(Input::Network(id(peer), None)),
            _ => None,
        }
    }

    /// A peer as the case has it. It looks at no first AS: it may be shown another one.
    fn setup(&self, peer: char) -> Setup {
        let (_, asn, identifier, _) = place(id(peer));
        let identifier = RouterId::new([10, 0, 0, identifier].into()).expect("not zero");
        let dialect = Dialect {
            first_as: FirstAs::Free,
            ..Dialect::new(US, Asn(asn))
        };
        let mut setup = Setup {
            options: PeerOptions::default(),
            import: Filter::accept_all(),
            export: Filter::accept_all(),
            up: SessionUp {
                nexthops: [Some(OUR_NEXTHOP), None],
                ..SessionUp::new(identifier, dialect)
            },
            preference: Preference::Unsaid,
            network: None,
        };
        (self.change)(peer, &mut setup);
        setup
    }

    #[expect(clippy::disallowed_methods, reason = "where simulated time starts")]
    fn rib(&self) -> Rib {
        let router_id = RouterId::new([10, 0, 0, 1].into()).expect("not zero");
        let mut config = RibConfig::new(US, router_id, 1);
        (self.change_router)(&mut config);
        let mut rib = Rib::new(config);
        let mut now = Instant::now();
        rib.handle(Input::OwnAddresses([OUR_NEXTHOP].into()), now);
        for (name, asn, _, address) in PEERS {
            let setup = self.setup(name);
            let peer = RibPeer {
                id: id(name),
                asn: Asn(asn),
                address: [10, 0, 1, address].into(),
                import: Arc::new(setup.import),
                export: Arc::new(setup.export),
                options: setup.options,
            };
            rib.handle(Input::Configure(peer), now);
            rib.handle(Input::Network(id(name), setup.network), now);
            rib.handle(Input::Up(id(name), setup.up), now);
            rib.handle(Input::Preference(id(name), setup.preference), now);
        }
        for path in self.paths {
            if let Some(seconds) = path.strip_prefix("wait ") {
                now += seconds_of(seconds);
                rib.handle(Input::Timeout, now);
                continue;
            }
            if let Some(input) = self.happens(path) {
                rib.handle(input, now);
                continue;
            }
            let (from, attrs) = path.split_once(' ').unwrap_or((path, ""));
            let prefixes = vec![prefix()];
            let input = match from {
                "own" => Input::Originate(prefixes),
                "aggregate" => aggregate(attrs, MoreSpecifics::Told),
                "summary" => aggregate(attrs, MoreSpecifics::Suppressed),
                name => {
                    let peer = id(name.chars().next().expect("a name"));
                    let attrs = Arc::new(read(peer, attrs));
                    Input::Routes(peer, vec![RouteEvent::announce(attrs, prefixes)])
                }
            };
            rib.handle(input, now);
        }
        while rib.poll_timeout().is_some_and(|at| at <= now) {
            rib.handle(Input::Timeout, now);
        }
        rib
    }
}

impl From<Case> for row::Case {
    fn from(case: Case) -> Self {
        Self::Rib(case)
    }
}

fn seconds_of(text: &str) -> Duration {
    Duration::from_secs(text.parse().expect("a number"))
}

fn prefix() -> Prefix {
    PREFIX.parse().expect("valid")
}

fn id(name: char) -> PeerId {
    PeerId(u32::from(name))
}

fn name(peer: Option<PeerId>) -> char {
    peer.and_then(|peer| char::from_u32(peer.0)).unwrap_or('o')
}

fn best(rib: &Rib) -> String {
    let Some(view) = rib.route(&prefix()) else {
        return "no path".to_owned();
    };
    match view.paths.iter().find(|path| path.best) {
        Some(path) if path.peer.is_none() => format!("own by {:?}", path.step),
        Some(path) => format!("{} by {:?}", name(path.peer), path.step),
        None => {
            let lost = view.paths.last().map(|path| path.step);
            format!("none: {:?}", lost.expect("a route has paths"))
        }
    }
}

fn told(rib: &mut Rib, peer: PeerId, dialect: &Dialect) -> String {
    let mut told = "nothing".to_owned();
    while let Some(updates) = rib.poll_export(peer) {
        for event in heard(&updates, dialect) {
            match event {
                RouteEvent::Announce { attrs, .. } => told = describe::attributes(&by_us(&attrs)),
                RouteEvent::Withdraw { .. } => "withdraw".clone_into(&mut told),
                RouteEvent::EndOfRib(_)
                | RouteEvent::RefreshBegins(_)
                | RouteEvent::RefreshEnds(_) => {}
            }
        }
    }
    told
}

/// The bodies of UPDATEs, but for those that end a table.
fn sent(rib: &mut Rib, peer: PeerId) -> String {
    let mut said = Vec::new();
    while let Some(updates) = rib.poll_export(peer) {
        for bytes in &updates.bytes {
            said.extend(describe::updates(bytes));
        }
    }
    said.join(" and ")
}

fn hops(rib: &mut Rib) -> String {
    let mut hops = String::new();
    while let Some(output) = rib.poll_output() {
        if let Output::Routes(changes) = output {
            let part = |hop: &RouteHop| format!("{} {}", name(Some(hop.hop.peer)), hop.weight);
            let (_, last) = changes.runs().last().expect("changes are not empty");
            let all: Vec<String> = last.hops().iter().map(part).collect();
            hops = all.join(", ");
        }
    }
    hops
}

fn routes(rib: &mut Rib) -> String {
    let mut routes = BTreeMap::new();
    while let Some(output) = rib.poll_output() {
        if let Output::Routes(changes) = output {
            routes.extend(changes.iter().map(|(prefix, to)| (prefix, to.clone())));
        }
    }
    let shown = |(prefix, to): (Prefix, RouteTo)| match to {
        RouteTo::Nothing => None,
        RouteTo::Discard => Some(format!("{prefix} discard")),
        RouteTo::Hops(hops) => {
            let names: String = hops.iter().map(|hop| name(Some(hop.hop.peer))).collect();
            Some(format!("{prefix} {names}"))
        }
    };
    let shown: Vec<String> = routes.into_iter().filter_map(shown).collect();
    shown.join(", ")
}

fn aggregate(prefix: &str, more_specifics: MoreSpecifics) -> Input {
    let prefix = prefix.parse().expect("a prefix");
    Input::Aggregate(vec![Aggregate {
        prefix,
        more_specifics,
        rest: Rest::Discarded,
    }])
}

fn place(peer: PeerId) -> (char, u32, u8, u8) {
    let mut peers = PEERS.iter();
    *peers.find(|(name, ..)| id(*name) == peer).expect("a peer")
}

/// With our own address as it is before it is encoded.
fn by_us(attrs: &Attrs) -> Attrs {
    let mut attrs = attrs.clone();
    attrs.nexthop = attrs.nexthop.filter(|nexthop| *nexthop != OUR_NEXTHOP);
    attrs
}

/// The words of [`describe::attributes`], and `as-set 1 2` after a path.
fn read(peer: PeerId, text: &str) -> Attrs {
    let mut attrs = Attrs::originated();
    attrs.nexthop = Some([10, 0, 1, place(peer).3].into());
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut rest = words.as_slice();
    while let Some((keyword, after)) = rest.split_first() {
        let count = after.iter().take_while(|word| is_value(word)).count();
        let (values, next) = after.split_at(count);
        set(&mut attrs, keyword, values);
        rest = next;
    }
    attrs
}

fn is_value(word: &str) -> bool {
    word.starts_with(|first: char| first.is_ascii_digit()) || ["egp", "incomplete"].contains(&word)
}

fn set(attrs: &mut Attrs, keyword: &str, values: &[&str]) {
    let numbers = || {
        values
            .iter()
            .map(|value| value.parse::<u32>().expect("a number"))
    };
    let asns: Vec<Asn> = match keyword {
        "path" | "as-set" => numbers().map(Asn).collect(),
        _ => Vec::new(),
    };
    let parts = |value: &str| -> Vec<u32> {
        value
            .split(':')
            .map(|part| part.parse().expect("a number"))
            .collect()
    };
    match keyword {
        "path" => attrs.as_path = AsPath::sequence(&asns),
        "as-set" => attrs.as_path.segments.push(bgp::Segment {
            kind: bgp::SegmentKind::Set,
            asns: asns.into_iter().collect(),
        }),
        "origin" => {
            attrs.origin = match values {
                ["egp"] => Origin::Egp,
                _ => Origin::Incomplete,
            }
        }
        "med" => attrs.med = numbers().next(),
        "pref" => attrs.local_pref = numbers().next(),
        "via" => attrs.nexthop = Some(values[0].parse().expect("an address")),
        "community" => {
            let parts = parts(values[0]);
            attrs.communities.push(Community(parts[0] << 16 | parts[1]));
        }
        "large-community" => {
            let parts = parts(values[0]);
            attrs
                .large_communities
                .push(LargeCommunity(parts[0], parts[1], parts[2]));
        }
        "ext-community" => {
            let value = u64::from_str_radix(values[0], 16).expect("16 digits");
            attrs.ext_communities.push(bgp::ExtCommunity(value));
        }
        "aggregator" => {
            attrs.aggregator = Some(bgp::Aggregator {
                asn: numbers().next().map(Asn).expect("an AS"),
                router_id: [10, 0, 0, 9].into(),
            });
        }
        "originator" => {
            reflection(attrs).originator_id = Some(values[0].parse().expect("four octets"))
        }
        "cluster" => {
            let clusters = values
                .iter()
                .map(|value| value.parse().expect("four octets"));
            reflection(attrs).cluster_list = clusters.collect();
        }
        "only-to-customer" => attrs.only_to_customer = numbers().next().map(Asn),
        other => unreachable!("no attribute is called {other}"),
    }
}

fn reflection(attrs: &mut Attrs) -> &mut bgp::Reflection {
    attrs.reflection.get_or_insert_with(|| {
        Box::new(bgp::Reflection {
            originator_id: None,
            cluster_list: Vec::new(),
        })
    })
}
