//! Policy files: every fault is named, with its line and key and what would be right.

use nonnocere::policy::file;
use std::path::{Path, PathBuf};

/// The files whose first line is a comment with what must be said of them: `line: key: message`, or how that begins.
fn invalid() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/policy/invalid");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn every_invalid_policy_gives_its_expected_message() {
    let files = invalid();
    assert!(files.len() >= 35, "{files:?}");
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        let expected = text.lines().next().unwrap().strip_prefix("# ").unwrap();
        let faults = file::open(&path).map(|policy| policy.to_string()).unwrap_err();
        let name = path.display().to_string();
        let shown: Vec<String> =
            faults.iter().map(|fault| fault.to_string().replace(&format!("{name}:"), "")).collect();
        // A path that a file names is read beside it.
        let folder = format!("{}/", path.parent().unwrap().display());
        let shown: Vec<String> = shown.iter().map(|fault| fault.replace(&folder, "")).collect();
        assert!(
            shown.iter().any(|fault| fault.starts_with(expected)),
            "{name}:\nexpected {expected}\nfound {shown:#?}"
        );
    }
}
