//! Where output goes, and in which form.

use std::env;
use std::io::{self, IsTerminal, Write};
use std::time::SystemTime;

use jiff::tz::TimeZone;
use serde::Serialize;

use crate::Failure;
use crate::show::{Colour, Screen};

/// The form of an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Printed {
    /// For programs.
    Json,
    /// For people.
    Text,
}

/// The standard output.
pub(crate) struct Output {
    out: io::Stdout,
    printed: Printed,
    colour: Colour,
}

impl Output {
    pub(crate) fn stdout(json: bool) -> Self {
        let out = io::stdout();
        let colour = if out.is_terminal() && wants_colour() {
            Colour::On
        } else {
            Colour::Off
        };
        let printed = if json { Printed::Json } else { Printed::Text };
        Self {
            out,
            printed,
            colour,
        }
    }

    pub(crate) fn printed(&self) -> Printed {
        self.printed
    }

    /// What rendering needs to know of the world.
    pub(crate) fn screen(&self) -> Screen {
        Screen {
            now: SystemTime::now(),
            zone: TimeZone::system(),
            colour: self.colour,
        }
    }

    pub(crate) fn text(&mut self, text: &str) -> Result<(), Failure> {
        self.out.write_all(text.as_bytes())?;
        Ok(self.out.flush()?)
    }

    /// One object over several lines.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(value)?;
        self.text(&format!("{text}\n"))
    }

    /// One object in one line, as part of a stream.
    pub(crate) fn json_line(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string(value)?;
        self.text(&format!("{text}\n"))
    }
}

/// <https://no-color.org>: any value but an empty one.
fn wants_colour() -> bool {
    let no_color = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    !no_color && env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Says why a command failed. Nothing can be done if even that fails.
pub(crate) fn complain(failure: &Failure) {
    drop(writeln!(io::stderr(), "skybridge: {failure:#}"));
}
