//! The session with one peer.

mod interface;

pub use interface::{
    Cease, Conn, DownReason, Input, MessageCounts, Messages, Mode, Negotiated, Output,
    SessionConfig, SessionStatus, State, UpdateErrors,
};
