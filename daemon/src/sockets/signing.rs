//! What signs the segments of a peer, on sockets of every kind.

use std::io;
use std::net::IpAddr;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use ipnet::IpNet;

use super::{ao, tcp};
use crate::secrets::TcpKey;

/// The keys of a peer or of a listen range.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Signing {
    /// TCP MD5 (RFC 2385).
    Md5(Arc<TcpKey>),
    /// TCP-AO (RFC 5925).
    Ao(Arc<ao::Keys>),
}

impl Signing {
    /// Whether connections that were opened with `old` can go on with these.
    pub(crate) fn can_follow(&self, old: &Self) -> bool {
        match (self, old) {
            (Self::Ao(new), Self::Ao(old)) => new.can_follow(old),
            (new, old) => new == old,
        }
    }

    /// Sets them on a socket that is about to connect.
    ///
    /// - `attempt`: connections are tried with one key of several after the other, since the peer
    ///   may not have all of them
    pub(super) fn prepare(
        &self,
        socket: BorrowedFd<'_>,
        remote: IpAddr,
        attempt: usize,
    ) -> io::Result<()> {
        match self {
            Self::Md5(key) => tcp::set_key(socket, remote.into(), key.as_bytes()),
            Self::Ao(keys) => ao::prepare(socket, remote, keys, attempt),
        }
    }

    fn ao(signing: Option<&Self>) -> Option<&ao::Keys> {
        match signing {
            Some(Self::Ao(keys)) => Some(keys),
            Some(Self::Md5(_)) | None => None,
        }
    }

    fn md5(signing: Option<&Self>) -> Option<&TcpKey> {
        match signing {
            Some(Self::Md5(key)) => Some(key),
            Some(Self::Ao(_)) | None => None,
        }
    }
}

/// The keys for callers from a network, as they were and as they are to be.
pub(super) struct Change<'k> {
    pub(super) network: IpNet,
    pub(super) old: Option<&'k Signing>,
    pub(super) new: Option<&'k Signing>,
}

impl Change<'_> {
    /// Takes from a listening socket what is not to stay.
    pub(super) fn release(&self, socket: BorrowedFd<'_>) -> io::Result<()> {
        let [old, new] = [self.old, self.new];
        // One that is set again takes the place of the one before.
        if Signing::md5(old).is_some() && Signing::md5(new).is_none() {
            tcp::set_key(socket, self.network, &[])?;
        }
        ao::release(socket, self.network, [Signing::ao(old), Signing::ao(new)])
    }

    /// Gives it what it does not have.
    pub(super) fn guard(&self, socket: BorrowedFd<'_>) -> io::Result<()> {
        let [old, new] = [self.old, self.new];
        if let Some(key) = Signing::md5(new)
            && old != new
        {
            tcp::set_key(socket, self.network, key.as_bytes())?;
        }
        ao::guard(socket, self.network, [Signing::ao(old), Signing::ao(new)])
    }
}
