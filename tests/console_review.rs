//! The queue of those who review: why something was drawn, what is said of it, and two who do not lead each other.

mod common;
#[path = "common/visitor.rs"]
mod visitor;

use nonnocere::audit::act::Deed;
use nonnocere::audit::label::Mark;
use nonnocere::console::account::Role;
use visitor::{House, all_after, assert_harmless, page};

/// Where the form of the label posts to.
fn action(shown: &str) -> String {
    let actions = all_after(shown, "action=\"/console/review/");
    let action = actions.into_iter().find(|action| !action.contains("/text")).unwrap_or_else(|| panic!("{shown}"));
    format!("/console/review/{action}")
}

#[tokio::test]
async fn what_is_next_is_labelled_signed_and_left() {
    let house = House::open(Some(7), |_, records| records.audit.reviewers = 1).await;
    let refused = house.asked("VIOLATE it").await;
    let ana = house.visitor("ana", Role::Reviewer).await;
    let shown = page(&ana.get("/console/review").await);
    assert!(shown.contains("near the threshold") || shown.contains("drawn at random"), "{shown}");
    for hint in [
        "data-key=\"1\"",
        "data-key=\"2\"",
        "data-key=\"3\"",
        "data-key=\"s\"",
        "data-key=\"t\"",
        "review.js?v=",
        "data-shortcuts",
    ] {
        assert!(shown.contains(hint), "{hint}");
    }
    assert!(ana.get(&all_after(&shown, "src=\"")[1]).await.status == 200 || shown.contains("review.js"));
    let path = action(&shown);
    assert_eq!(path, format!("/console/review/{refused}/prompt"));
    // Skipped, it is not lost.
    assert!(page(&ana.get("/console/review?at=1").await).contains("Nothing is left"));
    let evil = "<script>alert(1)</script> \"'\u{202b}x";
    let got = ana.post(&path, &[("mark", "over-blocked"), ("principle", "IV"), ("note", evil), ("at", "0")]).await;
    assert_eq!((got.status.as_u16(), got.header("location")), (303, "/console/review?at=0"));
    let shown = page(&ana.get("/console/review?at=0").await);
    assert!(shown.contains("Kept: stopped wrongly.") && shown.contains("Nothing is left"), "{shown}");
    assert!(shown.contains("<th scope=\"row\">ana</th>"), "who labelled how much: {shown}");
    let label = &house.store.labels_of(&refused).await.unwrap()[0];
    assert_eq!(
        (label.reviewer.as_str(), label.mark, label.principle.as_deref()),
        ("ana", Mark::OverBlocked, Some("IV"))
    );
    let acts = house.acts().await;
    assert!(
        acts.iter()
            .any(|act| act.by == "ana" && matches!(&act.deed, Deed::Labelled { mark, .. } if mark == "over-blocked"))
    );
    let shown = page(&ana.get(&format!("/console/decisions/{refused}")).await);
    assert_harmless(&shown);
    assert!(shown.contains("stopped wrongly") && shown.contains("&lt;script&gt;alert(1)"), "{shown}");
}

#[tokio::test]
async fn what_is_wrong_is_refused() {
    let house = House::open(None, |_, _| {}).await;
    let event = house.asked("VIOLATE it").await;
    let (ana, vic) = (house.visitor("ana", Role::Reviewer).await, house.visitor("vic", Role::Viewer).await);
    let path = format!("/console/review/{event}/prompt");
    assert_eq!(vic.get("/console/review").await.status, 403);
    assert_eq!(vic.post(&path, &[("mark", "correct")]).await.status, 403);
    assert!(!page(&vic.get(&format!("/console/decisions/{event}")).await).contains("name=\"mark\""));
    let long = "x".repeat(501);
    for (fields, status) in [
        (vec![("mark", "")], 400),
        (vec![("mark", "correct"), ("principle", "X")], 400),
        (vec![("mark", "correct"), ("note", "a\nb")], 422),
        (vec![("mark", "correct"), ("note", "a\0b")], 422),
        (vec![("mark", "correct"), ("note", &long)], 422),
    ] {
        assert_eq!(ana.post(&path, &fields).await.status, status, "{fields:?}");
    }
    for path in
        ["/console/review/nothing/prompt", &format!("/console/review/{event}/sideways"), "/console/review/%00/prompt"]
    {
        assert_eq!(ana.post(path, &[("mark", "correct")]).await.status, 404, "{path}");
    }
    assert_eq!(ana.post_as(&path, &[("mark", "correct")], "").await.status, 403);
    assert!(house.store.labels().await.unwrap().is_empty());
}

