//! Probes: a link, its far end and what is measured of them, in simulated time.

mod authenticated;
mod detection;
mod far;
mod hostile;
mod last_resort;
mod method;
mod quality;
mod sim;
