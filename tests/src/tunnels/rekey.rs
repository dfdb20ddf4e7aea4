//! One IPsec link between two routers: how soon it is there, and what is lost while its keys change.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal};
use tunnels::ipsec::vici::{Client, Message};

use super::Kind;
use super::pair::{Pair, Side, inside};
use crate::interrupt;
use crate::lab::nva::Nva;
use crate::lab::process::wait_for;
use crate::lab::strongswan::StrongSwan;

const PATIENCE: Duration = Duration::from_secs(120);
/// Between two packets of the stream.
const EVERY: &str = "0.01";
/// Between two changes of keys.
const PAUSE: Duration = Duration::from_secs(2);
const NAME: &str = "skybridge-t0";

/// What is made anew.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rekey {
    /// The association that carries packets.
    Child,
    /// The one that speaks for it.
    Ike,
}

/// What a stream lost.
#[derive(Clone, Copy, Debug)]
pub struct Loss {
    /// Packets that were sent.
    pub sent: u32,
    /// Packets that nobody answered.
    pub lost: u32,
}

/// From `skybridge reload` with one more link to packets through it.
///
/// # Errors
///
/// When it does not come up.
pub fn times(runs: u8) -> Result<Vec<Duration>> {
    let mut pair = Pair::build(Kind::Ipsec, 1)?;
    pair.start(0)?;
    pair.configure(Side::Far, 1)?;
    pair.reload(Side::Far)?;
    let mut times = Vec::new();
    for _ in 0..runs {
        interrupt::check()?;
        pair.configure(Side::Near, 1)?;
        let start = Instant::now();
        pair.reload(Side::Near)?;
        wait_for("an established link", PATIENCE, || {
            let links = pair.router(Side::Near).links()?;
            let up = links
                .first()
                .is_some_and(|link| link.state() == api::v1::LinkState::Up);
            ensure!(up, "not up");
            Ok(())
        })?;
        times.push(start.elapsed());
        pair.configure(Side::Near, 0)?;
        pair.reload(Side::Near)?;
        // The far end has to hear of the end before it is called again.
        interrupt::sleep(PAUSE)?;
    }
    times.sort_unstable();
    Ok(times)
}

/// From an order to strongSwan to end a tunnel until its link is down, as people are told. Nothing else speaks on it.
///
/// # Errors
///
/// When it does not come up, or not down.
pub fn ends(runs: u8) -> Result<Vec<Duration>> {
    let mut pair = Pair::build(Kind::Ipsec, 1)?;
    pair.start(1)?;
    let mut times = Vec::new();
    for _ in 0..runs {
        pair.wait_until_up(Side::Near, 1)?;
        // What has just come up has come to rest.
        interrupt::sleep(PAUSE)?;
        let known = falls(pair.router(Side::Near))?.len();
        let ordered = SystemTime::now();
        terminate(pair.strongswan(Side::Near)?)?;
        let fell = wait_for("the link down", PATIENCE, || {
            let fallen = falls(pair.router(Side::Near))?;
            fallen.get(known).copied().context("not down")
        })?;
        times.push(fell.duration_since(ordered).unwrap_or_default());
    }
    times.sort_unstable();
    Ok(times)
}

/// Ends it without words to the far end, which takes as long as those would.
fn terminate(strongswan: &StrongSwan) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let message = Message::new()
        .with("ike", NAME)
        .with("force", "yes")
        .with("timeout", "-1");
    runtime.block_on(async {
        let mut client = Client::connect(&strongswan.socket()).await?;
        client.call("terminate", &message).await.map(drop)
    })?;
    Ok(())
}

/// When links have gone down, by the router's journal.
fn falls(router: &Nva) -> Result<Vec<SystemTime>> {
    let events = router.events()?.into_iter();
    let falls = events.filter(|event| event.kind == "link-state" && event.text.starts_with("down"));
    let at = falls.map(|event| Ok(event.at.context("an event has a time")?.try_into()?));
    at.collect()
}

/// Changes keys so often under a stream of packets.
///
/// # Errors
///
/// When the link does not come up or strongSwan refuses.
pub fn losses(rekey: Rekey, times: u8) -> Result<Loss> {
    let mut pair = Pair::build(Kind::Ipsec, 1)?;
    pair.start(1)?;
    pair.wait_until_up(Side::Near, 1)?;
    let (_, far) = inside(Side::Near, 0);
    wait_for("a ping through it", PATIENCE, || {
        let words = ["-n", "-c", "1", "-W", "1", far.as_str()];
        pair.namespace(Side::Near).run("ping", &words)
    })?;
    let mut ping = pair.namespace(Side::Near).command("ping");
    let mut ping = ping
        .args(["-n", "-q", "-i", EVERY, "-W", "5", &far])
        .stdout(Stdio::piped())
        .spawn()?;
    let what = match rekey {
        Rekey::Child => "--child",
        Rekey::Ike => "--ike",
    };
    let rekeyed = (0..times).try_for_each(|_| {
        interrupt::sleep(PAUSE)?;
        let strongswan = pair.strongswan(Side::Near)?;
        strongswan.swanctl(&["--rekey", what, NAME]).map(drop)
    });
    let rested = rekeyed.and_then(|()| interrupt::sleep(PAUSE));
    rested.and(summary(&mut ping))
}

/// Ends a ping and reads what it counted.
fn summary(ping: &mut Child) -> Result<Loss> {
    rustix::process::kill_process(Pid::from_child(ping), Signal::INT)?;
    let mut said = String::new();
    let mut stdout = ping.stdout.take().context("piped")?;
    std::io::Read::read_to_string(&mut stdout, &mut said)?;
    ping.wait()?;
    counted(&said).with_context(|| format!("ping says {said}"))
}

/// `200 packets transmitted, 199 received, …`; the last one may be under way.
fn counted(said: &str) -> Option<Loss> {
    let line = said.lines().find(|line| line.contains("transmitted"))?;
    let mut numbers = line.split_whitespace();
    let sent: u32 = numbers.next()?.parse().ok()?;
    let received: u32 = numbers.nth(2)?.parse().ok()?;
    let lost = sent.saturating_sub(received + 1);
    Some(Loss { sent, lost })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_read_from_what_ping_counts_and_its_last_packet_is_none() {
        let of = |received| {
            let said = format!("\n900 packets transmitted, {received} received, 0% packet loss\n");
            counted(&said).map(|loss| (loss.sent, loss.lost))
        };
        assert_eq!(of(899), Some((900, 0)));
        assert_eq!(of(890), Some((900, 9)));
        assert_eq!(counted("nothing").map(|loss| loss.sent), None);
    }
}
