//! GoBGP: its process, and the terms and tables of a pair in its words.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::held::{number, text};
use super::terms::Place;
use super::{Announced, Family, Held, Over, Paths, Terms};
use crate::lab::netns::Namespace;
use crate::lab::process::{Process, wait_for};

const START: Duration = Duration::from_secs(15);

const ESTABLISHED: &str = "Established";

/// `gobgpd` in a namespace, which has its API port for itself.
#[derive(Debug)]
pub(super) struct GoBgp {
    namespace: Namespace,
    router: String,
    place: Place,
    process: Process,
}

impl GoBgp {
    /// Starts it and gives it what it shall announce.
    pub(super) fn start(namespace: &Namespace, directory: &Path, terms: &Terms) -> Result<Self> {
        fs::create_dir_all(directory)?;
        let file = directory.join("gobgpd.toml");
        fs::write(&file, config(terms))?;
        let mut command = namespace.command("gobgpd");
        command.arg("-f").arg(&file).args(["--log-plain", "-p"]);
        let process = Process::spawn("gobgpd", &mut command, &directory.join("gobgpd.log"))?;
        let mut gobgp = Self {
            namespace: namespace.clone(),
            router: terms.ours().to_string(),
            place: terms.place,
            process,
        };
        wait_for("gobgpd's API", START, || {
            gobgp.process.check_alive()?;
            gobgp.session_state().map(drop)
        })?;
        gobgp.change(&[], &terms.announced)?;
        Ok(gobgp)
    }

    /// Runs `gobgp` and returns what it prints.
    pub(super) fn ask(&self, words: &[&str]) -> Result<String> {
        let said = self.namespace.run("gobgp", words)?;
        // It says so on standard output, with exit code 0.
        if said.starts_with("Error") || said.contains("invalid format") {
            bail!("gobgp {}: {said}", words.join(" "));
        }
        Ok(said)
    }

    pub(super) fn session_state(&self) -> Result<String> {
        let neighbour = self.json(&["neighbor", &self.router])?;
        let state = neighbour["state"]["session_state"].as_u64();
        Ok(match state.unwrap_or_default() {
            6 => ESTABLISHED.to_owned(),
            other => format!("state {other}"),
        })
    }

    pub(super) fn process(&self) -> &Process {
        &self.process
    }

