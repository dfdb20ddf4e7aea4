//! The kernel's routing tables over rtnetlink.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::ControlFlow;

use bgp::{Family, FamilySet, Prefix};
use ipnet::IpNet;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE, Parseable};
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use smallvec::SmallVec;
use tokio::sync::{mpsc, oneshot};

use super::nexthop::{self, Object};
use super::request::{Attributes, Batch, Requests, dump_request};
use super::watch::Watch;
use super::{
    Applied, Change, Exit, Fib, FoundRoutes, Interface, Interfaces, Observed, OtherRoute, PROTOCOL,
    Standby, Step,
};

const RTM_GETLINK: u16 = 18;
const RTM_GETADDR: u16 = 22;
const RTM_NEWROUTE: u16 = 24;
const RTM_DELROUTE: u16 = 25;
const RTM_GETROUTE: u16 = 26;
const RTA_DST: u16 = 1;
const RTA_PRIORITY: u16 = 6;
const RTA_TABLE: u16 = 15;
const RTA_NH_ID: u16 = 30;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_MULTIPATH: u16 = 9;
const RTA_VIA: u16 = 18;
/// `sizeof(struct rtmsg)`.
const RTMSG: usize = 12;
/// `sizeof(struct rtnexthop)`.
const RTNEXTHOP: usize = 8;
/// Where everybody's routes are.
const MAIN: u32 = 254;
const ANY_TABLE: u32 = 0;
/// `RTPROT_UNSPEC`: of any protocol.
const UNSPECIFIED: u8 = 0;
/// Routes that are read, or removed at the end of it all, at a time.
const ROUTES: usize = 1024;
/// A table that changes while it is read is read again, so often at most.
const DUMP_ATTEMPTS: usize = 5;
/// With this at 0 the kernel does not notify every route when a nexthop group is replaced: that
/// is what makes a failover independent of the number of routes. Covers IPv6 too.
const COMPAT_MODE: &str = "/proc/sys/net/ipv4/nexthop_compat_mode";

/// "6.1.0-18-amd64".
const RELEASE: &str = "/proc/sys/kernel/osrelease";

/// One kernel routing table.
pub(crate) struct Netlink {
    requests: Requests,
    hands: Hands,
    watch: Watch,
    place: Place,
}

/// Where our routes are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Place {
    table: u32,
    metric: u32,
}

impl Netlink {
    /// Watches first, so that nothing that changes after the first look is missed.
    ///
    /// - `table`: kernel routing table
    /// - `metric`: of our routes in it; lower is preferred
    ///
    /// # Errors
    ///
    /// Sockets could not be opened, or a thread not be started.
    pub(crate) fn open(table: u32, metric: u32) -> io::Result<Self> {
        let place = Place { table, metric };
        let changes = Requests::open()?;
        let watch = Watch::open(changes.port()?)?;
        Ok(Self {
            requests: Requests::open()?,
            hands: Hands::start(changes, place)?,
            watch,
            place,
        })
    }

    /// Families in which an earlier run has left routes that forward.
    ///
    /// # Errors
    ///
    /// The kernel could not be asked.
    pub(crate) fn left_over(&self) -> io::Result<FamilySet> {
        let mut found = FamilySet::default();
        for family in Family::ALL {
            let number = match family {
                Family::Ipv4Unicast => libc::AF_INET,
                Family::Ipv6Unicast => libc::AF_INET6,
            };
            let request = dump_table(number, self.place.table, PROTOCOL);
            Requests::open()?.dump_until(&request, |_, body| match Route::decode(body) {
                Some(route) if route.place == self.place => {
                    found.insert(family);
                    ControlFlow::Break(())
                }
                Some(_) | None => ControlFlow::Continue(()),
            })?;
        }
        Ok(found)
    }

    /// Whether this kernel has resilient groups: Linux 5.13 and later do.
    pub(crate) fn standby() -> Standby {
        let release = std::fs::read_to_string(RELEASE).unwrap_or_default();
        let mut numbers = release
            .split(|c: char| !c.is_ascii_digit())
            .map(|number| number.parse::<u32>().unwrap_or(0));
        match (numbers.next(), numbers.next()) {
            (Some(major), Some(minor)) if (major, minor) >= (5, 13) => Standby::Possible,
            _ => Standby::Impossible,
        }
    }

