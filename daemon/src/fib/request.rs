//! Netlink requests in batches: many messages a system call, errors told apart by sequence number.
//!
//! The kernel works on a request while `sendmsg` runs, so that the answers are there when it
//! returns; the receive below never really waits.

use std::io;
use std::os::fd::AsRawFd;

use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

/// Messages in one `sendmsg`; more gains nothing (the kernel's own work dominates).
const BATCH: usize = 128;
/// `sizeof(struct nlmsghdr)`.
pub(super) const HEADER: usize = 16;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;

/// A netlink message without its header: type, flags beyond `NLM_F_REQUEST`, and the rest.
pub(super) struct Message {
    pub(super) kind: u16,
    pub(super) flags: u16,
    pub(super) body: Vec<u8>,
}

/// A request socket.
pub(super) struct Requests {
    socket: Socket,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Requests {
    pub(super) fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.set_cap_ack(true)?;
        socket.set_ext_ack(true)?;
        socket.set_netlink_get_strict_chk(true)?;
        socket.set_rx_buf_sz(1u32 << 20)?;
        Ok(Self {
            socket,
            sequence: 0,
            buffer: Vec::with_capacity(64 * 1024),
        })
    }

    /// The port number the kernel gave us: notifications about our own requests carry it.
    pub(super) fn port(&self) -> io::Result<u32> {
        let mut address = SocketAddr::new(0, 0);
        self.socket.get_address(&mut address)?;
        Ok(address.port_number())
    }

    /// Sends all `messages`, and returns one result for each.
    pub(super) fn send(&mut self, messages: &[Message]) -> Vec<io::Result<()>> {
        let mut results = Vec::with_capacity(messages.len());
        for batch in messages.chunks(BATCH) {
            match self.send_batch(batch) {
                Ok(batch_results) => results.extend(batch_results),
                Err(error) => {
                    let code = error.raw_os_error();
                    results.extend(batch.iter().map(|_| Err(copy(code, &error))));
                }
            }
        }
        results
    }

    fn send_batch(&mut self, batch: &[Message]) -> io::Result<Vec<io::Result<()>>> {
        let first = self.sequence.wrapping_add(1);
        self.buffer.clear();
        for (i, message) in batch.iter().enumerate() {
            // Errors come back whether asked for or not; the acknowledgement of the last message
            // says that all of them have been worked on.
            let ack = if i + 1 == batch.len() { NLM_F_ACK } else { 0 };
            self.sequence = self.sequence.wrapping_add(1);
            write(&mut self.buffer, message, ack, self.sequence);
        }
        self.socket
            .send_to(&self.buffer, &SocketAddr::new(0, 0), 0)?;
        let mut results: Vec<io::Result<()>> = batch.iter().map(|_| Ok(())).collect();
        let last = self.sequence;
        loop {
            let (datagram, _) = self.socket.recv_from_full()?;
            for (header, body) in Walk(&datagram) {
                let index = header.sequence.wrapping_sub(first) as usize;
                if header.kind != NLMSG_ERROR || index >= results.len() {
                    continue;
                }
                results[index] = outcome(header.flags, body);
                if header.sequence == last {
                    return Ok(results);
                }
            }
        }
    }

    /// Sends a dump request and hands each message of the answer to `each`.
    ///
    /// # Errors
    ///
    /// The kernel's, and `Interrupted` when what was dumped changed meanwhile, so that the answer
    /// may lack something.
    pub(super) fn dump(
        &mut self,
        kind: u16,
        body: Vec<u8>,
        mut each: impl FnMut(u16, &[u8]),
    ) -> io::Result<()> {
        const NLM_F_DUMP_INTR: u16 = 0x10;
        self.sequence = self.sequence.wrapping_add(1);
        self.buffer.clear();
        write(
            &mut self.buffer,
            &Message {
                kind,
                flags: NLM_F_DUMP,
                body,
            },
            0,
            self.sequence,
        );
        self.socket
            .send_to(&self.buffer, &SocketAddr::new(0, 0), 0)?;
        let mut interrupted = false;
        loop {
            let (datagram, _) = self.socket.recv_from_full()?;
            for (header, body) in Walk(&datagram) {
                if header.sequence != self.sequence {
                    continue;
                }
                interrupted |= header.flags & NLM_F_DUMP_INTR != 0;
                match header.kind {
                    NLMSG_DONE if interrupted => {
                        return Err(io::Error::new(
                            io::ErrorKind::Interrupted,
                            "the kernel's table changed while it was read",
                        ));
                    }
                    NLMSG_DONE => return Ok(()),
                    NLMSG_ERROR => return outcome(header.flags, body),
                    kind => each(kind, body),
                }
            }
        }
    }
}

impl AsRawFd for Requests {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.socket.as_raw_fd()
    }
}

fn write(buffer: &mut Vec<u8>, message: &Message, flags: u16, sequence: u32) {
    let length = HEADER + message.body.len();
    buffer.extend_from_slice(&(length as u32).to_ne_bytes());
    buffer.extend_from_slice(&message.kind.to_ne_bytes());
    buffer.extend_from_slice(&(message.flags | flags | NLM_F_REQUEST).to_ne_bytes());
    buffer.extend_from_slice(&sequence.to_ne_bytes());
    buffer.extend_from_slice(&0u32.to_ne_bytes());
    buffer.extend_from_slice(&message.body);
    buffer.resize(buffer.len().next_multiple_of(4), 0);
}

