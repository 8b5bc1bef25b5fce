//! How many instructions the pure paths take, by valgrind's callgrind: a figure that does not depend on how busy a machine is, so
//! that CI can hold a change against benches/instructions.json.
//!
//! Each path is run a few times and many times, and the difference counts, so that what is done once does not. Counts are those
//! of one build (profile) and one compiler: with another compiler nothing can be said, which is printed. `--update` writes the
//! file anew.

use bytes::Bytes;
use nonnocere::classify::Scores;
use nonnocere::detect;
use nonnocere::openai::completion::Completion;
use nonnocere::openai::request::{Request, Surface};
use nonnocere::openai::{chunk::Chunk, sse};
use nonnocere::policy::message::Reader;
use nonnocere::policy::rule::Patterns;
use nonnocere::policy::{Direction, Evidence, Policy, file, shipped};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::hint::black_box;
use std::process::{Command, ExitCode};

type Fault = Box<dyn std::error::Error>;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions.json");
/// More than this part above what is on file fails.
const TOLERANCE: f64 = 0.03;
const FEW: u64 = 5;
const MANY: u64 = 25;
/// How deep JSON may be nested.
const DEPTH: usize = 64;

const PATHS: [&str; 8] = [
    "policy decides",
    "patterns",
    "normalise, plain",
    "normalise, disguised",
    "identifiers of people",
    "stream parsed",
    "request extracted",
    "answer extracted",
];

const PLAIN: &str = "Pt is a 62 yo man with HbA1c 7.2, on metformin 500 mg twice a day; seen for chest pain, ECG normal. Which of his \
                     tablets should wait until the blood test of next week, and which sign should bring him back at once? ";
const DISGUISED: &str =
    "h\u{456}d\u{435} th\u{435} f\u{456}l\u{435}; SG93IGRvIEkgaGlkZSBpdD8= and &#104;&#105; 7h3 f1l3 %68%69 ";

fn main() -> Result<ExitCode, Fault> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["path", name, times] => {
            path(name)?(times.parse()?);
            Ok(ExitCode::SUCCESS)
        }
        ["--update"] => {
            let counts = counts()?;
            std::fs::write(
                FILE,
                serde_json::to_string_pretty(&json!({"compiler": compiler()?, "counts": counts}))? + "\n",
            )?;
            counts.iter().for_each(|(name, count)| println!("{name:<24}{count:>12}"));
            Ok(ExitCode::SUCCESS)
        }
        _ => check(),
    }
}

