use super::*;
use crate::{
    ipsec::example as spec,
    spec::{Auth, Hidden},
};

fn child(id: u32) -> Child {
    Child {
        id: SaId(id),
        ike: SaId(1),
        cipher: "AES_GCM_16-256".to_owned(),
        in_udp: false,
    }
}

/// Outputs but for changes of state, in a word each.
fn done(ike: &mut Ike) -> Vec<String> {
    let outputs = std::iter::from_fn(|| ike.poll_output());
    let words = outputs.filter_map(|output| match output {
        Output::Load(link, _) => Some(format!("load {link}")),
        Output::Remove(name) => Some(format!("remove {name}")),
        Output::Terminate(name) => Some(format!("terminate {name}")),
        Output::Initiate(link, _, _) => Some(format!("initiate {link}")),
        Output::State(_) | Output::Inspect => None,
    });
    words.collect()
}

/// When the link `a` is called again.
fn retry(ike: &Ike) -> Option<Instant> {
    match ike.links["a"].call {
        Call::At(at) => {
            assert!(ike.poll_timeout().is_some_and(|first| first <= at));
            Some(at)
        }
        Call::Idle | Call::Running(_) => None,
    }
}

/// The end of the last call.
fn initiated(ike: &mut Ike, result: Result<(), String>, now: Instant) {
    let call = CallId(ike.calls);
    ike.handle(Input::Initiated("a", call, result), now);
}

fn connected(children: &[(&str, Child)], conns: &[&str]) -> Input<'static> {
    Input::Connected {
        conns: conns.iter().map(|name| (*name).to_owned()).collect(),
        children: children
            .iter()
            .map(|(link, child)| ((*link).to_owned(), vec![child.clone()]))
            .collect(),
    }
}

/// One with the links `a` and, at the moment of a connection without anything, both loaded.
fn calling() -> (Ike, Instant) {
    let (mut ike, now) = (Ike::new(7), Instant::now());
    ike.handle(Input::Wanted("a", Box::new(spec())), now);
    assert_eq!(done(&mut ike), [""; 0], "nothing without strongSwan");
    ike.handle(connected(&[], &[]), now);
    assert_eq!(done(&mut ike), ["load a"]);
    ike.handle(Input::Loaded("a", Ok(())), now);
    assert_eq!(done(&mut ike), ["initiate a"]);
    (ike, now)
}

fn up() -> (Ike, Instant) {
    let (mut ike, now) = calling();
    ike.handle(Input::Changed("a", Change::ChildUp(child(1))), now);
    initiated(&mut ike, Ok(()), now);
    assert_eq!(done(&mut ike), [""; 0]);
    assert_eq!(ike.state("a"), Some(State::Up(child(1))));
    (ike, now)
}

#[test]
fn a_tunnel_is_loaded_then_called_then_up_by_its_event() {
    up();
}

#[test]
fn our_restart_loads_again_and_leaves_what_works() {
    let (mut ike, now) = (Ike::new(7), Instant::now());
    ike.handle(Input::Wanted("a", Box::new(spec())), now);
    ike.handle(
        connected(&[("a", child(4))], &["skybridge-a", "office"]),
        now,
    );
    assert_eq!(done(&mut ike), ["load a"]);
    ike.handle(Input::Loaded("a", Ok(())), now);
    assert_eq!(done(&mut ike), [""; 0], "neither called nor ended");
    assert_eq!(ike.state("a"), Some(State::Up(child(4))));
}

#[test]
fn leftovers_with_our_name_go_and_connections_of_others_stay() {
    let (mut ike, now) = (Ike::new(7), Instant::now());
    ike.handle(Input::Wanted("a", Box::new(spec())), now);
    let conns = ["skybridge-a", "skybridge-b", "office"];
    ike.handle(connected(&[("c", child(4))], &conns), now);
    assert_eq!(
        done(&mut ike),
        ["remove skybridge-b", "remove skybridge-c", "load a"]
    );
}

