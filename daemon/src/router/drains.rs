//! Links that are to be emptied: by the file, or by command until the next start.

use links::Order;
use tokio::sync::mpsc;
use tracing::info;

use super::Router;
use crate::convert;
use crate::drivers::drain::{self, Errand, Told};
use crate::drivers::messages::{Denied, Emptied};
use crate::journal::Severity;

/// More than there is to tell at once.
const TELLINGS: usize = 16;

impl Router {
    /// Has the link emptied or filled; what is waited for comes through the channel. The order stands whether
    /// anybody waits or not.
    pub(super) fn drain(&mut self, emptied: Emptied) -> Result<mpsc::Receiver<Told>, Denied> {
        let Emptied {
            link: name,
            order,
            patience,
        } = emptied;
        let link = self.config.links.get(&name).ok_or(Denied::Unknown)?;
        if link.drain && order == Order::Carry {
            let by_file = "the file says `drain = true`: take that out and reload";
            return Err(Denied::Refused(by_file.to_owned()));
        }
        if link.group.is_none() {
            let alone = "the link is in no group: there is nothing that its traffic could move to";
            return Err(Denied::Refused(alone.to_owned()));
        }
        let number = self.links.get(&name).map_or(0, |running| running.id.0);
        let errand = Errand {
            link: name.clone(),
            interface: link.interface.clone(),
            number,
            order,
            patience,
        };
        let what = match order {
            Order::Drain => "to be emptied, by command",
            Order::Carry => "to carry traffic again, by command",
        };
        info!(link = name, "{what}");
        let journal = &self.reader.board.journal;
        journal.record(Severity::Info, "drain", &name, what.to_owned());
        match order {
            Order::Drain => self.ordered.insert(name),
            Order::Carry => self.ordered.remove(&name),
        };
        let (told, tellings) = mpsc::channel(TELLINGS);
        tokio::spawn(drain::run(errand, self.drills.scenes(), told));
        self.order_drains();
        Ok(tellings)
    }

    /// Tells every link what is wanted of it.
    pub(super) fn order_drains(&mut self) {
        let configured = &self.config.links;
        self.ordered.retain(|name| configured.contains_key(name));
        let mut wanted = convert::drained(&self.config);
        wanted.extend(self.ordered.iter().cloned());
        self.drained.send_if_modified(|drained| {
            let differs = *drained != wanted;
            *drained = wanted;
            differs
        });
    }
}
