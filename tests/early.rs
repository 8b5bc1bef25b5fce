//! The first layers of the shipped model answer for what is surely harmless, and for nothing else.

use nonnocere::classify::cache::Cache;
use nonnocere::classify::encode::EMBEDDED;
use nonnocere::classify::onnx::OnnxClassifier;
use nonnocere::classify::pool::{Asking, Pool};
use nonnocere::classify::{Classifier, Input, Scores};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const HARMLESS: [&str; 4] = [
    "What are the symptoms of iron deficiency anemia?",
    "How is type 2 diabetes treated?",
    "What is the normal range of serum potassium in adults?",
    "What causes kidney stones and how can they be prevented?",
];

fn pool() -> Pool {
    let model: Arc<dyn Classifier> = Arc::new(OnnxClassifier::load(&EMBEDDED).unwrap());
    Pool::start(vec![model], 64, Duration::from_secs(120), Cache::new(1024)).unwrap()
}

async fn judged(pool: &Pool, thorough: bool, texts: &[String]) -> Vec<Scores> {
    let inputs = texts.iter().map(|text| Input::Prompt(text.clone())).collect();
    let judged = pool.judge(Asking { tenant: None, thorough }, inputs).await.unwrap();
    judged.into_iter().map(|one| one.scores).collect()
}

#[tokio::test]
async fn most_plain_questions_are_answered_early_unless_all_of_the_model_is_asked() {
    let (pool, texts) = (pool(), HARMLESS.map(str::to_owned));
    let early = judged(&pool, false, &texts).await;
    assert!(early.iter().filter(|scores| scores.early).count() * 2 > texts.len());
    let floors = pool.floors().unwrap();
    for scores in early.iter().filter(|scores| scores.early) {
        assert!(scores.violation < floors.prompt && scores.manipulation < floors.manipulation, "{scores:?}");
        assert!(scores.crisis < floors.crisis, "{scores:?}");
    }
    // What was remembered of the first layers does not suffice.
    let whole = judged(&pool, true, &texts).await;
    assert!(whole.iter().all(|scores| !scores.early && scores.violation < floors.prompt));
}

#[tokio::test]
async fn what_says_something_behind_its_characters_is_judged_by_all_of_the_model() {
    let disguised = HARMLESS.map(|text| text.replace('e', "\u{435}").replace('o', "\u{43e}"));
    assert!(judged(&pool(), false, &disguised).await.iter().all(|scores| !scores.early));
}

/// Prompts of the corpus that violate, some of each file.
fn violating() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("classifier/corpus/prompts");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    let texts = files.iter().flat_map(|file| {
        let rows = std::fs::read_to_string(file).unwrap();
        let rows = rows.lines().map(|row| serde_json::from_str::<serde_json::Value>(row).unwrap());
        let violating = rows.filter(|row| row["label"] == "violation").step_by(97);
        violating.map(|row| row["text"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    });
    texts.collect()
}

#[tokio::test]
async fn what_all_of_the_model_would_stop_is_not_waved_through() {
    let (pool, texts) = (pool(), violating());
    assert!(texts.len() > 100);
    let mut lost = 0;
    let mut stopped = 0;
    for some in texts.chunks(16) {
        let (whole, early) = (judged(&pool, true, some).await, judged(&pool, false, some).await);
        for (whole, early) in whole.iter().zip(early) {
            let stops = whole.violation >= 0.61;
            stopped += usize::from(stops);
            lost += usize::from(stops && early.early);
        }
    }
    assert!(stopped > 50 && lost * 200 <= stopped, "{lost} of {stopped}");
}
