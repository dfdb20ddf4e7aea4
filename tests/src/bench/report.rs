//! What is printed: medians of right runs, and for all else the reason.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use super::daemon::Kind;
use super::measure::{Figures, Outcome, Scenario};

/// All runs of one scenario with one daemon.
#[derive(Clone, PartialEq, Debug)]
pub struct Cell {
    /// What was measured.
    pub scenario: Scenario,
    /// With whom.
    pub kind: Kind,
    /// Prefixes that each sender announced.
    pub prefixes: usize,
    /// In the order of the runs.
    pub outcomes: Vec<Outcome>,
}

impl Cell {
    /// Medians of the runs, each figure by itself. `None` unless every run ended right.
    pub fn medians(&self) -> Option<Figures> {
        let figures: Option<Vec<Figures>> = self.outcomes.iter().map(right).collect();
        let figures = figures.filter(|figures| !figures.is_empty())?;
        Some(Figures {
            time: median(figures.iter().map(|run| run.time).collect()),
            cpu: median(figures.iter().map(|run| run.cpu).collect()),
            peak: median(figures.iter().map(|run| run.peak).collect()),
        })
    }

    /// Why there is no number: the first run that did not end right.
    pub fn failure(&self) -> Option<(&'static str, &str)> {
        self.outcomes.iter().find_map(|outcome| match outcome {
            Outcome::Right(_) => None,
            Outcome::Timeout(why) => Some(("timeout", why.as_str())),
            Outcome::Wrong(why) => Some(("wrong", why.as_str())),
        })
    }
}

fn right(outcome: &Outcome) -> Option<Figures> {
    match outcome {
        Outcome::Right(figures) => Some(*figures),
        Outcome::Timeout(_) | Outcome::Wrong(_) => None,
    }
}

/// The middle one, the lower of two.
fn median<T: Ord + Copy>(mut values: Vec<T>) -> T {
    values.sort_unstable();
    values[(values.len() - 1) / 2]
}

/// The time of a cell as a multiple of the fastest other daemon's in the same scenario.
pub fn ratio(cell: &Cell, cells: &[Cell]) -> Option<f64> {
    let others = cells
        .iter()
        .filter(|other| other.scenario == cell.scenario && other.kind != cell.kind);
    let fastest = others
        .filter_map(Cell::medians)
        .map(|other| other.time)
        .min()?;
    let own = cell.medians()?.time;
    (!fastest.is_zero()).then(|| own.as_secs_f64() / fastest.as_secs_f64())
}

/// A table within 100 columns.
pub fn table(cells: &[Cell]) -> String {
    let mut text = format!(
        "{:<11} {:>9}  {:<10} {:>9} {:>9} {:>10} {:>13} {:>5}\n",
        "scenario", "prefixes", "daemon", "seconds", "CPU s", "peak MiB", "fastest other", "runs"
    );
    let mut last = None;
    for cell in cells {
        if last.is_some_and(|last| last != cell.scenario) {
            text.push('\n');
        }
        last = Some(cell.scenario);
        let name = (cell.scenario, cell.prefixes, cell.kind);
        let _ = write!(text, "{:<11} {:>9}  {:<10} ", name.0, name.1, name.2);
        let _ = match (cell.medians(), cell.failure()) {
            (Some(figures), _) => writeln!(
                text,
                "{:>9} {:>9.2} {:>10} {:>13} {:>5}",
                seconds(figures.time),
                figures.cpu.as_secs_f64(),
                figures.peak.map_or("-".to_owned(), mebioctets),
                ratio(cell, cells).map_or("-".to_owned(), |ratio| format!("{ratio:.2} x")),
                cell.outcomes.len(),
            ),
            (None, Some((word, _))) => writeln!(text, "{word:>9}"),
            (None, None) => writeln!(text, "{:>9}", "-"),
        };
    }
    for cell in cells {
        if let Some((word, why)) = cell.failure() {
            let _ = write!(text, "\n{word}: {}, {}:", cell.scenario, cell.kind);
            for line in why.lines() {
                let line: String = line.trim().chars().take(96).collect();
                let _ = write!(text, "\n    {line}");
            }
        }
    }
    text
}

