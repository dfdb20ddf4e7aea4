//! The intent of Skybridge: a TOML file becomes a [`Config`], or all that is wrong with it.
//!
//! A `Config` that exists is legal: it is parsed, never validated later. Pure: reading files,
//! secrets and the clock is the caller's business.
//!
//! The way of a file: `toml` makes a tree whose every node knows its place; `read` walks it,
//! takes what it knows and notes what is wrong with each key and value by itself; `check` looks
//! at the items together; [`report`] shows the findings, all of them, in the order of the file.

pub mod diff;
pub mod model;
pub mod profile;
pub mod report;

mod check;
mod esp;
mod mask;
mod nearest;
mod read;
mod route;

pub use diff::{Change, FieldChange, LinkPart, PeerPart, RouterField, diff};
pub use model::Config;
pub use read::value::parse_duration;
pub use report::{Finding, Report, Severity};
pub use route::{Route, Segment};

/// A file that is legal.
#[derive(Clone, PartialEq, Debug)]
pub struct Loaded {
    /// What it asks for.
    pub config: Config,
    /// What is odd about it; warnings only, often none.
    pub warnings: Report,
}

/// Parses the text of a configuration file.
///
/// - `file_name`: as findings shall call it
///
/// # Errors
///
/// Every finding in the file, at least one of them an error. A secret that stands in the file is
/// masked in it.
pub fn load(text: &str, file_name: &str) -> Result<Loaded, Report> {
    let mut sink = report::Sink::new(text);
    let draft = read::read(text, &mut sink);
    if !sink.is_broken() {
        check::check(&draft, &mut sink);
    }
    let report = sink.into_report(file_name);
    match draft.into_config() {
        Some(config) if report.errors() == 0 => Ok(Loaded {
            config,
            warnings: report,
        }),
        _ => Err(report),
    }
}
