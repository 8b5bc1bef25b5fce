//! Relays a streamed answer: reads the upstream's events, has them judged, and writes what may leave, all at once.

use crate::error::ProxyError;
use crate::guard::stream::{Piece, Stream};
use crate::openai::chunk::Chunk;
use crate::openai::sse::Decoder;
use crate::plug::moderations::inline;
use crate::proxy::{Exchange, Sent};
use crate::response::{Gone, Writer};
use crate::upstream::{Answer, Fault};
use bytes::Bytes;
use http::response::Parts;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// A streamed answer that has begun to come.
pub(crate) struct Reading {
    answer: Answer,
    stream: Stream,
    max_depth: usize,
    decoder: Decoder,
    has_ended: bool,
}

impl Reading {
    /// Waits for the first event, but not longer than `patience`: what fails before it can be told by a status.
    ///
    /// # Errors
    /// When the answer breaks off, or cannot be read.
    pub(crate) async fn begin(
        answer: Answer,
        stream: Stream,
        max_depth: usize,
        patience: Duration,
    ) -> Result<Self, ProxyError> {
        let mut reading = Self { answer, stream, max_depth, decoder: Decoder::default(), has_ended: false };
        let first = async {
            while !reading.has_ended && !reading.stream.has_begun() {
                reading.read().await?;
            }
            Ok::<_, ProxyError>(())
        };
        tokio::time::timeout(patience, first).await.unwrap_or(Ok(()))?;
        Ok(reading)
    }

    /// Status and headers.
    pub(crate) const fn head(&self) -> &Parts {
        self.answer.parts()
    }

    /// Reads on, and hands whole events to the stream.
    async fn read(&mut self) -> Result<(), ProxyError> {
        match self.answer.next().await? {
            Some(bytes) => self.decoder.push(&bytes),
            None => self.has_ended = true,
        }
        while let Some(event) = self.decoder.next_event() {
            self.hold(event)?;
        }
        if self.has_ended {
            // An event that is broken off ends here, so that what follows is one of its own.
            if let Some(event) = self.decoder.rest() {
                self.hold(Bytes::from([&event, &b"\n\n"[..]].concat()))?;
            }
            self.stream.end();
        }
        Ok(())
    }

    fn hold(&mut self, event: Bytes) -> Result<(), Fault> {
        self.stream.hold(Chunk::parse(self.stream.surface(), event, self.max_depth).map_err(Fault::Invalid)?);
        Ok(())
    }
}

/// A streamed answer on its way to the client.
pub(crate) struct Relay {
    exchange: Exchange,
    reading: Reading,
    sent: Sent,
    /// Whether it is still to say what was found in it.
    moderation: bool,
    /// How long judging took.
    judging: Duration,
    /// Whether what was found is on record.
    is_recorded: bool,
    /// Whether any text has left.
    has_begun: bool,
}

/// Why a relay ends early.
enum End {
    /// The client has left.
    Gone,
    /// Something failed, and the client is told.
    Failed(ProxyError),
}

impl Relay {
    /// Relays what is `reading`, the answer to what was `sent`.
    pub(crate) const fn new(exchange: Exchange, reading: Reading, sent: Sent) -> Self {
        let moderation = sent.asked.moderation;
        Self { exchange, reading, sent, moderation, judging: Duration::ZERO, is_recorded: false, has_begun: false }
    }

    /// Relays until the answer ends, is cut, or nobody reads it any more; then everything it holds is freed.
    pub(crate) async fn run(mut self, out: Writer) {
        if let Err(End::Failed(error)) = self.relay(&out).await {
            let Exchange { proxy, record, .. } = &mut self.exchange;
            record.failed(&error, &proxy.metrics);
            for piece in self.reading.stream.last_help() {
                drop(out.cleared(piece.bytes).await);
            }
            // A client that has left needs no reason.
            drop(out.error(&error).await);
        }
    }

