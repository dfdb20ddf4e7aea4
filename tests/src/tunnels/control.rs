//! IPsec where the kernel has none: our driver and two strongSwans with ESP of their own. No packet passes; time and
//! memory are those of IKE.

use std::fmt;
use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tunnels::ipsec::driver::Handle;
use tunnels::ipsec::machine::State;
use tunnels::ipsec::vici::{Client, Message};
use tunnels::spec::{Auth, Hidden, IkeVersion, Initiator, IpsecSpec, NatTraversal, Selectors};

use super::pair::{Side, outside, plug};
use super::weigh::resident;
use crate::interrupt;
use crate::lab::netns::Namespace;
use crate::lab::scratch::Scratch;
use crate::lab::strongswan::StrongSwan;

const PATIENCE: Duration = Duration::from_secs(300);

/// What so many tunnels took.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    tunnels: u16,
    /// Until all of them were up.
    time: Duration,
    /// From an order to end the first until its state says so.
    end: Duration,
    /// Of the calling strongSwan without any tunnel, in KiB.
    empty: u64,
    /// With all of them.
    full: u64,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let each = self.full.saturating_sub(self.empty) / u64::from(self.tunnels.max(1));
        write!(
            f,
            "ipsec, ESP in strongSwan {:>6} tunnels: all established {:.0} ms after the first was wanted; one ended: known \
             {:.1} ms after the order; strongSwan {each} KiB a tunnel, {} KiB in all",
            self.tunnels,
            self.time.as_secs_f64() * 1e3,
            self.end.as_secs_f64() * 1e3,
            self.full
        )
    }
}

/// Brings up so many tunnels at once.
///
/// # Errors
///
/// When one does not come up.
pub fn run(tunnels: u16) -> Result<Figures> {
    let mut scratch = Scratch::new("tc")?;
    let namespaces = [scratch.namespace("near")?, scratch.namespace("far")?];
    plug(&namespaces, tunnels, scratch.directory())?;
    let [near, far] = &namespaces;
    let caller = StrongSwan::start(near, &scratch.directory().join("near"))?;
    let called = StrongSwan::start(far, &scratch.directory().join("far"))?;
    let pid = charon(near)?;
    let empty = resident(pid)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (time, end, full) = runtime.block_on(async {
        let mut waiting = Handle::start(&called.socket(), 2);
        want(&mut waiting, Side::Far, tunnels).await?;
        waiting.complete().await;
        settle(
            &mut waiting,
            tunnels,
            |state| matches!(state, State::Down(reason) if reason.starts_with("waiting")),
        )
        .await?;
        let mut calling = Handle::start(&caller.socket(), 1);
        let start = Instant::now();
        want(&mut calling, Side::Near, tunnels).await?;
        calling.complete().await;
        settle(&mut calling, tunnels, |state| matches!(state, State::Up(_))).await?;
        let (time, full) = (start.elapsed(), resident(pid)?);
        anyhow::Ok((time, end_of_first(&mut calling, &caller).await?, full))
    })?;
    Ok(Figures {
        tunnels,
        time,
        end,
        empty,
        full,
    })
}

/// Ends the first tunnel behind the driver's back; how long that takes, with what strongSwan needs for it.
async fn end_of_first(handle: &mut Handle, strongswan: &StrongSwan) -> Result<Duration> {
    let mut client = Client::connect(&strongswan.socket()).await?;
    let message = Message::new()
        .with("ike", "skybridge-t0")
        .with("force", "yes")
        .with("timeout", "-1");
    let start = Instant::now();
    let (ordered, known) = tokio::join!(client.call("terminate", &message), async {
        settle(handle, 1, |state| matches!(state, State::Down(_))).await?;
        anyhow::Ok(start.elapsed())
    });
    ordered?;
    known
}

async fn want(handle: &mut Handle, side: Side, tunnels: u16) -> Result<()> {
    for tunnel in 0..tunnels {
        handle
            .want(&format!("t{tunnel}"), &spec(side, tunnel)?)
            .await;
    }
    Ok(())
}

async fn settle(handle: &mut Handle, tunnels: u16, holds: fn(&State) -> bool) -> Result<()> {
    let settled = async {
        let mut tunnel = 0;
        while tunnel < tunnels {
            let standing = handle.standing(&format!("t{tunnel}"));
            if standing.is_some_and(|standing| holds(&standing.state)) {
                tunnel += 1;
            } else {
                handle.changed().await;
            }
        }
    };
    tokio::select! {
        settled = tokio::time::timeout(PATIENCE, settled) => settled.context("a tunnel does not come up"),
        () = interrupt::arrival() => interrupt::check(),
    }
}

fn spec(side: Side, tunnel: u16) -> Result<IpsecSpec> {
    let (local, remote) = outside(side, tunnel);
    Ok(IpsecSpec {
        if_id: u32::from(tunnel + 1).try_into()?,
        local: Some(local.parse()?),
        remote: remote.parse()?,
        local_id: None,
        remote_id: None,
        auth: Auth::Psk(Hidden::new(b"a.Secret_of-32.characters".to_vec().into())),
        version: IkeVersion::V2,
        ike: vec!["aes256gcm16-prfsha256-ecp256".to_owned()],
        esp: vec!["aes256gcm16".to_owned()],
        ike_lifetime: Duration::from_secs(28_800),
        esp_lifetime: Duration::from_secs(3600),
        dpd: Duration::from_secs(30),
        initiator: match side {
            Side::Near => Initiator::Us,
            Side::Far => Initiator::Them,
        },
        // Its own ESP knows no other way.
        nat_traversal: NatTraversal::Forced,
        selectors: Selectors::V4,
    })
}

/// The strongSwan in this namespace.
fn charon(namespace: &Namespace) -> Result<u32> {
    let is_charon = |pid: &i32| {
        let name = fs::read_to_string(format!("/proc/{pid}/comm"));
        name.is_ok_and(|name| name.trim() == "charon")
    };
    let pid = namespace.pids()?.into_iter().find(is_charon);
    Ok(u32::try_from(pid.context("no charon")?)?)
}
