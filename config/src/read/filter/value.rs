//! Single values of filters.

use std::net::Ipv4Addr;

use aspath::Regex;
use ipnet::IpNet;
use toml::de::DeValue;

use crate::model::{
    CommunityPattern, ExtAdmin, ExtCommunity, ExtCommunityPattern, ExtKind, Family,
    LargeCommunityPattern, MedChange, MedMatch, Nexthop, Number, Origin, PrefixPattern, Span,
};
use crate::nearest::nearest;
use crate::read::value::{address, any_u32, prefix_of, str_of};
use crate::report::Wrong;

pub(super) const FAMILIES: [(&str, Family); 2] = [("ipv4", Family::Ipv4), ("ipv6", Family::Ipv6)];
pub(crate) const ORIGINS: [(&str, Origin); 3] = [
    ("igp", Origin::Igp),
    ("egp", Origin::Egp),
    ("incomplete", Origin::Incomplete),
];

/// The IANA registry "BGP Well-known Communities".
const WELL_KNOWN: [(&str, u32); 10] = [
    ("graceful-shutdown", 0xFFFF_0000),
    ("accept-own", 0xFFFF_0001),
    ("llgr-stale", 0xFFFF_0006),
    ("no-llgr", 0xFFFF_0007),
    ("blackhole", 0xFFFF_029A),
    ("no-export", 0xFFFF_FF01),
    ("no-advertise", 0xFFFF_FF02),
    ("no-export-subconfed", 0xFFFF_FF03),
    ("local-as", 0xFFFF_FF03),
    ("no-peer", 0xFFFF_FF04),
];

/// `"10.1.0.0/16 ge 20 le 24"`.
pub(super) fn prefix_pattern(value: &DeValue<'_>) -> Result<PrefixPattern, Wrong> {
    let example = "a prefix, and if wanted a range of lengths: \"10.1.0.0/16 ge 20 le 24\"";
    let text = str_of(value, "a prefix", example)?;
    let mut words = text.split_whitespace();
    let prefix = words.next().unwrap_or_default();
    let rest: Vec<&str> = words.collect();
    let net = prefix_of(prefix).map_err(|wrong| match wrong.rule {
        "prefix.host-bits" => {
            let fixed = prefix
                .parse::<IpNet>()
                .map_or_else(|_| prefix.to_owned(), |net| net.trunc().to_string());
            let whole = std::iter::once(fixed.as_str()).chain(rest.iter().copied());
            Wrong {
                fix: format!("write \"{}\"", whole.collect::<Vec<_>>().join(" ")),
                ..wrong
            }
        }
        _ => wrong,
    })?;
    let lengths = match rest.as_slice() {
        [] => Some((None, None)),
        ["ge", min] => min.parse().ok().map(|min| (Some(min), None)),
        ["le", max] => max.parse().ok().map(|max| (None, Some(max))),
        ["ge", min, "le", max] | ["le", max, "ge", min] => min
            .parse()
            .ok()
            .zip(max.parse().ok())
            .map(|(min, max)| (Some(min), Some(max))),
        _ => None,
    };
    let Some((min, max)) = lengths else {
        let message = format!("\"{}\" is not a range of lengths", rest.join(" "));
        return Err(Wrong::new(
            "prefix.length",
            message,
            format!("write {example}"),
        ));
    };
    pattern(net, min, max)
}

fn pattern(net: IpNet, ge: Option<u8>, le: Option<u8>) -> Result<PrefixPattern, Wrong> {
    let (shortest, longest) = (net.prefix_len(), net.max_prefix_len());
    let min = ge.unwrap_or(shortest);
    let max = le.unwrap_or(if ge.is_some() { longest } else { shortest });
    if shortest <= min && min <= max && max <= longest {
        return Ok(PrefixPattern { net, min, max });
    }
    Err(Wrong::new(
        "prefix.length",
        format!("no prefix within {net} can have a length from {min} to {max}"),
        format!("lengths go from {shortest} to {longest} here, `ge` before `le`"),
    ))
}

/// A number of a pattern: `100`, `100-199` or `*`, at most `most`.
fn span(text: &str, most: u32) -> Option<Span> {
    if text == "*" {
        return Some(Span { min: 0, max: most });
    }
    let (min, max) = text.split_once('-').unwrap_or((text, text));
    let (min, max) = (decimal(min)?, decimal(max)?);
    (min <= max && max <= most).then_some(Span { min, max })
}

