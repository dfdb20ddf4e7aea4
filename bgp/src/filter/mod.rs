//! Import and export policy.

/// A compiled policy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Filter {
    rules: Vec<()>,
}
