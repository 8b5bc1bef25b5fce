//! Open-loop load: requests leave when a clock says so (Poisson arrivals, the same in each run), whether the ones before were
//! answered or not, and each is timed from when it was due. A server that stalls is so charged with all that waited.

use super::chance::chance;
use super::stats::quantile;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

/// Anything that went wrong.
pub type Fault = Box<dyn std::error::Error + Send + Sync>;

/// A request without an answer for so long has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is asked, how often.
pub struct Plan {
    pub address: SocketAddr,
    /// Requests a second.
    pub rate: f64,
    /// One body for each request, all of `/v1/chat/completions`.
    pub bodies: Vec<Bytes>,
    /// Connections that may be open.
    pub connections: usize,
    /// Names the arrivals; another seed is another sequence.
    pub seed: u64,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// 200, and the guard let it pass.
    Allowed,
    /// 200, and the guard refused or changed it.
    Refused,
    /// 503 with `Retry-After`: there is too much to do.
    Busy,
    /// Anything else.
    Failed,
}

/// One request.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    pub answer: Answer,
    /// From when it was due until its answer was read, in milliseconds.
    pub took: f64,
    /// How late it left, in milliseconds: more than a little means that the load, and not the server, is too slow.
    pub late: f64,
}

/// What became of a plan; its first tenth warms up and is left out.
pub struct Run {
    pub samples: Vec<Sample>,
    /// From the first to the last arrival that counts, in seconds.
    pub lasted: f64,
    /// Why the first request that failed did.
    pub fault: Option<String>,
}

impl Run {
    /// Milliseconds of those that `answer` holds of.
    pub fn took(&self, of: impl Fn(Answer) -> bool) -> Vec<f64> {
        self.samples.iter().filter(|sample| of(sample.answer)).map(|sample| sample.took).collect()
    }

    /// Milliseconds within which `part` of the judged are answered.
    pub fn at(&self, part: f64) -> f64 {
        quantile(&self.took(Answer::is_judged), part)
    }

    /// Judged answers within `limit` milliseconds, a second.
    pub fn goodput(&self, limit: f64) -> f64 {
        self.took(Answer::is_judged).iter().filter(|took| **took <= limit).count() as f64 / self.lasted
    }

    /// The part of all that was answered so.
    pub fn share(&self, answer: Answer) -> f64 {
        self.took(|found| found == answer).len() as f64 / self.samples.len().max(1) as f64
    }

    /// The 99th percentile of how late requests left, in milliseconds.
    pub fn late(&self) -> f64 {
        quantile(&self.samples.iter().map(|sample| sample.late).collect::<Vec<_>>(), 0.99)
    }
}

impl Answer {
    /// Whether somebody got a verdict.
    pub fn is_judged(self) -> bool {
        matches!(self, Self::Allowed | Self::Refused)
    }

    fn of(response: &Response<Incoming>) -> Self {
        let headers = response.headers();
        let decision = headers.get("x-nonnocere-decision").and_then(|value| value.to_str().ok());
        match response.status() {
            StatusCode::OK if decision.is_none_or(|decision| matches!(decision, "allow" | "flag")) => Self::Allowed,
            StatusCode::OK => Self::Refused,
            StatusCode::SERVICE_UNAVAILABLE if headers.contains_key(header::RETRY_AFTER) => Self::Busy,
            _ => Self::Failed,
        }
    }
}

/// Carries a plan out. What answers need not be judged: where nobody says so, 200 counts as allowed.
pub async fn run(plan: Plan) -> Result<Run, Fault> {
    let connections = Connections::new(plan.address, plan.connections);
    run_on(plan, connections).await
}

