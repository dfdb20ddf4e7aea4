//! Single values: a node of the tree becomes a type of ours, or what is wrong with it.

use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ipnet::IpNet;
use toml::de::DeValue;

use crate::model::Endpoint;
use crate::nearest::nearest;
use crate::report::Wrong;

type Value<'a> = DeValue<'a>;

/// What a value is, with its article.
pub(crate) fn kind(value: &Value<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

pub(crate) fn not_a(wanted: &str, found: &Value<'_>, example: &str) -> Wrong {
    let fix = if example.is_empty() {
        String::new()
    } else {
        format!("write {example}")
    };
    Wrong::new(
        "value.type",
        format!("this is {}, not {wanted}", kind(found)),
        fix,
    )
}

pub(crate) fn str_of<'v>(
    value: &'v Value<'_>,
    wanted: &str,
    example: &str,
) -> Result<&'v str, Wrong> {
    match value {
        DeValue::String(text) => Ok(text),
        DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_)
        | DeValue::Array(_)
        | DeValue::Table(_) => Err(not_a(wanted, value, example)),
    }
}

/// Any text that is not empty.
pub(crate) fn text(value: &Value<'_>) -> Result<String, Wrong> {
    let text = str_of(value, "a string", "it in quotes")?;
    if text.trim().is_empty() {
        return Err(Wrong::new(
            "value.empty",
            "this is empty",
            "leave the key out, or say something",
        ));
    }
    if text.chars().any(char::is_control) {
        return Err(Wrong::new(
            "value.text",
            "this contains control characters",
            "write plain text on one line",
        ));
    }
    Ok(text.to_owned())
}

pub(crate) fn boolean(value: &Value<'_>) -> Result<bool, Wrong> {
    match value {
        DeValue::Boolean(value) => Ok(*value),
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Datetime(_)
        | DeValue::Array(_)
        | DeValue::Table(_) => Err(not_a(
            "true or false",
            value,
            "`true` or `false`, without quotes",
        )),
    }
}

/// One of a few words.
pub(crate) fn word<T: Copy>(value: &Value<'_>, known: &[(&str, T)]) -> Result<T, Wrong> {
    let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
    let list = format!("\"{}\"", names.join("\", \""));
    let text = str_of(value, "one of the known words", &format!("one of {list}"))?;
    known
        .iter()
        .find(|(name, _)| *name == text)
        .map(|(_, meaning)| *meaning)
        .ok_or_else(|| {
            let fix = match nearest(text, names) {
                Some(near) => format!("did you mean \"{near}\"? known: {list}"),
                None => format!("known: {list}"),
            };
            Wrong::new(
                "value.unknown",
                format!("\"{text}\" is not known here"),
                fix,
            )
        })
}

