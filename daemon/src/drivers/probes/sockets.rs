//! The sockets of one link, bound to its interface as it is.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;

use links::{Method, Via, stamp};
use rustix::event::epoll::{self, EventData, EventFlags};
use tracing::{debug, warn};

use super::{Key, Target};
use crate::sockets;

/// What a socket is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Role {
    /// Sends probes by STAMP.
    Stamp,
    /// Sends probes by ICMP.
    Icmp,
    /// Answers the far end's.
    Reflector,
}

impl Role {
    const ALL: [Self; 3] = [Self::Stamp, Self::Icmp, Self::Reflector];

    /// Whose answers come by it.
    pub(super) fn via(self) -> Option<Via> {
        match self {
            Self::Stamp => Some(Via::Stamp),
            Self::Icmp => Some(Via::Icmp),
            Self::Reflector => None,
        }
    }

    fn number(self) -> u64 {
        match self {
            Self::Stamp => 0,
            Self::Icmp => 1,
            Self::Reflector => 2,
        }
    }

    fn is_for(self, target: &Target) -> bool {
        let asks_by = |method| {
            let probe = target.probe.as_ref();
            probe.is_some_and(|probe| probe.method == Method::Auto || probe.method == method)
        };
        match self {
            Self::Stamp => asks_by(Method::Stamp),
            Self::Icmp => asks_by(Method::Icmp),
            Self::Reflector => true,
        }
    }

    fn open(self, target: &Target) -> io::Result<UdpSocket> {
        let Target {
            interface,
            local,
            remote,
            ..
        } = target;
        match self {
            Self::Stamp => sockets::probe(interface, *local, SocketAddr::new(*remote, stamp::PORT)),
            Self::Icmp => sockets::echo(interface, *local, *remote),
            Self::Reflector => sockets::reflector(interface, *local, stamp::PORT),
        }
    }
}

/// What epoll gives back for a socket.
pub(super) fn token(key: Key, role: Role) -> EventData {
    EventData::new_u64(key.0 << 2 | role.number())
}

/// Whose socket that is, and which.
pub(super) fn whose(token: EventData) -> Option<(Key, Role)> {
    let token = token.u64();
    let role = Role::ALL
        .into_iter()
        .find(|role| role.number() == token & 3)?;
    Some((Key(token >> 2), role))
}

#[derive(Default)]
pub(super) struct Sockets([Option<UdpSocket>; Role::ALL.len()]);

/// Whether all that a link needs is open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Opened {
    All,
    NotAll,
}

impl Sockets {
    pub(super) fn of(&self, role: Role) -> Option<&UdpSocket> {
        self.0[role.number() as usize].as_ref()
    }

    /// Opens what is missing. What cannot be opened is to be tried again: an IPv6 address is on
    /// the interface before it can be bound to (RFC 4862 §5.4).
    ///
    /// - `said`: that something cannot be opened
    pub(super) fn open(
        &mut self,
        key: Key,
        target: &Target,
        epoll: &OwnedFd,
        said: Said,
    ) -> Opened {
        let mut opened = Opened::All;
        for role in Role::ALL.into_iter().filter(|role| role.is_for(target)) {
            let slot = &mut self.0[role.number() as usize];
            if slot.is_some() {
                continue;
            }
            let socket = role.open(target).and_then(|socket| {
                epoll::add(epoll, &socket, token(key, role), EventFlags::IN)?;
                Ok(socket)
            });
            match socket {
                Ok(socket) => *slot = Some(socket),
                Err(error) => {
                    opened = Opened::NotAll;
                    let link = &target.name;
                    match said {
                        Said::Already => debug!(link, ?role, %error, "cannot open a socket"),
                        Said::NotYet => {
                            warn!(link, ?role, %error, "cannot open a socket, trying on");
                        }
                    }
                }
            }
        }
        opened
    }
}

/// Whether people were told that something is missing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Said {
    NotYet,
    Already,
}
