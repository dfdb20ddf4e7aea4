//! Byte counters to the machine that looks whether traffic comes back by the link that it leaves by.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use config::Config;
use links::{LinkId, Symmetry, SymmetryInput, SymmetryOutput, Traffic};
use tracing::{info, warn};

use super::until;
use crate::board::Board;
use crate::fib;
use crate::journal::Severity;
use crate::snapshot::Reader;

/// Runs for as long as the process.
pub(crate) async fn run(reader: Reader) {
    let mut driver = Driver {
        board: Arc::clone(&reader.board),
        groups: BTreeMap::new(),
        ids: BTreeMap::new(),
        next: 0,
    };
    loop {
        let now = Instant::now();
        driver.look(&reader.applied().config, now);
        until(Some(driver.due(now))).await;
    }
}

struct Driver {
    board: Arc<Board>,
    groups: BTreeMap<String, Symmetry>,
    ids: BTreeMap<String, LinkId>,
    next: u32,
}

impl Driver {
    fn due(&self, now: Instant) -> Instant {
        let due = self.groups.values().map(Symmetry::poll_timeout).min();
        due.unwrap_or(now + Symmetry::WINDOW)
    }

    fn look(&mut self, config: &Config, now: Instant) {
        let Ok(traffic) = fib::traffic() else {
            return self.try_later(now);
        };
        self.ids.retain(|name, _| config.links.contains_key(name));
        self.groups
            .retain(|name, _| config.groups.contains_key(name));
        for name in config.groups.keys() {
            let links = config.links.iter();
            let of_group = links.filter(|(_, link)| link.group.as_ref() == Some(name));
            let mut counters = BTreeMap::new();
            for (link, of) in of_group {
                let Some(bytes) = traffic.get(&of.interface) else {
                    continue;
                };
                let traffic = Traffic {
                    received: bytes.received,
                    sent: bytes.sent,
                };
                counters.insert(self.id(link), traffic);
            }
            let group = self.groups.entry(name.clone());
            let group = group.or_insert_with(|| Symmetry::new(now));
            group.handle(SymmetryInput::Counters(counters), now);
        }
        self.tell();
    }

    /// The kernel could not be asked: a window that is longer is as good.
    fn try_later(&mut self, now: Instant) {
        warn!("the kernel does not say how much the links carry");
        for group in self.groups.values_mut() {
            group.handle(SymmetryInput::NoCounters, now);
        }
    }

    fn tell(&mut self) {
        for (name, group) in &mut self.groups {
            while let Some(output) = group.poll_output() {
                let link = |id: LinkId| {
                    let mut ids = self.ids.iter();
                    let found = ids.find(|(_, known)| **known == id);
                    found.map(|(name, _)| name.clone()).unwrap_or_default()
                };
                match output {
                    SymmetryOutput::Asymmetric { sent, received } => {
                        let (by, back) = (link(sent.link), link(received.link));
                        let text = format!(
                            "{} % leaves by {by}, {} % comes by {back}",
                            sent.sent, received.received
                        );
                        info!(group = name, "asymmetric: {text}");
                        self.board.set_asymmetric(name, Some((by, back)));
                        let journal = &self.board.journal;
                        journal.record(Severity::Warning, "asymmetric", name, text);
                    }
                    SymmetryOutput::Symmetric => {
                        info!(group = name, "no longer asymmetric");
                        self.board.set_asymmetric(name, None);
                        let text = "traffic no longer leaves by one link and comes by another";
                        let journal = &self.board.journal;
                        journal.record(Severity::Info, "symmetric", name, text.to_owned());
                    }
                }
            }
        }
    }

    /// A number for a link, the same for as long as it is configured.
    fn id(&mut self, link: &str) -> LinkId {
        if let Some(id) = self.ids.get(link) {
            return *id;
        }
        let id = LinkId(self.next);
        self.next = self.next.wrapping_add(1);
        self.ids.insert(link.to_owned(), id);
        id
    }
}
