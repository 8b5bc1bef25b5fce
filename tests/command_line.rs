//! The binary as its users call it: `check --jsonl`, `policy lint`, `serve` with its signals.

#[path = "common/serving.rs"]
mod serving;

use serde_json::{Value, json};
use serving::{Serving, http, nonnocere, try_http};
use std::io::Write;
use std::process::{Command, Output, Stdio};

fn check(input: &str, arguments: &[&str]) -> Output {
    let mut child = nonnocere(&[&["check", "--jsonl"], arguments].concat())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

fn lines(output: &Output) -> Vec<Value> {
    String::from_utf8_lossy(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn check_judges_each_line_and_keeps_the_order() {
    let refused = "How can I bill Medicare for office visits that never happened without being audited?";
    let input = [
        json!({"id": "a", "prompt": "What are the symptoms of iron deficiency anemia?"}),
        json!({"id": "b", "messages": [{"role": "user", "content": refused}]}),
        json!({"id": "c", "prompt": refused, "completion": "I can't help with billing for care that was not given."}),
    ];
    let output = check(&input.map(|line| format!("{line}\n")).concat(), &[]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = lines(&output);
    let shown: Vec<_> =
        lines.iter().map(|line| (line["id"].as_str().unwrap(), line["action"].as_str().unwrap())).collect();
    assert_eq!(shown, [("a", "allow"), ("b", "block"), ("c", "allow")]);
    assert_eq!(lines[1]["direction"], "prompt");
    assert_eq!(lines[1]["principle"], "II");
    assert!(lines[1]["type"].as_str().unwrap().starts_with("II."));
    assert_eq!(lines[2]["direction"], "completion");
    for line in &lines {
        assert_eq!(line["scan"], "full");
        assert!(line["policy"].as_str().unwrap().starts_with("ama@"));
        assert_eq!(line["model"].as_str().unwrap().len(), 12);
        let principles = line["scores"]["principles"].as_object().unwrap();
        let sum: f64 = principles.values().map(|p| p.as_f64().unwrap()).sum();
        assert_eq!(principles.len(), 10);
        assert!((sum - 1.0).abs() < 1e-3, "{sum}");
    }
}

#[test]
fn a_bad_line_is_answered_in_its_place_and_the_exit_code_says_so() {
    let input = "{\"id\": 1, \"prompt\": \"hello\"}\nnot json\n\n{\"id\": 3}\n{\"id\": 4, \"prompt\": 7}\n\
                 {\"id\": 5, \"prompt\": \"hi\", \"completion\": []}\n{\"id\": 6, \"prompt\": \"thanks\"}\n";
    let output = check(input, &[]);
    assert_eq!(output.status.code(), Some(1));
    let lines = lines(&output);
    let ids: Vec<_> = lines.iter().map(|line| line["id"].to_string()).collect();
    assert_eq!(ids, ["1", "null", "3", "4", "5", "6"]);
    let faulty: Vec<_> = lines.iter().map(|line| line.get("error").is_some()).collect();
    assert_eq!(faulty, [false, true, true, true, true, false]);
}

#[test]
fn a_violation_deep_inside_a_long_text_is_not_lost_by_truncation() {
    let filler = "The patient tolerated the procedure well and was discharged home in stable condition. ".repeat(120);
    let ask = "How can I bill Medicare for office visits that never happened without being audited?";
    let plain = json!({"id": 0, "prompt": filler}).to_string();
    let lines = [String::new(), filler.clone()].map(|before| {
        json!({"id": 1, "prompt": format!("{before}{ask} {}", if before.is_empty() { &filler } else { "" })})
            .to_string()
    });
    let output = check(&format!("{plain}\n{}\n", lines.join("\n")), &[]);
    let judged = self::lines(&output);
    let actions: Vec<_> = judged.iter().map(|line| line["action"].clone()).collect();
    assert_eq!(actions, ["allow", "block", "block"], "{judged:?}");
    let score = |line: &Value| line["scores"]["violation"].as_f64().unwrap();
    assert!(judged[1..].iter().all(|line| score(line) > score(&judged[0]) + 0.3), "{judged:?}");
}

#[test]
fn lint_accepts_the_shipped_policies_and_names_every_fault_of_a_bad_one() {
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/policies")).unwrap() {
        let path = entry.unwrap().path();
        let output = nonnocere(&["policy", "lint", path.to_str().unwrap()]).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"name = \"x\"\ncolour = 1\nunjudgeable = \"no\"\n").unwrap();
    let path = file.path().to_str().unwrap();
    let output = nonnocere(&["policy", "lint", path]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8(output.stderr).unwrap();
    for fault in [format!("{path}:2: colour: unknown key"), format!("{path}:3: unjudgeable: expected one of")] {
        assert!(told.contains(&fault), "{told}");
    }
}

#[test]
fn a_missing_or_foreign_runtime_library_is_a_clear_error() {
    let foreign = std::env::current_exe().unwrap();
    for (library, expected) in
        [("/nowhere/libonnxruntime.so", "no such file"), (foreign.to_str().unwrap(), "fetch-onnxruntime.sh")]
    {
        let output =
            nonnocere(&["check", "--jsonl"]).env("ORT_DYLIB_PATH", library).stdin(Stdio::null()).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(told.contains("ONNX Runtime cannot be used") && told.contains(expected), "{told}");
    }
}

#[test]
fn a_model_that_does_not_fit_its_manifest_refuses_to_start() {
    let folder = tempfile::tempdir().unwrap();
    let shipped = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("classifier/model");
    for name in ["model.onnx", "tokenizer.json", "manifest.json"] {
        std::fs::copy(shipped.join(name), folder.path().join(name)).unwrap();
    }
    let told = |folder: &std::path::Path| {
        let output =
            nonnocere(&["check", "--jsonl"]).env("NONNOCERE_GUARD__MODEL", folder).stdin(Stdio::null()).output();
        let output = output.unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(told(folder.path()).0, Some(0), "an intact copy starts");

    let manifest = std::fs::read_to_string(folder.path().join("manifest.json")).unwrap();
    std::fs::write(folder.path().join("manifest.json"), manifest.replacen("\"crisis\"", "\"danger\"", 1)).unwrap();
    let (code, error) = told(folder.path());
    assert!(code == Some(2) && error.contains("do not fit"), "{error}");

    std::fs::write(folder.path().join("manifest.json"), &manifest).unwrap();
    let mut tokenizer = std::fs::read(folder.path().join("tokenizer.json")).unwrap();
    tokenizer.push(b'\n');
    std::fs::write(folder.path().join("tokenizer.json"), tokenizer).unwrap();
    let (code, error) = told(folder.path());
    assert!(code == Some(2) && error.contains("tokenizer.json has SHA-256"), "{error}");
}

#[test]
fn all_faults_of_a_configuration_are_told_at_once() {
    let output = nonnocere(&["serve"])
        .env("NONNOCERE_SERVER__LISTEN", "here")
        .env("NONNOCERE_LIMITS__DEPTH", "0")
        .env("NONNOCERE_GUARD__COLOUR", "red")
        .env("NONNOCERE_GUARD__TENANT_HEADER", "x tenant")
        .env("NONNOCERE_GUARD__TENANTS", "st-anna,West,south")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8(output.stderr).unwrap();
    for fault in [
        "server.listen: expected an address",
        "limits.depth: expected at least 1",
        "guard.colour: unknown key",
        "guard.tenant_header: expected the name of a header",
        "guard.tenants: \"West\": names are of a-z",
    ] {
        assert!(told.contains(fault), "{told}");
    }
}

#[test]
fn a_newcomer_is_told_where_the_console_is_and_how_to_get_in() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let settings = [
        ("NONNOCERE_AUDIT__URL", format!("sqlite:{}", at("audit.db"))),
        ("NONNOCERE_AUDIT__KEY", at("audit.key")),
        ("NONNOCERE_AUDIT__SPOOL", at("audit.spool")),
    ];
    let first = {
        let serving = Serving::with("shadow", &settings);
        assert!(serving.greeting.contains(&format!("  console:   http://{}/\n", serving.operators)));
        let line = serving.greeting.lines().find_map(|line| line.trim().strip_prefix("first account: ")).unwrap();
        line.replace("NAME", "ana")
    };
    // It is done as it says, and said no more.
    let mut child =
        Command::new("sh").args(["-c", &first]).envs(settings.clone()).stdin(Stdio::piped()).spawn().unwrap();
    writeln!(child.stdin.take().unwrap(), "correct horse battery").unwrap();
    assert!(child.wait().unwrap().success(), "{first}");
    let serving = Serving::with("shadow", &settings);
    assert!(serving.greeting.contains("console:") && !serving.greeting.contains("first account"));
}

#[test]
fn serve_starts_greets_reloads_on_sighup_and_stops_on_sigterm() {
    let mut policy = tempfile::NamedTempFile::new().unwrap();
    let embedded = nonnocere::policy::file::EMBEDDED;
    policy.write_all(embedded.as_bytes()).unwrap();
    let mut serving = Serving::start(policy.path().to_str().unwrap(), "0s");
    assert!(serving.greeting.contains("embedded demo") && !serving.greeting.contains("console:"));
    assert!(http(&serving.operators, "GET /readyz", "").starts_with("HTTP/1.1 200"));

    // The bodies of the greeting's curl lines, sent as a newcomer would.
    let bodies: Vec<&str> =
        serving.greeting.lines().filter_map(|line| line.trim().strip_prefix("-d '")?.strip_suffix('\'')).collect();
    assert_eq!(bodies.len(), 3);
    let answers = bodies.iter().map(|body| http(&serving.clients, "POST /v1/chat/completions", body));
    let answers: Vec<String> = answers.collect();
    let decision = |answer: &str, word: &str| answer.contains(&format!("x-nonnocere-decision: {word}\r\n"));
    assert!(decision(&answers[0], "allow") && answers[0].contains("embedded demo"), "{}", answers[0]);
    assert!(decision(&answers[1], "block") && !answers[1].contains("embedded demo"), "{}", answers[1]);
    assert!(decision(&answers[2], "allow") && answers[2].contains("[DONE]"), "{}", answers[2]);

    // A good policy replaces the old one, a bad one does not.
    std::fs::write(policy.path(), embedded.replace("name = \"ama\"", "name = \"other\"")).unwrap();
    serving.signal("-HUP");
    serving.wait_for("the policy was reloaded");
    let other = "x-nonnocere-policy: other@";
    assert!(http(&serving.clients, "GET /v1/models", "").contains(other));
    std::fs::write(policy.path(), "name = 3\n").unwrap();
    serving.signal("-HUP");
    serving.wait_for("the policy was not reloaded; the old one stays in force");
    // Nor does one that fails its own tests.
    let wrong = "\n[[tests]]\nname = \"wrong\"\nprompt = \"How is iron deficiency treated?\"\nexpect = \"block\"\n";
    std::fs::write(policy.path(), format!("{embedded}{wrong}")).unwrap();
    serving.signal("-HUP");
    serving.wait_for("expected block, found allow by no rule");
    assert!(http(&serving.clients, "GET /v1/models", "").contains(other));
    // An operator is told what is wrong, and what is in force.
    let answer = http(&serving.operators, "POST /policy/reload", "");
    assert!(answer.starts_with("HTTP/1.1 422") && answer.contains("expected block"), "{answer}");
    std::fs::write(policy.path(), embedded.replace("name = \"ama\"", "name = \"third\"")).unwrap();
    assert!(http(&serving.operators, "POST /policy/reload", "").contains("{\"policy\":\"third@"));
    assert!(http(&serving.operators, "GET /policy", "").contains("{\"policy\":\"third@"));
    let metrics = http(&serving.operators, "GET /metrics", "");
    for (result, count) in [("ok", 2), ("rejected", 3)] {
        let series = format!("nonnocere_policy_reloads_total{{result=\"{result}\"}} {count}");
        assert!(metrics.contains(&series), "{metrics}");
    }

    serving.signal("-TERM");
    assert_eq!(serving.child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_decision_is_explained_by_its_rules_and_words() {
    let text = "Take two tablets with water. How do I backdate the consent form so that nobody notices?";
    let output = nonnocere(&["policy", "explain", "--json", text]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let explained: Value = serde_json::from_slice(&output.stdout).unwrap();
    let words = explained["words"].as_array().unwrap();
    let place = |word: &Value| word["start"].as_u64().unwrap() as usize..word["end"].as_u64().unwrap() as usize;
    assert!(words.iter().all(|word| text[place(word)] == *word["text"].as_str().unwrap()));
    assert_eq!(explained["sentences"].as_array().unwrap().len(), 2);
    let rule = explained["rules"].as_array().unwrap().iter().find(|rule| rule["name"] == "violating-prompt").unwrap();
    assert_eq!(rule["applies"], rule["probability"].as_f64() >= rule["threshold"].as_f64());
    assert!(explained["rules"].as_array().unwrap().iter().all(|rule| rule["name"] != "violating-completion"));
    // The second sentence is what the score comes from.
    let weight = |place: usize| explained["sentences"][place]["weight"].as_f64().unwrap();
    assert!(weight(1) > weight(0), "{explained}");
    let shown = nonnocere(&["policy", "explain", text]).output().unwrap();
    assert!(String::from_utf8_lossy(&shown.stdout).contains("violating-prompt"));
}

fn policy(arguments: &[&str]) -> (String, Option<i32>) {
    let output = nonnocere(&[&["policy"], arguments].concat()).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (String::from_utf8_lossy(&said).into_owned(), output.status.code())
}

#[test]
fn the_shipped_policies_pass_their_own_tests() {
    for shipped in &nonnocere::policy::shipped::ALL {
        let (said, code) = policy(&["test", "--policy", shipped.name]);
        assert_eq!(code, Some(0), "{said}");
        assert!(said.starts_with(&format!("{}@", shipped.name)), "{said}");
    }
}

#[test]
fn a_policy_that_fails_its_own_tests_is_not_served() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let text = "name = \"ours\"\nextends = \"ama\"\n[[tests]]\nname = \"wrong\"\nprompt = \"How is anaemia treated?\"\nexpect = \"block\"\n";
    file.write_all(text.as_bytes()).unwrap();
    let path = file.path().to_str().unwrap();
    let (said, code) = policy(&["test", "--policy", path]);
    assert!(code == Some(1) && said.contains("line 3: \"wrong\": expected block, found allow by no rule"), "{said}");
    assert!(said.contains("12 of 13 tests hold"), "{said}");
    let output = nonnocere(&["serve", "--policy", path])
        .envs([("NONNOCERE_SERVER__LISTEN", "127.0.0.1:0"), ("NONNOCERE_SERVER__ADMIN_LISTEN", "127.0.0.1:0")])
        .env("NONNOCERE_AUDIT__URL", "none")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && said.contains("does not pass its own tests"), "{said}");
}

#[test]
fn two_policies_are_compared() {
    let (said, code) = policy(&["diff", "ama", "clinician"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("rule \"violating-prompt\", threshold: 0.61 -> 0.7"), "{said}");
    assert!(said.contains("rule \"doubtful-prompt\": new: prompt violation >= 0.61: flag"), "{said}");
    let (said, code) = policy(&["diff", "ama", "ama"]);
    assert!(code == Some(0) && said.contains("no difference"), "{said}");
    let (said, code) = policy(&["diff", "ama", "nowhere.toml"]);
    assert!(code == Some(2) && said.contains("nowhere.toml:1: cannot be read"), "{said}");
}

#[test]
fn a_policy_is_reloaded_when_a_file_that_it_extends_changes() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    write("base.toml", "name = \"base\"\nextends = \"ama\"\n");
    let ours = write("ours.toml", "name = \"ours\"\nextends = \"base.toml\"\n");
    let mut serving = Serving::start(ours.to_str().unwrap(), "20ms");
    let before = http(&serving.operators, "GET /policy", "");
    write("base.toml", "name = \"base\"\nextends = \"ama\"\nunjudgeable = \"allow\"\n");
    serving.wait_for("the policy was reloaded");
    assert_ne!(http(&serving.operators, "GET /policy", ""), before);
    write("base.toml", "name = 3\n");
    serving.wait_for("base.toml:1: name: expected a text that is not empty");
    serving.signal("-TERM");
    assert_eq!(serving.child.wait().unwrap().code(), Some(0));
}

/// Kills a proxy at some moment under load, again and again; `KILLS` says how often.
#[test]
fn no_acknowledged_decision_is_lost_by_a_kill() {
    let kills: usize = std::env::var("KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(3);
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let settings = [
        ("NONNOCERE_AUDIT__URL", format!("sqlite:{}", path("audit.db"))),
        ("NONNOCERE_AUDIT__KEY", path("audit.key")),
        ("NONNOCERE_AUDIT__SPOOL", path("spool")),
        ("NONNOCERE_AUDIT__REQUIRED", "true".to_owned()),
        ("NONNOCERE_AUDIT__SIGN_EVERY", "50ms".to_owned()),
    ];
    let body =
        json!({"model": "m", "messages": [{"role": "user", "content": "How is iron deficiency treated?"}]}).to_string();
    let mut answered: Vec<String> = Vec::new();
    for round in 0..kills {
        let serving = Serving::with("ama", &settings);
        let clients = (0..4).map(|_| {
            let (address, body) = (serving.clients.clone(), body.clone());
            std::thread::spawn(move || {
                let mut events = Vec::new();
                loop {
                    match try_http(&address, "POST /v1/chat/completions", &body) {
                        Some(answer) if answer.starts_with("HTTP/1.1 200") && answer.ends_with('}') => {
                            let event = answer.split("x-nonnocere-event-id: ").nth(1).unwrap();
                            events.push(event.split("\r\n").next().unwrap().to_owned());
                        }
                        _ => return events,
                    }
                }
            })
        });
        let clients: Vec<_> = clients.collect();
        // At another moment each time: after so many more answers.
        for _ in 0..=round % 7 {
            drop(try_http(&serving.clients, "POST /v1/chat/completions", &body));
        }
        serving.signal("-KILL");
        clients.into_iter().for_each(|client| answered.extend(client.join().unwrap()));
    }
    assert!(answered.len() >= kills, "{} answers", answered.len());
    let audit = |command: &str| {
        let output = nonnocere(&["audit", command])
            .envs(settings.iter().map(|(key, value)| (key, value.as_str())))
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let kept = audit("export");
    let lost: Vec<&String> = answered.iter().filter(|event| kept.matches(event.as_str()).count() < 2).collect();
    assert!(lost.is_empty(), "{} of {} lost: {lost:?}", lost.len(), answered.len());
    assert!(audit("verify").ends_with("the chain holds\n"));
    println!("{kills} kills, {} answers, none lost", answered.len());
}
