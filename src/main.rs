//! The command line: flags ─▶ a command ─▶ an exit code.

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

use clap::{Args, Parser, Subcommand};
use nonnocere::audit::export::Format;
use nonnocere::audit::label::{Label, Mark};
use nonnocere::commands::{
    self, account::AccountCommand, demonstrations::DemonstrationsCommand, eval::EvalCommand, keys::KeysCommand,
    promote::Back, runtime,
};
use nonnocere::config::{Config, Overrides};
use nonnocere::policy::tune::Target;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// A guardrail between a clinical chatbot and any OpenAI-compatible LLM.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the proxy.
    Serve {
        #[command(flatten)]
        settings: Settings,
        /// The LLM's base URL, up to and with /v1. Without one, an embedded demo answers.
        #[arg(long)]
        upstream: Option<String>,
    },
    /// Judge conversations from the standard input, one JSON object a line.
    Check {
        #[command(flatten)]
        settings: Settings,
        /// Read and write JSON lines.
        #[arg(long, required = true)]
        jsonl: bool,
    },
    /// Prove, write out and remove stored decisions.
    Audit {
        #[command(flatten)]
        settings: Settings,
        #[command(subcommand)]
        command: AuditCommand,
    },
    /// Look after the API keys of clients.
    Keys {
        #[command(flatten)]
        settings: Settings,
        #[command(subcommand)]
        command: KeysCommand,
    },
    /// Look after the console.
    Console {
        #[command(flatten)]
        settings: Settings,
        #[command(subcommand)]
        command: ConsoleCommand,
    },
    /// Work with policy files.
    Policy {
        #[command(subcommand)]
        command: PolicyCommand,
    },
    /// Measure how readily a model complies with what violates, and what the guard changes of that.
    Eval {
        #[command(flatten)]
        settings: Settings,
        #[command(subcommand)]
        command: EvalCommand,
    },
    /// Make of requests that violate what a model can be fine-tuned on.
    Demonstrations {
        #[command(flatten)]
        settings: Settings,
        #[command(subcommand)]
        command: DemonstrationsCommand,
    },
    /// Run the demo by itself, in a character of which it is known how readily it complies.
    Demo(commands::demo::DemoWanted),
}

#[derive(Subcommand)]
enum ConsoleCommand {
    /// Say who may use the console.
    #[command(subcommand)]
    Account(AccountCommand),
}

#[derive(Subcommand)]
enum AuditCommand {
    /// Prove that no decision was changed, moved or removed; the exit code is 1 when one was.
    Verify {
        /// A public key that signed, in base64; more than once for several. Without one: audit.key and audit.trust.
        #[arg(long = "key")]
        keys: Vec<String>,
    },
    /// Write decisions out, the oldest first.
    Export {
        /// Those of the last so long, such as 30days.
        #[arg(long, value_parser = humantime::parse_duration)]
        since: Option<Duration>,
        #[arg(long, value_enum, default_value = "jsonl")]
        format: Format,
    },
    /// Show the kept text of an event, which is recorded (audit.vault).
    Read {
        /// The event id, as the header x-nonnocere-event-id shows it.
        event: String,
        #[command(flatten)]
        word: Word,
    },
    /// Write what reviewers labelled as rows of the corpus that the classifier is trained on, which is recorded (audit.vault).
    Training {
        /// The folder, in which each part of the corpus has its own.
        folder: PathBuf,
        #[command(flatten)]
        word: Word,
    },
    /// Say what a reviewer thinks of a decision. It must hold no text of the conversation.
    Label {
        /// The event id, as the header x-nonnocere-event-id shows it.
        event: String,
        /// Which of its messages: prompt or completion.
        #[arg(long, default_value = "prompt", value_parser = ["prompt", "completion"])]
        direction: String,
        /// Who says it.
        #[arg(long, value_parser = name)]
        reviewer: String,
        #[arg(long, value_enum)]
        mark: Mark,
        /// The violated principle: I to IX, G.
        #[arg(long, value_parser = ["I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "G"])]
        principle: Option<String>,
        #[arg(long)]
        note: Option<String>,
    },
    /// Say how far the reviewers agree (Cohen's kappa).
    Agreement,
    /// Remove decisions that are older; the rest can still be proven.
    Prune {
        /// How long decisions are kept; audit.retention without it.
        #[arg(long, value_parser = humantime::parse_duration)]
        keep: Option<Duration>,
    },
}