    pub(super) fn process_mut(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Brings what it announces from `old` to `new`.
    pub(super) fn change(&self, old: &[Announced], new: &[Announced]) -> Result<()> {
        for route in old.iter().filter(|route| !new.contains(route)) {
            let family = Family::of(&route.prefix).to_string();
            self.ask(&["global", "rib", "del", &route.prefix, "-a", &family])?;
        }
        for route in new {
            let words = self.words(route);
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            self.ask(&words)?;
        }
        Ok(())
    }

    fn words(&self, route: &Announced) -> Vec<String> {
        let family = Family::of(&route.prefix);
        let nexthop = match family {
            Family::V4 => Over::V4.end(self.place, 2),
            Family::V6 => Over::V6.end(self.place, 2),
        };
        let mut words = vec!["global".to_owned(), "rib".into(), "add".into()];
        words.extend(["-a".to_owned(), family.to_string(), route.prefix.clone()]);
        let mut add = |name: &str, value: String| words.extend([name.to_owned(), value]);
        add("origin", "igp".into());
        add("nexthop", nexthop.to_string());
        if let Some(med) = route.med {
            add("med", med.to_string());
        }
        if let Some(preference) = route.local_pref {
            add("local-pref", preference.to_string());
        }
        if !route.communities.is_empty() {
            let list = route.communities.iter().map(|(a, b)| format!("{a}:{b}"));
            add("community", list.collect::<Vec<_>>().join(","));
        }
        if !route.large_communities.is_empty() {
            let list = route.large_communities.iter();
            let list = list.map(|(a, b, c)| format!("{a}:{b}:{c}"));
            add("large-community", list.collect::<Vec<_>>().join(","));
        }
        if !route.as_path.is_empty() {
            let list = route.as_path.iter().map(u32::to_string);
            add("aspath", list.collect::<Vec<_>>().join(","));
        }
        words
    }

    /// Without a session it talks about no peer: what it keeps of one stands among all its routes.
    pub(super) fn received(&self, family: Family) -> Result<Paths> {
        let family = family.to_string();
        let is_up = self.session_state()? == ESTABLISHED;
        let table = match is_up {
            true => self.json(&["neighbor", &self.router, "adj-in", "-a", &family])?,
            false => self.json(&["global", "rib", "-a", &family])?,
        };
        let mut held = Paths::new();
        let lists: Vec<&Value> = match &table {
            Value::Object(map) => map.values().collect(),
            Value::Array(list) => list.iter().collect(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
        };
        for paths in lists {
            for path in paths.as_array().unwrap_or(&vec![paths.clone()]) {
                if !is_up && path["stale"] != true {
                    continue;
                }
                let prefix = text(&path["nlri"]["prefix"]);
                let path = of_attributes(&path["attrs"])?;
                held.entry(prefix).or_default().push(path);
            }
        }
        Ok(held)
    }

    fn json(&self, words: &[&str]) -> Result<Value> {
        let words: Vec<&str> = words.iter().copied().chain(["-j"]).collect();
        let said = self.ask(&words)?;
        serde_json::from_str(&said).with_context(|| format!("gobgp {}: {said}", words.join(" ")))
    }
}

/// One object per attribute, with its type code.
fn of_attributes(attributes: &Value) -> Result<Held> {
    let mut held = Held::default();
    for attribute in attributes.as_array().context("attributes are a list")? {
        let value = &attribute["value"];
        let values = value.as_array().into_iter().flatten();
        match attribute["type"].as_u64() {
            Some(1) => {
                held.origin = match value.as_u64() {
                    Some(0) => "igp",
                    Some(1) => "egp",
                    _ => "incomplete",
                }
                .to_owned();
            }
            Some(2) => held.as_path = as_path(&attribute["as_paths"]),
            Some(3 | 14) => held.nexthop = text(&attribute["nexthop"]),
            Some(4) => held.med = number(&attribute["metric"]),
            Some(5) => held.local_pref = number(value),
            Some(8) => {
                let list = attribute["communities"].as_array().into_iter().flatten();
                let list = list.filter_map(Value::as_u64);
                held.communities = list
                    .map(|community| format!("{}:{}", community >> 16, community & 0xffff))
                    .collect();
            }
            Some(32) => {
                let list = values.map(|community| {
                    ["ASN", "LocalData1", "LocalData2"]
                        .map(|part| community[part].to_string())
                        .join(":")
                });
                held.large_communities = list.collect();
            }
            _ => {}
        }
    }
    Ok(held)
}

fn as_path(segments: &Value) -> String {
    let segments = segments.as_array().into_iter().flatten();
    let numbers = segments.flat_map(|segment| segment["asns"].as_array().into_iter().flatten());
    numbers.map(Value::to_string).collect::<Vec<_>>().join(" ")
}

fn config(terms: &Terms) -> String {
    let families: String = ["ipv4-unicast", "ipv6-unicast"]
        .map(|name| {
            format!(
                "[[neighbors.afi-safis]]\n[neighbors.afi-safis.config]\nafi-safi-name = \"{name}\"\n{}\n",
                terms.family_words
            )
        })
        .concat();
    format!(
        "[global.config]
as = {}
router-id = \"{}\"
[[neighbors]]
[neighbors.config]
neighbor-address = \"{}\"
peer-as = {}
[neighbors.timers.config]
connect-retry = 1
hold-time = {}
keepalive-interval = {}
idle-hold-time-after-reset = 1
{}
{families}
{}",
        terms.their_asn,
        terms.router_id(),
        terms.ours(),
        terms.our_asn,
        terms.hold_secs,
        terms.hold_secs / 3,
        terms.session_words,
        terms.program_words,
    )
}
