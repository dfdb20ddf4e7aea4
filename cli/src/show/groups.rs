//! `skybridge show groups`.

use api::v1;
use api::v1::links_client::LinksClient;
use tonic::transport::Channel;

use crate::output::Output;
use crate::units::age;
use crate::{Failure, Outcome, answer, client, json};

use super::table::{Table, cell, toned};
use super::{Screen, Tone, words};

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
        |screen| render(&groups, screen),
    )
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
        let active = match group.active.as_str() {
            "" => toned(Tone::Bad, "none"),
            active => toned(Tone::Good, active),
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
            cell(words::group_move(&group.last_move_reason)),
        ]);
    }
    table.render(screen)
}
