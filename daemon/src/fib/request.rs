//! Netlink requests in batches: many messages a system call, errors told apart by sequence number.
//!
//! The kernel works on a request while `sendmsg` runs, so that the answers are there when it
//! returns; the receive below never really waits.

use std::io;
use std::ops::ControlFlow;
use std::os::fd::AsRawFd;

use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

/// `sizeof(struct nlmsghdr)`.
pub(super) const HEADER: usize = 16;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// `NLA_F_NESTED`.
const NESTED: u16 = 1 << 15;
/// Octets that one answer may have.
const ANSWER: usize = 64 * 1024;

/// Messages for one system call, encoded back to back.
#[derive(Default)]
pub(crate) struct Batch {
    bytes: Vec<u8>,
    /// Where the last message begins.
    last: usize,
    count: usize,
}

impl Batch {
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.count = 0;
    }

    /// Begins a message: its type, its flags beyond `NLM_F_REQUEST`, and its fixed part.
    pub(crate) fn begin(&mut self, kind: u16, flags: u16, fixed: &[u8]) {
        self.last = self.bytes.len();
        let flags = flags | NLM_F_REQUEST;
        let mut header = [0; HEADER];
        header[4..6].copy_from_slice(&kind.to_ne_bytes());
        header[6..8].copy_from_slice(&flags.to_ne_bytes());
        header[8..12].copy_from_slice(&(self.count as u32).to_ne_bytes());
        self.bytes.extend_from_slice(&header);
        self.bytes.extend_from_slice(fixed);
        self.count += 1;
        self.end();
    }

    /// Appends an attribute to the message begun last.
    pub(crate) fn attribute(&mut self, kind: u16, value: &[u8]) {
        let length = 4 + value.len() as u16;
        self.bytes.extend_from_slice(&length.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(value);
        self.end();
    }

    /// An attribute that is made of others.
    pub(crate) fn nested(&mut self, kind: u16, parts: &[(u16, &[u8])]) {
        let mut value = Vec::new();
        for (kind, part) in parts {
            value.extend_from_slice(&(4 + part.len() as u16).to_ne_bytes());
            value.extend_from_slice(&kind.to_ne_bytes());
            value.extend_from_slice(part);
            value.resize(value.len().next_multiple_of(4), 0);
        }
        self.attribute(NESTED | kind, &value);
    }

    fn end(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        let length = (self.bytes.len() - self.last) as u32;
        self.bytes[self.last..self.last + 4].copy_from_slice(&length.to_ne_bytes());
    }

    /// Asks for the acknowledgement of the last message, which says that all have been worked on:
    /// errors come back whether asked for or not.
    fn seal(&mut self) {
        let at = self.last + 6;
        let flags = u16::from_ne_bytes([self.bytes[at], self.bytes[at + 1]]) | NLM_F_ACK;
        self.bytes[at..at + 2].copy_from_slice(&flags.to_ne_bytes());
    }

    /// What the kernel sees of the message begun last, without its header.
    #[cfg(test)]
    pub(crate) fn body(&self) -> &[u8] {
        &self.bytes[self.last + HEADER..]
    }
}

/// A request socket.
pub(crate) struct Requests {
    socket: Socket,
    answer: Vec<u8>,
}

