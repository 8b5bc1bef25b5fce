//! HTTP/2 by prior knowledge on the same port: guarded as HTTP/1 is, and held to limits of its own.

mod common;

use bytes::Bytes;
use common::{RunningProxy, ScriptedUpstream, ask};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use std::net::SocketAddr;
use tokio::net::TcpStream;

async fn connect(address: SocketAddr) -> SendRequest<Full<Bytes>> {
    let stream = TcpStream::connect(address).await.unwrap();
    let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

fn request(address: SocketAddr, body: &Value) -> Request<Full<Bytes>> {
    let uri = format!("http://{address}/v1/chat/completions");
    let builder = Request::post(uri).header("content-type", "application/json");
    builder.body(Full::new(Bytes::from(body.to_string()))).unwrap()
}

async fn sent(sender: &mut SendRequest<Full<Bytes>>, request: Request<Full<Bytes>>) -> Response<Bytes> {
    sender.ready().await.unwrap();
    let (parts, body) = sender.send_request(request).await.unwrap().into_parts();
    Response::from_parts(parts, body.collect().await.unwrap().to_bytes())
}

fn decision<B>(response: &Response<B>) -> &str {
    response.headers()["x-nonnocere-decision"].to_str().unwrap()
}

#[tokio::test]
async fn a_conversation_by_http2_is_guarded_as_any_other() {
    let upstream = ScriptedUpstream::saying("Fine words.").await;
    let proxy = RunningProxy::before(&upstream).await;
    let mut client = connect(proxy.address).await;
    let passed = sent(&mut client, request(proxy.address, &ask("How are you?", &json!({})))).await;
    assert_eq!((passed.version(), decision(&passed)), (http::Version::HTTP_2, "allow"));
    let by_http1 = proxy.post("/v1/chat/completions", ask("How are you?", &json!({})).to_string()).await;
    assert_eq!(passed.body(), &by_http1.body);
    let refused = sent(&mut client, request(proxy.address, &ask("VIOLATE", &json!({})))).await;
    assert_eq!(decision(&refused), "block");
    assert_eq!(upstream.asked().len(), 2, "what is refused is not sent");
    let bad = ScriptedUpstream::saying("First a sentence. Then VIOLATE it. And on.").await;
    let proxy = RunningProxy::before(&bad).await;
    let mut client = connect(proxy.address).await;
    let streamed = sent(&mut client, request(proxy.address, &ask("Go.", &json!({"stream": true})))).await;
    let text = String::from_utf8_lossy(streamed.body());
    assert!(!text.contains("VIOLATE") && text.contains("content_filter") && text.ends_with("[DONE]\n\n"), "{text}");
}

#[tokio::test]
async fn many_requests_share_a_connection_and_those_in_flight_are_finished_at_the_end() {
    let upstream = ScriptedUpstream::saying("Fine words.").await;
    let mut options = common::Options::new(&upstream.url());
    options.limits.in_flight = 1000;
    let proxy = RunningProxy::start(options).await;
    let client = connect(proxy.address).await;
    let ask_one = |number: usize| {
        let (mut client, address) = (client.clone(), proxy.address);
        tokio::spawn(async move {
            sent(&mut client, request(address, &ask(&format!("Question {number}"), &json!({})))).await
        })
    };
    let asked: Vec<_> = (0..300).map(ask_one).collect();
    let mut statuses = Vec::new();
    for one in asked {
        statuses.push(one.await.unwrap().status().as_u16());
    }
    // The queue of the classifier holds sixteen: what is more is refused, and nothing is lost.
    assert!(statuses.iter().all(|status| matches!(status, 200 | 503)) && statuses.contains(&200), "{statuses:?}");
    let mut last = client.clone();
    let in_flight = sent(&mut last, request(proxy.address, &ask("The last one", &json!({}))));
    proxy.stop.send(true).unwrap();
    // Either it came in before the end, and is answered, or it is refused as not begun.
    drop(tokio::time::timeout(std::time::Duration::from_secs(10), in_flight).await);
    proxy.stopped.await.unwrap();
}

#[tokio::test]
async fn a_client_that_resets_as_fast_as_it_asks_stands_in_nobodys_way() {
    let upstream = ScriptedUpstream::saying("Fine words.").await;
    let proxy = RunningProxy::before(&upstream).await;
    let hostile = connect(proxy.address).await;
    for _ in 0..3000 {
        let mut hostile = hostile.clone();
        if hostile.ready().await.is_err() {
            break;
        }
        // Dropped at once: the stream is reset.
        drop(hostile.send_request(request(proxy.address, &ask("How are you?", &json!({})))));
    }
    let mut client = connect(proxy.address).await;
    let passed = sent(&mut client, request(proxy.address, &ask("And I?", &json!({})))).await;
    assert_eq!(decision(&passed), "allow");
}
