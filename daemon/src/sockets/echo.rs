//! Who may open a ping socket: Linux has a range of groups for that (`icmp_socket`, ip-sysctl).
//!
//! Such a socket is found by the identifier of a reply. A raw one has every ICMP message of the host offered,
//! so that each costs as much as there are links.

use std::{fs, io};

/// Covers IPv6 too.
const GROUPS: &str = "/proc/sys/net/ipv4/ping_group_range";

/// Has our group in the range, which keeps what it has.
///
/// # Errors
///
/// The setting could not be read or written.
pub(crate) fn permit() -> io::Result<()> {
    let ours = rustix::process::getegid().as_raw();
    match widened(&fs::read_to_string(GROUPS)?, ours) {
        Some(range) => fs::write(GROUPS, range),
        None => Ok(()),
    }
}

/// What has to be written; `None` if the group is in the range. One that ends before it begins is empty.
fn widened(range: &str, group: u32) -> Option<String> {
    let mut ends = range.split_whitespace().map(str::parse::<u32>);
    let (first, last) = match (ends.next(), ends.next()) {
        (Some(Ok(first)), Some(Ok(last))) if (first..=last).contains(&group) => return None,
        (Some(Ok(first)), Some(Ok(last))) if first <= last => (first.min(group), last.max(group)),
        _ => (group, group),
    };
    Some(format!("{first} {last}"))
}

/// Says what to do where the kernel refuses a socket.
pub(super) fn explained(error: io::Error) -> io::Error {
    if error.kind() != io::ErrorKind::PermissionDenied {
        return error;
    }
    let ours = rustix::process::getegid().as_raw();
    let text = format!("{error}: net.ipv4.ping_group_range leaves out our group, {ours}");
    io::Error::new(error.kind(), text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_range_of_groups_is_widened_by_ours_and_by_no_more() {
        assert_eq!(widened("1\t0\n", 0).as_deref(), Some("0 0"));
        assert_eq!(widened("1\t0\n", 1).as_deref(), Some("1 1"));
        assert_eq!(widened("1\t0\n", 998).as_deref(), Some("998 998"));
        assert_eq!(widened("0\t2147483647\n", 998), None);
        assert_eq!(widened("998\t998\n", 998), None);
        assert_eq!(widened("100\t200\n", 998).as_deref(), Some("100 998"));
        assert_eq!(widened("1000\t1000\n", 998).as_deref(), Some("998 1000"));
        assert_eq!(widened("", 998).as_deref(), Some("998 998"));
    }
}
