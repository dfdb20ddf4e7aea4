//! BFD: two hosts and the way between them, in simulated time.

mod authentication;
mod hostile;
mod pair;
mod session;
mod wire;
