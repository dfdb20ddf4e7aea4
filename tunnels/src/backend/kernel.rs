//! The kernel's WireGuard, over generic netlink.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use netlink_packet_core::{NetlinkDeserializable, NetlinkSerializable};
use netlink_packet_generic::{
    GenlFamily, GenlMessage,
    ctrl::{GenlCtrl, GenlCtrlCmd, nlas::GenlCtrlAttrs},
};
use netlink_packet_wireguard::{
    WireguardAddressFamily, WireguardAllowedIp, WireguardAllowedIpAttr, WireguardAttribute,
    WireguardCmd, WireguardDeviceFlags, WireguardMessage, WireguardPeer as PeerMessage,
    WireguardPeerAttribute, WireguardPeerFlags, WireguardTimeSpec,
};
use netlink_sys::protocols::NETLINK_GENERIC;

use super::netlink::Netlink;
use crate::{
    plan::{Life, ObservedWireGuard},
    spec::{Secret, TunnelStatus, WireGuardPeer, WireGuardSpec, is_fresh_handshake},
};

/// Reads and sets WireGuard on `wireguard` interfaces.
pub(super) struct WireGuard {
    netlink: Netlink,
    /// The number that this kernel gave the family; known once the module is loaded.
    family: Option<u16>,
}

/// What the kernel answers when it is asked for a `wireguard` interface and has none.
pub(super) fn is_missing(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::ENOENT))
}

impl WireGuard {
    pub(super) fn open() -> io::Result<Self> {
        Ok(Self {
            netlink: Netlink::open(NETLINK_GENERIC)?,
            family: None,
        })
    }

    /// Sets keys, port and the one peer, through which everything may pass.
    ///
    /// The session survives when neither our key nor the peer's changes.
    pub(super) async fn set(&mut self, interface: &str, spec: &WireGuardSpec) -> io::Result<()> {
        let only_peer = self
            .devices(interface)
            .await?
            .is_some_and(|device| public_keys(&device) == [spec.peer.public_key]);
        let mut attributes = vec![
            WireguardAttribute::IfName(interface.to_owned()),
            WireguardAttribute::PrivateKey(*spec.private_key.expose()),
            WireguardAttribute::ListenPort(spec.listen_port),
        ];
        if !only_peer {
            attributes.push(WireguardAttribute::Flags(
                WireguardDeviceFlags::ReplacePeers,
            ));
        }
        attributes.push(WireguardAttribute::Peers(vec![peer_message(&spec.peer)]));
        let message = self.message(WireguardCmd::SetDevice, attributes).await?;
        self.netlink.order(message, 0).await
    }

    /// What is set; `None` when the interface is gone.
    pub(super) async fn read(&mut self, interface: &str) -> io::Result<Option<ObservedWireGuard>> {
        Ok(self
            .devices(interface)
            .await?
            .map(|device| observed(&device)))
    }

    /// The port that is set, whether or not it is bound.
    pub(super) async fn listen_port(&mut self, interface: &str) -> Option<u16> {
        let device = self.devices(interface).await.ok()??;
        Some(observed(&device).listen_port)
    }

    /// Fills in what the kernel knows of the peer.
    pub(super) async fn status(&mut self, status: &mut TunnelStatus) -> io::Result<()> {
        let Some(device) = self.devices(&status.interface).await? else {
            return Ok(());
        };
        for attribute in peers(&device).flat_map(|peer| peer.iter()) {
            if let WireguardPeerAttribute::Endpoint(endpoint) = attribute {
                status.endpoint = Some(*endpoint);
            } else if let WireguardPeerAttribute::RxBytes(bytes) = attribute {
                status.rx_bytes = *bytes;
            } else if let WireguardPeerAttribute::TxBytes(bytes) = attribute {
                status.tx_bytes = *bytes;
            } else if let WireguardPeerAttribute::LastHandshake(at) = attribute {
                status.last_handshake = moment(at);
            }
        }
        Ok(())
    }

