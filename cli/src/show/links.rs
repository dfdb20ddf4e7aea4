//! `skybridge show links [NAME]`.

use std::time::Duration;

use anyhow::bail;
use api::v1;
use api::v1::links_client::LinksClient;
use tonic::transport::Channel;

use crate::output::Output;
use crate::units::{age, bytes, local, millis, percent, span};
use crate::{Failure, Outcome, answer, client, json};

use super::table::{Cell, Table, cell, toned};
use super::{Screen, Tone, clean, or_dash, words};

/// `name`: of the one to show in full; all in short without one.
pub(crate) async fn run(
    channel: Channel,
    name: Option<&str>,
    output: &mut Output,
) -> Result<Outcome, Failure> {
    let response = LinksClient::new(channel)
        .list(v1::ListLinksRequest {})
        .await;
    let mut links = response
        .map_err(|status| client::refused(&status))?
        .into_inner()
        .links;
    if let Some(name) = name {
        let known: Vec<String> = links.iter().map(|link| clean(&link.name)).collect();
        links.retain(|link| link.name == name);
        if links.is_empty() {
            bail!("no link is called {name}; there are: {}", known.join(", "));
        }
    }
    answer(
        output,
        || json::list::<_, json::Link>("links", &links),
        |screen| match name {
            Some(_) => links.iter().map(|link| detail(link, screen)).collect(),
            None => render(&links, screen),
        },
    )
}

/// What `show links` says of it, then what each window does.
fn detail(link: &v1::Link, screen: &Screen) -> String {
    let mut text = render(std::slice::from_ref(link), screen);
    if !link.way_back.is_empty() {
        let [name, word] = [&link.name, &link.way_back].map(|text| clean(text));
        text.push_str(&format!("\n{name} is {word} for the way back\n"));
    }
    let Some(quality) = link.quality.as_ref().filter(|quality| quality.sent > 0) else {
        return text;
    };
    let mut table = Table::new(&[
        "LAST",
        ">PROBES",
        ">LOST",
        ">OUT",
        ">IN",
        ">RTT",
        ">P95",
        ">P99",
        ">JITTER",
        ">REORDERED",
    ]);
    for window in &quality.windows {
        table.row([
            cell(window_name(window.window.as_ref())),
            cell(window.known.to_string()),
            cell(or_unknown(ratio(window.lost, window.known))),
            cell(or_unknown(window.loss_out)),
            cell(or_unknown(window.loss_in)),
            cell(millis(window.rtt_median.as_ref())),
            cell(millis(window.rtt_p95.as_ref())),
            cell(millis(window.rtt_p99.as_ref())),
            cell(millis(window.jitter.as_ref())),
            cell(window.reordered.to_string()),
        ]);
    }
    text.push('\n');
    text.push_str(&table.render(screen));
    text
}

/// `5m00s`.
fn window_name(window: Option<&prost_types::Duration>) -> String {
    let window = window.and_then(|window| Duration::try_from(*window).ok());
    window.map_or_else(|| "-".to_owned(), span)
}

fn ratio(part: u64, of: u64) -> Option<f64> {
    (of > 0).then(|| part as f64 / of as f64)
}

fn or_unknown(ratio: Option<f64>) -> String {
    ratio.map_or_else(|| "-".to_owned(), percent)
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
        ">PATH",
        ">RANK",
        "PROBE",
        ">P95 RTT",
        ">OUT",
        ">IN",
        "LOCAL",
        "REMOTE",
    ]);
    for link in links {
        let quality = link.quality.as_ref();
        let rank = match link.rank {
            0 => "-".to_owned(),
            rank => rank.to_string(),
        };
        table.row([
            cell(&link.name),
            cell(or_dash(&link.interface)),
            cell(or_dash(&link.kind)),
            cell(link.mtu.to_string()),
            cell(path_mtu(link)),
            cell(rank),
            cell(or_dash(&method(link))),
            cell(millis(quality.and_then(|quality| quality.rtt_p95.as_ref()))),
            cell(or_unknown(quality.and_then(|quality| quality.loss_out))),
            cell(or_unknown(quality.and_then(|quality| quality.loss_in))),
            cell(&link.local),
            cell(&link.remote),
        ]);
    }
    text.push('\n');
    text.push_str(&table.render(screen));
    let troubles = links.iter().filter_map(|link| trouble(link, screen));
    let notes = links.iter().flat_map(|link| notes(link, screen));
    let lines: String = troubles.chain(notes).collect();
    if !lines.is_empty() {
        text.push('\n');
        text.push_str(&lines);
    }
    text
}

/// What it is measured by.
fn method(link: &v1::Link) -> String {
    let method = link.quality.as_ref().map_or("", |quality| &quality.method);
    match (method, link.probe_signed) {
        ("stamp", true) => "stamp, signed".to_owned(),
        _ => method.to_owned(),
    }
}

