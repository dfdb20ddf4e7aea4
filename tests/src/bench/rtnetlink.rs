//! The little of rtnetlink that measuring needs: what leads where, each change of it, and pulling a plug
//! at a known moment.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::OwnedFd;
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use bgp::{Family, Prefix};
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt};

use crate::lab::netns::Namespace;

pub(super) const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
pub(super) const NLM_F_REQUEST: u16 = 1;
pub(super) const NLM_F_ACK: u16 = 4;
const NLM_F_DUMP: u16 = 0x300;
const RTM_SETLINK: u16 = 19;
pub(super) const RTM_NEWROUTE: u16 = 24;
const RTM_DELROUTE: u16 = 25;
const RTM_GETROUTE: u16 = 26;
pub(super) const RTM_NEWNEXTHOP: u16 = 104;
const RTM_DELNEXTHOP: u16 = 105;
const RTM_GETNEXTHOP: u16 = 106;
const IFLA_MASTER: u16 = 10;
const IFF_UP: u32 = 1;
pub(super) const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_MULTIPATH: u16 = 9;
pub(super) const RTA_NH_ID: u16 = 30;
pub(super) const NHA_ID: u16 = 1;
const NHA_GROUP: u16 = 2;
pub(super) const NHA_OIF: u16 = 5;
const NHA_RES_GROUP: u16 = 12;
const NHA_RES_GROUP_BUCKETS: u16 = 1;
/// `sizeof(struct nlmsghdr)`.
pub(super) const HEADER: usize = 16;
/// `sizeof(struct rtmsg)`.
const RTMSG: usize = 12;
/// `sizeof(struct nhmsg)`.
const NHMSG: usize = 8;
pub(super) const MAIN: u8 = 254;
/// Groups of notifications: 7 is routes of IPv4, 11 those of IPv6, 32 nexthop objects.
const CHANGES: u32 = 1 << 6 | 1 << 10 | 1 << 31;
/// Half a million notifications in a burst must not be lost.
const ROOM: usize = 512 << 20;
const DATAGRAM: usize = 1 << 18;

/// Where a route points.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Via {
    /// An interface, by its index.
    Interface(u32),
    /// A nexthop object or group, by its number.
    Nexthop(u32),
    /// Several ways, or none.
    Unknown,
}

/// What a nexthop object is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Nexthop {
    /// An interface.
    Interface(u32),
    /// Others, each of which carries a part; or the one that does, where others only stand by.
    Group(Vec<u32>),
}

/// What the kernel says of one object.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Told {
    /// There is a route.
    Route(Prefix, Via),
    /// It is gone.
    NoRoute(Prefix, Via),
    /// There is a nexthop object.
    Nexthop(u32, Nexthop),
    /// It is gone.
    NoNexthop(u32),
}

/// A socket in a namespace.
#[derive(Debug)]
pub struct Rtnetlink {
    socket: OwnedFd,
    buffer: Vec<u8>,
}

