//! What is wrong with a file, shown as a compiler would, or as plain values.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use serde::Serialize;
use toml::de::DeTable;

use crate::mask::{mask, mask_sentence};

/// How bad a finding is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// It can, but probably does not say what was meant.
    Warning,
}

/// One thing that is wrong.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Finding {
    /// Whether the file can be used in spite of it.
    pub severity: Severity,
    /// Name of the rule that is broken: `key.unknown`, `cidr.overlap`, …
    pub rule: &'static str,
    /// The file, as the caller called it.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// The line, with secrets masked.
    pub text: String,
    /// What is wrong.
    pub message: String,
    /// What would be right; empty when the message says it.
    pub fix: String,
    /// Where in `text`, in bytes.
    #[serde(skip)]
    span: Range<usize>,
}

/// All findings of a file, in its order. Shown with [`Report::render`].
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(transparent)]
pub struct Report {
    findings: Vec<Finding>,
}

/// How a report is drawn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Style {
    /// With ANSI colours.
    Coloured,
    /// Bare text.
    Plain,
}

impl Report {
    /// Every finding, in the order of the file.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// How many are errors.
    pub fn errors(&self) -> usize {
        self.count(Severity::Error)
    }

    /// How many are warnings.
    pub fn warnings(&self) -> usize {
        self.count(Severity::Warning)
    }

    /// Nothing was found.
    pub fn is_empty(&self) -> bool {
        self.findings.is_empty()
    }

    fn count(&self, severity: Severity) -> usize {
        self.findings
            .iter()
            .filter(|finding| finding.severity == severity)
            .count()
    }

    /// The findings as a compiler shows them, an empty line between two.
    pub fn render(&self, style: Style) -> String {
        let renderer = match style {
            Style::Coloured => Renderer::styled(),
            Style::Plain => Renderer::plain(),
        }
        .term_width(100);
        let mut shown = String::new();
        for finding in &self.findings {
            shown.push_str(&renderer.render(&[finding.group()]));
            shown.push_str("\n\n");
        }
        shown
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.render(Style::Plain).trim_end())
    }
}

impl Error for Report {}

impl Finding {
    fn group(&self) -> Group<'_> {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let snippet = Snippet::source(self.text.as_str())
            .path(self.file.as_str())
            .line_start(self.line)
            .annotation(AnnotationKind::Primary.span(self.span.clone()));
        let group = level
            .primary_title(self.message.as_str())
            .id(self.rule)
            .element(snippet);
        if self.fix.is_empty() {
            return group;
        }
        group.element(Level::HELP.message(self.fix.as_str()))
    }
}

impl fmt::Display for Finding {
    /// One line, for logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            file,
            line,
            column,
            rule,
            message,
            ..
        } = self;
        write!(f, "{file}:{line}:{column}: {message} [{rule}]")?;
        if !self.fix.is_empty() {
            write!(f, "; {}", self.fix)?;
        }
        Ok(())
    }
}

/// What a rule has to say, before it has a place.
#[derive(Debug)]
pub(crate) struct Wrong {
    pub(crate) rule: &'static str,
    pub(crate) message: String,
    pub(crate) fix: String,
}

impl Wrong {
    pub(crate) fn new(
        rule: &'static str,
        message: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self {
            rule,
            message: message.into(),
            fix: fix.into(),
        }
    }
}

/// Where findings gather while a file is read.
#[derive(Debug)]
pub(crate) struct Sink<'t> {
    text: &'t str,
    masked: String,
    raw: Vec<(Severity, Range<usize>, Wrong)>,
    /// The place of every key that was read, by its path: `link.wg-a.inside.local`.
    places: BTreeMap<String, Range<usize>>,
    /// Lines with a syntax error, from 0: what else is found there is a consequence.
    broken: Vec<usize>,
}

impl<'t> Sink<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        Self {
            text,
            masked: String::new(),
            raw: Vec::new(),
            places: BTreeMap::new(),
            broken: Vec::new(),
        }
    }

    /// To be called once the tree is there, before anything is shown.
    pub(crate) fn hide_secrets(&mut self, tree: &DeTable<'_>) {
        self.masked = mask(self.text, tree, !self.broken.is_empty());
    }

    /// One finding a line: what follows in the same line follows from it.
    pub(crate) fn syntax(&mut self, span: Range<usize>, message: &str) {
        let line = line_of(self.text, span.start);
        if !self.broken.contains(&line) {
            self.broken.push(line);
            self.error(span, Wrong::new("toml.syntax", message, ""));
        }
    }

    pub(crate) fn error(&mut self, span: Range<usize>, wrong: Wrong) {
        self.raw.push((Severity::Error, span, wrong));
    }

    pub(crate) fn warning(&mut self, span: Range<usize>, wrong: Wrong) {
        self.raw.push((Severity::Warning, span, wrong));
    }

    /// How many findings there are so far.
    pub(crate) fn count(&self) -> usize {
        self.raw.len()
    }

    pub(crate) fn mark(&mut self, path: String, span: Range<usize>) {
        self.places.insert(path, span);
    }

    /// Where `path` stands, or else the nearest thing around it.
    pub(crate) fn place(&self, path: &str) -> Range<usize> {
        let mut path = path;
        loop {
            if let Some(span) = self.places.get(path) {
                return span.clone();
            }
            match path.rfind(['.', '[']) {
                Some(end) => path = path.get(..end).unwrap_or_default(),
                None => return 0..0,
            }
        }
    }

    /// Something was read at exactly this path.
    pub(crate) fn knows(&self, path: &str) -> bool {
        self.places.contains_key(path)
    }

    /// There was a syntax error: items may have been lost, so they cannot be held against each other.
    pub(crate) fn is_broken(&self) -> bool {
        !self.broken.is_empty()
    }

    pub(crate) fn into_report(mut self, file: &str) -> Report {
        self.raw
            .sort_by_key(|(severity, span, wrong)| (span.start, *severity, wrong.rule));
        let findings = self
            .raw
            .iter()
            .filter(|(_, span, wrong)| self.is_original(span, wrong.rule))
            .map(|(severity, span, wrong)| self.finding(*severity, span, wrong, file))
            .collect();
        Report { findings }
    }

    /// After a syntax error the tree is a guess: what was lost is not missing, and what has no
    /// place was made up.
    fn is_original(&self, span: &Range<usize>, rule: &str) -> bool {
        let follows = rule == "key.missing"
            || span.end == 0
            || self.broken.contains(&line_of(self.text, span.start));
        rule == "toml.syntax" || !self.is_broken() || !follows
    }

    fn finding(
        &self,
        severity: Severity,
        span: &Range<usize>,
        wrong: &Wrong,
        file: &str,
    ) -> Finding {
        let start = floor(&self.masked, span.start);
        let before = self.masked.get(..start).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let rest = self.masked.get(line_start..).unwrap_or_default();
        let text = rest.lines().next().unwrap_or_default();
        let from = (start - line_start).min(text.len());
        let until = floor(text, span.end.saturating_sub(line_start)).max(from);
        Finding {
            severity,
            rule: wrong.rule,
            file: file.to_owned(),
            line: before.matches('\n').count() + 1,
            column: text.get(..from).unwrap_or_default().chars().count() + 1,
            text: text.to_owned(),
            message: mask_sentence(&wrong.message),
            fix: mask_sentence(&wrong.fix),
            span: from..until,
        }
    }
}

/// The nearest character boundary at or before `at`.
fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

fn line_of(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count()
}
