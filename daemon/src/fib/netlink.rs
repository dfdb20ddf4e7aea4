//! The kernel's routing tables over rtnetlink.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;

use bgp::Prefix;
use ipnet::IpNet;
use netlink_packet_core::{Emitable, NLM_F_CREATE, NLM_F_REPLACE, Parseable};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteMessage, RouteProtocol, RouteScope, RouteType,
};

use super::nexthop::{self, Object};
use super::request::{Message, Requests};
use super::watch::Watch;
use super::{Change, Fib, Interface, Interfaces, Map, Observed, PROTOCOL, Step};

const RTM_GETLINK: u16 = 18;
const RTM_GETADDR: u16 = 22;
const RTM_NEWROUTE: u16 = 24;
const RTM_DELROUTE: u16 = 25;
const RTM_GETROUTE: u16 = 26;
/// A table that changes while it is read is read again, so often at most.
const DUMP_ATTEMPTS: usize = 5;
/// With this at 0 the kernel does not notify every route when a nexthop group is replaced: that
/// is what makes a failover independent of the number of routes. Covers IPv6 too.
const COMPAT_MODE: &str = "/proc/sys/net/ipv4/nexthop_compat_mode";

/// One kernel routing table.
pub(crate) struct Netlink {
    requests: Requests,
    watch: Watch,
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
    /// Sockets could not be opened.
    pub(crate) fn open(table: u32, metric: u32) -> io::Result<Self> {
        let requests = Requests::open()?;
        let watch = Watch::open(requests.port()?)?;
        Ok(Self {
            requests,
            watch,
            table,
            metric,
        })
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

    fn request(&self, step: &Step) -> Message {
        match step {
            Step::SetNexthop { id, way } => nexthop::set(*id, *way),
            Step::SetGroup { id, members } => nexthop::set_group(*id, members),
            Step::RemoveNexthop { id } => nexthop::remove(*id),
            Step::SetRoute { prefix, nexthop } => {
                let body = self.route(prefix, Some(*nexthop));
                Message {
                    kind: RTM_NEWROUTE,
                    flags: NLM_F_CREATE | NLM_F_REPLACE,
                    body,
                }
            }
            Step::RemoveRoute { prefix } => Message {
                kind: RTM_DELROUTE,
                flags: 0,
                body: self.route(prefix, None),
            },
        }
    }

    fn route(&self, prefix: &Prefix, nexthop: Option<u32>) -> Vec<u8> {
        route_message(prefix, self.table, self.metric, nexthop)
    }

    fn observe_interfaces(&mut self) -> io::Result<Interfaces> {
        let mut links = BTreeMap::new();
        self.requests.dump(RTM_GETLINK, vec![0; 16], |_, body| {
            if let Some(interface) = interface(body) {
                links.insert(interface.index, interface);
            }
        })?;
        self.requests.dump(RTM_GETADDR, vec![0; 8], |_, body| {
            if let Some((index, net)) = address(body)
                && let Some(interface) = links.get_mut(&index)
            {
                interface.addresses.push(net);
            }
        })?;
        Ok(Interfaces(links.into_values().collect()))
    }

    fn observe_nexthops(&mut self, observed: &mut Observed) -> io::Result<()> {
        observed.nexthops.clear();
        observed.groups.clear();
        self.requests.dump(
            nexthop::RTM_GETNEXTHOP,
            nexthop::dump_request(),
            |_, body| match nexthop::decode(body) {
                Some(Object::Nexthop { id, way }) => {
                    observed.nexthops.insert(id, way);
                }
                Some(Object::Group { id, members }) => {
                    observed.groups.insert(id, members);
                }
                None => {}
            },
        )
    }

    fn observe_routes(
        &mut self,
        family: AddressFamily,
        routes: &mut Map<Prefix, Option<u32>>,
    ) -> io::Result<()> {
        let mut request = RouteMessage::default();
        request.header.address_family = family;
        request.header.protocol = RouteProtocol::Other(PROTOCOL);
        request.header.table = u8::try_from(self.table).unwrap_or_default();
        request.attributes.push(RouteAttribute::Table(self.table));
        let (table, metric) = (self.table, self.metric);
        self.requests.dump(RTM_GETROUTE, emit(&request), |_, body| {
            routes.extend(route(body, table, metric));
        })
    }

    fn observe_all(&mut self) -> io::Result<Observed> {
        let mut observed = Observed {
            interfaces: self.observe_interfaces()?,
            ..Observed::default()
        };
        self.observe_nexthops(&mut observed)?;
        self.observe_routes(AddressFamily::Inet, &mut observed.routes)?;
        self.observe_routes(AddressFamily::Inet6, &mut observed.routes)?;
        Ok(observed)
    }
}

impl Fib for Netlink {
    async fn observe(&mut self) -> io::Result<Observed> {
        uninterrupted(|| self.observe_all())
    }

    async fn interfaces(&mut self) -> io::Result<Interfaces> {
        uninterrupted(|| self.observe_interfaces())
    }

