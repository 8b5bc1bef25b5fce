//! nonnocere, "do no harm": a guardrail between a clinical chatbot and any OpenAI-compatible LLM.
//!
//! It judges every prompt and every completion against the nine AMA Principles of Medical Ethics with an ONNX model that
//! runs inside the process, and lets it pass, gives help, or refuses it.
//!
//! # The life of a request
//!
//! 1. [`server`] accepts the connection and holds the client to its time limits.
//! 2. [`proxy::handle`] is the page that names all that follows. It takes one snapshot of the policy, hears who calls
//!    ([`keys`], [`caller`]), finds the [`mod@route`], and has the body read by [`receive`], which has it [`decompress`]ed.
//! 3. [`openai::request`] derives from the bytes the texts that the LLM will read, whichever surface it is asked by.
//! 4. [`guard`] judges them: which texts, in which context. [`detect`] reads what they say behind their characters, a
//!    [`classify::Classifier`] gives [`classify::Scores`], and [`policy::Policy::decide`] turns them into a
//!    [`policy::Action`]. Where a rule is not sure, a [`guard::judge`] may be asked first.
//! 5. What is refused is answered by [`openai::refusal`] in a shape that SDKs accept. What passes is
//!    [`guard::Cleared`], and nothing else can be sent by [`upstream`].
//! 6. [`openai::completion`] finds the texts of each choice in a whole answer; the guard judges them as answers to the
//!    question, and [`response`] writes only what was cleared. A streamed answer is [relayed](relay) as it comes:
//!    [`openai::chunk`] says what each of its events adds, and [`guard::stream`] holds them until they may leave.
//! 7. [`audit`] makes one record of it, without text: headers, log line, [`metrics`], and the decisions that are stored.
//!
//! Those who already run a gateway ask for the verdict alone: [`plug`].
//!
//! Everything that keeps a request from an answer is a [`error::ProxyError`]. [`admin`] answers the operators,
//! [`console`] those who look after what is refused, [`config`] reads the settings, [`digest`] names models and policies by their bytes,
//! [`demo`] stands in for an LLM that is not there yet, and [`commands`] holds what the
//! binary can do. How readily a model complies with what violates, and what the guard changes of that, is an experiment that anyone can
//! repeat: [`eval`].

// What ships never panics and never prints past its outputs; tests may.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::todo,
    clippy::unimplemented,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::dbg_macro,
    clippy::print_stdout,
    clippy::print_stderr,
    unreachable_pub
)]

pub mod server;

pub mod proxy;

pub mod route;

pub mod receive;

pub mod keys;

pub mod caller;

pub mod decompress;

pub mod openai;

pub mod guard;

pub mod detect;

pub mod classify;

pub mod policy;

pub mod plug;

pub mod upstream;

pub mod relay;

pub mod response;

pub mod audit;

pub mod metrics;

pub mod error;

pub mod digest;

pub mod admin;

pub mod console;

pub mod config;

pub mod demo;

pub mod commands;

pub mod eval;
