//! The Unix socket to strongSwan. One connection does one thing at a time: commands on one, events on
//! another, so that a slow reader of events never stands in the way of an answer.

use std::{io, path::Path, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    time::timeout,
};
use zeroize::Zeroizing;

use super::{
    message::Message,
    packet::{self, BadPacket, LONGEST, Packet},
};

/// A command that is not answered by then never will be. Initiation has a time of its own.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why a command has no answer, or another than was hoped for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The socket.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The connection ended.
    #[error("strongSwan closed the connection")]
    Closed,
    /// No answer.
    #[error("strongSwan does not answer")]
    Silent,
    /// Something that is no answer.
    #[error("strongSwan answers nonsense: {0}")]
    Nonsense(String),
    /// A command or event that this version does not know.
    #[error("this strongSwan does not know {0}; version 5.9 does")]
    Unknown(String),
    /// It could not be done.
    #[error("{0}")]
    Refused(String),
}

impl From<BadPacket> for Error {
    fn from(bad: BadPacket) -> Self {
        Self::Nonsense(bad.to_string())
    }
}

/// One connection.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    /// What has come of the packet that comes: kept here, so that waiting for it can be given up.
    buffer: Vec<u8>,
}

impl Client {
    /// # Errors
    /// There is no such socket, or nobody behind it.
    pub async fn connect(path: &Path) -> Result<Self, Error> {
        Ok(Self {
            stream: UnixStream::connect(path).await?,
            buffer: Vec::new(),
        })
    }

    /// Gives a command and waits for its answer.
    ///
    /// # Errors
    /// There is none, or it says `success = no`.
    pub async fn call(&mut self, command: &str, message: &Message) -> Result<Message, Error> {
        self.call_streaming(command, message, PATIENCE, |_| {})
            .await
    }

    /// Gives a command whose results come as events before its answer.
    ///
    /// - `patience`: for each packet
    ///
    /// # Errors
    /// As [`Client::call`].
    pub async fn call_streaming(
        &mut self,
        command: &str,
        message: &Message,
        patience: Duration,
        mut on_event: impl FnMut(Message),
    ) -> Result<Message, Error> {
        // A request may hold a key.
        let octets = Zeroizing::new(packet::request(command, message));
        self.send(&octets).await?;
        loop {
            match self.packet_within(patience).await? {
                Packet::Event(_, message) => on_event(message),
                Packet::Response(answer) => return done(answer),
                Packet::UnknownCommand => return Err(Error::Unknown(format!("`{command}`"))),
                Packet::EventConfirmed | Packet::UnknownEvent => {
                    return Err(Error::Nonsense("no answer to what was asked".to_owned()));
                }
            }
        }
    }

    /// Asks for events; they come out of [`Client::event`], or of a streaming command.
    ///
    /// # Errors
    /// It does not know them, or does not answer.
    pub async fn subscribe(&mut self, event: &str) -> Result<(), Error> {
        self.send(&packet::register(event)).await?;
        loop {
            match self.packet_within(PATIENCE).await? {
                Packet::EventConfirmed => return Ok(()),
                Packet::UnknownEvent => return Err(Error::Unknown(format!("event `{event}`"))),
                // Of an earlier subscription. What it says is read from strongSwan right after.
                Packet::Event(..) => {}
                Packet::Response(_) | Packet::UnknownCommand => {
                    return Err(Error::Nonsense("no answer to what was asked".to_owned()));
                }
            }
        }
    }

    /// The next event. Cancel-safe.
    ///
    /// # Errors
    /// The connection has ended, or something else came.
    pub async fn event(&mut self) -> Result<(String, Message), Error> {
        match self.packet().await? {
            Packet::Event(name, message) => Ok((name, message)),
            Packet::Response(_)
            | Packet::UnknownCommand
            | Packet::EventConfirmed
            | Packet::UnknownEvent => Err(Error::Nonsense("not an event".to_owned())),
        }
    }

    async fn send(&mut self, octets: &[u8]) -> Result<(), Error> {
        let sent = timeout(PATIENCE, self.stream.write_all(octets)).await;
        Ok(sent.map_err(|_| Error::Silent)??)
    }

    async fn packet_within(&mut self, patience: Duration) -> Result<Packet, Error> {
        let packet = timeout(patience, self.packet()).await;
        packet.map_err(|_| Error::Silent)?
    }

    /// Cancel-safe: what has been read of a packet stays in the buffer.
    async fn packet(&mut self) -> Result<Packet, Error> {
        loop {
            if let Some(length) = self.whole()? {
                let packet = Packet::decode(&self.buffer[4..length]);
                self.buffer.drain(..length);
                return Ok(packet?);
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(Error::Closed);
            }
        }
    }

    /// The length of the first packet of the buffer, its length included, if all of it is there.
    fn whole(&self) -> Result<Option<usize>, Error> {
        let Some(length) = self.buffer.first_chunk::<4>() else {
            return Ok(None);
        };
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        if length > LONGEST {
            return Err(Error::Nonsense(format!("a packet of {length} octets")));
        }
        Ok((self.buffer.len() >= 4 + length).then_some(4 + length))
    }
}

/// Most commands say in their answer whether they succeeded.
fn done(answer: Message) -> Result<Message, Error> {
    if answer.text("success") != Some("no") {
        return Ok(answer);
    }
    let why = answer.text("errmsg").unwrap_or("it does not say why");
    Err(Error::Refused(why.to_owned()))
}
