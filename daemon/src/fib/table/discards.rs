//! Routes that discard: few, and apart from all others.
//!
//! In the kernel they have a metric of their own, behind that of every other route ([`route`](super::super::route)).
//! So one takes the place of nothing, and beside a route of ours for the same prefix there is only one order to keep:
//! where such a route is to follow it, it goes last.

use std::collections::{BTreeMap, BTreeSet};

use bgp::Prefix;

use super::routes::Pass;

/// One prefix.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Discard {
    pub(super) wanted: Wish,
    /// As far as is believed, in the kernel.
    pub(super) is_there: bool,
    pass: Pass,
}

/// Whether packets are to be discarded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Wish {
    /// Found in the kernel, left by an earlier run; nobody has said anything about it yet.
    Unasked,
    No,
    Yes,
}

/// All prefixes that somebody wants discarded, or for which the kernel does so.
#[derive(Default)]
pub(super) struct Discards {
    known: BTreeMap<Prefix, Discard>,
    /// Those that are not as wanted.
    dirty: BTreeSet<Prefix>,
}

impl Discards {
    pub(super) fn get(&self, prefix: &Prefix) -> Option<Discard> {
        self.known.get(prefix).copied()
    }

    /// How many there are in the kernel.
    pub(super) fn installed(&self) -> usize {
        let all = self.known.values();
        all.filter(|known| known.is_there).count()
    }

    /// Those that are not as wanted, in order, with what is.
    pub(super) fn dirty(&self) -> impl ExactSizeIterator<Item = (Prefix, Wish)> {
        let wanted = |prefix| self.known.get(prefix).map_or(Wish::No, |it| it.wanted);
        let dirty = self.dirty.iter();
        dirty.map(move |prefix| (*prefix, wanted(prefix)))
    }

    /// What is wanted from here on. Said of each prefix that there is, nearly all of which have nothing to do with it.
    pub(super) fn want(&mut self, prefix: Prefix, wanted: Wish, pass: Pass) {
        let before = match self.get(&prefix) {
            Some(known) => known,
            None if wanted != Wish::Yes => return,
            None => Discard {
                wanted,
                is_there: false,
                pass,
            },
        };
        self.put(prefix, Discard { wanted, ..before });
    }

    /// A step has been handed out that makes it as wanted.
    pub(super) fn done(&mut self, prefix: Prefix, pass: Pass) {
        if let Some(Discard { wanted, .. }) = self.get(&prefix) {
            let is_there = wanted == Wish::Yes;
            self.put(
                prefix,
                Discard {
                    wanted,
                    is_there,
                    pass,
                },
            );
        }
    }

    /// The kernel has it. One that has had a step in this pass is believed more than that.
    ///
    /// - `otherwise`: what is wanted where nothing has been said
    pub(super) fn found(&mut self, prefix: Prefix, otherwise: Wish, pass: Pass) {
        let before = self.get(&prefix);
        if before.is_none_or(|known| known.pass != pass) {
            let found = Discard {
                wanted: before.map_or(otherwise, |known| known.wanted),
                is_there: true,
                pass,
            };
            self.put(prefix, found);
        }
    }

    /// The kernel has none that this pass has not looked at.
    pub(super) fn found_all(&mut self, pass: Pass) {
        for (prefix, before) in self.collect(|known| known.pass != pass) {
            let is_there = false;
            self.put(prefix, Discard { is_there, ..before });
        }
        self.mark(pass);
    }

    /// Says of each that this pass has looked at it.
    pub(super) fn mark(&mut self, pass: Pass) {
        self.known.values_mut().for_each(|known| known.pass = pass);
    }

    /// What nobody has asked for is not wanted from here on.
    pub(super) fn sweep(&mut self) {
        for (prefix, before) in self.collect(|known| known.wanted == Wish::Unasked) {
            let wanted = Wish::No;
            self.put(prefix, Discard { wanted, ..before });
        }
    }

    fn collect(&self, is_sought: impl Fn(&Discard) -> bool) -> Vec<(Prefix, Discard)> {
        let all = self.known.iter().map(|(prefix, known)| (*prefix, *known));
        all.filter(|(_, known)| is_sought(known)).collect()
    }

    /// Remembers one; forgets it if it is neither wanted nor there.
    fn put(&mut self, prefix: Prefix, discard: Discard) {
        match (discard.wanted, discard.is_there) {
            (Wish::Yes, false) | (Wish::No, true) => self.dirty.insert(prefix),
            (Wish::Yes | Wish::Unasked, true) | (Wish::No | Wish::Unasked, false) => {
                self.dirty.remove(&prefix)
            }
        };
        if discard.wanted == Wish::Yes || discard.is_there {
            self.known.insert(prefix, discard);
        } else {
            self.known.remove(&prefix);
        }
    }
}
