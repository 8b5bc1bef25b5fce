//! What a policy file may say, and what is told of one that is wrong.

use super::*;

#[test]
fn the_embedded_policy_is_valid() {
    let policy = parse("ama.toml", EMBEDDED).unwrap();
    assert_eq!(policy.name, "ama");
    assert_eq!(policy.hash.len(), 12);
}

#[test]
fn all_faults_are_reported_with_line_and_key() {
    let text = r#"name = "x"
unjudgeable = "maybe"
colour = 1
[on_unavailable]
prompt = "block"
completion = 3
[[rules]]
name = "a"
direction = "prompt"
score = "violation"
principles = ["I", "X"]
threshold = 1.5
action = "block"
[[rules]]
name = "b"
direction = "both"
score = "crisis"
thresold = 0.5
action = "flag"
"#;
    let faults = parse("p.toml", text).unwrap_err();
    let shown: Vec<String> = faults.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [
            "p.toml:2: unjudgeable: expected one of allow, block",
            "p.toml:3: colour: unknown key; known: name, description, extends, shadow, unjudgeable, on_unavailable, phi, \
             instead, rules, tests",
            "p.toml:6: on_unavailable.completion: expected one of allow, block",
            "p.toml:7: rules[0].message: expected a text that is not empty, or a text for each language",
            "p.toml:11: rules[0].principles: unknown: \"X\"; known: I to IX, G; leave it out for all",
            "p.toml:12: rules[0].threshold: expected a probability between 0 and 1",
            "p.toml:14: rules[1].threshold: expected a probability between 0 and 1",
            "p.toml:16: rules[1].direction: expected one of prompt, completion",
            "p.toml:18: rules[1].thresold: unknown key; known: name, direction, score, principles, types, audiences, \
             tenants, patterns, threshold, threshold_in_context, action, message, shadow, enabled, second_opinion",
        ]
    );
}

#[test]
fn a_conversation_may_have_a_threshold_of_its_own() {
    let at = |line: &str| parse("p.toml", &EMBEDDED.replacen("threshold_in_context = 0.80", line, 1));
    let rule = |policy: Policy| policy.rules[1].clone();
    let (own, none) = (rule(at("threshold_in_context = 0.9").unwrap()), rule(at("").unwrap()));
    assert!((own.threshold_in_context - 0.9).abs() < 1e-6 && own.threshold < 0.9);
    assert!((none.threshold_in_context - none.threshold).abs() < 1e-6);
    assert_eq!(at("threshold_in_context = 9").unwrap_err()[0].key, "rules[1].threshold_in_context");
}

#[test]
fn a_file_that_the_parser_panics_at_is_a_fault() {
    let text = "# i\r\r\r==esho.ld Ai*riAPMne lt : the nKn) \r\r. =457\nactio phe nKne \r\rif . =457\n";
    assert_eq!(parse("p.toml", text).unwrap_err().last().unwrap().file, "p.toml");
    assert!(!parse("p.toml", "a = 1\na.b = 2\n").unwrap_err().is_empty());
}

#[test]
fn what_is_not_toml_is_reported_at_its_line() {
    let faults = parse("p.toml", "name = \"x\"\nrules = [\n").unwrap_err();
    assert_eq!(faults.len(), 1);
    assert!(faults[0].line >= 2, "{faults:?}");
}

