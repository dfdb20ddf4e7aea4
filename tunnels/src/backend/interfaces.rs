//! Interfaces and addresses, over rtnetlink.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::IpAddr,
};

use ipnet::IpNet;
use netlink_packet_core::{DefaultNla, Emitable, NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    address::{AddressAttribute, AddressMessage, AddressScope},
    link::{AfSpecInet, AfSpecUnspec, LinkAttribute, LinkFlags, LinkInfo, LinkMessage, State},
};
use netlink_sys::protocols::NETLINK_ROUTE;

use super::{device, netlink::Netlink};
use crate::plan::{Device, MARK, Observed, Owner, Readiness};

/// `IFLA_INET_CONF`.
const IFLA_INET_CONF: u16 = 1;
/// `IPV4_DEVCONF_FORWARDING`.
const DEVCONF_FORWARDING: u16 = 1;
/// `IPV4_DEVCONF_RP_FILTER`.
const DEVCONF_RP_FILTER: u16 = 8;
/// RFC 3704 §2.4; the greater of this and that of `all` counts.
const RP_FILTER_LOOSE: i32 = 2;

/// Reads and changes interfaces and their addresses.
pub(super) struct Interfaces {
    netlink: Netlink,
}

impl Interfaces {
    pub(super) fn open() -> io::Result<Self> {
        Ok(Self {
            netlink: Netlink::open(NETLINK_ROUTE)?,
        })
    }

    /// Every interface with its addresses; WireGuard's part is left out.
    pub(super) async fn list(&mut self) -> io::Result<Vec<Observed>> {
        let links = self
            .netlink
            .dump(RouteNetlinkMessage::GetLink(LinkMessage::default()))
            .await?;
        let addresses = self
            .netlink
            .dump(RouteNetlinkMessage::GetAddress(AddressMessage::default()))
            .await?;
        let addresses: Vec<(u32, IpNet)> = addresses.iter().filter_map(address_of).collect();
        let links: Vec<&LinkMessage> = links.iter().filter_map(link_of).collect();
        let names = links.iter().map(|link| (link.header.index, name_of(link)));
        let names: BTreeMap<u32, String> = names.collect();
        Ok(links
            .iter()
            .map(|link| observed(link, &names, &addresses))
            .collect())
    }