/// A whole number from `range`.
pub(crate) fn integer<T>(value: &Value<'_>, range: RangeInclusive<T>) -> Result<T, Wrong>
where
    T: TryFrom<i64> + PartialOrd + Display + Copy,
{
    let (least, most) = (*range.start(), *range.end());
    let fix = format!("write a whole number from {least} to {most}, without quotes");
    let DeValue::Integer(number) = value else {
        return Err(Wrong {
            fix,
            ..not_a("a whole number", value, "")
        });
    };
    i64::from_str_radix(number.as_str(), number.radix())
        .ok()
        .and_then(|number| T::try_from(number).ok())
        .filter(|number| range.contains(number))
        .ok_or_else(|| {
            Wrong::new(
                "value.range",
                format!("{number} is not from {least} to {most}"),
                fix,
            )
        })
}

pub(crate) fn any_u32(value: &Value<'_>) -> Result<u32, Wrong> {
    integer(value, 0..=u32::MAX)
}

/// AS numbers that no router may have: RFC 7607, 6793, 7300.
pub(crate) fn asn(value: &Value<'_>) -> Result<u32, Wrong> {
    let asn = integer(value, 0..=u32::MAX)?;
    let why = match asn {
        0 => "RFC 7607: it means \"none\"",
        23_456 => "RFC 6793: it stands in for 4-byte AS numbers",
        65_535 | u32::MAX => "RFC 7300: it is the last of its range",
        _ => return Ok(asn),
    };
    Err(Wrong::new(
        "asn.reserved",
        format!("AS {asn} is reserved ({why})"),
        "use your own, or a private one: 64512 to 65534, 4200000000 to 4294967294",
    ))
}

const UNITS: [(&str, u64); 5] = [
    ("us", 1),
    ("ms", 1_000),
    ("s", 1_000_000),
    ("m", 60_000_000),
    ("h", 3_600_000_000),
];

/// `"200ms"`, `"5s"`, `"1m30s"`, from `range`.
pub(crate) fn duration(
    value: &Value<'_>,
    range: RangeInclusive<Duration>,
) -> Result<Duration, Wrong> {
    let fix = "write a number and its unit: \"200ms\", \"5s\", \"3m\", \"1h\"";
    let DeValue::String(text) = value else {
        let fix = match value {
            DeValue::Integer(number) => format!("{number} of what? {fix}"),
            DeValue::String(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_)
            | DeValue::Table(_) => fix.to_owned(),
        };
        return Err(Wrong {
            fix,
            ..not_a("a duration", value, "")
        });
    };
    let duration = duration_of(text).ok_or_else(|| {
        Wrong::new(
            "value.duration",
            format!("\"{text}\" is not a duration"),
            fix,
        )
    })?;
    if range.contains(&duration) {
        return Ok(duration);
    }
    let (least, most) = (spell(*range.start()), spell(*range.end()));
    Err(Wrong::new(
        "value.range",
        format!("\"{text}\" is not from {least} to {most}"),
        format!("write a duration from \"{least}\" to \"{most}\""),
    ))
}

/// A duration as the file spells it, `"1m30s"`, within `range`.
///
/// # Errors
///
/// What is wrong with it, in one sentence.
pub fn parse_duration(text: &str, range: RangeInclusive<Duration>) -> Result<Duration, String> {
    let duration = duration_of(text).filter(|duration| range.contains(duration));
    duration.ok_or_else(|| {
        let (least, most) = (spell(*range.start()), spell(*range.end()));
        format!("not a duration from \"{least}\" to \"{most}\", such as \"1m30s\"")
    })
}

fn duration_of(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = 0u64;
    let mut least = u64::MAX;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, tail) = rest.split_at_checked(digits)?;
        let letters = tail
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at_checked(letters)?;
        let (_, micros) = UNITS.iter().find(|(name, _)| *name == unit)?;
        if *micros >= least {
            return None;
        }
        least = *micros;
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(*micros)?)?;
        rest = tail;
    }
    (least != u64::MAX).then_some(Duration::from_micros(total))
}

/// A duration in the spelling of the file, in the largest unit that leaves no fraction: `90s`.
pub(crate) fn spell(duration: Duration) -> String {
    let whole = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    let exact = |(_, micros): &&(&str, u64)| whole != 0 && whole.is_multiple_of(*micros);
    match UNITS.iter().rev().find(exact) {
        Some((unit, micros)) => format!("{}{unit}", whole / micros),
        None => "0s".to_owned(),
    }
}

/// `"0.5%"`, as a ratio.
pub(crate) fn percent(value: &Value<'_>) -> Result<f64, Wrong> {
    let fix = "write a percentage from 0% to 100%, such as \"0.5%\"";
    let DeValue::String(text) = value else {
        return Err(Wrong {
            fix: fix.to_owned(),
            ..not_a("a percentage", value, "")
        });
    };
    text.strip_suffix('%')
        .filter(|number| {
            number
                .bytes()
                .all(|byte| byte.is_ascii_digit() || byte == b'.')
        })
        .and_then(|number| number.parse::<f64>().ok())
        .filter(|number| (0.0..=100.0).contains(number))
        .map(|number| number / 100.0)
        .ok_or_else(|| {
            Wrong::new(
                "value.percent",
                format!("\"{text}\" is not a percentage"),
                fix,
            )
        })
}

