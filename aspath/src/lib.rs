//! Regular expressions over AS paths, as operators know them from other routers. Pure.
//!
//! A [`Regex`] is matched against the text of a path: its numbers with a space between, a set as
//! `{1,2}`. The syntax is that of POSIX, extended, over the few characters that this text can have,
//! and `_`, which is the beginning or the end of the path, a space, a comma, a brace or a
//! parenthesis.
//!
//! Paths come from strangers, so matching costs one look into a table for each character whatever the
//! expression is: it is turned into a deterministic automaton once. There are sixteen characters, so
//! the automaton is small; where it would not be, [`Regex::parse`] refuses. A general library would
//! need a lock for its cache or megabytes for its tables, and could not say in a router's words what is
//! wrong with an expression.
//!
//! | Written | Means |
//! |---|---|
//! | `_` | `(^\|[ ,{}()]\|$)` |
//! | `.` | any one character |
//! | `[0-9]`, `[^0-9]`, `[ ,]` | one of these characters, or none of them |
//! | `^`, `$` | the beginning, the end of the path |
//! | `x*`, `x+`, `x?`, `x{2}`, `x{2,}`, `x{2,4}` | how often |
//! | `x\|y`, `(x)` | either; a group |
//! | `\{` | the character itself |

mod automaton;
mod parse;
mod program;

use std::fmt;
use std::sync::Arc;

use automaton::{Automaton, State};

/// A compiled expression. Equal when the texts are.
#[derive(Clone)]
pub struct Regex {
    text: Arc<str>,
    automaton: Arc<Automaton>,
}

/// What is wrong with an expression.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("character {at}: {problem}")]
pub struct Wrong {
    /// Which character, from 1.
    pub at: usize,
    /// One sentence without a full stop.
    pub problem: String,
}

/// A character of a path that is not a digit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mark {
    /// Between two numbers of a sequence.
    Space,
    /// Between two numbers of a set.
    Comma,
    /// `{`, before a set.
    SetOpens,
    /// `}`, after it.
    SetCloses,
}

/// An expression on its way along a path.
#[derive(Clone, Copy, Debug)]
pub struct Walk<'a> {
    automaton: &'a Automaton,
    state: State,
}

impl Regex {
    /// Reads and compiles an expression.
    ///
    /// # Errors
    ///
    /// What is wrong with it, or that its automaton would be too large.
    pub fn parse(text: &str) -> Result<Self, Wrong> {
        let too_large = || Wrong {
            at: 1,
            problem: "this needs too large an automaton; split it into several".to_owned(),
        };
        let node = parse::parse(text)?;
        let program = program::compile(&node).ok_or_else(too_large)?;
        let automaton = Automaton::build(&program).ok_or_else(too_large)?;
        Ok(Self {
            text: text.into(),
            automaton: Arc::new(automaton),
        })
    }

    /// As it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Begins at the beginning of a path.
    #[must_use]
    pub fn walk(&self) -> Walk<'_> {
        Walk {
            automaton: &self.automaton,
            state: Automaton::INITIAL,
        }
    }
}

impl Walk<'_> {
    /// The path goes on with this number.
    pub fn number(&mut self, number: u32) {
        let mut power = 10u32.pow(number.checked_ilog10().unwrap_or(0));
        while power > 0 {
            self.step((number / power % 10) as u8);
            power /= 10;
        }
    }

    /// The path goes on with this character.
    pub fn mark(&mut self, mark: Mark) {
        self.step(match mark {
            Mark::Space => parse::SPACE,
            Mark::Comma => parse::COMMA,
            Mark::SetOpens => parse::OPEN,
            Mark::SetCloses => parse::CLOSE,
        });
    }

    fn step(&mut self, symbol: u8) {
        self.state = self.automaton.step(self.state, symbol);
    }

    /// Whether the path matches, whatever else it may go on with.
    #[must_use]
    pub fn is_decided(&self) -> bool {
        self.state == Automaton::MATCHED
    }

    /// Whether the path matches if it ends here.
    #[must_use]
    pub fn matches_here(&self) -> bool {
        self.automaton.matches_at_end(self.state)
    }
}

impl PartialEq for Regex {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Regex {}

impl PartialOrd for Regex {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Regex {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.text.cmp(&other.text)
    }
}

impl fmt::Debug for Regex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Regex({:?})", self.text)
    }
}

impl fmt::Display for Regex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
