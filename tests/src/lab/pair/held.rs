//! A route as someone holds it, whoever was asked.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::Family;

/// Prefix in its usual form to the one path that is held for it.
pub type Table = BTreeMap<String, Held>;

/// Prefix in its usual form to every path that is held for it, in their order.
pub type Paths = BTreeMap<String, Vec<Held>>;

/// The attributes of a path that every program shows.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Held {
    /// The global one.
    pub nexthop: String,
    /// Numbers with blanks between them; empty for the empty path.
    pub as_path: String,
    /// `igp`, `egp` or `incomplete`.
    pub origin: String,
    /// MULTI_EXIT_DISC. 0 is read as none: FRR sends it for routes of its own, and shows none as 0.
    pub med: Option<u32>,
    /// LOCAL_PREF, on internal sessions only: elsewhere it is the holder's own.
    pub local_pref: Option<u32>,
    /// `65010:100`.
    pub communities: BTreeSet<String>,
    /// `65010:1:2`.
    pub large_communities: BTreeSet<String>,
}

/// What `skybridge --json show routes` says of paths that a peer sent.
pub(super) fn of_router(routes: &[Value], family: Family) -> Paths {
    let mut held = Paths::new();
    for route in routes {
        let prefix = text(&route["prefix"]);
        let paths = route["paths"].as_array().into_iter().flatten();
        // Some send our own routes back, which the loop check stops.
        let paths = paths.filter(|path| !path["peer"].is_null() && path["step"] != "as-loop");
        if Family::of(&prefix) == family {
            hold_all(&mut held, &prefix, paths.map(of_path));
        }
    }
    held
}

/// Adds paths to a prefix, which is not there without one.
pub(super) fn hold_all(held: &mut Paths, prefix: &str, paths: impl Iterator<Item = Held>) {
    for path in paths {
        held.entry(prefix.to_owned()).or_default().push(path);
    }
}

/// The first path of each prefix: the only one, where no ADD-PATH was agreed on.
pub(super) fn first(paths: Paths) -> Table {
    let first = |(prefix, paths): (_, Vec<Held>)| Some((prefix, paths.into_iter().next()?));
    paths.into_iter().filter_map(first).collect()
}

fn of_path(path: &Value) -> Held {
    Held {
        nexthop: text(&path["nexthop"]),
        as_path: text(&path["as_path"]),
        origin: text(&path["origin"]),
        med: number(&path["med"]).filter(|med| *med != 0),
        local_pref: number(&path["local_pref"]),
        communities: texts(&path["communities"]),
        large_communities: texts(&path["large_communities"]),
    }
}

/// The text of a JSON string; empty for anything else.
pub(super) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

pub(super) fn number(value: &Value) -> Option<u32> {
    u32::try_from(value.as_u64()?).ok()
}

pub(super) fn texts(value: &Value) -> BTreeSet<String> {
    let list = value.as_array().into_iter().flatten();
    list.map(text).collect()
}
