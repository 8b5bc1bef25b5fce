//! The record is proven in the browser, people's acts are listed, and decisions are taken away whole.

mod common;
#[path = "common/records.rs"]
mod records;
#[path = "common/visitor.rs"]
mod visitor;

use common::Got;
use nonnocere::audit::act::{Act, Deed};
use nonnocere::audit::decision::Decision;
use nonnocere::audit::key::Signing;
use nonnocere::console::account::Role;
use records::decision;
use std::collections::BTreeSet;
use visitor::{House, Visitor, all_after, assert_harmless, page};

const DAY: i64 = 1_795_836_000_000_000;
const PROOF: &str = "/console/audit/proof";
const TAKE: &str = "/console/audit/decisions";

fn numbered(number: i64) -> Decision {
    let mut one = decision(DAY + number * 1_000_000);
    one.event = format!("e{number:05}");
    one.tenant = Some(if number % 5 == 0 { "=st-anna" } else { "west" }.to_owned());
    one
}

async fn house(n: i64) -> House {
    let house = House::open(None, |_, _| {}).await;
    house.store.append(&(0..n).map(numbered).collect::<Vec<_>>()).await.unwrap();
    house
}

/// Begins a proof, and waits for its end.
async fn proven(visitor: &Visitor<'_>) -> String {
    let got = visitor.post(PROOF, &[]).await;
    assert_eq!((got.status.as_u16(), got.header("location")), (303, PROOF));
    loop {
        let got = visitor.get(PROOF).await;
        assert_eq!(got.status, 200);
        if got.header("refresh").is_empty() {
            return page(&got);
        }
    }
}

#[tokio::test]
async fn a_proof_says_what_holds_and_finds_what_was_changed() {
    let house = house(30).await;
    let ana = house.visitor("ana", Role::Reviewer).await;
    assert!(page(&ana.get(PROOF).await).contains("Nothing was proven since nonnocere started"));
    let shown = proven(&ana).await;
    assert!(shown.contains("The chain holds") && shown.contains("<dt>Decisions read</dt><dd>30</dd>"), "{shown}");
    let deed = house.acts().await.pop().unwrap();
    assert_eq!(deed.by, "ana");
    assert!(matches!(deed.deed, Deed::Verified { holds: true, decisions: 30, .. }), "{deed:?}");
    house
        .store
        .execute("UPDATE decisions SET body = replace(body, '0.9', '0.1') WHERE event = 'e00007'")
        .await
        .unwrap();
    let eva = house.visitor("eva", Role::Reviewer).await.speaking("es");
    let shown = proven(&eva).await;
    assert!(
        shown.contains("La cadena está rota") && shown.contains("(e00007) was changed, moved or put in"),
        "{shown}"
    );
    assert!(matches!(house.acts().await.pop().unwrap().deed, Deed::Verified { holds: false, .. }));
    let shown = page(&ana.get("/console/audit").await);
    assert!(shown.contains("the chain is broken") && shown.contains("the chain holds"), "{shown}");
}

#[tokio::test]
async fn why_a_text_was_read_is_for_those_who_may_read_it() {
    let house = house(1).await;
    let key = Signing::open(&house.folder.path().join("key")).unwrap();
    let back = Deed::RolledBack { version: 2, to: 1 };
    let (read, taken) = (Deed::Read { event: "e00000".into() }, Deed::Exported { events: vec!["e00000".into()] });
    for (deed, reason) in [(read, "complaint of Mr. X"), (taken, "corpus of Mr. Y"), (back, "too strict")] {
        let act = Act { time: DAY, by: "ana".to_owned(), reason: reason.to_owned(), deed };
        assert!(house.store.act(&act, None, &key).await.unwrap());
    }
    for (name, role, sees) in
        [("vera", Role::Viewer, false), ("rosa", Role::Reviewer, true), ("eva", Role::Editor, true)]
    {
        let shown = page(&house.visitor(name, role).await.get("/console/audit").await);
        assert!(shown.contains("read the text of") && shown.contains("too strict"), "{shown}");
        assert_eq!((shown.contains("Mr. X"), shown.contains("Mr. Y")), (sees, sees), "{name}");
    }
}

#[tokio::test]
async fn acts_are_listed_by_pages_and_by_account() {
    let house = house(1).await;
    for number in 0..110 {
        let name = if number % 2 == 0 { "ben" } else { "<b>carla" };
        let act = Act {
            time: DAY + number,
            by: name.to_owned(),
            reason: format!("reason {number:03} <i>"),
            deed: Deed::Read { event: "e1/../x?y".to_owned() },
        };
        let key = Signing::open(&house.folder.path().join("key")).unwrap();
        house.store.act(&act, None, &key).await.unwrap();
    }
    let ana = house.visitor("ana", Role::Reviewer).await;
    let (mut path, mut reasons) = ("/console/audit?by=%3Cb%3Ecarla".to_owned(), Vec::new());
    loop {
        let got = ana.get(&path).await;
        assert_eq!(got.status, 200);
        let shown = page(&got);
        assert_harmless(&shown);
        assert!(!shown.contains("<b>carla") && !shown.contains("<i>") && !shown.contains(">ben<"), "{shown}");
        reasons.extend(shown.split("<td>reason ").skip(1).map(|rest| rest.chars().take(3).collect::<String>()));
        match all_after(&shown, "rel=\"next\" href=\"").pop() {
            Some(next) => path = next.replace("&amp;", "&").trim_end_matches("#acts").to_owned(),
            None => break,
        }
    }
    let expected: Vec<String> =
        (0..110).rev().filter(|number| number % 2 == 1).map(|number| format!("{number:03}")).collect();
    assert_eq!(reasons, expected, "the newest first, each once");
    let shown = page(&ana.get("/console/audit").await);
    assert!(shown.contains("href=\"/console/decisions/e1%2F..%2Fx%3Fy\""), "{shown}");
    assert!(shown.contains("account ana is made, as reviewer"), "{shown}");
    assert!(shown.contains("<dt>The next removal</dt>"), "{shown}");
    assert_eq!(ana.get("/console/audit?before=soon").await.status, 422);
}

