//! `skybridge filter test FILE`: what a filter does with a route, rule by rule, without a daemon.

mod attrs;
mod json;
mod text;

use std::path::Path;
use std::sync::Arc;

use anyhow::{anyhow, bail};
use bgp::filter::{Condition, Filter, Verdict, Visit};
use bgp::{Asn, Attrs, Prefix};
use config::model::{Action, Peer};
use config::{Config, Route};
use policy::{Filters, RuleAt};

use crate::args::{Direction, FilterTest, WhichFilter, WhichRoutes};
use crate::output::{Output, Printed};
use crate::{Failure, Outcome, check};

/// One route on its way through a filter.
struct Trial<'c> {
    prefix: Prefix,
    before: Arc<Attrs>,
    verdict: Verdict,
    /// The rules that were asked, in order.
    asked: Vec<(RuleAt<'c>, Option<Condition>)>,
}

impl<'c> Trial<'c> {
    /// The rule that accepted or rejected; `None` where none did.
    fn decided_by(&self) -> Option<RuleAt<'c>> {
        let (rule, failed) = self.asked.last()?;
        let decides = matches!(rule.rule.action, Action::Accept | Action::Reject);
        (failed.is_none() && decides).then_some(*rule)
    }
}

/// Exit code 1 if a route is rejected.
pub(crate) fn run(asked: &FilterTest, output: &mut Output) -> Result<Outcome, Failure> {
    let stdin = Path::new("-");
    if asked.file == stdin && asked.routes.routes.as_deref() == Some(stdin) {
        bail!("the standard input cannot be both the file and the routes");
    }
    let config = load(&asked.file)?;
    let name = filter_name(&config, &asked.filter, asked.direction)?;
    let filter = Filters::of(&config).get(Some(name));
    let steps = policy::steps(&config, name);
    let mut outcome = Outcome::Good;
    for (i, route) in routes(&asked.routes)?.iter().enumerate() {
        let trial = try_out(&filter, &steps, route, Asn(config.router.asn));
        if trial.verdict == Verdict::Reject {
            outcome = Outcome::Negative;
        }
        match output.printed() {
            Printed::Json => output.json_line(&json::trial(name, &trial))?,
            Printed::Text => {
                let between = if i > 0 { "\n" } else { "" };
                output.text(&format!(
                    "{between}{}",
                    text::trial(&trial, &output.screen())
                ))?;
            }
        }
    }
    Ok(outcome)
}

fn load(file: &Path) -> Result<Config, Failure> {
    let (name, text) = check::read(file)?;
    match config::load(&text, &name) {
        Ok(loaded) => Ok(loaded.config),
        Err(report) => {
            let findings = report.findings().iter();
            let errors = findings.filter(|finding| finding.severity == config::Severity::Error);
            let errors: Vec<_> = errors.map(ToString::to_string).collect();
            Err(anyhow!("the file cannot be used:\n{}", errors.join("\n")))
        }
    }
}

fn filter_name<'c>(
    config: &'c Config,
    which: &'c WhichFilter,
    direction: Option<Direction>,
) -> Result<&'c str, Failure> {
    let listed = |names: Vec<&String>| {
        let names: Vec<_> = names.into_iter().map(String::as_str).collect();
        names.join(", ")
    };
    if let Some(name) = &which.filter {
        if !config.filters.contains_key(name) {
            let known = listed(config.filters.keys().collect());
            bail!("no filter is called {name}; there are: {known}");
        }
        if let Some(direction) = direction {
            let mut peers = config.peers.values();
            let is_used = peers.any(|peer| direction.filter_of(peer) == Some(name));
            if !is_used {
                bail!("no peer uses filter {name} for {}", direction.key());
            }
        }
        return Ok(name);
    }
    let name = which.peer.as_deref().unwrap_or_default();
    let Some(peer) = config.peers.get(name) else {
        let known = listed(config.peers.keys().collect());
        bail!("no peer is called {name}; there are: {known}");
    };
    let direction = direction.unwrap_or(Direction::Import);
    direction.filter_of(peer).ok_or_else(|| {
        let key = direction.key();
        anyhow!("peer {name} has no {key} filter, so nothing passes (RFC 8212)")
    })
}

impl Direction {
    fn key(self) -> &'static str {
        match self {
            Self::Export => "export",
            Self::Import => "import",
        }
    }

    fn filter_of(self, peer: &Peer) -> Option<&str> {
        match self {
            Self::Export => peer.export.as_deref(),
            Self::Import => peer.import.as_deref(),
        }
    }
}

/// Those of the command line, then those of the file. Lines that are empty or begin with `#` are none.
fn routes(which: &WhichRoutes) -> Result<Vec<Route>, Failure> {
    let mut routes = Vec::new();
    for text in &which.route {
        let route = Route::parse(text).map_err(|wrong| anyhow!("--route: {wrong}"))?;
        routes.push(route);
    }
    if let Some(file) = &which.routes {
        let (name, text) = check::read(file)?;
        for (i, line) in text.lines().enumerate() {
            if !line.trim().is_empty() && !line.trim_start().starts_with('#') {
                let route = Route::parse(line);
                routes.push(route.map_err(|wrong| anyhow!("{name}:{}: {wrong}", i + 1))?);
            }
        }
    }
    Ok(routes)
}

fn try_out<'c>(filter: &Filter, steps: &[RuleAt<'c>], route: &Route, local_asn: Asn) -> Trial<'c> {
    let before = policy::attrs(route);
    let (visits, verdict) = filter.explain(&route.prefix, &before, local_asn);
    let rule_of = |visit: Visit| Some((*steps.get(visit.step)?, visit.failed));
    Trial {
        prefix: route.prefix,
        before,
        verdict,
        asked: visits.into_iter().filter_map(rule_of).collect(),
    }
}

/// A condition by its key in the file.
fn key_of(condition: Condition) -> &'static str {
    match condition {
        Condition::DefaultRoute => "default-route",
        Condition::Family => "family",
        Condition::Prefix => "prefix",
        Condition::PrefixList => "prefix-list",
        Condition::AsPath => "as-path",
        Condition::AsPathContains => "as-path-contains",
        Condition::AsPathLength => "as-path-length",
        Condition::OriginAs => "origin-as",
        Condition::NeighborAs => "neighbor-as",
        Condition::Community => "community",
        Condition::CommunityAll => "community-all",
        Condition::ExtCommunity => "ext-community",
        Condition::ExtCommunityAll => "ext-community-all",
        Condition::LargeCommunity => "large-community",
        Condition::LargeCommunityAll => "large-community-all",
        Condition::Nexthop => "nexthop",
        Condition::Origin => "origin",
        Condition::Med => "med",
        Condition::LocalPref => "local-pref",
        Condition::Unless => "unless",
    }
}
