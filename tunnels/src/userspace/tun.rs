//! TUN queues.
//!
//! The interface is persistent and multi-queue: it outlives us with its addresses and routes, and
//! the [keeper](super::keeper) can hold a queue of it that carries nothing.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, OwnedFd},
};

use rustix::fs::OFlags;
use tun_rs::{DeviceBuilder, SyncDevice};

/// Attaches a queue, with offloads and without blocking; makes the interface when there is none.
///
/// An interface made here is gone with its last queue until [`SyncDevice::persist`].
///
/// # Errors
/// The kernel's; `EBUSY` and `EINVAL` mean that the interface was not made by us.
pub(crate) fn attach(interface: &str) -> io::Result<SyncDevice> {
    let device = DeviceBuilder::new()
        .name(interface)
        .offload(true)
        .multi_queue(true)
        .inherit_enable_state()
        .build_sync()?;
    let flags = rustix::fs::fcntl_getfl(&device)?;
    rustix::fs::fcntl_setfl(&device, flags | OFlags::NONBLOCK)?;
    Ok(device)
}

/// A queue that carries no packets and keeps the carrier up while it is open.
///
/// # Errors
/// As [`attach`].
pub(crate) fn detached_queue(interface: &str) -> io::Result<OwnedFd> {
    let device = attach(interface)?;
    detach(&device)?;
    device.as_fd().try_clone_to_owned()
}

#[expect(unsafe_code, reason = "no crate wraps TUNSETQUEUE")]
fn detach(device: &SyncDevice) -> io::Result<()> {
    // SAFETY: all zero is a valid ifreq.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_ifru.ifru_flags =
        libc::c_short::try_from(libc::IFF_DETACH_QUEUE).expect("a flag of 16 bits");
    // SAFETY: the descriptor is open, and TUNSETQUEUE reads one ifreq from a live pointer.
    let result = unsafe { libc::ioctl(device.as_raw_fd(), libc::TUNSETQUEUE, &raw const request) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
