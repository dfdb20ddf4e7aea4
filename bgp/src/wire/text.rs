//! Text of strangers, made safe to show.

use std::fmt::{self, Write};

/// Shows octets as UTF-8. What is none, and whatever could move a cursor, fake a log line or hide
/// itself, is escaped or replaced (RFC 9003 §2: invalid sequences are not interpreted).
pub(super) struct Escaped<'a>(pub(super) &'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in String::from_utf8_lossy(self.0).chars() {
            if character.is_control() || matches!(character, '"' | '\\') || is_invisible(character)
            {
                write!(f, "{}", character.escape_default())?;
            } else {
                f.write_char(character)?;
            }
        }
        Ok(())
    }
}

/// Line separators, and marks that change the direction of what follows.
fn is_invisible(character: char) -> bool {
    matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}