impl Rtnetlink {
    /// For questions and orders.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn open(namespace: &Namespace) -> Result<Self> {
        Self::with_groups(namespace, 0)
    }

    /// One that hears every change of routes and nexthop objects.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn watch(namespace: &Namespace) -> Result<Self> {
        let watch = Self::with_groups(namespace, CHANGES)?;
        sockopt::set_socket_recv_buffer_size_force(&watch.socket, ROOM)?;
        Ok(watch)
    }

    fn with_groups(namespace: &Namespace, groups: u32) -> Result<Self> {
        let socket = namespace.inside(|| {
            let family = AddressFamily::NETLINK;
            let flags = SocketFlags::CLOEXEC;
            let socket = rustix::net::socket_with(family, SocketType::RAW, flags, None)?;
            rustix::net::bind(&socket, &SocketAddrNetlink::new(0, groups))?;
            Ok(socket)
        })?;
        Ok(Self {
            socket,
            buffer: vec![0; DATAGRAM],
        })
    }

    /// The changes that came since the last call, waiting for none.
    ///
    /// # Errors
    ///
    /// The kernel's: some were lost.
    pub fn changes(&mut self, mut each: impl FnMut(Told)) -> Result<Option<Instant>> {
        let (_, length) =
            match rustix::net::recv(&self.socket, &mut *self.buffer, RecvFlags::DONTWAIT) {
                Ok(received) => received,
                Err(rustix::io::Errno::AGAIN) => return Ok(None),
                Err(error) => return Err(error).context("notifications of the kernel"),
            };
        let at = Instant::now();
        for (kind, body) in messages(&self.buffer[..length]) {
            if let Some(told) = told(kind, body) {
                each(told);
            }
        }
        Ok(Some(at))
    }

    /// The socket, to wait for changes.
    pub fn socket(&self) -> &OwnedFd {
        &self.socket
    }

    /// Routes of a family in the main table, and all nexthop objects.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn dump(&mut self, family: Family, mut each: impl FnMut(Told)) -> Result<()> {
        self.dump_one(RTM_GETNEXTHOP, &[0; NHMSG], &mut each)?;
        let mut body = [0; RTMSG];
        body[0] = number(family);
        self.dump_one(RTM_GETROUTE, &body, &mut each)
    }

    fn dump_one(&mut self, kind: u16, body: &[u8], each: &mut impl FnMut(Told)) -> Result<()> {
        self.send(kind, NLM_F_DUMP, body)?;
        loop {
            let (_, length) =
                rustix::net::recv(&self.socket, &mut *self.buffer, RecvFlags::empty())?;
            for (kind, body) in messages(&self.buffer[..length]) {
                match kind {
                    NLMSG_DONE => return Ok(()),
                    NLMSG_ERROR => bail!("dump refused: {}", refusal(body)),
                    _ => told(kind, body).into_iter().for_each(&mut *each),
                }
            }
        }
    }

    /// Takes an interface out of its bridge, or puts it into one: 0 is none.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn set_master(&mut self, interface: u32, master: u32) -> Result<()> {
        let mut body = ifinfo(interface, 0, 0);
        attribute(&mut body, IFLA_MASTER, &master.to_ne_bytes());
        self.order(RTM_SETLINK, &body)
    }

    /// Sets an interface up or down, whose far end so gets or loses its carrier.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn set_power(&mut self, interface: u32, power: Power) -> Result<()> {
        let flags = match power {
            Power::On => IFF_UP,
            Power::Off => 0,
        };
        self.order(RTM_SETLINK, &ifinfo(interface, flags, IFF_UP))
    }

    fn order(&mut self, kind: u16, body: &[u8]) -> Result<()> {
        self.send(kind, NLM_F_ACK, body)?;
        let (_, length) = rustix::net::recv(&self.socket, &mut *self.buffer, RecvFlags::empty())?;
        let (kind, body) = messages(&self.buffer[..length])
            .next()
            .context("an empty answer")?;
        let is_done = kind == NLMSG_ERROR && body.get(..4) == Some(&[0; 4]);
        ensure!(is_done, "the kernel refused: {}", refusal(body));
        Ok(())
    }

    fn send(&self, kind: u16, flags: u16, body: &[u8]) -> Result<()> {
        let mut message = Vec::with_capacity(HEADER + body.len());
        let length = u32::try_from(HEADER + body.len())?;
        message.extend(length.to_ne_bytes());
        message.extend(kind.to_ne_bytes());
        message.extend((NLM_F_REQUEST | flags).to_ne_bytes());
        message.extend([0; 8]);
        message.extend(body);
        rustix::net::send(&self.socket, &message, SendFlags::empty())?;
        Ok(())
    }
}

/// Whether an interface is up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Power {
    /// Up.
    On,
    /// Down.
    Off,
}

/// What leads where, as the kernel told it.
#[derive(Clone, Default, Debug)]
pub struct Model {
    routes: HashMap<Prefix, Via>,
    nexthops: HashMap<u32, Nexthop>,
    /// How many routes point there.
    users: HashMap<Via, usize>,
}

