//! Attributes as rows of text, in the words of the file.

use bgp::{Attrs, ExtCommunity};

/// One attribute.
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) value: Value,
}

/// How an attribute compares with another one.
#[derive(PartialEq, Eq)]
pub(super) enum Value {
    /// As a whole; `None` where there is none.
    One(Option<String>),
    /// Item by item.
    Set(Vec<String>),
}

/// The attributes that filters see and set, always the same in the same order.
pub(super) fn rows(attrs: &Attrs) -> [Row; 8] {
    let one = |name, value: Option<String>| Row {
        name,
        value: Value::One(value),
    };
    let set = |name, items: Vec<String>| Row {
        name,
        value: Value::Set(items),
    };
    let path = attrs.as_path.to_string();
    [
        one("as-path", Some(path).filter(|path| !path.is_empty())),
        one("nexthop", attrs.nexthop.map(|nexthop| nexthop.to_string())),
        one("origin", Some(attrs.origin.to_string())),
        one("med", attrs.med.map(|med| med.to_string())),
        one("local-pref", attrs.local_pref.map(|pref| pref.to_string())),
        set("community", shown(&attrs.communities)),
        set(
            "ext-community",
            attrs.ext_communities.iter().map(ext).collect(),
        ),
        set("large-community", shown(&attrs.large_communities)),
    ]
}

fn shown<T: ToString>(items: &[T]) -> Vec<String> {
    items.iter().map(ToString::to_string).collect()
}

/// `rt:65010:100`, `link-bandwidth:65010:1Gbit`, or the octets.
fn ext(community: &ExtCommunity) -> String {
    let [type_code, subtype, a, b, c, d, e, f] = community.0.to_be_bytes();
    let short = u16::from_be_bytes([a, b]);
    let value = u32::from_be_bytes([c, d, e, f]);
    if matches!(type_code, 0x00 | 0x40) && subtype == 0x04 {
        return format!("link-bandwidth:{short}:{}", bits(f32::from_bits(value)));
    }
    let kind = match subtype {
        0x02 => "rt",
        0x03 => "soo",
        _ => return format!("0x{:016x}", community.0),
    };
    let local = u16::from_be_bytes([e, f]);
    match type_code {
        0x00 => format!("{kind}:{short}:{value}"),
        0x01 => format!("{kind}:{a}.{b}.{c}.{d}:{local}"),
        0x02 => format!("{kind}:{}:{local}", u32::from_be_bytes([a, b, c, d])),
        _ => format!("0x{:016x}", community.0),
    }
}

fn bits(bytes_per_second: f32) -> String {
    let bits = f64::from(bytes_per_second) * 8.0;
    let units = [("Tbit", 1e12), ("Gbit", 1e9), ("Mbit", 1e6), ("kbit", 1e3)];
    match units.into_iter().find(|(_, factor)| bits >= *factor) {
        Some((unit, factor)) => format!("{}{unit}", (bits / factor * 1000.0).round() / 1000.0),
        None => format!("{bits}bit"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extended_communities_are_shown_as_the_file_has_them() {
        for (octets, text) in [
            (0x0002_fdf2_0000_0064, "rt:65010:100"),
            (0x0103_c000_0201_0007, "soo:192.0.2.1:7"),
            (0x0202_0001_0000_0007, "rt:65536:7"),
            (0x4004_fdf2_4cee_6b28, "link-bandwidth:65010:1Gbit"),
            (0x4302_0000_0000_0001, "0x4302000000000001"),
        ] {
            assert_eq!(ext(&ExtCommunity(octets)), text);
        }
    }
}
