//! The tree becomes a program for a machine that is in several places at once (Thompson's).

use crate::parse::{Node, Symbols};

/// How many instructions a program may have, and twice as many nodes may be visited for it: empty
/// groups cost visits only.
const LONGEST: usize = 8192;

/// Names an instruction.
pub(crate) type Place = u32;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Instruction {
    /// One of these characters, then the next instruction.
    One(Symbols, Place),
    /// Goes on in both places.
    Split(Place, Place),
    /// Goes on at the beginning of the path only.
    Start(Place),
    /// Goes on at its end only.
    End(Place),
    Matched,
}

#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) instructions: Vec<Instruction>,
    pub(crate) entry: Place,
}

/// `None` if the program would be too long.
pub(crate) fn compile(node: &Node) -> Option<Program> {
    let mut compiler = Compiler {
        instructions: Vec::new(),
        visits: 0,
    };
    let matched = compiler.emit(Instruction::Matched)?;
    let entry = compiler.node(node, matched)?;
    Some(Program {
        instructions: compiler.instructions,
        entry,
    })
}

struct Compiler {
    instructions: Vec<Instruction>,
    visits: usize,
}

impl Compiler {
    fn emit(&mut self, instruction: Instruction) -> Option<Place> {
        let place = self.instructions.len();
        self.instructions.push(instruction);
        (place < LONGEST).then_some(place as Place)
    }

    /// Where to begin so that `node` is followed by what is at `next`.
    fn node(&mut self, node: &Node, next: Place) -> Option<Place> {
        self.visits += 1;
        if self.visits > 2 * LONGEST {
            return None;
        }
        match node {
            Node::One(symbols) => self.emit(Instruction::One(*symbols, next)),
            Node::Start => self.emit(Instruction::Start(next)),
            Node::End => self.emit(Instruction::End(next)),
            Node::Sequence(nodes) => nodes
                .iter()
                .rev()
                .try_fold(next, |next, node| self.node(node, next)),
            Node::Either(nodes) => self.either(nodes, next),
            Node::Repeat { node, min, max } => self.repeat(node, *min, *max, next),
        }
    }

    fn either(&mut self, nodes: &[Node], next: Place) -> Option<Place> {
        let (last, others) = nodes.split_last()?;
        let mut entry = self.node(last, next)?;
        for node in others {
            let place = self.node(node, next)?;
            entry = self.emit(Instruction::Split(place, entry))?;
        }
        Some(entry)
    }

    fn repeat(&mut self, node: &Node, min: u32, max: Option<u32>, next: Place) -> Option<Place> {
        let mut entry = match max {
            None => self.any_times(node, next)?,
            Some(max) => {
                let mut entry = next;
                for _ in min..max {
                    let place = self.node(node, entry)?;
                    entry = self.emit(Instruction::Split(place, next))?;
                }
                entry
            }
        };
        for _ in 0..min {
            entry = self.node(node, entry)?;
        }
        Some(entry)
    }

    fn any_times(&mut self, node: &Node, next: Place) -> Option<Place> {
        let split = self.emit(Instruction::Split(next, next))?;
        let body = self.node(node, split)?;
        if let Some(instruction) = self.instructions.get_mut(split as usize) {
            *instruction = Instruction::Split(body, next);
        }
        Some(split)
    }
}
