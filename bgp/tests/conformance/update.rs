//! Cases of one UPDATE and the decoder.

use bgp::Asn;
use bgp::wire::{Dialect, Severity, decode_update};

use crate::describe::{events, notification, octets};
use crate::row::{self, Shown};

/// ORIGIN igp.
pub(crate) const ORIGIN: &str = "40 01 01 00";
/// AS_PATH 65002.
pub(crate) const AS_PATH: &str = "40 02 06 02 01 0000fdea";
/// NEXT_HOP 192.0.2.1.
pub(crate) const NEXT_HOP: &str = "40 03 04 c0000201";
/// 203.0.113.0/24.
pub(crate) const NLRI: &str = "18 cb0071";
/// 2001:db8::/32 with nexthop 2001:db8::1.
pub(crate) const MP_REACH: &str =
    "80 0e 1a 0002 01 10 20010db8000000000000000000000001 00 20 20010db8";
/// 2001:db8::/32.
pub(crate) const MP_UNREACH: &str = "80 0f 08 0002 01 20 20010db8";

/// What becomes of [`NLRI`] with the three attributes and nothing else.
pub(crate) const PLAIN: &str = "announce 203.0.113.0/24 via 192.0.2.1 path 65002";
/// What becomes of [`NLRI`] with a fault.
pub(crate) const GONE: &str = "withdraw 203.0.113.0/24";
/// What becomes of [`MP_REACH`] with a fault.
pub(crate) const GONE_V6: &str = "withdraw 2001:db8::/32";

/// One UPDATE.
pub(crate) struct Case {
    /// Its body in hexadecimal: withdrawn, attributes, NLRI.
    parts: [String; 3],
    /// As it is, where the lengths are the point.
    raw: Option<&'static str>,
    dialect: Dialect,
    with: &'static str,
    output: String,
}

/// From an external peer with 4-octet numbers.
pub(crate) fn attributes(attributes: impl Into<String>) -> Case {
    Case {
        parts: [String::new(), attributes.into(), String::new()],
        raw: None,
        dialect: Dialect::new(Asn(65001), Asn(65002)),
        with: "",
        output: String::new(),
    }
}

/// The body as it is, lengths and all.
pub(crate) fn body(hex: &'static str) -> Case {
    Case {
        raw: Some(hex),
        ..attributes("")
    }
}

/// The three mandatory attributes and more.
pub(crate) fn with(extra: &str) -> Case {
    attributes(format!("{ORIGIN} {AS_PATH} {NEXT_HOP} {extra}")).nlri(NLRI)
}

/// The three mandatory attributes, one of them replaced.
pub(crate) fn instead(of: &str, new: &str) -> Case {
    let rest =
        [ORIGIN, AS_PATH, NEXT_HOP].map(|attribute| if attribute == of { new } else { attribute });
    attributes(rest.join(" ")).nlri(NLRI)
}

impl Case {
    pub(crate) fn nlri(mut self, hex: &str) -> Self {
        hex.clone_into(&mut self.parts[2]);
        self
    }

    pub(crate) fn withdrawn(mut self, hex: &str) -> Self {
        hex.clone_into(&mut self.parts[0]);
        self
    }

    /// From a peer in our own AS.
    pub(crate) fn internal(mut self) -> Self {
        self.with = "internal peer: ";
        self.dialect.peer_asn = self.dialect.local_asn;
        self
    }

    /// From a peer that knows 2-octet numbers only.
    pub(crate) fn old(mut self) -> Self {
        self.with = "peer with 2-octet numbers: ";
        self.dialect.four_octet_asn = false;
        self
    }

    /// From a peer with whom something else was agreed on.
    pub(crate) fn agreed(mut self, with: &'static str, change: fn(&mut Dialect)) -> Self {
        self.with = with;
        change(&mut self.dialect);
        self
    }

    /// Without any fault.
    pub(crate) fn is(mut self, events: &str) -> Self {
        events.clone_into(&mut self.output);
        self
    }

    /// With a fault that costs only a prefix.
    pub(crate) fn ignores(mut self, events: &str) -> Self {
        self.output = format!("prefix ignored: {events}").trim_end().to_owned();
        self
    }

    /// With a fault that costs only the attribute.
    pub(crate) fn discards(mut self, events: &str) -> Self {
        self.output = format!("attribute discard: {events}").trim_end().to_owned();
        self
    }

    /// With a fault that costs the prefixes.
    pub(crate) fn withdraws(mut self, events: &str) -> Self {
        self.output = format!("treat as withdraw: {events}");
        self
    }

    /// With a fault that costs the session; code 3.
    pub(crate) fn resets(mut self, subcode: u8, data: &str) -> Self {
        let notification = bgp::wire::Notification::new(3, subcode, &octets(data));
        self.output = format!("session reset: {}", self::notification(&notification));
        self
    }

    fn bytes(&self) -> Vec<u8> {
        if let Some(raw) = self.raw {
            return octets(raw);
        }
        let [withdrawn, attributes, nlri] = self.parts.each_ref().map(|part| octets(part));
        let length = |part: &[u8]| u16::try_from(part.len()).expect("short").to_be_bytes();
        [
            &length(&withdrawn)[..],
            &withdrawn,
            &length(&attributes),
            &attributes,
            &nlri,
        ]
        .concat()
    }

    pub(crate) fn show(&self) -> Shown {
        let [withdrawn, attributes, nlri] = &self.parts;
        let mut parts = Vec::new();
        for (name, part) in [("withdrawn ", withdrawn), ("", attributes), ("NLRI ", nlri)] {
            if !part.trim().is_empty() {
                parts.push(format!("{name}{}", part.trim()));
            }
        }
        let shown = self
            .raw
            .map_or_else(|| parts.join(" | "), |raw| format!("body {raw}"));
        Shown {
            input: format!("{}{shown}", self.with),
            output: self.output.clone(),
        }
    }

    pub(crate) fn run(&self) -> String {
        let (mut found, mut faults) = (Vec::new(), Vec::new());
        let result = decode_update(&self.bytes(), &self.dialect, &mut found, &mut faults);
        let worst = faults.iter().map(|fault| fault.severity).max();
        let severity = match worst {
            None => "",
            Some(Severity::PrefixDiscard) => "prefix ignored: ",
            Some(Severity::AttributeDiscard) => "attribute discard: ",
            Some(Severity::TreatAsWithdraw) => "treat as withdraw: ",
            Some(Severity::SessionReset) => "session reset: ",
        };
        let outcome = match result {
            Ok(()) => events(&found),
            Err(notification) => self::notification(&notification),
        };
        format!("{severity}{outcome}").trim_end().to_owned()
    }
}

impl From<Case> for row::Case {
    fn from(case: Case) -> Self {
        Self::Update(case)
    }
}