#[derive(Subcommand)]
enum PolicyCommand {
    /// Say whether a policy file is valid; every fault is named with its line and key.
    Lint {
        /// The policy file, or the name of a shipped policy.
        policy: String,
    },
    /// Try the tests that a policy carries; the exit code is 1 when one does not hold.
    Test {
        #[command(flatten)]
        settings: Settings,
    },
    /// Say in what a policy is different from another; the exit code is 1 when it is.
    Diff {
        #[command(flatten)]
        settings: Settings,
        /// The policy file, the name of a shipped policy, or a version such as v3.
        before: String,
        /// The other one.
        after: String,
    },
    /// Say what a policy would have done with the decisions on record.
    Backtest {
        #[command(flatten)]
        settings: Settings,
        /// The policy file, the name of a shipped policy, or a version such as v3.
        candidate: String,
        /// The decisions of the last so long, such as 30days.
        #[arg(long, value_parser = humantime::parse_duration)]
        since: Option<Duration>,
        /// Write JSON.
        #[arg(long)]
        json: bool,
        /// Show the kept texts of the samples (audit.vault), which is recorded.
        #[arg(long, requires = "by", requires = "reason")]
        texts: bool,
        /// Who reads them.
        #[arg(long)]
        by: Option<String>,
        /// Why.
        #[arg(long)]
        reason: Option<String>,
    },
    /// Put a policy in force for all that follow the store (guard.policy = "store"), or propose it where someone else must approve.
    /// Its tests must hold; what it would have done with what is on record is recorded.
    Promote {
        #[command(flatten)]
        settings: Settings,
        /// The policy file, the name of a shipped policy, or a version such as v3.
        candidate: String,
        #[command(flatten)]
        word: Word,
        #[command(flatten)]
        share: Share,
        /// Hold the decisions of the last so long against it.
        #[arg(long, value_parser = humantime::parse_duration, default_value = "30days")]
        since: Duration,
    },
    /// Approve of a version that someone else proposed.
    Approve {
        #[command(flatten)]
        settings: Settings,
        /// The version, such as v3.
        #[arg(value_parser = version)]
        version: i64,
        #[command(flatten)]
        word: Word,
        #[command(flatten)]
        share: Share,
    },
    /// Take back the canary, or go back to the version before.
    Rollback {
        #[command(flatten)]
        settings: Settings,
        #[command(flatten)]
        word: Word,
        /// To this version, such as v3.
        #[arg(long, value_parser = version, conflicts_with = "shadow")]
        to: Option<i64>,
        /// The version in the shadow.
        #[arg(long)]
        shadow: bool,
    },
    /// Say which version came in force when, by whom and why.
    History {
        #[command(flatten)]
        settings: Settings,
        /// Write JSON lines.
        #[arg(long)]
        json: bool,
    },
    /// Find thresholds by what reviewers said of decisions; the exit code is 1 when there are too few labels.
    Tune {
        #[command(flatten)]
        settings: Settings,
        /// The policy file, the name of a shipped policy, or a version such as v3.
        base: String,
        /// What is to be reached: fpr=0.3% or recall=90%.
        #[arg(long)]
        target: Target,
        /// Where a policy with the thresholds is written.
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// Say which rule decides on a text, by which score, and which of its words the score comes from.
    Explain {
        #[command(flatten)]
        settings: Settings,
        /// Judge the text as a completion, not as a prompt.
        #[arg(long)]
        completion: bool,
        /// The question that the completion answers.
        #[arg(long, requires = "completion")]
        question: Option<String>,
        /// Whose request it is, for the rules of the policy that are for some tenants.
        #[arg(long)]
        tenant: Option<String>,
        /// Write JSON.
        #[arg(long)]
        json: bool,
        /// The text; the standard input without one.
        text: Option<String>,
    },
}

/// Which conversations a version is for; all of them where nothing is said.
#[derive(Args)]
struct Share {
    /// For this percentage of the conversations only, such as 10%.
    #[arg(long, value_parser = percentage, conflicts_with = "shadow")]
    canary: Option<f64>,
    /// In the shadow: what it would do is recorded, and changes nothing.
    #[arg(long)]
    shadow: bool,
}

impl Share {
    fn percentage(&self) -> f64 {
        if self.shadow { 0.0 } else { self.canary.unwrap_or(100.0) }
    }
}

/// Whose word it is.
#[derive(Args)]
struct Word {
    /// Who says so.
    #[arg(long)]
    by: String,
    /// Why.
    #[arg(long)]
    reason: String,
    /// Sign by a key that has signed nothing in this store yet.
    #[arg(long)]
    new_key: bool,
}

impl From<Word> for commands::promote::Word {
    fn from(Word { by, reason, new_key }: Word) -> Self {
        Self { by, reason, new_key }
    }
}

/// A name, the same however it is written.
fn name(text: &str) -> Result<String, String> {
    let name = text.trim().to_lowercase();
    if name.is_empty() { Err("expected a name".to_owned()) } else { Ok(name) }
}

fn percentage(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).trim().parse::<f64>().ok();
    number.filter(|share| *share > 0.0 && *share < 100.0).ok_or_else(|| "expected a percentage such as 10%".to_owned())
}

