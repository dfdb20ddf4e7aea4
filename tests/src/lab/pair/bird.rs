//! The terms and tables of a pair in BIRD's words.

use std::fmt::Write as _;

use anyhow::{Context as _, Result, ensure};

use super::{Announced, Family, Held, Paths, Terms};
use crate::lab::gateway::Bird;

pub(super) fn config(terms: &Terms) -> String {
    let mut config = format!(
        "log stderr all;\nrouter id {};\nprotocol device {{ scan time 10; }}\nprotocol direct {{ ipv4; ipv6; }}\n",
        terms.router_id()
    );
    for family in Family::ALL {
        let routes = terms
            .announced
            .iter()
            .filter(|route| Family::of(&route.prefix) == family);
        let routes: Vec<String> = routes.map(route).collect();
        let _ = writeln!(
            config,
            "protocol static cloud{family} {{\n  {family};\n  {}\n}}",
            routes.join("\n  ")
        );
    }
    let channel = |family| {
        format!(
            "{family} {{
    import all;
    export filter {{
      if source != RTS_STATIC then reject;
      # BIRD leaves a MED out that no filter has set.
      if defined(bgp_med) then bgp_med = bgp_med;
      accept;
    }};
    {}
  }};",
            terms.family_words
        )
    };
    let _ = writeln!(
        config,
        "protocol bgp nva {{
  local {} as {};
  neighbor {} as {};
  hold time {};
  keepalive time {};
  connect retry time 1;
  connect delay time 1;
  error wait time 1, 4;
  {}
  {}
  {}
}}",
        terms.theirs(),
        terms.their_asn,
        terms.ours(),
        terms.our_asn,
        terms.hold_secs,
        terms.hold_secs / 3,
        channel(Family::V4),
        channel(Family::V6),
        terms.session_words,
    );
    config + &terms.program_words
}

fn route(route: &Announced) -> String {
    let mut words = String::new();
    if let Some(med) = route.med {
        let _ = write!(words, "bgp_med = {med}; ");
    }
    if let Some(preference) = route.local_pref {
        let _ = write!(words, "bgp_local_pref = {preference}; ");
    }
    for (a, b) in &route.communities {
        let _ = write!(words, "bgp_community.add(({a}, {b})); ");
    }
    for (a, b, c) in &route.large_communities {
        let _ = write!(words, "bgp_large_community.add(({a}, {b}, {c})); ");
    }
    for asn in route.as_path.iter().rev() {
        let _ = write!(words, "bgp_path.prepend({asn}); ");
    }
    if let Some(mbit) = route.bandwidth_mbit {
        // draft-ietf-idr-link-bandwidth: bytes a second, as a float.
        let bytes = (mbit as f32 * 125_000.0).to_bits();
        let _ = write!(
            words,
            "bgp_ext_community.add((generic, 0x4004fdf2, {bytes:#x})); "
        );
    }
    format!("route {} unreachable {{ {words}}};", route.prefix)
}

/// Reads its file again, written anew.
pub(super) fn configure(bird: &Bird, terms: &Terms) -> Result<()> {
    bird.write_config(&config(terms))?;
    let said = bird.birdc("configure")?;
    ensure!(said.contains("Reconfigur"), "BIRD says {said}");
    Ok(())
}

/// From `show route all`:
///
/// ```text
/// Table master4:
/// 10.1.0.0/16          unicast [nva 10:22:46.127] * (100) [AS65010i]
///         via 192.0.2.1 on wire
///         Type: BGP univ
///         BGP.origin: IGP
///         BGP.as_path: 65010
///                      unicast [nva 10:22:46.127] (100) [AS65020i]
/// ```
pub(super) fn received(bird: &Bird, family: Family) -> Result<Paths> {
    let table = match family {
        Family::V4 => "master4",
        Family::V6 => "master6",
    };
    let said = bird.birdc(&format!("show route table {table} protocol nva all"))?;
    let mut held = Paths::new();
    let mut current = String::new();
    for line in said.lines() {
        let mut words = line.split_whitespace();
        let first = words.next().filter(|word| word.contains('/'));
        if let Some(prefix) = first.filter(|_| !line.starts_with(char::is_whitespace)) {
            prefix.clone_into(&mut current);
        }
        if line.contains("[nva ") {
            held.entry(current.clone())
                .or_default()
                .push(Held::default());
        } else if let Some((name, value)) = line.trim().split_once(':')
            && let Some(path) = held.get_mut(&current).and_then(|paths| paths.last_mut())
        {
            attribute(path, name, value.trim()).with_context(|| line.to_owned())?;
        }
    }
    Ok(held)
}

fn attribute(held: &mut Held, name: &str, value: &str) -> Result<()> {
    match name {
        "BGP.origin" => held.origin = value.to_lowercase(),
        "BGP.as_path" => value.clone_into(&mut held.as_path),
        "BGP.next_hop" => {
            let global = value.split_whitespace().next().unwrap_or_default();
            global.clone_into(&mut held.nexthop);
        }
        "BGP.med" => held.med = Some(value.parse()?),
        "BGP.local_pref" => held.local_pref = Some(value.parse()?),
        "BGP.community" => held.communities = communities(value),
        "BGP.large_community" => held.large_communities = communities(value),
        _ => {}
    }
    Ok(())
}

/// `(65010,100) (65010,200)`, and for large ones `(65010, 1, 2)`.
fn communities(value: &str) -> std::collections::BTreeSet<String> {
    let words = value
        .split(')')
        .map(|word| word.trim().trim_start_matches('('));
    words
        .filter(|word| !word.is_empty())
        .map(|word| word.split(',').map(str::trim).collect::<Vec<_>>().join(":"))
        .collect()
}
