//! How much of a packet ESP leaves (RFC 4303 §2).

use std::net::IpAddr;

use crate::model::EspTransport;

/// Length of the header that comes before the ciphertext: SPI and sequence number.
const HEADER: u32 = 8;
/// Length of pad length and next header, which end the ciphertext.
const TRAILER: u32 = 2;
/// Length of UDP's header, which ESP travels behind when there is a NAT.
pub(crate) const UDP: u32 = 8;

/// What a cipher adds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Cipher {
    iv: u32,
    /// The ciphertext is a multiple of this.
    block: u32,
    icv: u32,
}

impl Cipher {
    /// - `room`: of the outer packet behind its IP header, and UDP's if there is one
    fn leaves(self, room: u32) -> u32 {
        let Self { iv, block, icv } = self;
        let ciphertext = room.saturating_sub(HEADER + iv + icv);
        (ciphertext / block * block).saturating_sub(TRAILER)
    }
}

/// What is behind the outer IP header of what the internet carries.
pub(crate) fn room(remote: IpAddr) -> u32 {
    match remote {
        IpAddr::V4(_) => 1500 - 20,
        IpAddr::V6(_) => 1500 - 40,
    }
}

/// The MTU inside for a proposal such as `aes256gcm16-ecp384`.
///
/// - `room`: of the outer packet behind its IP header, and UDP's if there is one
pub(crate) fn mtu(proposal: &str, room: u32) -> u32 {
    cipher(proposal).leaves(room)
}

/// The MTU inside for a cipher that was agreed on: `AES_GCM_16-256`, `AES_CBC-256/HMAC_SHA2_256_128`.
pub(crate) fn agreed_mtu(cipher: &str, transport: EspTransport, remote: IpAddr) -> u32 {
    let udp = match transport {
        EspTransport::Ip => 0,
        EspTransport::Udp => UDP,
    };
    agreed(cipher).leaves(room(remote) - udp)
}

/// What is not known counts as what takes most.
fn agreed(cipher: &str) -> Cipher {
    let (encryption, integrity) = cipher.split_once('/').unwrap_or((cipher, ""));
    // Without the length of the key.
    let encryption = encryption.split('-').next().unwrap_or_default();
    let last = |name: &str| name.rsplit('_').next().and_then(|last| last.parse().ok());
    if ["GCM", "CCM", "CHACHA20"]
        .iter()
        .any(|aead| encryption.contains(aead))
    {
        let icv = last(encryption).filter(|icv| *icv <= 16).unwrap_or(16);
        return Cipher {
            iv: 8,
            block: 4,
            icv,
        };
    }
    // Bits, of which the name of every algorithm has its own: HMAC_SHA1_96, AES_XCBC_96.
    let icv = last(integrity).map_or(32, |bits: u32| bits / 8).min(32);
    let (iv, block) = match encryption {
        "AES_CTR" | "CAMELLIA_CTR" => (8, 4),
        "3DES_CBC" | "BLOWFISH_CBC" | "CAST_CBC" | "DES_CBC" => (8, 8),
        "NULL" => (0, 4),
        _ => (16, 16),
    };
    Cipher { iv, block, icv }
}

/// What is not known counts as the one that takes most.
fn cipher(proposal: &str) -> Cipher {
    let words = || proposal.split('-');
    if let Some(aead) = words().find(|word| is_aead(word)) {
        let icv = match aead {
            aead if aead.ends_with("12") => 12,
            aead if aead.ends_with("8") && !aead.contains("128") => 8,
            _ => 16,
        };
        return Cipher {
            iv: 8,
            block: 4,
            icv,
        };
    }
    let integrity = words().find(|word| word.starts_with("sha") || *word == "md5");
    let icv = match integrity {
        Some("md5" | "sha" | "sha1") => 12,
        Some(word) if word.starts_with("sha256") || word.starts_with("sha2_256") => 16,
        Some(word) if word.starts_with("sha384") || word.starts_with("sha2_384") => 24,
        _ => 32,
    };
    Cipher {
        iv: 16,
        block: 16,
        icv,
    }
}

fn is_aead(word: &str) -> bool {
    word.contains("gcm") || word.contains("ccm") || word.starts_with("chacha20")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// AWS publishes these for packets of 1500 octets over IPv4.
    #[test]
    fn the_table_that_aws_publishes_comes_out() {
        for (proposal, plain, in_udp) in [
            ("aes256gcm16-modp2048", 1446, 1438),
            ("aes256-sha1-modp2048", 1438, 1422),
            ("aes256-sha256-modp2048", 1438, 1422),
            ("aes256-sha384-modp2048", 1422, 1422),
            ("aes256-sha512-modp2048", 1422, 1406),
        ] {
            assert_eq!(mtu(proposal, 1480), plain, "{proposal}");
            assert_eq!(mtu(proposal, 1480 - UDP), in_udp, "{proposal} in UDP");
        }
    }

    /// The names are strongSwan's.
    #[test]
    fn what_was_agreed_on_leaves_what_was_offered() {
        for (offered, agreed) in [
            ("aes256gcm16-modp2048", "AES_GCM_16-256"),
            ("aes128gcm12-modp2048", "AES_GCM_12-128"),
            ("aes256gcm8", "AES_GCM_8-256"),
            ("chacha20poly1305", "CHACHA20_POLY1305"),
            ("aes256-sha1", "AES_CBC-256/HMAC_SHA1_96"),
            ("aes256-sha256", "AES_CBC-256/HMAC_SHA2_256_128"),
            ("aes256-sha384", "AES_CBC-256/HMAC_SHA2_384_192"),
            ("aes256-sha512", "AES_CBC-256/HMAC_SHA2_512_256"),
        ] {
            assert_eq!(super::agreed(agreed), cipher(offered), "{agreed}");
        }
        let remote: IpAddr = [192, 0, 2, 1].into();
        assert_eq!(agreed_mtu("AES_GCM_16-256", EspTransport::Ip, remote), 1446);
        assert_eq!(
            agreed_mtu("AES_GCM_16-256", EspTransport::Udp, remote),
            1438
        );
        assert_eq!(agreed_mtu("", EspTransport::Ip, remote), mtu("rot13", 1480));
        assert_eq!(
            agreed_mtu("3DES_CBC/HMAC_MD5_96", EspTransport::Ip, remote),
            1446
        );
    }

    #[test]
    fn what_is_not_known_gets_the_least() {
        assert_eq!(mtu("rot13", 1480), mtu("aes256-sha512", 1480));
        assert_eq!(mtu("aes256gcm16", 0), 0);
    }
}