impl Requests {
    pub(crate) fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.set_cap_ack(true)?;
        socket.set_ext_ack(true)?;
        socket.set_netlink_get_strict_chk(true)?;
        socket.set_rx_buf_sz(1u32 << 20)?;
        Ok(Self {
            socket,
            answer: Vec::with_capacity(ANSWER),
        })
    }

    /// The port number the kernel gave us: notifications about our own requests carry it.
    pub(super) fn port(&self) -> io::Result<u32> {
        let mut address = SocketAddr::new(0, 0);
        self.socket.get_address(&mut address)?;
        Ok(address.port_number())
    }

    /// Sends all messages of `batch`, which is not empty, and returns those that did not work, by
    /// number.
    ///
    /// # Errors
    ///
    /// They could not be sent, or the answers were lost: what has been done is not known.
    pub(crate) fn send(&mut self, batch: &mut Batch) -> io::Result<Vec<(usize, io::Error)>> {
        batch.seal();
        self.socket
            .send_to(&batch.bytes, &SocketAddr::new(0, 0), 0)?;
        let mut failures = Vec::new();
        loop {
            self.answer.clear();
            self.socket.recv_from(&mut self.answer, 0)?;
            for (header, body) in Walk(&self.answer) {
                let number = header.sequence as usize;
                if header.kind != NLMSG_ERROR || number >= batch.count {
                    continue;
                }
                if let Err(error) = outcome(header.flags, body) {
                    failures.push((number, error));
                }
                if number + 1 == batch.count {
                    return Ok(failures);
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
    pub(crate) fn dump(
        &mut self,
        request: &Batch,
        mut each: impl FnMut(u16, &[u8]),
    ) -> io::Result<()> {
        self.dump_until(request, |kind, body| {
            each(kind, body);
            ControlFlow::Continue(())
        })
    }

    /// The same until `each` has heard enough; the socket is of no further use then, for the rest
    /// of the answer is in it.
    pub(super) fn dump_until(
        &mut self,
        request: &Batch,
        mut each: impl FnMut(u16, &[u8]) -> ControlFlow<()>,
    ) -> io::Result<()> {
        const NLM_F_DUMP_INTR: u16 = 0x10;
        self.socket
            .send_to(&request.bytes, &SocketAddr::new(0, 0), 0)?;
        let mut interrupted = false;
        loop {
            self.answer.clear();
            self.socket.recv_from(&mut self.answer, 0)?;
            for (header, body) in Walk(&self.answer) {
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
                    kind if each(kind, body).is_break() => return Ok(()),
                    _ => {}
                }
            }
        }
    }
}

/// A request for all objects of a kind.
pub(crate) fn dump_request(kind: u16, fixed: &[u8]) -> Batch {
    let mut request = Batch::default();
    request.begin(kind, NLM_F_DUMP, fixed);
    request
}

impl AsRawFd for Requests {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.socket.as_raw_fd()
    }
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
pub(crate) struct Attributes<'a>(pub(crate) &'a [u8]);

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_cut_short_ends_the_walk() {
        let mut batch = Batch::default();
        for _ in 0..2 {
            batch.begin(24, 0, &[1, 2, 3]);
        }
        assert_eq!(Walk(&batch.bytes).count(), 2);
        for cut in 0..batch.bytes.len() - 1 {
            assert!(Walk(&batch.bytes[..cut]).count() < 2, "cut at {cut}");
        }
    }

    #[test]
    fn messages_are_numbered_and_only_the_last_is_acknowledged() {
        let mut batch = Batch::default();
        for _ in 0..3 {
            batch.begin(24, 0, &[0; 4]);
            batch.attribute(1, &[7]);
        }
        batch.seal();
        let read: Vec<_> = Walk(&batch.bytes)
            .map(|(header, body)| (header.sequence, header.flags & NLM_F_ACK != 0, body.len()))
            .collect();
        assert_eq!(read, [(0, false, 12), (1, false, 12), (2, true, 12)]);
    }

    #[test]
    fn an_attribute_with_a_length_below_its_header_ends_the_walk() {
        assert_eq!(Attributes(&[3, 0, 1, 0, 9, 9, 9, 9]).count(), 0);
        assert_eq!(Attributes(&[0, 0, 1, 0]).count(), 0);
    }

    #[test]
    fn attributes_come_back_as_written() {
        let mut batch = Batch::default();
        batch.begin(24, 0, &[]);
        batch.attribute(1, &[1]);
        batch.attribute(2, &[1, 2, 3, 4]);
        let read: Vec<_> = Attributes(batch.body()).collect();
        assert_eq!(read, [(1, &[1][..]), (2, &[1, 2, 3, 4][..])]);
    }

    #[test]
    fn the_kernels_words_are_part_of_the_error() {
        let mut echo = (-libc::EINVAL).to_ne_bytes().to_vec();
        echo.extend_from_slice(&[0; HEADER]);
        let mut batch = Batch::default();
        batch.begin(2, 0, &echo);
        batch.attribute(1, b"Nexthop id does not exist\0");
        let error = outcome(0x300, batch.body()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert!(error.to_string().starts_with("Nexthop id does not exist ("));
    }
}
