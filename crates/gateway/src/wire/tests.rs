//! Exact bytes, paths and headers of each form, and replies as each of them comes.

use super::*;
use proptest::prelude::*;

fn form(wire: WireForm, stream: bool) -> Form {
    Form { wire, max_output_tokens: 2048, stream }
}

fn prompt() -> Vec<(PartRole, String)> {
    vec![(PartRole::System, "줄여 쓴다".to_owned()), (PartRole::User, "\"물\"\n음".to_owned())]
}

fn body(wire: WireForm, stream: bool) -> String {
    String::from_utf8(form(wire, stream).body("m-1", &prompt())).unwrap()
}

#[test]
fn the_same_prompt_gives_these_bytes() {
    let messages = r#"[{"role":"system","content":"줄여 쓴다"},{"role":"user","content":"\"물\"\n음"}]"#;
    let open = format!(r#"{{"model":"m-1","messages":{messages},"max_tokens":2048,"stream":false}}"#);
    assert_eq!(body(WireForm::OpenAi, false), open);
    assert_eq!(body(WireForm::Azure, false), open);
    let streamed = format!(
        r#"{{"model":"m-1","messages":{messages},"max_tokens":2048,"stream":true,"stream_options":{{"include_usage":true}}}}"#
    );
    assert_eq!(body(WireForm::OpenAi, true), streamed);
    let anthropic = |stream| {
        format!(
            r#"{{"model":"m-1","max_tokens":2048,"system":"줄여 쓴다","messages":[{{"role":"user","content":"\"물\"\n음"}}],"stream":{stream}}}"#
        )
    };
    assert_eq!(body(WireForm::Anthropic, false), anthropic(false));
    assert_eq!(body(WireForm::Anthropic, true), anthropic(true));
    let clova = format!(r#"{{"messages":{messages},"maxTokens":2048}}"#);
    assert_eq!((body(WireForm::Clova, false), body(WireForm::Clova, true)), (clova.clone(), clova));
    let thinking = String::from_utf8(form(WireForm::Clova, false).body("HCX-007", &[])).unwrap();
    assert_eq!(thinking, r#"{"messages":[],"maxCompletionTokens":2048}"#);
}

#[test]
fn paths_and_headers_are_those_of_the_form() {
    assert_eq!(path(WireForm::OpenAi, "m", "v"), "/chat/completions");
    assert_eq!(path(WireForm::Anthropic, "m", "v"), "/v1/messages");
    assert_eq!(
        path(WireForm::Azure, "gpt-4o", ""),
        "/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21"
    );
    assert_eq!(path(WireForm::Clova, "HCX-005", ""), "/v3/chat-completions/HCX-005");
    for odd in ["../a", "..", ".", "", "%2E.", "a/b?c=d#e", "가 나", "%2e%2e"] {
        let path = path(WireForm::Azure, odd, "1&x=2");
        let url = url::Url::parse(&format!("https://h.example{path}")).unwrap();
        let segments: Vec<_> = url.path_segments().unwrap().collect();
        assert_eq!((segments.len(), segments[0], segments[4]), (5, "openai", "completions"), "{odd}: {path}");
        assert_eq!(
            url.query_pairs().map(|(k, v)| (k.into_owned(), v.into_owned())).collect::<Vec<_>>(),
            [("api-version".to_owned(), "1&x=2".to_owned())]
        );
    }
    let names = |wire| headers(wire, "k", "c").into_iter().collect::<Vec<_>>();
    assert_eq!(names(WireForm::OpenAi), [("authorization", "Bearer k".to_owned())]);
    assert_eq!(
        names(WireForm::Anthropic),
        [("x-api-key", "k".to_owned()), ("anthropic-version", "2023-06-01".to_owned())]
    );
    assert_eq!(names(WireForm::Azure), [("api-key", "k".to_owned())]);
    assert_eq!(
        names(WireForm::Clova),
        [("authorization", "Bearer k".to_owned()), ("x-ncp-clovastudio-request-id", "c".to_owned())]
    );
}

const USAGE: Option<Usage> = Some(Usage { prompt_tokens: 7, completion_tokens: 2, total_tokens: 9 });

fn whole(wire: WireForm) -> &'static str {
    match wire {
        WireForm::OpenAi | WireForm::Azure => {
            r#"{"id":"r-1","choices":[{"message":{"content":"답 하나"},"finish_reason":"length"}],"usage":{"prompt_tokens":7,"completion_tokens":2,"total_tokens":9}}"#
        }
        WireForm::Anthropic => {
            r#"{"id":"r-1","content":[{"type":"thinking","thinking":"x"},{"type":"text","text":"답 "},{"type":"text","text":"하나"}],"stop_reason":"max_tokens","usage":{"input_tokens":7,"output_tokens":2}}"#
        }
        WireForm::Clova => {
            r#"{"status":{"code":"20000","message":"OK"},"result":{"message":{"role":"assistant","content":"답 하나"},"finishReason":"length","usage":{"promptTokens":7,"completionTokens":2,"totalTokens":9}}}"#
        }
    }
}

pub(crate) fn streamed(wire: WireForm) -> &'static str {
    match wire {
        WireForm::OpenAi | WireForm::Azure => concat!(
            "data: {\"id\":\"r-1\",\"choices\":[{\"delta\":{\"role\":\"assistant\"}}]}\n\n",
            "data: {\"id\":\"r-1\",\"choices\":[{\"delta\":{\"content\":\"답 \"}}],\"usage\":null}\n\n",
            "data: {\"choices\":[{\"delta\":{\"content\":\"하나\"},\"finish_reason\":\"length\"}]}\n\n",
            "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":2,\"total_tokens\":9}}\n\n",
            "data: [DONE]\n\n",
        ),
        WireForm::Anthropic => concat!(
            "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"r-1\",\"usage\":{\"input_tokens\":7,\"output_tokens\":1}}}\n\n",
            "event: ping\ndata: {\"type\":\"ping\"}\n\n",
            "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\",\"text\":\"답 \"}}\n\n",
            "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\",\"text\":\"하나\"}}\n\n",
            "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"max_tokens\"},\"usage\":{\"output_tokens\":2}}\n\n",
            "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
        ),
        WireForm::Clova => concat!(
            "id: r-1\nevent: token\ndata: {\"message\":{\"role\":\"assistant\",\"content\":\"답 \"}}\n\n",
            "id: r-1\nevent: token\ndata: {\"message\":{\"role\":\"assistant\",\"content\":\"하나\"}}\n\n",
            "id: r-1\nevent: result\ndata: {\"message\":{\"role\":\"assistant\",\"content\":\"답 하나\"},\"finishReason\":\"length\",\"usage\":{\"promptTokens\":7,\"completionTokens\":2}}\n\n",
        ),
    }
}

#[test]
fn a_reply_says_the_same_whole_and_streamed() {
    for wire in WireForm::ALL {
        let said = read(wire, 200, whole(wire).as_bytes());
        assert_eq!((said.text.as_deref(), said.usage, said.at_limit), (Some("답 하나"), USAGE, true), "{wire:?}");
        let mut gathering = Gathering::new(wire);
        assert_eq!(gathering.take(streamed(wire).as_bytes()), Ok(true));
        let piecewise = gathering.end().unwrap();
        assert_eq!((piecewise.text, piecewise.usage, piecewise.at_limit), (said.text, USAGE, true), "{wire:?}");
    }
}

#[test]
fn a_stream_cut_at_any_byte_is_no_reply() {
    for wire in WireForm::ALL {
        let bytes = streamed(wire).as_bytes();
        for cut in 0..bytes.len() {
            let mut gathering = Gathering::new(wire);
            assert_eq!(gathering.take(&bytes[..cut]), Ok(false), "{wire:?} at {cut}");
            assert_eq!(gathering.end(), None);
        }
    }
}

#[test]
fn errors_have_names_and_only_the_body_says_that_nothing_was_done() {
    let cases: [(WireForm, u16, &str, Fault, bool); 9] = [
        (WireForm::OpenAi, 429, r#"{"error":{"code":"rate_limit_exceeded"}}"#, Fault::RateLimited, true),
        (WireForm::OpenAi, 429, r#"{"error":{"code":"insufficient_quota"}}"#, Fault::Quota, false),
        (WireForm::OpenAi, 429, "busy", Fault::RateLimited, false),
        (WireForm::OpenAi, 400, r#"{"error":{"code":"context_length_exceeded"}}"#, Fault::TooLong, false),
        (
            WireForm::Azure,
            400,
            r#"{"error":{"code":"content_filter","innererror":{"code":"ResponsibleAIPolicyViolation"}}}"#,
            Fault::Filtered,
            false,
        ),
        (WireForm::Anthropic, 529, r#"{"type":"error","error":{"type":"overloaded_error"}}"#, Fault::Overloaded, true),
        (WireForm::Anthropic, 401, r#"{"error":{"type":"authentication_error"}}"#, Fault::Credentials, false),
        (
            WireForm::Clova,
            429,
            r#"{"status":{"code":"42900","message":"Too many requests"}}"#,
            Fault::RateLimited,
            true,
        ),
        (WireForm::Clova, 503, "", Fault::Server, false),
    ];
    for (wire, status, body, fault, away) in cases {
        let said = read(wire, status, body.as_bytes());
        assert_eq!((said.fault, said.text), (Some(fault), None), "{body}");
        assert_eq!(turned_away(wire, body.as_bytes()), away, "{body}");
    }
    let mut gathering = Gathering::new(WireForm::Anthropic);
    let stream = "data: {\"type\":\"content_block_delta\",\"delta\":{\"text\":\"반\"}}\n\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}\n\n";
    assert_eq!(gathering.take(stream.as_bytes()), Ok(true));
    let said = gathering.end().unwrap();
    assert_eq!((said.fault, said.text), (Some(Fault::Overloaded), None), "half a reply before an error is none");
}

proptest! {
    #[test]
    fn any_reply_is_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200), status in 100u16..600) {
        for wire in WireForm::ALL {
            let said = read(wire, status, &bytes);
            prop_assert!(said.text.is_none() || status == 200);
            let mut gathering = Gathering::new(wire);
            let _taken = gathering.take(&bytes);
        }
    }

    #[test]
    fn any_prompt_is_carried_whole(texts in proptest::collection::vec("\\PC{0,30}", 1..4), limit in 1u32.., stream in any::<bool>()) {
        let messages: Vec<_> = texts.iter().map(|t| (PartRole::User, t.clone())).collect();
        for wire in WireForm::ALL {
            let form = Form { wire, max_output_tokens: limit, stream };
            let bytes = form.body("m", &messages);
            prop_assert_eq!(&bytes, &form.body("m", &messages));
            let json: Value = serde_json::from_slice(&bytes).unwrap();
            let read: Vec<_> = json["messages"].as_array().unwrap().iter().map(|m| m["content"].as_str().unwrap().to_owned()).collect();
            prop_assert_eq!(&read, &texts);
            let said = ["max_tokens", "maxTokens"].iter().find_map(|k| json[*k].as_u64());
            prop_assert_eq!(said, Some(u64::from(limit)));
        }
    }

    #[test]
    fn cuts_of_a_stream_do_not_matter(cuts in proptest::collection::vec(0usize..700, 0..8)) {
        for wire in WireForm::ALL {
            let bytes = streamed(wire).as_bytes();
            let mut cuts: Vec<usize> = cuts.iter().map(|c| (*c).min(bytes.len())).chain([0, bytes.len()]).collect();
            cuts.sort_unstable();
            let mut gathering = Gathering::new(wire);
            for pair in cuts.windows(2) {
                gathering.take(&bytes[pair[0]..pair[1]]).unwrap();
            }
            let said = gathering.end().unwrap();
            prop_assert_eq!(said.text.as_deref(), Some("답 하나"));
        }
    }
}
