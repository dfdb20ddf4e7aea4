//! The TCP Authentication Option (RFC 5925), as Linux has it since 6.7: keys are set on each socket,
//! and come and go while it is connected. See `Documentation/networking/tcp_ao.rst` in Linux.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};

use ipnet::IpNet;
use socket2::{Domain, Socket, Type};
use zeroize::Zeroize;

use super::tcp;
use crate::secrets::TcpKey;

// Names, flags and structures of linux/tcp.h.
const ADD_KEY: libc::c_int = 38;
const DELETE_KEY: libc::c_int = 39;
const INFO: libc::c_int = 40;
const GET_KEYS: libc::c_int = 41;
/// `TCP_AO_KEYF_EXCLUDE_OPT`.
const EXCLUDE_OPTIONS: u8 = 1 << 1;
/// Keys that one connection may have: its peer's, before and after a change.
const MOST: usize = 16;

/// The keys of a peer (RFC 5925 §3.1), in the order of preference; never none.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Keys {
    pub(crate) keys: Vec<Key>,
    pub(crate) options: TcpOptions,
}

/// A master key tuple.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Key {
    pub(crate) ids: Ids,
    pub(crate) algorithm: Algorithm,
    pub(crate) secret: TcpKey,
}

/// What a segment calls its key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Ids {
    pub(crate) send: u8,
    pub(crate) receive: u8,
}

/// Whether the other options of TCP are signed as well.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum TcpOptions {
    Included,
    Excluded,
}

/// How a segment is signed (RFC 5926 §3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Algorithm {
    HmacSha1,
    Aes128Cmac,
    HmacSha256,
}

impl Algorithm {
    /// In the kernel's words, and how many octets of the result a segment has.
    fn spelled(self) -> (&'static str, u8) {
        match self {
            Self::HmacSha1 => ("hmac(sha1)", 12),
            Self::Aes128Cmac => ("cmac(aes128)", 12),
            Self::HmacSha256 => ("hmac(sha256)", 16),
        }
    }
}

impl Keys {
    /// Whether a connection that was opened with `old` can have these instead. An ID that stands for
    /// another key than before cannot be told from what it was.
    pub(super) fn can_follow(&self, old: &Self) -> bool {
        let is_clear = |new: &Key, old: &Key| {
            let is_apart = new.ids.send != old.ids.send && new.ids.receive != old.ids.receive;
            is_apart || new == old
        };
        let mut keys = self.keys.iter();
        self.options == old.options && keys.all(|new| old.keys.iter().all(|old| is_clear(new, old)))
    }
}

impl Keys {
    /// Those that are not among the others.
    fn beside<'k>(
        &'k self,
        others: Option<&'k Self>,
    ) -> impl Iterator<Item = (&'k Key, TcpOptions)> {
        let is_there = move |key: &Key| {
            let same = others.filter(|others| others.options == self.options);
            same.is_some_and(|others| others.keys.contains(key))
        };
        let beside = self.keys.iter().filter(move |key| !is_there(key));
        beside.map(|key| (key, self.options))
    }
}

/// What the kernel counts of a connection, and which keys it uses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Status {
    /// The ID of the key that signs what we send.
    pub(crate) current: u8,
    /// The receive ID of the key that the peer is asked to use.
    pub(crate) next: u8,
    /// Segments that were signed as they should be.
    pub(crate) good: u64,
    /// With a wrong signature.
    pub(crate) bad: u64,
    /// With the ID of no key of ours.
    pub(crate) unknown_key: u64,
    /// Without a signature.
    pub(crate) unsigned: u64,
}

/// `struct sockaddr_storage`.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Address([u8; 128]);

impl From<IpNet> for Address {
    /// Without a port: keys are for all of them.
    fn from(network: IpNet) -> Self {
        let mut octets = [0; 128];
        let (family, rest) = octets.split_at_mut(2);
        match network.network() {
            IpAddr::V4(address) => {
                family.copy_from_slice(&(libc::AF_INET as u16).to_ne_bytes());
                copy(&mut rest[2..], &address.octets());
            }
            // After the port and the flow label.
            IpAddr::V6(address) => {
                family.copy_from_slice(&(libc::AF_INET6 as u16).to_ne_bytes());
                copy(&mut rest[6..], &address.octets());
            }
        }
        Self(octets)
    }
}

