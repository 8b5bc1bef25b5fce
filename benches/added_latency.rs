//! What the guard adds to a call, by the length of the prompt: the same request direct and through the proxy, in alternation,
//! in one run.
//!
//! The proxy runs on one core (`taskset`), the client and the upstream on another where there is one. Requests follow one
//! another on a kept connection. Beside the added time stands the part of it that is judging, as the proxy reports it, what
//! ONNX Runtime takes for the same sequences when it is called directly on the same core, and a control: the same upstream
//! against itself, which says how much of a difference is noise.

mod common;
#[path = "common/raw.rs"]
mod raw;

use common::process::Process;
use common::results::{curves, keep, rounds};
use common::stats::{control, median, quantile};
use common::{Fault, Proxy, texts, upstream};
use nonnocere::classify::encode::EMBEDDED;
use nonnocere::classify::{Care, Classifier, Input, onnx};
use raw::Raw;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{ChildStdin, ChildStdout, Command};
use std::time::{Duration, Instant};
use tokenizers::Tokenizer;

const ROUNDS: usize = 30;
const REQUESTS_A_ROUND: usize = 20;

/// Tokens of a prompt, special tokens counted.
const LENGTHS: [usize; 4] = [16, 32, 128, 512];
/// How many of them are `[CLS]`, the marker and `[SEP]`.
const SPECIAL: usize = 3;
/// Different prompts of each length.
const PROMPTS: i64 = 4;

fn main() -> Result<(), Fault> {
    let prompts = prompts()?;
    // This program once more, on the proxy's core: see `Aside`.
    match std::env::args().nth(1).as_deref() {
        Some("raw") => return raw_calls(&prompts),
        Some("score") => return score_calls(&prompts),
        _ => {}
    }
    let upstream = upstream::start()?;
    let proxy = Proxy::start(upstream, &[])?;
    let mut ends = Ends {
        direct: Connection::open(upstream)?,
        control: Connection::open(upstream)?,
        guarded: Connection::open(proxy.address)?,
        raw: Aside::start("raw")?,
        score: Aside::start("score")?,
    };
    let mut samples: Vec<Samples> = LENGTHS.iter().map(|_| Samples::default()).collect();
    for round in 0..=rounds(ROUNDS) {
        for (length, samples) in samples.iter_mut().enumerate() {
            let mut taken = Samples::default();
            for request in 0..REQUESTS_A_ROUND {
                ends.ask(&prompts[length][request % prompts[length].len()], request % 2 == 0, &mut taken)?;
            }
            taken.raw.push(ends.raw.median(length)?);
            taken.score.push(ends.score.median(length)?);
            // The first round warms up.
            if round > 0 {
                samples.extend(taken);
            }
        }
    }
    report(&samples)
}

/// A few prompts of each length.
fn prompts() -> Result<Vec<Vec<String>>, Fault> {
    let tokenizer = Tokenizer::from_bytes(EMBEDDED.tokenizer)?;
    let tokens = |text: &str| tokenizer.encode_fast(text, false).map_or(usize::MAX, |encoding| encoding.len());
    let of = |length: usize| {
        let one =
            |prompt: i64| texts::of_length(|number| texts::question(1000 * prompt + number), length - SPECIAL, tokens);
        (0..PROMPTS).map(one).collect()
    };
    Ok(LENGTHS.map(of).into())
}

/// Everything that is asked.
struct Ends {
    direct: Connection,
    control: Connection,
    guarded: Connection,
    raw: Aside,
    score: Aside,
}

impl Ends {
    /// A B C or C B A: what drifts falls on all alike.
    fn ask(&mut self, prompt: &str, forwards: bool, taken: &mut Samples) -> Result<(), Fault> {
        let body = json!({"model": "m", "messages": [{"role": "user", "content": prompt}]}).to_string();
        let millis = |time: Duration| time.as_secs_f64() * 1e3;
        if forwards {
            taken.direct.push(millis(self.direct.post(&body)?.took));
        } else {
            taken.control.push(millis(self.control.post(&body)?.took));
        }
        let answer = self.guarded.post(&body)?;
        taken.guarded.push(millis(answer.took));
        let [prompt, completion] = answer.judging.ok_or("the proxy did not report its latency")?;
        taken.prompt.push(prompt);
        taken.judging.push(prompt + completion);
        if forwards {
            taken.control.push(millis(self.control.post(&body)?.took));
        } else {
            taken.direct.push(millis(self.direct.post(&body)?.took));
        }
        Ok(())
    }
}

