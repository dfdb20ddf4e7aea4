//! What the kernels of a lab hold and announce.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::netns::Namespace;
use super::process::{Process, wait_for};

/// Where the routes of one daemon go: prefix to the interfaces that carry it.
pub type Routes = BTreeMap<String, BTreeSet<String>>;

/// The routing protocol number under which `skybridged` installs.
pub const SKYBRIDGE: &str = "77";

/// The complete set of IPv4 routes of one routing protocol, over nexthop objects too.
///
/// # Errors
///
/// When `ip` fails or prints what it never did.
pub fn routes(namespace: &Namespace, protocol: &str) -> Result<Routes> {
    let nexthops = nexthops(namespace)?;
    let listed = parse(&namespace.ip(&format!("-j route show table all proto {protocol}"))?)?;
    let mut found = Routes::new();
    for route in &listed {
        let prefix = route["dst"]
            .as_str()
            .context("route without `dst`")?
            .to_owned();
        let prefix = if prefix.contains('/') || prefix == "default" {
            prefix
        } else {
            format!("{prefix}/32")
        };
        found
            .entry(prefix)
            .or_default()
            .extend(interfaces(route, &nexthops));
    }
    Ok(found)
}

/// Every nexthop object and group by number: the members of a group that carry traffic, or the object's
/// interface. A member on standby carries none.
///
/// # Errors
///
/// As [`routes`].
pub fn nexthops(namespace: &Namespace) -> Result<BTreeMap<u64, Value>> {
    let listed = parse(&namespace.ip("-j nexthop show")?)?;
    let buckets = parse(&namespace.ip("-j nexthop bucket show")?)?;
    let carries = |group: &Value, member: &Value| {
        buckets
            .iter()
            .any(|bucket| bucket["id"] == group["id"] && bucket["bucket"]["nhid"] == member["id"])
    };
    let mut nexthops = BTreeMap::new();
    for mut nexthop in listed {
        if nexthop["type"] == "resilient" {
            let members = nexthop["group"].as_array().into_iter().flatten();
            let carrying: Vec<Value> = members
                .filter(|member| carries(&nexthop, member))
                .cloned()
                .collect();
            nexthop["group"] = carrying.into();
        }
        let id = nexthop["id"].as_u64().context("nexthop without `id`")?;
        nexthops.insert(id, nexthop);
    }
    Ok(nexthops)
}

fn interfaces(route: &Value, nexthops: &BTreeMap<u64, Value>) -> BTreeSet<String> {
    if let Some(nexthop) = route["nhid"].as_u64().and_then(|id| nexthops.get(&id)) {
        let members = nexthop["group"].as_array().into_iter().flatten();
        let members = members.filter_map(|member| nexthops.get(&member["id"].as_u64()?));
        return members.chain([nexthop]).filter_map(interface).collect();
    }
    let several = route["nexthops"].as_array().into_iter().flatten();
    several.chain([route]).filter_map(interface).collect()
}

fn interface(value: &Value) -> Option<String> {
    Some(value["dev"].as_str()?.to_owned())
}

/// `ip -j` prints nothing at all instead of an empty list for some questions.
fn parse(said: &str) -> Result<Vec<Value>> {
    if said.trim().is_empty() {
        return Ok(Vec::new());
    }
    serde_json::from_str(said).with_context(|| format!("not the JSON of ip: {said}"))
}

/// `ip monitor`, running: every route and nexthop message of a namespace from here on.
#[derive(Debug)]
pub struct Monitor {
    process: Process,
    skip: usize,
}

impl Monitor {
    /// Starts it and waits until it listens.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn start(namespace: &Namespace, log: &Path) -> Result<Self> {
        let mut command = namespace.command("ip");
        command.args(["monitor", "route", "nexthop"]);
        let process = Process::spawn("ip monitor", &mut command, log)?;
        let mut monitor = Self { process, skip: 0 };
        // It says nothing when ready, so it is ready when it has seen a route of ours.
        wait_for("ip monitor", std::time::Duration::from_secs(3), || {
            namespace.ip("route replace blackhole 192.0.2.255/32 proto 99")?;
            namespace.ip("route del blackhole 192.0.2.255/32 proto 99")?;
            monitor
                .process
                .log()
                .contains("Deleted")
                .then_some(())
                .context("it has seen nothing")
        })?;
        monitor.skip = monitor.process.log().lines().count();
        Ok(monitor)
    }

    /// Messages about routes of `skybridged` since the start.
    pub fn route_messages(&self) -> Vec<String> {
        self.lines()
            .into_iter()
            .filter(|line| !is_nexthop(line) && ours(line))
            .collect()
    }

    /// Messages about nexthop objects of `skybridged` since the start.
    pub fn nexthop_messages(&self) -> Vec<String> {
        self.lines()
            .into_iter()
            .filter(|line| is_nexthop(line) && ours(line))
            .collect()
    }

    fn lines(&self) -> Vec<String> {
        self.process
            .log()
            .lines()
            .skip(self.skip)
            .map(str::to_owned)
            .collect()
    }
}

fn is_nexthop(line: &str) -> bool {
    line.trim_start_matches("Deleted ").starts_with("id ")
}

/// The number, or the name under which the package registers it.
fn ours(line: &str) -> bool {
    line.contains("proto 77 ") || line.ends_with("proto 77") || line.contains("proto skybridge")
}