/// `struct tcp_ao_add`.
#[repr(C, align(8))]
struct Add {
    address: Address,
    algorithm: [u8; 64],
    interface: i32,
    flags: u32,
    reserved: u16,
    prefix: u8,
    send_id: u8,
    receive_id: u8,
    mac_length: u8,
    key_flags: u8,
    key_length: u8,
    key: [u8; TcpKey::LONGEST],
}

/// `struct tcp_ao_del`.
#[repr(C, align(8))]
struct Delete {
    address: Address,
    interface: i32,
    flags: u32,
    reserved: u16,
    prefix: u8,
    send_id: u8,
    receive_id: u8,
    current: u8,
    next: u8,
    key_flags: u8,
}

/// `struct tcp_ao_info_opt`.
#[repr(C, align(8))]
#[derive(Default)]
struct Info {
    flags: u32,
    reserved: u16,
    current: u8,
    next: u8,
    good: u64,
    bad: u64,
    key_not_found: u64,
    required: u64,
    dropped_icmp: u64,
}

/// `struct tcp_ao_getsockopt`.
#[repr(C, align(8))]
struct Listed {
    address: Address,
    algorithm: [u8; 64],
    key: [u8; TcpKey::LONGEST],
    count: u32,
    flags: u16,
    send_id: u8,
    receive_id: u8,
    prefix: u8,
    mac_length: u8,
    key_flags: u8,
    key_length: u8,
    interface: i32,
    good: u64,
    bad: u64,
}

/// The n-th of the bit fields that C keeps in an integer of so many bits.
const fn bit(n: u32, width: u32) -> u32 {
    if cfg!(target_endian = "little") {
        1 << n
    } else {
        1 << (width - 1 - n)
    }
}

const SET_CURRENT: u32 = bit(0, 32);
const SET_NEXT: u32 = bit(1, 32);
/// Of a deletion: the kernel need not wait for packets under way. Listening sockets only.
const ASYNC: u32 = bit(2, 32);
const IS_CURRENT: u16 = bit(0, 16) as u16;
const IS_NEXT: u16 = bit(1, 16) as u16;
const ALL: u16 = bit(2, 16) as u16;

/// Tries whether the kernel takes the keys, on a socket that goes nowhere.
///
/// # Errors
///
/// In words: it has no TCP-AO, or not all that a key needs.
pub(super) fn try_keys(keys: &Keys) -> Result<(), String> {
    let anybody = IpAddr::from([192, 0, 2, 1]);
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).map_err(|e| e.to_string())?;
    for key in &keys.keys {
        add(socket.as_fd(), anybody.into(), key, keys.options, 0).map_err(|error| {
            match error.raw_os_error() {
                Some(libc::ENOPROTOOPT) => "this kernel has no TCP-AO; \
                     Linux has it since 6.7, built with CONFIG_TCP_AO"
                    .to_owned(),
                Some(libc::ENOENT) => {
                    let (algorithm, _) = key.algorithm.spelled();
                    format!(
                        "this kernel has no {algorithm}, which key {} of TCP-AO needs",
                        key.ids.send
                    )
                }
                _ => format!(
                    "the kernel does not take key {} of TCP-AO: {error}",
                    key.ids.send
                ),
            }
        })?;
    }
    Ok(())
}

/// Keys for a connection that is about to be opened.
pub(super) fn prepare(
    socket: BorrowedFd<'_>,
    remote: IpAddr,
    keys: &Keys,
    attempt: usize,
) -> io::Result<()> {
    let chosen = attempt % keys.keys.len().max(1);
    for (at, key) in keys.keys.iter().enumerate() {
        // The peer is asked for the same one: it may not have the others yet.
        let flags = if at == chosen {
            SET_CURRENT | SET_NEXT
        } else {
            0
        };
        add(socket, remote.into(), key, keys.options, flags)?;
    }
    Ok(())
}

/// Gives a listening socket the keys for callers from a network that it does not have.
///
/// - `keys`: as they were, and as they are to be
pub(super) fn guard(
    socket: BorrowedFd<'_>,
    network: IpNet,
    [old, new]: [Option<&Keys>; 2],
) -> io::Result<()> {
    let mut fresh = new.into_iter().flat_map(|keys| keys.beside(old));
    fresh.try_for_each(|(key, options)| add(socket, network, key, options, 0))
}

