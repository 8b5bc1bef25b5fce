//! What the console keeps and hands out beside decisions: drafts, and files of decisions. By `SQLite` and by a real `PostgreSQL`.

mod common;
#[path = "common/postgres.rs"]
mod postgres;
#[path = "common/records.rs"]
mod records;

use nonnocere::audit::act::{Deed, proven};
use nonnocere::audit::decision::Decision;
use nonnocere::audit::download::{Download, Selection};
use nonnocere::audit::drafts::Draft;
use nonnocere::audit::export::Format;
use nonnocere::audit::key::Signing;
use nonnocere::audit::store::Store;
use nonnocere::audit::verify::verify;
use postgres::in_both;
use records::decision;
use std::collections::BTreeSet;
use std::sync::Mutex;

fn draft(name: &str, text: &str, time: i64) -> Draft {
    let [name, text, by] = [name, text, "ana"].map(str::to_owned);
    Draft { name, text, based_on: (time % 2 == 0).then_some(3), by, time }
}

#[tokio::test]
async fn drafts_are_saved_over_what_was_seen() {
    in_both(async |url| {
        let store = Store::open(url).await.unwrap();
        let key = Signing::random().unwrap();
        let (first, second) = (draft("ours", "a = \"ñ\"\n", 1), draft("ours", "a = 2\n", 2));
        let save = async |draft: &Draft, was: Option<&str>| store.save_draft(draft, was, &key).await.unwrap();
        assert!(save(&first, None).await);
        assert!(!save(&second, None).await && !save(&second, Some("00")).await, "someone else changed it");
        assert_eq!(store.draft("ours").await.unwrap().as_ref(), Some(&first));
        // Of two who saw the same one is the first.
        let seen = first.digest();
        let other = draft("ours", "a = 3\n", 4);
        let (one, two) = tokio::join!(save(&second, Some(&seen)), save(&other, Some(&seen)));
        assert!(one != two);
        let left = if one { second.clone() } else { other.clone() };
        let newer = draft("theirs", "b = 1\n", 9);
        assert!(save(&newer, None).await);
        assert_eq!(store.drafts().await.unwrap(), [newer, left.clone()]);
        store.close().await;
        let store = Store::open(url).await.unwrap();
        assert_eq!(store.draft("ours").await.unwrap(), Some(left));
        assert!(store.remove_draft("ours", ("ben", 10), &key).await.unwrap());
        assert!(!store.remove_draft("ours", ("ben", 10), &key).await.unwrap());
        assert_eq!(store.draft("ours").await.unwrap(), None);
        let acts = proven(&store.acts().await.unwrap(), &[key.public()]).unwrap();
        assert_eq!(acts.len(), 4, "what is refused leaves no trace");
        assert_eq!((acts[3].by.as_str(), &acts[3].deed), ("ben", &Deed::DraftRemoved { draft: "ours".into() }));
        assert!(verify(&store, &[key.public()]).await.unwrap().holds());
        store.close().await;
    })
    .await;
}

fn numbered(number: i64) -> Decision {
    let tenant = Some(if number % 5 == 0 { "=st-anna" } else { "west" }.to_owned());
    Decision { event: format!("e{number:05}"), tenant, ..decision(number) }
}

async fn taken(store: &Store, selection: Selection, format: Format) -> Vec<u8> {
    let mut download = Download::begin(store.clone(), selection, format).await.unwrap();
    let mut all = Vec::new();
    while let Some(bytes) = download.next().await.unwrap() {
        all.extend(bytes);
    }
    all
}

#[tokio::test]
async fn decisions_are_taken_away_whole_and_the_same() {
    let files = Mutex::new(BTreeSet::new());
    in_both(async |url| {
        let store = Store::open(url).await.unwrap();
        let all: Vec<Decision> = (0..2_500).map(numbered).collect();
        for some in all.chunks(500) {
            store.append(some).await.unwrap();
        }
        let selection = |tenant: Option<&str>| Selection { from: 100, until: 2_300, tenant: tenant.map(str::to_owned) };
        let mut found = Vec::new();
        for format in Format::ALL {
            for (tenant, n) in [(None, 2_200), (Some("=st-anna"), 440), (Some("nobody"), 0)] {
                let file = taken(&store, selection(tenant), format).await;
                let lines = file.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count();
                match format {
                    Format::Jsonl => assert_eq!(lines, n),
                    Format::Csv => assert_eq!(lines, n + 1),
                    Format::Parquet => assert!(file.starts_with(b"PAR1") && file.ends_with(b"PAR1")),
                }
                found.push(file);
            }
        }
        // One that comes while it is read is no part of it.
        let mut download = Download::begin(store.clone(), selection(None), Format::Jsonl).await.unwrap();
        download.next().await.unwrap();
        store.append(&[numbered(200)]).await.unwrap();
        let mut rest = Vec::new();
        while let Some(bytes) = download.next().await.unwrap() {
            rest.extend(bytes);
        }
        assert_eq!(rest.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count(), 1_200);
        files.lock().unwrap().insert(found);
        store.close().await;
    })
    .await;
    assert_eq!(files.into_inner().unwrap().len(), 1, "one store says what the other says");
}
