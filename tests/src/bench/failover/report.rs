//! What is printed: medians of the rounds, and for all else the reason.

use std::fmt::Write as _;
use std::time::Duration;

use bgp::Family;
use serde_json::{Value, json};

use super::measure::{Figures, Outcome};
use super::topology::Death;
use crate::bench::daemon::Kind;

/// All rounds of one router with one table.
#[derive(Clone, PartialEq, Debug)]
pub struct Cell {
    /// How the link died.
    pub death: Death,
    /// Whose routes.
    pub family: Family,
    /// How many.
    pub routes: usize,
    /// With whom.
    pub kind: Kind,
    /// In the order of the rounds.
    pub outcomes: Vec<Outcome>,
}

impl Cell {
    fn figures(&self) -> Option<Vec<Figures>> {
        let figures: Option<Vec<_>> = self.outcomes.iter().map(right).collect();
        figures.filter(|figures| !figures.is_empty())
    }

    fn failure(&self) -> Option<&str> {
        self.outcomes.iter().find_map(|outcome| match outcome {
            Outcome::Right(_) => None,
            Outcome::Wrong(why) => Some(why.as_str()),
        })
    }
}

fn right(outcome: &Outcome) -> Option<Figures> {
    match outcome {
        Outcome::Right(figures) => Some(*figures),
        Outcome::Wrong(_) => None,
    }
}

/// The middle one, the lower of two; 0 of none.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values
        .get(values.len().saturating_sub(1) / 2)
        .copied()
        .unwrap_or_default()
}

/// A table within 100 columns.
pub fn table(cells: &[Cell]) -> String {
    let mut text = format!(
        "{:<8} {:<5} {:>8}  {:<10} {:>8} {:>9} {:>9} {:>8} {:>8} {:>9}  {:>6}\n",
        "cut",
        "",
        "routes",
        "router",
        "found",
        "switched",
        "past BFD",
        "seen",
        "lost",
        "lost back",
        "rounds"
    );
    let mut last = None;
    for cell in cells {
        let block = (cell.death, cell.family, cell.routes);
        if last.is_some_and(|last| last != block) {
            text.push('\n');
        }
        last = Some(block);
        let _ = write!(
            text,
            "{:<8} {:<5} {:>8}  {:<10} ",
            death(cell.death),
            family(cell.family),
            cell.routes,
            cell.kind
        );
        let Some(figures) = cell.figures() else {
            text.push_str("   wrong, see below\n");
            continue;
        };
        let of = |each: fn(&Figures) -> f64| median(figures.iter().map(each).collect());
        let past: Option<Vec<f64>> = figures.iter().map(Figures::past_due).collect();
        let _ = writeln!(
            text,
            "{:>8} {:>9} {:>9} {:>8} {:>8} {:>9}  {:>6}",
            short(of(|round| millis(round.found))),
            short(of(|round| millis(round.switched))),
            past.map_or("-".to_owned(), |past| short(median(past))),
            short(of(|round| millis(round.seen))),
            of(|round| round.lost as f64),
            of(|round| round.lost_back as f64),
            figures.len(),
        );
    }
    for cell in cells {
        if let Some(why) = cell.failure() {
            let what = (death(cell.death), cell.routes, cell.kind);
            let _ = write!(text, "\nwrong: {}, {} routes, {}:", what.0, what.1, what.2);
            for line in why.lines() {
                let line: String = line.trim().chars().take(96).collect();
                let _ = write!(text, "\n    {line}");
            }
            text.push('\n');
        }
    }
    text
}

/// What the columns mean.
pub const LEGEND: &str = "\
Times in ms from the cut, medians: the first and the last route that led to the other peer, by the
kernel's notifications; the last beyond the moment at which BFD had to call the link down; the last
host of a sample that was seen to be led there. Packets lost of 10,000 a second, to the cut and to the
return of the link.";

fn death(death: Death) -> &'static str {
    match death {
        Death::Silent => "silent",
        Death::Carrier => "carrier",
    }
}

fn family(family: Family) -> &'static str {
    match family {
        Family::Ipv4Unicast => "IPv4",
        Family::Ipv6Unicast => "IPv6",
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// With a decimal where it says something.
fn short(millis: f64) -> String {
    if millis.abs() < 1000.0 {
        format!("{millis:.1}")
    } else {
        format!("{millis:.0}")
    }
}

/// All that is known, every round included, times in seconds.
pub fn json(cells: &[Cell], seed: u64, versions: &[(Kind, String)]) -> Value {
    let versions = versions
        .iter()
        .map(|(kind, version)| (kind.to_string(), json!(version)));
    json!({
        "seed": seed,
        "versions": versions.collect::<serde_json::Map<_, _>>(),
        "results": cells.iter().map(of_cell).collect::<Vec<_>>(),
    })
}

fn of_cell(cell: &Cell) -> Value {
    json!({
        "cut": death(cell.death),
        "family": family(cell.family),
        "routes": cell.routes,
        "router": cell.kind.to_string(),
        "rounds": cell.outcomes.iter().map(of_outcome).collect::<Vec<_>>(),
    })
}

fn of_outcome(outcome: &Outcome) -> Value {
    match outcome {
        Outcome::Right(figures) => json!({
            "found_seconds": figures.found.as_secs_f64(),
            "switched_seconds": figures.switched.as_secs_f64(),
            "bfd_due_seconds": figures.due.map(|due| due.as_secs_f64()),
            "seen_seconds": figures.seen.as_secs_f64(),
            "lost": figures.lost,
            "last_lost_seconds": figures.last_lost.as_secs_f64(),
            "lost_back": figures.lost_back,
        }),
        Outcome::Wrong(why) => json!({ "wrong": why }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(switched: u64) -> Outcome {
        Outcome::Right(Figures {
            found: Duration::from_millis(250),
            switched: Duration::from_millis(switched),
            due: Some(Duration::from_millis(249)),
            seen: Duration::from_millis(switched),
            lost: 123_456,
            last_lost: Duration::from_millis(switched),
            lost_back: 0,
        })
    }

    fn cell(kind: Kind, outcomes: Vec<Outcome>) -> Cell {
        Cell {
            death: Death::Silent,
            family: Family::Ipv6Unicast,
            routes: 500_000,
            kind,
            outcomes,
        }
    }

    #[test]
    fn one_round_that_is_not_right_leaves_no_figure() {
        let wrong = Outcome::Wrong("1 of 2 routes lead nowhere".to_owned());
        let text = table(&[cell(Kind::Bird, vec![round(777), wrong])]);
        assert!(text.contains("1 of 2 routes"), "{text}");
        assert!(!text.contains("777"), "{text}");
    }

    #[test]
    fn figures_are_medians_and_no_line_is_longer_than_100_columns() {
        let rounds = vec![round(100_001), round(250), round(251)];
        let long = Outcome::Wrong("no ".repeat(100));
        let text = table(&[cell(Kind::Skybridge, rounds), cell(Kind::Frr, vec![long])]);
        assert!(text.contains("251.0"), "{text}");
        for line in text.lines().chain(LEGEND.lines()) {
            assert!(line.chars().count() <= 100, "{line}");
        }
    }
}
