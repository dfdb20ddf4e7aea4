//! `skybridge show routes`: a stream, printed as it comes.

use api::v1;
use api::v1::routes_client::RoutesClient;
use tonic::transport::Channel;

use crate::output::{Output, Printed};
use crate::{Failure, Outcome, client, json};

use super::{Screen, Tone, WIDTH, clean};

pub(crate) async fn run(
    channel: Channel,
    prefix: Option<String>,
    longer: bool,
    limit: u32,
    output: &mut Output,
) -> Result<Outcome, Failure> {
    let asked = prefix.clone();
    let request = v1::ListRoutesRequest {
        prefix: prefix.unwrap_or_default(),
        longer,
        limit,
    };
    let mut stream = match RoutesClient::new(channel).list(request).await {
        Ok(response) => response.into_inner(),
        Err(status) => return Err(client::refused(&status)),
    };
    let mut found = Outcome::Negative;
    while let Some(part) = stream
        .message()
        .await
        .map_err(|status| client::refused(&status))?
    {
        for route in &part.routes {
            found = Outcome::Good;
            match output.printed() {
                Printed::Json => output.json_line(&json::Route::from(route))?,
                Printed::Text => {
                    let text = render(route, &output.screen());
                    output.text(&text)?;
                }
            }
        }
    }
    none_found(found, asked, output)
}

/// An empty RIB is an answer; a prefix that is not there is the answer no.
fn none_found(
    found: Outcome,
    asked: Option<String>,
    output: &mut Output,
) -> Result<Outcome, Failure> {
    if found == Outcome::Good {
        return Ok(found);
    }
    if output.printed() == Printed::Text {
        let of = asked
            .as_deref()
            .map_or(String::new(), |prefix| format!(" to {}", clean(prefix)));
        output.text(&format!("no routes{of}\n"))?;
    }
    Ok(if asked.is_some() {
        Outcome::Negative
    } else {
        Outcome::Good
    })
}

/// The best path beside its prefix, the others below it, and hops that belong to none of them.
fn render(route: &v1::Route, screen: &Screen) -> String {
    let prefix = clean(&route.prefix);
    let mut text = String::new();
    for (i, path) in route.paths.iter().enumerate() {
        let mark = if path.best { "*" } else { " " };
        let prefix = if i == 0 { prefix.as_str() } else { "" };
        let hop = route
            .hops
            .iter()
            .find(|hop| !path.nexthop.is_empty() && hop.nexthop == path.nexthop);
        let tone = if path.best { Tone::Plain } else { Tone::Quiet };
        let line = wrap(
            &format!("{mark} {prefix:<18} {}", way(path, hop)),
            &attributes(path),
        );
        text.push_str(&screen.paint(tone, &line));
        text.push('\n');
    }
    for hop in route
        .hops
        .iter()
        .filter(|hop| route.paths.iter().all(|p| p.nexthop != hop.nexthop))
    {
        text.push_str(&format!(
            "{:<20} hop {}\n",
            "",
            clean(&of_hop(&hop.nexthop, hop))
        ));
    }
    let is_own = route
        .paths
        .iter()
        .any(|path| path.best && path.nexthop.is_empty());
    if !route.installed && !is_own {
        let note = format!("{:<21}not in the kernel as wanted", "");
        text.push_str(&screen.paint(Tone::Odd, &note));
        text.push('\n');
    }
    text
}

fn way(path: &v1::Path, hop: Option<&v1::Hop>) -> String {
    clean(&match hop {
        _ if path.nexthop.is_empty() => "our own".to_owned(),
        Some(hop) => of_hop(&path.nexthop, hop),
        None => format!("via {}", path.nexthop),
    })
}

fn of_hop(nexthop: &str, hop: &v1::Hop) -> String {
    let mut way = format!("via {nexthop} dev {}", hop.interface);
    if !hop.link.is_empty() {
        way.push_str(&format!("  link {}", hop.link));
    }
    if !hop.active {
        way.push_str(" (standby)");
    }
    way
}

