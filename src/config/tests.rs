use super::*;
use crate::openai::request::Surface;
use crate::route::Action;
use std::io::Write;

pub(super) fn with_file(text: &str) -> Result<Config, Vec<String>> {
    let mut file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    Config::load(&Overrides { file: Some(file.path().to_owned()), ..Overrides::default() })
}

#[test]
fn the_embedded_defaults_are_valid() {
    let config = Config::load(&Overrides::default()).unwrap();
    assert_eq!(config.listen.port(), 8080);
    assert_eq!(config.policy, Source::named("ama"));
    assert!(config.upstreams.endpoints.is_empty() && config.workers > 0);
}

#[test]
fn a_file_and_a_flag_override_the_defaults() {
    let mut file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    file.write_all(b"[server]\nlisten = \"[::1]:9\"\n[upstream]\nurl = \"http://a/v1\"\n").unwrap();
    let overrides = Overrides {
        file: Some(file.path().to_owned()),
        upstream: Some("https://b/v1".to_owned()),
        policy: Some("p.toml".into()),
    };
    let config = Config::load(&overrides).unwrap();
    assert_eq!(config.listen.port(), 9);
    assert_eq!(config.upstreams.endpoints[0].url.host(), Some("b"));
    assert_eq!(config.policy, Source::File("p.toml".into()));
}

#[test]
fn all_faults_are_found_at_once() {
    let text = "[server]\nlisten = \"here\"\ncolour = 1\n[upstream]\nurl = \"ftp://x\"\n[limits]\ndepth = 0\n";
    assert_eq!(
        with_file(text).unwrap_err(),
        [
            "server.colour: unknown key",
            "server.listen: expected an address such as 127.0.0.1:8080, found \"here\"",
            "upstream.url: expected a URL such as http://localhost:8000/v1",
            "limits.depth: expected at least 1",
        ]
    );
}

#[test]
fn routes_are_rules_for_paths() {
    let route = |rest: &str| with_file(&format!("[[routes]]\npath = \"/v1/files*\"\n{rest}\n"));
    let action = |rest: &str| route(rest).unwrap().routes[0].action;
    assert_eq!(action("rule = \"pass\""), Action::Pass);
    let flow = |mode, speculative| Flow { mode, speculative, audience: None, part2: false };
    let guarded = "rule = \"guard\"\nsurface = \"chat\"";
    assert_eq!(action(guarded), Action::Guard(Surface::Chat, flow(Mode::Window, false)));
    let own = format!("{guarded}\nstream = \"buffer\"\nspeculative = true");
    assert_eq!(action(&own), Action::Guard(Surface::Chat, flow(Mode::Buffer, true)));
    let for_patients = action(&format!("{guarded}\naudience = \"patient\""));
    assert!(matches!(for_patients, Action::Guard(_, Flow { audience: Some(Audience::Patient), part2: false, .. })));
    let treatment = action(&format!("{guarded}\npart2 = true"));
    assert!(matches!(treatment, Action::Guard(_, Flow { audience: None, part2: true, .. })));
    assert!(route("rule = \"pass\"\npart2 = true").unwrap_err()[0].ends_with("audience and part2"));
    assert!(with_file("[guard]\naudience = \"cats\"\n").unwrap_err()[0].starts_with("guard.audience: expected one of"));
    assert!(route("rule = \"pass\"\nstream = \"buffer\"").unwrap_err()[0].starts_with("routes[0]: only"));
    assert!(route("rule = \"guard\"").unwrap_err()[0].starts_with("routes[0].surface: expected chat"));
    assert!(route("rule = \"deny\"\nsurface = \"chat\"").unwrap_err()[0].starts_with("routes[0].surface: only"));
    assert!(route("rule = \"maybe\"").unwrap_err()[0].contains("maybe"));
}

#[test]
fn tenants_are_a_closed_list() {
    let of = |keys: &str| with_file(&format!("[guard]\n{keys}\n")).map(|config| config.callers);
    let callers =
        of("tenant_header = \"X-Tenant\"\ntenants = [\"st-anna\", \"west\"]\nuser_header = \"x-user\"").unwrap();
    assert_eq!(
        (callers.tenant_header.unwrap().as_str(), callers.user_header.unwrap().as_str()),
        ("x-tenant", "x-user")
    );
    assert_eq!((callers.tenants.len(), callers.tenant_required), (2, false));
    assert!(of("").is_ok_and(|callers| callers.tenant_header.is_none() && callers.tenants.is_empty()));
    for (keys, fault) in [
        ("tenant_header = \"x tenant\"\ntenants = [\"a\"]", "guard.tenant_header: expected the name of a header"),
        ("user_header = \"(\"", "guard.user_header: expected the name of a header"),
        ("tenant_header = \"x-t\"", "guard.tenants: expected at least one name"),
        ("tenant_header = \"x-t\"\ntenants = [\"a\", \"St Anna\"]", "guard.tenants: \"St Anna\": names are of a-z"),
        ("tenants = [\"a\"]", "guard.tenants: there are none without guard.tenant_header or keys.file"),
        (
            "tenant_required = true",
            "guard.tenant_required: there are no tenants without guard.tenant_header or keys.file",
        ),
    ] {
        let faults = of(keys).unwrap_err();
        assert!(faults.len() == 1 && faults[0].starts_with(fault), "{keys}: {faults:?}");
    }
}

#[test]
fn keys_are_off_until_there_is_a_file() {
    assert!(with_file("").unwrap().keys.is_none());
    let text = "[guard]\ntenants = [\"west\"]\ntenant_required = true\n[keys]\nfile = \"keys.json\"\nwatch = \"0s\"\n\
                [upstreams.east]\nurl = \"http://a/v1\"\n";
    let keys = with_file(text).unwrap().keys.unwrap();
    assert!(keys.tenants.contains("west") && keys.upstreams.contains("east") && keys.needs_tenant);
    assert_eq!(keys.watch, None);
}

#[test]
fn a_wrong_duration_names_its_key() {
    let faults = with_file("[guard]\ndeadline = \"soon\"\n").unwrap_err();
    assert!(faults[0].contains("guard.deadline") && faults[0].contains("expected a duration"), "{faults:?}");
}

#[test]
fn a_secret_is_never_shown() {
    let config = with_file("[upstream]\napi_key = \"hunter2\"\n").unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
    assert!(!format!("{:?}", Secret("hunter2".to_owned())).contains("hunter2"));
}
