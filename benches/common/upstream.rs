//! An LLM server that answers every request at once, with what the request's metadata says.

use super::{listen, texts};
use http::{HeaderValue, Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::net::SocketAddr;

/// What is answered where nothing else is asked for.
pub const ANSWER: &str = "Please ask your care team.";

/// Starts it: `{"answer": N}` is answered with the N-th answer, `{"tokens": N}` with about so many tokens, anything else with
/// [`ANSWER`].
pub fn start() -> std::io::Result<SocketAddr> {
    listen(|stream| async {
        let connection = hyper::server::conn::http1::Builder::new();
        drop(connection.serve_connection(TokioIo::new(stream), service_fn(serve)).await);
    })
}

async fn serve(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    const MARK: &[u8] = br#""metadata""#;
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    // Most of the time is the proxy's: bodies are read only where they say something.
    let says = body.windows(MARK.len()).any(|part| part == MARK);
    let script: Value = if says { serde_json::from_slice(&body).unwrap_or_default() } else { Value::Null };
    let text = match (script["metadata"]["answer"].as_i64(), script["metadata"]["tokens"].as_u64()) {
        (Some(number), _) => texts::answer(number),
        (_, Some(tokens)) => texts::of_about(texts::answer, usize::try_from(tokens).unwrap_or(usize::MAX)),
        _ => ANSWER.to_owned(),
    };
    let answer = json!({"id": "c", "object": "chat.completion", "created": 1, "model": "m",
                        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
                        "usage": {"prompt_tokens": 32, "completion_tokens": 40, "total_tokens": 72}});
    let mut response = Response::new(Full::new(Bytes::from(answer.to_string())));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}
