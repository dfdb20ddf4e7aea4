//! Threads that others wait for, and the scheduler.

use rustix::process::setpriority_process;
use tracing::info;

/// `nice` of such a thread; tasks have 0. Whoever has -10 gets nine tenths of a processor that it shares with one
/// who has 0.
const NICE: i32 = -10;

/// Has the calling thread run before tasks where processors are short: a table that comes in keeps all
/// of them busy for seconds, and meanwhile neighbours want their packets in time, and the kernel its routes.
///
/// - `what`: it is for, for the log
pub(crate) fn raise(what: &'static str) {
    // Linux has a priority for each thread, and takes 0 for the calling one.
    if let Err(error) = setpriority_process(None, NICE) {
        info!(
            "{what} runs at the priority of everything else, and may be late when processors are \
             short (cannot have nice {NICE}: {error}; the unit needs LimitNICE={NICE})"
        );
    }
}
