//! What no single crate can test: harness, simulation, namespaces, fuzzing, the demo.

pub mod wan;
pub mod lab;
