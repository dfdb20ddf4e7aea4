//! Ctrl-C and friends: whoever waits is told, fails, and cleans up on its way out.

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tokio::signal::unix::{SignalKind, signal};

/// Between two looks at whether a signal has arrived.
const LOOK: Duration = Duration::from_millis(50);

/// A signal arrived.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// From here on SIGINT, SIGTERM and SIGHUP do not end the process but fail [`check`], and the first of them
/// calls `then` on a thread of its own.
///
/// # Errors
///
/// When the handlers cannot be installed.
pub fn watch(then: impl FnOnce() + Send + 'static) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let guard = runtime.enter();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    drop(guard);
    thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hangup.recv() => {}
            }
        });
        // Further signals do not end us while we clean up: their handlers stay.
        INTERRUPTED.store(true, Ordering::Relaxed);
        then();
    });
    Ok(())
}

/// Whether a signal arrived.
pub fn arrived() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

/// Fails once a signal arrived.
///
/// # Errors
///
/// As said.
pub fn check() -> Result<()> {
    ensure!(!arrived(), "interrupted");
    Ok(())
}

/// Waits, and fails at once when a signal arrives.
///
/// # Errors
///
/// As said.
pub fn sleep(duration: Duration) -> Result<()> {
    let until = Instant::now() + duration;
    while !arrived() {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        thread::sleep(left.min(LOOK));
    }
    check()
}

/// Resolves when a signal has arrived. Cancel-safe.
pub async fn arrival() {
    while !arrived() {
        tokio::time::sleep(LOOK).await;
    }
}

/// How a benchmark ends, which says why if it has failed: with 130 after a signal, as shells do.
#[expect(clippy::print_stderr, reason = "the last words of a program")]
pub fn exit_code(result: &Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) if arrived() => {
            eprintln!("interrupted; everything is removed");
            ExitCode::from(130)
        }
        Err(error) => {
            eprintln!("bench failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}
