//! Messages as bytes.

mod notification;

pub use notification::Notification;
