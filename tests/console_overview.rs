//! The overview counts what is on record, and each number leads to what it counts.

mod common;
#[path = "common/records.rs"]
mod records;
#[path = "common/visitor.rs"]
mod visitor;

use nonnocere::audit::decision::{Decision, Seen};
use nonnocere::audit::journal::now;
use nonnocere::audit::label::{Label, Mark};
use nonnocere::classify::Scores;
use nonnocere::console::account::Role;
use records::decision;
use visitor::{House, all_after, assert_harmless, page};

const HOSTILE: &str = "<script>alert(1)</script>\"&'\u{e9}";

/// So many decisions of an hour ago, each of which is changed.
fn some(n: i64, name: &str, change: impl Fn(i64, &mut Decision)) -> Vec<Decision> {
    let begin = now() - 3_600_000_000;
    let one = |place| {
        let mut one = decision(begin + place);
        one.event = format!("{name}{place:04}");
        change(place, &mut one);
        one
    };
    (0..n).map(one).collect()
}

fn passed(one: &mut Decision) {
    (one.action, one.rule, one.principle, one.kind) = ("allow".into(), None, None, None);
}

async fn house() -> House {
    let house = House::open(None, |_, _| {}).await;
    let mut all = some(40, "passed", |_, one| {
        passed(one);
        (one.tenant, one.audience) = (Some("st-anna".into()), Some("patient".into()));
    });
    all.extend(some(10, "blocked", |_, one| {
        one.tenant = Some(HOSTILE.into());
        one.rule = Some(HOSTILE.into());
    }));
    all.extend(some(2, "helped", |_, one| {
        (one.action, one.principle, one.kind) = ("escalate".into(), Some("G".into()), Some("G.2".into()));
    }));
    all.extend(some(20, "answered", |place, one| {
        passed(one);
        one.direction = "completion".into();
        let refusal = if place < 5 { 0.9 } else { 0.1 };
        one.alone = Some(Seen::from(&Scores { refusal, ..Scores::NONE }));
    }));
    all.extend(some(1, "unjudged", |_, one| {
        passed(one);
        (one.action, one.scan, one.alone, one.took_ms) = ("unavailable".into(), "none".into(), None, None);
    }));
    all.extend(some(3, "partly", |_, one| {
        passed(one);
        one.scan = "partial".into();
    }));
    house.store.append(&all).await.unwrap();
    for place in 0..4 {
        let mark = if place == 0 { Mark::OverBlocked } else { Mark::Correct };
        let (event, direction) = (format!("blocked{place:04}"), "prompt".to_owned());
        let label = Label { event, direction, reviewer: "ana".into(), mark, principle: None, note: None, time: now() };
        house.store.label(&label, None).await.unwrap();
    }
    house
}

/// What a card of the overview says.
fn card<'a>(page: &'a str, title: &str) -> &'a str {
    let rest = page.split(&format!("<h2>{title}</h2>")).nth(1).unwrap_or_else(|| panic!("no {title} in {page}"));
    rest.split("</div>").next().unwrap()
}

fn number<'a>(page: &'a str, title: &str) -> &'a str {
    card(page, title).split("class=\"number\">").nth(1).unwrap().split('<').next().unwrap()
}

#[tokio::test]
async fn numbers_are_those_on_record() {
    let house = house().await;
    let ana = house.visitor("ana", Role::Viewer).await;
    for range in ["", "?range=24h", "?range=30d", "?range=90d"] {
        let got = ana.get(&format!("/console/{range}")).await;
        assert_eq!(got.status, 200);
        let shown = page(&got);
        assert_harmless(&shown);
        for (title, expected) in [
            ("Requests judged", "56"),
            ("Refusal rate", "21.4%"),
            ("Stopped wrongly", "25.0%"),
            ("Cries for help answered", "2"),
            ("Not or partly judged", "3"),
            ("Degraded", "1"),
        ] {
            assert_eq!(number(&shown, title), expected, "{range} {title}");
        }
        assert!(card(&shown, "Refusal rate").contains("12 of 56; 95% interval 12.7% to 33.8%"), "{shown}");
        assert!(card(&shown, "Stopped wrongly").contains("1 of 4; 95% interval"), "{shown}");
        assert!(card(&shown, "In force").contains(&house.proxy.proxy.policy.snapshot().to_string()), "{shown}");
        assert!(number(&shown, "Added latency").ends_with("ms"), "{shown}");
        // The LLM declined in five of twenty answers.
        assert!(shown.contains("The LLM&#39;s own refusals") || shown.contains("The LLM's own refusals"), "{shown}");
        assert!(shown.contains("own refusals: from 25% to 25%, at last 25%"), "{shown}");
        assert_eq!(shown.matches("<svg viewBox=\"0 0 360 200\" role=\"img\"").count(), 5, "{shown}");
        assert_eq!(shown.matches("<summary>The numbers</summary>").count(), 5);
    }
}