/// Digits only: `+5` is no number of a community.
fn decimal(text: &str) -> Option<u32> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

/// `64512` or `"64512-65534"`.
pub(super) fn asns(value: &DeValue<'_>) -> Result<Span, Wrong> {
    let DeValue::String(text) = value else {
        let only = any_u32(value)?;
        return Ok(Span {
            min: only,
            max: only,
        });
    };
    let found = span(text, u32::MAX).filter(|_| text != "*");
    found.ok_or_else(|| {
        Wrong::new(
            "value.asn",
            format!("\"{text}\" is no AS number or range of them"),
            "write 64512, or \"64512-65534\"",
        )
    })
}

/// `5`, `"<5"`, `"<=5"`, `">5"`, `">=5"` or `"2-5"`.
pub(super) fn comparison(value: &DeValue<'_>) -> Result<Span, Wrong> {
    let DeValue::String(text) = value else {
        let only = any_u32(value)?;
        return Ok(Span {
            min: only,
            max: only,
        });
    };
    compared(text).ok_or_else(|| {
        Wrong::new(
            "value.comparison",
            format!("\"{text}\" compares with nothing"),
            "write 100, \"<100\", \"<=100\", \">100\", \">=100\" or \"100-200\"",
        )
    })
}

fn compared(text: &str) -> Option<Span> {
    let text = text.trim();
    let number = |rest: &str| decimal(rest.trim());
    let (min, max) = if let Some(rest) = text.strip_prefix("<=") {
        (0, number(rest)?)
    } else if let Some(rest) = text.strip_prefix(">=") {
        (number(rest)?, u32::MAX)
    } else if let Some(rest) = text.strip_prefix('<') {
        (0, number(rest)?.checked_sub(1)?)
    } else if let Some(rest) = text.strip_prefix('>') {
        (number(rest)?.checked_add(1)?, u32::MAX)
    } else {
        return span(text, u32::MAX).filter(|_| text != "*");
    };
    Some(Span { min, max })
}

pub(super) fn med_match(value: &DeValue<'_>) -> Result<MedMatch, Wrong> {
    if let DeValue::String(text) = value {
        match text.as_ref() {
            "none" => return Ok(MedMatch::Absent),
            "any" => return Ok(MedMatch::Within(Span::ANY)),
            _ => {}
        }
    }
    comparison(value)
        .map(MedMatch::Within)
        .map_err(|wrong| Wrong {
            fix: format!("{}, \"none\" or \"any\"", wrong.fix),
            ..wrong
        })
}

/// `200`, `"+10"` or `"-10"`.
pub(super) fn number(value: &DeValue<'_>) -> Result<Number, Wrong> {
    let DeValue::String(text) = value else {
        return any_u32(value).map(Number::To);
    };
    let relative = match text.split_at_checked(1) {
        Some(("+", more)) => decimal(more).map(Number::Add),
        Some(("-", less)) => decimal(less).map(Number::Subtract),
        _ => None,
    };
    relative.ok_or_else(|| {
        Wrong::new(
            "value.number",
            format!("\"{text}\" is no new value and no change of one"),
            "write 200, \"+10\" or \"-10\"",
        )
    })
}

pub(super) fn med_change(value: &DeValue<'_>) -> Result<MedChange, Wrong> {
    if matches!(value, DeValue::String(text) if text == "none") {
        return Ok(MedChange::Remove);
    }
    number(value).map(MedChange::Number).map_err(|wrong| Wrong {
        fix: format!("{}, or \"none\" to remove it", wrong.fix),
        ..wrong
    })
}

pub(super) fn nexthop(value: &DeValue<'_>) -> Result<Nexthop, Wrong> {
    match str_of(value, "a nexthop", "\"self\", \"unchanged\" or an address")? {
        "self" => Ok(Nexthop::Ourselves),
        "unchanged" => Ok(Nexthop::Unchanged),
        _ => address(value).map(Nexthop::Address).map_err(|wrong| Wrong {
            fix: format!("{}, \"self\" or \"unchanged\"", wrong.fix),
            ..wrong
        }),
    }
}

