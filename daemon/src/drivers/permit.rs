//! Whether a session may run: a machine. All who can forbid it are heard here, so that none of them
//! starts what another has stopped.

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use bgp::Family;
use bgp::rib::{LimitAction, PrefixLimit};
use bgp::session::{Cease, Farewell};

/// See the [module](self). Begins forbidden: nobody has said yet that the peer can be reached.
#[derive(Default, Debug)]
pub(crate) struct Permit {
    is_reachable: bool,
    /// The text of `shutdown`.
    shut_down: Option<String>,
    /// Why the kernel cannot sign for it.
    unsigned: Option<String>,
    held: Option<Held>,
    orders: VecDeque<Order>,
}

/// The only way in.
#[derive(Debug)]
pub(crate) enum Input {
    /// The link below is usable, or the peer is on none.
    Reachable,
    /// It is not, for this reason.
    Unreachable(Cease),
    /// What the file says of `shutdown`.
    ShutDown(Option<String>),
    /// Why the kernel cannot sign for it as the file says, if it cannot.
    Unsigned(Option<String>),
    /// The peer has sent more than this.
    TooMany(Family, PrefixLimit),
    /// Somebody wants a new session. Ends what a limit holds.
    Reset(Farewell),
    /// A deadline may have passed.
    Timeout,
}

/// What the session is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Order {
    Start,
    Stop(Farewell),
}

/// Why a session is not tried, as long as that lasts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Held {
    /// The peer sent too many prefixes of this family.
    Limit {
        family: Family,
        max: u32,
        /// `None`: until somebody resets it.
        until: Option<Instant>,
    },
    /// By `shutdown` in the file, with its text.
    ShutDown(String),
    /// It is to be signed, and the kernel cannot, for this reason. Never tried without.
    Unsigned(String),
}

impl Permit {
    pub(crate) fn handle(&mut self, input: Input, now: Instant) {
        let before = self.may_run();
        let mut farewell = Farewell::from(Cease::AdministrativeReset);
        let mut again = false;
        match input {
            Input::Reachable => self.is_reachable = true,
            Input::Unreachable(cease) => {
                self.is_reachable = false;
                farewell = cease.into();
            }
            Input::ShutDown(text) => {
                let said = text.as_deref().unwrap_or_default();
                farewell = Farewell::from(Cease::AdministrativeShutdown).saying(said);
                self.shut_down = text;
            }
            Input::Unsigned(why) => self.unsigned = why,
            Input::TooMany(family, limit) => {
                if let Some(until) = until(limit.action, now) {
                    let max = limit.max;
                    farewell = Farewell::maximum_prefixes(family, max);
                    self.held = Some(Held::Limit { family, max, until });
                }
            }
            Input::Reset(said) => {
                self.held = None;
                farewell = said;
                again = true;
            }
            Input::Timeout => {
                if self.poll_timeout().is_some_and(|until| until <= now) {
                    self.held = None;
                }
            }
        }
        match (before, self.may_run()) {
            (true, false) => self.orders.push_back(Order::Stop(farewell)),
            (false, true) => self.orders.push_back(Order::Start),
            (true, true) if again => {
                self.orders.push_back(Order::Stop(farewell));
                self.orders.push_back(Order::Start);
            }
            (true, true) | (false, false) => {}
        }
    }

    pub(crate) fn poll_output(&mut self) -> Option<Order> {
        self.orders.pop_front()
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        match &self.held {
            Some(Held::Limit { until, .. }) => *until,
            Some(Held::ShutDown(_) | Held::Unsigned(_)) | None => None,
        }
    }

    /// Why the session is not tried although the peer could be reached.
    pub(crate) fn held(&self) -> Option<Held> {
        self.shut_down
            .clone()
            .map(Held::ShutDown)
            .or_else(|| self.unsigned.clone().map(Held::Unsigned))
            .or_else(|| self.held.clone())
    }

    fn may_run(&self) -> bool {
        self.is_reachable && self.held().is_none()
    }
}