async fn taken(visitor: &Visitor<'_>, tenant: &str, format: &str) -> Got {
    let fields =
        [("from", "2026-11-28T03:20"), ("until", "2026-11-29T00:00:00Z"), ("tenant", tenant), ("format", format)];
    let got = visitor.post(TAKE, &fields).await;
    assert_eq!(got.status, 200, "{}", page(&got));
    assert_eq!(
        got.header("content-disposition"),
        format!("attachment; filename=\"nonnocere-2026-11-28-2026-11-29.{format}\"")
    );
    assert_eq!(got.header("x-content-type-options"), "nosniff");
    got
}

#[tokio::test]
async fn what_is_taken_away_is_whole_and_on_record() {
    let house = house(2_503).await;
    let rob = house.visitor("rob", Role::Reviewer).await;
    let lines = page(&taken(&rob, "", "jsonl").await);
    let events: BTreeSet<String> =
        lines.lines().map(|line| serde_json::from_str::<Decision>(line).unwrap().event).collect();
    assert_eq!((events.len(), lines.lines().count()), (2_503, 2_503));
    let table = page(&taken(&rob, "=st-anna", "csv").await);
    assert_eq!(table.lines().count(), 1 + 501, "a head and each fifth");
    assert!(
        table.starts_with("seq,time,event,") && table.lines().skip(1).all(|line| line.contains(",'=st-anna,")),
        "{table}"
    );
    let columns = taken(&rob, "west", "parquet").await;
    assert!(columns.body.starts_with(b"PAR1") && columns.body.ends_with(b"PAR1"));
    let reader = <parquet::file::reader::SerializedFileReader<_> as parquet::file::reader::FileReader>::metadata;
    let file = parquet::file::reader::SerializedFileReader::new(columns.body.clone()).unwrap();
    assert_eq!(reader(&file).file_metadata().num_rows(), 2_002);
    let acts = house.acts().await;
    let told: Vec<(Option<String>, String)> = acts
        .into_iter()
        .filter_map(|act| match act.deed {
            Deed::Downloaded { tenant, format, from: DAY, .. } if act.by == "rob" => Some((tenant, format)),
            _ => None,
        })
        .collect();
    let expected = [(None, "jsonl"), (Some("=st-anna"), "csv"), (Some("west"), "parquet")];
    assert_eq!(told, expected.map(|(tenant, format)| (tenant.map(str::to_owned), format.to_owned())));
    assert!(page(&rob.get("/console/audit?by=rob").await).contains("took decisions away as parquet"));
}

#[tokio::test]
async fn a_wrong_selection_takes_nothing_and_a_viewer_may_not() {
    let house = house(1).await;
    let rob = house.visitor("rob", Role::Reviewer).await;
    for (from, until, format) in [
        ("", "2026-11-29T00:00", "csv"),
        ("yesterday", "2026-11-29T00:00", "csv"),
        ("2026-11-29T00:00", "2026-11-28T00:00", "csv"),
        ("2026-11-28T00:00", "2026-11-29T00:00", "xml"),
    ] {
        let got = rob.post(TAKE, &[("from", from), ("until", until), ("format", format)]).await;
        assert_eq!(got.status, 422, "{from} {until} {format}");
    }
    let ana = house.visitor("ana", Role::Viewer).await;
    let fields = [("from", "2026-11-28T00:00"), ("until", "2026-11-29T00:00"), ("format", "csv")];
    assert_eq!(ana.post(TAKE, &fields).await.status, 403);
    assert!(!page(&ana.get("/console/audit").await).contains(TAKE));
    assert_eq!(rob.post_as(TAKE, &fields, "forged").await.status, 403);
    assert!(!house.acts().await.iter().any(|act| matches!(act.deed, Deed::Downloaded { .. })));
}

#[tokio::test]
async fn what_runs_and_what_it_cannot_do_is_told() {
    let house = house(1).await;
    let ana = house.visitor("ana", Role::Viewer).await;
    let shown = page(&ana.get("/console/about").await);
    assert_harmless(&shown);
    for text in [
        "nonnocere-minilm",
        "Another model runs here",
        "near twins (prompts)",
        "no medical device",
        "docs/CONSOLE.md",
        "maud 0.27",
    ] {
        assert!(shown.contains(text), "{text} in {shown}");
    }
    let shown = page(&ana.speaking("es").get("/console/about").await);
    assert!(shown.contains("no da consejo médico") && shown.contains("De qué está hecho"), "{shown}");
}