fn version(text: &str) -> Result<i64, String> {
    let number = text.strip_prefix('v').unwrap_or(text).parse().ok();
    number.ok_or_else(|| "expected a version such as v3".to_owned())
}

#[derive(Args)]
struct Settings {
    /// A configuration file; see deploy/config.toml for every key.
    #[arg(long)]
    config: Option<PathBuf>,
    /// A policy file, or the name of a shipped policy: ama, patient, clinician, research, shadow.
    #[arg(long)]
    policy: Option<String>,
}

fn main() -> ExitCode {
    let command = Cli::parse().command;
    match commands::hush::without_telemetry().and_then(|()| run(command)) {
        Ok(code) => code,
        Err(error) => {
            // The standard error may be closed; there is nobody left to tell then.
            drop(writeln!(std::io::stderr(), "nonnocere: {error:#}"));
            ExitCode::from(2)
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Serve { settings, upstream } => {
            let config = settings.load(upstream)?;
            commands::log::start(&config.log)?;
            runtime()?.block_on(commands::serve::run(config))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Check { settings, jsonl: _ } => {
            let config = settings.load(None)?;
            let (input, output) = (std::io::stdin().lock(), std::io::BufWriter::new(std::io::stdout().lock()));
            let whole = runtime()?.block_on(commands::check::jsonl(&config, input, output))?;
            Ok(if whole { ExitCode::SUCCESS } else { ExitCode::from(1) })
        }
        Command::Audit { settings, command } => audit(&settings.load(None)?, command),
        Command::Keys { settings, command } => {
            commands::keys::run(&settings.load(None)?, command)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Console { settings, command: ConsoleCommand::Account(command) } => {
            runtime()?.block_on(commands::account::run(&settings.load(None)?, command))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Policy { command } => policy(command),
        Command::Eval { settings, command } => {
            let holds = runtime()?.block_on(commands::eval::run(&settings.load(None)?, command))?;
            Ok(if holds { ExitCode::SUCCESS } else { ExitCode::from(1) })
        }
        Command::Demonstrations { settings, command: DemonstrationsCommand::Export(wanted) } => {
            runtime()?.block_on(commands::demonstrations::export(&settings.load(None)?, &wanted))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Demo(wanted) => {
            runtime()?.block_on(commands::demo::run(wanted))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn audit(config: &Config, command: AuditCommand) -> anyhow::Result<ExitCode> {
    let runtime = runtime()?;
    match command {
        AuditCommand::Verify { keys } => {
            let holds = runtime.block_on(commands::audit::verify(config, &keys))?;
            return Ok(if holds { ExitCode::SUCCESS } else { ExitCode::from(1) });
        }
        AuditCommand::Export { since, format } => {
            runtime.block_on(commands::export::export(config, since, format))?;
        }
        AuditCommand::Read { event, word } => {
            runtime.block_on(commands::reveal::read(config, &event, word.into()))?;
        }
        AuditCommand::Training { folder, word } => {
            runtime.block_on(commands::training::training(config, &folder, word.into()))?;
        }
        AuditCommand::Label { event, direction, reviewer, mark, principle, note } => {
            let label = Label { event, direction, reviewer, mark, principle, note, time: 0 };
            runtime.block_on(commands::audit::label(config, label))?;
        }
        AuditCommand::Agreement => runtime.block_on(commands::audit::agreement(config))?,
        AuditCommand::Prune { keep } => runtime.block_on(commands::audit::prune(config, keep))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn policy(command: PolicyCommand) -> anyhow::Result<ExitCode> {
    match command {
        PolicyCommand::Lint { policy } => {
            commands::policy::lint(&policy)?;
            Ok(ExitCode::SUCCESS)
        }
        PolicyCommand::Test { settings } => {
            let holds = runtime()?.block_on(commands::policy::test(&settings.load(None)?))?;
            Ok(if holds { ExitCode::SUCCESS } else { ExitCode::from(1) })
        }
        PolicyCommand::Diff { settings, before, after } => {
            let config = settings.load(None)?;
            let differs = runtime()?.block_on(commands::policy::compare(&config, &before, &after))?;
            Ok(if differs { ExitCode::from(1) } else { ExitCode::SUCCESS })
        }
        PolicyCommand::Backtest { settings, candidate, since, json, texts, by, reason } => {
            let word = by.zip(reason).filter(|_| texts);
            let texts = word.map(|(by, reason)| commands::promote::Word { by, reason, new_key: false });
            let wanted = commands::backtest::Wanted { candidate, since, json, texts };
            runtime()?.block_on(commands::backtest::backtest(&settings.load(None)?, wanted))?;
            Ok(ExitCode::SUCCESS)
        }
        PolicyCommand::Tune { settings, base, target, out } => {
            let config = settings.load(None)?;
            let tuned = commands::policy::tune(&config, &base, (target, out.as_deref()));
            Ok(if runtime()?.block_on(tuned)? { ExitCode::SUCCESS } else { ExitCode::from(1) })
        }
        PolicyCommand::Promote { settings, candidate, word, share, since } => {
            let wanted = commands::promote::Wanted { candidate, share: share.percentage(), since: Some(since) };
            runtime()?.block_on(commands::promote::promote(&settings.load(None)?, wanted, word.into()))?;
            Ok(ExitCode::SUCCESS)
        }
        PolicyCommand::Approve { settings, version, word, share } => {
            let share = share.percentage();
            runtime()?.block_on(commands::promote::approve(&settings.load(None)?, (version, share), word.into()))?;
            Ok(ExitCode::SUCCESS)
        }
        PolicyCommand::Rollback { settings, word, to, shadow } => {
            let back = match to {
                Some(to) => Back::To(to),
                None if shadow => Back::Shadow,
                None => Back::Newest,
            };
            runtime()?.block_on(commands::promote::rollback(&settings.load(None)?, back, word.into()))?;
            Ok(ExitCode::SUCCESS)
        }
        PolicyCommand::History { settings, json } => {
            runtime()?.block_on(commands::promote::history(&settings.load(None)?, json))?;
            Ok(ExitCode::SUCCESS)
        }
        PolicyCommand::Explain { settings, completion, question, tenant, json, text } => {
            let text = text.map_or_else(|| std::io::read_to_string(std::io::stdin()), Ok)?;
            let asked = commands::explain::Asked { text, question, completion, tenant, json };
            runtime()?.block_on(commands::explain::run(&settings.load(None)?, &asked))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

impl Settings {
    fn load(self, upstream: Option<String>) -> anyhow::Result<Config> {
        let overrides = Overrides { file: self.config, policy: self.policy, upstream };
        Config::load(&overrides)
            .map_err(|faults| anyhow::anyhow!("the configuration is not valid:\n  {}", faults.join("\n  ")))
    }
}