/// Milliseconds.
#[derive(Default)]
struct Samples {
    direct: Vec<f64>,
    control: Vec<f64>,
    guarded: Vec<f64>,
    /// Judging the prompt, and both directions.
    prompt: Vec<f64>,
    judging: Vec<f64>,
    /// The prompt and both directions by ONNX Runtime alone, and by the classifier with its tokenizer.
    raw: Vec<[f64; 2]>,
    score: Vec<[f64; 2]>,
}

impl Samples {
    fn extend(&mut self, more: Self) {
        self.direct.extend(more.direct);
        self.control.extend(more.control);
        self.guarded.extend(more.guarded);
        self.prompt.extend(more.prompt);
        self.judging.extend(more.judging);
        self.raw.extend(more.raw);
        self.score.extend(more.score);
    }

    fn row(&self, tokens: usize) -> Value {
        let added = |part| quantile(&self.guarded, part) - quantile(&self.direct, part);
        let of = |calls: &[[f64; 2]], place: usize| median(&calls.iter().map(|call| call[place]).collect::<Vec<_>>());
        let raw = [0, 1].map(|place| of(&self.raw, place));
        let score = [0, 1].map(|place| of(&self.score, place));
        json!({"tokens": tokens, "direct_p50_ms": median(&self.direct), "added_p50_ms": added(0.5), "added_p99_ms": added(0.99),
               "check_prompt_p50_ms": median(&self.prompt), "check_both_p50_ms": median(&self.judging),
               "check_both_p99_ms": quantile(&self.judging, 0.99), "raw_prompt_ms": raw[0], "raw_both_ms": raw[1],
               "classifier_prompt_ms": score[0], "classifier_both_ms": score[1],
               "check_to_raw_prompt": median(&self.prompt) / raw[0], "check_to_raw_both": median(&self.judging) / raw[1]})
    }
}

fn report(samples: &[Samples]) -> Result<(), Fault> {
    const COLUMNS: [(&str, &str); 11] = [
        ("tokens", "tokens"),
        ("direct_p50_ms", "direct"),
        ("added_p50_ms", "added"),
        ("added_p99_ms", "p99"),
        ("check_prompt_p50_ms", "prompt"),
        ("raw_prompt_ms", "raw"),
        ("check_to_raw_prompt", "ratio"),
        ("check_both_p50_ms", "both"),
        ("raw_both_ms", "raw"),
        ("classifier_both_ms", "score()"),
        ("check_to_raw_both", "ratio"),
    ];
    let requests = samples.first().map_or(0, |samples| samples.direct.len());
    println!(
        "{requests} requests of each length and kind, the proxy on one core; milliseconds, p50 but where it says p99"
    );
    println!("{}", COLUMNS.map(|(_, head)| format!("{head:>9}")).concat());
    let rows: Vec<Value> = LENGTHS.iter().zip(samples).map(|(tokens, samples)| samples.row(*tokens)).collect();
    for row in &rows {
        println!("{}", COLUMNS.map(|(key, _)| format!("{:>9.3}", row[key].as_f64().unwrap_or(f64::NAN))).concat());
    }
    let by_round = |of: fn(&Samples) -> &Vec<f64>| -> Vec<f64> {
        samples.iter().flat_map(|samples| of(samples).chunks(REQUESTS_A_ROUND).map(median)).collect()
    };
    let control = control("direct, p50", &by_round(|s| &s.direct), &by_round(|s| &s.control));
    let line = |key: &str| rows.iter().filter_map(|row| Some((row["tokens"].as_f64()?, row[key].as_f64()?))).collect();
    let lines = [("added p50", "added_p50_ms"), ("added p99", "added_p99_ms"), ("ONNX Runtime alone", "raw_both_ms")]
        .map(|(name, key)| (name.to_owned(), line(key)));
    let picture = curves("added-latency", "Added to an answer, by the length of the prompt", ["tokens", "ms"], &lines);
    keep("added-latency", json!({"control": control.json(), "lengths": rows}), &[picture])?;
    Ok(())
}

