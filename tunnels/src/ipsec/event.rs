//! What strongSwan says about security associations, in our words: pure.

use super::{conn, vici::Message};

/// The events that [`read`] understands.
pub const EVENTS: [&str; 4] = ["ike-updown", "child-updown", "ike-rekey", "child-rekey"];

/// Numbers of associations are strongSwan's own, unique while it runs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct SaId(pub u32);

/// A pair of CHILD_SAs, which carries packets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Child {
    /// Its own number.
    pub id: SaId,
    /// The IKE SA that it belongs to.
    pub ike: SaId,
    /// The cipher: `AES_GCM_16-256`; empty if not said.
    pub cipher: String,
    /// Whether it travels in UDP.
    pub in_udp: bool,
}

/// What happened to a link of ours.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// A CHILD_SA carries packets.
    ChildUp(Child),
    /// One no longer does.
    ChildDown(SaId),
    /// One has taken the place of another.
    ChildRekeyed {
        /// Which one goes.
        old: SaId,
        /// Which one comes.
        new: Child,
    },
    /// An IKE SA is gone, and its children with it.
    IkeDown(SaId),
    /// An IKE SA has taken the place of another, and its children with it.
    IkeRekeyed {
        /// Which one goes.
        old: SaId,
        /// Which one comes.
        new: SaId,
    },
}

/// The links that an event is about, and what happened to each. What is not ours or not understood is
/// left out.
#[must_use]
pub fn read(event: &str, message: &Message) -> Vec<(String, Change)> {
    let up = message.text("up") == Some("yes");
    let ours = message
        .sections()
        .filter_map(|(name, ike)| Some((conn::link(name)?, ike)));
    let changes = ours.flat_map(|(link, ike)| {
        let changes = match event {
            "child-updown" if up => children(ike).map(Change::ChildUp).collect(),
            "child-updown" => children(ike)
                .map(|child| Change::ChildDown(child.id))
                .collect(),
            "ike-updown" if !up => id(ike).map(Change::IkeDown).into_iter().collect(),
            "ike-rekey" => ike_rekeyed(ike).into_iter().collect(),
            "child-rekey" => child_rekeyed(ike),
            _ => Vec::new(),
        };
        changes
            .into_iter()
            .map(move |change| (link.to_owned(), change))
    });
    changes.collect()
}

/// One IKE SA of an answer to `list-sas`: the links that are ours, with the children that carry packets.
#[must_use]
pub fn listed(message: &Message) -> Vec<(String, Vec<Child>)> {
    let ours = message
        .sections()
        .filter_map(|(name, ike)| Some((conn::link(name)?, ike)));
    ours.map(|(link, ike)| {
        let sections = ike
            .section("child-sas")
            .into_iter()
            .flat_map(Message::sections);
        let carrying = sections.filter(|(_, child)| {
            matches!(
                child.text("state"),
                Some("INSTALLED" | "REKEYING" | "UPDATING")
            )
        });
        let children = carrying.filter_map(|(_, child)| self::child(child, id(ike)?));
        (link.to_owned(), children.collect())
    })
    .collect()
}

fn id(section: &Message) -> Option<SaId> {
    section.number("uniqueid").map(SaId)
}

fn children(ike: &Message) -> impl Iterator<Item = Child> {
    let sections = ike
        .section("child-sas")
        .into_iter()
        .flat_map(Message::sections);
    sections.filter_map(move |(_, child)| self::child(child, id(ike)?))
}

fn child(section: &Message, ike: SaId) -> Option<Child> {
    let part = |key| section.text(key).unwrap_or_default();
    let mut cipher = part("encr-alg").to_owned();
    for more in [part("encr-keysize"), part("integ-alg")] {
        if !more.is_empty() {
            cipher.push(if more == part("encr-keysize") {
                '-'
            } else {
                '/'
            });
            cipher.push_str(more);
        }
    }
    Some(Child {
        id: id(section)?,
        ike,
        cipher,
        in_udp: section.text("encap") == Some("yes"),
    })
}

fn ike_rekeyed(ike: &Message) -> Option<Change> {
    Some(Change::IkeRekeyed {
        old: id(ike.section("old")?)?,
        new: id(ike.section("new")?)?,
    })
}

fn child_rekeyed(ike: &Message) -> Vec<Change> {
    let sections = ike
        .section("child-sas")
        .into_iter()
        .flat_map(Message::sections);
    let rekeyed = sections.filter_map(|(_, both)| {
        Some(Change::ChildRekeyed {
            old: id(both.section("old")?)?,
            new: child(both.section("new")?, id(ike)?)?,
        })
    });
    rekeyed.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sa(id: u32) -> Message {
        Message::new().with("uniqueid", id.to_string())
    }

    fn with_children(ike: u32, child: Message) -> Message {
        let children = Message::new().with_section("skybridge-a", child);
        Message::new().with_section("skybridge-a", sa(ike).with_section("child-sas", children))
    }

    fn plain(id: u32, ike: u32) -> Child {
        Child {
            id: SaId(id),
            ike: SaId(ike),
            cipher: String::new(),
            in_udp: false,
        }
    }

    #[test]
    fn a_child_comes_with_its_cipher_and_goes_by_its_number() {
        let child = sa(5)
            .with("encr-alg", "AES_CBC")
            .with("encr-keysize", "256")
            .with("integ-alg", "HMAC_SHA2_256_128")
            .with("encap", "yes");
        let message = with_children(1, child);
        let expected = Child {
            cipher: "AES_CBC-256/HMAC_SHA2_256_128".to_owned(),
            in_udp: true,
            ..plain(5, 1)
        };
        let up = message.clone().with("up", "yes");
        assert_eq!(
            read("child-updown", &up),
            [("a".to_owned(), Change::ChildUp(expected))]
        );
        let down = ("a".to_owned(), Change::ChildDown(SaId(5)));
        assert_eq!(read("child-updown", &message), [down]);
    }

    #[test]
    fn what_takes_the_place_of_another_is_said_with_both_numbers() {
        let both = Message::new()
            .with_section("old", sa(5))
            .with_section("new", sa(6));
        let changes = read("child-rekey", &with_children(1, both.clone()));
        let expected = Change::ChildRekeyed {
            old: SaId(5),
            new: plain(6, 1),
        };
        assert_eq!(changes, [("a".to_owned(), expected)]);
        let changes = read(
            "ike-rekey",
            &Message::new().with_section("skybridge-a", both),
        );
        let expected = Change::IkeRekeyed {
            old: SaId(5),
            new: SaId(6),
        };
        assert_eq!(changes, [("a".to_owned(), expected)]);
    }

    #[test]
    fn connections_of_others_and_what_is_not_understood_are_left_out() {
        let foreign = Message::new().with_section("office", sa(1));
        let nameless = Message::new().with_section("skybridge-a", Message::new());
        for event in EVENTS {
            assert_eq!(read(event, &foreign), []);
            assert_eq!(read(event, &nameless), []);
        }
        assert_eq!(read("alert", &with_children(1, sa(2))), []);
    }

    #[test]
    fn a_listing_has_the_children_that_carry_packets() {
        let message = with_children(1, sa(5).with("state", "INSTALLED"));
        assert_eq!(listed(&message), [("a".to_owned(), vec![plain(5, 1)])]);
        let message = with_children(1, sa(5).with("state", "CREATED"));
        assert_eq!(listed(&message), [("a".to_owned(), vec![])]);
    }
}
