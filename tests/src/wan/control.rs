//! Changing a [`Wan`] by lines of text: `delay 20ms`, `loss 2% left-to-right`, `cut`, `stats`.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::{Counters, Direction, Wan};

/// One line, understood.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Command {
    /// `delay 20ms`.
    Delay(Duration),
    /// `jitter 500us`.
    Jitter(Duration),
    /// `loss 2%`; 0 to 1 here.
    Loss(f64),
    /// `rate 10mbit`, or `rate off`.
    Rate(Option<u64>),
    /// `cut`.
    Cut,
    /// `restore`.
    Restore,
    /// `stats`.
    Stats,
}

impl Command {
    /// Reads a line: a word, its value, and the direction if it is not for both.
    pub fn parse(line: &str) -> Result<(Self, Direction)> {
        let mut words: Vec<&str> = line.split_whitespace().collect();
        let direction = match words.last() {
            Some(&"left-to-right") => Direction::LeftToRight,
            Some(&"right-to-left") => Direction::RightToLeft,
            Some(_) | None => Direction::Both,
        };
        if direction != Direction::Both {
            words.pop();
        }
        let command = match words[..] {
            ["delay", value] => Self::Delay(parse_duration(value)?),
            ["jitter", value] => Self::Jitter(parse_duration(value)?),
            ["loss", value] => Self::Loss(parse_percent(value)?),
            ["rate", "off"] => Self::Rate(None),
            ["rate", value] => Self::Rate(Some(parse_rate(value)?)),
            ["cut"] => Self::Cut,
            ["restore"] => Self::Restore,
            ["stats"] => Self::Stats,
            _ => bail!("`{line}` is none of delay, jitter, loss, rate, cut, restore, stats"),
        };
        Ok((command, direction))
    }
}

/// Obeys a line and says what came of it, in one line without its end.
pub fn answer(wan: &Wan, line: &str) -> String {
    let (command, direction) = match Command::parse(line) {
        Ok(parsed) => parsed,
        Err(error) => return format!("error: {error:#}"),
    };
    match command {
        Command::Delay(delay) => wan.change(direction, |shape| shape.delay = delay),
        Command::Jitter(jitter) => wan.change(direction, |shape| shape.jitter = jitter),
        Command::Loss(loss) => wan.change(direction, |shape| shape.loss = loss),
        Command::Rate(rate) => wan.change(direction, |shape| shape.bits_per_second = rate),
        Command::Cut => wan.cut(direction),
        Command::Restore => wan.restore(direction),
        Command::Stats => {
            let (right, left) = wan.counters();
            let text = |Counters { forwarded, dropped }| {
                format!("forwarded {forwarded} dropped {dropped}")
            };
            return format!("left-to-right {} right-to-left {}", text(right), text(left));
        }
    }
    "ok".to_owned()
}

/// A number before one of the suffixes, times the suffix's factor.
fn scaled(text: &str, units: &[(&str, f64)]) -> Result<f64> {
    for (suffix, factor) in units {
        if let Some(Ok(number)) = text.strip_suffix(suffix).map(str::parse::<f64>) {
            ensure!(number.is_finite() && number >= 0.0, "`{text}` is no amount");
            return Ok(number * factor);
        }
    }
    let known: Vec<_> = units.iter().map(|(suffix, _)| *suffix).collect();
    bail!("`{text}` is no number with one of {}", known.join(", "))
}

fn parse_duration(text: &str) -> Result<Duration> {
    let seconds = scaled(text, &[("us", 1e-6), ("ms", 1e-3), ("s", 1.0)])?;
    ensure!(seconds <= 60.0, "`{text}` is more than 60s");
    Duration::try_from_secs_f64(seconds).context("no duration")
}

fn parse_percent(text: &str) -> Result<f64> {
    let part = scaled(text, &[("%", 0.01)])?;
    ensure!(part <= 1.0, "`{text}` is more than 100%");
    Ok(part)
}

fn parse_rate(text: &str) -> Result<u64> {
    let rate = scaled(text, &[("kbit", 1e3), ("mbit", 1e6), ("gbit", 1e9)])?;
    ensure!(rate >= 1.0, "`{text}` carries nothing: use cut");
    Ok(rate as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_understood() {
        let both = |command| (command, Direction::Both);
        let ms = Duration::from_millis;
        for (line, expected) in [
            ("delay 20ms", both(Command::Delay(ms(20)))),
            (
                " jitter  1.5ms\n",
                both(Command::Jitter(Duration::from_micros(1500))),
            ),
            (
                "delay 1s right-to-left",
                (Command::Delay(ms(1000)), Direction::RightToLeft),
            ),
            ("loss 2%", both(Command::Loss(0.02))),
            (
                "rate 10mbit left-to-right",
                (Command::Rate(Some(10_000_000)), Direction::LeftToRight),
            ),
            ("rate off", both(Command::Rate(None))),
            ("cut", both(Command::Cut)),
            ("restore", both(Command::Restore)),
            ("stats", both(Command::Stats)),
        ] {
            assert_eq!(Command::parse(line).unwrap(), expected, "{line}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for line in [
            "",
            "delay",
            "delay 20",
            "delay -1ms",
            "delay 61s",
            "delay nanms",
            "loss 101%",
            "rate 0kbit",
            "rate infmbit",
            "cut 3",
            "left-to-right",
            "explode",
        ] {
            assert!(Command::parse(line).is_err(), "{line}");
        }
    }
}
