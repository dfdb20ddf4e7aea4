//! `skybridge show peers`, `skybridge show bgp summary | neighbors`.

use std::net::IpAddr;

use anyhow::bail;
use api::v1;
use api::v1::peers_client::PeersClient;
use tonic::transport::Channel;

use crate::output::Output;
use crate::units::age;
use crate::{Failure, Outcome, answer, client, json};

use super::table::{Table, cell, toned};
use super::{Screen, clean, or_dash, words};

mod detail;

use detail::detail;

pub(crate) async fn run(channel: Channel, output: &mut Output) -> Result<Outcome, Failure> {
    let peers = list(channel).await?;
    answer(
        output,
        || json::list::<_, json::Peer>("peers", &peers),
        |screen| summary(&peers, screen),
    )
}

/// `name`: of a peer, or its address; all without one.
pub(crate) async fn details(
    channel: Channel,
    name: Option<&str>,
    output: &mut Output,
) -> Result<Outcome, Failure> {
    let mut peers = list(channel).await?;
    if let Some(name) = name {
        let address: Option<IpAddr> = name.parse().ok();
        let known: Vec<String> = peers.iter().map(|peer| clean(&peer.name)).collect();
        peers.retain(|peer| {
            peer.name == name || (address.is_some() && peer.address.parse().ok() == address)
        });
        if peers.is_empty() {
            bail!("no peer is called {name}; there are: {}", known.join(", "));
        }
    }
    answer(
        output,
        || json::list::<_, json::Peer>("peers", &peers),
        |screen| {
            peers
                .iter()
                .map(|peer| detail(peer, screen))
                .collect::<Vec<_>>()
                .join("\n")
        },
    )
}

async fn list(channel: Channel) -> Result<Vec<v1::Peer>, Failure> {
    let response = PeersClient::new(channel)
        .list(v1::ListPeersRequest {})
        .await;
    Ok(response
        .map_err(|status| client::refused(&status))?
        .into_inner()
        .peers)
}

fn total(peer: &v1::Peer, count: fn(&v1::PeerFamily) -> u64) -> String {
    peer.families
        .iter()
        .map(count)
        .fold(0, u64::saturating_add)
        .to_string()
}

/// One line a peer, as `status` shows it.
pub(crate) fn summary(peers: &[v1::Peer], screen: &Screen) -> String {
    if peers.is_empty() {
        return "no peers\n".to_owned();
    }
    let mut table = Table::new(&[
        "PEER",
        ">AS",
        "ADDRESS",
        "STATE",
        ">SINCE",
        ">RECEIVED",
        ">ACCEPTED",
        ">SENT",
        "LAST FAILURE",
    ]);
    for peer in peers {
        table.row([
            cell(&peer.name),
            cell(peer.asn.to_string()),
            cell(&peer.address),
            toned(words::peer_tone(peer.state()), words::peer(peer.state())),
            cell(age(peer.since.as_ref(), screen.now)),
            cell(total(peer, |family| family.received)),
            cell(total(peer, |family| family.accepted)),
            cell(total(peer, |family| family.advertised)),
            cell(or_dash(last_failure(peer))),
        ]);
    }
    table.render(screen)
}

/// Why the last session ended, while there is one; otherwise also why the last attempt failed.
fn last_failure(peer: &v1::Peer) -> &str {
    match (peer.state(), peer.held.as_str()) {
        (v1::peer::State::Established, _) => &peer.last_session_end,
        (_, "") => &peer.last_down,
        (_, held) => held,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::tests::{ago, screen};
    use super::*;

    pub(crate) fn peers() -> Vec<v1::Peer> {
        let family = |family: &str, received| v1::PeerFamily {
            family: family.to_owned(),
            received,
            accepted: 100,
            best: 90,
            advertised: 2,
            ..v1::PeerFamily::default()
        };
        let up = v1::Peer {
            name: "wg-a".to_owned(),
            address: "10.99.0.1".to_owned(),
            asn: 65020,
            state: v1::peer::State::Established.into(),
            since: ago(3_725),
            link: "wg-a".to_owned(),
            router_id: "10.20.0.4".to_owned(),
            hold_time: Some(prost_types::Duration {
                seconds: 90,
                nanos: 0,
            }),
            families: vec![family("ipv4", 120), family("ipv6", 101)],
            established_count: 2,
            messages_received: 70,
            messages_sent: 71,
            import_filter: "from-azure".to_owned(),
            profile: "gcp-ha-vpn".to_owned(),
            way_back: "secondary (MED 100)".to_owned(),
            last_session_end: "hold timer expired".to_owned(),
            last_down: "hold timer expired".to_owned(),
            ..v1::Peer::default()
        };
        let down = v1::Peer {
            name: "aws-gw".to_owned(),
            address: "172.31.0.5".to_owned(),
            asn: 64512,
            state: v1::peer::State::Active.into(),
            since: ago(5),
            ..v1::Peer::default()
        };
        vec![up, down]
    }

    #[test]
    fn a_summary_counts_prefixes_of_all_families() {
        let expected = "\
PEER       AS  ADDRESS     STATE        SINCE  RECEIVED  ACCEPTED  SENT  LAST FAILURE
wg-a    65020  10.99.0.1   established  1h02m       221       200     4  hold timer expired
aws-gw  64512  172.31.0.5  active          5s         0         0     0  -
";
        assert_eq!(summary(&peers(), &screen()), expected);
    }

    #[test]
    fn a_failed_attempt_is_of_interest_only_while_there_is_no_session() {
        let mut peer = peers().remove(0);
        peer.last_down = "connection refused".to_owned();
        assert_eq!(last_failure(&peer), "hold timer expired");
        peer.state = v1::peer::State::Active.into();
        assert_eq!(last_failure(&peer), "connection refused");
        peer.held = "shut down in the file".to_owned();
        assert_eq!(last_failure(&peer), "shut down in the file");
    }
}
