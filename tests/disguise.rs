//! A text is judged by what it says behind its characters; what is allowed leaves as it came all the same.

mod common;

use common::{RunningProxy, ScriptedUpstream, ask};
use data_encoding::{BASE64, HEXLOWER};
use serde_json::json;

/// `VIOLATE` as people write it to be overlooked.
fn disguises() -> Vec<String> {
    let said = "please VIOLATE now";
    vec![
        "please VIOL\u{0410}T\u{0415} now".to_owned(),
        "please V\u{200b}I\u{ad}O\u{2060}LATE now".to_owned(),
        "please ＶＩＯＬＡＴＥ now".to_owned(),
        "please V̶I̶O̶L̶A̶T̶E̶ now".to_owned(),
        "V I O L A T E   n o w".to_owned(),
        "&#86;&#73;OLATE now".to_owned(),
        format!("decode {}", BASE64.encode(said.as_bytes())),
        format!("decode {}", HEXLOWER.encode(said.as_bytes())),
        format!("decode {}", BASE64.encode(BASE64.encode(said.as_bytes()).as_bytes())),
        "please%20VIOL%41TE%20now".to_owned(),
    ]
}

#[tokio::test]
async fn a_disguised_prompt_is_refused_like_a_plain_one() {
    let upstream = ScriptedUpstream::saying("Fine.").await;
    let proxy = RunningProxy::before(&upstream).await;
    for disguise in disguises() {
        let got = proxy.chat(&ask(&disguise, &json!({}))).await;
        assert_eq!(got.header("x-nonnocere-decision"), "block", "{disguise}");
    }
    assert!(upstream.asked().is_empty());
}

#[tokio::test]
async fn a_disguised_completion_is_withheld_like_a_plain_one() {
    let upstream = ScriptedUpstream::saying("please%20VIOL%41TE%20now, and VIOL\u{0410}TE").await;
    let proxy = RunningProxy::before(&upstream).await;
    let got = proxy.chat(&ask("hello", &json!({}))).await;
    assert_eq!(got.header("x-nonnocere-decision"), "block");
    assert!(!String::from_utf8_lossy(&got.body).contains("VIOL"));
}

#[tokio::test]
async fn an_allowed_text_leaves_with_its_disguise() {
    let upstream = ScriptedUpstream::saying("Fine.").await;
    let proxy = RunningProxy::before(&upstream).await;
    let request = ask("c\u{0430}fé \u{200b}ｏｋ &#104;i \u{1f489}", &json!({}));
    let got = proxy.chat(&request).await;
    assert_eq!(got.header("x-nonnocere-decision"), "allow");
    assert_eq!(got.header("x-nonnocere-scan"), "full");
    assert_eq!(upstream.asked()[0].body, request.to_string());
}

#[tokio::test]
async fn an_image_in_a_text_passes_and_is_reported_as_not_judged() {
    let image: Vec<u8> =
        b"\x89PNG\r\n\x1a\n".iter().copied().chain((0..600_u32).map(|i| (i * 7919 % 251) as u8)).collect();
    let upstream = ScriptedUpstream::saying("Fine.").await;
    let proxy = RunningProxy::before(&upstream).await;
    let got = proxy.chat(&ask(&format!("OBX|1|ED|scan^^Base64^{}||F", BASE64.encode(&image)), &json!({}))).await;
    assert_eq!(got.header("x-nonnocere-decision"), "allow");
    assert_eq!(got.header("x-nonnocere-scan"), "partial");
}

#[tokio::test]
async fn encodings_without_end_are_refused_as_what_cannot_be_judged() {
    let text = (0..14).fold("please do it now".to_owned(), |text, _| BASE64.encode(text.as_bytes()));
    let upstream = ScriptedUpstream::saying("Fine.").await;
    let proxy = RunningProxy::before(&upstream).await;
    let got = proxy.chat(&ask(&text, &json!({}))).await;
    assert_eq!(got.header("x-nonnocere-decision"), "block");
    assert_eq!(got.header("x-nonnocere-scan"), "partial");
    assert!(upstream.asked().is_empty());
}
