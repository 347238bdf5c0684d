//! A forgiving stream of XML tags, for formats that are walked rather than parsed into a tree: names without
//! prefixes, text with its entities resolved, damage reported once as the end.

use quick_xml::{Reader, XmlVersion, escape::resolve_predefined_entity, events};

/// An element's name without its prefix, and its attributes without theirs.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Tag {
    pub name: String,
    attributes: Vec<(String, String)>,
}

impl Tag {
    pub fn get(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Event {
    Start(Tag),
    Empty(Tag),
    End(String),
    Text(String),
    Eof,
}

pub(crate) struct Tags<'a> {
    reader: Reader<&'a [u8]>,
    /// Elements that are open.
    open: usize,
    broken: bool,
}

impl<'a> Tags<'a> {
    pub fn new(xml: &'a str) -> Self {
        let mut reader = Reader::from_str(xml);
        let config = reader.config_mut();
        config.check_end_names = false;
        config.allow_dangling_amp = true;
        Self { reader, open: 0, broken: false }
    }

    /// Did the stream end before its time?
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    pub fn next(&mut self) -> Event {
        loop {
            if self.broken {
                return Event::Eof;
            }
            match self.reader.read_event() {
                Ok(events::Event::Start(e)) => {
                    self.open += 1;
                    return Event::Start(tag(&e));
                }
                Ok(events::Event::Empty(e)) => return Event::Empty(tag(&e)),
                Ok(events::Event::End(e)) => {
                    self.open = self.open.saturating_sub(1);
                    return Event::End(e.local_name().as_ref().to_owned());
                }
                Ok(events::Event::Text(t)) => return Event::Text(t.xml_content(XmlVersion::Implicit1_0).into_owned()),
                Ok(events::Event::CData(t)) => return Event::Text(t.xml_content(XmlVersion::Implicit1_0).into_owned()),
                Ok(events::Event::GeneralRef(r)) => return Event::Text(entity(r.as_ref())),
                Ok(events::Event::Eof) => {
                    self.broken = self.open > 0;
                    return Event::Eof;
                }
                Ok(_) => {}
                Err(_) => self.broken = true,
            }
        }
    }

    /// Passes over the rest of the open element.
    pub fn skip(&mut self) {
        let mut open = 0usize;
        loop {
            match self.next() {
                Event::Start(_) => open += 1,
                Event::End(_) if open > 0 => open -= 1,
                Event::End(_) | Event::Eof => return,
                Event::Empty(_) | Event::Text(_) => {}
            }
        }
    }
}

/// Is every element closed by its own end? Some libraries wait for an end that never comes.
pub(crate) fn is_well_formed(xml: &str) -> bool {
    let mut reader = Reader::from_str(xml);
    let mut open = 0usize;
    loop {
        match reader.read_event() {
            Ok(events::Event::Start(_)) => open += 1,
            // An end without a start is an error of the reader's own.
            Ok(events::Event::End(_)) => open = open.saturating_sub(1),
            Ok(events::Event::Eof) => return open == 0,
            Ok(_) => {}
            Err(_) => return false,
        }
    }
}

fn tag(e: &events::BytesStart<'_>) -> Tag {
    let mut attributes = e.attributes();
    attributes.with_checks(false);
    let attributes = attributes.flatten().map(|a| {
        let value =
            a.normalized_value(XmlVersion::Implicit1_0).map_or_else(|_| a.value.to_string(), |v| v.into_owned());
        let name: &str = a.key.0.rsplit_once(':').map_or(a.key.0, |(_, name)| name);
        (name.to_owned(), value)
    });
    Tag { name: e.local_name().as_ref().to_owned(), attributes: attributes.collect() }
}

fn entity(name: &str) -> String {
    let number = name.strip_prefix('#').map(|digits| match digits.strip_prefix(['x', 'X']) {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None => digits.parse().ok(),
    });
    match number {
        Some(number) => number.and_then(char::from_u32).map(String::from).unwrap_or_default(),
        None => resolve_predefined_entity(name).map_or_else(|| format!("&{name};"), str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_ends_are_told() {
        assert!(is_well_formed("<a><b/>글</a>"));
        for broken in ["<a><b></a>", "<a>", "</a>", "<a", "<a></a></a>"] {
            assert!(!is_well_formed(broken), "{broken}");
        }
    }

    #[test]
    fn names_lose_their_prefixes_and_damage_ends_the_stream() {
        let mut tags = Tags::new("<a:p x:id='1'><b>가&amp;&#xB098;</b><c/></a:p><d");
        let Event::Start(tag) = tags.next() else { panic!("a start") };
        assert_eq!((tag.name.as_str(), tag.get("id")), ("p", Some("1")));
        tags.next();
        assert_eq!(
            [tags.next(), tags.next(), tags.next()].map(|e| format!("{e:?}")),
            ["Text(\"가\")", "Text(\"&\")", "Text(\"나\")"]
        );
        tags.skip();
        assert!(matches!(tags.next(), Event::Empty(_)));
        assert!(matches!(tags.next(), Event::End(_)));
        assert_eq!((tags.next(), tags.is_broken()), (Event::Eof, true));
    }
}
