//! The command line of Skybridge.

fn main() {}
