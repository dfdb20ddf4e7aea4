//! All sessions of a host: which datagram is for whom, and what is due next.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::time::Instant;

use super::packet::Packet;
use super::session::{Change, Config, Session, Signed, Status};
use crate::random::Random;

/// What its owner calls a session.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SessionId(pub u32);

/// Between whom a session is. No two sessions have the same.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Path {
    /// Ours.
    pub local: IpAddr,
    /// The neighbour's.
    pub remote: IpAddr,
    /// Index of the interface; `None` for a multihop session, whose packets may come in anywhere.
    pub interface: Option<u32>,
}

/// A datagram from a BFD port, from anybody.
#[derive(Clone, Copy, Debug)]
pub struct Received<'a> {
    /// From whom, to which of our addresses, on which interface: that one is always known here.
    pub path: Path,
    /// TTL or hop limit as it arrived.
    pub hop_limit: u8,
    /// The UDP payload.
    pub bytes: &'a [u8],
}

/// The only way in.
#[derive(Clone, Debug)]
pub enum Input<'a> {
    /// A session that is wanted. One of the same name goes on if only its intervals differ, and is made
    /// anew otherwise.
    Set {
        /// Its name.
        id: SessionId,
        /// Between whom.
        path: Path,
        /// How.
        config: Config,
    },
    /// One that is not wanted any more; the neighbour is told so in one packet.
    Remove(SessionId),
    /// One that is to be down for a while.
    Disable(SessionId),
    /// One that may be up again.
    Enable(SessionId),
    /// A datagram.
    Received(Received<'a>),
    /// A deadline may have passed, and every datagram that had come by then was handed in.
    Timeout,
}

/// What became of a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Output {
    /// Which.
    pub id: SessionId,
    /// What.
    pub change: Change,
}

/// A datagram to send, with hop limit 255.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Transmit {
    /// Whose.
    pub id: SessionId,
    /// From `local` to `remote`, out of `interface`.
    pub path: Path,
    /// The UDP payload.
    pub packet: Signed,
}

#[derive(Debug)]
struct Entry {
    id: SessionId,
    path: Path,
    config: Config,
    session: Session,
    /// Its place in `timers`.
    timer: Option<Instant>,
    /// It is in `touched`.
    is_touched: bool,
}

/// The sessions of a host.
///
/// The driver: `handle`, then [`Bfd::poll_transmit`] and [`Bfd::poll_output`] until they give `None`,
/// then wait for the next datagram or [`Bfd::poll_timeout`]. It may be late by [`LEEWAY`](super::LEEWAY), to
/// see to many packets at once.
#[derive(Debug)]
pub struct Bfd {
    random: Random,
    /// By our discriminator.
    entries: BTreeMap<u32, Entry>,
    by_id: BTreeMap<SessionId, u32>,
    by_path: BTreeMap<Path, u32>,
    timers: BTreeSet<(Instant, u32)>,
    /// Those that may have something to send or to say.
    touched: VecDeque<u32>,
    farewells: VecDeque<Transmit>,
    outputs: VecDeque<Output>,
    malformed: u64,
    unknown: u64,
}

impl Bfd {
    /// Without sessions. Discriminators and first sequence numbers come from `seed`.
    pub fn new(seed: u64) -> Self {
        Self {
            random: Random::new(seed),
            entries: BTreeMap::new(),
            by_id: BTreeMap::new(),
            by_path: BTreeMap::new(),
            timers: BTreeSet::new(),
            touched: VecDeque::new(),
            farewells: VecDeque::new(),
            outputs: VecDeque::new(),
            malformed: 0,
            unknown: 0,
        }
    }

    /// The only way in.
    pub fn handle(&mut self, input: Input<'_>, now: Instant) {
        match input {
            Input::Set { id, path, config } => self.set(id, path, config, now),
            Input::Remove(id) => self.remove(id, now),
            Input::Disable(id) => self.tell(id, |session| session.disable(now)),
            Input::Enable(id) => self.tell(id, |session| session.enable(now)),
            Input::Received(received) => self.receive(received, now),
            Input::Timeout => self.timeout(now),
        }
    }

