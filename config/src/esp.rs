//! How much of a packet ESP leaves (RFC 4303 §2).

/// Length of the header that comes before the ciphertext: SPI and sequence number.
const HEADER: u32 = 8;
/// Length of pad length and next header, which end the ciphertext.
const TRAILER: u32 = 2;
/// Length of UDP's header, which ESP travels behind when there is a NAT.
pub(crate) const UDP: u32 = 8;

/// What a cipher adds.
struct Cipher {
    iv: u32,
    /// The ciphertext is a multiple of this.
    block: u32,
    icv: u32,
}

/// The MTU inside for a proposal such as `aes256gcm16-ecp384`.
///
/// - `room`: of the outer packet behind its IP header, and UDP's if there is one
pub(crate) fn mtu(proposal: &str, room: u32) -> u32 {
    let Cipher { iv, block, icv } = cipher(proposal);
    let ciphertext = room.saturating_sub(HEADER + iv + icv);
    (ciphertext / block * block).saturating_sub(TRAILER)
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

    #[test]
    fn what_is_not_known_gets_the_least() {
        assert_eq!(mtu("rot13", 1480), mtu("aes256-sha512", 1480));
        assert_eq!(mtu("aes256gcm16", 0), 0);
    }
}
