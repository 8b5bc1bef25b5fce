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
use nonnocere::audit::label::{Label, Mark};
use nonnocere::commands;
use nonnocere::commands::audit::Format;
use nonnocere::config::{Config, Log, LogFormat, Overrides};
use nonnocere::policy::tune::Target;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tracing_subscriber::EnvFilter;

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
    /// Work with policy files.
    Policy {
        #[command(subcommand)]
        command: PolicyCommand,
    },
}

#[derive(Subcommand)]
enum AuditCommand {
    /// Prove that no decision was changed, moved or removed; the exit code is 1 when one was.
    Verify {
        /// The public key that signed, in base64; that of audit.key without one.
        #[arg(long)]
        key: Option<String>,
    },
    /// Write decisions out, the oldest first.
    Export {
        /// Those of the last so long, such as 30days.
        #[arg(long, value_parser = humantime::parse_duration)]
        since: Option<Duration>,
        #[arg(long, value_enum, default_value = "jsonl")]
        format: Format,
    },
    /// Say what a reviewer thinks of a decision. It must hold no text of the conversation.
    Label {
        /// The event id, as the header x-nonnocere-event-id shows it.
        event: String,
        /// Which of its messages: prompt or completion.
        #[arg(long, default_value = "prompt", value_parser = ["prompt", "completion"])]
        direction: String,
        /// Who says it.
        #[arg(long)]
        reviewer: String,
        #[arg(long, value_enum)]
        mark: Mark,
        /// The violated principle: I to IX, G.
        #[arg(long)]
        principle: Option<String>,
        #[arg(long)]
        note: Option<String>,
    },
    /// Say how far the reviewers agree (Cohen's kappa).
    Agreement,
    /// Remove decisions that are older; the rest can still be proven.
    Prune {
        /// How long decisions are kept.
        #[arg(long, value_parser = humantime::parse_duration, default_value = "6years")]
        keep: Duration,
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
        /// The policy file, or the name of a shipped policy.
        before: String,
        /// The other one.
        after: String,
    },
    /// Say what a policy would have done with the decisions on record.
    Backtest {
        #[command(flatten)]
        settings: Settings,
        /// The policy file, or the name of a shipped policy.
        candidate: String,
        /// The decisions of the last so long, such as 30days.
        #[arg(long, value_parser = humantime::parse_duration)]
        since: Option<Duration>,
        /// Write JSON.
        #[arg(long)]
        json: bool,
    },
    /// Find thresholds by what reviewers said of decisions; the exit code is 1 when there are too few labels.
    Tune {
        #[command(flatten)]
        settings: Settings,
        /// The policy file, or the name of a shipped policy.
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
    match run(Cli::parse().command) {
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
            start_log(&config.log)?;
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
        Command::Policy { command } => policy(command),
    }
}

fn audit(config: &Config, command: AuditCommand) -> anyhow::Result<ExitCode> {
    let runtime = runtime()?;
    match command {
        AuditCommand::Verify { key } => {
            let holds = runtime.block_on(commands::audit::verify(config, key.as_deref()))?;
            return Ok(if holds { ExitCode::SUCCESS } else { ExitCode::from(1) });
        }
        AuditCommand::Export { since, format } => {
            runtime.block_on(commands::audit::export(config, since, format))?;
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
        PolicyCommand::Diff { before, after } => {
            let differs = commands::policy::compare(&before, &after)?;
            Ok(if differs { ExitCode::from(1) } else { ExitCode::SUCCESS })
        }
        PolicyCommand::Backtest { settings, candidate, since, json } => {
            runtime()?.block_on(commands::policy::backtest(&settings.load(None)?, &candidate, since, json))?;
            Ok(ExitCode::SUCCESS)
        }
        PolicyCommand::Tune { settings, base, target, out } => {
            let config = settings.load(None)?;
            let tuned = commands::policy::tune(&config, &base, (target, out.as_deref()));
            Ok(if runtime()?.block_on(tuned)? { ExitCode::SUCCESS } else { ExitCode::from(1) })
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

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}

fn start_log(log: &Log) -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_default_env().or_else(|_| EnvFilter::try_new(&log.level))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match log.format {
        LogFormat::Text => builder.with_ansi(false).init(),
        LogFormat::Json => builder.json().init(),
    }
    Ok(())
}
