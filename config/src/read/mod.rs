//! The tree of a file becomes the parts of a [`Config`]; what is wrong with one key or one value
//! is noted, and reading goes on.

mod aggregate;
mod bfd;
mod carrier;
pub(crate) mod filter;
mod ipsec;
mod link;
mod peer;
mod rest;
mod secret;
mod section;
pub(crate) mod value;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use ipnet::IpNet;
use toml::de::DeTable;

use crate::Config;
use crate::model::{
    Aggregate, Api, Carrier, Fib, Group, Inside, Link, Log, Metrics, Peer, PrefixPattern, Probe,
    Router, Rule, StrongSwan, WayBack,
};
use crate::profile::Profile;
use crate::report::{Sink, Wrong};

use section::Section;

/// Where BGP listens (RFC 4271 §4).
pub(crate) const BGP_PORT: u16 = 179;

/// A [`Config`] as far as it could be read, with what the rules across items need to know.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) router: Option<Router>,
    pub(crate) originate: Vec<IpNet>,
    pub(crate) links: BTreeMap<String, Link>,
    pub(crate) groups: BTreeMap<String, Group>,
    pub(crate) peers: BTreeMap<String, Peer>,
    pub(crate) ranges: BTreeMap<String, crate::model::Range>,
    pub(crate) aggregates: Vec<Aggregate>,
    pub(crate) filters: BTreeMap<String, Vec<Rule>>,
    pub(crate) prefix_lists: BTreeMap<String, Vec<PrefixPattern>>,
    pub(crate) fib: Fib,
    pub(crate) strongswan: StrongSwan,
    pub(crate) api: Api,
    pub(crate) metrics: Metrics,
    pub(crate) log: Log,
    /// Every link that stands in the file, as far as it could be read.
    pub(crate) sketches: BTreeMap<String, Sketch>,
    /// Groups that links of the file name.
    pub(crate) used_groups: BTreeSet<String>,
    /// Filters that peers of the file name, and where.
    pub(crate) filter_uses: Vec<(String, Range<usize>)>,
    /// Links that peers of the file name, and where.
    pub(crate) link_uses: Vec<(String, Range<usize>)>,
}

/// What the rules across items ask of a link. One mistake in a link does not hide the next.
#[derive(Debug)]
pub(crate) struct Sketch {
    pub(crate) group: Option<String>,
    pub(crate) has_cost: bool,
    pub(crate) inside: Option<Inside>,
    pub(crate) interface: Option<String>,
    /// UDP port of its WireGuard.
    pub(crate) port: Option<u16>,
    pub(crate) carrier: Option<Carrier>,
    pub(crate) profile: Option<&'static Profile>,
    pub(crate) way_back: WayBack,
    pub(crate) probe: Probe,
}

impl Draft {
    /// The whole, if nothing that must be there is missing.
    pub(crate) fn into_config(self) -> Option<Config> {
        Some(Config {
            router: self.router?,
            originate: self.originate,
            links: self.links,
            groups: self.groups,
            peers: self.peers,
            ranges: self.ranges,
            aggregates: self.aggregates,
            filters: self.filters,
            prefix_lists: self.prefix_lists,
            fib: self.fib,
            strongswan: self.strongswan,
            api: self.api,
            metrics: self.metrics,
            log: self.log,
        })
    }
}

/// Reads the whole file.
pub(crate) fn read(text: &str, sink: &mut Sink<'_>) -> Draft {
    let (tree, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        sink.syntax(error.span().unwrap_or(0..0), error.message());
    }
    sink.hide_secrets(tree.get_ref());
    let mut root = Section::root(tree.get_ref());
    let mut draft = Draft {
        router: rest::router(&mut root, sink),
        links: BTreeMap::new(),
        groups: BTreeMap::new(),
        peers: BTreeMap::new(),
        ranges: BTreeMap::new(),
        aggregates: Vec::new(),
        originate: rest::originate(&mut root, sink),
        filters: filter::filters(&mut root, sink),
        prefix_lists: filter::prefix_lists(&mut root, sink),
        fib: rest::fib(&mut root, sink),
        strongswan: rest::strongswan(&mut root, sink),
        api: rest::api(&mut root, sink),
        metrics: rest::metrics(&mut root, sink),
        log: rest::log(&mut root, sink),
        sketches: BTreeMap::new(),
        used_groups: BTreeSet::new(),
        filter_uses: Vec::new(),
        link_uses: Vec::new(),
    };
    link::links(&mut root, sink, &mut draft);
    draft.groups = link::groups(&mut root, sink);
    for name in &draft.used_groups {
        draft
            .groups
            .entry(name.clone())
            .or_insert_with(link::default_group);
    }
    peer::peers(&mut root, sink, &mut draft);
    peer::ranges(&mut root, sink, &mut draft);
    draft.aggregates = aggregate::aggregates(&mut root, sink, &draft);
    root.finish(sink);
    draft
}

/// Names become labels of metrics, parts of interface names and words of a command line.
fn check_name(name: &str, span: Range<usize>, sink: &mut Sink<'_>) {
    if !is_name(name) {
        sink.error(span, bad_name(name));
    }
}

fn is_name(name: &str) -> bool {
    (1..=32).contains(&name.len())
        && !name.starts_with('-')
        && name
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}

fn bad_name(name: &str) -> Wrong {
    Wrong::new(
        "name.invalid",
        format!("\"{name}\" cannot be a name"),
        "use 1 to 32 of a-z, 0-9 and -, not starting with -",
    )
}