/// This program once more, on the proxy's core: it calls the model when it is told to, while the proxy has nothing to do.
struct Aside {
    _process: Process,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Aside {
    fn start(how: &str) -> Result<Self, Fault> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(how);
        let mut process = Process::on("0", &command)?;
        Ok(Self { input: process.input()?, output: BufReader::new(process.output()?), _process: process })
    }

    /// The medians over its prompts: milliseconds for the prompt alone, and for both directions.
    fn median(&mut self, length: usize) -> Result<[f64; 2], Fault> {
        writeln!(self.input, "{length}")?;
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        let calls: Vec<[f64; 2]> = serde_json::from_str(&line)?;
        Ok([0, 1].map(|place| median(&calls.iter().map(|call| call[place]).collect::<Vec<_>>())))
    }
}

/// What the guard judges of a request: its prompt, and its answer.
fn both(prompt: &str) -> [Input; 2] {
    let prompt = prompt.to_owned();
    [Input::Prompt(prompt.clone()), Input::Completion { prompt, completion: upstream::ANSWER.to_owned() }]
}

fn raw_calls(prompts: &[Vec<String>]) -> Result<(), Fault> {
    let mut raw = Raw::load()?;
    answer(prompts, |input| Ok(raw.judge(&input)?.0))
}

fn score_calls(prompts: &[Vec<String>]) -> Result<(), Fault> {
    let classifier = onnx::OnnxClassifier::load(&EMBEDDED)?;
    answer(prompts, |input| {
        let start = Instant::now();
        // As the guard asks for what is neither disguised nor held to a lower threshold.
        classifier.score_with(&[input], Care { until: start + Duration::from_secs(60), thorough: false })?;
        Ok(start.elapsed())
    })
}

fn answer(prompts: &[Vec<String>], mut call: impl FnMut(Input) -> Result<Duration, Fault>) -> Result<(), Fault> {
    for line in std::io::stdin().lines() {
        let texts = prompts.get(line?.parse::<usize>()?).ok_or("no such length")?;
        let mut calls = Vec::new();
        for text in texts.iter().cycle().take(2 * texts.len()) {
            let [prompt, completion] = both(text).map(&mut call);
            let millis = [prompt?, completion?].map(|time| time.as_secs_f64() * 1e3);
            calls.push([millis[0], millis[0] + millis[1]]);
        }
        println!("{}", json!(calls));
    }
    Ok(())
}

struct Connection {
    stream: BufReader<TcpStream>,
    host: SocketAddr,
}

struct Answer {
    took: Duration,
    /// Milliseconds of judging the prompt, and the completion.
    judging: Option<[f64; 2]>,
}

impl Connection {
    fn open(host: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(host)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream), host })
    }

    /// One request; how long until its answer was read.
    fn post(&mut self, body: &str) -> Result<Answer, Fault> {
        let request = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.host,
            body.len()
        );
        let start = Instant::now();
        self.stream.get_mut().write_all(request.as_bytes())?;
        let (mut length, mut judging, mut line) = (0, None, String::new());
        loop {
            line.clear();
            self.stream.read_line(&mut line)?;
            if line.starts_with("HTTP/") && !line.contains(" 200 ") {
                return Err(line.into());
            }
            match line.trim().split_once(": ") {
                Some(("content-length", value)) => length = value.parse()?,
                Some(("x-nonnocere-latency", value)) => judging = phases(value),
                Some(("x-nonnocere-decision", "allow")) => {}
                Some(("x-nonnocere-decision", other)) => {
                    return Err(format!("a benign prompt was answered with {other}").into());
                }
                Some(_) => {}
                None if line.trim().is_empty() => break,
                None => {}
            }
        }
        std::io::copy(&mut self.stream.by_ref().take(length), &mut std::io::sink())?;
        Ok(Answer { took: start.elapsed(), judging })
    }
}

/// The `dur=` milliseconds of both phases in a Server-Timing value.
fn phases(timing: &str) -> Option<[f64; 2]> {
    let of = |phase: &str| {
        let rest = timing.split(", ").find_map(|part| part.strip_prefix(phase)?.strip_prefix(";dur="))?;
        rest.parse::<f64>().ok()
    };
    Some([of("prompt")?, of("completion")?])
}