/// Carries a plan out on connections that are there already.
pub async fn run_on(plan: Plan, connections: Connections) -> Result<Run, Fault> {
    let (count, connections) = (plan.bodies.len(), Arc::new(connections));
    let mut due = Duration::ZERO;
    let gap = |number| Duration::from_secs_f64(-(1.0 - chance(number, plan.seed)).ln() / plan.rate);
    let schedule: Vec<Duration> = (0..count as i64)
        .map(|number| {
            due += gap(number);
            due
        })
        .collect();
    let first = count / 10;
    let lasted = (due - schedule.get(first).copied().unwrap_or_default()).as_secs_f64();
    let (mut arrivals, mut asking) = (clock(schedule), JoinSet::new());
    let mut bodies = plan.bodies.into_iter();
    while let (Some(due), Some(body)) = (arrivals.recv().await, bodies.next()) {
        let connections = Arc::clone(&connections);
        asking.spawn(async move {
            let late = due.elapsed();
            let asked = tokio::time::timeout(PATIENCE, connections.ask(body)).await;
            let took = due.elapsed();
            let asked = asked.unwrap_or_else(|_| Err("no answer in time".into()));
            let millis = |time: Duration| time.as_secs_f64() * 1e3;
            let (answer, fault) = match asked {
                Ok((answer, status, _)) => (answer, (answer == Answer::Failed).then(|| status.to_string())),
                Err(fault) => (Answer::Failed, Some(fault.to_string())),
            };
            (due, Sample { answer, took: millis(took), late: millis(late) }, fault)
        });
    }
    let mut answered = asking.join_all().await;
    answered.sort_unstable_by_key(|(due, ..)| *due);
    let fault = answered.iter().find_map(|(.., fault)| fault.clone());
    let samples = answered.into_iter().skip(first).map(|(_, sample, _)| sample).collect();
    Ok(Run { samples, lasted, fault })
}

/// One request after the other on one connection: milliseconds that each took.
pub async fn in_turn(address: SocketAddr, bodies: Vec<Bytes>) -> Result<Vec<f64>, Fault> {
    let (connections, mut took) = (Connections::new(address, 1), Vec::new());
    for body in bodies {
        let start = Instant::now();
        match connections.ask(body).await? {
            (Answer::Failed | Answer::Busy, status, _) => return Err(format!("answered with {status}").into()),
            _ => took.push(start.elapsed().as_secs_f64() * 1e3),
        }
    }
    Ok(took)
}

/// Says when each request is due: a thread of its own, since tokio's clock ticks in milliseconds.
fn clock(schedule: Vec<Duration>) -> mpsc::UnboundedReceiver<Instant> {
    let (sender, arrivals) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        // Sleep is 50 µs too long by default; where the kernel lets us, it is not.
        if let Some(thread) = std::fs::read_link("/proc/thread-self").ok().as_deref().and_then(|path| path.file_name())
        {
            drop(std::fs::write(format!("/proc/{}/timerslack_ns", thread.display()), "1000"));
        }
        let start = Instant::now();
        for due in schedule {
            std::thread::sleep((start + due).saturating_duration_since(Instant::now()));
            if sender.send(start + due).is_err() {
                return;
            }
        }
    });
    arrivals
}

/// Connections that are kept; each is used in its turn.
pub struct Connections {
    address: SocketAddr,
    free: Mutex<VecDeque<SendRequest<Full<Bytes>>>>,
    permits: Semaphore,
}

impl Connections {
    /// At most `count` to `address`, opened as they are needed.
    pub fn new(address: SocketAddr, count: usize) -> Self {
        Self { address, free: Mutex::default(), permits: Semaphore::new(count) }
    }

    /// The answer, its status, and its body.
    pub async fn ask(&self, body: Bytes) -> Result<(Answer, StatusCode, Bytes), Fault> {
        let _permit = self.permits.acquire().await?;
        let mut connection = self.take().await?;
        let request = Request::post("/v1/chat/completions")
            .header(header::HOST, self.address.to_string())
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))?;
        let response = connection.send_request(request).await?;
        let (answer, status) = (Answer::of(&response), response.status());
        let body = response.into_body().collect().await?.to_bytes();
        self.free.lock().unwrap_or_else(PoisonError::into_inner).push_back(connection);
        Ok((answer, status, body))
    }

    async fn take(&self) -> Result<SendRequest<Full<Bytes>>, Fault> {
        loop {
            let kept = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let Some(mut kept) = kept else { return self.open().await };
            // The server may have closed it.
            if kept.ready().await.is_ok() {
                return Ok(kept);
            }
        }
    }

    async fn open(&self) -> Result<SendRequest<Full<Bytes>>, Fault> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(sender)
    }

    /// Opens all of them.
    pub async fn open_all(&self) -> Result<(), Fault> {
        for _ in 0..self.permits.available_permits() {
            let connection = self.open().await?;
            self.free.lock().unwrap_or_else(PoisonError::into_inner).push_back(connection);
        }
        Ok(())
    }
}
