//! What is forwarded over a link, as nftables sees it: counted, and in a drill held up. \[boundary\]
//!
//! Each tap is a table of its own. What it holds up it holds up for [`LEASE`] only, unless that is renewed:
//! the kernel itself lets packets pass again when nobody is left to ask for the contrary.

use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use links::Packets;
use tunnels::backend::nft;

/// How long packets are held up without a renewal.
const LEASE: Duration = Duration::from_secs(4);
/// How often that is due.
pub(crate) const RENEWAL: Duration = Duration::from_secs(1);
/// All our tables here begin so.
const DRILL: &str = "skybridge-drill";

/// What becomes of packets.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Hold {
    /// All are dropped.
    All,
    /// Part of them, 0 to 1, chosen at random.
    Part(f64),
}

/// The drops of a drill on one interface.
#[derive(Debug)]
pub(crate) struct Tap {
    interface: String,
    hold: Hold,
}

impl Tap {
    /// Nothing is held up before [`Tap::set`].
    pub(crate) fn new(interface: &str, hold: Hold) -> Self {
        Self {
            interface: interface.to_owned(),
            hold,
        }
    }

    /// Begins, with counters at zero.
    ///
    /// # Errors
    ///
    /// There is no nftables, or the kernel refuses: nothing has changed.
    pub(crate) async fn set(&self) -> io::Result<()> {
        nft::run(&self.ruleset()).await.map(drop)
    }

    /// Goes on for another lease.
    ///
    /// # Errors
    ///
    /// See [`Tap::set`]; what is held up passes again soon.
    pub(crate) async fn renew(&self) -> io::Result<()> {
        let element = self.element();
        let text = format!(
            "flush set inet {DRILL} links\nadd element inet {DRILL} links {{ {element} }}\n"
        );
        nft::run(&text).await.map(drop)
    }

    /// Ends. Packets that were to be forwarded and were dropped.
    ///
    /// # Errors
    ///
    /// See [`Tap::set`]; what is held up passes again soon.
    pub(crate) async fn remove(&self) -> io::Result<Packets> {
        let list =
            format!("list counter inet {DRILL} transmit\nlist counter inet {DRILL} receive\n");
        let counters = nft::run(&list).await;
        clear().await?;
        let mut packets = counters?.lines().filter_map(packets).collect::<Vec<_>>();
        let receive = packets.pop().unwrap_or_default();
        let transmit = packets.pop().unwrap_or_default();
        Ok(Packets { transmit, receive })
    }

    fn element(&self) -> String {
        format!("\"{}\" timeout {}s", self.interface, LEASE.as_secs())
    }

    /// Hellos, probes and sessions of our own suffer as well, but only what is forwarded is counted.
    fn ruleset(&self) -> String {
        let which = match self.hold {
            Hold::All => String::new(),
            // Four digits: a part in ten thousand is the least that makes sense.
            Hold::Part(ratio) => format!(
                "numgen random mod 10000 < {:.0} ",
                ratio.clamp(0.0, 1.0) * 1e4
            ),
        };
        let mut text = removal();
        let _ = write!(
            text,
            "table inet {DRILL} {{\n  \
             set links {{\n    type ifname\n    flags timeout\n    elements = {{ {} }}\n  }}\n  \
             counter transmit {{ }}\n  counter receive {{ }}\n",
            self.element()
        );
        for (hook, rules) in [
            ("input", &[("iifname", "")][..]),
            ("output", &[("oifname", "")]),
            (
                "forward",
                &[
                    ("iifname", "counter name receive "),
                    ("oifname", "counter name transmit "),
                ],
            ),
        ] {
            let _ = writeln!(
                text,
                "  chain {hook} {{\n    type filter hook {hook} priority raw"
            );
            for (direction, counted) in rules {
                let _ = writeln!(text, "    {direction} @links {which}{counted}drop");
            }
            text.push_str("  }\n");
        }
        text.push_str("}\n");
        text
    }
}

/// Removes what an earlier life left.
///
/// # Errors
///
/// `nft` runs and fails. Where there is none, nothing was left.
pub(crate) async fn clear() -> io::Result<()> {
    match nft::run(&removal()).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done.map(drop),
    }
}

/// To delete what is not there is an error, to add what is there is none.
fn removal() -> String {
    format!("add table inet {DRILL}\ndelete table inet {DRILL}\n")
}

/// The number in a line like `packets 12 bytes 1008`.
fn packets(line: &str) -> Option<u64> {
    let mut words = line.split_whitespace();
    (words.next()? == "packets").then(|| words.next()?.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_drill_drops_passes_again_when_nobody_renews_it() {
        let text = Tap::new("sb-wg-a", Hold::All).ruleset();
        assert!(
            text.contains("elements = { \"sb-wg-a\" timeout 4s }"),
            "{text}"
        );
        // Without the set, no rule.
        let drops = text.lines().filter(|line| line.contains("drop"));
        assert_eq!(drops.clone().count(), 4);
        assert!(
            drops.into_iter().all(|line| line.contains("@links")),
            "{text}"
        );
    }

    #[test]
    fn a_part_is_chosen_at_random() {
        let text = Tap::new("sb-wg-a", Hold::Part(0.05)).ruleset();
        assert!(
            text.contains("iifname @links numgen random mod 10000 < 500 counter name receive drop"),
            "{text}"
        );
    }

    #[test]
    fn counters_are_read_from_what_nft_prints() {
        assert_eq!(packets("\t\tpackets 12 bytes 1008"), Some(12));
        assert_eq!(packets("\tcounter transmit {"), None);
        assert_eq!(packets("packets many"), None);
    }
}
