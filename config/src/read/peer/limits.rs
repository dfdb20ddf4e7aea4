//! How many prefixes may pass.

use std::time::Duration;

use toml::de::DeValue;

use crate::model::{LimitAction, Limits, PrefixLimit};
use crate::read::section::Section;
use crate::read::value;
use crate::report::{Sink, Wrong};

const WARN_PERCENT: u8 = 80;
const RESTART_AFTER: Duration = Duration::from_secs(15 * 60);
const EXAMPLE: &str = "{ ipv4 = 1000, ipv6 = 1000 }";

/// What is done, before it is known when the session begins again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Word {
    Discard,
    Restart,
    Shutdown,
    Warn,
}

/// `prefix-limit`.
pub(super) fn prefix_limit(section: &mut Section<'_>, sink: &mut Sink<'_>) -> Option<PrefixLimit> {
    let mut table = section.table(sink, "prefix-limit", EXAMPLE)?;
    let max = limits(&mut table, sink);
    let warn_percent = table.or(sink, "warn", WARN_PERCENT, percent);
    let words = [
        ("discard", Word::Discard),
        ("restart", Word::Restart),
        ("shutdown", Word::Shutdown),
        ("warn", Word::Warn),
    ];
    let word = table.or(sink, "action", Word::Restart, |v| value::word(v, &words));
    let day = Duration::from_secs(86_400);
    let after = table.optional(sink, "restart-after", |v| {
        value::duration(v, Duration::from_secs(1)..=day)
    });
    if after.is_some() && word != Word::Restart {
        let wrong = Wrong::new(
            "limit.prefixes",
            "`restart-after` says nothing about this action",
            "leave it out, or write action = \"restart\"",
        );
        sink.error(
            sink.place(&format!("{}.restart-after", table.path())),
            wrong,
        );
    }
    table.finish(sink);
    let action = match word {
        Word::Discard => LimitAction::Discard,
        Word::Restart => LimitAction::Restart(after.unwrap_or(RESTART_AFTER)),
        Word::Shutdown => LimitAction::Shutdown,
        Word::Warn => LimitAction::Warn,
    };
    Some(PrefixLimit {
        max,
        warn_percent,
        action,
    })
}

/// `prefix-limit-out`; a family that it does not name has the usual one.
pub(super) fn out(section: &mut Section<'_>, sink: &mut Sink<'_>, usual: Limits) -> Limits {
    let Some(mut table) = section.table(sink, "prefix-limit-out", EXAMPLE) else {
        return usual;
    };
    let given = limits(&mut table, sink);
    table.finish(sink);
    Limits {
        ipv4: given.ipv4.or(usual.ipv4),
        ipv6: given.ipv6.or(usual.ipv6),
    }
}

fn limits(table: &mut Section<'_>, sink: &mut Sink<'_>) -> Limits {
    let count = |v: &DeValue<'_>| value::integer(v, 1..=u32::MAX);
    if !table.has("ipv4") && !table.has("ipv6") {
        let message = "this limits no family";
        let wrong = Wrong::new("limit.prefixes", message, format!("write {EXAMPLE}"));
        sink.error(table.span(), wrong);
    }
    Limits {
        ipv4: table.optional(sink, "ipv4", count),
        ipv6: table.optional(sink, "ipv6", count),
    }
}

/// Whole percents, of which 100 is the limit itself.
fn percent(value: &DeValue<'_>) -> Result<u8, Wrong> {
    let percent = value::percent(value)? * 100.0;
    // From 0 to 100.
    Ok(percent.round() as u8)
}
