//! Options of sockets that no crate of ours knows: how far packets travel and have travelled,
//! and the keys that sign them.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use ipnet::IpNet;
use socket2::{Domain, SockAddr, SockAddrStorage, Socket, Type};
use zeroize::Zeroize;

use crate::secrets::TcpKey;

/// `TCP_MD5SIG_EXT`, linux/tcp.h: the key of a whole network.
const MD5_EXT: libc::c_int = 32;
/// `TCP_MD5SIG_FLAG_PREFIX`.
const FLAG_PREFIX: u8 = 1;
/// `IPV6_MINHOPCOUNT`, linux/in6.h.
const MIN_HOPS: libc::c_int = 73;

/// How far packets travel.
pub(super) fn set_ttl(socket: BorrowedFd<'_>, toward: IpAddr, ttl: u8) -> io::Result<()> {
    let (level, name) = match toward {
        IpAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_TTL),
        IpAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS),
    };
    set(socket, level, name, &libc::c_int::from(ttl))
}

/// What arrives with less is dropped (RFC 5082 §3); 0: nothing is.
pub(super) fn set_min_ttl(socket: BorrowedFd<'_>, from: IpAddr, ttl: u8) -> io::Result<()> {
    let (level, name) = match from {
        IpAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_MINTTL),
        IpAddr::V6(_) => (libc::IPPROTO_IPV6, MIN_HOPS),
    };
    set(socket, level, name, &libc::c_int::from(ttl))
}

/// `struct tcp_md5sig`, linux/tcp.h.
#[repr(C)]
struct Md5Signature {
    address: SockAddrStorage,
    flags: u8,
    prefix_length: u8,
    key_length: u16,
    interface: libc::c_int,
    key: [u8; TcpKey::LONGEST],
}

/// What comes from this network has to be signed with the key, and what goes there is
/// (RFC 2385 §2). An empty key takes that back; one that was never set is none to take back.
pub(super) fn set_key(socket: BorrowedFd<'_>, network: IpNet, key: &[u8]) -> io::Result<()> {
    let is_host = network.prefix_len() == network.max_prefix_len();
    let address = SockAddr::from(SocketAddr::new(network.network(), 0));
    let mut signature = Md5Signature {
        address: address.as_storage(),
        flags: if is_host { 0 } else { FLAG_PREFIX },
        prefix_length: if is_host { 0 } else { network.prefix_len() },
        key_length: u16::try_from(key.len()).unwrap_or(u16::MAX),
        interface: 0,
        key: [0; TcpKey::LONGEST],
    };
    for (to, from) in signature.key.iter_mut().zip(key) {
        *to = *from;
    }
    let name = if is_host { libc::TCP_MD5SIG } else { MD5_EXT };
    let result = set(socket, libc::IPPROTO_TCP, name, &signature);
    signature.key.zeroize();
    match result {
        Err(error) if key.is_empty() && error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// Tries whether the kernel takes the key, on a socket that goes nowhere.
///
/// # Errors
///
/// Why not, in words.
pub(super) fn try_key(key: &TcpKey) -> Result<(), String> {
    let anybody = IpAddr::from([192, 0, 2, 1]);
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).map_err(|e| e.to_string())?;
    set_key(socket.as_fd(), anybody.into(), key.as_bytes()).map_err(|error| {
        match error.raw_os_error() {
            Some(libc::ENOPROTOOPT) => "this kernel has no TCP MD5".to_owned(),
            _ => format!("the kernel does not take the key of TCP MD5: {error}"),
        }
    })
}

#[expect(unsafe_code, reason = "setsockopt with options that no crate knows")]
pub(super) fn set<T>(
    socket: BorrowedFd<'_>,
    level: libc::c_int,
    name: libc::c_int,
    value: &T,
) -> io::Result<()> {
    let length = size_of::<T>() as libc::socklen_t;
    // SAFETY: `value` lives through the call, with its size beside it, and the kernel only reads it.
    let result = unsafe {
        let value = std::ptr::from_ref(value).cast();
        libc::setsockopt(socket.as_raw_fd(), level, name, value, length)
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Asks with the first of `values`, and has them all filled in as far as there is something.
#[expect(unsafe_code, reason = "getsockopt with options that no crate knows")]
pub(super) fn get<T>(
    socket: BorrowedFd<'_>,
    level: libc::c_int,
    name: libc::c_int,
    values: &mut [T],
) -> io::Result<()> {
    let mut length = size_of::<T>() as libc::socklen_t;
    // SAFETY: the options that are asked for have the size of one `T`, and the kernel writes as many
    // as the first says there are, which is no more than `values` has; any bits make a `T`.
    let result = unsafe {
        let values = values.as_mut_ptr().cast();
        libc::getsockopt(socket.as_raw_fd(), level, name, values, &raw mut length)
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// What the kernel knows of a TCP connection. Fields that it is too old for are zero.
#[expect(unsafe_code, reason = "getsockopt with an option that no crate knows")]
pub(super) fn info(socket: BorrowedFd<'_>) -> io::Result<libc::tcp_info> {
    // SAFETY: the structure is plain integers, for which zeros are a value; it lives through the call, with
    // its size beside it, and the kernel writes no more than that.
    unsafe {
        let mut info: libc::tcp_info = std::mem::zeroed();
        let mut length = size_of_val(&info) as libc::socklen_t;
        let result = libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            (&raw mut info).cast(),
            &raw mut length,
        );
        match result {
            0 => Ok(info),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket(domain: Domain) -> Socket {
        Socket::new(domain, Type::STREAM, None).unwrap()
    }

    #[test]
    fn the_kernel_takes_hop_limits_of_both_families() {
        for (domain, address) in [(Domain::IPV4, "192.0.2.1"), (Domain::IPV6, "2001:db8::1")] {
            let (socket, address) = (socket(domain), address.parse().unwrap());
            set_ttl(socket.as_fd(), address, 1).unwrap();
            set_min_ttl(socket.as_fd(), address, 255).unwrap();
        }
    }

    #[test]
    fn a_key_is_set_changed_and_taken_back_for_a_host_and_for_a_network() {
        for (domain, network) in [
            (Domain::IPV4, "192.0.2.1/32"),
            (Domain::IPV4, "192.0.2.0/24"),
            (Domain::IPV6, "2001:db8::1/128"),
            (Domain::IPV6, "2001:db8::/64"),
        ] {
            let (socket, network) = (socket(domain), network.parse().unwrap());
            for key in [&b"one"[..], &[7; TcpKey::LONGEST], b"", b""] {
                let result = set_key(socket.as_fd(), network, key);
                assert!(result.is_ok(), "{network}: {result:?}");
            }
        }
    }
}
