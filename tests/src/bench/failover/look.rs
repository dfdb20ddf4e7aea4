//! Which way hosts are led, seen from the router while it happens.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};

use crate::lab::netns::Namespace;

/// Between two looks at the sample.
const LOOK: Duration = Duration::from_millis(1);
/// Hosts that are looked at.
const SAMPLE: usize = 64;
/// Nothing is sent there.
const PORT: u16 = 9;

/// From all over the table, the first and the last among them.
pub fn sample(hosts: &[IpAddr]) -> Vec<IpAddr> {
    let step = (hosts.len() / SAMPLE).max(1);
    let mut sample: Vec<IpAddr> = hosts.iter().copied().step_by(step).collect();
    sample.extend(hosts.last().copied());
    sample.dedup();
    sample
}

/// Looks at the way to the hosts of a sample until it is the other one for each.
#[derive(Debug)]
pub struct Look {
    on: Arc<AtomicBool>,
    /// It has been the other one for each.
    pub all_seen: Arc<AtomicBool>,
    thread: JoinHandle<Result<Seen>>,
}

/// When the first host of a sample was seen to be led elsewhere, and when the last.
pub type Seen = (Instant, Instant);

impl Look {
    /// Whoever is led the other way leaves from the address `ours`.
    ///
    /// # Errors
    ///
    /// When the namespace is gone.
    pub fn start(namespace: &Namespace, sample: Vec<IpAddr>, ours: IpAddr) -> Result<Self> {
        let on = Arc::new(AtomicBool::new(true));
        let all_seen = Arc::new(AtomicBool::new(false));
        let thread = thread::spawn({
            let (on, all_seen, namespace) = (on.clone(), all_seen.clone(), namespace.clone());
            move || {
                namespace.enter()?;
                let seen = look(sample, ours, &on);
                all_seen.store(true, Ordering::Relaxed);
                seen
            }
        });
        Ok(Self {
            on,
            all_seen,
            thread,
        })
    }

    /// Stops looking.
    ///
    /// # Errors
    ///
    /// When no host was led elsewhere, or a socket failed.
    pub fn finish(self) -> Result<Seen> {
        self.on.store(false, Ordering::Relaxed);
        self.thread
            .join()
            .map_err(|_panic| anyhow!("the thread that looks panicked"))?
    }
}

fn look(mut sample: Vec<IpAddr>, ours: IpAddr, on: &AtomicBool) -> Result<Seen> {
    let mut seen: Option<Seen> = None;
    while on.load(Ordering::Relaxed) && !sample.is_empty() {
        let mut left = Vec::new();
        for host in sample {
            if source(host)? == Some(ours) {
                let now = Instant::now();
                seen = Some((seen.map_or(now, |(first, _)| first), now));
            } else {
                left.push(host);
            }
        }
        sample = left;
        thread::sleep(LOOK);
    }
    seen.context("no host was led elsewhere")
}

/// From which address a packet to `host` would leave: that of the interface that the kernel chose; `None` if there is
/// no way. Asked of a socket, since a question over netlink may wait for the lock that changes hold.
fn source(host: IpAddr) -> Result<Option<IpAddr>> {
    let any = match host {
        IpAddr::V4(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::from(Ipv6Addr::UNSPECIFIED),
    };
    let socket = UdpSocket::bind((any, 0))?;
    match socket.connect((host, PORT)) {
        Ok(()) => Ok(Some(socket.local_addr()?.ip())),
        Err(_) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_has_the_first_and_the_last_host() {
        for count in [1_u32, 5, 64, 1_000] {
            let hosts: Vec<IpAddr> = (0..count).map(|n| IpAddr::V4(n.into())).collect();
            let sample = sample(&hosts);
            assert_eq!(sample.first(), hosts.first());
            assert_eq!(sample.last(), hosts.last());
            assert!(sample.len() <= 2 * SAMPLE, "{}", sample.len());
        }
    }
}
