//! A small WAN in user space, for kernels without netem: two TUN devices in one network namespace,
//! and what enters one leaves the other later, or not at all.
//!
//! One thread per direction; each waits in `ppoll` until a packet arrives or is due. Packets keep
//! their order: jitter delays, it never reorders.

mod control;

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;

pub use control::{Command, answer};

use crate::lab::netns::Namespace;

/// The TUN device on the left, inside the WAN's namespace.
pub const LEFT_TUN: &str = "l0";
/// The TUN device on the right, inside the WAN's namespace.
pub const RIGHT_TUN: &str = "r0";

/// Octets that may be under way in one direction; more are dropped.
const QUEUE_BYTES: usize = 16 << 20;
/// The longest wait for a bandwidth limit; what would wait longer is dropped, as a full buffer does.
const BACKLOG: Duration = Duration::from_millis(200);
/// How long a direction takes at most to notice that it is to stop.
const STOP_WITHIN: Duration = Duration::from_millis(50);

/// What a direction does to its packets. The default passes everything at once.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Shape {
    /// Added to every packet.
    pub delay: Duration,
    /// Added on top, uniform between nothing and this.
    pub jitter: Duration,
    /// Part of the packets that is lost, 0 to 1.
    pub loss: f64,
    /// What the line carries, IP packets counted.
    pub bits_per_second: Option<u64>,
    /// Drops everything, silently, also what is under way.
    pub cut: bool,
}

/// Which way packets go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// In at the left TUN, out at the right one.
    LeftToRight,
    /// In at the right TUN, out at the left one.
    RightToLeft,
    /// Each of the two.
    Both,
}

/// What one direction did so far, in packets.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// Delivered.
    pub forwarded: u64,
    /// Lost, cut, or too many.
    pub dropped: u64,
}

/// One direction, as its thread and its owner share it.
#[derive(Default)]
struct Lane {
    shape: Mutex<Shape>,
    forwarded: AtomicU64,
    dropped: AtomicU64,
    stop: AtomicBool,
}

impl Lane {
    fn shape(&self) -> Shape {
        *self.shape.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Shape)) {
        change(&mut self.shape.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn counters(&self) -> Counters {
        Counters {
            forwarded: self.forwarded.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
        }
    }
}

/// A running WAN. Dropping it stops it; TUN devices that it made itself go with it.
pub struct Wan {
    left_to_right: Arc<Lane>,
    right_to_left: Arc<Lane>,
    threads: Vec<JoinHandle<()>>,
}

impl Wan {
    /// Attaches to [`LEFT_TUN`] and [`RIGHT_TUN`] of a namespace, or makes them, brings them up and
    /// starts. The same seed loses the same packets.
    pub fn new(namespace: &Namespace, seed: u64) -> Result<Self> {
        let (left_tun, right_tun) = open_both(namespace)?;
        for tun in [LEFT_TUN, RIGHT_TUN] {
            namespace.ip(&format!("link set {tun} up"))?;
        }
        let (left_to_right, right_to_left) = (Arc::<Lane>::default(), Arc::<Lane>::default());
        let mut wan = Self {
            left_to_right: left_to_right.clone(),
            right_to_left: right_to_left.clone(),
            threads: Vec::new(),
        };
        let lanes = [
            (left_to_right, left_tun.clone(), right_tun.clone(), seed),
            (right_to_left, right_tun, left_tun, !seed),
        ];
        for (lane, from, to, seed) in lanes {
            let pump = Pump::new(lane, from, to, seed);
            wan.threads.push(std::thread::spawn(|| pump.run()));
        }
        Ok(wan)
    }

    /// Sets the whole shape.
    pub fn shape(&self, direction: Direction, shape: Shape) {
        self.change(direction, |current| *current = shape);
    }

    /// Drops everything from here on; the rest of the shape stays.
    pub fn cut(&self, direction: Direction) {
        self.change(direction, |shape| shape.cut = true);
    }

    /// Undoes [`Wan::cut`].
    pub fn restore(&self, direction: Direction) {
        self.change(direction, |shape| shape.cut = false);
    }

    /// Changes part of the shape.
    pub fn change(&self, direction: Direction, change: impl Fn(&mut Shape)) {
        if direction != Direction::RightToLeft {
            self.left_to_right.change(&change);
        }
        if direction != Direction::LeftToRight {
            self.right_to_left.change(&change);
        }
    }

    /// Left to right, right to left.
    pub fn counters(&self) -> (Counters, Counters) {
        (self.left_to_right.counters(), self.right_to_left.counters())
    }
}

impl Drop for Wan {
    fn drop(&mut self) {
        for lane in [&self.left_to_right, &self.right_to_left] {
            lane.stop.store(true, Ordering::Relaxed);
        }
        for thread in self.threads.drain(..) {
            // A panic of the thread has been printed, and there is nothing left to stop.
            let _ = thread.join();
        }
    }
}

/// Opens both TUN devices inside the namespace, in a thread of its own: a thread that has entered a
/// namespace does not come back.
fn open_both(namespace: &Namespace) -> Result<(Arc<OwnedFd>, Arc<OwnedFd>)> {
    let namespace = namespace.clone();
    let opener = std::thread::spawn(move || -> Result<_> {
        namespace.enter()?;
        Ok((
            Arc::new(open_tun(LEFT_TUN)?),
            Arc::new(open_tun(RIGHT_TUN)?),
        ))
    });
    opener
        .join()
        .map_err(|_panic| anyhow!("the thread that opens TUN devices panicked"))?
}

/// Attaches to the TUN device of that name in the namespace of this thread, or makes it.
fn open_tun(name: &str) -> Result<OwnedFd> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let tun = rustix::fs::open("/dev/net/tun", flags, Mode::empty()).context("/dev/net/tun")?;
    // struct ifreq: 16 octets of name, then the flags, in 40 octets.
    let mut request = [0_u8; 40];
    anyhow::ensure!(
        name.len() < 16,
        "interface name {name} is longer than 15 octets"
    );
    request[..name.len()].copy_from_slice(name.as_bytes());
    let mode = (libc::IFF_TUN | libc::IFF_NO_PI) as i16;
    request[16..18].copy_from_slice(&mode.to_ne_bytes());
    #[expect(
        unsafe_code,
        reason = "TUNSETIFF reads and writes one struct ifreq, which `request` is"
    )]
    let attached = unsafe {
        let setter =
            rustix::ioctl::Updater::<{ libc::TUNSETIFF as u32 }, [u8; 40]>::new(&mut request);
        rustix::ioctl::ioctl(&tun, setter)
    };
    attached.with_context(|| format!("attach to TUN {name}"))?;
    Ok(tun)
}

