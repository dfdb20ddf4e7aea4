//! How we part from a peer: what it is told, and whether routes survive.

use super::{Cease, PeerRestart};
use crate::types::Family;
use crate::wire::Notification;

/// The most octets of a shutdown communication (RFC 9003 §2).
const LONGEST_TEXT: usize = 255;

/// Why and how a session is stopped.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Farewell {
    cease: Cease,
    manner: Manner,
    /// At most [`LONGEST_TEXT`] octets.
    text: Option<Box<str>>,
    limit: Option<(Family, u32)>,
}

/// What becomes of routes where graceful restart was agreed on. Where it was not, they go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Manner {
    /// Both ends drop them.
    Hard,
    /// Both ends keep them for a while, if both know that a NOTIFICATION need not be the end.
    Graceful,
    /// The peer keeps ours: we are back soon, and our kernel forwards until then.
    Restart,
}

impl From<Cease> for Farewell {
    /// What is meant to last, or happens because forwarding is broken, drops routes (RFC 8538
    /// §3.1); what is over at once does not.
    fn from(cease: Cease) -> Self {
        let manner = match cease {
            Cease::MaximumPrefixes
            | Cease::AdministrativeShutdown
            | Cease::PeerDeconfigured
            | Cease::BfdDown => Manner::Hard,
            Cease::AdministrativeReset
            | Cease::ConnectionRejected
            | Cease::OtherConfigurationChange
            | Cease::ConnectionCollision
            | Cease::OutOfResources => Manner::Graceful,
        };
        Self {
            cease,
            manner,
            text: None,
            limit: None,
        }
    }
}

impl Farewell {
    /// The peer has sent more prefixes of this family than `limit` (RFC 4486 §4).
    #[must_use]
    pub fn maximum_prefixes(family: Family, limit: u32) -> Self {
        Self {
            limit: Some((family, limit)),
            ..Self::from(Cease::MaximumPrefixes)
        }
    }

    /// This speaker stops and will be back. The peer keeps its routes if graceful restart was
    /// agreed on: it is sent an Administrative Reset where that is no reason to drop them (RFC 8538
    /// §4), and otherwise nothing at all, because any NOTIFICATION would be one (RFC 4724 §4).
    #[must_use]
    pub fn restart() -> Self {
        Self {
            manner: Manner::Restart,
            ..Self::from(Cease::AdministrativeReset)
        }
    }

    /// The same, dropping routes whatever was agreed on (RFC 8538 §3.1).
    #[must_use]
    pub fn hard(self) -> Self {
        Self {
            manner: Manner::Hard,
            ..self
        }
    }

    /// With words for the operator at the other end (RFC 9003), sent with an Administrative
    /// Shutdown or Reset. What is beyond 255 octets is left out, from the last space on.
    #[must_use]
    pub fn saying(self, text: &str) -> Self {
        let text = cut(text.trim());
        Self {
            text: (!text.is_empty()).then(|| text.into()),
            ..self
        }
    }

    /// The subcode of the Cease.
    #[must_use]
    pub fn cease(&self) -> Cease {
        self.cease
    }

    /// What a peer is sent that said this of graceful restart; `None`: its connection is closed
    /// without a word.
    pub(super) fn notification(&self, peer: Option<&PeerRestart>) -> Option<Notification> {
        let told = Notification::new(6, self.cease as u8, &self.data());
        match (self.manner, peer) {
            (Manner::Restart, Some(peer)) if !peer.notification => None,
            (Manner::Hard, Some(peer)) if peer.notification => Some(told.into_hard_reset()),
            _ => Some(told),
        }
    }

    /// Whether we keep the routes of that peer.
    pub(super) fn keeps_routes(&self, peer: &PeerRestart) -> bool {
        self.manner == Manner::Graceful && peer.notification
    }

    fn data(&self) -> Vec<u8> {
        if let Some((family, limit)) = self.limit {
            return Notification::maximum_prefixes(family, limit).data;
        }
        let takes_text = matches!(
            self.cease,
            Cease::AdministrativeShutdown | Cease::AdministrativeReset
        );
        let Some(text) = self.text.as_deref().filter(|_| takes_text) else {
            return Vec::new();
        };
        let mut data = vec![u8::try_from(text.len()).unwrap_or(u8::MAX)];
        data.extend(text.as_bytes());
        data
    }
}

/// At most [`LONGEST_TEXT`] octets of `text`, whole words if it has any that fit.
fn cut(text: &str) -> &str {
    if text.len() <= LONGEST_TEXT {
        return text;
    }
    let head = text.get(..text.floor_char_boundary(LONGEST_TEXT));
    let head = head.unwrap_or_default();
    match head.rfind(char::is_whitespace) {
        Some(end) => head.get(..end).unwrap_or(head).trim_end(),
        None => head,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_end_with_a_whole_word() {
        let words = "maintenance ".repeat(40);
        assert_eq!(cut(&words).len(), 21 * 12 - 1);
        assert!(cut(&words).ends_with("maintenance"));
        let one = "ü".repeat(200);
        assert_eq!(cut(&one).chars().count(), 127);
        assert_eq!(cut("back at four"), "back at four");
    }
}