    pub(super) async fn exists(&mut self, interface: &str) -> io::Result<bool> {
        match self.find(interface).await {
            Ok(_) => Ok(true),
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// What kind of interface it is. For a VLAN that is not told: its parent is not looked up.
    pub(super) async fn device(&mut self, interface: &str) -> io::Result<Option<Device>> {
        Ok(device::of(&self.find(interface).await?, &BTreeMap::new()))
    }

    /// The link that an interface of ours is for, and what it is.
    pub(super) async fn ours(&mut self, interface: &str) -> io::Result<Option<(String, Device)>> {
        let link = match self.find(interface).await {
            Ok(link) => link,
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => return Ok(None),
            Err(error) => return Err(error),
        };
        let Observed { owner, device, .. } = observed(&link, &BTreeMap::new(), &[]);
        Ok(match owner {
            Owner::Ours(name) => device.map(|device| (name, device)),
            Owner::Foreign => None,
        })
    }

    /// Whether anything holds a queue of this TUN.
    pub(super) async fn has_carrier(&mut self, interface: &str) -> io::Result<bool> {
        let link = self.find(interface).await?;
        Ok(link.attributes.contains(&LinkAttribute::Carrier(1)))
    }

    pub(super) async fn is_up(&mut self, interface: &str) -> io::Result<bool> {
        let link = self.find(interface).await?;
        Ok(link.header.flags.contains(LinkFlags::Up))
    }

    /// Makes an interface.
    ///
    /// - `infos`: its kind, from [`device`]
    /// - `parent`: the interface that it is on, for kinds that are on one
    pub(super) async fn create(
        &mut self,
        interface: &str,
        infos: Vec<LinkInfo>,
        parent: Option<u32>,
    ) -> io::Result<()> {
        let mut link = LinkMessage::default();
        link.attributes
            .push(LinkAttribute::IfName(interface.to_owned()));
        link.attributes.extend(parent.map(LinkAttribute::Link));
        link.attributes.push(LinkAttribute::LinkInfo(infos));
        let flags = NLM_F_CREATE | NLM_F_EXCL;
        self.netlink
            .order(RouteNetlinkMessage::NewLink(link), flags)
            .await
    }

    /// Changes what is peculiar to its kind.
    pub(super) async fn change(&mut self, interface: &str, infos: Vec<LinkInfo>) -> io::Result<()> {
        let mut link = self.target(interface).await?;
        link.attributes.push(LinkAttribute::LinkInfo(infos));
        // RTM_SETLINK does not look at the kind's own attributes.
        self.netlink
            .order(RouteNetlinkMessage::NewLink(link), 0)
            .await
    }

    pub(super) async fn index(&mut self, interface: &str) -> io::Result<u32> {
        Ok(self.find(interface).await?.header.index)
    }

    pub(super) async fn remove(&mut self, interface: &str) -> io::Result<()> {
        let link = self.target(interface).await?;
        self.netlink
            .order(RouteNetlinkMessage::DelLink(link), 0)
            .await
    }

    pub(super) async fn set_alias(&mut self, interface: &str, alias: &str) -> io::Result<()> {
        self.set(interface, LinkAttribute::IfAlias(alias.to_owned()))
            .await
    }

    pub(super) async fn set_mtu(&mut self, interface: &str, mtu: u32) -> io::Result<()> {
        self.set(interface, LinkAttribute::Mtu(mtu)).await
    }

    /// Forwarding on, and reverse path filtering loose: for a moment of each failover the two ends use
    /// different links. By netlink, because the unit may not write below /proc/sys.
    pub(super) async fn forward(&mut self, interface: &str) -> io::Result<()> {
        let values = [
            (DEVCONF_FORWARDING, 1),
            (DEVCONF_RP_FILTER, RP_FILTER_LOOSE),
        ];
        let values = values
            .map(|(name, value): (u16, i32)| DefaultNla::new(name, value.to_ne_bytes().to_vec()));
        let mut octets = vec![0; values.as_slice().buffer_len()];
        values.as_slice().emit(&mut octets);
        let inet = AfSpecInet::Other(DefaultNla::new(IFLA_INET_CONF, octets));
        self.set(
            interface,
            LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet(vec![inet])]),
        )
        .await
    }

    pub(super) async fn set_up(&mut self, interface: &str) -> io::Result<()> {
        let mut link = self.target(interface).await?;
        link.header.flags = LinkFlags::Up;
        link.header.change_mask = LinkFlags::Up;
        self.netlink
            .order(RouteNetlinkMessage::SetLink(link), 0)
            .await
    }

    pub(super) async fn set_down(&mut self, interface: &str) -> io::Result<()> {
        let mut link = self.target(interface).await?;
        link.header.change_mask = LinkFlags::Up;
        self.netlink
            .order(RouteNetlinkMessage::SetLink(link), 0)
            .await
    }

    pub(super) async fn say(&mut self, interface: &str, readiness: Readiness) -> io::Result<()> {
        let state = match readiness {
            Readiness::Ready => State::Up,
            Readiness::Dormant => State::Dormant,
        };
        self.set(interface, LinkAttribute::OperState(state)).await
    }

    pub(super) async fn add_address(&mut self, interface: &str, address: IpNet) -> io::Result<()> {
        let message = self.address_message(interface, address).await?;
        let flags = NLM_F_CREATE | NLM_F_EXCL;
        self.netlink
            .order(RouteNetlinkMessage::NewAddress(message), flags)
            .await
    }

    pub(super) async fn remove_address(
        &mut self,
        interface: &str,
        address: IpNet,
    ) -> io::Result<()> {
        let message = self.address_message(interface, address).await?;
        self.netlink
            .order(RouteNetlinkMessage::DelAddress(message), 0)
            .await
    }

    async fn set(&mut self, interface: &str, attribute: LinkAttribute) -> io::Result<()> {
        let mut link = self.target(interface).await?;
        link.attributes.push(attribute);
        self.netlink
            .order(RouteNetlinkMessage::SetLink(link), 0)
            .await
    }

    /// A message about the interface of this name, by its index.
    async fn target(&mut self, interface: &str) -> io::Result<LinkMessage> {
        let mut link = LinkMessage::default();
        link.header.index = self.find(interface).await?.header.index;
        Ok(link)
    }

