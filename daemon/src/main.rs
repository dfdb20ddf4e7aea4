//! `skybridged`, the daemon of Skybridge.
mod fib;
fn main() {}
