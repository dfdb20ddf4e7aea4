//! `skybridge show groups`.

use api::v1;
use api::v1::links_client::LinksClient;
use tonic::transport::Channel;

use crate::output::Output;
use crate::units::age;
use crate::{Failure, Outcome, answer, client, json};

use super::table::{Table, cell, toned};
use super::{Screen, Tone, or_dash, words};

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
    table.render(screen)
}
