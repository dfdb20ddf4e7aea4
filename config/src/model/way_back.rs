//! How the far side is asked to send by the link that we send by.

use std::fmt;

/// `way-back = "auto" | "off" | "med" | "prepend" | "communities"` of a link.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum WayBack {
    /// By what the profile says is honoured; by MED without a profile.
    #[default]
    Auto,
    /// Not at all.
    Off,
    /// By MED.
    Med,
    /// By our AS in front, several times.
    Prepend,
    /// By the communities that the profile knows.
    Communities,
}

/// What a far side honours when it chooses among our links.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Knob {
    /// The lower MED.
    Med,
    /// The shorter AS path.
    Prepend,
    /// One of these communities, as their two halves: of the primary link, the secondary, and any other.
    Communities([(u16, u16); 3]),
}

impl Knob {
    /// The word of the file for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Med => "med",
            Self::Prepend => "prepend",
            Self::Communities(_) => "communities",
        }
    }
}

impl fmt::Display for Knob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())?;
        if let Self::Communities(communities) = self {
            for (high, low) in communities {
                write!(f, " {high}:{low}")?;
            }
        }
        Ok(())
    }
}
