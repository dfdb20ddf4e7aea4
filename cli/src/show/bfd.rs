//! `skybridge show bfd`.

use api::v1;
use api::v1::links_client::LinksClient;
use tonic::transport::Channel;

use crate::output::Output;
use crate::units::{age, millis};
use crate::{Failure, Outcome, answer, client, json};

use super::table::{Table, cell, toned};
use super::{Screen, clean, or_dash, words};

pub(crate) async fn run(channel: Channel, output: &mut Output) -> Result<Outcome, Failure> {
    let response = LinksClient::new(channel)
        .list(v1::ListLinksRequest {})
        .await;
    let mut links = response
        .map_err(|status| client::refused(&status))?
        .into_inner()
        .links;
    links.retain(|link| link.bfd.is_some());
    answer(
        output,
        || json::list::<_, json::BfdOfLink>("sessions", &links),
        |screen| render(&links, screen),
    )
}

/// The sessions, then why any of them is not up.
fn render(links: &[v1::Link], screen: &Screen) -> String {
    let sessions = || {
        links
            .iter()
            .filter_map(|link| Some((link, link.bfd.as_ref()?)))
    };
    if sessions().next().is_none() {
        return "no BFD sessions\n".to_owned();
    }
    let mut table = Table::new(&[
        "LINK",
        "NEIGHBOUR",
        "STATE",
        ">SINCE",
        "REMOTE",
        ">EVERY",
        ">DETECTION",
        ">SENT",
        ">RECEIVED",
        ">REFUSED",
    ]);
    for (link, session) in sessions() {
        let state = session.state();
        table.row([
            cell(&link.name),
            cell(&link.remote),
            toned(words::bfd_tone(state), words::bfd(state)),
            cell(age(session.since.as_ref(), screen.now)),
            cell(words::bfd(session.remote_state())),
            cell(millis(session.transmit_interval.as_ref())),
            cell(millis(session.detection_time.as_ref())),
            cell(session.sent.to_string()),
            cell(session.received.to_string()),
            cell(session.dropped.to_string()),
        ]);
    }
    let mut text = table.render(screen);
    let lines: String = sessions()
        .filter_map(|(link, session)| trouble(link, session, screen))
        .collect();
    if !lines.is_empty() {
        text.push('\n');
        text.push_str(&lines);
    }
    text
}

/// One line about a session that is not up.
fn trouble(link: &v1::Link, session: &v1::BfdSession, screen: &Screen) -> Option<String> {
    let state = session.state();
    let why = match (state, session.remote_state()) {
        (v1::BfdState::Up, _) => return None,
        (v1::BfdState::Unspecified, _) => "its interface is not ready".to_owned(),
        (_, v1::BfdState::AdminDown) => "an operator of the neighbour keeps it down".to_owned(),
        (_, v1::BfdState::Unspecified) if session.dropped > 0 => format!(
            "every packet of the neighbour is refused ({}): it is more than one hop away, or has \
             another key",
            session.dropped
        ),
        (_, v1::BfdState::Unspecified) => {
            "the neighbour is not heard: is BFD configured there, and UDP port 3784 open?"
                .to_owned()
        }
        (_, _) => format!(
            "last went down for: {}",
            or_dash(&clean(&session.diagnostic))
        ),
    };
    let text = format!("{} is {}: {why}", clean(&link.name), words::bfd(state));
    let painted = screen.paint(words::bfd_tone(state), &text);
    Some(format!("{painted}\n"))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{ago, millis, screen};
    use super::*;

    fn link(name: &str, session: v1::BfdSession) -> v1::Link {
        v1::Link {
            name: name.to_owned(),
            remote: "169.254.21.1".to_owned(),
            bfd: Some(session),
            ..v1::Link::default()
        }
    }

    #[test]
    fn sessions_are_shown_with_what_keeps_them_down() {
        let up = v1::BfdSession {
            state: v1::BfdState::Up.into(),
            since: ago(192),
            diagnostic: "none".to_owned(),
            remote_state: v1::BfdState::Up.into(),
            remote_diagnostic: "none".to_owned(),
            local_discriminator: 1,
            remote_discriminator: 2,
            transmit_interval: millis(300),
            detection_time: millis(900),
            sent: 12_345,
            received: 12_344,
            dropped: 0,
        };
        let deaf = v1::BfdSession {
            state: v1::BfdState::Down.into(),
            since: ago(60),
            transmit_interval: millis(999),
            sent: 80,
            ..v1::BfdSession::default()
        };
        let refused = v1::BfdSession {
            dropped: 7,
            ..deaf.clone()
        };
        let links = [
            link("aws-1", up),
            link("aws-2", deaf),
            link("oci", refused),
            link("nic", v1::BfdSession::default()),
        ];
        let expected = "\
LINK   NEIGHBOUR     STATE    SINCE  REMOTE       EVERY  DETECTION   SENT  RECEIVED  REFUSED
aws-1  169.254.21.1  up       3m12s  up       300.00 ms  900.00 ms  12345     12344        0
aws-2  169.254.21.1  down     1m00s  unknown  999.00 ms          -     80         0        0
oci    169.254.21.1  down     1m00s  unknown  999.00 ms          -     80         0        7
nic    169.254.21.1  unknown      -  unknown          -          -      0         0        0

aws-2 is down: the neighbour is not heard: is BFD configured there, and UDP port 3784 open?
oci is down: every packet of the neighbour is refused (7): it is more than one hop away, or has another key
nic is unknown: its interface is not ready
";
        assert_eq!(render(&links, &screen()), expected);
        assert_eq!(render(&[], &screen()), "no BFD sessions\n");
    }
}