#[tokio::test]
async fn two_reviewers_do_not_see_what_the_other_said_before_both_have_spoken() {
    let house = House::open(None, |_, records| records.audit.reviewers = 2).await;
    let event = house.asked("VIOLATE it").await;
    let (ana, ben) = (house.visitor("ana", Role::Reviewer).await, house.visitor("ben", Role::Reviewer).await);
    let decision = format!("/console/decisions/{event}");
    let got =
        ana.post(&format!("/console/review/{event}/prompt"), &[("mark", "over-blocked"), ("note", "a secret")]).await;
    assert_eq!(got.header("location"), decision);
    // Ana sees her own word; her page said no other.
    assert!(page(&ana.get(&decision).await).contains("stopped wrongly</td>"));
    for path in ["/console/review", &decision, "/console/decisions"] {
        let shown = page(&ben.get(path).await);
        assert!(
            !shown.contains("ana: ") && !shown.contains("stopped wrongly</td>") && !shown.contains("a secret"),
            "{path}: {shown}"
        );
    }
    let shown = page(&ben.get("/console/review").await);
    assert!(shown.contains("needs a second word") && shown.contains("What they said is shown once"), "{shown}");
    let got = ben.post(&action(&shown), &[("mark", "correct"), ("at", "0")]).await;
    assert_eq!(got.status, 303);
    let shown = page(&ben.get("/console/review?at=0").await);
    assert!(shown.contains("Kept: correct. ana says: stopped wrongly."), "{shown}");
    for visitor in [&ana, &ben] {
        let shown = page(&visitor.get(&decision).await);
        assert!(
            shown.contains("<th scope=\"row\">ana</th>") && shown.contains("<th scope=\"row\">ben</th>"),
            "{shown}"
        );
    }
    assert!(page(&ana.get("/console/decisions").await).contains("ben: correct"));
}

#[tokio::test]
async fn one_reason_may_stand_for_the_queue_and_each_reading_is_recorded() {
    let house = House::open(Some(7), |_, _| {}).await;
    let first = house.asked("VIOLATE the CANARY").await;
    let second = house.asked("VIOLATE another CANARY").await;
    let mut ana = house.visitor("ana", Role::Reviewer).await.speaking("es");
    let reason = "revisión de noviembre";
    let text = |event: &str| format!("/console/review/{event}/prompt/text");
    let got = ana.post(&text(&first), &[("reason", reason), ("keep", "yes"), ("at", "0")]).await;
    let shown = page(&got);
    assert!(shown.contains("CANARY") && shown.contains("¿Fue correcta?"), "{shown}");
    assert!(!got.header("set-cookie").contains("CANARY") && got.header("set-cookie").contains("HttpOnly"));
    ana.with_cookie(&got);
    // It stands in the field, so that a key is enough; nothing is read by itself.
    let shown = page(&ana.get("/console/review").await);
    assert!(shown.contains(&format!("value=\"{reason}\"")) && !shown.contains("CANARY"), "{shown}");
    assert!(page(&ana.post(&text(&second), &[("reason", reason)]).await).contains("another"));
    let acts = house.acts().await;
    let read: Vec<_> = acts
        .iter()
        .filter_map(|act| match &act.deed {
            Deed::Read { event } => Some((event.as_str(), act.by.as_str(), act.reason.as_str())),
            _ => None,
        })
        .collect();
    assert_eq!(read, [(first.as_str(), "ana", reason), (second.as_str(), "ana", reason)]);
}
