//! The program at the other end, whichever it is.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use rustix::process::Signal;

use super::gobgp::GoBgp;
use super::held::first;
use super::{Announced, Family, Paths, Table, Terms, bird, frr};
use crate::lab::gateway::{Bird, Frr};
use crate::lab::netns::Namespace;
use crate::lab::process::Process;

/// Speakers that are not ours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Program {
    /// FRRouting.
    Frr,
    /// BIRD.
    Bird,
    /// GoBGP.
    GoBgp,
}

impl Program {
    /// A letter for names of namespaces.
    pub fn initial(self) -> char {
        match self {
            Self::Frr => 'f',
            Self::Bird => 'b',
            Self::GoBgp => 'g',
        }
    }
}

/// BIRD has to be told that it restarts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Start {
    First,
    Again,
}

/// One that runs.
#[derive(Debug)]
pub struct Other {
    speaker: Speaker,
    terms: Terms,
    namespace: Namespace,
    directory: PathBuf,
}

#[derive(Debug)]
enum Speaker {
    Frr(Frr),
    Bird(Bird),
    GoBgp(GoBgp),
}

impl Other {
    /// Starts it with what the terms say.
    ///
    /// # Errors
    ///
    /// When it is not installed or does not come up.
    pub(super) fn start(
        program: Program,
        namespace: &Namespace,
        directory: &Path,
        terms: &Terms,
    ) -> Result<Self> {
        Self::start_as(program, namespace, directory, terms, Start::First)
    }

    fn start_as(
        program: Program,
        namespace: &Namespace,
        directory: &Path,
        terms: &Terms,
        start: Start,
    ) -> Result<Self> {
        let speaker = match program {
            Program::Frr => {
                let (peer, config) = (terms.ours(), frr::config(terms));
                Speaker::Frr(Frr::launch(namespace, directory, peer, &config)?)
            }
            Program::Bird => {
                let config = bird::config(terms);
                Speaker::Bird(match start {
                    Start::First => Bird::launch(namespace, directory, &config)?,
                    Start::Again => Bird::recover(namespace, directory, &config)?,
                })
            }
            Program::GoBgp => Speaker::GoBgp(GoBgp::start(namespace, directory, terms)?),
        };
        Ok(Self {
            speaker,
            terms: terms.clone(),
            namespace: namespace.clone(),
            directory: directory.to_owned(),
        })
    }

    /// Where it runs.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// The state of the session as it says itself: "Established", "Active", ...
    ///
    /// # Errors
    ///
    /// When it does not answer.
    pub fn session_state(&self) -> Result<String> {
        match &self.speaker {
            Speaker::Frr(frr) => frr.session_state(),
            Speaker::Bird(bird) => bird.session_state(),
            Speaker::GoBgp(gobgp) => gobgp.session_state(),
        }
    }

    /// What it holds from the router under test: the first path of each prefix.
    ///
    /// # Errors
    ///
    /// When it does not answer, or says what it never did.
    pub fn received(&self, family: Family) -> Result<Table> {
        self.received_paths(family).map(first)
    }

    /// What it holds from the router under test, where several paths a prefix may be told.
    ///
    /// # Errors
    ///
    /// As [`Other::received`].
    pub fn received_paths(&self, family: Family) -> Result<Paths> {
        let mut table = match &self.speaker {
            Speaker::Frr(frr) => frr::received(frr, family, &self.terms)?,
            Speaker::Bird(bird) => bird::received(bird, family)?,
            Speaker::GoBgp(gobgp) => gobgp.received(family)?,
        };
        for paths in table.values_mut() {
            for held in paths.iter_mut() {
                held.med = held.med.filter(|med| *med != 0);
                held.local_pref = held.local_pref.filter(|_| self.terms.is_internal());
            }
            paths.sort();
        }
        Ok(table)
    }

    /// Announces exactly these from now on, instead of what it did.
    ///
    /// # Errors
    ///
    /// When it refuses.
    pub fn announce(&mut self, announced: &[Announced]) -> Result<()> {
        let old = std::mem::replace(&mut self.terms.announced, announced.to_vec());
        match &self.speaker {
            Speaker::Frr(frr) => frr::change(frr, &old, &self.terms),
            Speaker::Bird(bird) => bird::configure(bird, &self.terms),
            Speaker::GoBgp(gobgp) => gobgp.change(&old, announced),
        }
    }

