//! Markdown as a flat list of blocks, which both writers walk. Pictures and links keep only their words; HTML is text.

use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd};

/// Words with their weight.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Run {
    pub text: String,
    pub bold: bool,
    pub italic: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Block {
    Heading(usize, Vec<Run>),
    Paragraph(Vec<Run>),
    /// Depth from 0; the number of an ordered item, `None` for a bullet.
    Item(usize, Option<u64>, Vec<Run>),
    /// Rows of cells; the first row is the header.
    Table(Vec<Vec<Vec<Run>>>),
}

/// Parses GitHub-flavoured Markdown.
pub(super) fn blocks(markdown: &str) -> Vec<Block> {
    let mut collector = Collector::default();
    for event in Parser::new_ext(markdown, Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH) {
        collector.event(event);
    }
    collector.close();
    collector.out
}

#[derive(Default)]
struct Collector {
    out: Vec<Block>,
    runs: Vec<Run>,
    bold: usize,
    italic: usize,
    heading: Option<usize>,
    lists: Vec<Option<u64>>,
    /// The item whose first paragraph is still to come.
    item: Option<Option<u64>>,
    rows: Vec<Vec<Vec<Run>>>,
    in_table: bool,
}

impl Collector {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) | Event::Code(text) | Event::Html(text) | Event::InlineHtml(text) => self.text(&text),
            Event::SoftBreak => self.text(" "),
            Event::HardBreak => self.text("\n"),
            _ => {}
        }
    }

    fn start(&mut self, tag: Tag<'_>) {
        match tag {
            Tag::Heading { level, .. } => {
                self.close();
                self.heading = Some(depth(level));
            }
            Tag::Paragraph | Tag::CodeBlock(_) | Tag::HtmlBlock | Tag::BlockQuote(_) => self.close(),
            Tag::List(first) => {
                self.close();
                self.lists.push(first);
            }
            Tag::Item => {
                self.close();
                self.item = Some(match self.lists.last_mut() {
                    Some(Some(next)) => {
                        *next = next.saturating_add(1);
                        Some(next.saturating_sub(1))
                    }
                    _ => None,
                });
            }
            Tag::Table(_) => {
                self.close();
                self.in_table = true;
            }
            Tag::TableHead | Tag::TableRow => self.rows.push(Vec::new()),
            Tag::Strong => self.bold += 1,
            Tag::Emphasis => self.italic += 1,
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::TableCell => {
                let cell = std::mem::take(&mut self.runs);
                if let Some(row) = self.rows.last_mut() {
                    row.push(cell);
                }
            }
            TagEnd::Table => {
                self.in_table = false;
                self.out.push(Block::Table(std::mem::take(&mut self.rows)));
            }
            TagEnd::List(_) => {
                self.close();
                self.lists.pop();
            }
            TagEnd::Item => {
                self.close();
                self.item = None;
            }
            TagEnd::Strong => self.bold = self.bold.saturating_sub(1),
            TagEnd::Emphasis => self.italic = self.italic.saturating_sub(1),
            TagEnd::Paragraph | TagEnd::Heading(_) | TagEnd::CodeBlock | TagEnd::HtmlBlock => self.close(),
            _ => {}
        }
    }

    fn text(&mut self, text: &str) {
        // Characters that XML cannot hold.
        let text: String = text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect();
        let (bold, italic) = (self.bold > 0, self.italic > 0);
        match self.runs.last_mut() {
            Some(run) if run.bold == bold && run.italic == italic => run.text.push_str(&text),
            _ => self.runs.push(Run { text, bold, italic }),
        }
    }

    /// Ends the open block.
    fn close(&mut self) {
        if self.in_table {
            return;
        }
        let runs = std::mem::take(&mut self.runs);
        let heading = self.heading.take();
        if runs.iter().all(|r| r.text.trim().is_empty()) {
            return;
        }
        self.out.push(match (heading, self.item.take()) {
            (Some(level), _) => Block::Heading(level, runs),
            (None, Some(number)) => Block::Item(self.lists.len().saturating_sub(1), number, runs),
            (None, None) => Block::Paragraph(runs),
        });
    }
}

fn depth(level: HeadingLevel) -> usize {
    level as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(runs: &[Run]) -> String {
        runs.iter().map(|r| r.text.as_str()).collect()
    }

    #[test]
    fn blocks_in_order() {
        let found = blocks("# 제목\n\n글 **굵게** [1]\n\n1. 하나\n2. 둘\n   - 안\n\n| 가 | 나 |\n|--|--|\n| 1 | 2 |\n");
        assert!(matches!(&found[0], Block::Heading(1, runs) if plain(runs) == "제목"));
        assert!(matches!(&found[1], Block::Paragraph(runs) if plain(runs) == "글 굵게 [1]" && runs[1].bold));
        assert!(matches!(&found[2], Block::Item(0, Some(1), runs) if plain(runs) == "하나"));
        assert!(matches!(&found[3], Block::Item(0, Some(2), runs) if plain(runs) == "둘"));
        assert!(matches!(&found[4], Block::Item(1, None, runs) if plain(runs) == "안"));
        assert!(matches!(&found[5], Block::Table(rows) if rows.len() == 2 && plain(&rows[1][1]) == "2"));
    }
}
