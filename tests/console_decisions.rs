//! Decisions are found, looked at, and their texts read on purpose alone.

mod common;
#[path = "common/records.rs"]
mod records;
#[path = "common/visitor.rs"]
mod visitor;

use common::ask;
use nonnocere::audit::act::Deed;
use nonnocere::audit::decision::Decision;
use nonnocere::audit::vault::Vault;
use nonnocere::console::account::Role;
use records::decision;
use serde_json::json;
use std::time::Duration;
use visitor::{House, all_after, assert_harmless, page};

const DAY: i64 = 1_795_836_000_000_000;

fn numbered(number: i64) -> Decision {
    let mut one = decision(DAY + number * 1_000_000);
    one.event = format!("{number:032x}");
    one.tenant = Some(if number % 3 == 0 { "st-anna" } else { "west" }.to_owned());
    one.audience = (number % 2 == 0).then(|| "patient".to_owned());
    if number % 5 == 0 {
        (one.action, one.rule, one.principle, one.kind) = ("allow".to_owned(), None, None, None);
    }
    one
}

#[tokio::test]
async fn every_decision_is_on_one_page_once_and_filters_hold() {
    let house = House::open(None, |_, _| {}).await;
    house.store.append(&(0..120).map(numbered).collect::<Vec<_>>()).await.unwrap();
    let ana = house.visitor("ana", Role::Viewer).await;
    let (mut path, mut seen, mut pages) = ("/console/decisions".to_owned(), Vec::new(), 0);
    loop {
        let got = ana.get(&path).await;
        assert_eq!(got.status, 200);
        let shown = page(&got);
        assert!(shown.contains("<strong>120</strong> decisions"), "{shown}");
        seen.extend(all_after(&shown, "href=\"/console/decisions/"));
        pages += 1;
        let next = shown.split("rel=\"next\" href=\"").nth(1).map(|rest| rest.split('"').next().unwrap().to_owned());
        let Some(next) = next else {
            assert!(shown.contains("rel=\"first\""));
            break;
        };
        path = next.replace("&amp;", "&");
    }
    assert_eq!((pages, seen.len()), (3, 120));
    let expected: Vec<String> = (0..120).rev().map(|number| format!("{number:032x}")).collect();
    assert_eq!(seen, expected, "the newest first, each once");
    for (query, count) in [
        ("tenant=st-anna", 40),
        ("tenant=st-anna&audience=patient", 20),
        ("action=allow", 24),
        ("principle=II&type=II.3", 96),
        ("from=2026-11-28T03:20&until=2026-11-28T03:20:10Z", 10),
        ("from=2026-11-28T04:20:10%2B01:00&until=2026-11-28T03:20:12", 2),
        ("low=0.95", 0),
        ("low=0,8&high=0.95&direction=prompt", 120),
        ("rule=violating-prompt&policy=ama@0", 96),
        ("event=00000000000000000000000000000007", 1),
        ("event=00000000000000000000000000000", 120),
        ("reviewed=yes", 0),
    ] {
        let got = ana.get(&format!("/console/decisions?{query}")).await;
        assert!(page(&got).contains(&format!("<strong>{count}</strong> decisions")), "{query}: {}", page(&got));
    }
    let es = house.visitor("eva", Role::Viewer).await.speaking("es");
    let shown = page(&es.get("/console/decisions").await);
    assert!(shown.contains("decisiones, las más recientes primero") && shown.contains("Honradez"), "{shown}");
}

