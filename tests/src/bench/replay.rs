//! Judges what a receiver heard: since when did it hold exactly the right set?

use std::collections::BTreeSet;
use std::time::Instant;

use bgp::wire::{Dialect, Frames, MessageKind, decode_update};
use bgp::{Asn, Attrs, Prefix, RouteEvent};

use super::peer::Chunk;
use super::table::{Place, Ranking, Table, sender_of};

/// Whose path a receiver should hold for each prefix.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Right {
    /// The best one while all senders are there.
    Best,
    /// That of this sender.
    Of(usize),
    /// Nobody's.
    Nothing,
}

/// What a receiver holds for a prefix.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Held {
    Nothing,
    /// The path of this sender, as it should be with the daemon's AS in front.
    Of(usize),
    /// A path that nobody has sent.
    Wrong,
}

/// The table as one receiver holds it, after all it was given to judge.
#[derive(Debug)]
pub struct Replay<'t> {
    table: &'t Table,
    ranking: Ranking,
    daemon: Asn,
    dialect: Dialect,
    frames: Frames,
    held: Vec<Held>,
    /// Prefixes that nobody has announced.
    foreign: BTreeSet<Prefix>,
    /// Something that is no UPDATE as it should be; nothing is right after it.
    fault: Option<String>,
    right: Right,
    count_right: usize,
    since: Option<Instant>,
}

impl<'t> Replay<'t> {
    /// A receiver in AS `own` that holds nothing, and should by and by hold what is `right`.
    pub fn new(table: &'t Table, ranking: Ranking, daemon: Asn, own: Asn, right: Right) -> Self {
        let mut replay = Self {
            table,
            ranking,
            daemon,
            dialect: Dialect::new(own, daemon),
            frames: Frames::default(),
            held: vec![Held::Nothing; table.prefixes().len()],
            foreign: BTreeSet::new(),
            fault: None,
            right,
            count_right: 0,
            since: None,
        };
        replay.expect(right);
        replay
    }

    /// From here on something else is right.
    pub fn expect(&mut self, right: Right) {
        self.right = right;
        self.since = None;
        let places = self.table.prefixes().iter().zip(&self.held);
        self.count_right = places
            .filter(|(prefix, held)| {
                let place = self.table.place(prefix);
                place.is_some_and(|place| self.wanted(place) == **held)
            })
            .count();
    }

    /// Takes what was heard next.
    pub fn hear(&mut self, chunks: &[Chunk]) {
        for chunk in chunks {
            self.read(&chunk.bytes);
            if !self.is_right() {
                self.since = None;
            } else if self.since.is_none() {
                self.since = Some(chunk.at);
            }
        }
    }

    /// Since when exactly the right set is held, or what is wrong with it.
    ///
    /// # Errors
    ///
    /// In words, with the first prefix that is not right.
    pub fn verdict(&self) -> Result<Instant, String> {
        self.since.ok_or_else(|| self.complaint())
    }

    fn is_right(&self) -> bool {
        self.count_right == self.held.len() && self.foreign.is_empty() && self.fault.is_none()
    }

    fn complaint(&self) -> String {
        if let Some(fault) = &self.fault {
            return fault.clone();
        }
        if let Some(foreign) = self.foreign.first() {
            let count = self.foreign.len();
            return format!("{count} prefixes nobody announced, such as {foreign}");
        }
        let mut pairs = self.table.prefixes().iter().zip(&self.held);
        let first = pairs.find_map(|(prefix, held)| {
            let wanted = self.wanted(self.table.place(prefix)?);
            (wanted != *held).then(|| format!(": {prefix} has {held:?}, not {wanted:?}"))
        });
        let (right, all) = (self.count_right, self.held.len());
        format!("{right} of {all} right{}", first.unwrap_or_default())
    }

    fn wanted(&self, place: Place) -> Held {
        match self.right {
            Right::Best => Held::Of(self.ranking.best(place.set)),
            Right::Of(sender) => Held::Of(sender),
            Right::Nothing => Held::Nothing,
        }
    }

