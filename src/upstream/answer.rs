//! An answer as it comes: in time, within its size, and readable.

use super::Fault;
use super::endpoint::Ticket;
use crate::decompress::{self, decompress};
use bytes::{Bytes, BytesMut};
use http::header::{self, HeaderMap};
use http::response::Parts;
use http::{Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::time::Duration;
use tokio::time::Instant;

const TOO_LARGE: &str = "it is larger than limits.response_bytes";

/// An answer that has begun: its head, and a body that is still to come.
pub struct Answer {
    parts: Parts,
    body: Source,
    until: Instant,
    bytes_left: usize,
}

/// Where a body comes from.
enum Source {
    /// From the wire.
    Flowing(Box<Flow>),
    /// It is there.
    Whole(Option<Bytes>),
}

/// A body on the wire.
struct Flow {
    body: Incoming,
    ticket: Ticket,
    /// How long the next piece may take, and was waited for.
    patience: Duration,
    waited: Duration,
}

impl Answer {
    /// One whose head is there.
    ///
    /// # Errors
    /// When nobody could use it.
    pub(super) fn begin(
        response: Response<Incoming>,
        ticket: Ticket,
        (until, bytes_left): (Instant, usize),
    ) -> Result<Self, Fault> {
        let (parts, body) = response.into_parts();
        if parts.status.is_redirection() || parts.status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(Fault::Invalid("the upstream redirects; name its final address in its url"));
        }
        let patience = ticket.endpoint().settings.terms.between_bytes_timeout;
        let flow = Flow { body, ticket, patience, waited: Duration::ZERO };
        Ok(Self { parts, body: Source::Flowing(Box::new(flow)), until, bytes_left })
    }

    /// Status and headers.
    #[must_use]
    pub const fn parts(&self) -> &Parts {
        &self.parts
    }

    /// Whether this is a stream of events.
    #[must_use]
    pub fn is_stream(&self) -> bool {
        self.parts.status.is_success() && is_event_stream(&self.parts.headers)
    }

    /// The whole answer.
    ///
    /// # Errors
    /// [`Fault`] when it does not come whole.
    pub async fn whole(mut self) -> Result<Response<Bytes>, Fault> {
        let mut body = BytesMut::new();
        while let Some(bytes) = self.next().await? {
            body.extend_from_slice(&bytes);
        }
        Ok(Response::from_parts(self.parts, body.freeze()))
    }

    /// The next bytes of the body; `None` at its end. Nothing is lost when this is dropped before it is done.
    ///
    /// # Errors
    /// [`Fault`] when the body breaks off, or is too long or too slow.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        let flow = match &mut self.body {
            Source::Flowing(flow) => flow,
            Source::Whole(bytes) => return Ok(bytes.take()),
        };
        let Some(bytes) = flow.next(self.until).await? else { return Ok(None) };
        self.bytes_left = self.bytes_left.checked_sub(bytes.len()).ok_or(Fault::Invalid(TOO_LARGE))?;
        Ok(Some(bytes))
    }

    /// The answer where it can be read: what is compressed must be there before that.
    ///
    /// # Errors
    /// [`Fault`] when it is compressed in a way that cannot be read.
    pub(super) async fn readable(self) -> Result<Self, Fault> {
        if !self.parts.headers.contains_key(header::CONTENT_ENCODING) {
            return Ok(self);
        }
        let (until, limit) = (self.until, self.bytes_left);
        let (mut parts, body) = self.whole().await?.into_parts();
        let body = decompress(&parts.headers, body, limit).await.map_err(|fault| match fault {
            decompress::Fault::Unknown => Fault::Invalid("it is compressed in a way that cannot be read"),
            decompress::Fault::Broken => Fault::Invalid("it is not compressed as it says"),
            decompress::Fault::TooLarge => Fault::Invalid(TOO_LARGE),
        })?;
        parts.headers.remove(header::CONTENT_ENCODING);
        Ok(Self { parts, body: Source::Whole(Some(body)), until, bytes_left: limit })
    }
}

impl Flow {
    async fn next(&mut self, until: Instant) -> Result<Option<Bytes>, Fault> {
        loop {
            // Only what is waited for counts: a client that reads slowly is not the endpoint's doing.
            let waiting = Waiting { since: Instant::now(), waited: &mut self.waited };
            let patience = waiting.since + self.patience.saturating_sub(*waiting.waited);
            let Ok(frame) = tokio::time::timeout_at(until.min(patience), self.body.frame()).await else {
                // One that takes too long as a whole may have been asked for too much.
                if patience < until {
                    self.ticket.failed();
                }
                return Err(Fault::Timeout);
            };
            drop(waiting);
            self.waited = Duration::ZERO;
            match frame {
                None => {
                    self.ticket.completed();
                    return Ok(None);
                }
                Some(Err(_)) => {
                    self.ticket.failed();
                    return Err(Fault::Unreachable);
                }
                Some(Ok(frame)) => {
                    if let Ok(bytes) = frame.into_data() {
                        return Ok(Some(bytes));
                    }
                }
            }
        }
    }
}

/// Adds up how long was waited, also by those who did not wait to the end.
struct Waiting<'a> {
    since: Instant,
    waited: &'a mut Duration,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        *self.waited += self.since.elapsed();
    }
}

/// Whether a body with these headers is a stream of events.
fn is_event_stream(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("text/event-stream"))
}
