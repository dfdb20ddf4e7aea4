//! Why a tunnel does not come up: what strongSwan says while it tries, as a cause and its remedy. Pure.
//!
//! Its log is made for people, so this reads it carefully: what is not recognised is quoted, not guessed at.

use std::collections::VecDeque;

use crate::spec::{Auth, IpsecSpec};

/// As many of the last lines are kept, so that a chatty attempt costs no memory.
const LINES: usize = 64;
/// As much of each line is kept.
const LINE: usize = 400;

/// What strongSwan said during one attempt.
#[derive(Clone, Default, Debug)]
pub struct Transcript(VecDeque<String>);

impl Transcript {
    /// One more line of its log.
    pub fn push(&mut self, line: &str) {
        if self.0.len() == LINES {
            self.0.pop_front();
        }
        let printable = line.chars().filter(|c| !c.is_control());
        self.0.push_back(printable.take(LINE).collect());
    }

    /// The cause of the failure and its remedy, in one sentence.
    ///
    /// - `refusal`: the answer to the command, said if nothing else is understood
    #[must_use]
    pub fn cause(&self, spec: &IpsecSpec, refusal: &str) -> String {
        self.known_cause(spec)
            .unwrap_or_else(|| format!("strongSwan says: {refusal}"))
    }

    /// The same for an attempt that still goes on, if something can be said already.
    #[must_use]
    pub fn known_cause(&self, spec: &IpsecSpec) -> Option<String> {
        CAUSES.iter().find_map(|(marks, cause)| {
            let line = self
                .0
                .iter()
                .rev()
                .find(|line| marks.iter().any(|mark| line.contains(mark)))?;
            Some(cause(self, spec, line))
        })
    }

    /// The rest of the last line that begins so.
    fn after(&self, beginning: &str) -> Option<&str> {
        self.0
            .iter()
            .rev()
            .find_map(|line| line.strip_prefix(beginning))
    }
}

type Cause = fn(&Transcript, &IpsecSpec, &str) -> String;

/// What to look for, the most telling first, and what it means.
const CAUSES: [(&[&str], Cause); 11] = [
    (&["does not match to '"], identity),
    (
        &[
            "NO_PROPOSAL_CHOSEN",
            "no acceptable proposal found",
            "no matching proposal found",
            "received proposals unacceptable",
            "received proposals inacceptable",
        ],
        proposals,
    ),
    (
        &["TS_UNACCEPTABLE", "no acceptable traffic selectors found"],
        selectors,
    ),
    (
        &[
            "no trusted",
            "no issuer certificate found",
            "certificate status is not available",
        ],
        untrusted,
    ),
    (&["no private key found"], |_, spec, _| {
        format!(
            "there is no private key for {}; is `private-key` that of `certificate`?",
            ours(spec)
        )
    }),
    (&["no shared key found"], |_, spec, _| {
        format!(
            "strongSwan finds no key for {} and {}; check `local-id` and `remote-id`",
            ours(spec),
            spec.remote_identity()
        )
    }),
    (
        &["MAC mismatched", "calculated HASH does not match"],
        |_, spec, _| {
            format!(
                "the pre-shared keys differ: what {} proves with its own does not fit ours; compare them",
                spec.remote_identity()
            )
        },
    ),
    (&["AUTHENTICATION_FAILED"], authentication),
    (
        &[
            "invalid HASH_V1 payload length",
            "could not decrypt payloads",
            "integrity check failed",
        ],
        |_, _, _| {
            "what the far end sends cannot be decrypted: with IKEv1 that is how different pre-shared keys show; \
         compare them"
            .to_owned()
        },
    ),
    (&["error writing to socket"], |_, spec, line| {
        let why = line.rsplit(": ").next().unwrap_or_default();
        format!(
            "packets to {} do not leave: {why}; is there a route to it, and is `local` ours?",
            spec.remote
        )
    }),
    (
        &["retransmit", "peer not responding", "giving up after"],
        silence,
    ),
];

fn ours(spec: &IpsecSpec) -> String {
    match (&spec.local_id, spec.local) {
        (Some(id), _) => id.clone(),
        (None, Some(local)) => local.to_string(),
        (None, None) => "our address".to_owned(),
    }
}

fn silence(_: &Transcript, spec: &IpsecSpec, _: &str) -> String {
    format!(
        "{} does not answer on UDP 500 and 4500; are both ports open to us there and here, and does the far \
         end know our address?",
        spec.remote
    )
}

