//! `skybridge show bfd`.

use api::v1;
use api::v1::links_client::LinksClient;
use api::v1::peers_client::PeersClient;
use tonic::transport::Channel;

use crate::output::Output;
use crate::units::{age, millis};
use crate::{Failure, Outcome, answer, client, json};

use super::table::{Table, cell, toned};
use super::{Screen, clean, or_dash, words};

pub(crate) async fn run(channel: Channel, output: &mut Output) -> Result<Outcome, Failure> {
    let links = LinksClient::new(channel.clone())
        .list(v1::ListLinksRequest {})
        .await;
    let links = links.map_err(|status| client::refused(&status))?;
    let peers = PeersClient::new(channel)
        .list(v1::ListPeersRequest {})
        .await;
    let peers = peers.map_err(|status| client::refused(&status))?;
    let sessions = sessions(links.into_inner().links, peers.into_inner().peers);
    answer(
        output,
        || json::list::<_, json::BfdRow>("sessions", &sessions),
        |screen| render(&sessions, screen),
    )
}

/// A session, and whom it is for.
#[derive(Debug)]
pub(crate) struct Watched {
    /// Empty for a peer.
    pub(crate) link: String,
    /// Empty for a link.
    pub(crate) peer: String,
    pub(crate) interface: String,
    pub(crate) local: String,
    pub(crate) remote: String,
    pub(crate) session: v1::BfdSession,
}

impl Watched {
    fn name(&self) -> String {
        match self.link.is_empty() {
            true => format!("peer {}", clean(&self.peer)),
            false => clean(&self.link),
        }
    }
}

/// Those of links, then those of peers on none.
fn sessions(links: Vec<v1::Link>, peers: Vec<v1::Peer>) -> Vec<Watched> {
    let of_links = links.into_iter().filter_map(|link| {
        Some(Watched {
            session: link.bfd?,
            link: link.name,
            peer: String::new(),
            interface: link.interface,
            local: link.local,
            remote: link.remote,
        })
    });
    let of_peers = peers.into_iter().filter_map(|peer| {
        let transport = peer.transport.unwrap_or_default();
        Some(Watched {
            session: peer.bfd?,
            link: String::new(),
            peer: peer.name,
            interface: transport.interface,
            local: String::new(),
            remote: peer.address,
        })
    });
    of_links.chain(of_peers).collect()
}

/// The sessions, then why any of them is not up.
fn render(sessions: &[Watched], screen: &Screen) -> String {
    if sessions.is_empty() {
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
    for watched in sessions {
        let session = &watched.session;
        let state = session.state();
        table.row([
            cell(watched.name()),
            cell(&watched.remote),
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
    let lines: String = sessions
        .iter()
        .filter_map(|watched| trouble(watched, screen))
        .collect();
    if !lines.is_empty() {
        text.push('\n');
        text.push_str(&lines);
    }
    text
}

/// One line about a session that is not up.
fn trouble(watched: &Watched, screen: &Screen) -> Option<String> {
    let session = &watched.session;
    let state = session.state();
    let why = match (state, session.remote_state()) {
        (v1::BfdState::Up, _) => return None,
        (v1::BfdState::Unspecified, _) => {
            "its interface is not ready, or its address not there".to_owned()
        }
        (_, v1::BfdState::AdminDown) => "an operator of the neighbour keeps it down".to_owned(),
        (_, v1::BfdState::Unspecified) if session.dropped > 0 => format!(
            "every packet of the neighbour is refused ({}): it is more hops away than agreed on, or \
             has another key",
            session.dropped
        ),
        (_, v1::BfdState::Unspecified) => {
            "the neighbour is not heard: is BFD configured there, and UDP port 3784 open, or 4784 \
             over several hops?"
                .to_owned()
        }
        (_, _) => format!(
            "last went down for: {}",
            or_dash(&clean(&session.diagnostic))
        ),
    };
    let text = format!("{} is {}: {why}", watched.name(), words::bfd(state));
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
        let links = vec![
            link("aws-1", up.clone()),
            link("aws-2", deaf),
            link("oci", refused),
            link("nic", v1::BfdSession::default()),
            link("unwatched", up.clone()),
        ];
        let mut links = links;
        if let Some(last) = links.last_mut() {
            last.bfd = None;
        }
        let far = v1::Peer {
            name: "rs".to_owned(),
            address: "192.0.2.9".to_owned(),
            bfd: Some(up),
            ..v1::Peer::default()
        };
        let sessions = sessions(links, vec![far, v1::Peer::default()]);
        let expected = "\
LINK     NEIGHBOUR     STATE    SINCE  REMOTE       EVERY  DETECTION   SENT  RECEIVED  REFUSED
aws-1    169.254.21.1  up       3m12s  up       300.00 ms  900.00 ms  12345     12344        0
aws-2    169.254.21.1  down     1m00s  unknown  999.00 ms          -     80         0        0
oci      169.254.21.1  down     1m00s  unknown  999.00 ms          -     80         0        7
nic      169.254.21.1  unknown      -  unknown          -          -      0         0        0
peer rs  192.0.2.9     up       3m12s  up       300.00 ms  900.00 ms  12345     12344        0

aws-2 is down: the neighbour is not heard: is BFD configured there, and UDP port 3784 open, or 4784 over several hops?
oci is down: every packet of the neighbour is refused (7): it is more hops away than agreed on, or has another key
nic is unknown: its interface is not ready, or its address not there
";
        assert_eq!(render(&sessions, &screen()), expected);
        assert_eq!(render(&[], &screen()), "no BFD sessions\n");
    }
}
