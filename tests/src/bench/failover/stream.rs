//! A stream of numbered packets one way, to host after host all over a table.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use rustix::net::sockopt;

use crate::lab::netns::Namespace;

/// Discard (RFC 863): nobody answers.
const PORT: u16 = 9;
/// How long the last packets may be under way.
const GRACE: Duration = Duration::from_millis(200);
/// A receiver that has to wait for a processor loses nothing.
const ROOM: usize = 64 << 20;
/// A prime, so that neighbours in the stream are none in the table.
const STRIDE: usize = 7919;

/// One that runs. Dropping it stops it.
#[derive(Debug)]
pub struct Stream {
    on: Arc<AtomicBool>,
    sender: Option<JoinHandle<Result<Vec<Instant>>>>,
    receiver: Option<JoinHandle<Result<Vec<u32>>>>,
    listening: Arc<AtomicBool>,
}

impl Stream {
    /// Sends `per_second` packets from one host to these, which are all the other one.
    ///
    /// # Errors
    ///
    /// When a socket cannot be opened.
    pub fn start(
        from: &Namespace,
        to: &Namespace,
        hosts: Vec<IpAddr>,
        per_second: u32,
    ) -> Result<Self> {
        let any = IpAddr::from(Ipv6Addr::UNSPECIFIED);
        let open =
            |namespace: &Namespace, port| namespace.inside(|| Ok(UdpSocket::bind((any, port))?));
        let receiving = open(to, PORT)?;
        sockopt::set_socket_recv_buffer_size_force(&receiving, ROOM)?;
        receiving.set_read_timeout(Some(Duration::from_millis(50)))?;
        let sending = match hosts.first() {
            Some(IpAddr::V4(_)) => from.inside(|| Ok(UdpSocket::bind("0.0.0.0:0")?))?,
            Some(IpAddr::V6(_)) | None => open(from, 0)?,
        };
        let on = Arc::new(AtomicBool::new(true));
        let listening = Arc::new(AtomicBool::new(true));
        let gap = Duration::from_secs(1) / per_second;
        Ok(Self {
            sender: Some(thread::spawn({
                let on = on.clone();
                move || {
                    super::run_first()?;
                    send(&sending, &hosts, gap, &on)
                }
            })),
            receiver: Some(thread::spawn({
                let listening = listening.clone();
                move || receive(&receiving, &listening)
            })),
            on,
            listening,
        })
    }

    /// Stops it and tells what happened.
    ///
    /// # Errors
    ///
    /// When a socket failed.
    pub fn finish(mut self) -> Result<Report> {
        self.on.store(false, Ordering::Relaxed);
        let sent = join(self.sender.take())?;
        thread::sleep(GRACE);
        self.listening.store(false, Ordering::Relaxed);
        let mut arrived = vec![false; sent.len()];
        for number in join(self.receiver.take())? {
            if let Some(arrived) = arrived.get_mut(usize::try_from(number)?) {
                *arrived = true;
            }
        }
        Ok(Report { sent, arrived })
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.on.store(false, Ordering::Relaxed);
        self.listening.store(false, Ordering::Relaxed);
    }
}

/// What became of a stream.
#[derive(Debug)]
pub struct Report {
    /// When the packet of that number left.
    sent: Vec<Instant>,
    arrived: Vec<bool>,
}

impl Report {
    /// How many that left in this time never came.
    pub fn lost(&self, from: Instant, to: Instant) -> usize {
        self.missing().filter(|at| (from..to).contains(at)).count()
    }

    /// When the last one that never came left, in this time.
    pub fn last_lost(&self, from: Instant, to: Instant) -> Option<Instant> {
        self.missing().filter(|at| (from..to).contains(at)).last()
    }

    fn missing(&self) -> impl Iterator<Item = Instant> {
        let all = self.sent.iter().zip(&self.arrived);
        all.filter_map(|(at, arrived)| (!arrived).then_some(*at))
    }
}

fn join<T>(thread: Option<JoinHandle<Result<T>>>) -> Result<T> {
    let thread = thread.context("a stream is finished once")?;
    thread
        .join()
        .map_err(|_panic| anyhow!("thread of a stream panicked"))?
}

fn send(
    socket: &UdpSocket,
    hosts: &[IpAddr],
    gap: Duration,
    on: &AtomicBool,
) -> Result<Vec<Instant>> {
    let mut sent = Vec::new();
    let mut due = Instant::now();
    while on.load(Ordering::Relaxed) {
        let place = sent.len().wrapping_mul(STRIDE) % hosts.len().max(1);
        let host = hosts.get(place).context("nobody to send to")?;
        let number = u32::try_from(sent.len()).context("more than 2^32 packets")?;
        sent.push(Instant::now());
        // One that cannot leave does not arrive.
        let _ = socket.send_to(&number.to_be_bytes(), SocketAddr::new(*host, PORT));
        due += gap;
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    Ok(sent)
}

fn receive(socket: &UdpSocket, on: &AtomicBool) -> Result<Vec<u32>> {
    let mut numbers = Vec::new();
    let mut buffer = [0; 4];
    while on.load(Ordering::Relaxed) {
        if let Ok(4) = socket.recv(&mut buffer) {
            numbers.push(u32::from_be_bytes(buffer));
        }
    }
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_counts_in_the_time_in_which_it_left() {
        let zero = Instant::now();
        let at = |millis| zero + Duration::from_millis(millis);
        let report = Report {
            sent: (0..5).map(|number| at(number * 10)).collect(),
            arrived: vec![true, false, false, true, false],
        };
        assert_eq!(report.lost(at(0), at(25)), 2);
        assert_eq!(report.last_lost(at(0), at(25)), Some(at(20)));
        assert_eq!(report.lost(at(25), at(40)), 0);
        assert_eq!(report.lost(at(25), at(41)), 1);
    }
}