    /// Makes a failover cost one message a group.
    ///
    /// # Errors
    ///
    /// The setting could not be written; failover then costs the kernel one notification a route.
    pub(crate) fn disable_compat_mode() -> io::Result<()> {
        if std::fs::read_to_string(COMPAT_MODE)?.trim() == "0" {
            return Ok(());
        }
        std::fs::write(COMPAT_MODE, "0")
    }

    fn observe_interfaces(&mut self) -> io::Result<Interfaces> {
        let mut links = BTreeMap::new();
        let request = dump_request(RTM_GETLINK, &[0; 16]);
        self.requests.dump(&request, |_, body| {
            if let Some(interface) = interface(body) {
                links.insert(interface.index, interface);
            }
        })?;
        let request = dump_request(RTM_GETADDR, &[0; 8]);
        self.requests.dump(&request, |_, body| {
            if let Some((index, net)) = address(body)
                && let Some(interface) = links.get_mut(&index)
            {
                interface.addresses.push(net);
            }
        })?;
        Ok(Interfaces(links.into_values().collect()))
    }

    fn observe_all(&mut self) -> io::Result<Observed> {
        let mut observed = Observed {
            interfaces: self.observe_interfaces()?,
            ..Observed::default()
        };
        self.requests
            .dump(&nexthop::all(), |_, body| match nexthop::decode(body) {
                Some(Object::Nexthop { id, way }) => {
                    observed.nexthops.insert(id, way);
                }
                Some(Object::Group { id, lead }) => {
                    observed.groups.insert(id, lead);
                }
                None => observed.others.extend(nexthop::decode_other(body)),
            })?;
        Ok(observed)
    }
}

impl Fib for Netlink {
    fn observe(&mut self) -> io::Result<Observed> {
        beside(|| uninterrupted(|| self.observe_all()))
    }

    fn observe_routes(&mut self) -> mpsc::Receiver<io::Result<FoundRoutes>> {
        let (found, receiver) = mpsc::channel(1);
        let place = self.place;
        tokio::task::spawn_blocking(move || {
            if let Err(error) = uninterrupted(|| read_routes(place, &found)) {
                // The one who asked may be gone.
                let _ = found.blocking_send(Err(error));
            }
        });
        receiver
    }

    fn interfaces(&mut self) -> io::Result<Interfaces> {
        beside(|| uninterrupted(|| self.observe_interfaces()))
    }

    fn apply(&mut self, steps: Vec<Step>) -> oneshot::Receiver<Applied> {
        self.hands.give(steps)
    }

    async fn watch(&mut self) -> io::Result<Change> {
        self.watch.next().await
    }
}

/// The thread that changes the kernel's tables: `sendmsg` takes as long as the kernel needs, and
/// a task that waits for it would hold up others.
struct Hands {
    work: std::sync::mpsc::Sender<(Vec<Step>, oneshot::Sender<Applied>)>,
}

impl Hands {
    /// The thread ends when this is dropped.
    fn start(mut requests: Requests, place: Place) -> io::Result<Self> {
        let (work, given) = std::sync::mpsc::channel();
        std::thread::Builder::new()
            .name("fib-netlink".to_owned())
            .spawn(move || {
                crate::priority::raise("what changes the kernel's routes");
                let mut batch = Batch::default();
                while let Ok((steps, done)) = given.recv() {
                    let applied = apply(&mut requests, &mut batch, steps, place);
                    let done: oneshot::Sender<Applied> = done;
                    // The one who asked may be gone.
                    let _ = done.send(applied);
                }
            })?;
        Ok(Self { work })
    }

    fn give(&self, steps: Vec<Step>) -> oneshot::Receiver<Applied> {
        let (done, is_done) = oneshot::channel();
        // A thread that is gone drops `done`, which the one who waits sees.
        let _ = self.work.send((steps, done));
        is_done
    }
}

fn apply(requests: &mut Requests, batch: &mut Batch, steps: Vec<Step>, place: Place) -> Applied {
    batch.clear();
    for step in &steps {
        encode(batch, step, place);
    }
    let mut failures = match requests.send(batch) {
        Ok(failures) => failures,
        Err(error) => {
            let again = || io::Error::new(error.kind(), error.to_string());
            (0..steps.len()).map(|number| (number, again())).collect()
        }
    };
    failures.retain(|(number, error)| !is_done_already(&steps[*number], error));
    Applied { steps, failures }
}

