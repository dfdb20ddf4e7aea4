//! Simulated time for boringtun, which reads its clock by itself.
//!
//! Its clock is CLOCK_BOOTTIME, by `clock_gettime` of the C library. Of two functions of that name
//! the program's own is called, and in this test binary that is the one below: the kernel's time,
//! and CLOCK_BOOTTIME as far ahead as the test of this thread says. Everything else in the process
//! reads other clocks.

use std::{cell::Cell, time::Duration};

thread_local! {
    static AHEAD: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// Lets time pass for boringtun on this thread.
pub(super) fn advance(by: Duration) {
    AHEAD.set(AHEAD.get() + by);
}

#[expect(unsafe_code, reason = "stands in for a function of the C library")]
// SAFETY: it does what POSIX says `clock_gettime` does.
#[unsafe(no_mangle)]
extern "C" fn clock_gettime(clock: libc::clockid_t, time: *mut libc::timespec) -> libc::c_int {
    // SAFETY: the caller gives a pointer that the kernel checks.
    let result = unsafe { libc::syscall(libc::SYS_clock_gettime, clock, time) };
    // SAFETY: the kernel wrote there, so it is a live timespec of the caller.
    if let (libc::CLOCK_BOOTTIME, 0, Some(time)) = (clock, result, unsafe { time.as_mut() }) {
        let ahead = AHEAD.try_with(Cell::get).unwrap_or_default();
        let nanos = i64::from(ahead.subsec_nanos()) + time.tv_nsec;
        time.tv_sec += i64::try_from(ahead.as_secs()).unwrap_or_default() + nanos / 1_000_000_000;
        time.tv_nsec = nanos % 1_000_000_000;
    }
    libc::c_int::try_from(result).unwrap_or(-1)
}