/// An AS-path expression.
pub(super) fn regex(value: &DeValue<'_>) -> Result<Regex, Wrong> {
    let text = str_of(value, "an AS-path expression", "one such as \"_65010_\"")?;
    Regex::parse(text).map_err(|wrong| {
        Wrong::new(
            "filter.regex",
            format!("\"{text}\" is no AS-path expression: {wrong}"),
            "`_` is any delimiter or end: \"^65010_\" comes from AS 65010, \"_65010$\" began there",
        )
    })
}

fn no_community(text: &str, fix: impl Into<String>) -> Wrong {
    let message = format!("\"{text}\" is not a community");
    Wrong::new("value.community", message, fix)
}

const COMMUNITY: &str =
    "write two numbers from 0 to 65535 such as \"65010:100\", or \"no-export\", \"no-advertise\"";

/// `"65010:100"`, or a well-known name.
pub(crate) fn community(value: &DeValue<'_>) -> Result<u32, Wrong> {
    let text = str_of(value, "a community", "one such as \"65010:100\"")?;
    let pattern = community_pattern_of(text)?;
    match (pattern.high, pattern.low) {
        (high, low) if high.min == high.max && low.min == low.max => Ok(high.min << 16 | low.min),
        _ => Err(no_community(text, "write the one community that is meant")),
    }
}

/// The same with `*` and ranges.
pub(super) fn community_pattern(value: &DeValue<'_>) -> Result<CommunityPattern, Wrong> {
    community_pattern_of(str_of(value, "a community", "one such as \"65010:100\"")?)
}

fn community_pattern_of(text: &str) -> Result<CommunityPattern, Wrong> {
    if let Some((_, number)) = WELL_KNOWN.iter().find(|(name, _)| *name == text) {
        let half = |half: u32| Span {
            min: half,
            max: half,
        };
        return Ok(CommunityPattern {
            high: half(number >> 16),
            low: half(number & 0xffff),
        });
    }
    let most = u32::from(u16::MAX);
    let halves = text.split_once(':');
    let found = halves.and_then(|(high, low)| Some((span(high, most)?, span(low, most)?)));
    let (high, low) = found.ok_or_else(|| {
        let names = WELL_KNOWN.iter().map(|(name, _)| *name);
        match nearest(text, names) {
            Some(near) => no_community(text, format!("did you mean \"{near}\"?")),
            None => no_community(text, COMMUNITY),
        }
    })?;
    Ok(CommunityPattern { high, low })
}

const LARGE: &str = "write three numbers such as \"65010:1:2\"";

/// `"65010:1:2"`.
pub(crate) fn large_community(value: &DeValue<'_>) -> Result<(u32, u32, u32), Wrong> {
    let LargeCommunityPattern { parts } = large_pattern(value)?;
    if parts.iter().all(|part| part.min == part.max) {
        let [global, first, second] = parts.map(|part| part.min);
        return Ok((global, first, second));
    }
    let text = str_of(value, "a large community", "one such as \"65010:1:2\"")?;
    Err(no_community(text, "write the one community that is meant"))
}

/// The same with `*` and ranges.
pub(super) fn large_pattern(value: &DeValue<'_>) -> Result<LargeCommunityPattern, Wrong> {
    let text = str_of(value, "a large community", "one such as \"65010:1:2\"")?;
    let mut parts = text.split(':').map(|part| span(part, u32::MAX));
    let found = [parts.next(), parts.next(), parts.next()].map(Option::flatten);
    match (found, parts.next()) {
        ([Some(global), Some(first), Some(second)], None) => Ok(LargeCommunityPattern {
            parts: [global, first, second],
        }),
        _ => Err(Wrong {
            message: format!("\"{text}\" is not a large community"),
            ..no_community(text, LARGE)
        }),
    }
}

const EXT: &str =
    "write \"rt:65010:100\", \"soo:192.0.2.1:7\" or eight octets such as \"0x0002fdf200000064\"";

fn no_ext_community(text: &str, fix: &str) -> Wrong {
    Wrong {
        message: format!("\"{text}\" is not an extended community"),
        ..no_community(text, fix)
    }
}

