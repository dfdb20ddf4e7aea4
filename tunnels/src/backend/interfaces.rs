//! Interfaces and addresses, over rtnetlink.

use std::{collections::BTreeSet, io, net::IpAddr};

use ipnet::IpNet;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    address::{AddressAttribute, AddressMessage, AddressScope},
    link::{InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkMessage},
};
use netlink_sys::protocols::NETLINK_ROUTE;

use super::netlink::Netlink;
use crate::{
    plan::{MARK, Observed, Owner},
    spec::BackendKind,
};

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
        Ok(links
            .iter()
            .filter_map(|link| observed(link, &addresses))
            .collect())
    }

    pub(super) async fn exists(&mut self, interface: &str) -> io::Result<bool> {
        match self.find(interface).await {
            Ok(_) => Ok(true),
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn backend(&mut self, interface: &str) -> io::Result<Option<BackendKind>> {
        Ok(backend_of(&self.find(interface).await?))
    }

    /// Whether anything holds a queue of this TUN.
    pub(super) async fn has_carrier(&mut self, interface: &str) -> io::Result<bool> {
        let link = self.find(interface).await?;
        Ok(link.attributes.contains(&LinkAttribute::Carrier(1)))
    }

    pub(super) async fn create_wireguard(&mut self, interface: &str) -> io::Result<()> {
        let mut link = LinkMessage::default();
        link.attributes
            .push(LinkAttribute::IfName(interface.to_owned()));
        link.attributes
            .push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(
                InfoKind::Wireguard,
            )]));
        self.netlink
            .order(
                RouteNetlinkMessage::NewLink(link),
                NLM_F_CREATE | NLM_F_EXCL,
            )
            .await
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

fn observed(message: &RouteNetlinkMessage, addresses: &[(u32, IpNet)]) -> Option<Observed> {
    let RouteNetlinkMessage::NewLink(link) = message else {
        return None;
    };
    let mut seen = Observed {
        interface: String::new(),
        owner: Owner::Foreign,
        backend: backend_of(link),
        mtu: 0,
        addresses: BTreeSet::new(),
        admin_up: link.header.flags.contains(LinkFlags::Up),
        wireguard: None,
    };
    for attribute in &link.attributes {
        if let LinkAttribute::IfName(name) = attribute {
            seen.interface.clone_from(name);
        } else if let LinkAttribute::Mtu(mtu) = attribute {
            seen.mtu = *mtu;
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
    Some(seen)
}

fn backend_of(link: &LinkMessage) -> Option<BackendKind> {
    let infos = link.attributes.iter().find_map(|attribute| {
        if let LinkAttribute::LinkInfo(infos) = attribute {
            Some(infos)
        } else {
            None
        }
    })?;
    if infos.contains(&LinkInfo::Kind(InfoKind::Wireguard)) {
        Some(BackendKind::Kernel)
    } else if infos.contains(&LinkInfo::Kind(InfoKind::Tun)) {
        Some(BackendKind::Userspace)
    } else {
        None
    }
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
