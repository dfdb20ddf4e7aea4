//! The program becomes a table: for each set of places that it can be in at once, where each character
//! leads. The search for a match anywhere in the path is part of the table: at each character the
//! program begins once more beside what it is doing.

use std::collections::BTreeMap;

use crate::parse::SYMBOLS;
use crate::program::{Instruction, Place, Program};

/// How many states a table may have: half a mebibyte.
const MOST_STATES: usize = 16_384;
/// How many instructions may be looked at while it is made.
const MOST_WORK: usize = 8_000_000;

/// Names a row of the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct State(u16);

#[derive(Debug)]
pub(crate) struct Automaton {
    rows: Vec<[State; SYMBOLS]>,
    matches_at_end: Vec<bool>,
}

impl Automaton {
    /// Once matched, whatever follows.
    pub(crate) const MATCHED: State = State(0);
    /// Before the first character.
    pub(crate) const INITIAL: State = State(1);

    /// `None` if the table would be too large.
    pub(crate) fn build(program: &Program) -> Option<Self> {
        let mut builder = Builder::new(program);
        let mut next = Self::INITIAL.0;
        while let Some(places) = builder.places.get(usize::from(next)).cloned() {
            builder.add_row(&places)?;
            next += 1;
        }
        Some(Self {
            rows: builder.rows,
            matches_at_end: builder.matches_at_end,
        })
    }

    pub(crate) fn step(&self, state: State, symbol: u8) -> State {
        self.rows[usize::from(state.0)][usize::from(symbol) % SYMBOLS]
    }

    pub(crate) fn matches_at_end(&self, state: State) -> bool {
        self.matches_at_end[usize::from(state.0)]
    }
}

/// Where in the path a closure is taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Position {
    is_start: bool,
    is_end: bool,
}

const INSIDE: Position = Position {
    is_start: false,
    is_end: false,
};

struct Builder<'p> {
    program: &'p Program,
    /// What each state stands for: sorted places of `One` and `End`.
    places: Vec<Vec<Place>>,
    known: BTreeMap<Vec<Place>, State>,
    rows: Vec<[State; SYMBOLS]>,
    matches_at_end: Vec<bool>,
    /// By place, the last closure that it was seen in.
    seen: Vec<usize>,
    closures: usize,
    work: usize,
}

impl<'p> Builder<'p> {
    fn new(program: &'p Program) -> Self {
        let mut builder = Self {
            program,
            places: vec![Vec::new()],
            known: BTreeMap::new(),
            rows: vec![[Automaton::MATCHED; SYMBOLS]],
            matches_at_end: vec![true],
            seen: vec![0; program.instructions.len()],
            closures: 0,
            work: 0,
        };
        // The initial state is never found again by its places: only it stands at the beginning.
        let start = Position {
            is_start: true,
            ..INSIDE
        };
        let places = builder.closure([program.entry], start);
        builder.places.push(places.unwrap_or_default());
        builder
    }

    fn add_row(&mut self, places: &[Place]) -> Option<()> {
        let is_start = self.rows.len() == usize::from(Automaton::INITIAL.0);
        let decided = is_start && self.is_matched_at_once();
        let mut targets: [Vec<Place>; SYMBOLS] = Default::default();
        for place in places {
            if let Instruction::One(symbols, next) = self.instruction(*place) {
                for (symbol, targets) in targets.iter_mut().enumerate() {
                    if symbols & (1 << symbol) != 0 {
                        targets.push(next);
                    }
                }
            }
        }
        let mut row = [Automaton::MATCHED; SYMBOLS];
        for (target, mut from) in row.iter_mut().zip(targets) {
            from.push(self.program.entry);
            if !decided {
                *target = self.state_of(from)?;
            }
        }
        let at_end = decided || self.matches_when_ended(places, is_start);
        self.rows.push(row);
        self.matches_at_end.push(at_end);
        Some(())
    }

    fn is_matched_at_once(&mut self) -> bool {
        let start = Position {
            is_start: true,
            ..INSIDE
        };
        self.closure([self.program.entry], start).is_none()
    }

    fn state_of(&mut self, from: Vec<Place>) -> Option<State> {
        let Some(places) = self.closure(from, INSIDE) else {
            return Some(Automaton::MATCHED);
        };
        if let Some(state) = self.known.get(&places) {
            return Some(*state);
        }
        if self.places.len() >= MOST_STATES || self.work > MOST_WORK {
            return None;
        }
        let state = State(self.places.len() as u16);
        self.known.insert(places.clone(), state);
        self.places.push(places);
        Some(state)
    }

    fn matches_when_ended(&mut self, places: &[Place], is_start: bool) -> bool {
        let ends: Vec<Place> = places
            .iter()
            .filter(|place| matches!(self.instruction(**place), Instruction::End(_)))
            .copied()
            .collect();
        let position = Position {
            is_start,
            is_end: true,
        };
        self.closure(ends, position).is_none()
    }

    /// The places that are reached without a character, sorted; `None` if the program matches.
    fn closure(
        &mut self,
        from: impl IntoIterator<Item = Place>,
        position: Position,
    ) -> Option<Vec<Place>> {
        self.closures += 1;
        let mut stack: Vec<Place> = from.into_iter().collect();
        let mut reached = Vec::new();
        while let Some(place) = stack.pop() {
            self.work += 1;
            let seen = self.seen.get_mut(place as usize)?;
            if std::mem::replace(seen, self.closures) == self.closures {
                continue;
            }
            match self.instruction(place) {
                Instruction::Matched => return None,
                Instruction::One(..) => reached.push(place),
                Instruction::Split(a, b) => stack.extend([a, b]),
                Instruction::Start(next) => stack.extend(position.is_start.then_some(next)),
                Instruction::End(next) if position.is_end => stack.push(next),
                Instruction::End(_) => reached.push(place),
            }
        }
        reached.sort_unstable();
        Some(reached)
    }

    fn instruction(&self, place: Place) -> Instruction {
        self.program.instructions[place as usize]
    }
}