#[test]
fn a_restart_of_strongswan_loads_and_calls_again() {
    let (mut ike, now) = up();
    ike.handle(Input::Lost("gone".to_owned()), now);
    assert_eq!(
        ike.state("a"),
        Some(State::Up(child(1))),
        "the kernel goes on"
    );
    ike.handle(connected(&[], &[]), now);
    assert_eq!(done(&mut ike), ["load a"]);
    assert!(matches!(ike.state("a"), Some(State::Down(_))));
    ike.handle(Input::Loaded("a", Ok(())), now);
    assert_eq!(done(&mut ike), ["initiate a"]);
}

#[test]
fn without_strongswan_every_tunnel_says_so() {
    let (mut ike, now) = (Ike::new(7), Instant::now());
    ike.handle(Input::Wanted("a", Box::new(spec())), now);
    ike.handle(Input::Lost("no strongSwan".to_owned()), now);
    assert_eq!(
        ike.state("a"),
        Some(State::Down("no strongSwan".to_owned()))
    );
    assert_eq!(ike.poll_timeout(), None);
}

#[test]
fn a_failed_call_is_cleaned_up_and_tried_again_later_each_time() {
    let (mut ike, mut now) = calling();
    let mut last = Duration::ZERO;
    for _ in 0..5 {
        let refused = Err("no answer".to_owned());
        initiated(&mut ike, refused, now);
        assert_eq!(done(&mut ike), ["terminate skybridge-a"]);
        assert_eq!(ike.state("a"), Some(State::Down("no answer".to_owned())));
        let at = retry(&ike).expect("a retry is due");
        assert!(at - now > last);
        last = at - now;
        now = at;
        ike.handle(Input::Timeout, now);
        assert_eq!(done(&mut ike), ["load a"], "somebody may have removed it");
        ike.handle(Input::Loaded("a", Ok(())), now);
        assert_eq!(done(&mut ike), ["initiate a"]);
    }
}

#[test]
fn an_answer_that_overtakes_its_event_ends_nothing() {
    let (mut ike, now) = calling();
    initiated(&mut ike, Ok(()), now);
    ike.handle(Input::Changed("a", Change::ChildUp(child(1))), now);
    assert_eq!((done(&mut ike).len(), retry(&ike)), (0, None));
    assert_eq!(ike.state("a"), Some(State::Up(child(1))));
}

#[test]
fn a_call_that_is_answered_and_then_without_an_event_is_made_again() {
    let (mut ike, now) = calling();
    initiated(&mut ike, Ok(()), now);
    let at = retry(&ike).expect("a deadline");
    ike.handle(Input::Timeout, at);
    assert_eq!(done(&mut ike), ["initiate a"]);
}

#[test]
fn a_call_for_what_was_wanted_before_is_given_up_and_its_end_counts_for_nothing() {
    let (mut ike, now) = calling();
    let before = CallId(ike.calls);
    let esp = vec!["aes128gcm16".to_owned()];
    let other = Box::new(IpsecSpec { esp, ..spec() });
    ike.handle(Input::Wanted("a", other), now);
    assert_eq!(done(&mut ike), ["terminate skybridge-a", "load a"]);
    ike.handle(Input::Loaded("a", Ok(())), now);
    assert_eq!(done(&mut ike), ["initiate a"]);
    let refused = || "no answer".to_owned();
    ike.handle(Input::Delayed("a", before, refused()), now);
    ike.handle(Input::Initiated("a", before, Err(refused())), now);
    assert_eq!((done(&mut ike).len(), retry(&ike)), (0, None));
    assert!(matches!(ike.state("a"), Some(State::Down(reason)) if reason.starts_with("calling")));
}

#[test]
fn a_tunnel_that_ends_after_a_while_is_called_again_at_once() {
    let (mut ike, now) = up();
    ike.handle(
        Input::Changed("a", Change::ChildDown(SaId(1))),
        now + LASTED,
    );
    assert_eq!(done(&mut ike), ["initiate a"]);
    assert!(matches!(ike.state("a"), Some(State::Down(reason)) if reason.contains("has ended it")));
}

#[test]
fn a_tunnel_that_ends_at_once_is_not_called_in_a_circle() {
    let (mut ike, now) = up();
    ike.handle(Input::Changed("a", Change::ChildDown(SaId(1))), now);
    assert_eq!(done(&mut ike), [""; 0]);
    let at = retry(&ike).expect("a retry is due");
    ike.handle(Input::Timeout, at);
    assert_eq!(done(&mut ike), ["initiate a"]);
}

