//! Notifications of the kernel, without the echo of our own changes.

use std::io;
use std::os::fd::{AsRawFd, RawFd};

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::request::{HEADER, Walk};
use super::{Change, PROTOCOL, nexthop};

const RTNLGRP_LINK: u32 = 1;
const RTNLGRP_IPV4_IFADDR: u32 = 5;
const RTNLGRP_IPV4_ROUTE: u32 = 7;
const RTNLGRP_IPV6_IFADDR: u32 = 9;
const RTNLGRP_IPV6_ROUTE: u32 = 11;
const RTNLGRP_NEXTHOP: u32 = 32;
/// `RTM_NEWLINK` to `RTM_DELADDR`, without the two requests between.
const INTERFACE_CHANGES: [u16; 4] = [16, 17, 20, 21];
const ROUTE_CHANGES: [u16; 2] = [24, 25];
/// Offset of `rtm_protocol` in `struct rtmsg`.
const ROUTE_PROTOCOL: usize = 5;

pub(super) struct Watch {
    socket: AsyncFd<Descriptor>,
}

struct Descriptor(Socket);

impl AsRawFd for Descriptor {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl Watch {
    /// - `own_port`: netlink port whose requests are not to be reported
    pub(super) fn open(own_port: u32) -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        skip_own(&socket, own_port)?;
        socket.bind_auto()?;
        socket.set_rx_buf_sz(4u32 << 20)?;
        for group in [
            RTNLGRP_LINK,
            RTNLGRP_IPV4_IFADDR,
            RTNLGRP_IPV6_IFADDR,
            RTNLGRP_IPV4_ROUTE,
            RTNLGRP_IPV6_ROUTE,
            RTNLGRP_NEXTHOP,
        ] {
            socket.add_membership(group)?;
        }
        socket.set_non_blocking(true)?;
        Ok(Self {
            socket: registered(Descriptor(socket))?,
        })
    }

    pub(super) async fn next(&mut self) -> io::Result<Change> {
        loop {
            let mut ready = self.socket.readable().await?;
            match ready.try_io(|inner| inner.get_ref().0.recv_from_full()) {
                Ok(Ok((datagram, sender))) => {
                    if let Some(change) = change(&datagram, &sender) {
                        return Ok(change);
                    }
                }
                // The kernel had more to say than fits: we no longer know what is there.
                Ok(Err(error)) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                    return Ok(Change::Ours);
                }
                Ok(Err(error)) => return Err(error),
                Err(_would_block) => {}
            }
        }
    }
}

#[expect(
    unsafe_code,
    reason = "AsyncFd asks for the promise that the descriptor stays open"
)]
fn registered(descriptor: Descriptor) -> io::Result<AsyncFd<Descriptor>> {
    // SAFETY: the `AsyncFd` owns the socket, which gives the same descriptor until it is dropped.
    unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) }.map_err(Into::into)
}

fn change(datagram: &[u8], sender: &SocketAddr) -> Option<Change> {
    // Only the kernel speaks for the kernel.
    if sender.port_number() != 0 {
        return None;
    }
    Walk(datagram).find_map(|(header, body)| {
        if INTERFACE_CHANGES.contains(&header.kind) {
            Some(Change::Interfaces)
        } else if nexthop::CHANGES.contains(&header.kind) {
            (nexthop::protocol(body)? == PROTOCOL).then_some(Change::Ours)
        } else if ROUTE_CHANGES.contains(&header.kind) {
            (*body.get(ROUTE_PROTOCOL)? == PROTOCOL).then_some(Change::Ours)
        } else {
            None
        }
    })
}

/// Has the kernel drop notifications that carry `port` before they are queued: a million routes
/// that we install must not fill the buffer that someone else's one change has to fit in.
#[expect(
    unsafe_code,
    reason = "SO_ATTACH_FILTER takes a pointer to a filter program"
)]
fn skip_own(socket: &Socket, port: u32) -> io::Result<()> {
    const PORT_OFFSET: u32 = (HEADER - 4) as u32;
    let statement = |code: u32, jt, jf, k| libc::sock_filter {
        code: code as u16,
        jt,
        jf,
        k,
    };
    let mut program = [
        // A word is loaded in network byte order, and nlmsg_pid is in ours.
        statement(
            libc::BPF_LD | libc::BPF_W | libc::BPF_ABS,
            0,
            0,
            PORT_OFFSET,
        ),
        statement(
            libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
            0,
            1,
            port.to_be(),
        ),
        statement(libc::BPF_RET | libc::BPF_K, 0, 0, 0),
        statement(libc::BPF_RET | libc::BPF_K, 0, 0, u32::MAX),
    ];
    let filter = libc::sock_fprog {
        len: program.len() as u16,
        filter: program.as_mut_ptr(),
    };
    // SAFETY: `filter` points to `program`, both live through the call, which copies them.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const filter).cast(),
            size_of::<libc::sock_fprog>() as libc::socklen_t,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
