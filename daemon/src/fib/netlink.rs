//! The kernel's routing tables over rtnetlink.

use std::collections::BTreeMap;
use std::io;
use std::ops::ControlFlow;

use bgp::{Family, FamilySet};
use ipnet::IpNet;
use netlink_packet_core::Parseable;
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use tokio::sync::{mpsc, oneshot};

use super::nexthop::{self, Object};
use super::request::{Batch, Requests, dump_request};
use super::route::{self, ANY_TABLE, MAIN, Place, Route, UNSPECIFIED, decode_other};
use super::watch::Watch;
use super::{
    Applied, Change, Fib, FoundRoutes, Interface, Interfaces, Observed, PROTOCOL, Standby, Step,
};

const RTM_GETLINK: u16 = 18;
const RTM_GETADDR: u16 = 22;
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
            let request = route::all(number, self.place.table, PROTOCOL);
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
    match step {
        Step::SetNexthop { id, way } => nexthop::set(batch, *id, *way),
        Step::SetGroup { id, lead } => nexthop::set_group(batch, *id, lead),
        Step::RemoveNexthop { id } => nexthop::remove(batch, *id),
        Step::SetRoute { prefix, nexthop } => route::set(batch, prefix, *nexthop, place),
        Step::RemoveRoute { prefix } => route::remove(batch, prefix, place),
        Step::SetDiscard { prefix } => route::set_discard(batch, prefix, place.of_discards()),
        Step::RemoveDiscard { prefix } => route::remove(batch, prefix, place.of_discards()),
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
            let request = route::all(family, table, protocol);
            let mut routes = FoundRoutes::default();
            requests.dump(&request, |_, body| {
                if let Some(route) = Route::decode(body) {
                    routes.sort_in(&route, place);
                } else if table == MAIN {
                    routes.others.extend(decode_other(body));
                }
                let most = routes.ours.len().max(routes.discards.len());
                if most.max(routes.others.len()) >= ROUTES {
                    // Who is gone needs nothing.
                    let _ = found.blocking_send(Ok(std::mem::take(&mut routes)));
                }
            })?;
            let _ = found.blocking_send(Ok(routes));
        }
    }
    Ok(())
}

impl FoundRoutes {
    /// Notes a route of ours, unless it is of another table or metric: then an earlier run had another place.
    fn sort_in(&mut self, route: &Route, place: Place) {
        if route.place == place {
            self.ours.push((route.prefix, route.nexthop));
        } else if route.place == place.of_discards() && route.is_discard {
            self.discards.push(route.prefix);
        }
    }
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
    absent
        && matches!(
            step,
            Step::RemoveRoute { .. } | Step::RemoveDiscard { .. } | Step::RemoveNexthop { .. }
        )
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

/// Removes every route and nexthop of ours, whatever their table.
///
/// # Errors
///
/// The kernel could not be asked. What could not be removed is reported one by one.
pub(crate) fn flush() -> io::Result<Vec<(Step, io::Result<()>)>> {
    let mut requests = Requests::open()?;
    let mut routes = Vec::new();
    for family in [libc::AF_INET, libc::AF_INET6] {
        let request = route::all(family, ANY_TABLE, PROTOCOL);
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