fn encode(batch: &mut Batch, step: &Step, place: Place) {
    const FLAGS: u16 = NLM_F_CREATE | NLM_F_REPLACE;
    match step {
        Step::SetNexthop { id, way } => nexthop::set(batch, *id, *way),
        Step::SetGroup { id, lead } => nexthop::set_group(batch, *id, lead),
        Step::RemoveNexthop { id } => nexthop::remove(batch, *id),
        Step::SetRoute { prefix, nexthop } => {
            route_message(batch, RTM_NEWROUTE, FLAGS, prefix, place);
            batch.attribute(RTA_NH_ID, &nexthop.to_ne_bytes());
        }
        Step::RemoveRoute { prefix } => route_message(batch, RTM_DELROUTE, 0, prefix, place),
    }
}

/// Reads all routes of ours, and those of others in the main table, some thousand at a time.
fn read_routes(place: Place, found: &mpsc::Sender<io::Result<FoundRoutes>>) -> io::Result<()> {
    let mut requests = Requests::open()?;
    let mut wanted = vec![(MAIN, UNSPECIFIED)];
    if place.table != MAIN {
        wanted.push((place.table, PROTOCOL));
    }
    for (table, protocol) in wanted {
        for family in [libc::AF_INET, libc::AF_INET6] {
            let request = dump_table(family, table, protocol);
            let mut routes = FoundRoutes::default();
            requests.dump(&request, |_, body| {
                if let Some(route) = Route::decode(body) {
                    let ours = Some(route).filter(|route| route.place == place);
                    routes
                        .ours
                        .extend(ours.map(|route| (route.prefix, route.nexthop)));
                } else if table == MAIN {
                    routes.others.extend(decode_other(body));
                }
                if routes.ours.len().max(routes.others.len()) >= ROUTES {
                    // Who is gone needs nothing.
                    let _ = found.blocking_send(Ok(std::mem::take(&mut routes)));
                }
            })?;
            let _ = found.blocking_send(Ok(routes));
        }
    }
    Ok(())
}

/// What went over an interface since it was made, bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) received: u64,
    pub(crate) sent: u64,
}

/// The traffic of every interface, by name.
///
/// # Errors
///
/// The kernel could not be asked.
pub(crate) fn traffic() -> io::Result<BTreeMap<String, Traffic>> {
    let mut traffic = BTreeMap::new();
    let request = dump_request(RTM_GETLINK, &[0; 16]);
    Requests::open()?.dump(&request, |_, body| {
        let Ok(message) = LinkMessage::parse(body) else {
            return;
        };
        let (mut name, mut bytes) = (None, None);
        for attribute in message.attributes {
            if let LinkAttribute::IfName(text) = attribute {
                name = Some(text);
            } else if let LinkAttribute::Stats64(stats) = attribute {
                bytes = Some(Traffic {
                    received: stats.rx_bytes,
                    sent: stats.tx_bytes,
                });
            }
        }
        traffic.extend(name.zip(bytes));
    })?;
    Ok(traffic)
}

/// Lets other tasks of this thread go on elsewhere: the kernel lists interfaces only when it has its
/// lock, and one route that makes a large trie grow holds that for 200 ms and more.
fn beside<T>(dump: impl FnOnce() -> T) -> T {
    tokio::task::block_in_place(dump)
}

fn uninterrupted<T>(mut dump: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let mut attempt = 1;
    loop {
        match dump() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted && attempt < DUMP_ATTEMPTS => {
                attempt += 1;
            }
            result => return result,
        }
    }
}

/// Removing what is not there is no failure.
fn is_done_already(step: &Step, error: &io::Error) -> bool {
    let absent = match error.raw_os_error() {
        Some(code) => [libc::ESRCH, libc::ENOENT, libc::ENODEV].contains(&code),
        None => error.kind() == io::ErrorKind::NotFound,
    };
    absent && matches!(step, Step::RemoveRoute { .. } | Step::RemoveNexthop { .. })
}

/// Begins a message about a route of ours.
fn route_message(batch: &mut Batch, kind: u16, flags: u16, prefix: &Prefix, place: Place) {
    let family = match prefix {
        Prefix::V4(_) => libc::AF_INET,
        Prefix::V6(_) => libc::AF_INET6,
    };
    let mut header = header(family, place.table, PROTOCOL);
    header[1] = prefix.prefix_len();
    header[7] = libc::RTN_UNICAST;
    batch.begin(kind, flags, &header);
    match prefix.addr() {
        IpAddr::V4(address) => batch.attribute(RTA_DST, &address.octets()),
        IpAddr::V6(address) => batch.attribute(RTA_DST, &address.octets()),
    }
    batch.attribute(RTA_TABLE, &place.table.to_ne_bytes());
    batch.attribute(RTA_PRIORITY, &place.metric.to_ne_bytes());
}

