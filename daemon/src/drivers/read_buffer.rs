//! Where the bytes of a peer arrive.

/// As much as an idle peer ever says at once.
const SMALL: usize = 4 * 1024;
/// As much as is read at once of a peer that sends its table.
const LARGE: usize = 64 * 1024;
/// After so many reads in a row that would have fitted, the buffer is small again.
const PATIENCE: u8 = 16;

/// Large while a peer sends much, small while it does not: most peers are idle most of the time.
pub(super) struct ReadBuffer {
    bytes: Box<[u8]>,
    /// Of the last read.
    length: usize,
    small_reads: u8,
}

impl Default for ReadBuffer {
    fn default() -> Self {
        Self {
            bytes: zeroed(SMALL),
            length: 0,
            small_reads: 0,
        }
    }
}

impl ReadBuffer {
    /// Room for the next read.
    pub(super) fn room(&mut self) -> &mut [u8] {
        if self.small_reads >= PATIENCE && self.bytes.len() > SMALL {
            self.bytes = zeroed(SMALL);
        } else if self.length == SMALL && self.bytes.len() == SMALL {
            self.bytes = zeroed(LARGE);
        }
        self.length = 0;
        &mut self.bytes
    }

    /// So much of the room was used.
    pub(super) fn filled(&mut self, length: usize) {
        self.length = length;
        self.small_reads = if length < SMALL {
            self.small_reads.saturating_add(1)
        } else {
            0
        };
    }

    /// What the last read brought.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

fn zeroed(length: usize) -> Box<[u8]> {
    vec![0; length].into_boxed_slice()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(buffer: &mut ReadBuffer, available: usize) -> usize {
        let length = buffer.room().len().min(available);
        buffer.filled(length);
        assert_eq!(buffer.bytes().len(), length);
        buffer.bytes.len()
    }

    #[test]
    fn it_is_large_only_while_much_arrives() {
        let mut buffer = ReadBuffer::default();
        assert_eq!(read(&mut buffer, 19), SMALL);
        assert_eq!(read(&mut buffer, 100_000), SMALL);
        for _ in 0..3 {
            assert_eq!(read(&mut buffer, 100_000), LARGE);
        }
        for _ in 0..PATIENCE {
            assert_eq!(read(&mut buffer, 19), LARGE);
        }
        assert_eq!(read(&mut buffer, 19), SMALL);
    }
}