/// Until when a session stays down after too many prefixes: for ever, until then, or it goes on.
fn until(action: LimitAction, now: Instant) -> Option<Option<Instant>> {
    match action {
        LimitAction::Discard | LimitAction::Warn => None,
        LimitAction::Restart(after) => Some(Some(now + after)),
        LimitAction::Shutdown => Some(None),
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Limit { family, max, until } => {
                write!(f, "it sent more than {max} {family} prefixes; ")?;
                match until {
                    Some(until) => {
                        let left = until.saturating_duration_since(Instant::now());
                        let seconds = Duration::from_secs(left.as_secs());
                        write!(f, "tried again in {seconds:?}, or on skybridge reset")
                    }
                    None => f.write_str("tried again on skybridge reset"),
                }
            }
            Self::ShutDown(text) if text.is_empty() => f.write_str("shut down in the file"),
            Self::ShutDown(text) => write!(f, "shut down in the file: {text}"),
            Self::Unsigned(why) => write!(f, "{why}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AFTER: Duration = Duration::from_secs(900);

    fn limit(action: LimitAction) -> Input {
        let limit = PrefixLimit {
            max: 10,
            warn_at: 8,
            action,
        };
        Input::TooMany(Family::Ipv4Unicast, limit)
    }

    /// What is ordered after each input, in one letter: s start, x stop.
    fn orders(permit: &mut Permit, inputs: Vec<Input>, now: Instant) -> String {
        let mut said = String::new();
        for input in inputs {
            permit.handle(input, now);
            while let Some(order) = permit.poll_output() {
                said.push(match order {
                    Order::Start => 's',
                    Order::Stop(_) => 'x',
                });
            }
            said.push('.');
        }
        said
    }

    fn dead() -> Input {
        Input::Unreachable(Cease::BfdDown)
    }

    fn reset() -> Input {
        Input::Reset(Cease::AdministrativeReset.into())
    }

    #[test]
    fn a_session_runs_while_nobody_forbids_it() {
        let now = Instant::now();
        let said = orders(
            &mut Permit::default(),
            vec![
                Input::Reachable,
                Input::Reachable,
                dead(),
                dead(),
                reset(),
                Input::Reachable,
            ],
            now,
        );
        assert_eq!(said, "s..x...s.");
    }

    #[test]
    fn what_is_shut_down_is_not_started_by_its_link() {
        let mut permit = Permit::default();
        let shut = || Input::ShutDown(Some("moved".to_owned()));
        let inputs = vec![
            shut(),
            Input::Reachable,
            dead(),
            Input::Reachable,
            reset(),
            Input::ShutDown(None),
            shut(),
        ];
        assert_eq!(orders(&mut permit, inputs, Instant::now()), ".....s.x.");
        let said = permit.held().unwrap().to_string();
        assert_eq!(said, "shut down in the file: moved");
    }

    #[test]
    fn what_cannot_be_signed_is_never_tried_whoever_asks_for_it() {
        let mut permit = Permit::default();
        let cannot = || Input::Unsigned(Some("this kernel has no TCP-AO".to_owned()));
        let inputs = vec![
            cannot(),
            Input::Reachable,
            reset(),
            dead(),
            Input::Reachable,
            Input::Unsigned(None),
            cannot(),
        ];
        assert_eq!(orders(&mut permit, inputs, Instant::now()), ".....s.x.");
        let said = permit.held().unwrap().to_string();
        assert_eq!(said, "this kernel has no TCP-AO");
    }

    #[test]
    fn too_many_prefixes_hold_a_session_for_their_time_whatever_its_link_does() {
        let now = Instant::now();
        let mut permit = Permit::default();
        let inputs = vec![
            Input::Reachable,
            limit(LimitAction::Restart(AFTER)),
            dead(),
            Input::Reachable,
            Input::Timeout,
        ];
        assert_eq!(orders(&mut permit, inputs, now), "s.x....");
        assert_eq!(permit.poll_timeout(), Some(now + AFTER));
        assert_eq!(orders(&mut permit, vec![Input::Timeout], now + AFTER), "s.");
        assert_eq!(permit.held(), None);
    }

    #[test]
    fn only_a_reset_ends_a_shutdown_by_a_limit() {
        let now = Instant::now();
        let mut permit = Permit::default();
        let inputs = vec![
            Input::Reachable,
            limit(LimitAction::Shutdown),
            Input::Timeout,
            reset(),
            reset(),
        ];
        assert_eq!(orders(&mut permit, inputs, now), "s.x..s.xs.");
        assert_eq!(permit.poll_timeout(), None);
    }

    #[test]
    fn a_limit_that_only_warns_or_discards_stops_nothing() {
        let mut permit = Permit::default();
        let inputs = vec![
            Input::Reachable,
            limit(LimitAction::Warn),
            limit(LimitAction::Discard),
        ];
        assert_eq!(orders(&mut permit, inputs, Instant::now()), "s...");
    }

    #[test]
    fn the_peer_is_told_what_was_too_much() {
        let mut permit = Permit::default();
        let now = Instant::now();
        permit.handle(Input::Reachable, now);
        permit.handle(limit(LimitAction::Shutdown), now);
        let _ = permit.poll_output();
        let told = Farewell::maximum_prefixes(Family::Ipv4Unicast, 10);
        assert_eq!(permit.poll_output(), Some(Order::Stop(told)));
    }
}
