//! TUN queues.
//!
//! The interface is persistent and multi-queue: it outlives us with its addresses and routes, and
//! the [keeper](super::keeper) can hold a queue of it that carries nothing.

use std::{
    fs::{File, OpenOptions},
    io::{self, IoSlice, Read as _, Write as _},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::fs::OpenOptionsExt as _,
    },
};

use super::coalesce::UdpRuns;

/// Packets have the vnet header before them, and nothing else.
const FLAGS: libc::c_int =
    libc::IFF_TUN | libc::IFF_NO_PI | libc::IFF_VNET_HDR | libc::IFF_MULTI_QUEUE;
const TCP_OFFLOADS: libc::c_uint = libc::TUN_F_CSUM | libc::TUN_F_TSO4 | libc::TUN_F_TSO6;
const UDP_OFFLOADS: libc::c_uint = libc::TUN_F_USO4 | libc::TUN_F_USO6;

/// One queue, with offloads, that never blocks.
#[derive(Debug)]
pub(crate) struct Queue {
    file: File,
    udp_runs: UdpRuns,
}

impl Queue {
    /// Attaches one; makes the interface when there is none.
    ///
    /// An interface made here is gone with its last queue until [`Queue::persist`].
    ///
    /// # Errors
    /// The kernel's; `EBUSY` and `EINVAL` mean that the interface was not made by us.
    pub(crate) fn attach(interface: &str) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK)
            .open("/dev/net/tun")?;
        attach(&file, interface)?;
        set(&file, libc::TUNSETOFFLOAD, TCP_OFFLOADS.into())?;
        let all = set(
            &file,
            libc::TUNSETOFFLOAD,
            (TCP_OFFLOADS | UDP_OFFLOADS).into(),
        );
        Ok(Self {
            file,
            udp_runs: if all.is_ok() {
                UdpRuns::Taken
            } else {
                UdpRuns::Refused
            },
        })
    }

    /// The interface stays when its last queue closes.
    ///
    /// # Errors
    /// The kernel's.
    pub(crate) fn persist(&self) -> io::Result<()> {
        set(&self.file, libc::TUNSETPERSIST, 1)
    }

    /// Whether runs of UDP datagrams may be written.
    pub(super) fn udp_runs(&self) -> UdpRuns {
        self.udp_runs
    }

    /// Reads one packet or run with its vnet header.
    ///
    /// # Errors
    /// `WouldBlock` when there is none.
    pub(super) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        (&self.file).read(buffer)
    }

    /// Writes one packet or run with its vnet header.
    ///
    /// # Errors
    /// The kernel's; `EIO` while the interface is down.
    pub(super) fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        (&self.file).write_vectored(slices)
    }
}

impl AsFd for Queue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// A queue that carries no packets and keeps the carrier up while it is open.
///
/// # Errors
/// As [`Queue::attach`].
pub(crate) fn detached_queue(interface: &str) -> io::Result<OwnedFd> {
    let queue = Queue::attach(interface)?;
    detach(&queue.file)?;
    Ok(queue.file.into())
}

#[expect(unsafe_code, reason = "no crate that we have wraps TUNSETIFF")]
fn attach(file: &File, interface: &str) -> io::Result<()> {
    let mut request = request(FLAGS)?;
    let name = interface.as_bytes();
    // The last byte stays zero.
    if name.is_empty() || name.len() >= request.ifr_name.len() || name.contains(&0) {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name) {
        *to = libc::c_char::from_ne_bytes([*from]);
    }
    // SAFETY: the descriptor is open, and TUNSETIFF reads and writes one ifreq at a live pointer.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
    checked(result)
}

#[expect(unsafe_code, reason = "no crate that we have wraps TUNSETQUEUE")]
fn detach(file: &File) -> io::Result<()> {
    let request = request(libc::IFF_DETACH_QUEUE)?;
    // SAFETY: the descriptor is open, and TUNSETQUEUE reads one ifreq from a live pointer.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETQUEUE, &raw const request) };
    checked(result)
}

/// For requests whose argument is a number.
#[expect(unsafe_code, reason = "no crate that we have wraps TUNSETOFFLOAD")]
fn set(file: &File, what: libc::Ioctl, value: libc::c_ulong) -> io::Result<()> {
    // SAFETY: the descriptor is open, and the argument of these requests is no pointer.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), what, value) };
    checked(result)
}

#[expect(unsafe_code, reason = "an ifreq has a union in it")]
fn request(flags: libc::c_int) -> io::Result<libc::ifreq> {
    // SAFETY: all zero is a valid ifreq.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    let flags = libc::c_short::try_from(flags).map_err(io::Error::other)?;
    request.ifr_ifru.ifru_flags = flags;
    Ok(request)
}

fn checked(result: libc::c_int) -> io::Result<()> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
