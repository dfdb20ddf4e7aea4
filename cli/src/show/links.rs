//! `skybridge show links`.

use api::v1;
use api::v1::links_client::LinksClient;
use tonic::transport::Channel;

use crate::output::Output;
use crate::units::{age, bytes, millis, percent};
use crate::{Failure, Outcome, answer, client, json};

use super::table::{Cell, Table, cell, toned};
use super::{Screen, Tone, clean, or_dash, words};

pub(crate) async fn run(channel: Channel, output: &mut Output) -> Result<Outcome, Failure> {
    let response = LinksClient::new(channel)
        .list(v1::ListLinksRequest {})
        .await;
    let links = response
        .map_err(|status| client::refused(&status))?
        .into_inner()
        .links;
    answer(
        output,
        || json::list::<_, json::Link>("links", &links),
        |screen| render(&links, screen),
    )
}

/// Quality first, then whereabouts, then why links are not up.
fn render(links: &[v1::Link], screen: &Screen) -> String {
    let mut text = summary(links, screen);
    if links.is_empty() {
        return text;
    }
    let mut table = Table::new(&[
        "LINK",
        "INTERFACE",
        "KIND",
        ">MTU",
        ">RANK",
        "BACK",
        "PROBE",
        ">P95 RTT",
        "LOCAL",
        "REMOTE",
    ]);
    for link in links {
        let quality = link.quality.as_ref();
        let method = quality.map_or("", |quality| quality.method.as_str());
        let rank = match link.rank {
            0 => "-".to_owned(),
            rank => rank.to_string(),
        };
        table.row([
            cell(&link.name),
            cell(or_dash(&link.interface)),
            cell(or_dash(&link.kind)),
            cell(link.mtu.to_string()),
            cell(rank),
            cell(or_dash(&link.way_back)),
            cell(or_dash(method)),
            cell(millis(quality.and_then(|quality| quality.rtt_p95.as_ref()))),
            cell(&link.local),
            cell(&link.remote),
        ]);
    }
    text.push('\n');
    text.push_str(&table.render(screen));
    let lines: String = links
        .iter()
        .filter_map(|link| trouble(link, screen))
        .collect();
    if !lines.is_empty() {
        text.push('\n');
        text.push_str(&lines);
    }
    text
}

/// One line about a link that is not up.
fn trouble(link: &v1::Link, screen: &Screen) -> Option<String> {
    if link.state() == v1::LinkState::Up || link.reason.is_empty() {
        return None;
    }
    let (name, state) = (clean(&link.name), words::link(link.state()));
    let why = format!("{name} is {state}: {}", clean(&link.reason));
    let painted = screen.paint(words::link_tone(link.state()), &why);
    Some(format!("{painted}\n"))
}

/// One line a link, as `status` shows it. `*` marks the active link of a group.
pub(crate) fn summary(links: &[v1::Link], screen: &Screen) -> String {
    if links.is_empty() {
        return "no links\n".to_owned();
    }
    let mut table = Table::new(&[
        "LINK", "STATE", ">SINCE", "GROUP", "ACTIVE", ">RTT", ">JITTER", ">LOSS", ">RX", ">TX",
    ]);
    for link in links {
        let active = if link.active {
            toned(Tone::Good, "*")
        } else {
            cell("")
        };
        let [rtt, jitter, loss] = quality(link.quality.as_ref());
        table.row([
            cell(&link.name),
            toned(words::link_tone(link.state()), words::link(link.state())),
            cell(age(link.since.as_ref(), screen.now)),
            cell(or_dash(&link.group)),
            active,
            rtt,
            jitter,
            loss,
            cell(bytes(link.receive_bytes)),
            cell(bytes(link.transmit_bytes)),
        ]);
    }
    table.render(screen)
}

/// Median RTT, jitter and loss; nothing is known before the first probe.
fn quality(quality: Option<&v1::LinkQuality>) -> [Cell; 3] {
    let Some(quality) = quality.filter(|quality| quality.sent > 0) else {
        return [cell("-"), cell("-"), cell("-")];
    };
    let tone = if quality.loss_ratio > 0.0 {
        Tone::Odd
    } else {
        Tone::Plain
    };
    [
        cell(millis(quality.rtt_median.as_ref())),
        cell(millis(quality.jitter.as_ref())),
        toned(tone, percent(quality.loss_ratio)),
    ]
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::tests::{ago, millis, screen};
    use super::*;

    pub(crate) fn links() -> Vec<v1::Link> {
        let up = v1::Link {
            name: "wg-a".to_owned(),
            group: "azure".to_owned(),
            interface: "sb-wg-a".to_owned(),
            state: v1::LinkState::Up.into(),
            since: ago(192),
            reason: "5 answers in a row".to_owned(),
            active: true,
            rank: 1,
            local: "10.99.0.0/31".to_owned(),
            remote: "10.99.0.1".to_owned(),
            kind: "wireguard".to_owned(),
            quality: Some(v1::LinkQuality {
                method: "stamp".to_owned(),
                rtt_last: millis(13),
                rtt_median: millis(12),
                rtt_p95: millis(15),
                jitter: millis(1),
                loss_ratio: 0.005,
                sent: 200,
                received: 199,
                window: Some(prost_types::Duration {
                    seconds: 10,
                    nanos: 0,
                }),
            }),
            receive_bytes: 12_345_678,
            transmit_bytes: 999,
            mtu: 1420,
            bfd: None,
            way_back: "primary".to_owned(),
        };
        let down = v1::Link {
            name: "nic".to_owned(),
            group: String::new(),
            interface: "eth1".to_owned(),
            state: v1::LinkState::Down.into(),
            since: ago(7_260),
            reason: "eth1 has no carrier".to_owned(),
            active: false,
            rank: 0,
            local: "10.98.0.1/30".to_owned(),
            remote: "10.98.0.2".to_owned(),
            kind: "interface".to_owned(),
            quality: None,
            mtu: 9000,
            ..v1::Link::default()
        };
        vec![up, down]
    }

    #[test]
    fn links_show_quality_then_whereabouts_then_what_is_wrong() {
        let expected = "\
LINK  STATE  SINCE  GROUP  ACTIVE       RTT   JITTER    LOSS       RX     TX
wg-a  up     3m12s  azure  *       12.00 ms  1.00 ms  0.50 %  12.3 MB  999 B
nic   down   2h01m  -                     -        -       -      0 B    0 B

LINK  INTERFACE  KIND        MTU  RANK  BACK     PROBE   P95 RTT  LOCAL         REMOTE
wg-a  sb-wg-a    wireguard  1420     1  primary  stamp  15.00 ms  10.99.0.0/31  10.99.0.1
nic   eth1       interface  9000     -  -        -             -  10.98.0.1/30  10.98.0.2

nic is down: eth1 has no carrier
";
        assert_eq!(render(&links(), &screen()), expected);
        assert_eq!(render(&[], &screen()), "no links\n");
    }
}
