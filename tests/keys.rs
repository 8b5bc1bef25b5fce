//! API keys of clients: who is let in, as whom, how much, and where the key is never seen.

mod common;
#[path = "common/serving.rs"]
mod serving;

use common::{Got, Options, RunningProxy, ScriptedUpstream, ask};
use http::Request;
use http_body_util::Full;
use nonnocere::caller::Callers;
use nonnocere::keys::file::{Entry, draw, edit};
use nonnocere::keys::{Keys, Settings};
use nonnocere::policy::reload::Source;
use nonnocere::upstream::{EndpointSettings, Terms};
use serde_json::{Value, json};
use serving::{Serving, http, nonnocere};
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;

fn settings(folder: &Path) -> Settings {
    Settings {
        file: folder.join("keys.json"),
        watch: None,
        tenants: ["st-anna", "west", "south"].map(Arc::from).into(),
        needs_tenant: false,
        upstreams: ["one", "two"].map(Arc::from).into(),
    }
}

/// Makes a key with these rights.
fn key(folder: &Path, rights: impl FnOnce(Entry) -> Entry) -> String {
    let key = draw().unwrap();
    let entry = rights(Entry::of(&key).unwrap());
    edit(&folder.join("keys.json"), |keys| {
        keys.push(entry);
        Ok(())
    })
    .unwrap();
    key
}

fn options(folder: &Path, upstream: &ScriptedUpstream) -> Options {
    let keys = Keys::load(settings(folder)).unwrap();
    Options { keys: Some(Arc::new(keys)), ..Options::new(&upstream.url()) }
}

/// Posts to `path` with these headers.
async fn post(proxy: &RunningProxy, path: &str, headers: &[(&str, String)], body: &Value) -> Got {
    let mut request = Request::post(format!("http://{}{path}", proxy.address));
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    proxy.send(request.body(Full::new(body.to_string().into())).unwrap()).await
}

async fn chat(proxy: &RunningProxy, key: &str) -> Got {
    let headers = [("authorization", format!("Bearer {key}"))];
    post(proxy, "/v1/chat/completions", &headers, &ask("hello", &json!({}))).await
}

#[tokio::test]
async fn without_a_valid_key_nothing_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let good = key(folder.path(), |entry| entry);
    let upstream = ScriptedUpstream::saying("Fine.").await;
    let proxy = RunningProxy::start(options(folder.path(), &upstream)).await;
    let forged = format!("{}0", &good[..good.len() - 1]);
    let forged = if forged == good { format!("{}1", &good[..good.len() - 1]) } else { forged };
    for path in ["/v1/chat/completions", "/v1/moderations", "/v1/embeddings", "/v1/elsewhere"] {
        for headers in
            [vec![], vec![("authorization", format!("Bearer {forged}"))], vec![("authorization", "Bearer sk-1".into())]]
        {
            let got = post(&proxy, path, &headers, &ask("hello", &json!({}))).await;
            assert_eq!((got.status.as_u16(), got.error_code().as_str()), (401, "invalid_api_key"), "{path}");
            assert_eq!(got.header("www-authenticate"), "Bearer");
            assert!(!String::from_utf8_lossy(&got.body).contains(&forged));
        }
    }
    assert_eq!(proxy.get("/v1/models").await.status, 401);
    assert!(upstream.asked().is_empty());
    assert_eq!(chat(&proxy, &good).await.status, 200);
    // Operators need none.
    assert_eq!(proxy.admin("/healthz").await.status, 200);
}

