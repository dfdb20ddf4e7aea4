//! What no single crate can test: harness, simulation, namespaces, fuzzing, the demo.

pub mod bench;
pub mod interrupt;
pub mod lab;
pub mod sim;
pub mod tunnels;
pub mod wan;
pub mod wireguard;