#[test]
fn rekeying_never_takes_a_tunnel_down() {
    let (mut ike, now) = up();
    let rekeyed = Change::ChildRekeyed {
        old: SaId(1),
        new: child(2),
    };
    ike.handle(Input::Changed("a", rekeyed), now);
    assert_eq!(ike.state("a"), Some(State::Up(child(2))));
    let (old, new) = (SaId(1), SaId(9));
    ike.handle(Input::Changed("a", Change::IkeRekeyed { old, new }), now);
    ike.handle(Input::Changed("a", Change::IkeDown(old)), now);
    assert!(matches!(ike.state("a"), Some(State::Up(_))), "it has moved");
    ike.handle(Input::Changed("a", Change::IkeDown(new)), now);
    assert!(matches!(ike.state("a"), Some(State::Down(_))));
}

#[test]
fn of_two_children_one_may_go() {
    let (mut ike, now) = up();
    ike.handle(Input::Changed("a", Change::ChildUp(child(2))), now);
    ike.handle(Input::Changed("a", Change::ChildDown(SaId(1))), now);
    assert_eq!(done(&mut ike), [""; 0]);
    assert_eq!(ike.state("a"), Some(State::Up(child(2))));
}

#[test]
fn a_new_secret_is_loaded_and_ends_nothing() {
    let (mut ike, now) = up();
    let auth = Auth::Psk(Hidden::new(b"another".to_vec().into()));
    ike.handle(
        Input::Wanted("a", Box::new(IpsecSpec { auth, ..spec() })),
        now,
    );
    assert_eq!(done(&mut ike), ["load a"]);
    ike.handle(Input::Loaded("a", Ok(())), now);
    assert_eq!(done(&mut ike), [""; 0]);
}

#[test]
fn a_new_secret_between_an_association_and_the_answer_to_its_call_ends_nothing() {
    let (mut ike, now) = calling();
    ike.handle(Input::Changed("a", Change::ChildUp(child(1))), now);
    let auth = Auth::Psk(Hidden::new(b"another".to_vec().into()));
    let spec = Box::new(IpsecSpec { auth, ..spec() });
    ike.handle(Input::Wanted("a", spec), now);
    assert_eq!(done(&mut ike), ["load a"]);
    initiated(&mut ike, Ok(()), now);
    ike.handle(Input::Loaded("a", Ok(())), now);
    assert_eq!((done(&mut ike).len(), retry(&ike)), (0, None));
    assert_eq!(ike.state("a"), Some(State::Up(child(1))));
}

#[test]
fn other_proposals_end_what_was_made_with_the_old_ones_and_call_again() {
    let (mut ike, now) = up();
    let esp = vec!["aes128gcm16".to_owned()];
    ike.handle(
        Input::Wanted("a", Box::new(IpsecSpec { esp, ..spec() })),
        now,
    );
    assert_eq!(done(&mut ike), ["terminate skybridge-a", "load a"]);
    ike.handle(Input::Loaded("a", Ok(())), now);
    assert_eq!(done(&mut ike), [""; 0]);
    ike.handle(Input::Changed("a", Change::IkeDown(SaId(1))), now + LASTED);
    assert_eq!(done(&mut ike), ["initiate a"]);
}

#[test]
fn who_waits_to_be_called_never_calls() {
    let (mut ike, now) = (Ike::new(7), Instant::now());
    let initiator = Initiator::Them;
    ike.handle(
        Input::Wanted(
            "a",
            Box::new(IpsecSpec {
                initiator,
                ..spec()
            }),
        ),
        now,
    );
    ike.handle(connected(&[], &[]), now);
    ike.handle(Input::Loaded("a", Ok(())), now);
    assert_eq!(done(&mut ike), ["load a"]);
    assert!(
        matches!(ike.state("a"), Some(State::Down(reason)) if reason.starts_with("waiting for"))
    );
    assert_eq!(retry(&ike), None);
    assert!(ike.waiting("a").is_some());
    ike.handle(Input::Refused("a", "the keys differ".to_owned()), now);
    assert_eq!(
        ike.state("a"),
        Some(State::Down("the keys differ".to_owned()))
    );
    ike.handle(Input::Changed("a", Change::ChildUp(child(1))), now);
    assert!(ike.waiting("a").is_none());
    ike.handle(Input::Refused("a", "the keys differ".to_owned()), now);
    assert_eq!(ike.state("a"), Some(State::Up(child(1))));
}

