//! Plan: two intents become the changes that lead from one to the other.

mod fields;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use ipnet::IpNet;

use crate::Config;
use crate::model::Rule;
use fields::Field;

/// One difference between two intents. Shown as one line: `peer aws-gw: hold-time 90s -> 30s`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// `[[aggregate]]`.
    AggregatesChanged,
    /// `[api]`.
    ApiChanged(Vec<FieldChange>),
    /// `[fib]`.
    FibChanged(Vec<FieldChange>),
    /// `[ipsec]`.
    StrongSwanChanged(Vec<FieldChange>),
    /// A filter is there that was not.
    FilterAdded(String),
    /// What a filter does: its rules, a list they name, or a filter they call.
    FilterChanged(String),
    /// A filter is gone; nobody names it.
    FilterRemoved(String),
    /// A group is there that was not.
    GroupAdded(String),
    /// A group's policy.
    GroupChanged {
        /// The group.
        name: String,
        /// At least one.
        fields: Vec<FieldChange>,
    },
    /// A group is gone.
    GroupRemoved(String),
    /// A link is there that was not.
    LinkAdded(String),
    /// A link that stays, in part.
    LinkChanged {
        /// The link.
        name: String,
        /// What of it has to be done again; at least one.
        parts: BTreeSet<LinkPart>,
        /// At least one.
        fields: Vec<FieldChange>,
    },
    /// A link is gone.
    LinkRemoved(String),
    /// `router.listen`.
    ListenChanged(FieldChange),
    /// `[log]`.
    LogChanged(Vec<FieldChange>),
    /// `[metrics]`.
    MetricsChanged(Vec<FieldChange>),
    /// `[originate]`.
    OriginateChanged {
        /// To be announced.
        announce: Vec<IpNet>,
        /// To be withdrawn.
        withdraw: Vec<IpNet>,
    },
    /// A peer is there that was not, its own or of a link.
    PeerAdded(String),
    /// A peer that stays.
    PeerChanged {
        /// The peer.
        name: String,
        /// What the change costs.
        part: PeerPart,
        /// At least one.
        fields: Vec<FieldChange>,
    },
    /// A peer is gone.
    PeerRemoved(String),
    /// A listen range is there that was not.
    RangeAdded(String),
    /// A listen range that stays.
    RangeChanged {
        /// The range.
        name: String,
        /// At least one.
        fields: Vec<FieldChange>,
    },
    /// A listen range is gone.
    RangeRemoved(String),
    /// A prefix list is there that was not.
    PrefixListAdded(String),
    /// What is in a prefix list.
    PrefixListChanged(String),
    /// A prefix list is gone; no filter names it.
    PrefixListRemoved(String),
    /// `[router]`; see [`RouterField::needs_restart`].
    RouterChanged {
        /// Which of its keys.
        field: RouterField,
        /// From what to what.
        change: FieldChange,
    },
}

/// One key of an item, in the spelling of the file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FieldChange {
    /// The key.
    pub field: &'static str,
    /// Its value before; `none` where it had none.
    pub from: String,
    /// Its value after.
    pub to: String,
}

/// A key of `[router]`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum RouterField {
    /// `name`.
    Name,
    /// `asn`.
    Asn,
    /// `cluster-id`.
    ClusterId,
    /// `multipath`, `always-compare-med`.
    Decision,
    /// `id`.
    Id,
}

impl RouterField {
    /// Every session has told it to its peer, or every route was chosen by it: it cannot change under
    /// them.
    pub fn needs_restart(self) -> bool {
        match self {
            Self::Asn | Self::ClusterId | Self::Decision | Self::Id => true,
            Self::Name => false,
        }
    }
}

/// A part of a link with work of its own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum LinkPart {
    /// Its group, and what counts in it.
    Group,
    /// The addresses of its two ends.
    Inside,
    /// How it is measured.
    Probe,
    /// Its BFD session.
    Bfd,
    /// What carries it, its interface included.
    Tunnel,
}

/// What a change of a peer costs: the greatest of its fields.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum PeerPart {
    /// Nothing: an established session goes on.
    Live,
    /// The session is restarted: the two ends agreed on it, or TCP was opened with it.
    Session,
}