#[test]
fn a_policy_extends_another_by_the_names_of_its_rules() {
    let text = r#"
name = "ours"
extends = "ama"
[on_unavailable]
completion = "allow"
[[rules]]
name = "violating-prompt"
threshold = 0.9
[[rules]]
name = "ward-9"
direction = "prompt"
score = "pattern"
patterns = ["ward 9"]
action = "flag"
[[rules]]
name = "manipulation"
enabled = false
[instead.IV]
en = "Ask the privacy officer."
"#;
    let (base, ours) = (parse("ama.toml", EMBEDDED).unwrap(), parse("p.toml", text).unwrap());
    let names: Vec<&str> = ours.rules.iter().map(|rule| &*rule.name).collect();
    assert_eq!(names, ["crisis", "violating-prompt", "ward-9", "violating-completion", "manipulation"]);
    assert_eq!(ours.rules[0], base.rules[0]);
    let [own, theirs] = [&ours.rules[1], &base.rules[1]];
    assert!((own.threshold - 0.9).abs() < 1e-6 && own.message == theirs.message);
    assert!((own.threshold_in_context - theirs.threshold_in_context).abs() < 1e-6);
    assert!(!ours.rules[4].is_enabled && base.rules[3].is_enabled);
    let modes = (ours.on_unavailable.prompt, ours.on_unavailable.completion);
    assert_eq!(modes, (FailMode::Closed, FailMode::Open));
    assert_eq!((ours.instead.len(), ours.tests.len()), (base.instead.len(), base.tests.len()));
    assert_ne!(ours.hash, parse("p.toml", &text.replace("\"ama\"", "\"patient\"")).unwrap().hash);
}

#[test]
fn files_extend_one_another_and_not_in_a_circle() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("base.toml", "name = \"base\"\nextends = \"ama\"\nunjudgeable = \"allow\"");
    write("ours.toml", "name = \"ours\"\nextends = \"base.toml\"");
    assert_eq!(open(&folder.path().join("ours.toml")).unwrap().unjudgeable, Unjudgeable::Allow);
    write("base.toml", "name = \"base\"\nextends = \"ours.toml\"");
    let shown = |name: &str| open(&folder.path().join(name)).unwrap_err()[0].to_string();
    assert!(shown("ours.toml").contains("not in a circle"), "{}", shown("ours.toml"));
    write("base.toml", "name = \"base\"\nunjudgeable = 3");
    assert!(shown("ours.toml").contains("base.toml:2: unjudgeable: expected one of allow, block"));
    write("ours.toml", "name = \"ours\"\nextends = \"none\"");
    assert!(shown("ours.toml").contains("none:1: cannot be read"), "{}", shown("ours.toml"));
}

#[test]
fn a_policy_is_restored_from_its_texts_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("base.toml");
    std::fs::write(&path, "name = \"base\"\nextends = \"ama\"\nunjudgeable = \"allow\"").unwrap();
    let ours = folder.path().join("ours.toml");
    std::fs::write(&ours, "name = \"ours\"\nextends = \"base.toml\"").unwrap();
    let policy = open(&ours).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(policy.texts.len(), 3);
    assert_eq!(restore(&policy.texts).unwrap(), policy);
    assert!(restore(&policy.texts[..2]).unwrap_err()[0].message.contains("no text"));
}

#[test]
fn a_threshold_in_context_that_is_not_given_goes_with_the_other() {
    let patient = parse("patient.toml", shipped::named("patient").unwrap().text).unwrap();
    let rule = |name: &str| patient.rules.iter().find(|rule| &*rule.name == name).unwrap();
    assert!((rule("manipulation").threshold_in_context - 0.9).abs() < 1e-6);
    let prompts = rule("violating-prompt");
    assert!(prompts.threshold_in_context > prompts.threshold);
}

#[test]
fn help_comes_before_a_rule_that_a_file_begins_with() {
    let rule =
        "[[rules]]\nname = \"w\"\ndirection = \"prompt\"\nscore = \"pattern\"\npatterns = [\"w\"]\naction = \"flag\"";
    let ours = parse("p.toml", &format!("name = \"p\"\nextends = \"shadow\"\nshadow = false\n{rule}")).unwrap();
    assert_eq!([&*ours.rules[0].name, &*ours.rules[1].name], ["crisis", "w"]);
    assert!(ours.rules.iter().all(|rule| !rule.is_shadow));
}

#[test]
fn the_shipped_policies_are_valid() {
    for shipped in &shipped::ALL {
        let policy = parse(shipped.file, shipped.text).unwrap_or_else(|faults| panic!("{}", faults[0]));
        assert_eq!(policy.name, shipped.name);
        assert!(!policy.tests.is_empty());
    }
}
