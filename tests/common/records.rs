//! Decisions that were not made, and a store to keep them in.

#![allow(dead_code, reason = "each test file uses its own part")]
use nonnocere::audit::chain::{Checkpoint, Reason, Tail};
use nonnocere::audit::decision::{Decision, Seen};
use nonnocere::audit::key::Signing;
use nonnocere::audit::store::Store;
use nonnocere::classify::Scores;
use std::path::Path;

pub fn decision(time: i64) -> Decision {
    Decision {
        time,
        event: format!("e{time}"),
        direction: "prompt".into(),
        surface: "chat".into(),
        stream: false,
        audience: None,
        action: "block".into(),
        rule: Some("violating-prompt".into()),
        principle: Some("II".into()),
        kind: Some("II.3".into()),
        shadow: None,
        scan: "full".into(),
        alone: Some(Seen::from(&Scores { violation: 0.9, ..Scores::NONE })),
        context: None,
        said: None,
        redacted: [].into(),
        policy: "ama@0".into(),
        model: "m".into(),
        status: Some(200),
        took_ms: Some(1.5),
        tenant: None,
        user: None,
        part2: false,
        opinion: None,
        sealed: None,
    }
}

pub fn sqlite(folder: &Path) -> String {
    format!("sqlite:{}", folder.join("audit.db").display())
}

pub async fn sign(store: &Store, tail: &Tail, key: &Signing) {
    store.checkpoint(&Checkpoint::sign(tail, Reason::Regular, 1, key)).await.unwrap();
}