/// Takes from it those that are not to stay; one that was never set is none to take.
///
/// - `keys`: as they were, and as they are to be
pub(super) fn release(
    socket: BorrowedFd<'_>,
    network: IpNet,
    [old, new]: [Option<&Keys>; 2],
) -> io::Result<()> {
    let mut gone = old.into_iter().flat_map(|keys| keys.beside(new));
    gone.try_for_each(|(key, _)| {
        let (address, prefix) = (Address::from(network), network.prefix_len());
        match delete(socket, address, prefix, key.ids, None, ASYNC) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        }
    })
}

/// Gives a connection these keys and no others, and has the peer use the first.
///
/// # Errors
///
/// `NotFound` for a connection that is not signed; otherwise the kernel's.
pub(super) fn settle(socket: BorrowedFd<'_>, remote: IpAddr, keys: &Keys) -> io::Result<()> {
    match settle_once(socket, remote, keys) {
        // The peer has just asked for the key that goes.
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
            settle_once(socket, remote, keys)
        }
        result => result,
    }
}

fn settle_once(socket: BorrowedFd<'_>, remote: IpAddr, keys: &Keys) -> io::Result<()> {
    let installed = installed(socket)?;
    let seen: Vec<Seen> = installed.iter().map(|key| key.seen).collect();
    let ids: Vec<Ids> = keys.keys.iter().map(|key| key.ids).collect();
    for step in plan(&seen, &ids) {
        match step {
            Step::Add(at) => {
                if let Some(key) = keys.keys.get(at) {
                    add(socket, remote.into(), key, keys.options, 0)?;
                }
            }
            Step::Ask(ids) => {
                let info = Info {
                    flags: SET_NEXT,
                    next: ids.receive,
                    ..Info::default()
                };
                tcp::set(socket, libc::IPPROTO_TCP, INFO, &info)?;
            }
            Step::Delete(at, instead) => {
                if let Some(key) = installed.get(at) {
                    let flags = instead.map_or(0, |_| SET_CURRENT);
                    delete(
                        socket,
                        key.address,
                        key.prefix,
                        key.seen.ids,
                        instead,
                        flags,
                    )?;
                }
            }
        }
    }
    Ok(())
}

/// A key of a connection, but for its secret.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Seen {
    ids: Ids,
    is_current: bool,
    is_next: bool,
}

#[derive(PartialEq, Eq, Debug)]
enum Step {
    /// The one at this place of those that are wanted.
    Add(usize),
    /// Have the peer use this one.
    Ask(Ids),
    /// The one at this place of those that are there. If it signs what we send, another does from then
    /// on: what has not been acknowledged is sent again, signed anew.
    Delete(usize, Option<Ids>),
}

/// What leads from the keys that a connection has to those that it should have; never without one
/// meanwhile.
fn plan(seen: &[Seen], wanted: &[Ids]) -> Vec<Step> {
    let Some(first) = wanted.first() else {
        return Vec::new();
    };
    let is_there = |ids: &Ids| seen.iter().any(|seen| seen.ids == *ids);
    let missing = wanted.iter().enumerate().filter(|(_, ids)| !is_there(ids));
    let mut steps: Vec<_> = missing.map(|(at, _)| Step::Add(at)).collect();
    if !seen.iter().any(|seen| seen.is_next && seen.ids == *first) {
        steps.push(Step::Ask(*first));
    }
    let is_over = |(_, seen): &(usize, &Seen)| !wanted.contains(&seen.ids);
    steps.extend(seen.iter().enumerate().filter(is_over).map(|(at, seen)| {
        let instead = seen.is_current.then_some(*first);
        Step::Delete(at, instead)
    }));
    steps
}

/// Which keys a connection uses, and what it has heard.
///
/// # Errors
///
/// `NotFound` for one that is not signed; otherwise the kernel's.
pub(super) fn status(socket: BorrowedFd<'_>) -> io::Result<Status> {
    let mut info = [Info::default()];
    tcp::get(socket, libc::IPPROTO_TCP, INFO, &mut info)?;
    let [info] = info;
    Ok(Status {
        current: info.current,
        next: info.next,
        good: info.good,
        bad: info.bad,
        unknown_key: info.key_not_found,
        unsigned: info.required,
    })
}

/// A key of a connection, and what it was set for.
struct Installed {
    seen: Seen,
    address: Address,
    prefix: u8,
}

