//! `skybridge watch`: events, one line each, until interrupted.

use anyhow::bail;
use api::v1;
use api::v1::events_client::EventsClient;
use tonic::transport::Channel;

use crate::output::{Output, Printed};
use crate::units::local_to_the_millisecond;
use crate::{Failure, Outcome, client, json, output};

use super::{Screen, clean, words};

pub(crate) async fn run(
    channel: Channel,
    history: bool,
    no_follow: bool,
    output: &mut Output,
) -> Result<Outcome, Failure> {
    let request = v1::WatchRequest {
        after: 0,
        history,
        no_follow,
    };
    let response = EventsClient::new(channel).watch(request).await;
    let mut stream = response
        .map_err(|status| client::refused(&status))?
        .into_inner();
    let mut last = None;
    loop {
        let event = tokio::select! {
            event = stream.message() => event.map_err(|status| client::refused(&status))?,
            interrupted = tokio::signal::ctrl_c() => {
                interrupted?;
                return Ok(Outcome::Good);
            }
        };
        let Some(event) = event else { break };
        if let Some(dropped) = dropped(last, event.sequence) {
            output::complain(&anyhow::anyhow!(
                "{dropped} events were dropped: we were too slow"
            ));
        }
        last = Some(event.sequence);
        match output.printed() {
            Printed::Json => output.json_line(&json::Event::from(&event))?,
            Printed::Text => {
                let line = render(&event, &output.screen());
                output.text(&line)?;
            }
        }
    }
    if no_follow {
        return Ok(Outcome::Good);
    }
    bail!("skybridged ended the stream: it is stopping")
}

/// How many events are missing between two.
fn dropped(last: Option<u64>, sequence: u64) -> Option<u64> {
    sequence
        .checked_sub(last?.checked_add(1)?)
        .filter(|missing| *missing > 0)
}

fn render(event: &v1::Event, screen: &Screen) -> String {
    let severity = event.severity();
    format!(
        "{}  {}  {:<14}  {:<12}  {}\n",
        local_to_the_millisecond(event.at.as_ref(), &screen.zone),
        screen.paint(
            words::event_tone(severity),
            &format!("{:<8}", words::event(severity))
        ),
        clean(&event.kind),
        clean(&event.subject),
        clean(&event.text),
    )
}

#[cfg(test)]
mod tests {
    use super::super::tests::{ago, screen};
    use super::*;

    #[test]
    fn an_event_is_one_line_whatever_it_says() {
        let event = v1::Event {
            sequence: 7,
            at: ago(0),
            severity: v1::event::Severity::Warning.into(),
            kind: "link-state".to_owned(),
            subject: "wg-a".to_owned(),
            text: "down: 3 probes\nlost".to_owned(),
        };
        let expected = "2026-11-21T10:35:01.000+00:00  warning   link-state      wg-a          \
                        down: 3 probes lost\n";
        assert_eq!(render(&event, &screen()), expected);
    }

    #[test]
    fn a_gap_in_the_numbers_is_counted() {
        assert_eq!(dropped(None, 7), None);
        assert_eq!(dropped(Some(6), 7), None);
        assert_eq!(dropped(Some(6), 10), Some(3));
        assert_eq!(dropped(Some(6), 2), None, "the daemon was restarted");
    }
}
