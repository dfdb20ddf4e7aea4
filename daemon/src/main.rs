//! The Skybridge daemon.

fn main() {}
