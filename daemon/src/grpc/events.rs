//! The journal as a stream.

use api::v1::{self, WatchRequest, event};
use tokio::sync::broadcast::error::RecvError;
use tokio_stream::{Stream, StreamExt};
use tonic::Status;

use super::render::timestamp;
use crate::journal::{Event, Journal, Severity};

/// What is kept after the number asked for, then what comes, unless that is not wanted.
pub(super) fn watch(
    journal: &Journal,
    request: &WatchRequest,
) -> impl Stream<Item = Result<v1::Event, Status>> + Send + use<> {
    let after = match (request.history, request.after) {
        (true, _) => 0,
        (false, 0) => journal.latest(),
        (false, after) => after,
    };
    let (kept, live) = journal.since(after);
    let live = (!request.no_follow).then_some(live);
    let live = futures_util::stream::unfold(live, |live| async move {
        let mut live = live?;
        loop {
            match live.recv().await {
                Ok(event) => return Some((event, Some(live))),
                // The gap shows in the sequence numbers.
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    });
    tokio_stream::iter(kept)
        .chain(live)
        .map(|event| Ok(render(event)))
}

fn render(event: Event) -> v1::Event {
    let severity = match event.severity {
        Severity::Info => event::Severity::Info,
        Severity::Warning => event::Severity::Warning,
        Severity::Critical => event::Severity::Critical,
    };
    v1::Event {
        sequence: event.sequence,
        at: Some(timestamp(event.at)),
        severity: severity.into(),
        kind: event.kind.to_owned(),
        subject: event.subject,
        text: event.text,
    }
}