#[test]
fn what_strongswan_does_not_take_is_loaded_again_later() {
    let (mut ike, now) = (Ike::new(7), Instant::now());
    ike.handle(Input::Wanted("a", Box::new(spec())), now);
    ike.handle(connected(&[], &[]), now);
    ike.handle(Input::Loaded("a", Err("invalid proposal".to_owned())), now);
    assert!(
        matches!(ike.state("a"), Some(State::Down(reason)) if reason.ends_with("invalid proposal"))
    );
    done(&mut ike);
    let at = retry(&ike).expect("a retry is due");
    ike.handle(Input::Timeout, at);
    assert_eq!(done(&mut ike), ["load a"]);
}

#[test]
fn a_tunnel_that_is_no_longer_wanted_is_removed_and_forgotten() {
    let (mut ike, now) = up();
    ike.handle(Input::Unwanted("a"), now);
    assert_eq!(done(&mut ike), ["remove skybridge-a"]);
    ike.handle(Input::Changed("a", Change::ChildUp(child(1))), now);
    initiated(&mut ike, Ok(()), now);
    assert_eq!((done(&mut ike).len(), ike.state("a")), (0, None));
}

#[test]
fn every_change_of_state_is_told_once() {
    let (mut ike, now) = calling();
    let told = |ike: &mut Ike| {
        std::iter::from_fn(|| ike.poll_output())
            .filter(|output| matches!(output, Output::State(_)))
            .count()
    };
    told(&mut ike);
    ike.handle(Input::Changed("a", Change::ChildUp(child(1))), now);
    assert_eq!(told(&mut ike), 1);
    ike.handle(Input::Changed("a", Change::ChildUp(child(1))), now);
    assert_eq!(told(&mut ike), 0);
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn inspected(conns: &[&str], with_secret: &[&str]) -> Input<'static> {
    Input::Inspected {
        conns: names(conns),
        with_secret: names(with_secret),
    }
}

#[test]
fn what_is_loaded_is_looked_at_every_30_seconds_while_there_is_a_strongswan() {
    let (mut ike, mut now) = up();
    for _ in 0..3 {
        let at = ike.poll_timeout().expect("the next look");
        assert_eq!(at, now + INSPECT_EVERY);
        now = at;
        ike.handle(Input::Timeout, now);
        assert_eq!(ike.poll_output(), Some(Output::Inspect));
        assert_eq!(ike.poll_output(), None);
    }
    ike.handle(Input::Lost("gone".to_owned()), now);
    assert_eq!(ike.poll_timeout(), None);
}

#[test]
fn a_connection_or_a_secret_that_somebody_removed_is_loaded_again_and_ends_nothing() {
    let ours = ["skybridge-a"];
    for (conns, with_secret) in [
        (&[][..], &ours[..]),
        (&["office"], &ours),
        (&ours, &[]),
        (&[], &[]),
    ] {
        let (mut ike, now) = up();
        ike.handle(inspected(&["office", "skybridge-a"], &ours), now);
        assert_eq!(done(&mut ike), [""; 0], "all is there");
        ike.handle(inspected(conns, with_secret), now);
        assert_eq!(done(&mut ike), ["load a"], "{conns:?} {with_secret:?}");
        assert_eq!(ike.state("a"), Some(State::Up(child(1))));
        ike.handle(Input::Loaded("a", Ok(())), now);
        assert_eq!(done(&mut ike), [""; 0]);
    }
}

#[test]
fn a_call_that_runs_is_not_disturbed_by_a_look() {
    let (mut ike, now) = calling();
    ike.handle(inspected(&[], &[]), now);
    assert_eq!(done(&mut ike), [""; 0]);
    initiated(&mut ike, Err("no such connection".to_owned()), now);
    let at = retry(&ike).expect("a retry is due");
    done(&mut ike);
    ike.handle(Input::Timeout, at);
    assert_eq!(done(&mut ike), ["load a"]);
}
