//! A steady stream of numbered packets between two hosts, and what became of each.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};

use rustix::net::sockopt;

use super::netns::Namespace;

/// UDP echo (RFC 862).
const ECHO_PORT: u16 = 7;
/// What a socket keeps while its thread waits for a processor: some seconds of packets, where the kernel's usual
/// 200 KiB are 30 ms.
const BUFFER: usize = 16 << 20;
/// How long answers are waited for after the last packet: on a busy machine the one who echoes may not have had a
/// processor for a second.
const GRACE: Duration = Duration::from_secs(2);

/// Number and time of each answer, as they came.
type Answers = Vec<(u32, Instant)>;

/// A stream that runs. Dropping it stops it.
#[derive(Debug)]
pub struct Flow {
    sending: Arc<AtomicBool>,
    listening: Arc<AtomicBool>,
    sender: Option<JoinHandle<Result<Vec<Instant>>>>,
    receiver: Option<JoinHandle<Result<Answers>>>,
    echo: Option<JoinHandle<Result<()>>>,
}

impl Flow {
    /// Sends `per_second` packets a second from one host, which the other one echoes.
    ///
    /// # Errors
    ///
    /// When a namespace cannot be entered or a socket cannot be opened.
    pub fn start(
        from: &Namespace,
        to: &Namespace,
        address: Ipv4Addr,
        per_second: u32,
    ) -> Result<Self> {
        Self::between((from, Ipv4Addr::UNSPECIFIED), (to, address), per_second)
    }

    /// The same from an address of the first host.
    ///
    /// # Errors
    ///
    /// See [`Flow::start`].
    pub fn between(
        (from, source): (&Namespace, Ipv4Addr),
        (to, address): (&Namespace, Ipv4Addr),
        per_second: u32,
    ) -> Result<Self> {
        let sending = Arc::new(AtomicBool::new(true));
        let listening = Arc::new(AtomicBool::new(true));
        let answering = open(to, SocketAddrV4::new(address, ECHO_PORT))?;
        let socket = open(from, SocketAddrV4::new(source, 0))?;
        socket.connect((address, ECHO_PORT))?;
        let socket = Arc::new(socket);
        let gap = Duration::from_secs(1) / per_second;
        let echo = spawn(&listening, move |on| run_echo(&answering, on));
        let receiver = spawn(&listening, {
            let socket = socket.clone();
            move |on| run_receiver(&socket, on)
        });
        let sender = spawn(&sending, move |on| run_sender(&socket, gap, on));
        Ok(Self {
            sending,
            listening,
            sender: Some(sender),
            receiver: Some(receiver),
            echo: Some(echo),
        })
    }

    /// Stops it, waits for answers under way, and tells what happened.
    ///
    /// # Errors
    ///
    /// When a socket failed.
    pub fn finish(mut self) -> Result<Report> {
        self.sending.store(false, Ordering::Relaxed);
        let sent = join(self.sender.take())?;
        thread::sleep(GRACE);
        self.listening.store(false, Ordering::Relaxed);
        let received = join(self.receiver.take())?;
        join(self.echo.take())?;
        Ok(Report { sent, received })
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        self.sending.store(false, Ordering::Relaxed);
        self.listening.store(false, Ordering::Relaxed);
    }
}

/// What became of a stream.
#[derive(Debug)]
pub struct Report {
    /// When the packet of that number left.
    sent: Vec<Instant>,
    received: Answers,
}

impl Report {
    /// Packets that left.
    pub fn sent(&self) -> usize {
        self.sent.len()
    }

    /// Packets without an answer.
    pub fn lost(&self) -> usize {
        let mut answered: Vec<u32> = self.received.iter().map(|(number, _)| *number).collect();
        answered.sort_unstable();
        answered.dedup();
        self.sent.len() - answered.len()
    }

    /// The longest time without an answer, from the first packet on: how long traffic stood still.
    pub fn longest_gap(&self) -> Duration {
        let Some((first, last)) = self.sent.first().zip(self.sent.last()) else {
            return Duration::ZERO;
        };
        let arrivals = self.received.iter().map(|(_, at)| *at);
        let mut longest = Duration::ZERO;
        let mut before = *first;
        for at in arrivals.chain([*last]) {
            longest = longest.max(at.saturating_duration_since(before));
            before = before.max(at);
        }
        longest
    }

    /// How long after `start` the first answer came, `None` if none did.
    pub fn first_answer_after(&self, start: Instant) -> Option<Duration> {
        let arrivals = self.received.iter().map(|(_, at)| *at);
        arrivals
            .filter_map(|at| at.checked_duration_since(start))
            .min()
    }