    async fn apply(&mut self, steps: &[Step]) -> Vec<io::Result<()>> {
        let messages: Vec<_> = steps.iter().map(|step| self.request(step)).collect();
        let mut results = self.requests.send(&messages);
        for (step, result) in steps.iter().zip(&mut results) {
            if result
                .as_ref()
                .is_err_and(|error| is_done_already(step, error))
            {
                *result = Ok(());
            }
        }
        results
    }

    async fn watch(&mut self) -> io::Result<Change> {
        self.watch.next().await
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
    Requests::open()?.dump(RTM_GETLINK, vec![0; 16], |_, body| {
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

fn route_message(prefix: &Prefix, table: u32, metric: u32, nexthop: Option<u32>) -> Vec<u8> {
    let mut message = RouteMessage::default();
    message.header.address_family = family(prefix);
    message.header.destination_prefix_length = prefix.prefix_len();
    message.header.table = u8::try_from(table).unwrap_or_default();
    message.header.protocol = RouteProtocol::Other(PROTOCOL);
    message.header.kind = RouteType::Unicast;
    message.header.scope = RouteScope::Universe;
    message.attributes = vec![
        RouteAttribute::Destination(RouteAddress::from(prefix.addr())),
        RouteAttribute::Table(table),
        RouteAttribute::Priority(metric),
    ];
    message.attributes.extend(nexthop.map(RouteAttribute::NhId));
    emit(&message)
}

fn emit(message: &RouteMessage) -> Vec<u8> {
    let mut body = vec![0; message.buffer_len()];
    message.emit(&mut body);
    body
}

fn family(prefix: &Prefix) -> AddressFamily {
    match prefix {
        Prefix::V4(_) => AddressFamily::Inet,
        Prefix::V6(_) => AddressFamily::Inet6,
    }
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

fn route(body: &[u8], table: u32, metric: u32) -> Option<(Prefix, Option<u32>)> {
    let (prefix, in_table, with_metric) = place(body)?;
    let attributes = RouteMessage::parse(body).ok()?.attributes;
    let nexthop = attributes.iter().find_map(|attribute| {
        if let RouteAttribute::NhId(id) = attribute {
            Some(*id)
        } else {
            None
        }
    });
    (in_table == table && with_metric == metric).then_some((prefix, nexthop))
}

/// Prefix, table and metric of a route of ours.
fn place(body: &[u8]) -> Option<(Prefix, u32, u32)> {
    let message = RouteMessage::parse(body).ok()?;
    if message.header.protocol != RouteProtocol::Other(PROTOCOL) {
        return None;
    }
    let mut address = if message.header.address_family == AddressFamily::Inet {
        IpAddr::from([0u8; 4])
    } else {
        IpAddr::from([0u8; 16])
    };
    let (mut table, mut metric) = (u32::from(message.header.table), 0);
    for attribute in message.attributes {
        if let RouteAttribute::Destination(destination) = attribute {
            address = match destination {
                RouteAddress::Inet(address) => address.into(),
                RouteAddress::Inet6(address) => address.into(),
                RouteAddress::Mpls(_) | RouteAddress::Other(_) | _ => return None,
            };
        } else if let RouteAttribute::Table(number) = attribute {
            table = number;
        } else if let RouteAttribute::Priority(priority) = attribute {
            metric = priority;
        }
    }
    let prefix = IpNet::new(address, message.header.destination_prefix_length).ok()?;
    Some((prefix, table, metric))
}

/// Removes every route and nexthop of ours, whatever their table.
///
/// # Errors
///
/// The kernel could not be asked. What could not be removed is reported one by one.
pub(crate) fn flush() -> io::Result<Vec<(Step, io::Result<()>)>> {
    let mut requests = Requests::open()?;
    let mut done = Vec::new();
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        let mut request = RouteMessage::default();
        request.header.address_family = family;
        request.header.protocol = RouteProtocol::Other(PROTOCOL);
        let mut found = Vec::new();
        let mut ask = || {
            found.clear();
            requests.dump(RTM_GETROUTE, emit(&request), |_, body| {
                found.extend(place(body))
            })
        };
        uninterrupted(&mut ask)?;
        for (prefix, table, metric) in found {
            let body = route_message(&prefix, table, metric, None);
            let results = requests.send(&[Message {
                kind: RTM_DELROUTE,
                flags: 0,
                body,
            }]);
            let step = Step::RemoveRoute { prefix };
            done.extend(results.into_iter().map(|result| (step.clone(), result)));
        }
    }
    let (mut groups, mut nexthops) = (Vec::new(), Vec::new());
    requests.dump(
        nexthop::RTM_GETNEXTHOP,
        nexthop::dump_request(),
        |_, body| match nexthop::decode(body) {
            Some(Object::Group { id, .. }) => groups.push(id),
            Some(Object::Nexthop { id, .. }) => nexthops.push(id),
            None => {}
        },
    )?;
    for id in groups.into_iter().chain(nexthops) {
        let results = requests.send(&[nexthop::remove(id)]);
        let step = Step::RemoveNexthop { id };
        done.extend(results.into_iter().map(|result| (step.clone(), result)));
    }
    Ok(done)
}
