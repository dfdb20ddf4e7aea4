//! `skybridge show routes`: a stream, printed as it comes.

use api::v1;
use api::v1::list_routes_request::View;
use api::v1::routes_client::RoutesClient;
use api::v1::system_client::SystemClient;
use tonic::transport::Channel;

use crate::output::{Output, Printed};
use crate::{Failure, Outcome, client, json};

use super::{Screen, Tone, WIDTH, clean, words};

/// Whether the daemon gives routes to the kernel at all.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Installing {
    No,
    Yes,
}

pub(crate) async fn run(
    channel: Channel,
    request: v1::ListRoutesRequest,
    output: &mut Output,
) -> Result<Outcome, Failure> {
    let asked = Some(request.prefix.clone()).filter(|prefix| !prefix.is_empty());
    let installing = match request.view() {
        View::Unspecified => installing(channel.clone()).await?,
        // What a peer sent or was told need not be what the kernel has.
        View::Received | View::Accepted | View::Advertised => Installing::No,
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
                    let text = render(route, installing, &output.screen());
                    output.text(&text)?;
                }
            }
        }
    }
    none_found(found, asked, output)
}

async fn installing(channel: Channel) -> Result<Installing, Failure> {
    let response = SystemClient::new(channel)
        .status(v1::StatusRequest {})
        .await;
    let status = response
        .map_err(|status| client::refused(&status))?
        .into_inner();
    Ok(match status.fib {
        Some(fib) if !fib.installing => Installing::No,
        _ => Installing::Yes,
    })
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
fn render(route: &v1::Route, installing: Installing, screen: &Screen) -> String {
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
            &attributes(path, hop),
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
    if let Some((tone, note)) = note(route, installing) {
        text.push_str(&screen.paint(tone, &format!("{:<21}{note}", "")));
        text.push('\n');
    }
    text
}

/// What else is to be said about where the route is.
fn note(route: &v1::Route, installing: Installing) -> Option<(Tone, &'static str)> {
    let Some(best) = route.paths.iter().find(|path| path.best) else {
        return Some((Tone::Quiet, "no route: none of these paths can be used"));
    };
    let is_wanted = !best.nexthop.is_empty() || route.discards;
    if installing == Installing::Yes && is_wanted && !route.installed {
        let missing = "the kernel does not have this route as wanted: see `skybridge status`";
        return Some((Tone::Bad, missing));
    }
    let rest = "an aggregate: what no more specific route takes is discarded";
    route.discards.then_some((Tone::Quiet, rest))
}

fn way(path: &v1::Path, hop: Option<&v1::Hop>) -> String {
    clean(&match hop {
        _ if path.nexthop.is_empty() => "our own".to_owned(),
        Some(hop) => of_hop(&path.nexthop, hop),
        None => format!("via {}", path.nexthop),
    })
}

fn of_hop(nexthop: &str, hop: &v1::Hop) -> String {
    let mut way = match hop.link.as_str() {
        "" => format!("via {nexthop} dev {}", hop.interface),
        link => format!("via {nexthop} link {link}"),
    };
    if !hop.active {
        way.push_str(" (standby)");
    }
    way
}

/// Everything else about a path. The name of a peer that is that of its link is not said twice.
fn attributes(path: &v1::Path, hop: Option<&v1::Hop>) -> Vec<String> {
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
    add("extended", &path.ext_communities.join(" "));
    add(
        "path",
        &path.path_id.map_or(String::new(), |id| id.to_string()),
    );
    add("kept", if path.stale { "from before" } else { "" });
    if hop.is_none_or(|hop| hop.link != path.peer) {
        add("from", &path.peer);
    }
    parts.extend(verdict(path).map(|verdict| clean(&verdict)));
    parts
}

/// Where the decision left the path; `None` for our own, which needs no reason.
fn verdict(path: &v1::Path) -> Option<String> {
    Some(match (path.best, path.step.as_str()) {
        (true, "originated") => return None,
        (true, "only-path") => "best: the only one".to_owned(),
        (true, step) => format!("best by {step}"),
        (false, "originated") => "loses to our own".to_owned(),
        (false, step) => match words::ineligible(step) {
            Some(why) => why.to_owned(),
            None => format!("loses by {step}"),
        },
    })
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
            ext_communities: Vec::new(),
            path_id: None,
            stale: false,
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
            discards: false,
        }
    }

    #[test]
    fn a_route_shows_its_best_path_and_what_stands_by() {
        let expected = "\
* 10.10.0.0/16       via 10.99.0.1 link wg-a  AS 65020 31898  local-pref 100  best by link-rank
                     via 10.99.0.3 link wg-b (standby)  AS 65020 31898  local-pref 100
                     loses by link-rank
";
        assert_eq!(render(&route(), Installing::Yes, &screen()), expected);
    }

    #[test]
    fn a_route_of_our_own_needs_no_kernel() {
        let own = v1::Route {
            prefix: "10.10.0.0/16".to_owned(),
            paths: vec![v1::Path {
                best: true,
                step: "originated".to_owned(),
                ..v1::Path::default()
            }],
            ..v1::Route::default()
        };
        assert_eq!(
            render(&own, Installing::Yes, &screen()),
            "* 10.10.0.0/16       our own\n"
        );
    }

    #[test]
    fn an_aggregate_says_what_becomes_of_the_rest_and_whether_the_kernel_knows() {
        let aggregate = |installed| v1::Route {
            prefix: "203.0.112.0/22".to_owned(),
            paths: vec![v1::Path {
                best: true,
                step: "only-path".to_owned(),
                origin: "incomplete".to_owned(),
                ..v1::Path::default()
            }],
            installed,
            discards: true,
            ..v1::Route::default()
        };
        let expected = "
* 203.0.112.0/22     our own  origin incomplete  best: the only one
                     an aggregate: what no more specific route takes is discarded
";
        let text = render(&aggregate(true), Installing::Yes, &screen());
        assert_eq!(format!("\n{text}"), expected);
        let text = render(&aggregate(false), Installing::Yes, &screen());
        assert!(
            text.contains("the kernel does not have this route"),
            "{text}"
        );
    }

    #[test]
    fn a_route_that_is_not_installed_says_so_unless_none_is() {
        let route = v1::Route {
            installed: false,
            ..route()
        };
        let said = "the kernel does not have this route as wanted";
        assert!(render(&route, Installing::Yes, &screen()).contains(said));
        assert!(!render(&route, Installing::No, &screen()).contains(said));
    }

    #[test]
    fn a_prefix_without_a_usable_path_says_why_and_misses_nothing_in_the_kernel() {
        let refused = v1::Path {
            peer: "aws-gw".to_owned(),
            step: "filtered".to_owned(),
            nexthop: "172.31.0.5".to_owned(),
            as_path: "64512".to_owned(),
            ..v1::Path::default()
        };
        let route = |installed| v1::Route {
            prefix: "10.1.7.0/25".to_owned(),
            paths: vec![refused.clone()],
            installed,
            ..v1::Route::default()
        };
        let expected = "
  10.1.7.0/25        via 172.31.0.5  AS 64512  from aws-gw  rejected by the import filter
                     no route: none of these paths can be used
";
        for installed in [true, false] {
            let text = render(&route(installed), Installing::Yes, &screen());
            assert_eq!(format!("\n{text}"), expected);
        }
    }

    #[test]
    fn no_line_is_wider_than_100_columns() {
        let mut route = route();
        for path in &mut route.paths {
            path.communities = vec!["65020:100".to_owned(); 4];
            path.med = Some(4_294_967_295);
        }
        let text = render(&route, Installing::Yes, &screen());
        assert!(
            text.lines().all(|line| line.chars().count() <= WIDTH),
            "{text}"
        );
    }
}
