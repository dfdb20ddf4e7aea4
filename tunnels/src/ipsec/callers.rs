//! Why those who call us do not get in, by what strongSwan logs: pure.
//!
//! A refusal stands in the log of who is called, and in no event. What a caller offers is refused before anybody knows
//! which connection it is for: then its address tells.

use std::{
    collections::{BTreeMap, VecDeque},
    net::IpAddr,
};

use super::{conn, failure::Transcript, machine::Ike, vici::Message};

/// As many calls without a name are told apart, so that strangers cost no memory.
const CALLS: usize = 64;

/// What was said about links that wait to be called.
#[derive(Debug, Default)]
pub(super) struct Callers {
    transcripts: BTreeMap<String, Transcript>,
    /// IKE_SAs by strongSwan's number, and the link whose far end has begun them; the latest last.
    begun: VecDeque<(String, String)>,
}

impl Callers {
    /// One line of the log. Returns a link and why its far end does not get in, once that can be said.
    pub(super) fn hear(&mut self, message: &Message, ike: &Ike) -> Option<(String, String)> {
        let line = message.text("msg")?;
        let number = message.text("ikesa-uniqueid").unwrap_or_default();
        if let Some(caller) = caller(line) {
            self.begin(number, ike.waiting_for(caller)?);
            return None;
        }
        let named = message.text("ikesa-name").and_then(conn::link);
        let link = named.or_else(|| self.link_of(number))?.to_owned();
        let Some(spec) = ike.waiting(&link) else {
            self.transcripts.remove(&link);
            return None;
        };
        let transcript = self.transcripts.entry(link.clone()).or_default();
        transcript.push(line);
        let cause = transcript.known_cause(spec)?;
        Some((link, cause))
    }

    /// What was wrong with the last call may be mended.
    fn begin(&mut self, number: &str, link: &str) {
        self.transcripts.remove(link);
        self.begun.retain(|(other, _)| other != number);
        if self.begun.len() == CALLS {
            self.begun.pop_front();
        }
        self.begun.push_back((number.to_owned(), link.to_owned()));
    }

    fn link_of(&self, number: &str) -> Option<&str> {
        let mut begun = self.begun.iter();
        let (_, link) = begun.find(|(other, _)| other == number)?;
        Some(link)
    }
}

/// `172.31.0.1 is initiating an IKE_SA`, or `… a Main Mode IKE_SA`.
fn caller(line: &str) -> Option<IpAddr> {
    let (address, rest) = line.split_once(' ')?;
    let begins = rest.starts_with("is initiating") && rest.ends_with("IKE_SA");
    begins.then(|| address.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::{
        ipsec::{example, machine::Input},
        spec::{Initiator, IpsecSpec},
    };

    /// Links that wait, by name, to be called by these addresses.
    fn waiting(links: &[(&str, &str)]) -> Ike {
        let mut ike = Ike::new(1);
        for (link, remote) in links {
            let spec = IpsecSpec {
                remote: remote.parse().expect("an address"),
                initiator: Initiator::Them,
                ..example()
            };
            ike.handle(Input::Wanted(link, Box::new(spec)), Instant::now());
        }
        ike
    }

    fn said(number: u32, name: &str, line: &str) -> Message {
        let number = number.to_string();
        let message = Message::new().with("ikesa-uniqueid", number);
        message.with("ikesa-name", name).with("msg", line)
    }

    const BEGINS: &str = "198.51.100.1 is initiating an IKE_SA";
    const THEIRS: &str = "received proposals: IKE:AES_CBC_128/HMAC_SHA1_96";
    const UNACCEPTABLE: &str = "received proposals unacceptable";

    #[test]
    fn a_caller_whose_proposals_are_refused_is_known_by_its_address() {
        let (ike, mut callers) = (waiting(&[("a", "198.51.100.1")]), Callers::default());
        let mut hear = |number, line| callers.hear(&said(number, "(unnamed)", line), &ike);
        assert_eq!(hear(7, UNACCEPTABLE), None, "nobody knows who that is");
        assert_eq!(hear(7, BEGINS), None);
        assert_eq!(hear(7, THEIRS), None);
        let (link, cause) = hear(7, UNACCEPTABLE).expect("a cause");
        assert_eq!(link, "a");
        assert!(cause.contains("ours: aes256"), "{cause}");
        assert!(cause.contains("the far end's: IKE:AES_CBC_128"), "{cause}");
        assert_eq!(hear(8, UNACCEPTABLE), None, "another caller");
    }

    #[test]
    fn a_new_call_is_judged_by_itself() {
        let (ike, mut callers) = (waiting(&[("a", "198.51.100.1")]), Callers::default());
        for line in [BEGINS, THEIRS, UNACCEPTABLE] {
            callers.hear(&said(1, "(unnamed)", line), &ike);
        }
        assert_eq!(callers.hear(&said(2, "(unnamed)", BEGINS), &ike), None);
        let wrong = said(
            2,
            "skybridge-a",
            "tried 1 shared key for 'a' - 'b', but MAC mismatched",
        );
        let (_, cause) = callers.hear(&wrong, &ike).expect("a cause");
        assert!(cause.contains("pre-shared keys differ"), "{cause}");
    }

    #[test]
    fn of_two_links_to_one_address_none_is_accused_by_it() {
        let ike = waiting(&[("a", "198.51.100.1"), ("b", "198.51.100.1")]);
        let mut callers = Callers::default();
        for line in [BEGINS, THEIRS, UNACCEPTABLE] {
            assert_eq!(callers.hear(&said(1, "(unnamed)", line), &ike), None);
        }
    }

    #[test]
    fn any_number_of_calls_costs_no_memory() {
        let (ike, mut callers) = (waiting(&[("a", "198.51.100.1")]), Callers::default());
        for number in 0..10_000 {
            callers.hear(&said(number, "(unnamed)", BEGINS), &ike);
        }
        assert_eq!(callers.begun.len(), CALLS);
    }
}
