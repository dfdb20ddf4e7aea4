//! The header before each packet of a TUN with offloads (`struct virtio_net_hdr`).

/// Its length in bytes.
pub(super) const LENGTH: usize = 10;

/// The checksum is to be finished by whoever sends the packet on.
const NEEDS_CSUM: u8 = 1;

/// What the packet stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Gso {
    /// One packet.
    None,
    /// A run of TCP segments over IPv4.
    Tcp4,
    /// A run of TCP segments over IPv6.
    Tcp6,
    /// A run of UDP datagrams.
    Udp,
}

impl Gso {
    fn from_byte(byte: u8) -> Option<Self> {
        // The highest bit says that the first segment has CWR set, which its flags say as well.
        match byte & 0x7f {
            0 => Some(Self::None),
            1 => Some(Self::Tcp4),
            4 => Some(Self::Tcp6),
            5 => Some(Self::Udp),
            _ => None,
        }
    }

    fn to_byte(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Tcp4 => 1,
            Self::Tcp6 => 4,
            Self::Udp => 5,
        }
    }
}

/// The header, but for the length of the inner headers, which the kernel does not say reliably.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Header {
    pub(super) needs_checksum: bool,
    pub(super) gso: Gso,
    /// Bytes of payload in each segment but the last.
    pub(super) gso_size: u16,
    /// Where the TCP or UDP header begins.
    pub(super) checksum_start: u16,
    /// Where its checksum is, from there.
    pub(super) checksum_offset: u16,
}

impl Header {
    /// Of a packet that is complete.
    pub(super) const PLAIN: Self = Self {
        needs_checksum: false,
        gso: Gso::None,
        gso_size: 0,
        checksum_start: 0,
        checksum_offset: 0,
    };

    /// `None` for a kind of run that was not asked for.
    pub(super) fn parse(bytes: &[u8; LENGTH]) -> Option<Self> {
        let field = |at: usize| u16::from_ne_bytes([bytes[at], bytes[at + 1]]);
        Some(Self {
            needs_checksum: bytes[0] & NEEDS_CSUM != 0,
            gso: Gso::from_byte(bytes[1])?,
            gso_size: field(4),
            checksum_start: field(6),
            checksum_offset: field(8),
        })
    }

    /// `header_length` is that of the inner IP and TCP or UDP headers together.
    pub(super) fn bytes(self, header_length: u16) -> [u8; LENGTH] {
        let mut bytes = [0; LENGTH];
        bytes[0] = if self.needs_checksum { NEEDS_CSUM } else { 0 };
        bytes[1] = self.gso.to_byte();
        bytes[2..4].copy_from_slice(&header_length.to_ne_bytes());
        bytes[4..6].copy_from_slice(&self.gso_size.to_ne_bytes());
        bytes[6..8].copy_from_slice(&self.checksum_start.to_ne_bytes());
        bytes[8..10].copy_from_slice(&self.checksum_offset.to_ne_bytes());
        bytes
    }
}