impl Model {
    /// Notes one thing.
    pub fn note(&mut self, told: Told) {
        match told {
            Told::Route(prefix, via) => {
                if let Some(before) = self.routes.insert(prefix, via) {
                    self.left(before);
                }
                *self.users.entry(via).or_default() += 1;
            }
            // A replacement may be told before the end of what it replaces.
            Told::NoRoute(prefix, via) => {
                if self.routes.get(&prefix) == Some(&via) {
                    self.routes.remove(&prefix);
                    self.left(via);
                }
            }
            Told::Nexthop(id, nexthop) => {
                self.nexthops.insert(id, nexthop);
            }
            Told::NoNexthop(id) => {
                self.nexthops.remove(&id);
            }
        }
    }

    fn left(&mut self, via: Via) {
        if let Some(count) = self.users.get_mut(&via) {
            *count -= 1;
        }
    }

    /// How many routes lead over this interface alone.
    #[expect(clippy::iter_over_hash_type, reason = "a sum has no order")]
    pub fn over(&self, interface: u32) -> usize {
        let mut sum = 0;
        for (via, users) in &self.users {
            if *users > 0 && self.leads(*via, interface) {
                sum += users;
            }
        }
        sum
    }

    fn leads(&self, via: Via, interface: u32) -> bool {
        match via {
            Via::Interface(index) => index == interface,
            Via::Unknown => false,
            Via::Nexthop(id) => match self.nexthops.get(&id) {
                Some(Nexthop::Interface(index)) => *index == interface,
                Some(Nexthop::Group(members)) => {
                    let leads =
                        |id: &u32| self.nexthops.get(id) == Some(&Nexthop::Interface(interface));
                    !members.is_empty() && members.iter().all(leads)
                }
                None => false,
            },
        }
    }
}

fn number(family: Family) -> u8 {
    match family {
        Family::Ipv4Unicast => 2,
        Family::Ipv6Unicast => 10,
    }
}

/// `struct ifinfomsg`.
fn ifinfo(interface: u32, flags: u32, change: u32) -> Vec<u8> {
    let mut body = vec![0; 4];
    for field in [interface, flags, change] {
        body.extend(field.to_ne_bytes());
    }
    body
}

fn attribute(body: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(4 + value.len()).expect("attributes here are short");
    body.extend(length.to_ne_bytes());
    body.extend(kind.to_ne_bytes());
    body.extend(value);
    body.resize(body.len().next_multiple_of(4), 0);
}

fn refusal(body: &[u8]) -> io::Error {
    let code = body.get(..4).and_then(|code| code.try_into().ok());
    io::Error::from_raw_os_error(-i32::from_ne_bytes(code.unwrap_or_default()))
}

fn messages(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::try_from(u32_of(bytes.get(..4)?)?).ok()?;
        let kind = u16::from_ne_bytes(bytes.get(4..6)?.try_into().ok()?);
        let body = bytes.get(HEADER..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, body))
    })
}

fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?));
        let kind = u16::from_ne_bytes(bytes.get(2..4)?.try_into().ok()?) & 0x3fff;
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

fn find(bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    attributes(bytes).find_map(|(kind, value)| (kind == wanted).then_some(value))
}

fn u32_of(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(..4)?.try_into().ok()?))
}

fn told(kind: u16, body: &[u8]) -> Option<Told> {
    match kind {
        RTM_NEWROUTE => route(body).map(|(prefix, via)| Told::Route(prefix, via)),
        RTM_DELROUTE => route(body).map(|(prefix, via)| Told::NoRoute(prefix, via)),
        RTM_NEWNEXTHOP => nexthop(body),
        RTM_DELNEXTHOP => find(body.get(NHMSG..)?, NHA_ID)
            .and_then(u32_of)
            .map(Told::NoNexthop),
        _ => None,
    }
}