    fn read(&mut self, mut bytes: &[u8]) {
        let mut frames = std::mem::take(&mut self.frames);
        while let Some(frame) = frames.next(&mut bytes) {
            match frame {
                Ok(frame) if frame.kind == MessageKind::Update => self.update(frame.body),
                Ok(frame) if frame.kind == MessageKind::Keepalive => {}
                other => {
                    self.fault = Some(format!("the daemon sent {other:?}"));
                    break;
                }
            }
        }
        self.frames = frames;
    }

    fn update(&mut self, body: &[u8]) {
        let (mut events, mut faults) = (Vec::new(), Vec::new());
        let decoded = decode_update(body, &self.dialect, &mut events, &mut faults);
        if decoded.is_err() || !faults.is_empty() {
            self.fault = Some(format!("an UPDATE is malformed: {faults:?}"));
            return;
        }
        for event in events {
            match event {
                RouteEvent::Announce {
                    attrs, prefixes, ..
                } => self.announce(&attrs, &prefixes),
                RouteEvent::Withdraw { prefixes, .. } => {
                    prefixes.iter().for_each(|prefix| self.withdraw(prefix));
                }
                RouteEvent::EndOfRib(_)
                | RouteEvent::RefreshBegins(_)
                | RouteEvent::RefreshEnds(_) => {}
            }
        }
    }

    fn announce(&mut self, attrs: &Attrs, prefixes: &[Prefix]) {
        // Prefixes of one UPDATE are nearly always of one set.
        let mut judged = None;
        for prefix in prefixes {
            let Some(place) = self.table.place(prefix) else {
                self.foreign.insert(*prefix);
                continue;
            };
            let held = match judged {
                Some((set, held)) if set == place.set => held,
                _ => self.whose(attrs, place.set),
            };
            judged = Some((place.set, held));
            self.hold(place, held);
        }
    }

    fn withdraw(&mut self, prefix: &Prefix) {
        match self.table.place(prefix) {
            Some(place) => self.hold(place, Held::Nothing),
            None => {
                self.foreign.remove(prefix);
            }
        }
    }

    fn hold(&mut self, place: Place, held: Held) {
        let wanted = self.wanted(place);
        let before = std::mem::replace(&mut self.held[place.index], held);
        self.count_right -= usize::from(before == wanted);
        self.count_right += usize::from(held == wanted);
    }

    /// Which sender's path of a set this is, told by the AS behind the daemon's. MED stays within
    /// an AS (RFC 4271 §5.1.4), so it is not compared.
    fn whose(&self, attrs: &Attrs, set: usize) -> Held {
        let sender = attrs.as_path.iter().nth(1).and_then(sender_of);
        let right = sender.filter(|sender| {
            let sent = self.table.attrs(set, *sender, self.ranking);
            attrs.as_path == sent.as_path.prepended(self.daemon, 1)
                && attrs.communities == sent.communities
                && attrs.origin == sent.origin
        });
        right.map_or(Held::Wrong, Held::Of)
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use bgp::Family;
    use bgp::wire::{UpdateWriter, encode_withdraw};
    use bytes::BytesMut;

    use super::*;
    use crate::bench::table::sender_asn;

    const DAEMON: Asn = Asn(64_900);
    const OWN: Asn = Asn(64_700);
    const RANKING: Ranking = Ranking::Rotating(3);

    fn table() -> Table {
        Table::generate(300, 5)
    }

    fn replay(table: &Table, right: Right) -> Replay<'_> {
        Replay::new(table, RANKING, DAEMON, OWN, right)
    }

    /// An UPDATE of the daemon.
    fn message(attrs: &Attrs, prefix: Prefix) -> BytesMut {
        let (mut out, mut writer) = (BytesMut::new(), UpdateWriter::default());
        let attrs = Attrs {
            as_path: attrs.as_path.prepended(DAEMON, 1),
            ..attrs.clone()
        };
        let nexthop = IpAddr::from([10, 77, 0, 1]);
        let dialect = Dialect::new(DAEMON, OWN);
        let loaded = writer.load(&attrs, nexthop, Family::Ipv4Unicast, &dialect);
        loaded.expect("it fits");
        writer.write(&[prefix], &[], &mut out);
        out
    }

