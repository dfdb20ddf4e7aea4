//! The plan of a lab: its two clouds, their addresses, and the two ways between them.

use std::net::Ipv4Addr;

/// One cloud of the lab.
#[derive(Debug)]
pub struct Site {
    /// "aws" or "oci": the end of its nodes' names.
    pub name: &'static str,
    /// What `[peer.NAME]` calls the gateway.
    pub gateway: &'static str,
    /// AS of the gateway.
    pub gateway_asn: u32,
    /// AS of our router.
    pub router_asn: u32,
    /// What the site announces and the other one shall have.
    pub prefixes: &'static [&'static str],
    /// What the gateway announces too and no filter lets through.
    pub strays: &'static [&'static str],
    /// What may cross, as a filter says it.
    pub pattern: &'static str,
    /// The host that pings.
    pub host: Ipv4Addr,
    /// The gateway on the host's network.
    pub host_router: Ipv4Addr,
    /// The gateway toward our router.
    pub gateway_address: Ipv4Addr,
    /// Our router toward the gateway.
    pub router_address: Ipv4Addr,
    /// Our router on internet a and b, each in a network of four.
    pub outside: [Ipv4Addr; 2],
    /// Our router inside link a and b, each in a network of two.
    pub inside: [Ipv4Addr; 2],
}

/// The left side.
pub const AWS: Site = Site {
    name: "aws",
    gateway: "aws-gw",
    gateway_asn: 64512,
    router_asn: 65010,
    prefixes: &["10.1.0.0/16", "10.1.1.0/24"],
    strays: &["10.1.7.0/25", "172.31.0.0/16"],
    pattern: "10.1.0.0/16 le 24",
    host: Ipv4Addr::new(10, 1, 0, 10),
    host_router: Ipv4Addr::new(10, 1, 0, 1),
    gateway_address: Ipv4Addr::new(169, 254, 1, 1),
    router_address: Ipv4Addr::new(169, 254, 1, 2),
    outside: [
        Ipv4Addr::new(198, 51, 100, 2),
        Ipv4Addr::new(203, 0, 113, 2),
    ],
    inside: [Ipv4Addr::new(10, 99, 0, 0), Ipv4Addr::new(10, 99, 1, 0)],
};

/// The right side.
pub const OCI: Site = Site {
    name: "oci",
    gateway: "oci-gw",
    gateway_asn: 31898,
    router_asn: 65020,
    prefixes: &["10.10.0.0/16", "10.10.1.0/24"],
    strays: &["0.0.0.0/0", "10.10.7.128/25"],
    pattern: "10.10.0.0/16 le 24",
    host: Ipv4Addr::new(10, 10, 0, 10),
    host_router: Ipv4Addr::new(10, 10, 0, 1),
    gateway_address: Ipv4Addr::new(169, 254, 2, 1),
    router_address: Ipv4Addr::new(169, 254, 2, 2),
    outside: [
        Ipv4Addr::new(198, 51, 100, 6),
        Ipv4Addr::new(203, 0, 113, 6),
    ],
    inside: [Ipv4Addr::new(10, 99, 0, 1), Ipv4Addr::new(10, 99, 1, 1)],
};

impl Site {
    /// The site across.
    pub fn other(&self) -> &'static Self {
        if self.name == AWS.name { &OCI } else { &AWS }
    }
}

/// Both internets and the link over each.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Way {
    /// `internet-a`, link `wg-a`, preferred.
    A,
    /// `internet-b`, link `wg-b`.
    B,
}

impl Way {
    /// Both.
    pub const ALL: [Self; 2] = [Self::A, Self::B];

    /// The link over it.
    pub const fn link(self) -> &'static str {
        match self {
            Self::A => "wg-a",
            Self::B => "wg-b",
        }
    }

    /// The interface of that link in both routers.
    pub fn interface(self) -> String {
        format!("sb-{}", self.link())
    }

    pub(super) const fn index(self) -> usize {
        match self {
            Self::A => 0,
            Self::B => 1,
        }
    }

    pub(super) const fn internet(self) -> &'static str {
        match self {
            Self::A => "internet-a",
            Self::B => "internet-b",
        }
    }
}
