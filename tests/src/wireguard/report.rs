//! What is printed: medians, and how many times as good as the others ours is.

use std::fmt::Write as _;

use super::implementation::Kind;
use super::measure::Figures;

/// A row of the table: what, its unit's divisor, and where the figure is.
type Row = (&'static str, f64, fn(&Figures) -> f64);

const ROWS: [Row; 5] = [
    ("TCP, 1 flow, Gbit/s", 1e9, |run| run.one_flow),
    ("TCP, 4 flows, Gbit/s", 1e9, |run| run.four_flows),
    ("TCP retransmits", 1.0, |run| run.retransmits),
    ("UDP 172 octets, thousand/s", 1e3, |run| run.small),
    ("ping p99 under load, ms", 1.0, |run| run.ping_p99),
];

/// Medians of the runs, with our ratio to each of the others in brackets.
pub fn table(kinds: &[Kind], runs: &[(Kind, Figures)]) -> String {
    let mut text = format!("{:<28}", "");
    for kind in kinds {
        let _ = write!(text, "{kind:>22}");
    }
    for (name, unit, figure) in ROWS {
        let _ = write!(text, "\n{name:<28}");
        let of = |kind| {
            median(
                runs.iter()
                    .filter(|run| run.0 == kind)
                    .map(|run| figure(&run.1)),
            )
        };
        for kind in kinds {
            let value = of(*kind);
            let ratio = match *kind {
                Kind::Skybridge => String::new(),
                Kind::BoringtunCli | Kind::WireguardGo => ratio(of(Kind::Skybridge), value),
            };
            let _ = write!(text, "{:>13.2} {ratio:>8}", value / unit);
        }
    }
    text.push_str("\n\nIn brackets: ours divided by theirs.");
    text
}

fn ratio(ours: f64, theirs: f64) -> String {
    if ours.is_finite() && theirs > 0.0 {
        format!("({:.2})", ours / theirs)
    } else {
        String::new()
    }
}

/// The middle one, the lower of two; not a number when there is none.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len().saturating_sub(1) / 2;
    values.get(middle).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(kind: Kind, one_flow: f64) -> (Kind, Figures) {
        let figures = Figures {
            one_flow,
            four_flows: 1.0,
            retransmits: 0.0,
            small: 1.0,
            ping_p99: 1.0,
        };
        (kind, figures)
    }

    #[test]
    fn the_ratio_is_of_medians() {
        let kinds = [Kind::Skybridge, Kind::WireguardGo];
        let runs = [
            run(Kind::Skybridge, 9e9),
            run(Kind::Skybridge, 6e9),
            run(Kind::Skybridge, 1e9),
            run(Kind::WireguardGo, 2e9),
        ];
        let table = table(&kinds, &runs);
        let line = table.lines().nth(1).expect("a row");
        assert!(line.contains("6.00") && line.ends_with("(3.00)"), "{line}");
    }
}
