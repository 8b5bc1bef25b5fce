//! An LLM server for a first look: speaks the real protocol and says in every answer that it is a demo; or plays a [`Character`] of which it
//! is known how readily it complies.

mod character;

pub use character::{ANSWERS, Character, DECLINES};

use crate::openai::error::envelope;
use crate::openai::sse;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpListener;

const MODEL: &str = "nonnocere-demo";
const ANSWER: &str = "This is the embedded demo of nonnocere, not a medical model, so I cannot advise you. Please ask a doctor, \
                      or set upstream.url to a medical model.";

/// Starts the demo on a free port of the loopback; gives its address.
///
/// # Errors
/// When no port can be bound.
pub async fn start() -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(serve(listener, Character::Demo, Duration::ZERO));
    Ok(address)
}

/// Answers in character, each time after a delay, as long as connections come in.
pub async fn serve(listener: TcpListener, character: Character, delay: Duration) {
    while let Ok((stream, _)) = listener.accept().await {
        drop(stream.set_nodelay(true));
        let service = service_fn(move |request| handle(character, delay, request));
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn handle(
    character: Character,
    delay: Duration,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    Ok(match (parts.method, parts.uri.path()) {
        (Method::GET, "/v1/models") => json_answer(
            StatusCode::OK,
            &json!({"object": "list", "data": [{"id": MODEL, "object": "model", "created": 0, "owned_by": "nonnocere"}]}),
        ),
        (Method::POST, "/v1/chat/completions") => {
            let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            let request = serde_json::from_slice(&body).unwrap_or_default();
            chat(&request, &character.answer(&request))
        }
        _ => {
            let error = envelope("The demo has no such endpoint.", "invalid_request_error", None, "not_found");
            json_answer(StatusCode::NOT_FOUND, &error)
        }
    })
}

fn chat(request: &Value, said: &str) -> Response<Full<Bytes>> {
    let n = request.get("n").and_then(Value::as_u64).unwrap_or(1);
    let words = said.split_inclusive(' ');
    let usage =
        json!({"prompt_tokens": 0, "completion_tokens": words.clone().count(), "total_tokens": words.clone().count()});
    let asks_for = |pointer: &str| request.pointer(pointer).and_then(Value::as_bool) == Some(true);
    if !asks_for("/stream") {
        let choice =
            |index| json!({"index": index, "message": {"role": "assistant", "content": said}, "finish_reason": "stop"});
        let choices: Vec<Value> = (0..n).map(choice).collect();
        return json_answer(
            StatusCode::OK,
            &json!({"id": "chatcmpl-demo", "object": "chat.completion", "created": 0, "model": MODEL,
                    "choices": choices, "usage": usage}),
        );
    }
    let chunk = |choices: Value, usage: &Value| {
        sse::event(
            &json!({"id": "chatcmpl-demo", "object": "chat.completion.chunk", "created": 0, "model": MODEL,
                    "choices": choices, "usage": usage})
            .to_string(),
        )
    };
    let delta = |index, delta: Value, finish: Option<&str>| {
        chunk(json!([{"index": index, "delta": delta, "finish_reason": finish}]), &Value::Null)
    };
    let mut stream = String::new();
    for index in 0..n {
        stream.push_str(&delta(index, json!({"role": "assistant", "content": ""}), None));
        stream.extend(words.clone().map(|word| delta(index, json!({"content": word}), None)));
        stream.push_str(&delta(index, json!({}), Some("stop")));
    }
    if asks_for("/stream_options/include_usage") {
        stream.push_str(&chunk(json!([]), &usage));
    }
    stream.push_str(&sse::event(sse::DONE));
    answer(StatusCode::OK, "text/event-stream", stream)
}

fn json_answer(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    answer(status, "application/json", body.to_string())
}

fn answer(status: StatusCode, content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content_type));
    response
}
