//! Where pages begin, guessed from line positions: HWP keeps for each line how far down its page it stands. A line
//! that stands higher than the one before begins a page, or the next column where the text has several.

/// One line of a top-level paragraph, in the file's own units.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct LinePlace {
    /// Position of its first character in the paragraph, in UTF-16 units.
    pub at: usize,
    pub down: i32,
    pub right: i32,
}

/// Counts pages over the lines of a document.
#[derive(Debug, Default)]
pub(super) struct Pages {
    page: u32,
    /// Columns that the text runs in, and the one that it is in.
    columns: u32,
    column: u32,
    last: Option<LinePlace>,
    lines: u32,
    /// Lines that stand where the one before stands, which no real layout does.
    stuck: u32,
}

impl Pages {
    /// A section begins on a page of its own.
    pub fn section(&mut self) {
        self.last = None;
        self.columns(1);
    }

    /// From the next line on, the text runs in this many columns.
    pub fn columns(&mut self, columns: u32) {
        (self.columns, self.column) = (columns.max(1), 0);
    }

    /// Takes the lines of one paragraph; `breaks`: the paragraph asks for a new page. Returns where pages begin.
    pub fn paragraph(&mut self, lines: &[LinePlace], breaks: bool) -> Vec<(usize, u32)> {
        let mut out = Vec::new();
        for (index, line) in lines.iter().enumerate() {
            let asked = breaks && index == 0;
            let begins = match self.last {
                None => true,
                Some(last) if asked => line.down <= last.down,
                Some(last) => line.down < last.down && self.leaves_column(),
            };
            if let Some(last) = self.last {
                self.stuck += u32::from(!asked && last.down == line.down && last.right == line.right);
            }
            if begins {
                (self.page, self.column) = (self.page + 1, 0);
                out.push((line.at, self.page));
            }
            self.last = Some(*line);
            self.lines += 1;
        }
        out
    }

    /// Goes on to the next column; tells whether that is the first one of a new page.
    fn leaves_column(&mut self) -> bool {
        self.column += 1;
        self.column >= self.columns
    }

    /// Did the lines move as lines on paper do? Programs that write such files without laying them out put all of
    /// them in one place.
    pub fn make_sense(&self) -> bool {
        self.lines > 0 && self.stuck * 4 <= self.lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(places: &[(i32, i32)]) -> Vec<LinePlace> {
        places.iter().enumerate().map(|(at, &(down, right))| LinePlace { at, down, right }).collect()
    }

    #[test]
    fn a_line_higher_up_begins_a_page() {
        let mut pages = Pages::default();
        assert_eq!(pages.paragraph(&lines(&[(0, 0), (1600, 0)]), false), [(0, 1)]);
        assert_eq!(pages.paragraph(&lines(&[(3200, 0), (0, 0), (1600, 0)]), false), [(1, 2)]);
        // One line on the page before, then a page that was asked for.
        assert_eq!(pages.paragraph(&lines(&[(0, 0)]), true), [(0, 3)]);
        assert_eq!(pages.paragraph(&lines(&[(0, 0)]), true), [(0, 4)]);
        pages.section();
        assert_eq!(pages.paragraph(&lines(&[(5000, 0)]), false), [(0, 5)]);
        assert!(pages.make_sense());
    }

    #[test]
    fn a_column_is_no_page() {
        let mut pages = Pages::default();
        pages.section();
        pages.columns(2);
        let two_columns = [(0, 0), (1600, 0), (0, 0), (1600, 0), (0, 0), (1600, 0), (0, 0), (0, 0)];
        assert_eq!(pages.paragraph(&lines(&two_columns), false), [(0, 1), (4, 2)]);
        // An indented line begins a page as well as any.
        pages.columns(1);
        assert_eq!(pages.paragraph(&lines(&[(3200, 0), (0, 2000)]), false), [(1, 3)]);
    }

    #[test]
    fn lines_that_never_move_say_nothing() {
        let mut pages = Pages::default();
        pages.paragraph(&lines(&[(0, 0); 8]), false);
        assert!(!pages.make_sense());
        assert!(!Pages::default().make_sense());
    }
}
