//! The text of an expression becomes a tree.

use crate::Wrong;

/// How deep groups may lie in each other: reading one takes a piece of the stack.
const DEEPEST: usize = 50;
/// RE_DUP_MAX of POSIX.
const MOST_REPEATS: u32 = 255;

/// The characters of a path, as numbers: the digits are themselves.
pub(crate) const SPACE: u8 = 10;
pub(crate) const COMMA: u8 = 11;
pub(crate) const OPEN: u8 = 12;
pub(crate) const CLOSE: u8 = 13;
const PARENTHESIS_OPENS: u8 = 14;
const PARENTHESIS_CLOSES: u8 = 15;

/// How many characters there are.
pub(crate) const SYMBOLS: usize = 16;

/// Some of the characters, a bit each.
pub(crate) type Symbols = u16;

const DIGITS: Symbols = 0b11_1111_1111;
pub(crate) const DELIMITERS: Symbols = !DIGITS;

#[derive(Debug)]
pub(crate) enum Node {
    /// One of these characters.
    One(Symbols),
    Start,
    End,
    Sequence(Vec<Self>),
    Either(Vec<Self>),
    Repeat {
        node: Box<Self>,
        min: u32,
        max: Option<u32>,
    },
}

pub(crate) fn parse(text: &str) -> Result<Node, Wrong> {
    let mut parser = Parser {
        characters: text.chars().collect(),
        at: 0,
        depth: 0,
    };
    let node = parser.either()?;
    match parser.peek() {
        None => Ok(node),
        Some(_) => Err(parser.wrong("there is no `(` for this `)`; write `\\)` for the character")),
    }
}

struct Parser {
    characters: Vec<char>,
    at: usize,
    depth: usize,
}

impl Parser {
    fn peek(&self) -> Option<char> {
        self.characters.get(self.at).copied()
    }

    fn take(&mut self, wanted: char) -> Option<char> {
        let found = self.peek().filter(|c| *c == wanted)?;
        self.at += 1;
        Some(found)
    }

    fn wrong(&self, problem: impl Into<String>) -> Wrong {
        Wrong {
            at: self.at + 1,
            problem: problem.into(),
        }
    }

    fn either(&mut self) -> Result<Node, Wrong> {
        let first = self.sequence()?;
        if self.peek() != Some('|') {
            return Ok(first);
        }
        let mut nodes = vec![first];
        while self.take('|').is_some() {
            nodes.push(self.sequence()?);
        }
        Ok(Node::Either(nodes))
    }

    fn sequence(&mut self) -> Result<Node, Wrong> {
        let mut nodes = Vec::new();
        while let Some(c) = self.peek() {
            if matches!(c, '|' | ')') {
                break;
            }
            let node = self.atom()?;
            nodes.push(self.repeats(node)?);
        }
        Ok(Node::Sequence(nodes))
    }

    /// One repetition at most: `x**` is a slip of the hand everywhere else too.
    fn repeats(&mut self, node: Node) -> Result<Node, Wrong> {
        let (min, max) = match self.peek() {
            Some('*') => (0, None),
            Some('+') => (1, None),
            Some('?') => (0, Some(1)),
            Some('{') => return self.counted(node),
            _ => return Ok(node),
        };
        self.at += 1;
        self.repeated(node, min, max)
    }

    fn repeated(&self, node: Node, min: u32, max: Option<u32>) -> Result<Node, Wrong> {
        if matches!(self.peek(), Some('*' | '+' | '?' | '{')) {
            return Err(self.wrong("this repeats a repetition; put `(…)` around the first"));
        }
        let node = Box::new(node);
        Ok(Node::Repeat { node, min, max })
    }

    fn counted(&mut self, node: Node) -> Result<Node, Wrong> {
        let begin = self.at;
        self.at += 1;
        let min = self.count();
        let max = match (min, self.take(',')) {
            (Some(_), Some(_)) if self.peek() == Some('}') => Some(None),
            (Some(_), Some(_)) => self.count().map(Some),
            (min, _) => min.map(Some),
        };
        let closed = self.take('}').is_some();
        match (min, max) {
            (Some(min), Some(max)) if closed && max.is_none_or(|max| min <= max) => {
                self.repeated(node, min, max)
            }
            _ => Err(Wrong {
                at: begin + 1,
                problem: format!(
                    "`{{` is no count such as `{{2}}` or `{{2,4}}`, at most {MOST_REPEATS}; write `\\{{` for the \
                     brace of a set"
                ),
            }),
        }
    }

