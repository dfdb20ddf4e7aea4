//! Two routers of ours with two cables between them, and nothing else.

use std::time::Duration;

use anyhow::{Result, ensure};
use api::v1::LinkState;

use super::netns::{End, cable};
use super::nva::{Binaries, Nva};
use super::process::wait_for;
use super::scratch::Scratch;

const PATIENCE: Duration = Duration::from_secs(60);
/// The links, the preferred one first, and the interfaces that they are.
const LINKS: [&str; 2] = ["first", "second"];

/// Behind the near one is 10.1.0.1, behind the far one 10.2.0.1.
#[derive(Debug)]
pub struct Cables {
    /// The one that is looked at.
    pub near: Nva,
    /// What it sends to.
    pub far: Nva,
    _scratch: Scratch,
}

impl Cables {
    /// Both links are up, and the near one's route goes by the first, or by either if they are equal.
    ///
    /// - `priorities`: how both routers like the links
    /// - `group`: keys of the group of both links
    /// - `probe`: keys of their probes
    ///
    /// # Errors
    ///
    /// Without root, or when something does not come up.
    pub fn start(test: &str, priorities: Priorities, group: &str, probe: &str) -> Result<Self> {
        let mut scratch = Scratch::new(test)?;
        let ends = [scratch.namespace("near")?, scratch.namespace("far")?];
        for (number, interface) in LINKS.into_iter().enumerate() {
            let [near, far] = [0, 1].map(|side| format!("{}/30", address(number, side)));
            let end = |side: usize, address| End {
                namespace: &ends[side],
                interface,
                address,
            };
            cable(end(0, &near), end(1, &far))?;
        }
        for (side, end) in (1..).zip(&ends) {
            end.ip(&format!("addr add 10.{side}.0.1/16 dev lo"))?;
        }
        let binaries = Binaries::find()?;
        let start = |side: usize| -> Result<Nva> {
            let directory = scratch.directory().join(ends[side].name());
            let mut router = Nva::new(&ends[side], &directory, &binaries)?;
            router.configure(&intent(side, priorities, group, probe))?;
            router.start()?;
            Ok(router)
        };
        let mut cables = Self {
            near: start(0)?,
            far: start(1)?,
            _scratch: scratch,
        };
        match priorities {
            Priorities::InOrder => cables.wait_for("first")?,
            Priorities::Equal => cables.wait_for_any(&LINKS)?,
        }
        Ok(cables)
    }

    /// Until both links are up, and the near one's kernel sends by this one.
    ///
    /// # Errors
    ///
    /// When that does not come about.
    pub fn wait_for(&mut self, link: &str) -> Result<()> {
        self.wait_for_any(&[link])
    }

    fn wait_for_any(&mut self, wanted: &[&str]) -> Result<()> {
        wait_for(&format!("traffic over {wanted:?}"), PATIENCE, || {
            self.near.check_alive()?;
            self.far.check_alive()?;
            let links = self.near.links()?;
            let up = |it: &api::v1::Link| it.state() == LinkState::Up;
            ensure!(links.iter().all(up), "{links:?}");
            let route = self.near.namespace().ip("route get 10.2.0.1")?;
            let leads_over = |link: &&str| route.contains(&format!("dev {link} "));
            ensure!(wanted.iter().any(leads_over), "{route}");
            Ok(())
        })
    }

    /// Until a link of the near one is in this state.
    ///
    /// # Errors
    ///
    /// When it does not get there.
    pub fn wait_for_state(&mut self, link: &str, state: LinkState) -> Result<()> {
        wait_for(&format!("{link} {state:?}"), PATIENCE, || {
            self.near.check_alive()?;
            let links = self.near.links()?;
            let is_there = |it: &api::v1::Link| it.name == link && it.state() == state;
            ensure!(links.iter().any(is_there), "{links:?}");
            Ok(())
        })
    }

    /// Drops what comes to the near one over a link, or no longer does.
    ///
    /// # Errors
    ///
    /// When `nft` is missing.
    pub fn silence(&self, link: &str, silence: Silence) -> Result<()> {
        let rules = match silence {
            Silence::On => format!(
                "table netdev {link} {{ chain in {{ \
                 type filter hook ingress device \"{link}\" priority 0; policy drop; }}; }}"
            ),
            Silence::Off => format!("delete table netdev {link}"),
        };
        self.near.namespace().run("nft", &[&rules]).map(drop)
    }
}

/// How the links are to be liked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Priorities {
    /// The first better than the second.
    InOrder,
    /// Each as well as the other.
    Equal,
}

/// Whether anything comes in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Silence {
    /// Nothing does.
    On,
    /// Everything does.
    Off,
}

/// - `side`: 0 near, 1 far
fn address(number: usize, side: usize) -> String {
    format!("10.99.{number}.{}", side + 1)
}

fn intent(side: usize, priorities: Priorities, group: &str, probe: &str) -> String {
    let mut text = format!(
        "[router]\nname = \"r{side}\"\nasn = 6501{side}\nid = \"10.0.0.{}\"\n\
         [group.other]\n{group}\n[[filter.all]]\naction = \"accept\"\n",
        side + 1
    );
    text.push_str(&format!(
        "[originate]\nprefixes = [\"10.{}.0.0/16\"]\n",
        side + 1
    ));
    for (number, link) in LINKS.into_iter().enumerate() {
        text.push_str(&format!(
            "[link.{link}]\ninterface = \"{link}\"\ngroup = \"other\"\npriority = {}\n\
             inside = {{ local = \"{}/30\", remote = \"{}\" }}\nprobe = {{ {probe} }}\n\
             bgp = {{ asn = 6501{}, connect-retry = \"1s\", import = \"all\", export = \"all\" }}\n",
            match priorities {
                Priorities::InOrder => 10 * (number + 1),
                Priorities::Equal => 10,
            },
            address(number, side),
            address(number, 1 - side),
            1 - side,
        ));
    }
    text
}