fn mebioctets(octets: u64) -> String {
    format!("{:.1}", octets as f64 / f64::from(1 << 20))
}

/// Three digits that mean something.
fn seconds(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    let decimals = if seconds < 1.0 { 3 } else { 2 };
    format!("{seconds:.decimals$}")
}

/// All that is known, every run included, times in seconds and memory in octets.
pub fn json(cells: &[Cell], seed: u64, versions: &[(Kind, String)]) -> Value {
    let versions = versions
        .iter()
        .map(|(kind, version)| (kind.to_string(), json!(version)));
    json!({
        "seed": seed,
        "versions": versions.collect::<serde_json::Map<_, _>>(),
        "results": cells.iter().map(|cell| of_cell(cell, cells)).collect::<Vec<_>>(),
    })
}

fn of_cell(cell: &Cell, cells: &[Cell]) -> Value {
    json!({
        "scenario": cell.scenario.to_string(),
        "daemon": cell.kind.to_string(),
        "prefixes": cell.prefixes,
        "median": cell.medians().map(of_figures),
        "ratio_to_fastest_other": ratio(cell, cells),
        "runs": cell.outcomes.iter().map(of_outcome).collect::<Vec<_>>(),
    })
}

fn of_outcome(outcome: &Outcome) -> Value {
    match outcome {
        Outcome::Right(figures) => of_figures(*figures),
        Outcome::Timeout(why) => json!({ "timeout": why }),
        Outcome::Wrong(why) => json!({ "wrong": why }),
    }
}

fn of_figures(figures: Figures) -> Value {
    json!({
        "seconds": figures.time.as_secs_f64(),
        "cpu_seconds": figures.cpu.as_secs_f64(),
        "peak_octets": figures.peak,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(millis: u64) -> Outcome {
        Outcome::Right(Figures {
            time: Duration::from_millis(millis),
            cpu: Duration::from_millis(millis),
            peak: Some(1 << 20),
        })
    }

    fn cell(kind: Kind, outcomes: Vec<Outcome>) -> Cell {
        Cell {
            scenario: Scenario::FanIn,
            kind,
            prefixes: 1_000,
            outcomes,
        }
    }

    #[test]
    fn one_run_that_is_not_right_leaves_no_number() {
        let wrong = Outcome::Wrong("1 of 2 right".to_owned());
        let spoiled = cell(Kind::Bird, vec![run(3), wrong, run(4)]);
        let cells = [spoiled.clone(), cell(Kind::Frr, vec![run(5)])];
        assert_eq!(spoiled.medians(), None);
        let text = table(&cells);
        assert!(
            text.contains("wrong: fan-in, bird:\n    1 of 2 right"),
            "{text}"
        );
        assert_eq!(ratio(&cells[1], &cells), None);
    }

    #[test]
    fn the_ratio_is_to_the_fastest_of_the_others() {
        let cells = [
            cell(Kind::Skybridge, vec![run(9), run(10), run(500)]),
            cell(Kind::Bird, vec![run(20)]),
            cell(Kind::Frr, vec![run(40)]),
        ];
        let ratios = cells.each_ref().map(|cell| ratio(cell, &cells));
        assert_eq!(ratios, [Some(0.5), Some(2.0), Some(4.0)]);
    }

    #[test]
    fn no_line_is_longer_than_100_columns() {
        let long = Outcome::Timeout("no ".repeat(100));
        let cells = [
            cell(Kind::Skybridge, vec![run(123_456)]),
            cell(Kind::Bird, vec![long]),
        ];
        let text = table(&cells);
        assert!(
            text.lines().all(|line| line.chars().count() <= 100),
            "{text}"
        );
    }
}