fn installed(socket: BorrowedFd<'_>) -> io::Result<Vec<Installed>> {
    let mut list = [const { Listed::EMPTY }; MOST];
    list[0].flags = ALL;
    list[0].count = MOST as u32;
    tcp::get(socket, libc::IPPROTO_TCP, GET_KEYS, &mut list)?;
    let count = (list[0].count as usize).min(MOST);
    let installed = list[..count].iter_mut().map(|listed| {
        // The kernel hands out the secret as well.
        listed.key.zeroize();
        Installed {
            seen: Seen {
                ids: Ids {
                    send: listed.send_id,
                    receive: listed.receive_id,
                },
                is_current: listed.flags & IS_CURRENT != 0,
                is_next: listed.flags & IS_NEXT != 0,
            },
            address: listed.address,
            prefix: listed.prefix,
        }
    });
    Ok(installed.collect())
}

impl Listed {
    const EMPTY: Self = Self {
        address: Address([0; 128]),
        algorithm: [0; 64],
        key: [0; TcpKey::LONGEST],
        count: 0,
        flags: 0,
        send_id: 0,
        receive_id: 0,
        prefix: 0,
        mac_length: 0,
        key_flags: 0,
        key_length: 0,
        interface: 0,
        good: 0,
        bad: 0,
    };
}

fn add(
    socket: BorrowedFd<'_>,
    network: IpNet,
    key: &Key,
    options: TcpOptions,
    flags: u32,
) -> io::Result<()> {
    let (algorithm, mac_length) = key.algorithm.spelled();
    let secret = key.secret.as_bytes();
    let mut message = Add {
        address: Address::from(network),
        algorithm: [0; 64],
        interface: 0,
        flags,
        reserved: 0,
        prefix: network.prefix_len(),
        send_id: key.ids.send,
        receive_id: key.ids.receive,
        mac_length,
        key_flags: match options {
            TcpOptions::Included => 0,
            TcpOptions::Excluded => EXCLUDE_OPTIONS,
        },
        key_length: u8::try_from(secret.len()).unwrap_or(u8::MAX),
        key: [0; TcpKey::LONGEST],
    };
    copy(&mut message.algorithm, algorithm.as_bytes());
    copy(&mut message.key, secret);
    let result = tcp::set(socket, libc::IPPROTO_TCP, ADD_KEY, &message);
    message.key.zeroize();
    result
}

/// - `instead`: signs from then on what we send, if `flags` say so
fn delete(
    socket: BorrowedFd<'_>,
    address: Address,
    prefix: u8,
    ids: Ids,
    instead: Option<Ids>,
    flags: u32,
) -> io::Result<()> {
    let message = Delete {
        address,
        interface: 0,
        flags,
        reserved: 0,
        prefix,
        send_id: ids.send,
        receive_id: ids.receive,
        current: instead.map_or(0, |ids| ids.send),
        next: 0,
        key_flags: 0,
    };
    tcp::set(socket, libc::IPPROTO_TCP, DELETE_KEY, &message)
}