/// A request for the routes of a protocol in a table.
fn dump_table(family: libc::c_int, table: u32, protocol: u8) -> Batch {
    let mut request = dump_request(RTM_GETROUTE, &header(family, table, protocol));
    if table != ANY_TABLE {
        request.attribute(RTA_TABLE, &table.to_ne_bytes());
    }
    request
}

/// `struct rtmsg`: family, lengths of destination and source, TOS, table, protocol, scope, type,
/// flags. A table above 255 stands in an attribute alone.
fn header(family: libc::c_int, table: u32, protocol: u8) -> [u8; RTMSG] {
    let mut header = [0; RTMSG];
    header[0] = family as u8;
    header[4] = u8::try_from(table).unwrap_or_default();
    header[5] = protocol;
    header
}

fn interface(body: &[u8]) -> Option<Interface> {
    let message = LinkMessage::parse(body).ok()?;
    let mut interface = Interface {
        index: message.header.index,
        name: String::new(),
        up: message
            .header
            .flags
            .contains(LinkFlags::Up | LinkFlags::LowerUp),
        mtu: 0,
        addresses: Vec::new(),
    };
    for attribute in message.attributes {
        if let LinkAttribute::IfName(name) = attribute {
            interface.name = name;
        } else if let LinkAttribute::Mtu(mtu) = attribute {
            interface.mtu = mtu;
        }
    }
    (!interface.name.is_empty()).then_some(interface)
}

fn address(body: &[u8]) -> Option<(u32, IpNet)> {
    let message = AddressMessage::parse(body).ok()?;
    let (mut local, mut other) = (None, None);
    for attribute in message.attributes {
        if let AddressAttribute::Local(address) = attribute {
            local = Some(address);
        } else if let AddressAttribute::Address(address) = attribute {
            other = Some(address);
        }
    }
    // On a point-to-point interface ADDRESS is the far end, and LOCAL is ours.
    let net = IpNet::new(local.or(other)?, message.header.prefix_len).ok()?;
    Some((message.header.index, net))
}

/// A route of ours in the kernel.
#[derive(PartialEq, Eq, Debug)]
struct Route {
    prefix: Prefix,
    place: Place,
    nexthop: Option<u32>,
}

impl Route {
    /// `None` if it is not ours.
    fn decode(body: &[u8]) -> Option<Self> {
        let header: [u8; RTMSG] = *body.first_chunk()?;
        let [family, length, _, _, table, protocol, ..] = header;
        if protocol != PROTOCOL {
            return None;
        }
        let is_v4 = libc::c_int::from(family) == libc::AF_INET;
        let mut address: IpAddr = match is_v4 {
            true => Ipv4Addr::UNSPECIFIED.into(),
            false => Ipv6Addr::UNSPECIFIED.into(),
        };
        let mut place = Place {
            table: table.into(),
            metric: 0,
        };
        let mut nexthop = None;
        for (kind, value) in Attributes(&body[RTMSG..]) {
            let number = || value.first_chunk().map(|it| u32::from_ne_bytes(*it));
            match kind {
                RTA_DST if is_v4 => address = (*value.first_chunk::<4>()?).into(),
                RTA_DST => address = (*value.first_chunk::<16>()?).into(),
                RTA_TABLE => place.table = number()?,
                RTA_PRIORITY => place.metric = number()?,
                RTA_NH_ID => nexthop = number(),
                _ => {}
            }
        }
        Some(Self {
            prefix: Prefix::new(address, length).ok()?,
            place,
            nexthop,
        })
    }
}