/// What leads from `old` to `new`, in a fixed order; empty if they are the same.
pub fn diff(old: &Config, new: &Config) -> Vec<Change> {
    let mut changes = Vec::new();
    router(old, new, &mut changes);
    originate(old, new, &mut changes);
    prefix_lists(old, new, &mut changes);
    filters(old, new, &mut changes);
    items(
        &old.groups,
        &new.groups,
        fields::group,
        &mut changes,
        [Change::GroupAdded, Change::GroupRemoved],
        |name, fields| Change::GroupChanged {
            name,
            fields: plain(fields),
        },
    );
    items(
        &old.links,
        &new.links,
        fields::link,
        &mut changes,
        [Change::LinkAdded, Change::LinkRemoved],
        |name, fields| Change::LinkChanged {
            name,
            parts: fields.iter().map(|(part, _)| *part).collect(),
            fields: plain(fields),
        },
    );
    items(
        &old.peers,
        &new.peers,
        fields::peer,
        &mut changes,
        [Change::PeerAdded, Change::PeerRemoved],
        |name, fields| Change::PeerChanged {
            name,
            part: fields
                .iter()
                .map(|(part, _)| *part)
                .max()
                .unwrap_or(PeerPart::Live),
            fields: plain(fields),
        },
    );
    items(
        &old.ranges,
        &new.ranges,
        fields::range,
        &mut changes,
        [Change::RangeAdded, Change::RangeRemoved],
        |name, fields| Change::RangeChanged {
            name,
            fields: plain(fields),
        },
    );
    process(old, new, &mut changes);
    changes
}

fn router(old: &Config, new: &Config, changes: &mut Vec<Change>) {
    let changed = compare(fields::router(&old.router), fields::router(&new.router));
    changes.extend(changed.into_iter().map(|(field, change)| match field {
        Some(field) => Change::RouterChanged { field, change },
        None => Change::ListenChanged(change),
    }));
}

fn originate(old: &Config, new: &Config, changes: &mut Vec<Change>) {
    let before: BTreeSet<IpNet> = old.originate.iter().copied().collect();
    let after: BTreeSet<IpNet> = new.originate.iter().copied().collect();
    if before != after {
        changes.push(Change::OriginateChanged {
            announce: after.difference(&before).copied().collect(),
            withdraw: before.difference(&after).copied().collect(),
        });
    }
    if old.aggregates != new.aggregates {
        changes.push(Change::AggregatesChanged);
    }
}

fn prefix_lists(old: &Config, new: &Config, changes: &mut Vec<Change>) {
    for name in union(&old.prefix_lists, &new.prefix_lists) {
        match (old.prefix_lists.get(name), new.prefix_lists.get(name)) {
            (None, _) => changes.push(Change::PrefixListAdded(name.clone())),
            (_, None) => changes.push(Change::PrefixListRemoved(name.clone())),
            (before, after) if before != after => {
                changes.push(Change::PrefixListChanged(name.clone()));
            }
            _ => {}
        }
    }
}

fn filters(old: &Config, new: &Config, changes: &mut Vec<Change>) {
    let changed = changed_filters(old, new);
    for name in union(&old.filters, &new.filters) {
        match (
            old.filters.contains_key(name),
            new.filters.contains_key(name),
        ) {
            (false, _) => changes.push(Change::FilterAdded(name.clone())),
            (_, false) => changes.push(Change::FilterRemoved(name.clone())),
            _ if changed.contains(name.as_str()) => {
                changes.push(Change::FilterChanged(name.clone()));
            }
            _ => {}
        }
    }
}

/// Filters in both that do not do the same: by their own rules, by a list that they name, or by
/// a filter that they call. A legal intent has few calls in each other, so this ends after as many rounds.
fn changed_filters<'n>(old: &Config, new: &'n Config) -> BTreeSet<&'n str> {
    let list_changed = |name: &String| old.prefix_lists.get(name) != new.prefix_lists.get(name);
    let names_changed_list = |rules: &[Rule]| {
        let lists = rules.iter().flat_map(Rule::prefix_lists);
        lists.into_iter().any(list_changed)
    };
    let mut changed = BTreeSet::new();
    for (name, rules) in &new.filters {
        let same = old.filters.get(name).is_some_and(|before| before == rules);
        if !same || names_changed_list(rules) {
            changed.insert(name.as_str());
        }
    }
    loop {
        let calls_changed = |rules: &[Rule]| {
            let mut called = rules.iter().filter_map(Rule::called);
            called.any(|name| changed.contains(name))
        };
        let more: Vec<&str> = new
            .filters
            .iter()
            .filter(|(name, rules)| !changed.contains(name.as_str()) && calls_changed(rules))
            .map(|(name, _)| name.as_str())
            .collect();
        if more.is_empty() {
            return changed;
        }
        changed.extend(more);
    }
}

fn process(old: &Config, new: &Config, changes: &mut Vec<Change>) {
    let mut push = |fields: Vec<((), FieldChange)>, change: fn(Vec<FieldChange>) -> Change| {
        if !fields.is_empty() {
            changes.push(change(plain(fields)));
        }
    };
    push(
        compare(fields::fib(&old.fib), fields::fib(&new.fib)),
        Change::FibChanged,
    );
    push(
        compare(
            fields::strongswan(&old.strongswan),
            fields::strongswan(&new.strongswan),
        ),
        Change::StrongSwanChanged,
    );
    push(
        compare(fields::api(&old.api), fields::api(&new.api)),
        Change::ApiChanged,
    );
    push(
        compare(fields::metrics(&old.metrics), fields::metrics(&new.metrics)),
        Change::MetricsChanged,
    );
    push(
        compare(fields::log(&old.log), fields::log(&new.log)),
        Change::LogChanged,
    );
}

