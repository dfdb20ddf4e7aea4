//! Reasons in the words that operators know.

use std::fmt;

use super::{Cease, DownReason};
use crate::wire::Notification;

impl fmt::Display for DownReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped(Cease::BfdDown) => f.write_str("its link or its BFD went down"),
            Self::Stopped(cease) => write!(f, "stopped: {cease}"),
            Self::Sent(notification) => write!(f, "sent {notification}"),
            Self::Received(notification) => match notification.prefix_limit() {
                Some(limit) => write!(f, "peer's limit of {limit} passed: {notification}"),
                None => write!(f, "received {notification}"),
            },
            Self::ConnectionLost => f.write_str("connection lost"),
            Self::DialFailed => f.write_str("no connection to the peer"),
        }
    }
}

impl fmt::Display for Cease {
    /// As the peer would show it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const CEASE: u8 = 6;
        let notification = Notification {
            code: CEASE,
            subcode: *self as u8,
            data: Vec::new(),
        };
        notification.fmt(f)
    }
}