fn path_mtu(link: &v1::Link) -> String {
    match link.path_mtu {
        0 => "-".to_owned(),
        mtu => mtu.to_string(),
    }
}

/// One line each about a far end and a path that are not as they should be.
fn notes(link: &v1::Link, screen: &Screen) -> impl Iterator<Item = String> {
    let notes = [&link.probe_note, &link.path_mtu_note].map(|note| clean(note));
    let said = notes.into_iter().filter(|note| !note.is_empty());
    said.map(|note| {
        let text = format!("{}: {note}", clean(&link.name));
        format!("{}\n", screen.paint(Tone::Odd, &text))
    })
}

/// One line about a link that is not up, or is failed on purpose.
fn trouble(link: &v1::Link, screen: &Screen) -> Option<String> {
    if let Some(until) = &link.drill_until {
        let (name, until) = (clean(&link.name), local(Some(until), &screen.zone));
        let drill = format!("{name} is failed on purpose until {until}, by a drill");
        return Some(format!("{}\n", screen.paint(Tone::Odd, &drill)));
    }
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
        toned(
            tone,
            or_unknown((quality.known > 0).then_some(quality.loss_ratio)),
        ),
    ]
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::tests::{ago, millis, screen};
    use super::*;

    fn seconds(seconds: i64) -> Option<prost_types::Duration> {
        Some(prost_types::Duration { seconds, nanos: 0 })
    }

    fn window(length: i64) -> v1::LinkStatistics {
        v1::LinkStatistics {
            window: seconds(length),
            known: 10 * length as u64,
            lost: 1,
            rtt_median: millis(12),
            rtt_p95: millis(15),
            rtt_p99: millis(18),
            jitter: millis(1),
            loss_out: Some(0.005),
            loss_in: None,
            reordered: 2,
        }
    }

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
                refused: 0,
                window: seconds(10),
                known: 200,
                loss_out: Some(0.005),
                loss_in: Some(0.0),
                windows: [10, 60, 300].map(window).into(),
            }),
            receive_bytes: 12_345_678,
            transmit_bytes: 999,
            mtu: 1300,
            path_mtu: 1300,
            path_mtu_note: "the path takes 1300 of 1420".to_owned(),
            probe_note: String::new(),
            probe_signed: false,
            drill_until: None,
            bfd: None,
            way_back: String::new(),
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
            probe_note: "the far end's STAMP packets are not authentic: is its key ours?"
                .to_owned(),
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

LINK  INTERFACE  KIND        MTU  PATH  RANK  PROBE   P95 RTT     OUT      IN  LOCAL         REMOTE
wg-a  sb-wg-a    wireguard  1300  1300     1  stamp  15.00 ms  0.50 %  0.00 %  10.99.0.0/31  10.99.0.1
nic   eth1       interface  9000     -     -  -             -       -       -  10.98.0.1/30  10.98.0.2

nic is down: eth1 has no carrier
wg-a: the path takes 1300 of 1420
nic: the far end's STAMP packets are not authentic: is its key ours?
";
        assert_eq!(render(&links(), &screen()), expected);
        assert_eq!(render(&[], &screen()), "no links\n");
    }

    #[test]
    fn a_link_whose_probes_are_signed_says_so() {
        let mut links = links();
        links[0].probe_signed = true;
        let text = render(&links, &screen());
        assert!(text.contains("  stamp, signed  15.00 ms  "), "{text}");
    }

    #[test]
    fn one_link_shows_each_window_and_a_dash_for_what_is_not_known() {
        let links = links();
        let text = detail(&links[0], &screen());
        let windows = text.rsplit("\n\n").next().unwrap();
        let expected = "\
LAST   PROBES    LOST     OUT  IN       RTT       P95       P99   JITTER  REORDERED
10s       100  1.00 %  0.50 %   -  12.00 ms  15.00 ms  18.00 ms  1.00 ms          2
1m00s     600  0.17 %  0.50 %   -  12.00 ms  15.00 ms  18.00 ms  1.00 ms          2
5m00s    3000  0.03 %  0.50 %   -  12.00 ms  15.00 ms  18.00 ms  1.00 ms          2
";
        assert_eq!(windows, expected);
        let unprobed = detail(&links[1], &screen());
        assert!(!unprobed.contains("LAST"), "{unprobed}");
    }

    #[test]
    fn a_link_by_itself_says_what_the_far_side_is_to_make_of_it() {
        let link = v1::Link {
            way_back: "secondary".to_owned(),
            ..links()[1].clone()
        };
        let text = detail(&link, &screen());
        assert!(
            text.ends_with("\nnic is secondary for the way back\n"),
            "{text}"
        );
    }
}