    /// The best paths as the daemon should pass them on, from the prefix with that index on.
    fn passed_on(table: &Table, first: usize) -> BytesMut {
        let prefixes = table.prefixes()[first..].iter();
        let messages = prefixes.map(|prefix| {
            let set = table.place(prefix).expect("in the table").set;
            message(&table.attrs(set, RANKING.best(set), RANKING), *prefix)
        });
        messages.flatten().collect()
    }

    fn chunk(bytes: &[u8]) -> Chunk {
        Chunk {
            at: Instant::now(),
            bytes: bytes.into(),
        }
    }

    #[test]
    fn the_right_set_is_right_since_the_read_that_completed_it() {
        let table = table();
        let mut replay = replay(&table, Right::Best);
        let bytes = passed_on(&table, 0);
        let (first, last) = bytes.split_at(bytes.len() - 10);
        let chunks = [chunk(first), chunk(last), chunk(&passed_on(&table, 290))];
        replay.hear(&chunks);
        assert_eq!(replay.verdict(), Ok(chunks[1].at));
    }

    #[test]
    fn a_missing_path_is_refused_by_name() {
        let table = table();
        let mut replay = replay(&table, Right::Best);
        replay.hear(&[chunk(&passed_on(&table, 1))]);
        let complaint = replay.verdict().expect_err("one is missing");
        assert!(complaint.contains("299 of 300"), "{complaint}");
        assert!(
            complaint.contains(&table.prefixes()[0].to_string()),
            "{complaint}"
        );
    }

    #[test]
    fn a_path_of_another_sender_is_refused() {
        let table = table();
        let mut replay = replay(&table, Right::Best);
        let other = table.attrs(0, (RANKING.best(0) + 1) % 3, RANKING);
        let late = message(&other, table.prefixes()[0]);
        replay.hear(&[chunk(&passed_on(&table, 0)), chunk(&late)]);
        assert!(replay.verdict().is_err());
    }

    #[test]
    fn a_path_that_nobody_sent_is_refused() {
        let table = table();
        let prefix = table.prefixes()[0];
        let sent = table.attrs(0, 0, RANKING);
        let path = Attrs {
            as_path: sent.as_path.prepended(sender_asn(0), 1),
            ..sent.clone()
        };
        let communities = Attrs {
            communities: [bgp::Community(1)].into_iter().collect(),
            ..sent
        };
        for wrong in [path, communities] {
            let mut replay = replay(&table, Right::Best);
            let late = message(&wrong, prefix);
            replay.hear(&[chunk(&passed_on(&table, 0)), chunk(&late)]);
            let complaint = replay.verdict().expect_err("nobody sent that");
            assert!(complaint.contains("Wrong"), "{complaint}");
        }
    }

    #[test]
    fn a_prefix_that_nobody_announced_is_refused_until_it_is_withdrawn() {
        let table = table();
        let mut replay = replay(&table, Right::Best);
        let foreign = "192.0.2.0/24".parse().expect("a prefix");
        let attrs = table.attrs(0, 0, RANKING);
        replay.hear(&[
            chunk(&passed_on(&table, 0)),
            chunk(&message(&attrs, foreign)),
        ]);
        assert!(replay.verdict().is_err());
        let mut gone = BytesMut::new();
        encode_withdraw(&[foreign], &[], 4096, &mut gone);
        replay.hear(&[chunk(&gone)]);
        assert!(replay.verdict().is_ok());
    }

    #[test]
    fn nothing_is_right_only_after_the_last_withdrawal() {
        let table = table();
        let mut replay = replay(&table, Right::Best);
        replay.hear(&[chunk(&passed_on(&table, 0))]);
        replay.expect(Right::Nothing);
        assert!(replay.verdict().is_err());
        replay.hear(&[chunk(&table.withdrawn())]);
        assert!(replay.verdict().is_ok());
    }

    #[test]
    fn bytes_out_of_step_are_never_right() {
        let table = table();
        let mut replay = replay(&table, Right::Best);
        replay.hear(&[chunk(&[0; 19]), chunk(&passed_on(&table, 0))]);
        assert!(replay.verdict().is_err());
    }
}