    fn count(&mut self) -> Option<u32> {
        let mut number = None;
        while let Some(digit) = self.peek().and_then(|c| c.to_digit(10)) {
            self.at += 1;
            number = Some(number.unwrap_or(0) * 10 + digit).filter(|n| *n <= MOST_REPEATS);
            number?;
        }
        number
    }

    fn atom(&mut self) -> Result<Node, Wrong> {
        let Some(c) = self.peek() else {
            return Ok(Node::Sequence(Vec::new()));
        };
        let node = match c {
            '(' => return self.group(),
            '[' => return self.class(),
            '\\' => return self.escaped(),
            '*' | '+' | '?' => {
                return Err(self.wrong(format!("there is nothing that `{c}` repeats")));
            }
            '.' => Node::One(Symbols::MAX),
            '^' => Node::Start,
            '$' => Node::End,
            '_' => Node::Either(vec![Node::Start, Node::One(DELIMITERS), Node::End]),
            _ => Node::One(1 << self.symbol(c)?),
        };
        self.at += 1;
        Ok(node)
    }

    fn symbol(&self, c: char) -> Result<u8, Wrong> {
        symbol(c).ok_or_else(|| {
            let problem = match c {
                '"' | '\'' => "an AS path has no quotes".to_owned(),
                c => format!("an AS path has no {c:?}, only digits, spaces and `,{{}}()`"),
            };
            self.wrong(problem)
        })
    }

    fn group(&mut self) -> Result<Node, Wrong> {
        let opening = self.wrong("this `(` is not closed");
        if self.depth == DEEPEST {
            return Err(self.wrong(format!("groups lie in each other more than {DEEPEST} deep")));
        }
        self.at += 1;
        self.depth += 1;
        let node = self.either()?;
        self.depth -= 1;
        self.take(')').map(|_| node).ok_or(opening)
    }

    fn escaped(&mut self) -> Result<Node, Wrong> {
        self.at += 1;
        let Some(c) = self.peek() else {
            return Err(self.wrong("`\\` stands before nothing"));
        };
        if c == 'd' {
            return Err(self.wrong("write `[0-9]` for a digit"));
        }
        let node = Node::One(1 << self.symbol(c)?);
        self.at += 1;
        Ok(node)
    }

    fn class(&mut self) -> Result<Node, Wrong> {
        let opening = self.wrong("this `[` is not closed, or is empty");
        self.at += 1;
        let negated = self.take('^').is_some();
        let mut symbols: Symbols = 0;
        while let Some(c) = self.peek() {
            if c == ']' {
                break;
            }
            symbols |= self.range(c)?;
        }
        let closed = self.take(']').is_some();
        if !closed || symbols == 0 {
            return Err(opening);
        }
        let symbols = if negated { !symbols } else { symbols };
        if symbols == 0 {
            return Err(Wrong {
                problem: "this `[^…]` leaves no character over".to_owned(),
                ..opening
            });
        }
        Ok(Node::One(symbols))
    }

    fn range(&mut self, c: char) -> Result<Symbols, Wrong> {
        if c == '_' {
            return Err(self.wrong("`_` has no meaning in `[…]`; list the characters"));
        }
        let from = self.symbol(c)?;
        let begin = self.at;
        self.at += 1;
        if self.take('-').is_none() {
            return Ok(1 << from);
        }
        let to = self.peek().and_then(|c| c.to_digit(10));
        match to.filter(|to| from <= 9 && u32::from(from) <= *to) {
            Some(to) => {
                self.at += 1;
                Ok((u32::from(from)..=to).fold(0, |symbols, digit| symbols | 1 << digit))
            }
            None => Err(Wrong {
                at: begin + 1,
                problem: "a range goes from a digit to one that is not lower, such as `[2-5]`"
                    .to_owned(),
            }),
        }
    }
}

fn symbol(c: char) -> Option<u8> {
    match c {
        ' ' => Some(SPACE),
        ',' => Some(COMMA),
        '{' => Some(OPEN),
        '}' => Some(CLOSE),
        '(' => Some(PARENTHESIS_OPENS),
        ')' => Some(PARENTHESIS_CLOSES),
        digit => digit.to_digit(10).map(|digit| digit as u8),
    }
}