    /// Median round-trip time, `None` if nothing came back.
    pub fn median_rtt(&self) -> Option<Duration> {
        let mut times: Vec<Duration> = self
            .received
            .iter()
            .filter_map(|(number, at)| {
                let sent = self.sent.get(usize::try_from(*number).ok()?)?;
                Some(at.saturating_duration_since(*sent))
            })
            .collect();
        times.sort_unstable();
        times.get(times.len() / 2).copied()
    }
}

/// Opens a socket in a namespace, from a thread that goes there for that purpose.
fn open(namespace: &Namespace, local: SocketAddrV4) -> Result<UdpSocket> {
    let inside = namespace.clone();
    let opened = thread::spawn(move || -> Result<UdpSocket> {
        inside.enter()?;
        let socket = UdpSocket::bind(SocketAddr::V4(local))?;
        sockopt::set_socket_recv_buffer_size_force(&socket, BUFFER)?;
        socket.set_read_timeout(Some(Duration::from_millis(50)))?;
        Ok(socket)
    });
    let socket = opened
        .join()
        .map_err(|_panic| anyhow!("thread opening a socket panicked"))?;
    socket.with_context(|| format!("UDP socket {local} in {}", namespace.name()))
}

fn spawn<T: Send + 'static>(
    on: &Arc<AtomicBool>,
    run: impl FnOnce(&AtomicBool) -> Result<T> + Send + 'static,
) -> JoinHandle<Result<T>> {
    let on = on.clone();
    thread::spawn(move || run(&on))
}

fn join<T>(thread: Option<JoinHandle<Result<T>>>) -> Result<T> {
    let thread = thread.context("a flow is finished once")?;
    thread
        .join()
        .map_err(|_panic| anyhow!("thread of a flow panicked"))?
}

fn run_sender(socket: &UdpSocket, gap: Duration, on: &AtomicBool) -> Result<Vec<Instant>> {
    let mut sent = Vec::new();
    let mut due = Instant::now();
    while on.load(Ordering::Relaxed) {
        let number = u32::try_from(sent.len()).context("more than 2^32 packets")?;
        sent.push(Instant::now());
        // A host without a route refuses to send: for the stream that is a lost packet.
        let _ = socket.send(&number.to_be_bytes());
        due += gap;
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    Ok(sent)
}

fn run_receiver(socket: &UdpSocket, on: &AtomicBool) -> Result<Answers> {
    let mut received = Vec::new();
    let mut buffer = [0; 4];
    while on.load(Ordering::Relaxed) {
        // An ICMP error surfaces as a failed receive; what counts is that no answer came.
        if let Ok(4) = socket.recv(&mut buffer) {
            received.push((u32::from_be_bytes(buffer), Instant::now()));
        }
    }
    Ok(received)
}

fn run_echo(socket: &UdpSocket, on: &AtomicBool) -> Result<()> {
    let mut buffer = [0; 4];
    while on.load(Ordering::Relaxed) {
        if let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let answer = buffer
                .get(..length)
                .context("datagram longer than its buffer")?;
            // An answer that cannot leave is a lost packet, which the sender counts.
            let _ = socket.send_to(answer, from);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(sent: &[u64], received: &[(u32, u64)]) -> Report {
        let zero = Instant::now();
        let at = |ms: u64| zero + Duration::from_millis(ms);
        Report {
            sent: sent.iter().map(|ms| at(*ms)).collect(),
            received: received
                .iter()
                .map(|(number, ms)| (*number, at(*ms)))
                .collect(),
        }
    }

    #[test]
    fn gap_spans_the_packets_that_got_no_answer() {
        let report = report(&[0, 10, 20, 30, 40], &[(0, 1), (1, 11), (4, 41)]);
        assert_eq!(report.longest_gap(), Duration::from_millis(30));
        assert_eq!(report.lost(), 2);
        assert_eq!(report.median_rtt(), Some(Duration::from_millis(1)));
    }

    #[test]
    fn silence_at_the_end_is_a_gap_too() {
        let report = report(&[0, 10, 20, 500], &[(0, 1), (1, 11)]);
        assert_eq!(report.longest_gap(), Duration::from_millis(489));
    }

    #[test]
    fn first_answer_is_counted_from_the_start_that_is_asked_for() {
        let report = report(&[0, 10, 20], &[(0, 1), (2, 25)]);
        let zero = report.sent[0];
        let after = |ms: u64| report.first_answer_after(zero + Duration::from_millis(ms));
        assert_eq!(after(0), Some(Duration::from_millis(1)));
        assert_eq!(after(10), Some(Duration::from_millis(15)));
        assert_eq!(after(26), None);
    }

    #[test]
    fn duplicate_answers_do_not_hide_a_loss() {
        assert_eq!(report(&[0, 10], &[(0, 1), (0, 2)]).lost(), 1);
    }
}