/// A route of another in the main table; `None` if it is none that packets take: of ours, of
/// another table, to ourselves, for one TOS only.
pub(super) fn decode_other(body: &[u8]) -> Option<OtherRoute> {
    /// `RTM_F_CLONED`: an answer that is kept, and no route.
    const CLONED: u32 = 0x200;
    let header: [u8; RTMSG] = *body.first_chunk()?;
    let [
        family,
        length,
        source,
        tos,
        table,
        protocol,
        _,
        kind,
        flags @ ..,
    ] = header;
    let is_cloned = u32::from_ne_bytes(flags) & CLONED != 0;
    if protocol == PROTOCOL || u32::from(table) != MAIN || source != 0 || tos != 0 || is_cloned {
        return None;
    }
    let mut address: IpAddr = match libc::c_int::from(family) {
        libc::AF_INET => Ipv4Addr::UNSPECIFIED.into(),
        libc::AF_INET6 => Ipv6Addr::UNSPECIFIED.into(),
        _ => return None,
    };
    let (mut metric, mut objects, mut ways) = (0, SmallVec::new(), SmallVec::new());
    for (kind, value) in Attributes(&body[RTMSG..]) {
        match kind {
            RTA_DST => address = nexthop::address(value)?,
            RTA_PRIORITY => metric = u32::from_ne_bytes(*value.first_chunk()?),
            RTA_NH_ID => objects.push(u32::from_ne_bytes(*value.first_chunk()?)),
            RTA_MULTIPATH => ways.extend(hops(value)),
            _ => {}
        }
    }
    if ways.is_empty() {
        ways.extend(hop(&body[RTMSG..]));
    }
    let exit = match kind {
        libc::RTN_UNICAST if !objects.is_empty() => Exit::Objects(objects),
        libc::RTN_UNICAST => Exit::Ways(ways),
        libc::RTN_BLACKHOLE | libc::RTN_UNREACHABLE | libc::RTN_PROHIBIT => Exit::Nowhere,
        _ => return None,
    };
    Some(OtherRoute {
        prefix: Prefix::new(address, length).ok()?,
        metric,
        exit,
    })
}

