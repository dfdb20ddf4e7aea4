//! TCP as far as it matters here: bytes arrive in order and in pieces, or wait while the cable is cut.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::random::Random;

/// Bytes under way in one direction, at most.
const WINDOW: usize = 2048;
/// A packet that is lost is sent again after this long, up to twice as long.
const LOST: Duration = Duration::from_millis(200);
/// A sender whose cable came back tries again within so long.
const RETRANSMIT: Duration = Duration::from_millis(1500);

/// One TCP connection between the two ends of a cable. End 0 or 1 dialled.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) dialled_by: usize,
    pub(super) ends: [End; 2],
    /// Under way to either end.
    toward: [VecDeque<Segment>; 2],
    /// Longest piece that the bytes are cut into.
    piece: usize,
}

/// What the socket of one end is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum End {
    /// The dial is not answered, or the connection not accepted.
    Opening,
    Open,
    /// Its owner has closed it. What was written is still on its way.
    Lingering,
    /// There is no such socket.
    Gone,
}

#[derive(Debug)]
struct Segment {
    /// `None` while it waits for the cable.
    arrives: Option<Instant>,
    content: Content,
}

/// What arrives.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Content {
    /// The end of the handshake: the dialled end has a connection to accept.
    Accept,
    Bytes(Vec<u8>),
    /// No more bytes come.
    Fin,
}

/// Where the network stands when something is sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Path {
    pub(super) now: Instant,
    pub(super) delay: Duration,
    pub(super) is_up: bool,
    /// Of a thousand packets.
    pub(super) lost: usize,
}

impl Path {
    /// As it is for a packet: one that is lost arrives when it has been sent again.
    fn of_packet(self, random: &mut Random) -> Self {
        let again = match random.happens(self.lost) {
            true => LOST + random.wait(LOST),
            false => Duration::ZERO,
        };
        Self {
            delay: self.delay + again,
            ..self
        }
    }
}

impl Stream {
    pub(super) fn new(dialled_by: usize, random: &mut Random) -> Self {
        Self {
            dialled_by,
            ends: [End::Opening; 2],
            toward: Default::default(),
            piece: random.choose(&[1, 7, 40, 1460]),
        }
    }

    /// Takes as much of `bytes` as there is room for, and tells how much.
    pub(super) fn write(
        &mut self,
        end: usize,
        bytes: &[u8],
        path: Path,
        random: &mut Random,
    ) -> usize {
        let room = WINDOW.saturating_sub(self.under_way(end));
        let taken = &bytes[..room.min(bytes.len())];
        self.push_bytes(end, taken, path, random);
        taken.len()
    }

    /// Writes the last of it and says that no more comes.
    pub(super) fn finish(&mut self, end: usize, last: &[u8], path: Path, random: &mut Random) {
        self.push_bytes(end, last, path, random);
        self.push(end, Content::Fin, path);
        self.ends[end] = End::Lingering;
    }

    /// End `from` sends something.
    pub(super) fn push(&mut self, from: usize, content: Content, path: Path) {
        let pipe = &mut self.toward[1 - from];
        let arrives = path.now + path.delay;
        // Nothing overtakes, and what waits for the cable holds up what comes after.
        let arrives = match pipe.back().map(|last| last.arrives) {
            Some(None) => None,
            Some(Some(last)) => Some(last.max(arrives)),
            None => Some(arrives),
        };
        let arrives = arrives.filter(|_| path.is_up);
        pipe.push_back(Segment { arrives, content });
    }

    /// What has arrived at this end.
    pub(super) fn receive(&mut self, end: usize, now: Instant) -> Option<Content> {
        let arrives = self.next_arrival(end)?;
        if arrives > now {
            return None;
        }
        self.toward[end].pop_front().map(|segment| segment.content)
    }

    /// When the next thing arrives at this end.
    pub(super) fn next_arrival(&self, end: usize) -> Option<Instant> {
        self.toward[end].front()?.arrives
    }

    /// The cable is cut: what is under way has to be sent again, if there is still somebody to.
    pub(super) fn stall(&mut self) {
        for (sender, pipe) in [1, 0].into_iter().zip(&mut self.toward) {
            if self.ends[sender] == End::Gone {
                pipe.clear();
            }
            for segment in pipe {
                segment.arrives = None;
            }
        }
    }

    /// The cable is back: either end sends again what waited, sooner or later.
    pub(super) fn resume(&mut self, now: Instant, delay: Duration, random: &mut Random) {
        for pipe in &mut self.toward {
            let arrives = now + delay + random.wait(RETRANSMIT);
            for segment in pipe {
                segment.arrives.get_or_insert(arrives);
            }
        }
    }

    /// This end has no socket any more: what is under way to it finds nobody, and what it sent and
    /// was not delivered is not sent again.
    pub(super) fn abandon(&mut self, end: usize) {
        self.ends[end] = End::Gone;
        self.toward[1 - end].retain(|segment| segment.arrives.is_some());
    }

    /// Nobody holds it, or will.
    pub(super) fn is_over(&self) -> bool {
        let dialled = 1 - self.dialled_by;
        let is_dialled_over = match self.ends[dialled] {
            End::Gone => true,
            End::Opening => self.toward[dialled].is_empty(),
            End::Open | End::Lingering => false,
        };
        self.ends[self.dialled_by] == End::Gone && is_dialled_over
    }

    fn under_way(&self, from: usize) -> usize {
        let segments = self.toward[1 - from].iter();
        segments
            .map(|segment| match &segment.content {
                Content::Bytes(bytes) => bytes.len(),
                Content::Accept | Content::Fin => 0,
            })
            .sum()
    }

    fn push_bytes(&mut self, end: usize, mut bytes: &[u8], path: Path, random: &mut Random) {
        while !bytes.is_empty() {
            let length = (1 + random.below(self.piece)).min(bytes.len());
            let (piece, rest) = bytes.split_at(length);
            let packet = path.of_packet(random);
            self.push(end, Content::Bytes(piece.to_vec()), packet);
            bytes = rest;
        }
    }
}
