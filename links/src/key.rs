//! Secrets that both ends of a link have.

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

/// A shared secret of so many octets, filled up with zeros. Wiped when dropped, never printed.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Key<const SHORTEST: usize, const LONGEST: usize>([u8; LONGEST]);

/// A key that is too short or too long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeyError {
    /// In octets.
    pub shortest: usize,
    /// In octets.
    pub longest: usize,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { shortest, longest } = self;
        write!(f, "a key has {shortest} to {longest} octets")
    }
}

impl std::error::Error for KeyError {}

impl<const SHORTEST: usize, const LONGEST: usize> Key<SHORTEST, LONGEST> {
    /// From the octets as they are.
    ///
    /// # Errors
    ///
    /// See [`KeyError`].
    pub fn new(octets: &[u8]) -> Result<Self, KeyError> {
        let error = KeyError {
            shortest: SHORTEST,
            longest: LONGEST,
        };
        if octets.len() < SHORTEST {
            return Err(error);
        }
        let mut key = [0; LONGEST];
        key.get_mut(..octets.len())
            .ok_or(error)?
            .copy_from_slice(octets);
        Ok(Self(key))
    }

    /// As long as the longest.
    pub(crate) fn octets(&self) -> &[u8; LONGEST] {
        &self.0
    }
}

impl<const SHORTEST: usize, const LONGEST: usize> fmt::Debug for Key<SHORTEST, LONGEST> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}