#[tokio::test]
async fn our_key_is_never_sent_on_and_the_clients_own_is() {
    let folder = tempfile::tempdir().unwrap();
    let good = key(folder.path(), |entry| entry);
    let upstream = ScriptedUpstream::saying("Fine.").await;
    let proxy = RunningProxy::start(options(folder.path(), &upstream)).await;
    let bearer = |token: &str| ("authorization", format!("Bearer {token}"));
    for (headers, expected) in [
        (vec![bearer(&good), ("api-key", good.clone())], None),
        (vec![("x-nonnocere-key", good.clone()), bearer("sk-theirs")], Some("Bearer sk-theirs")),
        (vec![("x-nonnocere-key", good.clone()), bearer(&good)], None),
    ] {
        let got = post(&proxy, "/v1/chat/completions", &headers, &ask("hello", &json!({}))).await;
        assert_eq!(got.status, 200);
        let asked = upstream.asked().pop().unwrap();
        assert_eq!(asked.headers.get("authorization").map(|value| value.to_str().unwrap()), expected);
        assert!(!format!("{:?}", asked.headers).contains(&good), "{:?}", asked.headers);
    }
    // The upstream's own key takes its place.
    let mut endpoint = EndpointSettings::plain("one", upstream.url().parse().unwrap(), Terms::default());
    endpoint.authorization = Some("Bearer ours".parse().unwrap());
    let options = Options { upstreams: vec![endpoint], ..options(folder.path(), &upstream) };
    let proxy = RunningProxy::start(options).await;
    assert_eq!(chat(&proxy, &good).await.status, 200);
    assert_eq!(upstream.asked().pop().unwrap().headers["authorization"], "Bearer ours");
}

#[tokio::test]
async fn a_key_says_whose_request_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let west = key(folder.path(), |entry| Entry { tenant: Some("west".into()), ..entry });
    let gateway = key(folder.path(), |entry| entry);
    std::fs::write(folder.path().join("policy.toml"), include_str!("fixtures/policy/tenants.toml")).unwrap();
    let upstream = ScriptedUpstream::saying("Fine.").await;
    let callers = Callers {
        tenant_header: Some("x-tenant".parse().unwrap()),
        tenants: ["st-anna", "west", "south"].map(Arc::from).into(),
        tenant_required: true,
        user_header: None,
    };
    let policy = Source::File(folder.path().join("policy.toml"));
    let proxy = RunningProxy::start(Options { callers, policy, ..options(folder.path(), &upstream) }).await;
    let send = async |key: &str, tenant: Option<&str>| {
        let mut headers = vec![("authorization", format!("Bearer {key}"))];
        headers.extend(tenant.map(|tenant| ("x-tenant", tenant.to_owned())));
        let got = post(&proxy, "/v1/chat/completions", &headers, &ask("VIOLATE", &json!({}))).await;
        let body = got.json();
        let said = body["choices"][0]["message"]["content"].as_str().unwrap_or_default().to_owned();
        (got.status.as_u16(), said.contains("4711"))
    };
    // Only the rule for St. Anna names its extension.
    assert_eq!(send(&gateway, Some("st-anna")).await, (200, true));
    assert_eq!(send(&west, None).await, (200, false));
    assert_eq!(send(&west, Some("west")).await, (200, false));
    // Nobody is another tenant than their key says, and a key for none leaves it open.
    assert_eq!(send(&west, Some("st-anna")).await.0, 400);
    assert_eq!(send(&gateway, None).await.0, 400);
}

#[tokio::test]
async fn a_key_chooses_its_upstream_and_its_audience() {
    let folder = tempfile::tempdir().unwrap();
    let two = key(folder.path(), |entry| Entry { upstream: Some("two".into()), ..entry });
    let clinician = key(folder.path(), |entry| Entry { audience: Some("clinician".into()), ..entry });
    let policy = "name = \"p\"\nextends = \"ama\"\n[[rules]]\nname = \"for-clinicians\"\ndirection = \"prompt\"\nscore = \"violation\"\n\
                  audiences = [\"clinician\"]\nthreshold = 0.5\naction = \"block\"\nmessage = \"Colleague, no.\"\n";
    std::fs::write(folder.path().join("policy.toml"), policy).unwrap();
    let upstreams = [ScriptedUpstream::saying("1").await, ScriptedUpstream::saying("2").await];
    let endpoint = |name: &str, upstream: &ScriptedUpstream| {
        EndpointSettings::plain(name, upstream.url().parse().unwrap(), Terms::default())
    };
    let endpoints = vec![endpoint("one", &upstreams[0]), endpoint("two", &upstreams[1])];
    let policy = Source::File(folder.path().join("policy.toml"));
    let proxy =
        RunningProxy::start(Options { upstreams: endpoints, policy, ..options(folder.path(), &upstreams[0]) }).await;
    for _ in 0..4 {
        assert_eq!(chat(&proxy, &two).await.status, 200);
    }
    assert_eq!(upstreams.each_ref().map(|upstream| upstream.asked().len()), [0, 4]);
    for (key, is_colleague) in [(&clinician, true), (&two, false)] {
        let headers = [("authorization", format!("Bearer {key}"))];
        let got = post(&proxy, "/v1/chat/completions", &headers, &ask("VIOLATE", &json!({}))).await;
        assert_eq!(String::from_utf8_lossy(&got.body).contains("Colleague"), is_colleague);
    }
}