#[tokio::test]
async fn what_cannot_be_understood_is_marked_and_the_rest_stays() {
    let house = House::open(None, |_, _| {}).await;
    let ana = house.visitor("ana", Role::Viewer).await;
    let got = ana
        .get("/console/decisions?from=%3Cscript%3Ealert(1)&low=2&scan=some&tenant=st-anna&rule=a%22b%E2%80%AE")
        .await;
    assert_eq!(got.status, 422);
    let shown = page(&got);
    assert!(shown.contains("expected a time such as") && shown.contains("expected a number from 0 to 1"));
    assert!(shown.contains("value=\"st-anna\"") && shown.contains("value=\"&lt;script&gt;alert(1)\""), "{shown}");
    assert_eq!(shown.matches("aria-invalid=\"true\"").count(), 3);
    assert!(!shown.contains("<script>alert"));
    // Nothing is there by these names.
    for path in ["/console/decisions/nothing", "/console/decisions/%00", "/console/decisions/%3Cscript%3E"] {
        assert_eq!(ana.get(path).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn hostile_fields_of_a_record_are_shown_and_do_nothing() {
    let house = House::open(None, |_, _| {}).await;
    let evil = || "<script>alert(1)</script>\"'\u{1}".to_owned();
    let mut one = decision(DAY);
    one.event = "e1".to_owned();
    (one.rule, one.tenant, one.audience, one.user) = (Some(evil()), Some(evil()), Some(evil()), Some(evil()));
    (one.principle, one.kind, one.opinion, one.policy) = (Some(evil()), Some(evil()), Some(evil()), evil());
    (one.surface, one.scan, one.model) = (evil(), evil(), evil());
    one.shadow = Some([evil(), evil()]);
    one.redacted = [(evil(), 2)].into();
    house.store.append(&[one]).await.unwrap();
    let ana = house.visitor("ana", Role::Viewer).await;
    for path in ["/console/decisions", "/console/decisions/e1"] {
        let got = ana.get(path).await;
        assert_eq!(got.status, 200);
        assert_harmless(&page(&got));
        assert!(page(&got).contains("&lt;script&gt;alert(1)"));
    }
    assert!(page(&ana.get("/console/decisions/e1").await).contains("The policy that decided is not kept"));
}

#[tokio::test]
async fn a_text_is_shown_to_a_reviewer_who_says_why_and_is_on_record_first() {
    let house = House::open(Some(7), |_, _| {}).await;
    let hostile = "VIOLATE the <script>alert(1)</script> \"CANARY\" \u{202e}now\u{0} please";
    let event = house.asked(hostile).await;
    let (ana, vic) = (house.visitor("ana", Role::Reviewer).await, house.visitor("vic", Role::Viewer).await);
    let (path, text) = (format!("/console/decisions/{event}"), format!("/console/decisions/{event}/text"));
    let shown = page(&ana.get(&path).await);
    assert!(
        shown.contains("Prompt judged") && shown.contains("no answer is on record: the prompt was stopped"),
        "{shown}"
    );
    assert!(shown.contains("A prompt with a violation of 0.61 or more is refused."), "{shown}");
    assert!(shown.contains("aria-label=\"violation: 1.000; threshold 0.61\""), "{shown}");
    assert!(shown.contains("II.2 · Falsifying") && !shown.contains("CANARY"));
    let reads =
        async || house.acts().await.into_iter().filter(|act| matches!(act.deed, Deed::Read { .. })).collect::<Vec<_>>();
    // Not by looking, not without a role, a reason or the token.
    assert_eq!(ana.get(&text).await.status, 405);
    let refused = vic.post(&text, &[("reason", "curious")]).await;
    assert!(refused.status == 403 && !page(&vic.get(&path).await).contains("name=\"reason\""));
    assert_eq!(ana.post_as(&text, &[("reason", "complaint 4711")], "x").await.status, 403);
    for reason in ["", "  ", "...", "a\nb"] {
        let got = ana.post(&text, &[("reason", reason)]).await;
        assert!(got.status == 422 && !page(&got).contains("CANARY"), "{reason:?}");
    }
    assert!(reads().await.is_empty());
    let got = ana.post(&text, &[("reason", "complaint 4711")]).await;
    let shown = page(&got);
    assert_eq!((got.status.as_u16(), got.header("cache-control")), (200, "no-store"));
    assert_harmless(&shown);
    assert!(
        shown.contains("&lt;script&gt;alert(1)&lt;/script&gt; &quot;CANARY&quot; \u{fffd}now\u{fffd} please"),
        "{shown}"
    );
    assert!(shown.contains("<mark title=\"+1.00\">VIOLATE</mark>"), "{shown}");
    let reads = reads().await;
    assert_eq!((reads.len(), reads[0].by.as_str(), reads[0].reason.as_str()), (1, "ana", "complaint 4711"));
    assert!(matches!(&reads[0].deed, Deed::Read { event: read } if *read == event));
    // It is there no more, and in no URL.
    assert!(!page(&ana.get(&path).await).contains("CANARY"));
    // What cannot be put on record is not shown.
    house.store.execute("ALTER TABLE acts RENAME TO gone").await.unwrap();
    let got = ana.post(&text, &[("reason", "complaint 4711")]).await;
    assert!(got.status == 503 && !page(&got).contains("CANARY"));
}

#[tokio::test]
async fn where_no_text_can_be_had_it_is_said_why() {
    let said = async |house: &House, event: &str, name: &str| {
        let ana = house.visitor(name, Role::Reviewer).await;
        page(&ana.post(&format!("/console/decisions/{event}/text"), &[("reason", "complaint")]).await)
    };
    let without = House::open(None, |_, _| {}).await;
    let event = without.asked("hello").await;
    assert!(said(&without, &event, "ana").await.contains("No texts are kept here."));
    let house = House::open(Some(7), |_, _| {}).await;
    let event = house.asked("the CANARY").await;
    house.store.execute("UPDATE texts SET until = 1").await.unwrap();
    assert!(said(&house, &event, "ana").await.contains("this one is forgotten"));
    let body = bytes::Bytes::from(ask("the CANARY", &json!({})).to_string());
    let url = format!("http://{}/v1/chat/completions", house.proxy.address);
    let request = http::Request::post(url).header("x-nonnocere-part2", "true");
    let got = house.proxy.send(request.body(http_body_util::Full::new(body)).unwrap()).await;
    assert!(said(&house, got.header("x-nonnocere-event-id"), "ben").await.contains("of which no text is kept"));
    // Sealed by another key.
    let mut one = decision(nonnocere::audit::journal::now());
    let other = Vault::new(&[8; 32], Duration::from_secs(86_400));
    one.sealed = Some(other.seal((&one.event, "prompt"), one.time, "{}").unwrap());
    house.store.append(std::slice::from_ref(&one)).await.unwrap();
    assert!(said(&house, &one.event, "cai").await.contains("It cannot be opened: it was sealed by another key"));
}
