//! One rule.

use crate::{rib, session, update};

/// A rule with the case that shows it is kept.
pub(crate) struct Row {
    /// As in `4271 §6.1`.
    pub(crate) source: &'static str,
    /// Tells the rows of a section apart.
    pub(crate) name: &'static str,
    /// One sentence.
    pub(crate) rule: &'static str,
    pub(crate) case: Case,
}

/// What is driven.
pub(crate) enum Case {
    Session(session::Case),
    Update(update::Case),
    Rib(rib::Case),
}

/// Input and output of a case, for people.
pub(crate) struct Shown {
    pub(crate) input: String,
    pub(crate) output: String,
}

pub(crate) fn row(
    source: &'static str,
    name: &'static str,
    rule: &'static str,
    case: impl Into<Case>,
) -> Row {
    Row {
        source,
        name,
        rule,
        case: case.into(),
    }
}

impl Row {
    /// As in `4271-6.1-marker`.
    pub(crate) fn id(&self) -> String {
        let (rfc, section) = self.place();
        format!("{rfc}-{section}-{}", self.name)
    }

    /// Number of the RFC, and the section in it.
    pub(crate) fn place(&self) -> (u16, &'static str) {
        let (rfc, section) = self.source.split_once(" §").expect("RFC and section");
        (rfc.parse().expect("a number"), section)
    }

    pub(crate) fn show(&self) -> Shown {
        match &self.case {
            Case::Session(case) => case.show(),
            Case::Update(case) => case.show(),
            Case::Rib(case) => case.show(),
        }
    }

    /// `None` when the rule is kept, otherwise what is wrong.
    pub(crate) fn judge(&self) -> Option<String> {
        let found = match &self.case {
            Case::Session(case) => case.run(),
            Case::Update(case) => case.run(),
            Case::Rib(case) => case.run(),
        };
        let Shown { input, output } = self.show();
        let (id, rule) = (self.id(), self.rule);
        (found != output).then(|| {
            format!("{id}: {rule}\n  {input}\n  should be: {output}\n  is:        {found}")
        })
    }
}