fn route(body: &[u8]) -> Option<(Prefix, Via)> {
    let (length, table) = (*body.get(1)?, *body.get(4)?);
    if table != MAIN {
        return None;
    }
    let (mut destination, mut interface, mut nexthop, mut several) = (None, None, None, false);
    for (kind, value) in attributes(body.get(RTMSG..)?) {
        match kind {
            RTA_DST => destination = Some(value),
            RTA_OIF => interface = u32_of(value),
            RTA_NH_ID => nexthop = u32_of(value),
            RTA_MULTIPATH => several = true,
            _ => {}
        }
    }
    let address: IpAddr = match (destination?, body.first()?) {
        (octets, 2) => Ipv4Addr::from(<[u8; 4]>::try_from(octets).ok()?).into(),
        (octets, 10) => Ipv6Addr::from(<[u8; 16]>::try_from(octets).ok()?).into(),
        _ => return None,
    };
    let via = match (nexthop, interface) {
        (Some(id), _) => Via::Nexthop(id),
        (None, Some(index)) if !several => Via::Interface(index),
        (None, _) => Via::Unknown,
    };
    Some((Prefix::new(address, length).ok()?, via))
}

fn nexthop(body: &[u8]) -> Option<Told> {
    let attributes_of = body.get(NHMSG..)?;
    let id = find(attributes_of, NHA_ID).and_then(u32_of)?;
    if let Some(members) = find(attributes_of, NHA_GROUP) {
        // `struct nexthop_grp`: a number, then its weight less one.
        let members = members.chunks_exact(8);
        let weighed = members.filter_map(|member| Some((u32_of(member)?, *member.get(4)?)));
        let mut members: Vec<(u32, u8)> = weighed.collect();
        if has_one_bucket(attributes_of) {
            members.sort_by_key(|(_, weight)| std::cmp::Reverse(*weight));
            members.truncate(1);
        }
        let members = members.into_iter().map(|(id, _)| id).collect();
        return Some(Told::Nexthop(id, Nexthop::Group(members)));
    }
    let interface = find(attributes_of, NHA_OIF).and_then(u32_of)?;
    Some(Told::Nexthop(id, Nexthop::Interface(interface)))
}

/// A resilient group that keeps all flows together: who has the most weight has them.
fn has_one_bucket(attributes_of: &[u8]) -> bool {
    let table = find(attributes_of, NHA_RES_GROUP).unwrap_or_default();
    find(table, NHA_RES_GROUP_BUCKETS) == Some(&1_u16.to_ne_bytes()[..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> Prefix {
        text.parse().expect("a prefix")
    }

    #[test]
    fn a_group_that_is_replaced_moves_all_its_routes_at_once() {
        let mut model = Model::default();
        model.note(Told::Nexthop(1, Nexthop::Interface(7)));
        model.note(Told::Nexthop(2, Nexthop::Interface(8)));
        model.note(Told::Nexthop(9, Nexthop::Group(vec![1])));
        for text in ["10.0.0.0/8", "11.0.0.0/8"] {
            model.note(Told::Route(prefix(text), Via::Nexthop(9)));
        }
        assert_eq!((model.over(7), model.over(8)), (2, 0));
        model.note(Told::Nexthop(9, Nexthop::Group(vec![2])));
        assert_eq!((model.over(7), model.over(8)), (0, 2));
        model.note(Told::Nexthop(9, Nexthop::Group(vec![1, 2])));
        assert_eq!((model.over(7), model.over(8)), (0, 0));
    }

    #[test]
    fn the_end_of_what_was_replaced_ends_nothing_else() {
        let mut model = Model::default();
        let route = prefix("10.0.0.0/8");
        model.note(Told::Route(route, Via::Interface(7)));
        model.note(Told::Route(route, Via::Interface(8)));
        model.note(Told::NoRoute(route, Via::Interface(7)));
        assert_eq!((model.over(7), model.over(8)), (0, 1));
        model.note(Told::NoRoute(route, Via::Interface(8)));
        assert_eq!(model.over(8), 0);
    }
}