#[tokio::test]
async fn each_limit_is_a_429_with_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let limit = |most: u32| NonZeroU32::new(most);
    let requests = key(folder.path(), |entry| Entry { requests_per_minute: limit(2), ..entry });
    let bytes = key(folder.path(), |entry| Entry { bytes_per_minute: limit(150), ..entry });
    let free = key(folder.path(), |entry| entry);
    let upstream = ScriptedUpstream::saying("Fine.").await;
    let proxy = RunningProxy::start(options(folder.path(), &upstream)).await;
    for (key, passing) in [(&requests, 2), (&bytes, 2)] {
        for _ in 0..passing {
            assert_eq!(chat(&proxy, key).await.status, 200);
        }
        let got = chat(&proxy, key).await;
        assert_eq!((got.status.as_u16(), got.error_code().as_str()), (429, "rate_limit_exceeded"));
        let seconds: u32 = got.header("retry-after").parse().unwrap();
        assert!((1..=60).contains(&seconds));
    }
    // One that is over its limit costs the others nothing.
    assert_eq!(chat(&proxy, &free).await.status, 200);
    assert_eq!(upstream.asked().len(), 5);
}

#[tokio::test]
async fn requests_at_once_are_counted_until_the_answer_has_ended() {
    let folder = tempfile::tempdir().unwrap();
    let one = key(folder.path(), |entry| Entry { in_flight: NonZeroU32::new(1), ..entry });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = ScriptedUpstream::saying("Fine.").await;
    let mut options = options(folder.path(), &upstream);
    options.upstream = format!("http://{}/v1", listener.local_addr().unwrap());
    let proxy = Arc::new(RunningProxy::start(options).await);
    let waiting = {
        let (proxy, one) = (Arc::clone(&proxy), one.clone());
        tokio::spawn(async move { chat(&proxy, &one).await })
    };
    // It is with the upstream, which does not answer.
    let (held, _) = listener.accept().await.unwrap();
    let got = chat(&proxy, &one).await;
    assert_eq!((got.status.as_u16(), got.header("retry-after")), (429, "1"));
    drop((held, listener));
    assert_eq!(waiting.await.unwrap().status, 502);
    // Its place is free again.
    assert_eq!(chat(&proxy, &one).await.status, 502);
}

#[tokio::test]
async fn keys_come_and_go_while_it_serves() {
    let folder = tempfile::tempdir().unwrap();
    let limited = key(folder.path(), |entry| Entry { requests_per_minute: NonZeroU32::new(1), ..entry });
    let old = key(folder.path(), |entry| entry);
    let upstream = ScriptedUpstream::saying("Fine.").await;
    let options = options(folder.path(), &upstream);
    let keys = options.keys.clone().unwrap();
    let proxy = RunningProxy::start(options).await;
    assert_eq!(chat(&proxy, &limited).await.status, 200);
    assert!(keys.renew().is_none());
    let new = key(folder.path(), |entry| entry);
    assert_eq!(chat(&proxy, &new).await.status, 401);
    assert_eq!(keys.renew(), Some(Ok(3)));
    for key in [&old, &new] {
        assert_eq!(chat(&proxy, key).await.status, 200);
    }
    // A minute that was used up stays so.
    assert_eq!(chat(&proxy, &limited).await.status, 429);
    edit(&folder.path().join("keys.json"), |keys| {
        keys.retain(|entry| !old.contains(&entry.id));
        Ok(())
    })
    .unwrap();
    assert_eq!(keys.renew(), Some(Ok(2)));
    assert_eq!((chat(&proxy, &old).await.status.as_u16(), chat(&proxy, &new).await.status.as_u16()), (401, 200));
    // What cannot be read changes nothing, and is said.
    for broken in ["half", "{\"keys\": [{\"id\": \"a\", \"sha256\": \"\", \"tenant\": \"nobody\"}]}"] {
        std::fs::write(folder.path().join("keys.json"), broken).unwrap();
        assert!(keys.renew().unwrap().is_err());
        assert_eq!(chat(&proxy, &new).await.status, 200);
    }
    std::fs::remove_file(folder.path().join("keys.json")).unwrap();
    assert!(keys.renew().unwrap().is_err());
}