fn copy(to: &mut [u8], from: &[u8]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = *from;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structures_are_as_long_as_the_kernels() {
        assert_eq!(size_of::<Add>(), 288);
        assert_eq!(size_of::<Delete>(), 144);
        assert_eq!(size_of::<Info>(), 48);
        assert_eq!(size_of::<Listed>(), 304);
    }

    fn ids(id: u8) -> Ids {
        Ids {
            send: id,
            receive: id + 100,
        }
    }

    /// The kernel's rules: no ID twice, no deletion of a key that is used.
    fn carry_out(steps: &[Step], keys: &mut Vec<Seen>, wanted: &[Ids]) {
        let before = keys.clone();
        for step in steps {
            match step {
                Step::Add(at) => {
                    let ids = wanted[*at];
                    assert!(keys.iter().all(|key| key.ids != ids), "{ids:?} is there");
                    keys.push(Seen {
                        ids,
                        is_current: false,
                        is_next: false,
                    });
                }
                Step::Ask(ids) => {
                    assert!(keys.iter().any(|key| key.ids == *ids));
                    keys.iter_mut()
                        .for_each(|key| key.is_next = key.ids == *ids);
                }
                Step::Delete(at, instead) => {
                    if let Some(instead) = instead {
                        assert!(keys.iter().any(|key| key.ids == *instead));
                        keys.iter_mut()
                            .for_each(|key| key.is_current = key.ids == *instead);
                    }
                    let gone = before[*at].ids;
                    let is_used = |key: &&Seen| key.ids == gone && (key.is_current || key.is_next);
                    assert!(!keys.iter().any(|key| is_used(&key)), "{gone:?} is used");
                    keys.retain(|key| key.ids != gone);
                }
            }
            assert!(keys.iter().any(|key| key.is_current), "{step:?}");
            assert!(keys.iter().any(|key| key.is_next), "{step:?}");
        }
    }

    /// All lists of different keys, none of them empty, of up to three of four keys.
    fn lists() -> Vec<Vec<u8>> {
        let mut lists: Vec<Vec<u8>> = (0..4).map(|id| vec![id]).collect();
        for at in 0.. {
            let Some(list) = lists.get(at).cloned().filter(|list| list.len() < 3) else {
                break;
            };
            let longer = (0..4).filter(|id| !list.contains(id));
            lists.extend(longer.map(|id| [&list[..], &[id]].concat()));
        }
        lists
    }

    #[test]
    fn every_change_of_keys_ends_at_what_is_wanted_and_never_lacks_one() {
        let lists = lists();
        assert_eq!(lists.len(), 4 + 12 + 24);
        for (old, new) in lists.iter().flat_map(|a| lists.iter().map(move |b| (a, b))) {
            for (current, next) in old.iter().flat_map(|a| old.iter().map(move |b| (a, b))) {
                let seen = |id: &u8| Seen {
                    ids: ids(*id),
                    is_current: id == current,
                    is_next: id == next,
                };
                let mut keys: Vec<Seen> = old.iter().map(seen).collect();
                let wanted: Vec<Ids> = new.iter().map(|id| ids(*id)).collect();
                let steps = plan(&keys, &wanted);
                carry_out(&steps, &mut keys, &wanted);
                assert_eq!(keys.len(), wanted.len(), "{old:?} {new:?}");
                assert!(keys.iter().all(|key| wanted.contains(&key.ids)));
                let asked = keys.iter().find(|key| key.is_next).map(|key| key.ids);
                assert_eq!(asked, wanted.first().copied());
                // What signs what we send changes only if it has to: the peer says which it knows.
                let signs = keys.iter().find(|key| key.is_current).map(|key| key.ids);
                if new.contains(current) {
                    assert_eq!(signs, Some(ids(*current)), "{old:?} {new:?}");
                }
                assert_eq!(plan(&keys, &wanted), [], "{old:?} {new:?}");
            }
        }
    }

    #[test]
    fn the_kernel_takes_keys_of_every_algorithm_or_says_that_it_has_none() {
        let of = |algorithm| Keys {
            keys: vec![Key {
                ids: ids(1),
                algorithm,
                secret: TcpKey::for_tests(b"hunter2"),
            }],
            options: TcpOptions::Included,
        };
        for algorithm in [
            Algorithm::HmacSha1,
            Algorithm::Aes128Cmac,
            Algorithm::HmacSha256,
        ] {
            match try_keys(&of(algorithm)) {
                Ok(()) => eprintln!("{algorithm:?}: it does"),
                Err(said) => assert!(said.starts_with("this kernel has no TCP-AO"), "{said}"),
            }
        }
    }

    #[test]
    fn an_id_that_stands_for_another_key_needs_another_connection() {
        let keys = |keys: &[(u8, u8, &[u8])]| Keys {
            keys: keys
                .iter()
                .map(|(send, receive, secret)| Key {
                    ids: Ids {
                        send: *send,
                        receive: *receive,
                    },
                    algorithm: Algorithm::Aes128Cmac,
                    secret: TcpKey::for_tests(secret),
                })
                .collect(),
            options: TcpOptions::Included,
        };
        let old = keys(&[(1, 1, b"one")]);
        for (new, can) in [
            (keys(&[(1, 1, b"one")]), true),
            (keys(&[(2, 2, b"two"), (1, 1, b"one")]), true),
            (keys(&[(2, 2, b"two")]), true),
            (keys(&[(1, 1, b"two")]), false),
            (keys(&[(1, 2, b"one")]), false),
            (keys(&[(2, 1, b"one")]), false),
        ] {
            assert_eq!(new.can_follow(&old), can, "{new:?}");
        }
        let mut bare = keys(&[(1, 1, b"one")]);
        bare.options = TcpOptions::Excluded;
        assert!(!bare.can_follow(&old));
    }
}
