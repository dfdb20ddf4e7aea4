//! A peer on no link that BFD watches: what its session says, told to the groups, which move its traffic.

use std::time::Instant;

use bgp::PeerId;
use links::{BfdWord, State};
use tokio::sync::{mpsc, watch};

use super::messages::GroupsMessage;

/// Runs until it is aborted, or until nobody listens or speaks any more.
pub(crate) async fn run(
    peer: PeerId,
    mut word: watch::Receiver<BfdWord>,
    groups: mpsc::Sender<GroupsMessage>,
) {
    let mut state = State::Down;
    let mut told = None;
    loop {
        state = word.borrow_and_update().state(state);
        if told.replace(state) != Some(state) {
            let report = GroupsMessage::Peer {
                peer,
                state,
                found_out: Instant::now(),
            };
            if groups.send(report).await.is_err() {
                return;
            }
        }
        if word.changed().await.is_err() {
            return;
        }
    }
}
