//! Numbers and times as people read them.

use std::time::{Duration, SystemTime};

use jiff::tz::TimeZone;
use prost_types::{Duration as ProtoDuration, Timestamp};

/// The two largest units: `3m12s`, `2d4h`, `17s`.
pub(crate) fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (days, hours) = (seconds / 86_400, seconds / 3_600 % 24);
    let (minutes, rest) = (seconds / 60 % 60, seconds % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{rest}s"),
        (0, 0, _) => format!("{minutes}m{rest:02}s"),
        (0, _, _) => format!("{hours}h{minutes:02}m"),
        _ => format!("{days}d{hours:02}h"),
    }
}

/// How long ago; `-` for never. A clock that ran backwards is no reason to fail.
pub(crate) fn age(at: Option<&Timestamp>, now: SystemTime) -> String {
    let Some(at) = at.and_then(|at| SystemTime::try_from(*at).ok()) else {
        return "-".to_owned();
    };
    span(now.duration_since(at).unwrap_or_default())
}

/// `2026-11-21T10:35:01+01:00`; `-` for never.
pub(crate) fn local(at: Option<&Timestamp>, zone: &TimeZone) -> String {
    shown(at, zone, "%Y-%m-%dT%H:%M:%S%:z")
}

/// `2026-11-21T10:35:01.250+01:00`, for events that follow each other closely; `-` for never.
pub(crate) fn local_to_the_millisecond(at: Option<&Timestamp>, zone: &TimeZone) -> String {
    shown(at, zone, "%Y-%m-%dT%H:%M:%S%.3f%:z")
}

fn shown(at: Option<&Timestamp>, zone: &TimeZone, format: &str) -> String {
    match at.and_then(instant) {
        Some(at) => at.to_zoned(zone.clone()).strftime(format).to_string(),
        None => "-".to_owned(),
    }
}

/// `1 route`, `2 routes`.
pub(crate) fn count(number: u64, what: &str) -> String {
    match number {
        1 => format!("1 {what}"),
        _ => format!("{number} {what}s"),
    }
}

/// RFC 3339 in UTC, for programs.
pub(crate) fn rfc3339(at: Option<&Timestamp>) -> Option<String> {
    at.and_then(instant).map(|at| at.to_string())
}

fn instant(at: &Timestamp) -> Option<jiff::Timestamp> {
    jiff::Timestamp::new(at.seconds, at.nanos).ok()
}

/// For programs. Ours are never negative.
pub(crate) fn seconds(duration: Option<&ProtoDuration>) -> Option<f64> {
    duration
        .and_then(|duration| Duration::try_from(*duration).ok())
        .map(|d| d.as_secs_f64())
}

/// `12.31 ms`; `-` for not measured.
pub(crate) fn millis(duration: Option<&ProtoDuration>) -> String {
    seconds(duration).map_or_else(|| "-".to_owned(), |s| format!("{:.2} ms", s * 1000.0))
}

/// `0.05 %`.
pub(crate) fn percent(ratio: f64) -> String {
    format!("{:.2} %", ratio * 100.0)
}

/// `1.2 MB`; powers of 1000, as in every other tool that counts traffic.
pub(crate) fn bytes(count: u64) -> String {
    let units = [
        (1_000_000_000_000, "TB"),
        (1_000_000_000, "GB"),
        (1_000_000, "MB"),
        (1000, "kB"),
    ];
    match units.iter().find(|(size, _)| count >= *size) {
        Some((size, unit)) => {
            format!("{}.{} {unit}", count / size, count % size * 10 / size)
        }
        None => format!("{count} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_shows_its_two_largest_units() {
        let shown = |seconds| span(Duration::from_secs(seconds));
        assert_eq!(shown(0), "0s");
        assert_eq!(shown(192), "3m12s");
        assert_eq!(shown(3_600), "1h00m");
        assert_eq!(shown(187_200), "2d04h");
    }

    #[test]
    fn bytes_are_cut_to_one_digit_after_the_point() {
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(1_999), "1.9 kB");
        assert_eq!(bytes(12_345_678), "12.3 MB");
        assert_eq!(bytes(u64::MAX), "18446744.0 TB");
    }

    #[test]
    fn what_was_not_measured_is_a_dash() {
        assert_eq!(millis(None), "-");
        assert_eq!(age(None, SystemTime::UNIX_EPOCH), "-");
        assert_eq!(local(None, &TimeZone::UTC), "-");
        let rtt = ProtoDuration {
            seconds: 0,
            nanos: 12_312_000,
        };
        assert_eq!(millis(Some(&rtt)), "12.31 ms");
        assert_eq!(percent(0.0005), "0.05 %");
    }

    #[test]
    fn times_are_shown_where_the_reader_is() {
        let at = Timestamp {
            seconds: 1_795_257_301,
            nanos: 0,
        };
        let east = TimeZone::fixed(jiff::tz::offset(1));
        assert_eq!(local(Some(&at), &east), "2026-11-21T11:35:01+01:00");
        assert_eq!(
            local_to_the_millisecond(Some(&at), &east),
            "2026-11-21T11:35:01.000+01:00"
        );
        assert_eq!(rfc3339(Some(&at)).as_deref(), Some("2026-11-21T10:35:01Z"));
    }
}
