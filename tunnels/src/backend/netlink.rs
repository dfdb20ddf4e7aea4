//! Requests and notifications over netlink.

use std::{fmt::Debug, io};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkDeserializable, NetlinkHeader, NetlinkMessage,
    NetlinkPayload, NetlinkSerializable,
};
use netlink_sys::{AsyncSocket, AsyncSocketExt, SocketAddr, TokioSocket, protocols::NETLINK_ROUTE};

const HEADER: usize = 16;
/// `RTNLGRP_LINK`, `RTNLGRP_IPV4_IFADDR`, `RTNLGRP_IPV6_IFADDR`.
const GROUPS: [u32; 3] = [1, 5, 9];

/// One request at a time.
pub(super) struct Netlink {
    socket: TokioSocket,
    sequence: u32,
}

impl Netlink {
    pub(super) fn open(protocol: isize) -> io::Result<Self> {
        let mut socket = TokioSocket::new(protocol)?;
        socket.socket_mut().bind_auto()?;
        socket.socket_ref().connect(&SocketAddr::new(0, 0))?;
        Ok(Self {
            socket,
            sequence: 0,
        })
    }

    /// Asks the kernel to do something; `flags` besides request and acknowledgement.
    pub(super) async fn order<M>(&mut self, payload: M, flags: u16) -> io::Result<()>
    where
        M: NetlinkSerializable + NetlinkDeserializable + Debug,
    {
        self.request(payload, NLM_F_ACK | flags)
            .await
            .map(|_answers| ())
    }

    /// Asks for everything there is.
    pub(super) async fn dump<M>(&mut self, payload: M) -> io::Result<Vec<M>>
    where
        M: NetlinkSerializable + NetlinkDeserializable + Debug,
    {
        self.request(payload, NLM_F_DUMP).await
    }

    /// Asks for one thing, or none.
    pub(super) async fn get<M>(&mut self, payload: M) -> io::Result<Option<M>>
    where
        M: NetlinkSerializable + NetlinkDeserializable + Debug,
    {
        let answers = self.request(payload, NLM_F_ACK).await?;
        Ok(answers.into_iter().next())
    }

    async fn request<M>(&mut self, payload: M, flags: u16) -> io::Result<Vec<M>>
    where
        M: NetlinkSerializable + NetlinkDeserializable + Debug,
    {
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | flags;
        header.sequence_number = self.sequence;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(payload));
        message.finalize();
        let mut buffer = vec![0; message.buffer_len()];
        message.serialize(&mut buffer);
        self.socket.send(&buffer).await?;

        let mut answers = Vec::new();
        loop {
            let (received, _) = self.socket.recv_from_full().await?;
            if self.read_answers(&received, &mut answers)? == Answer::Complete {
                return Ok(answers);
            }
        }
    }

    /// Reads one datagram of messages. What belongs to a request that was given up is skipped.
    fn read_answers<M>(&self, received: &[u8], answers: &mut Vec<M>) -> io::Result<Answer>
    where
        M: NetlinkDeserializable + Debug,
    {
        let mut rest = received;
        while let Some((header, message, after)) = split(rest) {
            rest = after;
            if header.sequence_number != self.sequence {
                continue;
            }
            match NetlinkMessage::<M>::deserialize(message).map(|message| message.payload) {
                Ok(NetlinkPayload::InnerMessage(answer)) => answers.push(answer),
                Ok(NetlinkPayload::Error(error)) if error.code.is_some() => {
                    return Err(error.to_io());
                }
                Ok(NetlinkPayload::Error(_) | NetlinkPayload::Done(_)) => {
                    return Ok(Answer::Complete);
                }
                Ok(NetlinkPayload::Noop) => {}
                Ok(NetlinkPayload::Overrun(_)) => {
                    return Err(io::Error::from_raw_os_error(libc::ENOBUFS));
                }
                // A kernel may say more than we understand, about interfaces that are not ours.
                Ok(_) => {}
                Err(error) => tracing::debug!(%error, "a netlink message that we cannot read"),
            }
        }
        Ok(Answer::Partial)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    Complete,
    Partial,
}

/// The first message of a datagram, and what follows it.
fn split(datagram: &[u8]) -> Option<(NetlinkHeader, &[u8], &[u8])> {
    let length = u32::from_ne_bytes(*datagram.first_chunk::<4>()?) as usize;
    let message = datagram
        .get(..length)
        .filter(|message| message.len() >= HEADER)?;
    let after = datagram
        .get(length.next_multiple_of(4)..)
        .unwrap_or_default();
    let mut header = NetlinkHeader::default();
    header.sequence_number = u32::from_ne_bytes(*message[8..].first_chunk::<4>()?);
    Some((header, message, after))
}

/// Tells that interfaces or addresses changed.
pub(super) struct Watch {
    socket: TokioSocket,
}

impl Watch {
    pub(super) fn open() -> io::Result<Self> {
        let mut socket = TokioSocket::new(NETLINK_ROUTE)?;
        socket.socket_mut().bind_auto()?;
        for group in GROUPS {
            socket.socket_mut().add_membership(group)?;
        }
        Ok(Self { socket })
    }

    /// Waits for a change and forgets all that are there. Cancel-safe: nothing is kept of them.
    pub(super) async fn changed(&mut self) -> io::Result<()> {
        match self.socket.recv_from_full().await {
            Ok(_) => {}
            // Overrun: something changed, and the caller looks at everything anyway.
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {}
            Err(error) => return Err(error),
        }
        let mut scratch = Vec::with_capacity(8192);
        while self
            .socket
            .socket_ref()
            .recv(&mut scratch, libc::MSG_DONTWAIT)
            .is_ok()
        {
            scratch.clear();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_that_lies_about_its_length_is_not_followed() {
        assert!(split(&[]).is_none());
        assert!(split(&[0; 16]).is_none(), "shorter than its own header");
        let mut long = [0; 16];
        long[0] = 200;
        assert!(split(&long).is_none());
        let mut exact = [0; 16];
        exact[0] = 16;
        assert!(
            split(&exact)
                .is_some_and(|(_, message, after)| { message.len() == 16 && after.is_empty() })
        );
    }
}
