//! Which MTU each interface has, and what TCP is told: pure.
//!
//! The file, or what the encapsulation leaves, is never exceeded. Below that a link whose path is looked
//! at says what its interface shall take. As long as it has not said anything, an interface stays as an
//! earlier run left it: a path that was narrow then is narrow now more likely than not.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ::tunnels::clamp::Clamp;
use ::tunnels::plan::{Observed, Owner};
use ::tunnels::spec::{Esp, Kind, TunnelSpec};
use config::model::EspTransport;

use super::super::messages::{Bound, Bounds, Discovery, PathMtus, Wanted};

/// An interface with IPv4 inside may have less than IPv6 needs; the kernel then has no IPv6 on it.
fn least(spec: &TunnelSpec) -> u32 {
    match spec.address.addr() {
        IpAddr::V4(_) => links::mtu::FLOOR,
        IpAddr::V6(_) => links::mtu::BASE,
    }
}

/// What tunnels have agreed on, by link.
#[derive(Default, Debug)]
pub(super) struct Agreed(BTreeMap<String, u32>);

/// Whether anything is another way than it was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Heard {
    News,
    Nothing,
}

impl Agreed {
    /// Keeps what still concerns somebody.
    pub(super) fn retain(&mut self, wanted: &[Wanted]) {
        self.0
            .retain(|link, _| wanted.iter().any(|wanted| wanted.spec.name == *link));
    }

    /// A tunnel that is down keeps the MTU that it had: it will most likely agree on the same.
    pub(super) fn hear(&mut self, wanted: &Wanted, esp: Option<&Esp>) -> Heard {
        let (Bound::ByCipher(mtu), Kind::Ipsec(ipsec), Some(esp)) =
            (wanted.bound, &wanted.spec.kind, esp)
        else {
            return Heard::Nothing;
        };
        let transport = match esp.in_udp {
            true => EspTransport::Udp,
            false => EspTransport::Ip,
        };
        let mtu = mtu.agreed(&esp.cipher, transport, ipsec.remote);
        match self.0.insert(wanted.spec.name.clone(), mtu) == Some(mtu) {
            true => Heard::Nothing,
            false => Heard::News,
        }
    }

    /// The largest MTU that a tunnel may have.
    fn bound(&self, wanted: &Wanted) -> u32 {
        match wanted.bound {
            Bound::Fixed(mtu) => mtu,
            Bound::ByCipher(mtu) => {
                let agreed = self.0.get(&wanted.spec.name);
                agreed.copied().unwrap_or_else(|| mtu.offered())
            }
        }
    }

    /// Those of all tunnels.
    pub(super) fn bounds(&self, wanted: &[Wanted]) -> Bounds {
        let bound = |wanted: &Wanted| (wanted.spec.name.clone(), self.bound(wanted));
        wanted.iter().map(bound).collect()
    }

    /// Gives each tunnel the MTU that it shall have now.
    pub(super) fn settle(&self, wanted: &mut [Wanted], paths: &PathMtus, observed: &[Observed]) {
        for wanted in wanted {
            let bound = self.bound(wanted);
            let spec = &mut wanted.spec;
            let room = paths.get(&spec.name).and_then(|path| path.room);
            let seen = observed.iter().find(|seen| {
                seen.interface == spec.interface && seen.owner == Owner::Ours(spec.name.clone())
            });
            let mtu = match (wanted.discovery, room) {
                (Discovery::Off, _) => bound,
                (Discovery::On, Some(room)) => room,
                (Discovery::On, None) => seen.map_or(bound, |seen| seen.mtu),
            };
            spec.mtu = mtu.max(least(spec)).min(bound);
        }
    }
}

/// What TCP is told, over tunnels of ours and over interfaces of others whose path takes less than they do.
pub(super) fn clamps(tunnels: &[TunnelSpec], paths: &PathMtus) -> Vec<Clamp> {
    let takes = |link: &str| paths.get(link).and_then(|path| path.takes);
    let ours = tunnels
        .iter()
        .filter_map(|spec| Clamp::of(spec, takes(&spec.name)));
    let is_ours = |link: &String| tunnels.iter().any(|spec| spec.name == *link);
    let others = paths.iter().filter(|(link, _)| !is_ours(link));
    let others = others.filter_map(|(_, path)| {
        Some(Clamp {
            interface: path.interface.clone(),
            mtu: path.takes?,
        })
    });
    ours.chain(others).collect()
}