#[tokio::test]
async fn each_number_leads_to_its_decisions() {
    let house = house().await;
    let ana = house.visitor("ana", Role::Viewer).await;
    let shown = page(&ana.get("/console/?range=24h&audience=patient&tenant=st-anna").await);
    let links = all_after(&shown, "href=\"/console/decisions?");
    assert!(!links.is_empty());
    for link in &links {
        let fields: Vec<(String, String)> =
            form_urlencoded::parse(link.replace("&amp;", "&").as_bytes()).into_owned().collect();
        let value = |name: &str| {
            fields.iter().filter(|(found, _)| found == name).map(|(_, value)| value.as_str()).collect::<Vec<_>>()
        };
        assert_eq!((value("from").len(), value("until").len()), (1, 1), "{link}");
        assert_eq!((value("tenant"), value("audience")), (vec!["st-anna"], vec!["patient"]), "{link}");
        assert_eq!(ana.get(&format!("/console/decisions?{}", link.replace("&amp;", "&"))).await.status, 200);
    }
    assert_eq!(number(&shown, "Requests judged"), "40");
    assert!(
        shown.contains("<option value=\"st-anna\" selected>") && shown.contains("<option value=\"patient\" selected>")
    );
    assert!(shown.contains("/console/?range=7d&amp;tenant=st-anna&amp;audience=patient"), "{shown}");
    // Of all: principle II was violated ten times, and its number leads there.
    let shown = page(&ana.get("/console/").await);
    let row = shown.split("II · Honesty").nth(1).unwrap().split("</tr>").next().unwrap();
    assert!(row.contains("principle=II&amp;action=block\">10</a>"), "{row}");
    let hostile: String = form_urlencoded::byte_serialize(HOSTILE.as_bytes()).collect();
    assert!(shown.contains(&format!("rule={hostile}&amp;action=block\">10</a>")), "{shown}");
    assert!(shown.contains("&lt;script&gt;alert(1)&lt;/script&gt;"), "{shown}");
}

#[tokio::test]
async fn it_speaks_spanish() {
    let house = house().await;
    let eva = house.visitor("eva", Role::Viewer).await.speaking("es");
    let shown = page(&eva.get("/console/").await);
    assert_eq!(number(&shown, "Tasa de rechazo"), "21,4\u{a0}%");
    for text in ["<h1>Resumen</h1>", "Los números", "Respeto de la ley", "intervalo del 95\u{a0}%", "Latencia añadida"]
    {
        assert!(shown.contains(text), "{text} in {shown}");
    }
    for english in ["Refusal rate", "By tenant", "The numbers", "Stopped", "Answers"] {
        assert!(!shown.contains(english), "{english} in {shown}");
    }
}

#[tokio::test]
async fn an_empty_store_says_how_to_begin_and_an_older_one_that_it_is_counted() {
    let house = House::open(None, |_, _| {}).await;
    let ana = house.visitor("ana", Role::Viewer).await;
    let shown = page(&ana.get("/console/").await);
    assert!(shown.contains("Nothing was decided yet") && !shown.contains("<svg"), "{shown}");
    house.store.append(&some(3, "one", |_, _| {})).await.unwrap();
    let shown = page(&ana.get("/console/").await);
    assert!(!shown.contains("still being counted") && shown.contains("Requests judged"), "{shown}");
    house.store.execute("UPDATE filled SET low = 2").await.unwrap();
    assert!(page(&ana.get("/console/").await).contains("up to 2 are not in these numbers yet"));
}

#[tokio::test]
async fn what_is_no_time_is_refused() {
    let house = House::open(None, |_, _| {}).await;
    let ana = house.visitor("ana", Role::Viewer).await;
    for query in ["range=1y", "range=%3Cscript%3Ealert(1)", "range=-7d"] {
        let got = ana.get(&format!("/console/?{query}")).await;
        assert_eq!(got.status, 422, "{query}");
        assert_harmless(&page(&got));
    }
}