    /// Asks the router for its routes again (RFC 2918).
    ///
    /// # Errors
    ///
    /// When it refuses; always for GoBGP, which has no command for that.
    pub fn ask_for_refresh(&self) -> Result<()> {
        let router = self.terms.ours();
        match &self.speaker {
            Speaker::Frr(frr) => frr.vtysh(&[&format!("clear bgp {router} soft in")]),
            Speaker::Bird(bird) => bird.birdc("reload in nva"),
            Speaker::GoBgp(_) => bail!("GoBGP never asks"),
        }
        .map(drop)
    }

    /// Ends the session for good, with a communication where the program can (RFC 9003).
    ///
    /// # Errors
    ///
    /// When it refuses.
    pub fn shut_down(&self, text: &str) -> Result<()> {
        let router = self.terms.ours().to_string();
        match &self.speaker {
            Speaker::Frr(frr) => frr.vtysh(&[
                "configure terminal",
                &format!("router bgp {}", self.terms.their_asn),
                &format!("neighbor {router} shutdown message {text}"),
            ]),
            Speaker::Bird(bird) => bird.birdc(&format!("disable nva \"{text}\"")),
            Speaker::GoBgp(gobgp) => {
                gobgp.ask(&["neighbor", &router, "shutdown", "--reason", text])
            }
        }
        .map(drop)
    }

    /// GoBGP's own command line, where a test asks what only GoBGP has.
    ///
    /// # Errors
    ///
    /// When it is another program, or refuses.
    pub fn gobgp(&self, words: &[&str]) -> Result<String> {
        match &self.speaker {
            Speaker::GoBgp(gobgp) => gobgp.ask(words),
            Speaker::Frr(_) | Speaker::Bird(_) => bail!("this is not GoBGP"),
        }
    }

    /// BIRD's own command line, where a test asks what only BIRD has.
    ///
    /// # Errors
    ///
    /// When it is another program, or does not answer.
    pub fn birdc(&self, words: &str) -> Result<String> {
        match &self.speaker {
            Speaker::Bird(bird) => bird.birdc(words),
            Speaker::Frr(_) | Speaker::GoBgp(_) => bail!("this is not BIRD"),
        }
    }

    /// FRR, where a test asks what only FRR has.
    pub fn frr(&self) -> Option<&Frr> {
        match &self.speaker {
            Speaker::Frr(frr) => Some(frr),
            Speaker::Bird(_) | Speaker::GoBgp(_) => None,
        }
    }

    /// Sends a signal to the process that speaks BGP.
    ///
    /// # Errors
    ///
    /// When it is gone.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        self.process()?.signal(signal)
    }

    /// Kills it without a farewell.
    ///
    /// # Errors
    ///
    /// When waiting for its end fails.
    pub fn kill(&mut self) -> Result<()> {
        self.process()?.kill()
    }

    /// Kills it without a farewell, and starts it again.
    ///
    /// # Errors
    ///
    /// As [`Other::kill`], or when it does not come up.
    pub fn restart(&mut self) -> Result<()> {
        self.kill()?;
        self.start_again(&self.terms.announced.clone())
    }

    /// Starts it again after [`Other::kill`], with other routes.
    ///
    /// # Errors
    ///
    /// When it does not come up.
    pub fn start_again(&mut self, announced: &[Announced]) -> Result<()> {
        if let Speaker::Frr(frr) = &mut self.speaker {
            frr.processes().iter_mut().try_for_each(Process::kill)?;
        }
        let terms = Terms {
            announced: announced.to_vec(),
            ..self.terms.clone()
        };
        let (namespace, directory) = (self.namespace.clone(), self.directory.clone());
        *self = Self::start_as(self.program(), &namespace, &directory, &terms, Start::Again)?;
        Ok(())
    }

    fn program(&self) -> Program {
        match &self.speaker {
            Speaker::Frr(_) => Program::Frr,
            Speaker::Bird(_) => Program::Bird,
            Speaker::GoBgp(_) => Program::GoBgp,
        }
    }

    /// What it logged last.
    pub(super) fn log_tail(&self) -> String {
        let process = match &self.speaker {
            Speaker::Frr(frr) => frr.bgpd(),
            Speaker::Bird(bird) => Some(bird.process()),
            Speaker::GoBgp(gobgp) => Some(gobgp.process()),
        };
        process
            .map(|process| process.log_tail(15))
            .unwrap_or_default()
    }

    fn process(&mut self) -> Result<&mut Process> {
        match &mut self.speaker {
            Speaker::Frr(frr) => frr.processes().last_mut().context("FRR does not run"),
            Speaker::Bird(bird) => bird.processes().last_mut().context("BIRD does not run"),
            Speaker::GoBgp(gobgp) => Ok(gobgp.process_mut()),
        }
    }
}
