//! A changed intent: what is refused, what is taken first, and who is told in which order.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bgp::rib;
use bgp::session::Cease;
use config::{Change, Config, RouterField};
use policy::Filters;
use tracing::{error, info};

use super::places::{bind, listen_for_scrapes};
use super::ranges::with_callers;
use super::{Intent, Router};
use crate::convert::{self, Keys};
use crate::drivers::listener;
use crate::drivers::messages::{Reloaded, RibMessage, Wanted};
use crate::journal::Severity;
use crate::{metrics, sockets};

impl Router {
    /// Reads the file again and carries out what differs. A wrong file changes nothing.
    pub(super) async fn reload(&mut self) -> Result<Reloaded, String> {
        let file = self.file.clone();
        // A secret may come from a command that takes its time.
        let read = tokio::task::spawn_blocking(move || Intent::read(&file)).await;
        let result = match read.unwrap_or_else(|error| Err(error.to_string())) {
            Ok(intent) => self.apply(intent).await,
            Err(errors) => Err(errors),
        };
        let first = |errors: &String| errors.lines().next().unwrap_or_default().to_owned();
        self.reader
            .board
            .set_refusal(result.as_ref().err().map(first));
        match &result {
            Ok(reloaded) if reloaded.changes.is_empty() => info!("reloaded: nothing changed"),
            Ok(_) => {}
            Err(errors) => {
                error!("the file is refused, nothing changed:\n{errors}");
                let journal = &self.reader.board.journal;
                journal.record(Severity::Warning, "config-refused", "config", first(errors));
            }
        }
        result
    }

    async fn apply(&mut self, intent: Intent) -> Result<Reloaded, String> {
        intent.warn();
        let new = Arc::new(with_callers(intent.config, &self.config));
        let changes = config::diff(&self.config, &new);
        let refused: Vec<_> = changes
            .iter()
            .filter(|change| needs_restart(change))
            .map(ToString::to_string)
            .collect();
        if !refused.is_empty() {
            let refused = refused.join("; ");
            return Err(format!("a restart of skybridged is needed for: {refused}"));
        }
        self.try_keys(&intent.keys)?;
        let lines: Vec<_> = changes.iter().map(ToString::to_string).collect();
        let revision = self.reader.revision.load(Ordering::Relaxed);
        if lines.is_empty() {
            // The keys that the file names may have changed all the same.
            let old_keys = std::mem::replace(&mut self.keys, intent.keys);
            self.modes = intent.modes;
            self.bfd.configure(intent.bfd);
            self.carry_out(&[], (&new, &old_keys), intent.tunnels).await;
            return Ok(Reloaded {
                revision,
                changes: lines,
            });
        }
        self.take_places(&new).await?;
        let old = std::mem::replace(&mut self.config, Arc::clone(&new));
        self.filters = Filters::of(&new);
        self.reader.board.retain(&new);
        let old_keys = std::mem::replace(&mut self.keys, intent.keys);
        self.modes = intent.modes;
        self.bfd.configure(intent.bfd);
        self.carry_out(&changes, (&old, &old_keys), intent.tunnels)
            .await;
        for line in &lines {
            info!("{line}");
        }
        self.commit(&lines.join("; "));
        Ok(Reloaded {
            revision: revision + 1,
            changes: lines,
        })
    }

    /// Keys that the kernel cannot use would end a session that has others.
    fn try_keys(&self, keys: &Keys) -> Result<(), String> {
        let fresh = keys
            .iter()
            .filter(|(name, signing)| self.keys.get(*name) != Some(*signing));
        let refused = fresh.filter_map(|(name, signing)| {
            let why = sockets::try_signing(Some(signing)).err()?;
            Some(format!("{name}: {why}"))
        });
        let refused: Vec<_> = refused.collect();
        if refused.is_empty() {
            return Ok(());
        }
        Err(refused.join("\n"))
    }

    /// Takes what may not be had, before anything else changes; gives back what was taken if
    /// something cannot.
    async fn take_places(&mut self, new: &Config) -> Result<(), String> {
        let taken = self.try_places(new).await;
        if taken.is_err() {
            let old = Arc::clone(&self.config);
            if let Err(error) = self.try_places(&old).await {
                error!(error, "cannot go back to what was");
            }
        }
        taken
    }

    async fn try_places(&mut self, config: &Config) -> Result<(), String> {
        crate::log::change(&config.log).map_err(|error| error.to_string())?;
        self.set_listeners(&config.router.listen).await?;
        self.set_metrics(config.metrics.listen).await
    }