/// The named items of one kind, by name.
fn items<T, Part>(
    old: &BTreeMap<String, T>,
    new: &BTreeMap<String, T>,
    fields: fn(&T) -> Vec<Field<Part>>,
    changes: &mut Vec<Change>,
    [added, removed]: [fn(String) -> Change; 2],
    changed: impl Fn(String, Vec<(Part, FieldChange)>) -> Change,
) {
    for name in union(old, new) {
        match (old.get(name), new.get(name)) {
            (None, _) => changes.push(added(name.clone())),
            (_, None) => changes.push(removed(name.clone())),
            (Some(before), Some(after)) => {
                let found = compare(fields(before), fields(after));
                if !found.is_empty() {
                    changes.push(changed(name.clone(), found));
                }
            }
        }
    }
}

fn union<'a, T>(
    old: &'a BTreeMap<String, T>,
    new: &'a BTreeMap<String, T>,
) -> BTreeSet<&'a String> {
    old.keys().chain(new.keys()).collect()
}

/// Both lists are of the same type of item and so have the same fields in the same order.
fn compare<Part>(old: Vec<Field<Part>>, new: Vec<Field<Part>>) -> Vec<(Part, FieldChange)> {
    old.into_iter()
        .zip(new)
        .filter(|(before, after)| before.value != after.value)
        .map(|(before, after)| {
            let change = FieldChange {
                field: before.name,
                from: before.value,
                to: after.value,
            };
            (after.part, change)
        })
        .collect()
}

fn plain<Part>(fields: Vec<(Part, FieldChange)>) -> Vec<FieldChange> {
    fields.into_iter().map(|(_, field)| field).collect()
}

impl PeerPart {
    fn cost(self) -> &'static str {
        match self {
            Self::Live => "",
            Self::Session => " (restarts the session)",
        }
    }
}

impl fmt::Display for FieldChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} -> {}", self.field, self.from, self.to)
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AggregatesChanged => f.write_str("aggregates: changed"),
            Self::ApiChanged(fields) => write!(f, "api: {}", list(fields)),
            Self::FibChanged(fields) => write!(f, "fib: {}", list(fields)),
            Self::StrongSwanChanged(fields) => write!(f, "ipsec: {}", list(fields)),
            Self::FilterAdded(name) => write!(f, "filter {name}: added"),
            Self::FilterChanged(name) => write!(f, "filter {name}: changed"),
            Self::FilterRemoved(name) => write!(f, "filter {name}: removed"),
            Self::GroupAdded(name) => write!(f, "group {name}: added"),
            Self::GroupChanged { name, fields } => write!(f, "group {name}: {}", list(fields)),
            Self::GroupRemoved(name) => write!(f, "group {name}: removed"),
            Self::LinkAdded(name) => write!(f, "link {name}: added"),
            Self::LinkChanged { name, fields, .. } => write!(f, "link {name}: {}", list(fields)),
            Self::LinkRemoved(name) => write!(f, "link {name}: removed"),
            Self::ListenChanged(change) => write!(f, "router: {change}"),
            Self::LogChanged(fields) => write!(f, "log: {}", list(fields)),
            Self::MetricsChanged(fields) => write!(f, "metrics: {}", list(fields)),
            Self::OriginateChanged { announce, withdraw } => {
                write!(
                    f,
                    "originate:{}{}",
                    signed('+', announce),
                    signed('-', withdraw)
                )
            }
            Self::PeerAdded(name) => write!(f, "peer {name}: added"),
            Self::PeerChanged { name, part, fields } => {
                write!(f, "peer {name}: {}{}", list(fields), part.cost())
            }
            Self::PeerRemoved(name) => write!(f, "peer {name}: removed"),
            Self::RangeAdded(name) => write!(f, "listen {name}: added"),
            Self::RangeChanged { name, fields } => write!(f, "listen {name}: {}", list(fields)),
            Self::RangeRemoved(name) => write!(f, "listen {name}: removed"),
            Self::PrefixListAdded(name) => write!(f, "prefix-list {name}: added"),
            Self::PrefixListChanged(name) => write!(f, "prefix-list {name}: changed"),
            Self::PrefixListRemoved(name) => write!(f, "prefix-list {name}: removed"),
            Self::RouterChanged { field, change } => {
                write!(f, "router: {change}")?;
                f.write_str(if field.needs_restart() {
                    " (needs a restart)"
                } else {
                    ""
                })
            }
        }
    }
}

fn list(fields: &[FieldChange]) -> String {
    fields
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

fn signed(sign: char, prefixes: &[IpNet]) -> String {
    prefixes
        .iter()
        .map(|prefix| format!(" {sign}{prefix}"))
        .collect()
}

#[cfg(test)]
mod tests;
