//! A list that is written anew keeps what a person wrote into it: what says the same as before stands in the same words,
//! with its comments, its order and its spaces.

use toml::Table;

/// A key with its value, a comment or an empty line before it included.
struct Item {
    /// Comments and empty lines before it.
    lead: String,
    text: String,
    value: Table,
}

/// What stands below one header; the first has none.
struct Section {
    lead: String,
    header: String,
    items: Vec<Item>,
}

impl Section {
    fn value(&self) -> Table {
        self.items.iter().flat_map(|i| i.value.clone()).collect()
    }

    fn write(&self, out: &mut String) {
        out.push_str(&self.lead);
        out.push_str(&self.header);
        for item in &self.items {
            out.push_str(&item.lead);
            out.push_str(&item.text);
        }
    }

    /// `self` with the words of `old` for every key whose value stayed, and the comments of every key that is still there.
    fn in_the_words_of(self, old: Section) -> Section {
        let key = |item: &Item| item.value.keys().next().cloned();
        let mut fresh: Vec<Item> = self.items;
        let mut items: Vec<Item> = Vec::new();
        for item in old.items {
            let Some(at) = fresh.iter().position(|f| key(f) == key(&item)) else { continue };
            let new = fresh.remove(at);
            let text = if new.value == item.value { item.text } else { new.text };
            items.push(Item { lead: item.lead, text, value: new.value });
        }
        items.append(&mut fresh);
        Section { lead: old.lead, header: old.header, items }
    }
}

/// `new` in the words of `old` as far as both say the same. Both are whole TOML documents; `None` where one is not
/// understood, so that the caller writes `new` as it is.
pub(super) fn in_old_words(old: &str, new: &str) -> Option<String> {
    let (mut before, tail) = sections(old)?;
    let (after, _) = sections(new)?;
    let mut out = String::new();
    for section in after {
        let value = section.value();
        let same = before.iter().position(|b| b.header.trim() == section.header.trim() && b.value() == value);
        // Of several below one header, the entry of the same name: one written by hand may leave out what has a default.
        let same_name = |b: &Section| value.get("name").is_some_and(|name| b.value().get("name") == Some(name));
        let named = |b: &Section| !section.header.starts_with("[[") || same_name(b);
        let of_name = || before.iter().position(|b| header(b) == header(&section) && named(b));
        match same.or_else(of_name) {
            Some(at) => section.in_the_words_of(before.remove(at)).write(&mut out),
            None => {
                if !out.is_empty() && !out.ends_with("\n\n") && !section.lead.starts_with('\n') {
                    out.push('\n');
                }
                section.write(&mut out);
            }
        }
    }
    out.push_str(&tail);
    // Whatever was misread above, what is written says what it must.
    let says = |text: &str| toml::from_str::<Table>(text).ok();
    (says(&out)? == says(new)?).then_some(out)
}

/// `[roles]` of `[roles]  # who does what`.
fn header(section: &Section) -> &str {
    section.header.split('#').next().unwrap_or_default().trim()
}

/// The sections of a document and what stands behind the last one.
fn sections(text: &str) -> Option<(Vec<Section>, String)> {
    let mut all = vec![Section { lead: String::new(), header: String::new(), items: Vec::new() }];
    let (mut lead, mut open) = (String::new(), String::new());
    for line in text.split_inclusive('\n') {
        let bare = line.trim();
        if open.is_empty() && (bare.is_empty() || bare.starts_with('#')) {
            lead.push_str(line);
            continue;
        }
        if open.is_empty() && bare.starts_with('[') {
            let header = if line.ends_with('\n') { line.to_owned() } else { format!("{line}\n") };
            all.push(Section { lead: std::mem::take(&mut lead), header, items: Vec::new() });
            continue;
        }
        open.push_str(line);
        // A value may go on over several lines: it ends where what there is can be read.
        if let Ok(value) = toml::from_str::<Table>(&open) {
            let mut text = std::mem::take(&mut open);
            if !text.ends_with('\n') {
                text.push('\n');
            }
            all.last_mut()?.items.push(Item { lead: std::mem::take(&mut lead), text, value });
        }
    }
    open.is_empty().then_some((all, lead))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRITTEN: &str = "# 파주시\nversion = 1\ngeneration = 4 # by hand\ninternal_networks = [\n  \"10.0.0.0/8\", # 청사\n]\n\n\
# GPU 서버 두 대\n[[servers]]\nname = \"a\"\nurl = \"http://10.0.0.1/v1\"\n\n# 두 번째\n[[servers]]\nname = \"b\"\nurl = \"http://10.0.0.2/v1\"\n# 끝\n";

    #[test]
    fn what_stays_stays_in_its_words() {
        let new = "version = 1\ngeneration = 5\ninternal_networks = [\"10.0.0.0/8\"]\n\n[roles]\nchat = \"m\"\n\n\
[[servers]]\nname = \"b\"\nurl = \"http://10.0.0.2/v1\"\n\n[[servers]]\nname = \"c\"\nurl = \"http://10.0.0.3/v1\"\n";
        let kept = in_old_words(WRITTEN, new).expect("understood");
        let expected = "# 파주시\nversion = 1\ngeneration = 5\ninternal_networks = [\n  \"10.0.0.0/8\", # 청사\n]\n\n\
[roles]\nchat = \"m\"\n\n# 두 번째\n[[servers]]\nname = \"b\"\nurl = \"http://10.0.0.2/v1\"\n\n[[servers]]\nname = \"c\"\nurl = \"http://10.0.0.3/v1\"\n# 끝\n";
        assert_eq!(kept, expected);
    }

    #[test]
    fn a_document_stays_as_it_is_and_nonsense_is_left_alone() {
        assert_eq!(in_old_words(WRITTEN, WRITTEN).as_deref(), Some(WRITTEN));
        assert_eq!(in_old_words("a = [1,\n", "a = 1\n"), None);
        let partly = in_old_words("[[s]]\nname = \"a\" # first\n", "[[s]]\nname = \"a\"\nweight = 1\n");
        assert_eq!(partly.as_deref(), Some("[[s]]\nname = \"a\" # first\nweight = 1\n"));
        assert_eq!(in_old_words("", "a = 1\n[b]\nc = 2\n").as_deref(), Some("a = 1\n\n[b]\nc = 2\n"));
        // A header inside a text of several lines is none.
        let text = "a = \"\"\"\n[b]\n\"\"\"\n";
        assert_eq!(in_old_words(text, text).as_deref(), Some(text));
    }
}