fn attributes(path: &v1::Path) -> Vec<String> {
    let mut parts = Vec::new();
    let mut add = |name: &str, value: &str| {
        if !value.is_empty() {
            parts.push(clean(&format!("{name} {value}")));
        }
    };
    add("AS", &path.as_path);
    add(
        "local-pref",
        &path
            .local_pref
            .map_or(String::new(), |value| value.to_string()),
    );
    add(
        "med",
        &path.med.map_or(String::new(), |value| value.to_string()),
    );
    add(
        "origin",
        if path.origin == "igp" {
            ""
        } else {
            &path.origin
        },
    );
    add("communities", &path.communities.join(" "));
    add("large", &path.large_communities.join(" "));
    add("from", &path.peer);
    add("reason:", &path.step);
    parts
}

/// Parts go below each other, indented, where they do not fit.
fn wrap(first: &str, parts: &[String]) -> String {
    let mut text = first.trim_end().to_owned();
    let mut column = text.chars().count();
    for part in parts {
        let width = part.chars().count();
        if column + 2 + width > WIDTH {
            text.push_str(&format!("\n{:<21}{part}", ""));
            column = 21 + width;
        } else {
            text.push_str(&format!("  {part}"));
            column += 2 + width;
        }
    }
    text
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::tests::screen;
    use super::*;

    pub(crate) fn route() -> v1::Route {
        let path = |nexthop: &str, peer: &str, best| v1::Path {
            peer: peer.to_owned(),
            best,
            step: "link-rank".to_owned(),
            nexthop: nexthop.to_owned(),
            as_path: "65020 31898".to_owned(),
            origin: "igp".to_owned(),
            med: None,
            local_pref: Some(100),
            communities: Vec::new(),
            large_communities: Vec::new(),
        };
        let hop = |nexthop: &str, link: &str, active| v1::Hop {
            nexthop: nexthop.to_owned(),
            interface: format!("sb-{link}"),
            link: link.to_owned(),
            active,
        };
        v1::Route {
            prefix: "10.10.0.0/16".to_owned(),
            paths: vec![
                path("10.99.0.1", "wg-a", true),
                path("10.99.0.3", "wg-b", false),
            ],
            hops: vec![
                hop("10.99.0.1", "wg-a", true),
                hop("10.99.0.3", "wg-b", false),
            ],
            installed: true,
        }
    }

    #[test]
    fn a_route_shows_its_best_path_and_what_stands_by() {
        let expected = "\
* 10.10.0.0/16       via 10.99.0.1 dev sb-wg-a  link wg-a  AS 65020 31898  local-pref 100  from wg-a
                     reason: link-rank
                     via 10.99.0.3 dev sb-wg-b  link wg-b (standby)  AS 65020 31898  local-pref 100
                     from wg-b  reason: link-rank
";
        assert_eq!(render(&route(), &screen()), expected);
    }

    #[test]
    fn a_route_of_our_own_needs_no_kernel() {
        let own = v1::Route {
            prefix: "10.10.0.0/16".to_owned(),
            paths: vec![v1::Path {
                best: true,
                step: "only".to_owned(),
                ..v1::Path::default()
            }],
            ..v1::Route::default()
        };
        assert_eq!(
            render(&own, &screen()),
            "* 10.10.0.0/16       our own  reason: only\n"
        );
    }

    #[test]
    fn a_route_that_is_not_installed_says_so() {
        let route = v1::Route {
            installed: false,
            ..route()
        };
        assert!(render(&route, &screen()).ends_with("not in the kernel as wanted\n"));
    }

    #[test]
    fn no_line_is_wider_than_100_columns() {
        let mut route = route();
        for path in &mut route.paths {
            path.communities = vec!["65020:100".to_owned(); 4];
            path.med = Some(4_294_967_295);
        }
        let text = render(&route, &screen());
        assert!(
            text.lines().all(|line| line.chars().count() <= WIDTH),
            "{text}"
        );
    }
}