/// The binary, with keys in `folder`.
fn run(folder: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = nonnocere(&[&["keys"], arguments].concat())
        .env("NONNOCERE_KEYS__FILE", folder.join("keys.json"))
        .env("NONNOCERE_GUARD__TENANTS", "st-anna,west")
        .env("NONNOCERE_AUDIT__URL", "none")
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap().trim().to_owned();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn the_command_line_makes_shows_rotates_and_ends_keys_and_no_sink_shows_one() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (code, old, _) = run(folder, &["add", "--tenant", "west", "--requests-per-minute", "600", "--note", "ward 7"]);
    assert_eq!((code, old.starts_with("nnc_"), old.lines().count()), (Some(0), true, 1));
    let (code, _, fault) = run(folder, &["add", "--tenant", "nobody"]);
    assert!(code == Some(2) && fault.contains("guard.tenants does not have its tenant"), "{fault}");
    let id = |key: &str| key.split('_').nth(1).unwrap().to_owned();
    let (_, listed, _) = run(folder, &["list"]);
    assert!(listed.starts_with(&format!("{}  tenant=west  requests_per_minute=600  created=", id(&old))), "{listed}");
    assert!(listed.ends_with("note=ward 7") && !listed.contains(&old));

    let proxy = Serving::with(
        "ama",
        &[
            ("NONNOCERE_KEYS__FILE", folder.join("keys.json").display().to_string()),
            ("NONNOCERE_KEYS__WATCH", "10ms".to_owned()),
            ("NONNOCERE_GUARD__TENANTS", "st-anna,west".to_owned()),
            ("NONNOCERE_AUDIT__URL", "none".to_owned()),
            ("NONNOCERE_LOG__LEVEL", "trace".to_owned()),
        ],
    );
    let get = |key: &str| {
        // `http` writes the version behind what it is given.
        http(&proxy.clients, &format!("GET /v1/models HTTP/1.1\r\nauthorization: Bearer {key}\r\nx-end: here"), "")
    };
    let status = |answer: &str| answer.split(' ').nth(1).unwrap().to_owned();
    assert_eq!(status(&get(&old)), "200");
    let (_, new, _) = run(folder, &["rotate", &id(&old), "--grace", "1h"]);
    while status(&get(&new)) != "200" {}
    assert_eq!(status(&get(&old)), "200");
    assert_eq!(run(folder, &["revoke", &id(&old)]).0, Some(0));
    while status(&get(&old)) != "401" {}
    assert_eq!(status(&get(&new)), "200");
    assert_eq!(run(folder, &["revoke", &id(&old)]).0, Some(2));
    let (_, newer, _) = run(folder, &["rotate", &id(&new), "--grace", "0s"]);
    while status(&get(&new)) != "401" {}
    while status(&get(&newer)) != "200" {}

    let metrics = http(&proxy.operators, "GET /metrics", "");
    proxy.signal("-TERM");
    let log: Vec<String> = proxy.log.iter().collect();
    assert!(log.iter().any(|line| line.contains(&id(&old)) && line.contains("decision")), "the log names the key's id");
    let file = std::fs::read_to_string(folder.join("keys.json")).unwrap();
    for key in [&old, &new, &newer] {
        let secret = key.rsplit('_').next().unwrap();
        let seen = log.iter().find(|line| line.contains(secret));
        assert!(seen.is_none() && !metrics.contains(secret) && !file.contains(secret), "{seen:?}");
    }
}