    async fn carry_out(
        &mut self,
        changes: &[Change],
        (old, old_keys): (&Config, &Keys),
        tunnels: Vec<Wanted>,
    ) {
        // Whoever leaves says so while there is still a tunnel to say it through.
        for change in changes {
            if let Change::PeerRemoved(name) = change {
                self.end_peer(name, Cease::PeerDeconfigured).await;
            } else if let Change::LinkRemoved(name) = change {
                self.end_link(name).await;
                self.reader.board.counters.forget_link(name);
            }
        }
        self.set_tunnels(tunnels).await;
        let mut changed = self.with_other_keys(old_keys);
        for change in changes {
            match change {
                Change::PeerAdded(name) => self.start_peer(name).await,
                // A peer may be reached differently when its link has changed.
                Change::PeerChanged { name, .. } | Change::LinkChanged { name, .. } => {
                    changed.insert(name.clone());
                }
                Change::AggregatesChanged | Change::OriginateChanged { .. } => {
                    let config = Arc::clone(&self.config);
                    self.originate(&config).await;
                }
                // Filters reach the RIB with the peers that use them, links and groups all at once,
                // below; the others have been seen to.
                Change::FilterAdded(_)
                | Change::FilterChanged(_)
                | Change::FilterRemoved(_)
                | Change::PrefixListAdded(_)
                | Change::PrefixListChanged(_)
                | Change::PrefixListRemoved(_)
                | Change::LinkAdded(_)
                | Change::LinkRemoved(_)
                | Change::PeerRemoved(_)
                | Change::RangeAdded(_)
                | Change::RangeChanged { .. }
                | Change::RangeRemoved(_)
                | Change::GroupAdded(_)
                | Change::GroupChanged { .. }
                | Change::GroupRemoved(_)
                | Change::ListenChanged(_)
                | Change::LogChanged(_)
                | Change::MetricsChanged(_)
                | Change::ApiChanged(_)
                | Change::FibChanged(_)
                | Change::StrongSwanChanged(_)
                | Change::RouterChanged { .. } => {}
            }
        }
        for name in changed {
            self.change_peer(&name, (old, old_keys)).await;
        }
        // Cheap for the RIB where nothing changed.
        for (name, running) in &self.peers {
            if let Some(peer) = self.config.peers.get(name) {
                let peer = convert::rib_peer(&self.filters, peer, running.id);
                let _ = self
                    .reader
                    .rib
                    .send(RibMessage::Input(rib::Input::Configure(peer)))
                    .await;
            }
        }
        self.connect().await;
    }

    /// Listens on these, and on no others. An address is free only when the task that listened there
    /// has ended.
    async fn set_listeners(&mut self, wanted: &[SocketAddr]) -> Result<(), String> {
        let known: Vec<_> = self.listeners.keys().copied().collect();
        for address in known.iter().filter(|address| !wanted.contains(address)) {
            if let Some(task) = self.listeners.remove(address) {
                task.abort();
                let _ = task.await;
            }
        }
        for address in wanted {
            if !self.listeners.contains_key(address) {
                let bound = bind(*address).map_err(|error| error.to_string())?;
                let task = tokio::spawn(listener::run(bound, self.gate.clone()));
                self.listeners.insert(*address, task);
            }
        }
        Ok(())
    }

    async fn set_metrics(&mut self, wanted: Option<SocketAddr>) -> Result<(), String> {
        if self.metrics.as_ref().map(|(address, _)| *address) == wanted {
            return Ok(());
        }
        if let Some((_, task)) = self.metrics.take() {
            task.abort();
            let _ = task.await;
        }
        if let Some(address) = wanted {
            let listener = listen_for_scrapes(address)
                .await
                .map_err(|error| format!("{error:#}"))?;
            let task = tokio::spawn(metrics::serve(listener, self.reader.clone()));
            self.metrics = Some((address, task));
        }
        Ok(())
    }
}

fn needs_restart(change: &Change) -> bool {
    match change {
        Change::RouterChanged { field, .. } => RouterField::needs_restart(*field),
        Change::FibChanged(_) | Change::ApiChanged(_) | Change::StrongSwanChanged(_) => true,
        Change::LogChanged(fields) => fields.iter().any(|change| change.field == "format"),
        Change::FilterAdded(_)
        | Change::FilterChanged(_)
        | Change::FilterRemoved(_)
        | Change::GroupAdded(_)
        | Change::GroupChanged { .. }
        | Change::GroupRemoved(_)
        | Change::LinkAdded(_)
        | Change::LinkChanged { .. }
        | Change::LinkRemoved(_)
        | Change::ListenChanged(_)
        | Change::MetricsChanged(_)
        | Change::OriginateChanged { .. }
        | Change::PeerAdded(_)
        | Change::PeerChanged { .. }
        | Change::PeerRemoved(_)
        | Change::RangeAdded(_)
        | Change::RangeChanged { .. }
        | Change::RangeRemoved(_)
        | Change::AggregatesChanged
        | Change::PrefixListAdded(_)
        | Change::PrefixListChanged(_)
        | Change::PrefixListRemoved(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(before: &str, after: &str) -> Vec<Change> {
        let load = |rest: &str| {
            let text = format!("[router]\nname = \"a\"\nasn = 65010\nid = \"192.0.2.1\"\n{rest}");
            config::load(&text, "test").unwrap().config
        };
        config::diff(&load(before), &load(after))
    }

    #[test]
    fn what_cannot_change_while_running_needs_a_restart_and_nothing_else_does() {
        for (before, after, restart) in [
            ("", "[log]\nformat = \"json\"\n", true),
            ("", "[log]\nlevel = \"debug\"\n", false),
            ("", "[fib]\nmetric = 30\n", true),
            ("", "[api]\nsocket = \"/run/other.sock\"\n", true),
            ("", "[ipsec]\nsocket = \"/run/other.vici\"\n", true),
            ("", "[metrics]\nlisten = \"off\"\n", false),
            ("", "[originate]\nprefixes = [\"10.0.0.0/8\"]\n", false),
        ] {
            let changes = changes(before, after);
            assert_eq!(changes.len(), 1, "{after}");
            assert_eq!(needs_restart(&changes[0]), restart, "{after}");
        }
    }
}
