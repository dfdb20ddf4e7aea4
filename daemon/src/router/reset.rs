//! Beginning anew with a peer, in the four ways that operators know.

use bgp::Family;
use bgp::rib;
use bgp::session::{Cease, Farewell, SessionStatus, State};
use config::model::Peer;
use tracing::info;

use super::Router;
use crate::drivers::messages::{Manner, Reset, RibMessage, ToPeer};
use crate::journal::Severity;

impl Router {
    /// What was done, in words; `None` for an unknown peer.
    pub(super) async fn reset(&mut self, reset: &Reset) -> Option<String> {
        let name = self.config.peer_named(&reset.peer)?.to_owned();
        let running = self.peers.get(&name)?;
        let row = self.reader.board.peer(&name).unwrap_or_default();
        let done = match reset.manner {
            Manner::Session | Manner::Hard => {
                let farewell = Farewell::from(Cease::AdministrativeReset).saying(&reset.message);
                let farewell = match reset.manner {
                    Manner::Hard => farewell.hard(),
                    Manner::Session | Manner::SoftIn | Manner::SoftOut => farewell,
                };
                let _ = running.inbox.send(ToPeer::Reset(farewell)).await;
                self.of_session(&name, row.session.as_ref())
            }
            Manner::SoftIn => {
                let _ = running.inbox.send(ToPeer::RequestRefresh).await;
                soft_in(row.session.as_ref())
            }
            Manner::SoftOut => {
                for family in spoken(row.session.as_ref()) {
                    let refresh = RibMessage::Input(rib::Input::Refresh(running.id, family));
                    let _ = self.reader.rib.send(refresh).await;
                }
                soft_out(row.session.as_ref())
            }
        };
        info!(peer = name, done, "reset");
        let journal = &self.reader.board.journal;
        journal.record(Severity::Info, "peer-reset", &name, done.clone());
        Some(done)
    }

    fn of_session(&self, name: &str, status: Option<&SessionStatus>) -> String {
        let shut_down = |peer: &Peer| peer.shutdown.is_some();
        if self.config.peers.get(name).is_some_and(shut_down) {
            return "nothing: it is shut down in the file".to_owned();
        }
        let was_up = status.is_some_and(|status| status.state == State::Established);
        if was_up {
            "the session is closed and begins anew".to_owned()
        } else {
            "there was no session; the next attempt begins now".to_owned()
        }
    }
}

fn spoken(status: Option<&SessionStatus>) -> Vec<Family> {
    let negotiated = status.and_then(|status| status.negotiated.as_ref());
    negotiated.map_or_else(Vec::new, |n| n.families.iter().collect())
}

fn soft_in(status: Option<&SessionStatus>) -> String {
    match status.and_then(|status| status.negotiated.as_ref()) {
        None => "nothing: there is no session".to_owned(),
        Some(negotiated) if negotiated.route_refresh => {
            "the peer is asked for all its routes again".to_owned()
        }
        Some(_) => {
            "the peer cannot be asked again; what it sent is kept, and has passed the import \
                    filter as it is now"
                .to_owned()
        }
    }
}

fn soft_out(status: Option<&SessionStatus>) -> String {
    if spoken(status).is_empty() {
        return "nothing: there is no session".to_owned();
    }
    "everything is sent again".to_owned()
}
