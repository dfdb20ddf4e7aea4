//! NOTIFICATION (RFC 4271 §4.5): why a session ends.

/// The content of a NOTIFICATION message.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Notification {
    /// Error code.
    pub code: u8,
    /// Error subcode.
    pub subcode: u8,
    /// Diagnostic data, meaning depends on code and subcode.
    pub data: Vec<u8>,
}