    /// The next packet that is due by `now`.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Transmit> {
        if let Some(farewell) = self.farewells.pop_front() {
            return Some(farewell);
        }
        while let Some(discriminator) = self.touched.front().copied() {
            if let Some(entry) = self.entries.get_mut(&discriminator) {
                if let Some(packet) = entry.session.poll_transmit(now) {
                    let Entry { id, path, .. } = *entry;
                    return Some(Transmit { id, path, packet });
                }
                entry.is_touched = false;
            }
            self.touched.pop_front();
            self.set_timer(discriminator);
        }
        None
    }

    /// What became of a session, in order.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Input::Timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// What there is to show of one.
    pub fn status(&self, id: SessionId) -> Option<Status> {
        let discriminator = self.by_id.get(&id)?;
        let entry = self.entries.get(discriminator)?;
        Some(entry.session.status())
    }

    /// Datagrams that are no control packets.
    pub fn malformed(&self) -> u64 {
        self.malformed
    }

    /// Control packets that are for none of our sessions.
    pub fn unknown(&self) -> u64 {
        self.unknown
    }

    fn set(&mut self, id: SessionId, path: Path, config: Config, now: Instant) {
        if let Some(entry) = self.entry(id)
            && entry.path == path
            && entry.config.hops == config.hops
            && entry.config.authentication == config.authentication
        {
            let (tx, rx) = (config.desired_min_tx, config.required_min_rx);
            let multiplier = config.multiplier;
            entry.config = config;
            self.tell(id, |session| session.set_intervals(tx, rx, multiplier, now));
            return;
        }
        self.remove(id, now);
        let discriminator = self.free_discriminator();
        let session = Session::new(config.clone(), discriminator, self.random.next(), now);
        let entry = Entry {
            id,
            path,
            config,
            session,
            timer: None,
            is_touched: false,
        };
        self.entries.insert(discriminator, entry);
        self.by_id.insert(id, discriminator);
        self.by_path.insert(path, discriminator);
        self.touch(discriminator);
    }

    /// Not 0, and nobody's; not to be guessed, since who knows it can speak for the neighbour.
    fn free_discriminator(&mut self) -> u32 {
        loop {
            let candidate = (self.random.next() >> 32) as u32;
            if candidate != 0 && !self.entries.contains_key(&candidate) {
                return candidate;
            }
        }
    }

    fn remove(&mut self, id: SessionId, now: Instant) {
        let Some(discriminator) = self.by_id.remove(&id) else {
            return;
        };
        let Some(mut entry) = self.entries.remove(&discriminator) else {
            return;
        };
        if self.by_path.get(&entry.path) == Some(&discriminator) {
            self.by_path.remove(&entry.path);
        }
        if let Some(at) = entry.timer {
            self.timers.remove(&(at, discriminator));
        }
        let Entry { path, .. } = entry;
        entry.session.disable(now);
        let farewell = entry.session.poll_transmit(now);
        let farewell = farewell.map(|packet| Transmit { id, path, packet });
        self.farewells.extend(farewell);
    }

    fn tell(&mut self, id: SessionId, what: impl FnOnce(&mut Session)) {
        if let Some(discriminator) = self.by_id.get(&id).copied()
            && let Some(entry) = self.entries.get_mut(&discriminator)
        {
            what(&mut entry.session);
            self.touch(discriminator);
        }
    }

    fn receive(&mut self, received: Received<'_>, now: Instant) {
        let Received {
            path,
            hop_limit,
            bytes,
        } = received;
        let Ok((packet, section)) = Packet::decode(bytes) else {
            self.malformed += 1;
            return;
        };
        let discriminator = self.whose(path, packet.your_discriminator);
        let Some(entry) = discriminator.and_then(|d| self.entries.get_mut(&d)) else {
            self.unknown += 1;
            return;
        };
        // What is dropped is counted where it is dropped.
        let _ = entry
            .session
            .received(&packet, section, bytes, hop_limit, now);
        if let Some(discriminator) = discriminator {
            self.touch(discriminator);
        }
    }

    /// RFC 5880 §6.8.6 selects by your discriminator alone where it is not 0. Here the addresses must
    /// be right as well: a discriminator that has leaked is not enough to speak for a neighbour.
    fn whose(&self, path: Path, your_discriminator: u32) -> Option<u32> {
        let anywhere = Path {
            interface: None,
            ..path
        };
        let of_path = || {
            let found = self.by_path.get(&path);
            found.or_else(|| self.by_path.get(&anywhere)).copied()
        };
        of_path().filter(|ours| your_discriminator == 0 || your_discriminator == *ours)
    }

    fn timeout(&mut self, now: Instant) {
        while let Some(&(at, discriminator)) = self.timers.first() {
            if at > now {
                return;
            }
            self.timers.pop_first();
            if let Some(entry) = self.entries.get_mut(&discriminator) {
                entry.timer = None;
                entry.session.timeout(now);
                self.touch(discriminator);
            }
        }
    }

    /// Its changes are told, and it is asked for packets.
    fn touch(&mut self, discriminator: u32) {
        let Some(entry) = self.entries.get_mut(&discriminator) else {
            return;
        };
        let id = entry.id;
        if let Some(change) = entry.session.poll_output() {
            self.outputs.push_back(Output { id, change });
        }
        if !entry.is_touched {
            entry.is_touched = true;
            self.touched.push_back(discriminator);
        }
    }

    fn set_timer(&mut self, discriminator: u32) {
        let Some(entry) = self.entries.get_mut(&discriminator) else {
            return;
        };
        let wanted = entry.session.poll_timeout();
        if wanted == entry.timer {
            return;
        }
        if let Some(at) = entry.timer {
            self.timers.remove(&(at, discriminator));
        }
        if let Some(at) = wanted {
            self.timers.insert((at, discriminator));
        }
        entry.timer = wanted;
    }

    fn entry(&mut self, id: SessionId) -> Option<&mut Entry> {
        let discriminator = self.by_id.get(&id)?;
        self.entries.get_mut(discriminator)
    }
}
