//! A route as people write one down to ask about it.

use std::borrow::Cow;
use std::net::IpAddr;

use ipnet::IpNet;
use toml::de::DeValue;

use crate::model::{ExtCommunity, Origin};
use crate::nearest::nearest;
use crate::read::filter::value;
use crate::read::value::{address, prefix, word};
use crate::report::Wrong;

/// `prefix=10.1.0.0/16 as-path="65010 {1,2}" community=65010:100,no-export med=10`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Route {
    /// `prefix`; the only one that must be there.
    pub prefix: IpNet,
    /// `as-path`, from the nearest AS to the origin. Default: empty.
    pub as_path: Vec<Segment>,
    /// `nexthop`.
    pub nexthop: Option<IpAddr>,
    /// `origin`. Default `igp`.
    pub origin: Origin,
    /// `med`.
    pub med: Option<u32>,
    /// `local-pref`.
    pub local_pref: Option<u32>,
    /// `community`.
    pub community: Vec<u32>,
    /// `ext-community`.
    pub ext_community: Vec<ExtCommunity>,
    /// `large-community`.
    pub large_community: Vec<(u32, u32, u32)>,
}

/// A part of an AS path; never empty.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Segment {
    /// `65010 64512`.
    Sequence(Vec<u32>),
    /// `{1,2}`.
    Set(Vec<u32>),
}

const KEYS: [&str; 9] = [
    "as-path",
    "community",
    "ext-community",
    "large-community",
    "local-pref",
    "med",
    "nexthop",
    "origin",
    "prefix",
];

impl Route {
    /// Reads words of the form `key=value`. A value with spaces stands in quotes.
    ///
    /// # Errors
    ///
    /// One sentence about the first thing that is wrong, with the remedy.
    pub fn parse(text: &str) -> Result<Self, String> {
        let words = words(text)?;
        let mut seen = Vec::new();
        for (key, _) in &words {
            if !KEYS.contains(&key.as_str()) {
                return Err(unknown(key));
            }
            if seen.contains(&key) {
                return Err(format!("`{key}` is there twice"));
            }
            seen.push(key);
        }
        let value_of = |key: &str| {
            let found = words.iter().find(|(known, _)| known == key);
            found.map(|(_, value)| value.as_str())
        };
        let prefix = one(value_of("prefix"), prefix)?;
        Ok(Self {
            prefix: prefix.ok_or("a route has a prefix: prefix=10.1.0.0/16")?,
            as_path: as_path(value_of("as-path").unwrap_or_default())?,
            nexthop: one(value_of("nexthop"), address)?,
            origin: one(value_of("origin"), |v| word(v, &value::ORIGINS))?.unwrap_or(Origin::Igp),
            med: number("med", value_of("med"))?,
            local_pref: number("local-pref", value_of("local-pref"))?,
            community: many(value_of("community"), value::community)?,
            ext_community: many(value_of("ext-community"), value::ext_community)?,
            large_community: many(value_of("large-community"), value::large_community)?,
        })
    }
}

fn unknown(key: &str) -> String {
    let known = KEYS.join("`, `");
    match nearest(key, KEYS) {
        Some(near) => format!("`{key}` is not known; did you mean `{near}`?"),
        None => format!("`{key}` is not known; known are `{known}`"),
    }
}

/// Quotes of either kind hold a value together and are no part of it.
fn words(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (key, after) = rest
            .split_once('=')
            .filter(|(key, _)| !key.contains(char::is_whitespace))
            .ok_or_else(|| {
                let word = rest.split_whitespace().next().unwrap_or_default();
                format!("`{word}` has no value; write key=value, such as med=10")
            })?;
        let quote = after.chars().next().filter(|c| matches!(c, '"' | '\''));
        let (value, after) = match quote {
            Some(quote) => after
                .get(1..)
                .and_then(|inner| inner.split_once(quote))
                .ok_or_else(|| format!("the quotes of `{key}` are not closed"))?,
            None => after.split_once(char::is_whitespace).unwrap_or((after, "")),
        };
        words.push((key.to_owned(), value.to_owned()));
        rest = after.trim_start();
    }
    Ok(words)
}

