//! Is a link good, and which one: pure.
