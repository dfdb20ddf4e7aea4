//! Notifications of the kernel, without the echo of our own changes.

use std::io;
use std::os::fd::{AsRawFd, RawFd};

use netlink_packet_core::NLM_F_REPLACE;
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::nexthop::{self, RTM_DELNEXTHOP, RTM_NEWNEXTHOP};
use super::request::{HEADER, Header, Walk};
use super::route::decode_other;
use super::{Change, OtherChange, OtherRoute, PROTOCOL};

const RTNLGRP_LINK: u32 = 1;
const RTNLGRP_IPV4_IFADDR: u32 = 5;
const RTNLGRP_IPV4_ROUTE: u32 = 7;
const RTNLGRP_IPV6_IFADDR: u32 = 9;
const RTNLGRP_IPV6_ROUTE: u32 = 11;
const RTNLGRP_NEXTHOP: u32 = 32;
const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
const RTM_NEWROUTE: u16 = 24;
const RTM_DELROUTE: u16 = 25;
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
    Walk(datagram).find_map(|(header, body)| match header.kind {
        RTM_NEWLINK | RTM_DELLINK | RTM_NEWADDR | RTM_DELADDR => Some(Change::Interfaces),
        RTM_NEWROUTE | RTM_DELROUTE => match *body.get(ROUTE_PROTOCOL)? {
            PROTOCOL => Some(Change::Ours),
            _ => Some(Change::Other(other(&header, decode_other(body)?))),
        },
        RTM_NEWNEXTHOP | RTM_DELNEXTHOP => match nexthop::protocol(body)? {
            PROTOCOL => Some(Change::Ours),
            _ => {
                let (id, exit) = nexthop::decode_other(body)?;
                Some(Change::Other(match header.kind {
                    RTM_NEWNEXTHOP => OtherChange::Object(id, exit),
                    _ => OtherChange::ObjectWent(id),
                }))
            }
        },
        _ => None,
    })
}

fn other(header: &Header, route: OtherRoute) -> OtherChange {
    match header.kind {
        RTM_DELROUTE => OtherChange::Went(route),
        _ if header.flags & NLM_F_REPLACE != 0 => OtherChange::Replaced(route),
        _ => OtherChange::Came(route),
    }
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
