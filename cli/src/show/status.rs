//! `skybridge status`: everything on one screen.

use std::collections::BTreeMap;

use api::v1;
use api::v1::system_client::SystemClient;
use tonic::transport::Channel;

use crate::output::Output;
use crate::units::{age, count};
use crate::{Failure, Outcome, answer, client, json};

use super::{Screen, Tone, clean, groups, links, peers, words};

pub(crate) async fn run(channel: Channel, output: &mut Output) -> Result<Outcome, Failure> {
    let response = SystemClient::new(channel)
        .status(v1::StatusRequest {})
        .await;
    let status = response
        .map_err(|status| client::refused(&status))?
        .into_inner();
    answer(
        output,
        || json::Status::from(&status),
        |screen| render(&status, screen),
    )
}

fn render(status: &v1::StatusResponse, screen: &Screen) -> String {
    let mut parts = vec![head(status, screen)];
    if !status.groups.is_empty() {
        parts.push(groups::render(&status.groups, screen));
    }
    parts.push(links::summary(&status.links, screen));
    parts.push(peers::summary(&status.peers, screen));
    parts.push(routes(status, screen));
    parts.push(alarms(&status.alarms, screen));
    parts.join("\n")
}

fn head(status: &v1::StatusResponse, screen: &Screen) -> String {
    let name = screen.paint(Tone::Heading, &clean(&status.router_name));
    let v1::StatusResponse { asn, revision, .. } = status;
    let (id, version) = (clean(&status.router_id), clean(&status.version));
    let up = age(status.started.as_ref(), screen.now);
    format!("{name}  AS {asn}  id {id}  version {version}  up {up}  revision {revision}\n")
}

fn routes(status: &v1::StatusResponse, screen: &Screen) -> String {
    let rib: BTreeMap<&String, &u64> = status.rib_prefixes.iter().collect();
    let rib: Vec<String> = rib
        .iter()
        .map(|(family, count)| format!("{count} {}", clean(family)))
        .collect();
    let rib = if rib.is_empty() {
        "0".to_owned()
    } else {
        rib.join(", ")
    };
    let mut text = format!("routes  {rib} in the RIB");
    match &status.fib {
        Some(fib) if fib.installing => text.push_str(&kernel(fib, screen)),
        Some(_) => text.push_str("; none given to the kernel: [fib] install = false"),
        None => {}
    }
    text.push('\n');
    text
}

fn kernel(fib: &v1::FibStatus, screen: &Screen) -> String {
    let pending = if fib.pending == 0 {
        Tone::Plain
    } else {
        Tone::Odd
    };
    let mut text = format!(
        "; {} in the kernel through {}, {}",
        fib.routes,
        count(fib.nexthop_groups, "nexthop group"),
        screen.paint(pending, &format!("{} pending", fib.pending)),
    );
    if !fib.last_error.is_empty() {
        let error = screen.paint(Tone::Bad, &clean(&fib.last_error));
        text.push_str(&format!("\n        last failure: {error}"));
    }
    text
}

fn alarms(alarms: &[v1::Alarm], screen: &Screen) -> String {
    if alarms.is_empty() {
        return format!("alarms  {}\n", screen.paint(Tone::Good, "none"));
    }
    let line = |alarm: &v1::Alarm| {
        let severity = screen.paint(
            words::alarm_tone(alarm.severity()),
            words::alarm(alarm.severity()),
        );
        format!(
            "alarm   {severity}  {}: {}\n",
            clean(&alarm.subject),
            clean(&alarm.text)
        )
    };
    alarms.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{ago, screen};
    use super::super::{links, peers};
    use super::*;

    fn status() -> v1::StatusResponse {
        v1::StatusResponse {
            router_name: "nva-oci-1".to_owned(),
            asn: 65010,
            router_id: "10.10.0.4".to_owned(),
            version: "0.1.0".to_owned(),
            started: ago(90_061),
            revision: 3,
            groups: vec![v1::Group {
                name: "azure".to_owned(),
                policy: "priority".to_owned(),
                links: vec!["wg-a".to_owned(), "wg-b".to_owned()],
                active: vec!["wg-a".to_owned()],
                failovers: 2,
                last_move: ago(192),
                last_move_reason: "down".to_owned(),
                last_move_text: "down: interface down".to_owned(),
                members: Vec::new(),
                asymmetric: None,
            }],
            links: links::tests::links(),
            peers: peers::tests::peers(),
            fib: Some(v1::FibStatus {
                routes: 200,
                nexthop_groups: 1,
                pending: 2,
                last_error: "route 10.1.0.0/16: no such device".to_owned(),
                installing: true,
            }),
            alarms: vec![v1::Alarm {
                severity: v1::alarm::Severity::Critical.into(),
                subject: "link nic".to_owned(),
                text: "down for 2h01m".to_owned(),
            }],
            rib_prefixes: [("ipv6".to_owned(), 1), ("ipv4".to_owned(), 201)].into(),
        }
    }

    #[test]
    fn a_status_is_one_screen() {
        let expected = "\
nva-oci-1  AS 65010  id 10.10.0.4  version 0.1.0  up 1d01h  revision 3

GROUP  POLICY    ACTIVE  LINKS, BEST FIRST  MOVES      MOVED  WHY
azure  priority  wg-a    wg-a wg-b              2  3m12s ago  down: interface down

LINK  STATE  SINCE  GROUP  ACTIVE       RTT   JITTER    LOSS       RX     TX
wg-a  up     3m12s  azure  *       12.00 ms  1.00 ms  0.50 %  12.3 MB  999 B
nic   down   2h01m  -                     -        -       -      0 B    0 B

PEER       AS  ADDRESS     STATE        SINCE  RECEIVED  ACCEPTED  SENT  LAST FAILURE
wg-a    65020  10.99.0.1   established  1h02m       221       200     4  hold timer expired
aws-gw  64512  172.31.0.5  active          5s         0         0     0  -

routes  201 ipv4, 1 ipv6 in the RIB; 200 in the kernel through 1 nexthop group, 2 pending
        last failure: route 10.1.0.0/16: no such device

alarm   critical  link nic: down for 2h01m
";
        assert_eq!(render(&status(), &screen()), expected);
    }

    #[test]
    fn a_router_of_which_nothing_is_known_has_a_screen_too() {
        let text = render(&v1::StatusResponse::default(), &screen());
        assert!(
            text.contains("no links\n") && text.contains("no peers\n"),
            "{text}"
        );
        assert!(text.ends_with("alarms  none\n"), "{text}");
    }

    #[test]
    fn a_status_for_programs_has_times_in_rfc_3339_and_durations_in_seconds() {
        let json = serde_json::to_value(json::Status::from(&status())).expect("all of it is plain");
        assert_eq!(json["started"], "2026-11-20T09:34:00Z");
        assert_eq!(json["links"][0]["quality"]["rtt_median_seconds"], 0.012);
        assert_eq!(json["links"][1]["group"], serde_json::Value::Null);
        assert_eq!(json["links"][1]["state"], "down");
        assert_eq!(json["peers"][0]["state"], "established");
        assert_eq!(json["peers"][0]["families"][1]["received"], 101);
        assert_eq!(json["alarms"][0]["severity"], "critical");
        assert_eq!(json["rib_prefixes"]["ipv4"], 201);
    }
}
