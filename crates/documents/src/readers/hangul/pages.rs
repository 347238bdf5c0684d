//! Where pages begin, guessed from line positions: HWP keeps for each line how far down its page it stands. A line
//! that stands higher than the one before begins a page, or a column when it also stands further right.

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
    last: Option<LinePlace>,
    lines: u32,
    /// Lines that stand where the one before stands, which no real layout does.
    stuck: u32,
}

impl Pages {
    /// A section begins on a page of its own.
    pub fn section(&mut self) {
        self.last = None;
    }

    /// Takes the lines of one paragraph; `breaks`: the paragraph asks for a new page. Returns where pages begin.
    pub fn paragraph(&mut self, lines: &[LinePlace], breaks: bool) -> Vec<(usize, u32)> {
        let mut out = Vec::new();
        for (index, line) in lines.iter().enumerate() {
            let asked = breaks && index == 0;
            let begins = match self.last {
                None => true,
                Some(last) if asked => line.down <= last.down,
                Some(last) => line.down < last.down && line.right <= last.right,
            };
            if let Some(last) = self.last {
                self.stuck += u32::from(!asked && last.down == line.down && last.right == line.right);
            }
            if begins {
                self.page += 1;
                out.push((line.at, self.page));
            }
            self.last = Some(*line);
            self.lines += 1;
        }
        out
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
        let two_columns = [(0, 0), (1600, 0), (0, 24000), (1600, 24000), (0, 0)];
        assert_eq!(pages.paragraph(&lines(&two_columns), false), [(0, 1), (4, 2)]);
    }

    #[test]
    fn lines_that_never_move_say_nothing() {
        let mut pages = Pages::default();
        pages.paragraph(&lines(&[(0, 0); 8]), false);
        assert!(!pages.make_sense());
        assert!(!Pages::default().make_sense());
    }
}