#[cfg(test)]
mod tests {
    use ::tunnels::spec::{GreSpec, VlanSpec};

    use super::super::super::messages::PathMtu;
    use super::*;

    fn wanted(kind: Kind, bound: Bound, discovery: Discovery) -> Wanted {
        Wanted {
            spec: TunnelSpec {
                name: "a".to_owned(),
                interface: "sb-a".to_owned(),
                mtu: 0,
                address: "10.99.0.0/31".parse().unwrap(),
                kind,
            },
            endpoint: None,
            bound,
            discovery,
        }
    }

    fn gre(discovery: Discovery) -> Wanted {
        let kind = Kind::Gre(GreSpec {
            local: [192, 0, 2, 1].into(),
            remote: [192, 0, 2, 2].into(),
            key: None,
            ttl: 64,
        });
        wanted(kind, Bound::Fixed(1476), discovery)
    }

    fn seen(mtu: u32) -> Observed {
        Observed {
            interface: "sb-a".to_owned(),
            owner: Owner::Ours("a".to_owned()),
            device: None,
            mtu,
            addresses: Default::default(),
            admin_up: true,
            readiness: ::tunnels::plan::Readiness::Ready,
            forwards: true,
            wireguard: None,
            ipsec: None,
            rx_bytes: 0,
            tx_bytes: 0,
        }
    }

    fn path(room: Option<u32>, takes: Option<u32>) -> PathMtus {
        let interface = "sb-a".to_owned();
        let path = PathMtu {
            interface,
            room,
            takes,
        };
        PathMtus::from([("a".to_owned(), path)])
    }

    fn settled(wanted: Wanted, paths: &PathMtus, observed: &[Observed]) -> u32 {
        let mut all = [wanted];
        Agreed::default().settle(&mut all, paths, observed);
        all[0].spec.mtu
    }

    #[test]
    fn an_interface_has_what_its_path_takes_and_never_more_than_the_file_says() {
        for (room, mtu) in [
            (1300, 1300),
            (1476, 1476),
            (9000, 1476),
            (900, 900),
            (68, 576),
        ] {
            let found = settled(gre(Discovery::On), &path(Some(room), None), &[seen(1400)]);
            assert_eq!(found, mtu, "{room}");
        }
    }

    #[test]
    fn until_something_is_found_an_interface_stays_as_an_earlier_run_left_it() {
        for (there, mtu) in [(1300, 1300), (1500, 1476), (68, 576)] {
            let found = settled(gre(Discovery::On), &PathMtus::new(), &[seen(there)]);
            assert_eq!(found, mtu, "{there}");
        }
        assert_eq!(settled(gre(Discovery::On), &PathMtus::new(), &[]), 1476);
    }

    #[test]
    fn where_nobody_looks_the_file_holds() {
        let found = settled(
            gre(Discovery::Off),
            &path(Some(1300), Some(1300)),
            &[seen(1300)],
        );
        assert_eq!(found, 1476);
    }

    #[test]
    fn tcp_is_clamped_on_tunnels_and_where_a_path_takes_less() {
        let mut tunnel = gre(Discovery::On).spec;
        tunnel.mtu = 1301;
        let clamp = |interface: &str, mtu| Clamp {
            interface: interface.to_owned(),
            mtu,
        };
        let paths = path(Some(1301), Some(1300));
        let tunnels = std::slice::from_ref(&tunnel);
        assert_eq!(clamps(tunnels, &paths), [clamp("sb-a", 1300)]);
        assert_eq!(clamps(tunnels, &PathMtus::new()), [clamp("sb-a", 1301)]);
        // The same path, over an interface of somebody else's.
        assert_eq!(clamps(&[], &paths), [clamp("sb-a", 1300)]);
        assert_eq!(clamps(&[], &path(None, None)), []);
        let vlan = VlanSpec {
            parent: "eth0".to_owned(),
            id: 5,
        };
        tunnel.kind = Kind::Vlan(vlan);
        assert_eq!(clamps(&[tunnel], &path(Some(1500), None)), []);
    }
}
