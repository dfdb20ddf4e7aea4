//! What is forwarded over a link, as nftables sees it: counted, and in a drill held up. \[boundary\]
//!
//! Each [`Meter`] and each [`Tap`] is a table of its own. What a tap holds up it holds up for [`LEASE`] only, unless that is renewed:
//! the kernel itself lets packets pass again when nobody is left to ask for the contrary. What only delays
//! them has a [queue](delay) on the interface as well, which holds nothing that the table does not send there.

pub(crate) mod delay;

use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use links::Packets;
use tunnels::backend::nft;

/// How long packets are held up without a renewal.
const LEASE: Duration = Duration::from_secs(4);
/// How often that is due.
pub(crate) const RENEWAL: Duration = Duration::from_secs(1);
/// A delayed packet is out of its queue so long after it is due, on a busy machine as well.
const SPARE: Duration = Duration::from_millis(100);
/// The table of a drill.
const DRILL: &str = "skybridge-drill";
/// How the tables of meters begin.
const METER: &str = "skybridge-meter-";

/// What becomes of packets.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Hold {
    /// All are dropped.
    All,
    /// Part of them, 0 to 1, chosen at random.
    Part(f64),
    /// Those that leave do so later.
    Late(Duration),
}

/// What a drill does to packets on one interface.
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
        let Hold::Late(by) = self.hold else {
            return nft::run(&self.ruleset()).await.map(drop);
        };
        delay::set(&self.interface, by)?;
        let done = nft::run(&self.ruleset()).await;
        if done.is_err() {
            delay::remove(&self.interface)?;
        }
        done.map(drop)
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
        let counted = counted(DRILL).await;
        nft::run(&removal(DRILL)).await?;
        let Hold::Late(by) = self.hold else {
            return counted;
        };
        // What is in the queue leaves it first.
        tokio::time::sleep(by + SPARE).await;
        let transmit = delay::remove(&self.interface)?;
        Ok(Packets {
            transmit,
            receive: 0,
        })
    }

    fn element(&self) -> String {
        format!("\"{}\" timeout {}s", self.interface, LEASE.as_secs())
    }

    /// Hellos, probes and sessions of our own suffer as well, but only what is forwarded is counted.
    fn ruleset(&self) -> String {
        let mut text = removal(DRILL);
        let _ = write!(
            text,
            "table inet {DRILL} {{\n  \
             set links {{\n    type ifname\n    flags timeout\n    elements = {{ {} }}\n  }}\n  \
             counter transmit {{ }}\n  counter receive {{ }}\n",
            self.element()
        );
        match self.hold {
            Hold::All => drops(&mut text, ""),
            // Four digits: a part in ten thousand is the least that makes sense.
            Hold::Part(ratio) => {
                let part = ratio.clamp(0.0, 1.0) * 1e4;
                drops(&mut text, &format!("numgen random mod 10000 < {part:.0} "));
            }
            Hold::Late(_) => {
                let band = delay::BAND;
                // After everybody else who may set a priority.
                let _ = writeln!(
                    text,
                    "  chain postrouting {{\n    type filter hook postrouting priority 300\n    \
                     oifname @links meta priority set {band}\n  }}"
                );
            }
        }
        text.push_str("}\n");
        text
    }
}

/// Adds the chains that drop.
///
/// - `which`: of the packets, as nftables words it; ends in a blank
fn drops(text: &mut String, which: &str) {
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
}

/// Counts what is forwarded over an interface, from [`Meter::start`] on.
#[derive(Debug)]
pub(crate) struct Meter {
    table: String,
}

impl Meter {
    /// - `number`: unlike that of any other meter at the same time
    ///
    /// # Errors
    ///
    /// There is no nftables, or the kernel refuses: nothing has changed.
    pub(crate) async fn start(interface: &str, number: u32) -> io::Result<Self> {
        let table = format!("{METER}{number}");
        let ruleset = format!(
            "{}table inet {table} {{\n  counter transmit {{ }}\n  counter receive {{ }}\n  \
             chain forward {{\n    type filter hook forward priority raw\n    \
             iifname \"{interface}\" counter name receive\n    \
             oifname \"{interface}\" counter name transmit\n  }}\n}}\n",
            removal(&table)
        );
        nft::run(&ruleset).await?;
        Ok(Self { table })
    }

    /// Packets that were to be forwarded over it.
    ///
    /// # Errors
    ///
    /// Somebody has taken the table away.
    pub(crate) async fn read(&self) -> io::Result<Packets> {
        counted(&self.table).await
    }

    /// Ends it.
    ///
    /// # Errors
    ///
    /// As `nft` does.
    pub(crate) async fn stop(self) -> io::Result<()> {
        nft::run(&removal(&self.table)).await.map(drop)
    }
}

/// Removes what an earlier life left.
///
/// # Errors
///
/// `nft` runs and fails, or the kernel refuses. Where there is no `nft`, nothing was left.
pub(crate) async fn clear() -> io::Result<()> {
    clear_tables().await?;
    delay::clear()
}

async fn clear_tables() -> io::Result<()> {
    let tables = match nft::run("list tables inet\n").await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        tables => tables?,
    };
    let names = tables
        .lines()
        .filter_map(|line| line.strip_prefix("table inet "));
    let ours = names.filter(|name| *name == DRILL || name.starts_with(METER));
    let text: String = ours.map(removal).collect();
    match text.is_empty() {
        true => Ok(()),
        false => nft::run(&text).await.map(drop),
    }
}

/// To delete what is not there is an error, to add what is there is none.
fn removal(table: &str) -> String {
    format!("add table inet {table}\ndelete table inet {table}\n")
}

/// What a table of ours has counted.
async fn counted(table: &str) -> io::Result<Packets> {
    let list = format!("list counter inet {table} transmit\nlist counter inet {table} receive\n");
    let listed = nft::run(&list).await?;
    let mut counts = listed.lines().filter_map(packets);
    match (counts.next(), counts.next()) {
        (Some(transmit), Some(receive)) => Ok(Packets { transmit, receive }),
        _ => Err(io::Error::other("nft lists no counters")),
    }
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
    fn what_is_delayed_is_delayed_for_as_long_as_somebody_renews_it() {
        let text = Tap::new("sb-wg-a", Hold::Late(Duration::from_millis(80))).ruleset();
        assert!(!text.contains("drop"), "{text}");
        assert!(
            text.contains("oifname @links meta priority set 5b00:2"),
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
