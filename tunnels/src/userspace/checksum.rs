//! The Internet checksum (RFC 1071), summed in the byte order of this machine.
//!
//! The sum of 16-bit words in ones' complement is the same in either byte order but for a swap of
//! its two bytes, so nothing is swapped but what is read from or written to a packet.

/// Adds `bytes` to `sum`, a byte left over as the first of a pair.
pub(super) fn add(sum: u64, bytes: &[u8]) -> u64 {
    let mut words = bytes.chunks_exact(4);
    let mut sum = words.by_ref().fold(sum, |sum, word| {
        sum + u64::from(u32::from_ne_bytes([word[0], word[1], word[2], word[3]]))
    });
    let mut pairs = words.remainder().chunks_exact(2);
    for pair in pairs.by_ref() {
        sum += u64::from(u16::from_ne_bytes([pair[0], pair[1]]));
    }
    if let [last] = pairs.remainder() {
        sum += u64::from(u16::from_ne_bytes([*last, 0]));
    }
    sum
}

/// Folds a sum to the two bytes that stand for it in a packet, not yet complemented.
pub(super) fn fold(mut sum: u64) -> [u8; 2] {
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    u16::try_from(sum).unwrap_or_default().to_ne_bytes()
}

/// The complement of [`fold`]: what a checksum field holds.
pub(super) fn finish(sum: u64) -> [u8; 2] {
    let [a, b] = fold(sum);
    [!a, !b]
}

/// The sum of a pseudo header (RFC 9293 §3.1, RFC 8200 §8.1): `addresses` is source and destination.
pub(super) fn pseudo_header(addresses: &[u8], protocol: u8, length: u16) -> u64 {
    let [high, low] = length.to_be_bytes();
    add(add(0, addresses), &[0, protocol, high, low])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_rfc_sums_to_what_the_rfc_says() {
        // RFC 1071 §3: the words 0001 f203 f4f5 f6f7 sum to ddf2.
        let sum = add(0, &[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]);
        assert_eq!(fold(sum), [0xdd, 0xf2]);
        assert_eq!(finish(sum), [0x22, 0x0d]);
    }

    #[test]
    fn a_byte_left_over_counts_as_the_first_of_a_pair() {
        assert_eq!(fold(add(0, &[1, 2, 3])), fold(add(0, &[1, 2, 3, 0])));
    }

    #[test]
    fn parts_of_even_length_sum_like_the_whole() {
        let bytes: Vec<u8> = (0..=255).collect();
        for cut in (0..bytes.len()).step_by(2) {
            let (a, b) = bytes.split_at(cut);
            assert_eq!(fold(add(add(0, a), b)), fold(add(0, &bytes)), "{cut}");
        }
    }
}
