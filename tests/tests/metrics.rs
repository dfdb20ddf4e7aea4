//! What a scraper gets from a router in service is what the README promises, name by name.
//!
//! Needs root and `cargo build --workspace --bins`.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tests::lab::process::wait_for;
use tests::lab::{self, Lab, Way, WireGuard};

const PATIENCE: Duration = Duration::from_secs(30);
const README: &str = include_str!("../../README.md");

/// The names in the README's table.
fn promised() -> BTreeSet<String> {
    let quoted = README.split('`').skip(1).step_by(2);
    quoted
        .filter(|text| text.starts_with("skybridge_"))
        .filter(|text| {
            text.bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
        })
        .map(str::to_owned)
        .collect()
}

/// The names in a scrape, as a query would spell them.
fn served(scrape: &str) -> BTreeSet<String> {
    let types = scrape
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "));
    types
        .filter_map(|line| line.split_once(' '))
        .map(|(name, kind)| match kind {
            "counter" => format!("{name}_total"),
            _ => name.to_owned(),
        })
        .collect()
}

#[test]
fn every_metric_of_the_readme_is_served_and_no_other() -> Result<()> {
    let name = format!("sb{}q", std::process::id());
    let mut lab = Lab::build(&name, WireGuard::Userspace)?;
    lab.start_gateways()?;
    lab.start_routers()?;
    lab.wait_for_sessions(PATIENCE)?;
    lab.wait_for_active(Way::A, PATIENCE)?;
    // A failover has metrics of its own.
    lab.internet(Way::A).cut()?;
    lab.wait_for_active(Way::B, PATIENCE)?;
    wait_for("the failover in the metrics", PATIENCE, || {
        let scrape = lab.aws.metrics()?;
        ensure!(
            scrape.contains("skybridge_group_failovers_total{"),
            "not yet"
        );
        Ok(())
    })?;
    let scrape = lab.aws.metrics()?;
    let (promised, served) = (promised(), served(&scrape));
    let missing: Vec<_> = promised.difference(&served).collect();
    let unknown: Vec<_> = served.difference(&promised).collect();
    ensure!(
        missing.is_empty(),
        "in the README and not served: {missing:?}"
    );
    ensure!(
        unknown.is_empty(),
        "served and not in the README: {unknown:?}"
    );
    for line in scrape.lines().filter(|line| !line.starts_with('#')) {
        let labels = line
            .split_once('{')
            .and_then(|(_, rest)| rest.split_once('}'));
        let (labels, _) = labels.unwrap_or_default();
        ensure!(!labels.contains("10."), "an address in a label: {line}");
    }
    let down = scrape
        .lines()
        .find(|line| line.starts_with("skybridge_link_up{") && line.contains("\"wg-a\""));
    ensure!(
        down.context("a link that is down lost its series")?
            .ends_with(" 0")
    );
    drop(lab);
    lab::ensure_gone(&name)
}