    async fn address_message(
        &mut self,
        interface: &str,
        address: IpNet,
    ) -> io::Result<AddressMessage> {
        let mut message = AddressMessage::default();
        message.header.index = self.find(interface).await?.header.index;
        message.header.prefix_len = address.prefix_len();
        message.header.scope = AddressScope::Universe;
        message.header.family = match address {
            IpNet::V4(_) => AddressFamily::Inet,
            IpNet::V6(_) => AddressFamily::Inet6,
        };
        message
            .attributes
            .push(AddressAttribute::Local(address.addr()));
        message
            .attributes
            .push(AddressAttribute::Address(address.addr()));
        Ok(message)
    }

    async fn find(&mut self, interface: &str) -> io::Result<LinkMessage> {
        let mut link = LinkMessage::default();
        link.attributes
            .push(LinkAttribute::IfName(interface.to_owned()));
        match self.netlink.get(RouteNetlinkMessage::GetLink(link)).await? {
            Some(RouteNetlinkMessage::NewLink(link)) => Ok(link),
            Some(_) | None => Err(io::Error::from_raw_os_error(libc::ENODEV)),
        }
    }
}

fn link_of(message: &RouteNetlinkMessage) -> Option<&LinkMessage> {
    if let RouteNetlinkMessage::NewLink(link) = message {
        Some(link)
    } else {
        None
    }
}

fn name_of(link: &LinkMessage) -> String {
    let name = link.attributes.iter().find_map(|attribute| {
        if let LinkAttribute::IfName(name) = attribute {
            Some(name.clone())
        } else {
            None
        }
    });
    name.unwrap_or_default()
}

fn observed(
    link: &LinkMessage,
    names: &BTreeMap<u32, String>,
    addresses: &[(u32, IpNet)],
) -> Observed {
    let mut seen = Observed {
        interface: name_of(link),
        owner: Owner::Foreign,
        device: device::of(link, names),
        mtu: 0,
        addresses: BTreeSet::new(),
        admin_up: link.header.flags.contains(LinkFlags::Up),
        readiness: Readiness::Ready,
        forwards: forwards(link),
        wireguard: None,
        ipsec: None,
        rx_bytes: 0,
        tx_bytes: 0,
    };
    for attribute in &link.attributes {
        if let LinkAttribute::Mtu(mtu) = attribute {
            seen.mtu = *mtu;
        } else if let LinkAttribute::OperState(State::Dormant) = attribute {
            seen.readiness = Readiness::Dormant;
        } else if let LinkAttribute::Stats64(stats) = attribute {
            (seen.rx_bytes, seen.tx_bytes) = (stats.rx_bytes, stats.tx_bytes);
        } else if let LinkAttribute::IfAlias(alias) = attribute
            && let Some(link) = alias.strip_prefix(MARK)
        {
            seen.owner = Owner::Ours(link.to_owned());
        }
    }
    let own = addresses
        .iter()
        .filter(|(index, _)| *index == link.header.index);
    seen.addresses = own.map(|(_, address)| *address).collect();
    seen
}

fn forwards(link: &LinkMessage) -> bool {
    link.attributes.iter().any(|attribute| {
        let LinkAttribute::AfSpecUnspec(families) = attribute else {
            return false;
        };
        families.iter().any(|family| {
            let AfSpecUnspec::Inet(settings) = family else {
                return false;
            };
            settings.iter().any(|setting| {
                matches!(setting, AfSpecInet::DevConf(conf)
                    if conf.forwarding != 0 && conf.rp_filter == RP_FILTER_LOOSE)
            })
        })
    })
}

/// An address and the index of its interface; link-local IPv6, which the kernel makes, left out.
fn address_of(message: &RouteNetlinkMessage) -> Option<(u32, IpNet)> {
    let RouteNetlinkMessage::NewAddress(message) = message else {
        return None;
    };
    let (mut local, mut address) = (None, None);
    for attribute in &message.attributes {
        if let AddressAttribute::Local(ours) = attribute {
            local = Some(*ours);
        } else if let AddressAttribute::Address(given) = attribute {
            address = Some(*given);
        }
    }
    // On a point to point interface `Address` is the far end; IPv6 gives only `Address`.
    let local: IpAddr = local.or(address)?;
    if matches!(local, IpAddr::V6(v6) if v6.is_unicast_link_local()) {
        return None;
    }
    Some((
        message.header.index,
        IpNet::new(local, message.header.prefix_len).ok()?,
    ))
}
