//! `skybridge check FILE`: what is wrong with a file, without a daemon.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use anyhow::Context;
use config::Report;
use config::report::Style;
use serde::Serialize;

use crate::output::{Output, Printed};
use crate::show::Colour;
use crate::units::count;
use crate::{Failure, Outcome};

/// The answer for programs.
#[derive(Serialize)]
struct Checked<'a> {
    file: &'a str,
    errors: usize,
    warnings: usize,
    findings: &'a Report,
}

/// Exit code 1 for errors, and with `strict` for warnings too.
pub(crate) fn run(file: &Path, strict: bool, output: &mut Output) -> Result<Outcome, Failure> {
    let (name, text) = read(file)?;
    let report = match config::load(&text, &name) {
        Ok(loaded) => loaded.warnings,
        Err(report) => report,
    };
    match output.printed() {
        Printed::Json => output.json(&Checked {
            file: &name,
            errors: report.errors(),
            warnings: report.warnings(),
            findings: &report,
        })?,
        Printed::Text => {
            let style = match output.screen().colour {
                Colour::On => Style::Coloured,
                Colour::Off => Style::Plain,
            };
            output.text(&format!(
                "{}{}\n",
                report.render(style),
                summary(&name, &report)
            ))?;
        }
    }
    let clean = report.errors() == 0 && (!strict || report.warnings() == 0);
    Ok(if clean {
        Outcome::Good
    } else {
        Outcome::Negative
    })
}

/// What the file is called, and its text.
pub(crate) fn read(file: &Path) -> Result<(String, String), Failure> {
    let (name, bytes) = if file == Path::new("-") {
        let mut bytes = Vec::new();
        io::stdin()
            .read_to_end(&mut bytes)
            .context("cannot read the standard input")?;
        ("<stdin>".to_owned(), bytes)
    } else {
        let name = file.display().to_string();
        let bytes = fs::read(file).with_context(|| format!("cannot read {name}"))?;
        (name, bytes)
    };
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        anyhow::anyhow!("{name} is not text: byte {at} is not UTF-8")
    })?;
    Ok((name, text))
}

fn summary(name: &str, report: &Report) -> String {
    let count = |number: usize, what| count(number as u64, what);
    match (report.errors(), report.warnings()) {
        (0, 0) => format!("{name}: good"),
        (0, warnings) => format!("{name}: good, with {}", count(warnings, "warning")),
        (errors, 0) => format!("{name}: {}", count(errors, "error")),
        (errors, warnings) => {
            format!(
                "{name}: {}, {}",
                count(errors, "error"),
                count(warnings, "warning")
            )
        }
    }
}
