//! Attributes as rows of text, in the words of the file.

use bgp::Attrs;

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
        set("ext-community", shown(&attrs.ext_communities)),
        set("large-community", shown(&attrs.large_communities)),
    ]
}

fn shown<T: ToString>(items: &[T]) -> Vec<String> {
    items.iter().map(ToString::to_string).collect()
}
