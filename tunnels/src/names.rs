//! Endpoints that are names: when to look them up, and which address to use.
//!
//! A machine without clock or socket. A name is looked up when it is new, once a minute, and as
//! soon as handshakes go unanswered. The lookup is the system's, which does not tell a TTL; its
//! resolver knows it and asks the network no sooner. An address in use stays as long as the name
//! still has it and the far end answers, so that a list in another order moves nothing, and a
//! peer that has roamed is not called back.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    time::{Duration, Instant},
};

use crate::spec::TunnelStatus;

/// Between two lookups when all is well.
const EVERY: Duration = Duration::from_secs(60);
/// Between two when the far end does not answer, or the name is not found.
const SOONER: Duration = Duration::from_secs(10);

/// What happened.
#[derive(Clone, Debug)]
pub enum Input<'a> {
    /// These links have endpoints that are names, and no others: link, host, port.
    Wanted(&'a [(String, String, u16)]),
    /// What was found for a link; nothing when the lookup failed.
    Found(&'a str, &'a [SocketAddr]),
    /// Whether handshakes of a link go unanswered.
    Heard(&'a str, Answers),
    /// The moment of [`Names::poll_timeout`] has come.
    Timeout,
}

/// Whether a far end answers handshakes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answers {
    /// It does, as far as is known.
    Yes,
    /// It has not, for a while.
    No,
}

/// What to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Output {
    /// Look this host up for a link, and tell what was found.
    LookUp {
        /// The link.
        link: String,
        /// The name.
        host: String,
        /// Goes with each address.
        port: u16,
    },
    /// The link's far end is to be looked for there.
    Endpoint(String, SocketAddr),
}

/// Every name. Handle an input, then drain [`Names::poll_output`].
#[derive(Debug, Default)]
pub struct Names {
    names: BTreeMap<String, Name>,
    outputs: VecDeque<Output>,
}

#[derive(Debug)]
struct Name {
    host: String,
    port: u16,
    address: Option<SocketAddr>,
    /// The last lookup found nothing.
    is_lost: bool,
    answers: Answers,
    asked_at: Instant,
    /// `None` while a lookup is under way.
    ask_at: Option<Instant>,
}

impl Names {
    /// The only way in.
    pub fn handle(&mut self, input: Input<'_>, now: Instant) {
        match input {
            Input::Wanted(wanted) => self.on_wanted(wanted, now),
            Input::Found(link, addresses) => self.on_found(link, addresses, now),
            Input::Heard(link, answers) => self.on_heard(link, answers, now),
            Input::Timeout => {}
        }
        self.ask_those_due(now);
    }

    /// Drain after every [`Names::handle`].
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to send [`Input::Timeout`].
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.names.values().filter_map(|name| name.ask_at).min()
    }

    /// The address in use for a link, if its name was ever found.
    #[must_use]
    pub fn address(&self, link: &str) -> Option<SocketAddr> {
        self.names.get(link)?.address
    }

    /// Says of a tunnel that waits for its far end's address that it does so in vain.
    pub fn explain(&self, status: &mut TunnelStatus) {
        let name = self.names.get(&status.name);
        let lost = name.filter(|name| name.is_lost && name.address.is_none());
        if let Some(name) = lost
            && status.endpoint.is_none()
            && status.problem.is_some()
        {
            status.problem = Some(format!(
                "no handshake yet: no address of {} is found; is the name right, and does this host's resolver answer?",
                name.host
            ));
        }
    }

    fn on_wanted(&mut self, wanted: &[(String, String, u16)], now: Instant) {
        self.names.retain(|link, name| {
            wanted
                .iter()
                .any(|(of, host, port)| of == link && *host == name.host && *port == name.port)
        });
        for (link, host, port) in wanted {
            self.names.entry(link.clone()).or_insert_with(|| Name {
                host: host.clone(),
                port: *port,
                address: None,
                is_lost: false,
                answers: Answers::Yes,
                asked_at: now,
                ask_at: Some(now),
            });
        }
    }

    fn on_found(&mut self, link: &str, addresses: &[SocketAddr], now: Instant) {
        let Some(name) = self.names.get_mut(link) else {
            return;
        };
        name.is_lost = addresses.is_empty();
        let is_well = name.answers == Answers::Yes && !addresses.is_empty();
        name.ask_at = Some(now + if is_well { EVERY } else { SOONER });
        if let Some(address) = name.choose(addresses)
            && name.address != Some(address)
        {
            name.address = Some(address);
            self.outputs
                .push_back(Output::Endpoint(link.to_owned(), address));
        }
    }

    fn on_heard(&mut self, link: &str, answers: Answers, now: Instant) {
        let Some(name) = self.names.get_mut(link) else {
            return;
        };
        name.answers = answers;
        if answers == Answers::No
            && let Some(ask_at) = &mut name.ask_at
        {
            *ask_at = (*ask_at).min(name.asked_at + SOONER).max(now);
        }
    }

    fn ask_those_due(&mut self, now: Instant) {
        for (link, name) in &mut self.names {
            if name.ask_at.is_some_and(|at| at <= now) {
                name.ask_at = None;
                name.asked_at = now;
                self.outputs.push_back(Output::LookUp {
                    link: link.clone(),
                    host: name.host.clone(),
                    port: name.port,
                });
            }
        }
    }
}

impl Name {
    /// The one in use while it is good, then the one after it.
    fn choose(&self, addresses: &[SocketAddr]) -> Option<SocketAddr> {
        let used = self
            .address
            .and_then(|address| addresses.iter().position(|other| *other == address));
        match (used, self.answers) {
            (Some(at), Answers::Yes) => addresses.get(at).copied(),
            (Some(at), Answers::No) => addresses.get((at + 1) % addresses.len()).copied(),
            (None, _) => addresses.first().copied(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{FarEnd, WireGuardCounts};

    fn at(host: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, host], 51820))
    }