/// `rt:65010:100`, `soo:192.0.2.1:7`, `0x0002fdf200000064`.
pub(crate) fn ext_community(value: &DeValue<'_>) -> Result<ExtCommunity, Wrong> {
    let text = str_of(
        value,
        "an extended community",
        "one such as \"rt:65010:100\"",
    )?;
    let single = |span: Span| (span.min == span.max).then_some(span.min);
    let found = match ext_pattern_of(text) {
        Some(ExtCommunityPattern::Exactly(raw)) => Some(ExtCommunity::Raw(raw)),
        Some(ExtCommunityPattern::Of { kind, admin, local }) => {
            single(local).and_then(|local| match admin {
                ExtAdmin::Address(address) => {
                    let local = u16::try_from(local).ok()?;
                    Some(ExtCommunity::OfAddress {
                        kind,
                        address,
                        local,
                    })
                }
                ExtAdmin::As(asns) => {
                    let asn = single(asns)?;
                    let both_long = asn > 0xffff && local > 0xffff;
                    (!both_long).then_some(ExtCommunity::OfAs { kind, asn, local })
                }
            })
        }
        Some(ExtCommunityPattern::LinkBandwidth) => {
            let fix = "set it by its value: bandwidth = \"1Gbit\"";
            return Err(no_ext_community(text, fix));
        }
        Some(ExtCommunityPattern::Any) | None => None,
    };
    found.ok_or_else(|| no_ext_community(text, EXT))
}

/// The same with `*` and ranges, `link-bandwidth`, and `*` alone.
pub(super) fn ext_pattern(value: &DeValue<'_>) -> Result<ExtCommunityPattern, Wrong> {
    let text = str_of(
        value,
        "an extended community",
        "one such as \"rt:65010:100\"",
    )?;
    ext_pattern_of(text).ok_or_else(|| {
        no_ext_community(
            text,
            &format!("{EXT}; \"rt:65010:*\" or \"link-bandwidth\""),
        )
    })
}

fn ext_pattern_of(text: &str) -> Option<ExtCommunityPattern> {
    match text {
        "*" => return Some(ExtCommunityPattern::Any),
        "link-bandwidth" => return Some(ExtCommunityPattern::LinkBandwidth),
        _ => {}
    }
    if let Some(octets) = text.strip_prefix("0x") {
        let is_hex = octets.len() == 16 && octets.bytes().all(|byte| byte.is_ascii_hexdigit());
        let raw = u64::from_str_radix(octets, 16).ok().filter(|_| is_hex)?;
        return Some(ExtCommunityPattern::Exactly(raw));
    }
    let (kind, rest) = text.split_once(':')?;
    let kind = match kind {
        "ro" | "soo" => ExtKind::RouteOrigin,
        "rt" => ExtKind::RouteTarget,
        _ => return None,
    };
    let (admin, local) = rest.split_once(':')?;
    let (admin, most) = match admin.parse::<Ipv4Addr>() {
        Ok(address) => (ExtAdmin::Address(address), u32::from(u16::MAX)),
        Err(_) => (ExtAdmin::As(span(admin, u32::MAX)?), u32::MAX),
    };
    let local = span(local, most)?;
    Some(ExtCommunityPattern::Of { kind, admin, local })
}

const UNITS: [(&str, f64); 5] = [
    ("Tbit", 1e12),
    ("Gbit", 1e9),
    ("Mbit", 1e6),
    ("kbit", 1e3),
    ("bit", 1.0),
];

/// `"2.5Gbit"`, in bits per second.
pub(super) fn bandwidth(value: &DeValue<'_>) -> Result<u64, Wrong> {
    let text = str_of(value, "a bandwidth", "one such as \"1Gbit\"")?;
    let plain = |number: &&str| number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let bits = UNITS.iter().find_map(|(unit, factor)| {
        let number = text.strip_suffix(unit).map(str::trim_end).filter(plain)?;
        Some(number.parse::<f64>().ok()? * factor)
    });
    // 1 Pbit is more than any link, and exact as a float.
    bits.filter(|bits| (1.0..=1e15).contains(bits))
        .map(|bits| bits.round() as u64)
        .ok_or_else(|| {
            Wrong::new(
                "value.bandwidth",
                format!("\"{text}\" is no bandwidth"),
                "write a number and its unit per second: \"100Mbit\", \"2.5Gbit\"",
            )
        })
}
