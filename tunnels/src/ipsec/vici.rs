//! VICI, the control protocol of strongSwan: the codec ([`message`], [`packet`]) is pure, [`client`] is the
//! Unix socket.
//!
//! Written for this, because what there is holds secrets in memory that is not wiped, and takes what the
//! other end says about lengths and depths for granted. The protocol is described in strongSwan's
//! `src/libcharon/plugins/vici/README.md`.

pub mod client;
pub mod message;
pub mod packet;

pub use client::Client;
pub use message::{Message, Value};