/// An amount of dollars, as a number.
pub(crate) fn dollars(value: &Value<'_>) -> Result<f64, Wrong> {
    let fix = "write what a gigabyte costs in dollars, such as 0.02";
    let number = match value {
        DeValue::Float(number) => number.as_str(),
        DeValue::Integer(number) => number.as_str(),
        DeValue::String(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_)
        | DeValue::Array(_)
        | DeValue::Table(_) => {
            return Err(Wrong {
                fix: fix.to_owned(),
                ..not_a("a number of dollars", value, "")
            });
        }
    };
    let amount = number.parse::<f64>().ok();
    let amount = amount.filter(|amount| (0.0..=1000.0).contains(amount));
    amount.ok_or_else(|| {
        let message = format!("{number} is not from 0 to 1000 dollars");
        Wrong::new("value.range", message, fix)
    })
}

/// An address that one host can have.
pub(crate) fn address(value: &Value<'_>) -> Result<IpAddr, Wrong> {
    let example = "an address such as \"10.0.0.1\" or \"2001:db8::1\"";
    let text = str_of(value, "an address", example)?;
    let address: IpAddr = text.parse().map_err(|_| {
        let fix = match text.split_once('/') {
            Some((address, _)) if address.parse::<IpAddr>().is_ok() => {
                format!("write \"{address}\", without the prefix length")
            }
            _ => format!("write {example}"),
        };
        Wrong::new(
            "value.address",
            format!("\"{text}\" is not an address"),
            fix,
        )
    })?;
    if address.is_unspecified() || address.is_multicast() || address == Ipv4Addr::BROADCAST {
        return Err(Wrong::new(
            "value.address",
            format!("{address} is not the address of one host"),
            format!("write {example}"),
        ));
    }
    Ok(address)
}

/// A BGP identifier: RFC 6286 §2.1 asks for four bytes that are not all zero.
pub(crate) fn router_id(value: &Value<'_>) -> Result<Ipv4Addr, Wrong> {
    let example = "four numbers such as \"10.10.0.4\", usually an IPv4 address of this router";
    let text = str_of(value, "a router id", example)?;
    let id: Option<Ipv4Addr> = text.parse().ok();
    id.filter(|id| !id.is_unspecified()).ok_or_else(|| {
        Wrong::new(
            "router.id",
            format!("\"{text}\" cannot be a router id"),
            format!("write {example}"),
        )
    })
}

/// `"0.0.0.0:179"`.
pub(crate) fn socket(value: &Value<'_>) -> Result<SocketAddr, Wrong> {
    let example = "an address and a port such as \"0.0.0.0:179\" or \"[::]:179\"";
    let text = str_of(value, "an address with a port", example)?;
    text.parse::<SocketAddr>()
        .ok()
        .filter(|socket| socket.port() != 0)
        .ok_or_else(|| {
            Wrong::new(
                "value.socket",
                format!("\"{text}\" is not an address with a port"),
                format!("write {example}"),
            )
        })
}

/// An address of ours and the length of its network: host bits are welcome.
pub(crate) fn network_address(value: &Value<'_>) -> Result<IpNet, Wrong> {
    let example = "our address and its prefix length, such as \"169.254.21.2/30\"";
    let text = str_of(value, "an address with a prefix length", example)?;
    let net: IpNet = text.parse().map_err(|_| {
        let fix = if text.parse::<IpAddr>().is_ok() {
            let length = if text.contains(':') { 127 } else { 30 };
            format!("say how long the network is, such as \"{text}/{length}\"")
        } else {
            format!("write {example}")
        };
        Wrong::new(
            "value.prefix",
            format!("\"{text}\" is not an address with a prefix length"),
            fix,
        )
    })?;
    if net.addr().is_unspecified() || net.addr().is_multicast() {
        let message = format!("{} is not the address of one host", net.addr());
        return Err(Wrong::new(
            "value.address",
            message,
            format!("write {example}"),
        ));
    }
    Ok(net)
}