    fn look_up() -> Output {
        Output::LookUp {
            link: "a".to_owned(),
            host: "far.example".to_owned(),
            port: 51820,
        }
    }

    fn wanted() -> [(String, String, u16); 1] {
        [("a".to_owned(), "far.example".to_owned(), 51820)]
    }

    fn drained(names: &mut Names) -> Vec<Output> {
        std::iter::from_fn(|| names.poll_output()).collect()
    }

    /// One name that was found to have these addresses.
    fn found(addresses: &[SocketAddr], now: Instant) -> Names {
        let mut names = Names::default();
        names.handle(Input::Wanted(&wanted()), now);
        assert_eq!(drained(&mut names), [look_up()]);
        names.handle(Input::Found("a", addresses), now);
        drained(&mut names);
        names
    }

    /// Looks up once more after `wait`.
    fn again(names: &mut Names, addresses: &[SocketAddr], now: Instant) -> Vec<Output> {
        names.handle(Input::Timeout, now);
        assert_eq!(drained(names), [look_up()]);
        names.handle(Input::Found("a", addresses), now);
        drained(names)
    }

    #[test]
    fn a_name_is_looked_up_at_once_and_every_minute() {
        let now = Instant::now();
        let mut names = found(&[at(1)], now);
        assert_eq!(names.address("a"), Some(at(1)));
        assert_eq!(names.poll_timeout(), Some(now + EVERY));
        names.handle(Input::Wanted(&wanted()), now);
        assert_eq!(drained(&mut names), [], "it is known");
        assert_eq!(again(&mut names, &[at(1)], now + EVERY), []);
    }

    #[test]
    fn another_address_is_told() {
        let now = Instant::now();
        let mut names = found(&[at(1)], now);
        let told = again(&mut names, &[at(2)], now + EVERY);
        assert_eq!(told, [Output::Endpoint("a".to_owned(), at(2))]);
    }

    #[test]
    fn the_same_addresses_in_another_order_move_nothing_while_it_answers() {
        let now = Instant::now();
        let mut names = found(&[at(1), at(2)], now);
        assert_eq!(again(&mut names, &[at(2), at(1)], now + EVERY), []);
    }

    #[test]
    fn an_end_that_does_not_answer_is_looked_up_soon_and_at_its_next_address() {
        let now = Instant::now();
        let mut names = found(&[at(1), at(2)], now);
        names.handle(Input::Heard("a", Answers::No), now);
        assert_eq!(names.poll_timeout(), Some(now + SOONER));
        let told = again(&mut names, &[at(1), at(2)], now + SOONER);
        assert_eq!(told, [Output::Endpoint("a".to_owned(), at(2))]);
        let told = again(&mut names, &[at(1), at(2)], now + SOONER * 2);
        assert_eq!(told, [Output::Endpoint("a".to_owned(), at(1))]);
        names.handle(Input::Heard("a", Answers::Yes), now + SOONER * 2);
        assert_eq!(again(&mut names, &[at(1), at(2)], now + SOONER * 3), []);
        assert_eq!(names.poll_timeout(), Some(now + SOONER * 3 + EVERY));
    }

    #[test]
    fn a_lookup_that_fails_keeps_the_address_and_is_repeated() {
        let now = Instant::now();
        let mut names = found(&[at(1)], now);
        assert_eq!(again(&mut names, &[], now + EVERY), []);
        assert_eq!(names.address("a"), Some(at(1)));
        assert_eq!(names.poll_timeout(), Some(now + EVERY + SOONER));
    }

    #[test]
    fn a_name_without_address_is_said_until_one_is_found_or_the_far_end_has_called() {
        let now = Instant::now();
        let status = |endpoint, problem: Option<&str>| TunnelStatus {
            name: "a".to_owned(),
            interface: "sb-a".to_owned(),
            backend: None,
            up: true,
            endpoint,
            far_end: FarEnd::ByHandshake,
            last_handshake: None,
            rx_bytes: 0,
            tx_bytes: 0,
            counts: WireGuardCounts::default(),
            unanswered_since: None,
            problem: problem.map(str::to_owned),
            detail: String::new(),
            esp: None,
        };
        let is_said = |names: &Names, endpoint, problem| {
            let mut status = status(endpoint, problem);
            names.explain(&mut status);
            let problem = status.problem.unwrap_or_default();
            problem.contains("no address of far.example is found")
        };
        let mut names = Names::default();
        names.handle(Input::Wanted(&wanted()), now);
        assert!(!is_said(&names, None, Some("waiting")), "not looked up yet");
        names.handle(Input::Found("a", &[]), now);
        assert!(is_said(&names, None, Some("waiting")));
        assert!(!is_said(&names, None, None), "it carries traffic");
        assert!(
            !is_said(&names, Some(at(9)), Some("waiting")),
            "it has called"
        );
        names.handle(Input::Found("a", &[at(1)]), now);
        assert!(!is_said(&names, None, Some("waiting")), "found");
    }

    #[test]
    fn a_lookup_under_way_is_not_begun_again_and_a_name_that_is_gone_is_forgotten() {
        let now = Instant::now();
        let mut names = Names::default();
        names.handle(Input::Wanted(&wanted()), now);
        drained(&mut names);
        names.handle(Input::Timeout, now + EVERY);
        assert_eq!(drained(&mut names), []);
        names.handle(Input::Wanted(&[]), now);
        names.handle(Input::Found("a", &[at(1)]), now);
        assert_eq!((drained(&mut names), names.poll_timeout()), (vec![], None));
    }
}