/// One direction at work.
struct Pump {
    lane: Arc<Lane>,
    from: Arc<OwnedFd>,
    to: Arc<OwnedFd>,
    random: u64,
    queue: VecDeque<(Instant, Vec<u8>)>,
    queued_bytes: usize,
    /// When the line has sent what it has accepted.
    line_free_at: Instant,
}

impl Pump {
    fn new(lane: Arc<Lane>, from: Arc<OwnedFd>, to: Arc<OwnedFd>, seed: u64) -> Self {
        let line_free_at = Instant::now();
        let queue = VecDeque::new();
        Self {
            lane,
            from,
            to,
            random: seed,
            queue,
            queued_bytes: 0,
            line_free_at,
        }
    }

    fn run(mut self) {
        let mut buffer = vec![0; 65_536];
        while !self.lane.stop.load(Ordering::Relaxed) {
            self.deliver();
            if !self.wait() {
                continue;
            }
            // A batch, so that deliveries never wait behind a flood.
            for _ in 0..64 {
                match rustix::io::read(&*self.from, &mut buffer) {
                    Ok(length) => self.accept(&buffer[..length]),
                    Err(Errno::AGAIN | Errno::INTR) => break,
                    // The device is down: packets come again when it is up.
                    Err(_) => {
                        std::thread::sleep(Duration::from_millis(5));
                        break;
                    }
                }
            }
        }
    }

    /// Waits until a packet can be read (true) or one is due.
    fn wait(&self) -> bool {
        let due = self
            .queue
            .front()
            .map(|(at, _)| at.saturating_duration_since(Instant::now()));
        let wait = due.unwrap_or(STOP_WITHIN).min(STOP_WITHIN);
        let timeout = Timespec {
            tv_sec: 0,
            tv_nsec: i64::from(wait.subsec_nanos()),
        };
        let mut fds = [PollFd::new(&*self.from, PollFlags::IN)];
        matches!(rustix::event::poll(&mut fds, Some(&timeout)), Ok(1..))
    }

    fn accept(&mut self, packet: &[u8]) {
        let (shape, now) = (self.lane.shape(), Instant::now());
        let lost = shape.cut || self.uniform() < shape.loss;
        let backlog = self.line_free_at.saturating_duration_since(now);
        if lost || backlog > BACKLOG || self.queued_bytes + packet.len() > QUEUE_BYTES {
            self.lane.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.line_free_at = now;
        if let Some(rate) = shape.bits_per_second {
            let seconds = packet.len() as f64 * 8.0 / rate.max(1) as f64;
            self.line_free_at = now + backlog + Duration::from_secs_f64(seconds.min(3600.0));
        }
        let due = self.line_free_at + shape.delay + shape.jitter.mul_f64(self.uniform());
        let due = self
            .queue
            .back()
            .map_or(due, |(before, _)| due.max(*before));
        self.queued_bytes += packet.len();
        self.queue.push_back((due, packet.to_vec()));
    }

    fn deliver(&mut self) {
        while let Some((_, packet)) = self.queue.pop_front_if(|(due, _)| *due <= Instant::now()) {
            self.queued_bytes -= packet.len();
            let written = !self.lane.shape().cut && rustix::io::write(&*self.to, &packet).is_ok();
            let counter = if written {
                &self.lane.forwarded
            } else {
                &self.lane.dropped
            };
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Uniform in 0..1 (SplitMix64).
    fn uniform(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}