    async fn relay(&mut self, out: &Writer) -> Result<(), End> {
        let proxy = Arc::clone(&self.exchange.proxy);
        // One job at a time: what comes meanwhile is judged with the next.
        let mut verdicts = None;
        let mut written = Instant::now();
        // Help waits for nobody.
        for piece in self.reading.stream.pending_help() {
            self.write(out, piece).await?;
        }
        loop {
            if verdicts.is_none()
                && let Some(due) = self.reading.stream.due()
            {
                let due = (due, self.reading.stream.choices_due());
                let (guard, mode) = (&proxy.guard, self.reading.stream.mode());
                let ((policy, asked), begun) = (self.reading.stream.terms(), Instant::now());
                let judge = async move { (guard.judge_due((&policy, &asked), mode, due).await, begun.elapsed()) };
                verdicts = Some(Box::pin(judge));
            }
            // A text that is whole, and that nothing else is judged with.
            if verdicts.is_none()
                && let Some((text, notice)) = self.reading.stream.excised()
            {
                let cuts = alive(out, proxy.streaming.keep_alive, proxy.guard.excised(text, notice)).await?;
                self.reading.stream.excise(cuts);
                continue;
            }
            for piece in self.reading.stream.release() {
                self.write(out, piece).await?;
                written = Instant::now();
            }
            let Reading { stream, has_ended, .. } = &self.reading;
            if stream.is_closed() || ((*has_ended || stream.is_done()) && stream.is_finished()) {
                return self.finish(out).await;
            }
            let reads_on = !has_ended && !stream.is_done();
            tokio::select! {
                () = out.closed() => return Err(End::Gone),
                (judged, took) = arrived(&mut verdicts) => {
                    verdicts = None;
                    self.judging += took;
                    self.reading.stream.settle(judged).map_err(|why| End::Failed(why.into()))?;
                }
                read = self.reading.read(), if reads_on => read.map_err(End::Failed)?,
                () = sleep_until(written + proxy.streaming.keep_alive) => {
                    out.keep_alive().await?;
                    written = Instant::now();
                }
            }
        }
    }

    async fn write(&mut self, out: &Writer, piece: Piece) -> Result<(), End> {
        if piece.is_done {
            self.record().await?;
            self.tell(out).await?;
        }
        if let Some(held) = piece.held {
            let Exchange { proxy, record, .. } = &self.exchange;
            proxy.metrics.held(held, record.event_id);
            if piece.has_text && !std::mem::replace(&mut self.has_begun, true) {
                record.began(held, &proxy.metrics);
            }
        }
        Ok(out.cleared(piece.bytes).await?)
    }

    /// Records what was found in the answer; where nothing may be answered unrecorded, the end of it waits for that.
    async fn record(&mut self) -> Result<(), End> {
        if std::mem::replace(&mut self.is_recorded, true) {
            return Ok(());
        }
        self.exchange.found(&self.reading.stream, self.judging);
        self.exchange.record.secure().await.map_err(End::Failed)
    }

    /// Says what was found, once, where that was asked for.
    async fn tell(&mut self, out: &Writer) -> Result<(), Gone> {
        let Self { exchange, reading: Reading { stream, .. }, moderation, .. } = self;
        if std::mem::take(moderation) {
            let found = if self.is_recorded { None } else { Some(stream.verdict().clone()) };
            let verdicts = [exchange.record.verdicts(), found.as_slice()].concat();
            if let Some(piece) = stream.moderation(&inline(&verdicts)) {
                out.cleared(piece.bytes).await?;
            }
        }
        Ok(())
    }

    /// Ends a stream that was cut, where its upstream has not.
    async fn finish(&mut self, out: &Writer) -> Result<(), End> {
        if self.reading.stream.asks_again() {
            let found = self.reading.stream.verdict().clone();
            // It was given, or is pending.
            self.sent.asked.help = None;
            let keep_alive = self.exchange.proxy.streaming.keep_alive;
            let again = alive(out, keep_alive, self.exchange.again(&self.sent, &found)).await?.map_err(End::Failed)?;
            let stream = &mut self.reading.stream;
            for piece in stream.pending_help() {
                out.cleared(piece.bytes).await?;
            }
            let piece = match again {
                Some(answer) => stream.told(&answer),
                None => stream.refused(),
            };
            out.cleared(piece.bytes).await?;
        }
        for piece in self.reading.stream.last_help() {
            out.cleared(piece.bytes).await?;
        }
        self.record().await?;
        self.tell(out).await?;
        if let Some(piece) = self.reading.stream.done() {
            out.cleared(piece.bytes).await?;
        }
        Ok(())
    }
}

/// However it ends, and be it that its client has left: what was found is recorded.
impl Drop for Relay {
    fn drop(&mut self) {
        let Self { exchange, reading: Reading { stream, .. }, judging, .. } = self;
        exchange.proxy.metrics.windows(stream.windows());
        if !self.is_recorded {
            exchange.found(stream, *judging);
        }
    }
}

/// What `work` gives, while the client is told that the connection lives.
async fn alive<T>(out: &Writer, every: Duration, work: impl Future<Output = T>) -> Result<T, Gone> {
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return Ok(done),
            () = out.closed() => return Err(Gone),
            () = tokio::time::sleep(every) => out.keep_alive().await?,
        }
    }
}

/// What a job gives, once there is one.
async fn arrived<F: Future + Unpin>(job: &mut Option<F>) -> F::Output {
    match job {
        Some(job) => job.await,
        None => std::future::pending().await,
    }
}

impl From<Gone> for End {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}
