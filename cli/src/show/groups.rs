//! `skybridge show groups`.

use api::v1;
use api::v1::links_client::LinksClient;
use tonic::transport::Channel;

use crate::output::Output;
use crate::units::age;
use crate::{Failure, Outcome, answer, client, json};

use super::table::{Table, cell, toned};
use super::{Screen, Tone, clean, or_dash, words};

pub(crate) async fn run(channel: Channel, output: &mut Output) -> Result<Outcome, Failure> {
    let response = LinksClient::new(channel)
        .list_groups(v1::ListGroupsRequest {})
        .await;
    let groups = response
        .map_err(|status| client::refused(&status))?
        .into_inner()
        .groups;
    answer(
        output,
        || json::list::<_, json::Group>("groups", &groups),
        |screen| format!("{}{}", render(&groups, screen), members(&groups, screen)),
    )
}

/// One line a link: by what it is judged, and why it carries traffic or does not.
fn members(groups: &[v1::Group], screen: &Screen) -> String {
    let mut table = Table::new(&[
        "GROUP",
        "LINK",
        ">RANK",
        "STATE",
        "JUDGED BY",
        ">SPENT",
        "WHY",
    ]);
    for (group, member) in groups
        .iter()
        .flat_map(|group| group.members.iter().map(move |member| (group, member)))
    {
        let state = member.state();
        let is_used = group.active.contains(&member.link);
        let rank = match member.rank {
            0 => "-".to_owned(),
            rank => rank.to_string(),
        };
        table.row([
            cell(&group.name),
            cell(&member.link),
            cell(rank),
            toned(words::link_tone(state), words::link(state)),
            cell(or_dash(&member.figure)),
            cell(match member.dollars {
                Some(dollars) => format!("${dollars:.2}"),
                None => "-".to_owned(),
            }),
            match is_used {
                true => toned(Tone::Good, &member.why),
                false => cell(&member.why),
            },
        ]);
    }
    match groups.iter().all(|group| group.members.is_empty()) {
        true => String::new(),
        false => format!("\n{}", table.render(screen)),
    }
}

pub(crate) fn render(groups: &[v1::Group], screen: &Screen) -> String {
    if groups.is_empty() {
        return "no groups\n".to_owned();
    }
    let mut table = Table::new(&[
        "GROUP",
        "POLICY",
        "ACTIVE",
        "LINKS, BEST FIRST",
        ">MOVES",
        ">MOVED",
        "WHY",
    ]);
    for group in groups {
        let active = match &group.active[..] {
            [] => toned(Tone::Bad, "none"),
            active => toned(Tone::Good, active.join(" ")),
        };
        let moved = match group.last_move {
            Some(_) => format!("{} ago", age(group.last_move.as_ref(), screen.now)),
            None => "never".to_owned(),
        };
        table.row([
            cell(&group.name),
            cell(&group.policy),
            active,
            cell(group.links.join(" ")),
            cell(group.failovers.to_string()),
            cell(moved),
            cell(&group.last_move_text),
        ]);
    }
    let mut text = table.render(screen);
    let lines: String = groups
        .iter()
        .filter_map(|group| asymmetry(group, screen))
        .collect();
    if !lines.is_empty() {
        text.push('\n');
        text.push_str(&lines);
    }
    text
}

/// One line about a group whose traffic comes back by another link.
fn asymmetry(group: &v1::Group, screen: &Screen) -> Option<String> {
    let asymmetry = group.asymmetric.as_ref()?;
    let [name, by, back] =
        [&group.name, &asymmetry.sent_by, &asymmetry.received_by].map(|name| clean(name));
    let text = format!("{name} is asymmetric: most leaves by {by}, and comes by {back}");
    Some(format!("{}\n", screen.paint(Tone::Odd, &text)))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{ago, screen};
    use super::*;

    #[test]
    fn a_group_says_that_traffic_comes_back_by_another_link() {
        let group = v1::Group {
            name: "azure".to_owned(),
            active: vec!["wg-a".to_owned()],
            asymmetric: Some(v1::Asymmetry {
                sent_by: "wg-a".to_owned(),
                received_by: "wg-b".to_owned(),
            }),
            ..v1::Group::default()
        };
        let text = render(&[group], &screen());
        let said = "\n\nazure is asymmetric: most leaves by wg-a, and comes by wg-b\n";
        assert!(text.ends_with(said), "{text}");
    }

    #[test]
    fn a_group_says_what_each_link_is_judged_by_and_why_it_is_not_used() {
        let member = |link: &str, rank, figure: &str, why: &str, dollars| v1::GroupMember {
            link: link.to_owned(),
            state: v1::LinkState::Up.into(),
            rank,
            figure: figure.to_owned(),
            why: why.to_owned(),
            dollars,
        };
        let group = v1::Group {
            name: "aws".to_owned(),
            policy: "latency".to_owned(),
            links: vec!["aws-2".to_owned(), "aws-1".to_owned()],
            active: vec!["aws-2".to_owned()],
            failovers: 1,
            last_move: ago(192),
            last_move_reason: "latency".to_owned(),
            last_move_text: "rtt 38.0 ms against 52.0 ms for 30 s".to_owned(),
            members: vec![
                member("aws-2", 1, "rtt 38.0 ms", "in use", Some(1.204)),
                member(
                    "aws-1",
                    2,
                    "rtt 52.0 ms",
                    "rtt 52.0 ms against 38.0 ms",
                    None,
                ),
            ],
            asymmetric: None,
        };
        let groups = [group];
        let text = format!(
            "{}{}",
            render(&groups, &screen()),
            members(&groups, &screen())
        );
        let expected = "\
GROUP  POLICY   ACTIVE  LINKS, BEST FIRST  MOVES      MOVED  WHY
aws    latency  aws-2   aws-2 aws-1            1  3m12s ago  rtt 38.0 ms against 52.0 ms for 30 s

GROUP  LINK   RANK  STATE  JUDGED BY    SPENT  WHY
aws    aws-2     1  up     rtt 38.0 ms  $1.20  in use
aws    aws-1     2  up     rtt 52.0 ms      -  rtt 52.0 ms against 38.0 ms
";
        assert_eq!(text, expected);
    }
}