fn one<T>(
    text: Option<&str>,
    read: impl Fn(&DeValue<'_>) -> Result<T, Wrong>,
) -> Result<Option<T>, String> {
    let Some(text) = text else { return Ok(None) };
    read(&DeValue::String(Cow::Borrowed(text)))
        .map(Some)
        .map_err(|wrong| format!("{}; {}", wrong.message, wrong.fix))
}

fn many<T>(
    text: Option<&str>,
    read: impl Fn(&DeValue<'_>) -> Result<T, Wrong>,
) -> Result<Vec<T>, String> {
    let items = text.into_iter().flat_map(|text| text.split(','));
    let items = items.map(str::trim).filter(|item| !item.is_empty());
    items
        .filter_map(|item| one(Some(item), &read).transpose())
        .collect()
}

fn number(key: &str, text: Option<&str>) -> Result<Option<u32>, String> {
    let read = |text: &str| {
        let number = text.parse().ok();
        number.ok_or_else(|| format!("`{key}` is a number from 0 to {}, not \"{text}\"", u32::MAX))
    };
    text.map(read).transpose()
}

fn as_path(text: &str) -> Result<Vec<Segment>, String> {
    let wrong = || format!("\"{text}\" is no AS path; write as-path=\"65010 64512 {{1,2}}\"");
    let mut path = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (inside, after) = match rest.strip_prefix('{') {
            Some(inside) => inside.split_once('}').ok_or_else(wrong)?,
            None => rest.split_at(rest.find('{').unwrap_or(rest.len())),
        };
        let is_set = rest.starts_with('{');
        let numbers = inside.split(|c: char| c.is_whitespace() || (is_set && c == ','));
        let numbers = numbers.filter(|number| !number.is_empty());
        let numbers: Result<Vec<u32>, _> = numbers.map(str::parse).collect();
        let numbers = numbers
            .ok()
            .filter(|numbers| !numbers.is_empty())
            .ok_or_else(wrong)?;
        path.push(if is_set {
            Segment::Set(numbers)
        } else {
            Segment::Sequence(numbers)
        });
        rest = after.trim_start();
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_has_a_prefix_and_what_else_is_said() {
        let route = Route::parse(
            "prefix=10.1.0.0/16 as-path=\"65010 64512 {1,2} 7\" community=65010:100,no-export \
             med=10 origin=egp nexthop=2001:db8::1 ext-community='rt:1:2' large-community=1:2:3",
        );
        let route = route.expect("it is legal");
        assert_eq!(
            route.as_path,
            [
                Segment::Sequence(vec![65010, 64512]),
                Segment::Set(vec![1, 2]),
                Segment::Sequence(vec![7])
            ]
        );
        assert_eq!(route.community, [65010 << 16 | 100, 0xFFFF_FF01]);
        assert_eq!((route.med, route.local_pref), (Some(10), None));
        assert_eq!(route.large_community, [(1, 2, 3)]);
        assert_eq!(route.ext_community.len(), 1);
    }

    #[test]
    fn what_is_wrong_with_a_route_is_one_sentence_with_the_remedy() {
        for (text, part) in [
            ("", "a route has a prefix"),
            ("med=1", "a route has a prefix"),
            ("10.0.0.0/8", "`10.0.0.0/8` has no value"),
            ("prefix=10.0.0.1/8", "write \"10.0.0.0/8\""),
            (
                "prefix=10.0.0.0/8 comunity=1:1",
                "did you mean `community`?",
            ),
            ("prefix=10.0.0.0/8 med=1 med=2", "`med` is there twice"),
            ("prefix=10.0.0.0/8 med=-1", "`med` is a number"),
            ("prefix=10.0.0.0/8 as-path=\"1 2", "are not closed"),
            ("prefix=10.0.0.0/8 as-path=\"1 {2\"", "is no AS path"),
            ("prefix=10.0.0.0/8 as-path={}", "is no AS path"),
            ("prefix=10.0.0.0/8 community=1:*", "the one community"),
            ("prefix=10.0.0.0/8 =1", "known are"),
        ] {
            let wrong = Route::parse(text).expect_err(text);
            assert!(wrong.contains(part), "{text}: {wrong}");
        }
    }
}
