//! Answers to the client. A [`Body`] is made from what the guard cleared, or from words of our own, and nothing else.

use crate::audit::Record;
use crate::error::ProxyError;
use crate::guard::{Cleared, Substitute, clear_without_completion};
use crate::openai::moderation::annotated;
use crate::openai::refusal::{self, FinishReason, Manner, Style};
use crate::openai::request::Asked;
use crate::openai::sse;
use crate::plug::moderations::inline;
use crate::upstream::end_to_end;
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::response::Parts;
use http::{Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::mpsc;

/// The body of an answer.
pub struct Body(Flow);

enum Flow {
    /// All of it is there.
    Whole(Full<Bytes>),
    /// It comes piece by piece, from a task that runs for as long as somebody reads.
    Flowing(mpsc::Receiver<Bytes>),
}

/// Pieces that may wait to be read.
const PIECES: usize = 16;

impl Body {
    /// What the guard has let pass.
    #[must_use]
    pub fn cleared(bytes: Cleared<Bytes>) -> Self {
        Self::own(bytes.into_inner())
    }

    /// What `write` writes; a client that takes none of it for as long as `patience` is taken to have left.
    pub(crate) fn flowing<F: Future<Output = ()> + Send + 'static>(
        patience: Duration,
        write: impl FnOnce(Writer) -> F,
    ) -> Self {
        let (writer, reader) = mpsc::channel(PIECES);
        // A task of its own, so that a client that stops reading cannot hold it for ever.
        tokio::spawn(write(Writer(writer, patience)));
        Self(Flow::Flowing(reader))
    }

    /// Words of our own: a refusal, an error, a metric.
    fn own(bytes: impl Into<Bytes>) -> Self {
        Self(Flow::Whole(Full::new(bytes.into())))
    }
}

/// Writes a flowing body: what the guard has let pass, and words of our own.
pub(crate) struct Writer(mpsc::Sender<Bytes>, Duration);

/// The client has left.
pub(crate) struct Gone;

impl Writer {
    /// What the guard has let pass.
    pub(crate) async fn cleared(&self, bytes: Cleared<Bytes>) -> Result<(), Gone> {
        self.send(bytes.into_inner()).await
    }

    /// Words of our own, in a body that no LLM wrote any of.
    pub(crate) async fn own(&self, bytes: Vec<u8>) -> Result<(), Gone> {
        self.send(Bytes::from(bytes)).await
    }

    /// Nothing, so that nobody takes the connection for idle.
    pub(crate) async fn keep_alive(&self) -> Result<(), Gone> {
        self.send(Bytes::from_static(b": keep-alive\n\n")).await
    }

    /// An error in the middle of a stream, in OpenAI's envelope: what SDKs raise.
    pub(crate) async fn error(&self, error: &ProxyError) -> Result<(), Gone> {
        self.send(Bytes::from(sse::event(&error.answer().body.to_string()))).await
    }

    async fn send(&self, bytes: Bytes) -> Result<(), Gone> {
        self.0.send_timeout(bytes, self.1).await.map_err(|_| Gone)
    }

    /// Returns when the client has left.
    pub(crate) async fn closed(&self) {
        self.0.closed().await;
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut self.0 {
            Flow::Whole(body) => Pin::new(body).poll_frame(cx),
            Flow::Flowing(pieces) => pieces.poll_recv(cx).map(|piece| piece.map(|piece| Ok(Frame::data(piece)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(&self.0, Flow::Whole(body) if body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Flow::Whole(body) => body.size_hint(),
            Flow::Flowing(..) => SizeHint::default(),
        }
    }
}

/// The upstream's status and headers over a body that flows.
pub(crate) fn flowing(upstream: &Parts, body: Body) -> Response<Body> {
    let mut response = cleared(upstream.status, &upstream.headers, clear_without_completion(Bytes::new()));
    *response.body_mut() = body;
    response
}

/// The upstream's status and headers over a cleared body.
#[must_use]
pub fn cleared(status: StatusCode, upstream: &HeaderMap, bytes: Cleared<Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::cleared(bytes));
    *response.status_mut() = status;
    let mut headers = end_to_end(upstream);
    // The length is set from the body that leaves; what we say of the decision is ours to say.
    headers.remove(header::CONTENT_LENGTH);
    let ours: Vec<_> = headers.keys().filter(|name| name.as_str().starts_with("x-nonnocere-")).cloned().collect();
    for name in ours {
        headers.remove(name);
    }
    *response.headers_mut() = headers;
    response
}

/// An answer that no LLM wrote, as it came: the list of models, vectors, and the upstream's own errors.
#[must_use]
pub fn unjudged(answer: Response<Bytes>) -> Response<Body> {
    let (parts, bytes) = answer.into_parts();
    cleared(parts.status, &parts.headers, clear_without_completion(bytes))
}

/// The answer in place of the LLM's; help is always given as an answer, and ends as any answer does.
#[must_use]
pub fn instead(manner: Manner, asked: &Asked, record: &Record, substitute: &Substitute) -> Response<Body> {
    let event_id = &record.event_id();
    let mut answer = match (substitute, manner.style) {
        (Substitute::Help(notice), _) => refusal::answer(asked, event_id, &notice.message, FinishReason::Stop),
        (Substitute::Refusal(notice, _), Style::SafeComplete) => {
            refusal::answer(asked, event_id, &notice.message, manner.finish)
        }
        (Substitute::Refusal(notice, principle), Style::Block) => {
            refusal::blocked(&notice.message, principle.map(|principle| principle.id()))
        }
    };
    if asked.moderation
        && let Ok(text) = std::str::from_utf8(&answer.body)
    {
        answer.body = Bytes::from(annotated(text, asked.stream, &inline(record.verdicts())));
    }
    let mut response = Response::new(Body::own(answer.body));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or_default();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(answer.content_type));
    headers.insert("x-should-retry", HeaderValue::from_static("false"));
    response
}

/// A verdict.
#[must_use]
pub fn json(body: &serde_json::Value) -> Response<Body> {
    text(StatusCode::OK, "application/json", body.to_string())
}

/// An error in OpenAI's envelope.
#[must_use]
pub fn error(error: &ProxyError) -> Response<Body> {
    let answer = error.answer();
    let mut response = Response::new(Body::own(answer.body.to_string()));
    *response.status_mut() = answer.status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if answer.status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if let Some(seconds) = answer.retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// A text of our own.
#[must_use]
pub fn text(status: StatusCode, content_type: &'static str, text: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::own(text));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
