//! What is kept of a session that ended, and for how long; and limits.

use bgp::rib::{LimitAction, PrefixLimit};

use crate::rib::{Setup, among};
use crate::row::{Row, row};

#[rustfmt::skip]
pub(crate) fn rows() -> Vec<Row> {
    vec![
        row("4724 §4.2", "used", "What is kept of a peer that restarts is used as before,", among(&["A path 65002", "lost A 120", "wait 119"]).best("A by OnlyPath")),
        row("4724 §4.2", "told", "and told as before,", among(&["A path 65002", "lost A 120", "wait 119"]).tells('B', "via self path 65001 65002")),
        row("4724 §4.2", "restart-time", "until its restart time is over.", among(&["A path 65002", "lost A 120", "wait 120"]).best("no path")),
        row("4724 §4.2", "no-preference", "It does not lose to others for being stale.", among(&["A path 65002", "B path 65003 7", "lost A 120"]).best("A by AsPathLength")),
        row("4724 §4.2", "end-of-rib", "What a peer that is back has not sent again by its End-of-RIB goes.", among(&["A path 65002", "lost A 120", "back A", "end A"]).best("no path")),
        row("4724 §4.2", "sent-again", "What it has sent again stays.", among(&["A path 65002", "lost A 120", "back A", "A path 65002", "end A"]).best("A by OnlyPath")),
        row("4724 §4.2", "sent-otherwise", "What it sends takes the place of what was kept.", among(&["A path 65002", "lost A 120", "back A", "A path 65002 7", "B path 65003"]).best("B by AsPathLength")),
        row("4724 §4.2", "no-end", "Without an End-of-RIB it stays for 360 s", among(&["A path 65002", "lost A 120", "wait 100", "back A", "wait 359"]).best("A by OnlyPath")),
        row("4724 §4.2", "no-end-over", "and no longer.", among(&["A path 65002", "lost A 120", "wait 100", "back A", "wait 360"]).best("no path")),
        row("4724 §4.2", "consecutive", "A second restart ends what is kept since the first.", among(&["A path 65002", "lost A 120", "back A", "lost A 120"]).best("no path")),
        row("4724 §4.2", "within-refresh", "A session that is lost within a refresh keeps what it had not sent again yet.", among(&["A path 65002", "begins A", "lost A 120"]).best("A by OnlyPath")),
        row("8538 §4.1", "consecutive", "Where both said N, a second restart ends nothing of the first,", among(&["A path 65002", "lost A 120 again", "back A", "lost A 120 again"]).best("A by OnlyPath")),
        row("8538 §4.1", "consecutive-time", "until the peer has been back for 360 s,", among(&["A path 65002", "lost A 120 again", "back A", "wait 300", "lost A 120 again", "back A", "wait 60", "lost A 120 again"]).best("no path")),
        row("8538 §4.1", "consecutive-thrice", "a third as little,", among(&["A path 65002", "lost A 120 again", "back A", "lost A 120 again", "back A", "lost A 120 again", "back A", "lost A 120 again"]).best("A by OnlyPath")),
        row("8538 §4.1", "consecutive-lives", "and no more of them than that: memory has a bound.", among(&["A path 65002", "lost A 120 again", "back A", "lost A 120 again", "back A", "lost A 120 again", "back A", "lost A 120 again", "back A", "lost A 120 again"]).best("no path")),
        row("8538 §4.1", "consecutive-end", "The End-of-RIB of the last session ends all that is left.", among(&["A path 65002", "lost A 120 again", "back A", "lost A 120 again", "back A", "end A"]).best("no path")),
        row("9494 §4.2", "begins", "After the restart time paths are those of last resort,", among(&["A path 65002", "B path 65003 7", "lost A 120 3600", "wait 120"]).best("B by LongLivedStale")),
        row("9494 §4.2", "lasts", "which are better than none,", among(&["A path 65002", "lost A 120 3600", "wait 120", "wait 3599"]).best("A by OnlyPath")),
        row("9494 §4.2", "over", "until their own time is over.", among(&["A path 65002", "lost A 120 3600", "wait 120", "wait 3600"]).best("no path")),
        row("9494 §4.2", "told", "They are not told to who does not know what they are.", among(&["A path 65002", "lost A 120 3600", "wait 120"]).tells('B', "nothing")),
        row("9494 §4.3", "no-llgr", "A path with NO_LLGR is kept for the restart time alone.", among(&["A path 65002 community 65535:7", "lost A 120 3600", "wait 120"]).best("no path")),
        row("7313 §4", "unsent", "What is not sent again within a refresh goes with its end.", among(&["A path 65002", "begins A", "ends A"]).best("no path")),
        row("7313 §4", "sent", "What is sent again stays.", among(&["A path 65002", "begins A", "A path 65002", "ends A"]).best("A by OnlyPath")),
        row("7313 §4", "no-end", "A refresh whose end does not come is over after 360 s.", among(&["A path 65002", "begins A", "wait 360"]).best("no path")),
        row("4486 §4", "own-limit-room", "A peer is sent as many as it takes.", among(&["A path 65002"]).configured("B takes one prefix: ", takes_one).tells('B', "via self path 65001 65002")),
        row("4486 §4", "own-limit-full", "Of two prefixes it is sent one.", among(&["aggregate 203.0.112.0/22", "A path 65002"]).configured("B takes one prefix: ", takes_one).sends('B', "40 01 01 00 40 02 0a 02020000fde90000fdea 40 03 04 0a000101 | 18cb0071")),
        row("4271 §6.7", "discard", "What is beyond the limit of a peer can be discarded.", among(&["A path 65002"]).configured("none is taken from A: ", takes_none).best("no path")),
    ]
}

fn takes_one(peer: char, setup: &mut Setup) {
    if peer == 'B' {
        setup.options.send_limit = [Some(1); 2];
    }
}

fn takes_none(peer: char, setup: &mut Setup) {
    if peer == 'A' {
        setup.options.receive_limit[0] = Some(PrefixLimit {
            max: 0,
            warn_at: 0,
            action: LimitAction::Discard,
        });
    }
}