/// The ways of an `RTA_MULTIPATH`: each a `struct rtnexthop` (length, flags, hops, interface) with
/// attributes.
fn hops(mut value: &[u8]) -> Vec<(Option<IpAddr>, u32)> {
    let mut found = Vec::new();
    while let Some([l0, l1, _, _, interface @ ..]) = value.first_chunk::<RTNEXTHOP>() {
        let length = usize::from(u16::from_ne_bytes([*l0, *l1]));
        let Some(attributes) = value.get(RTNEXTHOP..length) else {
            break;
        };
        found.push((gateway(attributes), u32::from_ne_bytes(*interface)));
        value = value.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    found
}

fn hop(attributes: &[u8]) -> Option<(Option<IpAddr>, u32)> {
    let (_, interface) = Attributes(attributes).find(|(kind, _)| *kind == RTA_OIF)?;
    let interface = u32::from_ne_bytes(*interface.first_chunk()?);
    Some((gateway(attributes), interface))
}

fn gateway(attributes: &[u8]) -> Option<IpAddr> {
    Attributes(attributes).find_map(|(kind, value)| match kind {
        RTA_GATEWAY => nexthop::address(value),
        // The family comes first.
        RTA_VIA => nexthop::address(value.get(2..)?),
        _ => None,
    })
}

/// Removes every route and nexthop of ours, whatever their table.
///
/// # Errors
///
/// The kernel could not be asked. What could not be removed is reported one by one.
pub(crate) fn flush() -> io::Result<Vec<(Step, io::Result<()>)>> {
    let mut requests = Requests::open()?;
    let mut routes = Vec::new();
    for family in [libc::AF_INET, libc::AF_INET6] {
        let request = dump_table(family, ANY_TABLE, PROTOCOL);
        let mut found = Vec::new();
        uninterrupted(|| {
            found.clear();
            requests.dump(&request, |_, body| found.extend(Route::decode(body)))
        })?;
        routes.append(&mut found);
    }
    let (mut groups, mut nexthops) = (Vec::new(), Vec::new());
    requests.dump(&nexthop::all(), |_, body| match nexthop::decode(body) {
        Some(Object::Group { id, .. }) => groups.push(id),
        Some(Object::Nexthop { id, .. }) => nexthops.push(id),
        None => {}
    })?;
    let mut done = Vec::new();
    let mut batch = Batch::default();
    let mut all_done = |steps: Vec<Step>, place| {
        let applied = apply(&mut requests, &mut batch, steps, place);
        let mut failures: BTreeMap<_, _> = applied.failures.into_iter().collect();
        for (number, step) in applied.steps.into_iter().enumerate() {
            done.push((step, failures.remove(&number).map_or(Ok(()), Err)));
        }
    };
    for routes in routes.chunk_by(|a, b| a.place == b.place) {
        for part in routes.chunks(ROUTES) {
            let removal = |route: &Route| Step::RemoveRoute {
                prefix: route.prefix,
            };
            all_done(part.iter().map(removal).collect(), part[0].place);
        }
    }
    let ids: Vec<u32> = groups.into_iter().chain(nexthops).collect();
    let nowhere = Place {
        table: 0,
        metric: 0,
    };
    for part in ids.chunks(ROUTES) {
        let removal = |id: &u32| Step::RemoveNexthop { id: *id };
        all_done(part.iter().map(removal).collect(), nowhere);
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use smallvec::smallvec;

    use super::*;

    const PLACE: Place = Place {
        table: 1000,
        metric: 20,
    };

    #[test]
    fn routes_come_back_as_written() {
        let mut batch = Batch::default();
        for text in ["192.0.2.0/24", "0.0.0.0/0", "2001:db8::/32", "::/0"] {
            let prefix = text.parse().unwrap();
            let nexthop = 77;
            encode(&mut batch, &Step::SetRoute { prefix, nexthop }, PLACE);
            let route = Route {
                prefix,
                place: PLACE,
                nexthop: Some(nexthop),
            };
            assert_eq!(Route::decode(batch.body()), Some(route));
        }
    }

    #[test]
    fn routes_of_others_and_cut_ones_are_nothing() {
        let mut batch = Batch::default();
        let prefix = "192.0.2.0/24".parse().unwrap();
        encode(&mut batch, &Step::RemoveRoute { prefix }, PLACE);
        let mut body = batch.body().to_vec();
        for cut in 0..body.len() {
            let _ = Route::decode(&body[..cut]);
        }
        body[5] = 3;
        assert_eq!(Route::decode(&body), None);
    }

    /// A route of OSPF's in the main table.
    fn ospf(batch: &mut Batch) {
        let mut header = header(libc::AF_INET, MAIN, 188);
        header[1] = 32;
        header[7] = libc::RTN_UNICAST;
        batch.begin(RTM_NEWROUTE, 0, &header);
        batch.attribute(RTA_DST, &[192, 0, 2, 1]);
        batch.attribute(RTA_PRIORITY, &20u32.to_ne_bytes());
    }

    fn exit(batch: &Batch) -> Exit {
        let route = decode_other(batch.body()).unwrap();
        assert_eq!(
            (route.prefix.to_string().as_str(), route.metric),
            ("192.0.2.1/32", 20)
        );
        route.exit
    }

    #[test]
    fn routes_of_others_say_where_they_lead() {
        let gateway: IpAddr = [10, 0, 0, 2].into();
        let mut batch = Batch::default();
        ospf(&mut batch);
        batch.attribute(RTA_OIF, &3u32.to_ne_bytes());
        assert_eq!(exit(&batch), Exit::Ways(smallvec![(None, 3)]));
        batch.attribute(RTA_GATEWAY, &[10, 0, 0, 2]);
        assert_eq!(exit(&batch), Exit::Ways(smallvec![(Some(gateway), 3)]));
        batch.attribute(RTA_NH_ID, &9u32.to_ne_bytes());
        assert_eq!(exit(&batch), Exit::Objects(smallvec![9]));

        ospf(&mut batch);
        batch.attribute(RTA_OIF, &3u32.to_ne_bytes());
        let mut via = (libc::AF_INET6 as u16).to_ne_bytes().to_vec();
        via.extend_from_slice(&Ipv6Addr::LOCALHOST.octets());
        batch.attribute(RTA_VIA, &via);
        let over_ipv6 = Some(Ipv6Addr::LOCALHOST.into());
        assert_eq!(exit(&batch), Exit::Ways(smallvec![(over_ipv6, 3)]));

        ospf(&mut batch);
        let mut several = Vec::new();
        for interface in [3u32, 4] {
            several.extend_from_slice(&[16, 0, 0, 0]);
            several.extend_from_slice(&interface.to_ne_bytes());
            several.extend_from_slice(&[8, 0, RTA_GATEWAY as u8, 0, 10, 0, 0, 2]);
        }
        batch.attribute(RTA_MULTIPATH, &several);
        let ways = Exit::Ways(smallvec![(Some(gateway), 3), (Some(gateway), 4)]);
        assert_eq!(exit(&batch), ways);
        for cut in 0..batch.body().len() {
            let _ = decode_other(&batch.body()[..cut]);
        }
    }
}