fn proposals(transcript: &Transcript, spec: &IpsecSpec, line: &str) -> String {
    let is_child = line.contains("CHILD_SA");
    let (what, key, ours) = match is_child {
        true => ("ESP", "esp", &spec.esp),
        false => ("IKE", "ike", &spec.ike),
    };
    let ours = match ours.is_empty() {
        true => "strongSwan's defaults".to_owned(),
        false => ours.join(", "),
    };
    let theirs = match transcript.after("received proposals: ") {
        Some(theirs) => format!("the far end's: {theirs}"),
        // A refusal in IKE carries no list (RFC 7296 §3.10.1).
        None => "the far end does not say which it would take, which only its own configuration or log does"
            .to_owned(),
    };
    format!(
        "no proposal for {what} in common; ours: {ours}; {theirs}; make `{key}` one that both have"
    )
}

fn identity(_: &Transcript, spec: &IpsecSpec, line: &str) -> String {
    // IDir '10.0.0.9' does not match to '198.51.100.1'
    let theirs = line.split('\'').nth(1).unwrap_or("somebody else");
    format!(
        "the far end says it is {theirs}, and {} was expected; behind a NAT that is common: set \
         remote-id = \"{theirs}\" if it is right",
        spec.remote_identity()
    )
}

fn authentication(_: &Transcript, spec: &IpsecSpec, _: &str) -> String {
    let what = match spec.auth {
        Auth::Psk(_) => "compare the pre-shared keys",
        Auth::Certificate { .. } => "does it trust who signed our certificate?",
    };
    format!(
        "the far end refuses our authentication; {what}; we say that we are {} and expect {}: are `local-id` and \
         `remote-id` what it has? Behind a NAT an identity is usually the public address",
        ours(spec),
        spec.remote_identity()
    )
}

fn untrusted(_: &Transcript, _: &IpsecSpec, line: &str) -> String {
    format!("the far end's certificate is not trusted ({line}); is `ca` the one that signed it?")
}

fn selectors(_: &Transcript, spec: &IpsecSpec, _: &str) -> String {
    let ours = spec.selectors.prefixes().join(", ");
    format!(
        "the far end refuses our traffic selectors {ours}; make it route-based, with any-to-any selectors, or \
         choose another `selectors`"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipsec::example as spec;

    fn cause(lines: &[&str]) -> String {
        let mut transcript = Transcript::default();
        for line in lines {
            transcript.push(line);
        }
        transcript.cause(&spec(), "establishing CHILD_SA failed")
    }

    #[test]
    fn each_common_failure_names_its_remedy() {
        for (line, part) in [
            (
                "retransmit 2 of request with message ID 0",
                "does not answer on UDP 500 and 4500",
            ),
            (
                "received NO_PROPOSAL_CHOSEN notify error",
                "no proposal for IKE in common; ours: aes256",
            ),
            (
                "received NO_PROPOSAL_CHOSEN notify, no CHILD_SA built",
                "no proposal for ESP in common",
            ),
            (
                "received AUTHENTICATION_FAILED notify error",
                "compare the pre-shared keys",
            ),
            (
                "IDir '10.0.0.9' does not match to '198.51.100.1'",
                "set remote-id = \"10.0.0.9\"",
            ),
            (
                "received TS_UNACCEPTABLE notify, no CHILD_SA built",
                "0.0.0.0/0, ::/0",
            ),
            (
                "error writing to socket: Network is unreachable",
                "Network is unreachable; is there a route",
            ),
            (
                "no shared key found for 'a' - 'b'",
                "check `local-id` and `remote-id`",
            ),
        ] {
            let said = cause(&[line]);
            assert!(said.contains(part), "{line}: {said}");
        }
    }

    #[test]
    fn both_lists_of_proposals_are_shown_where_both_are_known() {
        let said = cause(&[
            "received proposals: IKE:AES_CBC_128/HMAC_SHA1_96",
            "no acceptable proposal found",
        ]);
        assert!(
            said.contains("the far end's: IKE:AES_CBC_128/HMAC_SHA1_96"),
            "{said}"
        );
    }

    #[test]
    fn a_refusal_after_silence_is_no_silence() {
        let said = cause(&[
            "retransmit 1 of request with message ID 0",
            "received AUTHENTICATION_FAILED notify error",
        ]);
        assert!(said.contains("refuses our authentication"), "{said}");
    }

    #[test]
    fn what_is_not_recognised_is_quoted() {
        assert_eq!(
            cause(&["the moon is full"]),
            "strongSwan says: establishing CHILD_SA failed"
        );
    }

    #[test]
    fn a_chatty_attempt_costs_no_memory() {
        let mut transcript = Transcript::default();
        for _ in 0..10_000 {
            transcript.push(&"x".repeat(10_000));
        }
        assert!(transcript.0.len() <= LINES && transcript.0.iter().all(|line| line.len() <= LINE));
    }
}
