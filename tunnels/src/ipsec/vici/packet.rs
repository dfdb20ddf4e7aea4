//! The packets that messages travel in: a length, a type, for some types a name, and the message.

use super::message::{Malformed, Message};

/// Longer ones are refused unread; strongSwan's own limit is the same.
pub const LONGEST: usize = 512 * 1024;

const CMD_REQUEST: u8 = 0;
const CMD_RESPONSE: u8 = 1;
const CMD_UNKNOWN: u8 = 2;
const EVENT_REGISTER: u8 = 3;
const EVENT_CONFIRM: u8 = 5;
const EVENT_UNKNOWN: u8 = 6;
const EVENT: u8 = 7;

/// What strongSwan sends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Packet {
    /// The answer to a command.
    Response(Message),
    /// It does not know the command.
    UnknownCommand,
    /// The events asked for will come.
    EventConfirmed,
    /// It does not know the events.
    UnknownEvent,
    /// Something happened.
    Event(String, Message),
}

/// Why octets are not a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadPacket {
    /// A type that does not exist, or that only we send.
    #[error("packet type {0} is not one that strongSwan sends")]
    Type(u8),
    /// Its name is cut or not text.
    #[error("its name is broken")]
    Name,
    /// Its message.
    #[error("its message is broken: {0}")]
    Message(#[from] Malformed),
    /// No type.
    #[error("it is empty")]
    Empty,
}

/// A command, with its length in front.
#[must_use]
pub fn request(command: &str, message: &Message) -> Vec<u8> {
    framed(CMD_REQUEST, command, Some(message))
}

/// That we want to hear of these events, with its length in front.
#[must_use]
pub fn register(event: &str) -> Vec<u8> {
    framed(EVENT_REGISTER, event, None)
}

fn framed(kind: u8, name: &str, message: Option<&Message>) -> Vec<u8> {
    let name = name.as_bytes();
    let room = message.map_or(0, Message::room);
    let mut octets = Vec::with_capacity(4 + 2 + name.len() + room);
    octets.extend_from_slice(&[0; 4]);
    octets.push(kind);
    octets.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
    octets.extend_from_slice(&name[..name.len().min(usize::from(u8::MAX))]);
    if let Some(message) = message {
        message.encode(&mut octets);
    }
    let length = u32::try_from(octets.len() - 4).unwrap_or(u32::MAX);
    octets[..4].copy_from_slice(&length.to_be_bytes());
    octets
}

impl Packet {
    /// Reads what stands after the length.
    ///
    /// # Errors
    /// It is not a packet that strongSwan sends.
    pub fn decode(octets: &[u8]) -> Result<Self, BadPacket> {
        let (&kind, rest) = octets.split_first().ok_or(BadPacket::Empty)?;
        Ok(match kind {
            CMD_RESPONSE => Self::Response(Message::decode(rest)?),
            CMD_UNKNOWN => Self::UnknownCommand,
            EVENT_CONFIRM => Self::EventConfirmed,
            EVENT_UNKNOWN => Self::UnknownEvent,
            EVENT => {
                let (name, rest) = name(rest).ok_or(BadPacket::Name)?;
                Self::Event(name.to_owned(), Message::decode(rest)?)
            }
            other => return Err(BadPacket::Type(other)),
        })
    }
}

fn name(octets: &[u8]) -> Option<(&str, &[u8])> {
    let (&length, rest) = octets.split_first()?;
    let (name, rest) = rest.split_at_checked(length.into())?;
    Some((std::str::from_utf8(name).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_its_length_its_type_and_its_name_in_front() {
        let message = Message::new().with("k", "v");
        assert_eq!(
            request("version", &message),
            b"\x00\x00\x00\x0f\x00\x07version\x03\x01k\x00\x01v"
        );
        assert_eq!(register("log"), b"\x00\x00\x00\x05\x03\x03log");
    }

    #[test]
    fn an_event_is_its_name_and_a_message() {
        let expected = Packet::Event("log".to_owned(), Message::new().with("k", "v"));
        assert_eq!(
            Packet::decode(b"\x07\x03log\x03\x01k\x00\x01v"),
            Ok(expected)
        );
    }

    #[test]
    fn what_strongswan_does_not_send_is_refused() {
        assert_eq!(Packet::decode(b""), Err(BadPacket::Empty));
        assert_eq!(Packet::decode(b"\x00\x01x"), Err(BadPacket::Type(0)));
        assert_eq!(Packet::decode(b"\x07\x09log"), Err(BadPacket::Name));
        let bad = BadPacket::Message(Malformed::Cut);
        assert_eq!(Packet::decode(b"\x01\x03\x01"), Err(bad));
    }
}