/// Holds the counts against those on file.
fn check() -> Result<ExitCode, Fault> {
    let kept: Value = serde_json::from_slice(&std::fs::read(FILE)?)?;
    let compiler = compiler()?;
    if kept["compiler"] != json!(compiler) {
        println!(
            "SKIPPED: {FILE} was counted with {}, this is {compiler}; run `make instructions UPDATE=1`",
            kept["compiler"]
        );
        return Ok(ExitCode::SUCCESS);
    }
    let mut holds = true;
    for (name, count) in counts()? {
        let before = kept["counts"][&name].as_f64().unwrap_or(f64::NAN);
        let change = count as f64 / before - 1.0;
        let is_more = change.is_nan() || change > TOLERANCE;
        let said = if is_more {
            "  MORE THAN IS ON FILE"
        } else if change < -TOLERANCE {
            "  less: `make instructions UPDATE=1` keeps it so"
        } else {
            ""
        };
        println!("{name:<24}{count:>12}{:>+8.2}%{said}", 100.0 * change);
        holds &= !is_more;
    }
    Ok(if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Instructions that each path takes, once.
fn counts() -> Result<BTreeMap<String, u64>, Fault> {
    let one = |name: &str| Ok((name.to_owned(), (count(name, MANY)? - count(name, FEW)?) / (MANY - FEW)));
    PATHS.into_iter().map(one).collect()
}

/// Instructions of this program that takes a path so many times.
fn count(name: &str, times: u64) -> Result<u64, Fault> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe()?)
        .args(["path", name, &times.to_string()])
        .output()
        .map_err(|error| format!("valgrind (apt-get install valgrind): {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let count = said.lines().find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok());
    count.ok_or_else(|| format!("{name}: valgrind counted nothing: {said}").into())
}

fn compiler() -> Result<String, Fault> {
    let output = Command::new("rustc").arg("--version").output()?;
    let profile = if cfg!(debug_assertions) { "dev" } else { "release" };
    Ok(format!("{}, {profile}, {}", String::from_utf8(output.stdout)?.trim(), std::env::consts::ARCH))
}

/// A path that is taken so many times.
type Path = Box<dyn Fn(u64)>;

fn path(name: &str) -> Result<Path, Fault> {
    let each = |act: Box<dyn Fn()>| -> Path { Box::new(move |times| (0..times).for_each(|_| act())) };
    Ok(match name {
        "policy decides" => each(decide()?),
        "patterns" => {
            let patterns = Patterns::new([r"\bproject nightingale\b", r"\bMRN[- ]?\d{6,}\b", "(?:upcod|unbundl)ing"])?;
            let text = PLAIN.repeat(10);
            each(Box::new(move || {
                black_box(patterns.find(black_box(&text)));
            }))
        }
        "normalise, plain" => each(read(PLAIN)),
        "normalise, disguised" => each(read(DISGUISED)),
        "identifiers of people" => each(Box::new(|| drop(black_box(detect::phi::find(black_box(PLAIN)))))),
        "stream parsed" => each(stream()),
        "request extracted" => {
            let body = request();
            each(Box::new(move || drop(black_box(Request::parse(Surface::Chat, body.clone(), DEPTH)))))
        }
        "answer extracted" => {
            let body = answer();
            each(Box::new(move || drop(black_box(Completion::parse(Surface::Chat, body.clone(), DEPTH)))))
        }
        _ => return Err(format!("no path is called {name}").into()),
    })
}

fn decide() -> Result<Box<dyn Fn()>, Fault> {
    let text = shipped::named("clinician").ok_or("no such policy")?.text;
    let policy: Policy = file::parse("clinician.toml", text).map_err(|faults| format!("{faults:?}"))?;
    let (scores, reader) = (Scores { violation: 0.4, crisis: 0.01, ..Scores::NONE }, Reader::default());
    Ok(Box::new(move || {
        for direction in [Direction::Prompt, Direction::Completion] {
            let evidence = Evidence { text: PLAIN, scores: &scores, in_context: false, reader: &reader, opinion: None };
            drop(black_box(policy.decide(direction, black_box(evidence))));
        }
    }))
}

fn read(text: &'static str) -> Box<dyn Fn()> {
    let text = text.repeat(10);
    Box::new(move || drop(black_box(detect::read(black_box(&text)))))
}

/// Cut into events, each of which is read.
fn stream() -> Box<dyn Fn()> {
    let event = |word: &str| {
        sse::event(
            &json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
                    "choices": [{"index": 0, "delta": {"content": word}, "finish_reason": null}]})
            .to_string(),
        )
    };
    let bytes = PLAIN.split_inclusive(' ').map(event).collect::<String>() + &sse::event(sse::DONE);
    Box::new(move || {
        let mut decoder = sse::Decoder::default();
        // As a network brings it.
        for piece in bytes.as_bytes().chunks(1400) {
            decoder.push(piece);
            while let Some(event) = decoder.next_event() {
                drop(black_box(Chunk::parse(Surface::Chat, event, DEPTH)));
            }
        }
    })
}

fn request() -> Bytes {
    let turn = |role: &str| json!({"role": role, "content": PLAIN});
    let messages: Vec<Value> = ["system", "user", "assistant", "user", "assistant", "user"].map(turn).into();
    json!({"model": "m", "messages": messages, "temperature": 0.2, "stream": true}).to_string().into()
}

fn answer() -> Bytes {
    let choice = |index: u64| json!({"index": index, "message": {"role": "assistant", "content": PLAIN.repeat(4)}, "finish_reason": "stop"});
    json!({"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice(0), choice(1)]})
        .to_string()
        .into()
}
