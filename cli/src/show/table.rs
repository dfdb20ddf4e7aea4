//! Aligned columns, at most [`WIDTH`] wide where names and addresses allow.

use super::{Screen, Tone, WIDTH, clean};

/// The last column keeps so much, even if the line gets too wide: a rest that says nothing helps no
/// one.
const LEAST: usize = 24;

/// Which side of its column a cell keeps to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Align {
    Left,
    Right,
}

pub(crate) struct Cell {
    text: String,
    tone: Tone,
}

pub(crate) fn cell(text: impl AsRef<str>) -> Cell {
    toned(Tone::Plain, text)
}

pub(crate) fn toned(tone: Tone, text: impl AsRef<str>) -> Cell {
    Cell {
        text: clean(text.as_ref()),
        tone,
    }
}

/// Rows under a heading. The last column takes what is left of the width and is cut to it.
pub(crate) struct Table {
    columns: Vec<(&'static str, Align)>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// Columns by their headings; `>` before a heading aligns it to the right.
    pub(crate) fn new(headings: &[&'static str]) -> Self {
        let column = |heading: &&'static str| match heading.strip_prefix('>') {
            Some(heading) => (heading, Align::Right),
            None => (*heading, Align::Left),
        };
        Self {
            columns: headings.iter().map(column).collect(),
            rows: Vec::new(),
        }
    }

    /// As many cells as there are columns.
    pub(crate) fn row<const N: usize>(&mut self, cells: [Cell; N]) {
        debug_assert_eq!(N, self.columns.len());
        self.rows.push(cells.into());
    }

    pub(crate) fn render(&self, screen: &Screen) -> String {
        let headings: Vec<Cell> = self
            .columns
            .iter()
            .map(|(heading, _)| toned(Tone::Heading, heading))
            .collect();
        let widths = self.widths();
        let lines = std::iter::once(&headings).chain(&self.rows);
        lines
            .map(|cells| self.line(cells, &widths, screen))
            .collect()
    }

    fn widths(&self) -> Vec<usize> {
        let mut widths: Vec<usize> = self
            .columns
            .iter()
            .map(|(heading, _)| heading.chars().count())
            .collect();
        for (width, cell) in self.rows.iter().flat_map(|row| {
            row.iter()
                .enumerate()
                .map(|(i, cell)| (i, cell.text.chars().count()))
        }) {
            if let Some(column) = widths.get_mut(width) {
                *column = cell.max(*column);
            }
        }
        if let Some((last, others)) = widths.split_last_mut() {
            let used: usize = others.iter().map(|width| width + 2).sum();
            *last = (*last).min(WIDTH.saturating_sub(used).max(LEAST));
        }
        widths
    }

    fn line(&self, cells: &[Cell], widths: &[usize], screen: &Screen) -> String {
        let mut line = String::new();
        let mut gap = 0;
        for ((cell, width), (_, align)) in cells.iter().zip(widths).zip(&self.columns) {
            let text = cut(&cell.text, *width);
            let room = width - text.chars().count();
            let (before, after) = match align {
                Align::Left => (0, room),
                Align::Right => (room, 0),
            };
            // Blanks are written only when something follows: no line ends in blanks.
            if !text.is_empty() {
                line.push_str(&" ".repeat(gap + before));
                line.push_str(&screen.paint(cell.tone, &text));
                gap = after + 2;
            } else {
                gap += width + 2;
            }
        }
        line.push('\n');
        line
    }
}

/// At most `width` characters; `…` stands for the rest.
pub(crate) fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().take(width.saturating_sub(1)).collect();
    format!("{kept}…")
}

#[cfg(test)]
mod tests {
    use super::super::tests::screen;
    use super::super::{Colour, Screen};
    use super::*;

    fn table(text: &str) -> Table {
        let mut table = Table::new(&["NAME", ">COUNT", "TEXT"]);
        table.row([cell("a"), cell("1"), cell("")]);
        table.row([cell("longer"), cell("12345678"), toned(Tone::Bad, text)]);
        table
    }

    #[test]
    fn columns_are_aligned_and_lines_do_not_end_in_blanks() {
        let expected = "\
NAME       COUNT  TEXT
a              1
longer  12345678  x
";
        assert_eq!(table("x").render(&screen()), expected);
    }

    #[test]
    fn no_line_is_wider_than_100_columns() {
        let rendered = table(&"ä".repeat(200)).render(&screen());
        let widest = rendered.lines().map(|line| line.chars().count()).max();
        assert_eq!(widest, Some(WIDTH));
        assert!(rendered.ends_with("ä…\n"));
    }

    #[test]
    fn long_names_do_not_squeeze_out_the_last_column() {
        let mut table = Table::new(&["ADDRESS", "WHY"]);
        table.row([cell("a".repeat(WIDTH)), cell("hold timer expired")]);
        let rendered = table.render(&screen());
        assert!(
            rendered.ends_with("aaa  hold timer expired\n"),
            "{rendered}"
        );
    }

    #[test]
    fn colours_do_not_move_columns_and_foreign_escapes_do_not_pass() {
        let coloured = Screen {
            colour: Colour::On,
            ..screen()
        };
        let rendered = table("\u{1b}[2Jx").render(&coloured);
        assert!(
            rendered.contains("longer  12345678  \u{1b}[31m [2Jx\u{1b}[0m\n"),
            "{rendered:?}"
        );
    }
}