/// What an `NLMSG_ERROR` says: done, or an error with the kernel's own words where it gives some.
fn outcome(flags: u16, body: &[u8]) -> io::Result<()> {
    const NLM_F_CAPPED: u16 = 0x100;
    const NLM_F_ACK_TLVS: u16 = 0x200;
    const NLMSGERR_ATTR_MSG: u16 = 1;
    let code = body
        .first_chunk()
        .map_or(-libc::EPROTO, |code| i32::from_ne_bytes(*code));
    if code == 0 {
        return Ok(());
    }
    let error = io::Error::from_raw_os_error(code.saturating_neg());
    if flags & NLM_F_ACK_TLVS == 0 {
        return Err(error);
    }
    let echoed = match body.get(4..8).and_then(|length| length.first_chunk()) {
        Some(length) if flags & NLM_F_CAPPED == 0 => u32::from_ne_bytes(*length) as usize,
        _ => HEADER,
    };
    let words = body
        .get(4 + echoed.next_multiple_of(4)..)
        .and_then(|rest| Attributes(rest).find(|(kind, _)| *kind == NLMSGERR_ATTR_MSG))
        .map(|(_, text)| {
            String::from_utf8_lossy(text)
                .trim_end_matches('\0')
                .to_owned()
        });
    Err(match words {
        Some(words) => io::Error::new(error.kind(), format!("{words} ({error})")),
        None => error,
    })
}

fn copy(code: Option<i32>, error: &io::Error) -> io::Error {
    code.map_or_else(
        || io::Error::other(error.to_string()),
        io::Error::from_raw_os_error,
    )
}

/// The parts of `struct nlmsghdr` that matter.
pub(super) struct Header {
    pub(super) kind: u16,
    pub(super) flags: u16,
    pub(super) sequence: u32,
}

/// The messages of a datagram, header and body; ends at the first that does not fit.
pub(super) struct Walk<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Walk<'a> {
    type Item = (Header, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let length = u32::from_ne_bytes(*self.0.first_chunk()?) as usize;
        let body = self.0.get(HEADER..length)?;
        let header = Header {
            kind: u16::from_ne_bytes([self.0[4], self.0[5]]),
            flags: u16::from_ne_bytes([self.0[6], self.0[7]]),
            sequence: u32::from_ne_bytes([self.0[8], self.0[9], self.0[10], self.0[11]]),
        };
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((header, body))
    }
}

/// The attributes of a message, type and value; ends at the first that does not fit.
pub(super) struct Attributes<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        const NLA_TYPE_MASK: u16 = 0x3fff;
        let [l0, l1, k0, k1] = *self.0.first_chunk()?;
        let length = usize::from(u16::from_ne_bytes([l0, l1]));
        let value = self.0.get(4..length)?;
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((u16::from_ne_bytes([k0, k1]) & NLA_TYPE_MASK, value))
    }
}

/// Appends an attribute.
pub(super) fn attribute(body: &mut Vec<u8>, kind: u16, value: &[u8]) {
    body.extend_from_slice(&(4 + value.len() as u16).to_ne_bytes());
    body.extend_from_slice(&kind.to_ne_bytes());
    body.extend_from_slice(value);
    body.resize(body.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_cut_short_ends_the_walk() {
        let mut datagram = Vec::new();
        let message = Message {
            kind: 24,
            flags: 0,
            body: vec![1, 2, 3],
        };
        write(&mut datagram, &message, 0, 7);
        write(&mut datagram, &message, 0, 8);
        assert_eq!(Walk(&datagram).count(), 2);
        for cut in 0..datagram.len() - 1 {
            assert!(Walk(&datagram[..cut]).count() < 2, "cut at {cut}");
        }
    }

    #[test]
    fn an_attribute_with_a_length_below_its_header_ends_the_walk() {
        assert_eq!(Attributes(&[3, 0, 1, 0, 9, 9, 9, 9]).count(), 0);
        assert_eq!(Attributes(&[0, 0, 1, 0]).count(), 0);
    }

    #[test]
    fn attributes_come_back_as_written() {
        let mut body = Vec::new();
        attribute(&mut body, 1, &[1]);
        attribute(&mut body, 2, &[1, 2, 3, 4]);
        let read: Vec<_> = Attributes(&body).collect();
        assert_eq!(read, [(1, &[1][..]), (2, &[1, 2, 3, 4][..])]);
    }

    #[test]
    fn the_kernels_words_are_part_of_the_error() {
        let mut body = (-libc::EINVAL).to_ne_bytes().to_vec();
        body.extend_from_slice(&[0; HEADER]);
        attribute(&mut body, 1, b"Nexthop id does not exist\0");
        let error = outcome(0x300, &body).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert!(error.to_string().starts_with("Nexthop id does not exist ("));
    }
}