/// A prefix: host bits are a mistake.
pub(crate) fn prefix(value: &Value<'_>) -> Result<IpNet, Wrong> {
    prefix_of(str_of(
        value,
        "a prefix",
        "a prefix such as \"10.10.0.0/16\"",
    )?)
}

pub(crate) fn prefix_of(text: &str) -> Result<IpNet, Wrong> {
    let net: IpNet = text.parse().map_err(|_| {
        let fix = match text.parse::<IpAddr>() {
            Ok(IpAddr::V4(address)) => format!("for this one address write \"{address}/32\""),
            Ok(IpAddr::V6(address)) => format!("for this one address write \"{address}/128\""),
            Err(_) => "write a prefix such as \"10.10.0.0/16\" or \"2001:db8::/32\"".to_owned(),
        };
        Wrong::new("value.prefix", format!("\"{text}\" is not a prefix"), fix)
    })?;
    if net.trunc() == net {
        return Ok(net);
    }
    Err(Wrong::new(
        "prefix.host-bits",
        format!("{net} has bits set after its first {}", net.prefix_len()),
        format!("write \"{}\"", net.trunc()),
    ))
}

/// A public key of WireGuard. The text is not repeated: people paste the wrong key.
pub(crate) fn public_key(value: &Value<'_>) -> Result<[u8; 32], Wrong> {
    let fix = "paste what `wg pubkey` prints: 44 characters of Base64, the last one `=`";
    let text = str_of(value, "a public key", "it in quotes")?;
    let wrong = |message: String| Wrong::new("wireguard.key", message, fix);
    let bytes = STANDARD.decode(text).map_err(|_| {
        let stray = text
            .chars()
            .find(|c| !c.is_ascii_alphanumeric() && !"+/=".contains(*c));
        wrong(match stray {
            Some(stray) => format!("a public key has no {stray:?}: it is Base64"),
            None => format!(
                "this is no Base64 of 32 bytes: its length is {}, not 44",
                text.chars().count()
            ),
        })
    })?;
    let length = bytes.len();
    bytes
        .try_into()
        .map_err(|_| wrong(format!("a public key has 32 bytes, this one {length}")))
}

/// `"host:port"`.
pub(crate) fn endpoint(value: &Value<'_>) -> Result<Endpoint, Wrong> {
    let example = "\"nva.example.net:51820\", \"192.0.2.1:51820\" or \"[2001:db8::1]:51820\"";
    let text = str_of(value, "a host and a port", example)?;
    endpoint_of(text).ok_or_else(|| {
        let fix = match text.parse::<IpAddr>() {
            Ok(IpAddr::V6(address)) => format!("say the port: \"[{address}]:51820\""),
            Ok(IpAddr::V4(address)) => format!("say the port: \"{address}:51820\""),
            Err(_) => format!("write {example}"),
        };
        Wrong::new(
            "value.endpoint",
            format!("\"{text}\" is not a host and a port"),
            fix,
        )
    })
}

fn endpoint_of(text: &str) -> Option<Endpoint> {
    if let Ok(socket) = text.parse::<SocketAddr>() {
        let host = socket.ip().to_string();
        return (socket.port() != 0 && !socket.ip().is_unspecified()).then(|| Endpoint {
            host,
            port: socket.port(),
        });
    }
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port != 0)?;
    let dotted_number = host
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    (is_host_name(host) && !dotted_number).then(|| Endpoint {
        host: host.to_owned(),
        port,
    })
}

/// RFC 1123 §2.1, with `_` as some internal zones use it.
fn is_host_name(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    host.len() <= 253
        && host.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        })
}
