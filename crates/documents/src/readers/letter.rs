//! EML: one mail with its subject as heading, who wrote to whom and when, the body, and the names of what was
//! attached. Attachments are documents of their own and are not read here.

use super::markup;
use crate::{
    Limits, ReadError,
    blocks::{Body, Builder},
    text::one_line,
};
use mail_parser::{Address, Message, MessageParser, MessagePart, MimeHeaders, PartType};

pub(super) fn read(bytes: &[u8], limits: &Limits) -> Result<Body, ReadError> {
    let message = MessageParser::default().parse(bytes).ok_or(ReadError::Damaged)?;
    let mut builder = Builder::new(limits.text_chars);
    let subject = message.subject().map(one_line).filter(|s| !s.is_empty());
    if let Some(subject) = &subject {
        builder.heading(1, subject);
    }
    builder.paragraph(&envelope(&message));
    let said = push_body(&mut builder, &message, limits)?;
    let attached = attachments(&message);
    if !said && subject.is_none() && attached.is_empty() {
        return Err(ReadError::Empty);
    }
    if !attached.is_empty() {
        builder.paragraph(&format!("첨부: {}", attached.join(", ")));
        builder.warnings.push(format!("첨부 파일 {}개는 읽지 않았습니다. 필요하면 따로 올려 주세요.", attached.len()));
    }
    builder.title = subject;
    builder.finish()
}

fn envelope(message: &Message<'_>) -> String {
    let mut lines = Vec::new();
    for (label, address) in [("보낸 사람", message.from()), ("받는 사람", message.to()), ("참조", message.cc())]
    {
        let people = address.map(people).unwrap_or_default();
        if !people.is_empty() {
            lines.push(format!("{label}: {people}"));
        }
    }
    if let Some(d) = message.date().filter(|d| d.is_valid()) {
        lines.push(format!("날짜: {}-{:02}-{:02} {:02}:{:02}", d.year, d.month, d.day, d.hour, d.minute));
    }
    lines.join("\n")
}

/// Names with their addresses.
fn people(address: &Address<'_>) -> String {
    let shown = address.iter().take(100).filter_map(|a| match (a.name(), a.address()) {
        (Some(name), Some(address)) if name != address => Some(format!("{} <{}>", one_line(name), one_line(address))),
        (Some(either), _) | (None, Some(either)) => Some(one_line(either)),
        (None, None) => None,
    });
    shown.collect::<Vec<_>>().join(", ")
}

/// Writes the body: plain text where the mail has some, else HTML. Tells whether there was any.
fn push_body(builder: &mut Builder, message: &Message<'_>, limits: &Limits) -> Result<bool, ReadError> {
    let mut said = false;
    for part in message.text_bodies() {
        match &part.body {
            PartType::Text(text) => {
                said |= !text.trim().is_empty();
                text.split("\n\n").for_each(|block| builder.paragraph(block));
            }
            PartType::Html(html) => {
                let body = match markup::read(html.as_bytes(), limits) {
                    Ok(body) => body,
                    Err(ReadError::TooLarge) => return Err(ReadError::TooLarge),
                    Err(_) => continue,
                };
                said |= !body.text.is_empty();
                builder.markdown(&body.text);
            }
            _ => {}
        }
    }
    Ok(said)
}

fn attachments(message: &Message<'_>) -> Vec<String> {
    let name = |part: &MessagePart<'_>| match (part.attachment_name(), &part.body) {
        (Some(name), _) => one_line(name),
        (None, PartType::Message(inner)) => one_line(inner.subject().unwrap_or("전달된 메일")),
        (None, _) => "이름 없는 파일".to_owned(),
    };
    message.attachments().map(name).filter(|n| !n.is_empty()).take(200).collect()
}

/// Does this text begin as a mail does: header lines, among them a sender or a subject, then a blank line?
pub(crate) fn looks_like_one(text: &str) -> bool {
    const KNOWN: [&str; 14] = [
        "from",
        "to",
        "cc",
        "subject",
        "date",
        "received",
        "return-path",
        "delivered-to",
        "message-id",
        "mime-version",
        "content-type",
        "reply-to",
        "x-originating-ip",
        "dkim-signature",
    ];
    let (mut known, mut telling) = (0, false);
    for line in text.lines().take(200) {
        if line.is_empty() {
            break;
        }
        if line.starts_with([' ', '\t']) {
            continue;
        }
        let Some((name, _)) = line.split_once(':') else { return false };
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
            return false;
        }
        let name = name.to_ascii_lowercase();
        known += usize::from(KNOWN.contains(&name.as_str()));
        telling |= matches!(name.as_str(), "from" | "subject" | "received");
    }
    telling && known >= 3
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAIL: &str = "From: =?UTF-8?B?7KCV67O07Ya17Iug6rO8?= <it@city.example>\r\nTo: a@city.example\r\n\
        Date: Mon, 2 Mar 2026 09:05:00 +0900\r\nSubject: =?EUC-KR?B?vsizuyC4u764?=\r\nMIME-Version: 1.0\r\n\
        Content-Type: multipart/mixed; boundary=\"b\"\r\n\r\n--b\r\nContent-Type: text/html; charset=utf-8\r\n\r\n\
        <p>점검을 <b>알립니다</b>.</p><ul><li>하나</ul>\r\n--b\r\nContent-Type: application/pdf; name=\"plan.pdf\"\r\n\
        Content-Disposition: attachment; filename=\"plan.pdf\"\r\n\r\nx\r\n--b--\r\n";

    #[test]
    fn a_mail_reads_as_one_document() {
        let body = read(MAIL.as_bytes(), &Limits::default()).expect("a mail");
        assert_eq!(body.title.as_deref(), Some("안내 말씀"));
        assert_eq!(
            body.text,
            "# 안내 말씀\n\n보낸 사람: 정보통신과 <it@city.example>\n받는 사람: a@city.example\n날짜: 2026-03-02 09:05\n\n\
             점검을 알립니다.\n\n- 하나\n\n첨부: plan.pdf"
        );
        assert_eq!(body.warnings.len(), 1);
    }

    #[test]
    fn mails_are_told_from_texts() {
        assert!(looks_like_one(MAIL));
        assert!(!looks_like_one("제목: 알림\n날짜: 오늘\n\n본문"));
        assert!(!looks_like_one("Subject: memo\n\nno other header"));
        assert!(!looks_like_one("그냥 글"));
    }
}