    /// What the kernel says about the interface; a peer with many allowed IPs takes several
    /// messages, and ours has two.
    async fn devices(&mut self, interface: &str) -> io::Result<Option<WireguardMessage>> {
        let name = WireguardAttribute::IfName(interface.to_owned());
        let request = match self.message(WireguardCmd::GetDevice, vec![name]).await {
            Ok(request) => request,
            Err(error) if is_missing(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        match self.netlink.dump(request).await {
            Ok(answers) => Ok(answers.into_iter().next().map(|answer| answer.payload)),
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENODEV | libc::EOPNOTSUPP)) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    async fn message(
        &mut self,
        cmd: WireguardCmd,
        attributes: Vec<WireguardAttribute>,
    ) -> io::Result<GenlMessage<WireguardMessage>> {
        let family = match self.family {
            Some(family) => family,
            None => *self.family.insert(resolve(&mut self.netlink).await?),
        };
        Ok(finished(WireguardMessage { cmd, attributes }, family))
    }
}

async fn resolve(netlink: &mut Netlink) -> io::Result<u16> {
    let name = GenlCtrlAttrs::FamilyName(WireguardMessage::family_name().to_owned());
    let request = GenlCtrl {
        cmd: GenlCtrlCmd::GetFamily,
        nlas: vec![name],
    };
    let family = <GenlCtrl as GenlFamily>::family_id(&request);
    let answer = netlink.get(finished(request, family)).await?;
    let nlas = answer.map(|answer| answer.payload.nlas).unwrap_or_default();
    nlas.iter()
        .find_map(|nla| {
            if let GenlCtrlAttrs::FamilyId(id) = nla {
                Some(*id)
            } else {
                None
            }
        })
        .ok_or_else(|| io::Error::from_raw_os_error(libc::ENOENT))
}

fn finished<F>(payload: F, family: u16) -> GenlMessage<F>
where
    F: GenlFamily + Clone + std::fmt::Debug,
    GenlMessage<F>: NetlinkSerializable + NetlinkDeserializable,
{
    let mut message = GenlMessage::from_payload(payload);
    message.set_resolved_family_id(family);
    message
}

fn peer_message(peer: &WireGuardPeer) -> PeerMessage {
    let everything = [
        (
            WireguardAddressFamily::Ipv4,
            IpAddr::from(Ipv4Addr::UNSPECIFIED),
        ),
        (
            WireguardAddressFamily::Ipv6,
            IpAddr::from(Ipv6Addr::UNSPECIFIED),
        ),
    ];
    let allowed = everything.map(|(family, address)| {
        WireguardAllowedIp(vec![
            WireguardAllowedIpAttr::Family(family),
            WireguardAllowedIpAttr::IpAddr(address),
            WireguardAllowedIpAttr::Cidr(0),
        ])
    });
    let mut attributes = vec![
        WireguardPeerAttribute::PublicKey(peer.public_key),
        WireguardPeerAttribute::Flags(WireguardPeerFlags::ReplaceAllowedIps),
        // All zero is the kernel's word for none.
        WireguardPeerAttribute::PresharedKey(
            peer.preshared_key
                .as_ref()
                .map_or([0; 32], |key| *key.expose()),
        ),
        WireguardPeerAttribute::PersistentKeepalive(peer.keepalive_secs.unwrap_or(0)),
        WireguardPeerAttribute::AllowedIps(allowed.to_vec()),
    ];
    attributes.extend(peer.endpoint.map(WireguardPeerAttribute::Endpoint));
    PeerMessage(attributes)
}

/// `None` before the first one, which the kernel says by zero.
fn moment(at: &WireguardTimeSpec) -> Option<SystemTime> {
    let (secs @ 1.., nanos) = (
        u64::try_from(at.seconds).ok()?,
        u32::try_from(at.nano_seconds).ok()?,
    ) else {
        return None;
    };
    UNIX_EPOCH.checked_add(Duration::from_secs(secs) + Duration::from_nanos(nanos.into()))
}

fn life(device: &WireguardMessage, now: SystemTime) -> Life {
    let mut attributes = peers(device).flat_map(|peer| peer.iter());
    let is_fresh = attributes.any(|attribute| {
        matches!(attribute, WireguardPeerAttribute::LastHandshake(at)
            if moment(at).is_some_and(|at| is_fresh_handshake(at, now)))
    });
    match is_fresh {
        true => Life::Possible,
        false => Life::Over,
    }
}

fn peers(device: &WireguardMessage) -> impl Iterator<Item = &PeerMessage> {
    device.attributes.iter().flat_map(|attribute| {
        if let WireguardAttribute::Peers(peers) = attribute {
            peers.as_slice()
        } else {
            &[]
        }
    })
}

fn public_keys(device: &WireguardMessage) -> Vec<[u8; 32]> {
    let attributes = peers(device).flat_map(|peer| peer.iter());
    attributes
        .filter_map(|attribute| {
            if let WireguardPeerAttribute::PublicKey(key) = attribute {
                Some(*key)
            } else {
                None
            }
        })
        .collect()
}

fn observed(device: &WireguardMessage) -> ObservedWireGuard {
    let mut seen = ObservedWireGuard {
        peer: None,
        private_key: None,
        listen_port: 0,
        life: life(device, SystemTime::now()),
    };
    for attribute in &device.attributes {
        if let WireguardAttribute::PrivateKey(key) = attribute {
            seen.private_key = Some(Secret::new(*key));
        } else if let WireguardAttribute::ListenPort(port) = attribute {
            seen.listen_port = *port;
        }
    }
    let mut all = peers(device);
    // More peers than one are none of ours: whoever added them is undone.
    if let (Some(peer), None) = (all.next(), all.next()) {
        seen.peer = Some(observed_peer(peer));
    }
    seen
}

fn observed_peer(message: &PeerMessage) -> WireGuardPeer {
    let mut peer = WireGuardPeer {
        public_key: [0; 32],
        preshared_key: None,
        endpoint: None,
        keepalive_secs: None,
    };
    for attribute in message.iter() {
        if let WireguardPeerAttribute::PublicKey(key) = attribute {
            peer.public_key = *key;
        } else if let WireguardPeerAttribute::PresharedKey(key) = attribute {
            peer.preshared_key = Some(*key).filter(|key| *key != [0; 32]).map(Secret::new);
        } else if let WireguardPeerAttribute::Endpoint(endpoint) = attribute {
            peer.endpoint = Some(*endpoint);
        } else if let WireguardPeerAttribute::PersistentKeepalive(secs) = attribute {
            peer.keepalive_secs = Some(*secs).filter(|secs| *secs != 0);
        }
    }
    peer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_read_back_is_the_peer_that_was_set() {
        let mut peer = WireGuardPeer {
            public_key: [3; 32],
            preshared_key: Some(Secret::new([4; 32])),
            endpoint: Some("[2001:db8::1]:51820".parse().expect("an endpoint")),
            keepalive_secs: Some(25),
        };
        assert_eq!(observed_peer(&peer_message(&peer)), peer);
        peer.preshared_key = None;
        peer.keepalive_secs = None;
        assert_eq!(observed_peer(&peer_message(&peer)), peer);
    }
}
