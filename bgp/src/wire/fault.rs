//! What can be wrong with an UPDATE, and what is done about it (RFC 7606 §2).

use std::fmt;

/// What RFC 7606 §2 and RFC 4271 §6.3 do about a fault; of several in one UPDATE the strongest counts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Severity {
    /// A prefix is ignored, the rest is used (RFC 4271 §6.3).
    PrefixDiscard,
    /// The attribute is dropped, the rest is used.
    AttributeDiscard,
    /// The prefixes of the UPDATE are taken as withdrawn.
    TreatAsWithdraw,
    /// The session ends with a NOTIFICATION.
    SessionReset,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PrefixDiscard => "prefix ignored",
            Self::AttributeDiscard => "attribute discarded",
            Self::TreatAsWithdraw => "treated as withdraw",
            Self::SessionReset => "session reset",
        })
    }
}

/// One fault of an UPDATE.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Fault {
    /// What is done about it.
    pub severity: Severity,
    /// Type code of the attribute, 0 when it is in none.
    pub attribute: u8,
    /// What is wrong, for the log.
    pub text: &'static str,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.attribute == 0 {
            write!(f, "{}: {}", self.text, self.severity)
        } else {
            write!(
                f,
                "attribute {}: {}: {}",
                self.attribute, self.text, self.severity
            )
        }
    }
}
