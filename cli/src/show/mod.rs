//! Answers as text, for eyes at three in the morning.

pub(crate) mod bfd;
pub(crate) mod drain;
pub(crate) mod drill;
pub(crate) mod events;
pub(crate) mod groups;
pub(crate) mod links;
pub(crate) mod peers;
pub(crate) mod reload;
pub(crate) mod reset;
pub(crate) mod routes;
pub(crate) mod status;
pub(crate) mod table;
pub(crate) mod tunnels;
pub(crate) mod words;

use std::time::SystemTime;

use jiff::tz::TimeZone;

/// Columns that a table may have.
pub(crate) const WIDTH: usize = 100;

/// Whether text has colours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Colour {
    Off,
    On,
}

/// What rendering needs to know of the world.
pub(crate) struct Screen {
    pub(crate) now: SystemTime,
    pub(crate) zone: TimeZone,
    pub(crate) colour: Colour,
}

/// How a piece of text is meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Tone {
    Bad,
    Good,
    Heading,
    Odd,
    Plain,
    Quiet,
}

impl Screen {
    pub(crate) fn paint(&self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Bad => "31",
            Tone::Good => "32",
            Tone::Heading => "1",
            Tone::Odd => "33",
            Tone::Quiet => "2",
            Tone::Plain => return text.to_owned(),
        };
        match self.colour {
            Colour::On => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
            Colour::Off => text.to_owned(),
        }
    }
}

/// What the daemon sends is shown, never obeyed: a peer's words may contain escape sequences.
pub(crate) fn clean(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// `text`, or `-` for none.
pub(crate) fn or_dash(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::{Duration, SystemTime};

    use jiff::tz::TimeZone;
    use prost_types::Timestamp;

    use super::{Colour, Screen};

    pub(crate) const NOW: i64 = 1_795_257_301;

    /// 2026-11-21T10:35:01Z, without colours.
    pub(crate) fn screen() -> Screen {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW.unsigned_abs());
        Screen {
            now,
            zone: TimeZone::UTC,
            colour: Colour::Off,
        }
    }

    pub(crate) fn ago(seconds: i64) -> Option<Timestamp> {
        Some(Timestamp {
            seconds: NOW - seconds,
            nanos: 0,
        })
    }

    pub(crate) fn millis(millis: i32) -> Option<prost_types::Duration> {
        Some(prost_types::Duration {
            seconds: 0,
            nanos: millis * 1_000_000,
        })
    }
}
