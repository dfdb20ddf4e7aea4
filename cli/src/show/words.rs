//! States as words, the same in text and in JSON.

use api::v1;

use super::Tone;

pub(crate) fn link(state: v1::LinkState) -> &'static str {
    match state {
        v1::LinkState::Unspecified => "unknown",
        v1::LinkState::Up => "up",
        v1::LinkState::Degraded => "degraded",
        v1::LinkState::Down => "down",
        v1::LinkState::Draining => "draining",
    }
}

pub(crate) fn link_tone(state: v1::LinkState) -> Tone {
    match state {
        v1::LinkState::Unspecified => Tone::Quiet,
        v1::LinkState::Up => Tone::Good,
        v1::LinkState::Degraded | v1::LinkState::Draining => Tone::Odd,
        v1::LinkState::Down => Tone::Bad,
    }
}

pub(crate) fn bfd(state: v1::BfdState) -> &'static str {
    match state {
        v1::BfdState::Unspecified => "unknown",
        v1::BfdState::AdminDown => "admin-down",
        v1::BfdState::Down => "down",
        v1::BfdState::Init => "init",
        v1::BfdState::Up => "up",
    }
}

pub(crate) fn bfd_tone(state: v1::BfdState) -> Tone {
    match state {
        v1::BfdState::Unspecified => Tone::Quiet,
        v1::BfdState::AdminDown | v1::BfdState::Init => Tone::Odd,
        v1::BfdState::Down => Tone::Bad,
        v1::BfdState::Up => Tone::Good,
    }
}

/// Why a path is not even a candidate; `None` for a path that is.
pub(crate) fn ineligible(step: &str) -> Option<&'static str> {
    match step {
        "as-loop" => Some("our own AS is in its path"),
        "filtered" => Some("rejected by the import filter"),
        "link-unusable" => Some("its link is down"),
        "nexthop-ours" => Some("its nexthop is an address of this host"),
        "nexthop-unreachable" => Some("its nexthop is unreachable"),
        "reflection-loop" => Some("we, or our cluster, reflected it before"),
        "route-leak" => Some("its peer should not have passed it on (RFC 9234)"),
        _ => None,
    }
}

pub(crate) fn peer(state: v1::peer::State) -> &'static str {
    match state {
        v1::peer::State::Unspecified => "unknown",
        v1::peer::State::Idle => "idle",
        v1::peer::State::Connect => "connect",
        v1::peer::State::Active => "active",
        v1::peer::State::OpenSent => "open-sent",
        v1::peer::State::OpenConfirm => "open-confirm",
        v1::peer::State::Established => "established",
    }
}

pub(crate) fn peer_tone(state: v1::peer::State) -> Tone {
    if state == v1::peer::State::Established {
        Tone::Good
    } else {
        Tone::Bad
    }
}

pub(crate) fn alarm(severity: v1::alarm::Severity) -> &'static str {
    match severity {
        v1::alarm::Severity::Unspecified => "unknown",
        v1::alarm::Severity::Warning => "warning",
        v1::alarm::Severity::Critical => "critical",
    }
}

pub(crate) fn alarm_tone(severity: v1::alarm::Severity) -> Tone {
    match severity {
        v1::alarm::Severity::Unspecified | v1::alarm::Severity::Warning => Tone::Odd,
        v1::alarm::Severity::Critical => Tone::Bad,
    }
}

pub(crate) fn event(severity: v1::event::Severity) -> &'static str {
    match severity {
        v1::event::Severity::Unspecified => "unknown",
        v1::event::Severity::Info => "info",
        v1::event::Severity::Warning => "warning",
        v1::event::Severity::Critical => "critical",
    }
}

pub(crate) fn event_tone(severity: v1::event::Severity) -> Tone {
    match severity {
        v1::event::Severity::Unspecified | v1::event::Severity::Info => Tone::Plain,
        v1::event::Severity::Warning => Tone::Odd,
        v1::event::Severity::Critical => Tone::Bad,
    }
}
