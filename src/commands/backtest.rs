//! `nonnocere policy backtest`: what a policy would have done with what is on record.

use super::promote::Word;
use super::reveal::Texts;
use crate::audit::decision::Decision;
use crate::audit::label::settled;
use crate::config::Config;
use crate::policy::Policy;
use crate::policy::backtest::{Backtest, Sample};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::time::{Duration, Instant};

/// What is to be known.
pub struct Wanted {
    /// A policy file, a shipped policy, or a version such as `v3`.
    pub candidate: String,
    /// The decisions of the last so long; all without it.
    pub since: Option<Duration>,
    /// Whether it is said in JSON.
    pub json: bool,
    /// By whose word the kept texts of the samples are shown.
    pub texts: Option<Word>,
}

/// Says what a policy would have done with the decisions on record.
///
/// # Errors
/// When the policy has faults, the store cannot be read, or the output is closed.
pub async fn backtest(config: &Config, wanted: Wanted) -> anyhow::Result<()> {
    let Wanted { candidate, since, json, texts } = wanted;
    let policy = super::policy_named(config, &candidate).await?;
    let (audit, store) = super::audit::open(config).await?;
    let marks = settled(&store.labels().await?, audit.reviewers);
    let start = Instant::now();
    let (mut backtest, mut unreadable) = (Backtest::default(), 0);
    store
        .bodies(super::audit::ago(since), |body| match serde_json::from_str::<Decision>(body) {
            Ok(decision) => {
                let mark = marks.get(&(decision.event.clone(), decision.direction.clone()));
                backtest.add(&policy, &decision, mark.copied());
            }
            Err(_) => unreadable += 1,
        })
        .await?;
    anyhow::ensure!(unreadable == 0, "{unreadable} decisions cannot be read; `nonnocere audit verify` says which");
    let texts = match texts {
        Some(word) => super::reveal::texts_of(config, word, &backtest.samples).await?,
        None => BTreeMap::new(),
    };
    let mut out = std::io::stdout().lock();
    if json {
        writeln!(out, "{}", shown(&policy, &backtest, &texts))?;
        return Ok(());
    }
    let Backtest {
        decisions, stopped: [was, would], newly_stopped, newly_passed, reviewed, needs_text, unknown, ..
    } = &backtest;
    let took = start.elapsed().as_secs_f64();
    writeln!(out, "{policy}: {decisions} decisions in {took:.1} s; {was} were stopped, {would} would be")?;
    let [stopped, passed] = reviewed;
    for (title, of, [violating, harmless]) in
        [("newly stopped", newly_stopped, stopped), ("newly passed", newly_passed, passed)]
    {
        let all: u64 = of.values().sum();
        writeln!(out, "\n{title}: {all} (reviewers: {violating} violate, {harmless} are harmless)")?;
        for ((direction, principle), count) in of {
            writeln!(out, "  {direction:<12}{principle:<6}{count}")?;
        }
    }
    by_tenant(&mut out, &backtest)?;
    if !backtest.samples.is_empty() {
        writeln!(out, "\nsome of them:")?;
    }
    for Sample { event, direction, before, after, violation, violates } in &backtest.samples {
        let said = violates.map_or("", |violates| if violates { "; it violates" } else { "; it is harmless" });
        writeln!(out, "  {event}  {direction:<12}{before} -> {after}  (violation {violation:.3}{said})")?;
        if let Some(text) = texts.get(&(event.clone(), direction.clone())) {
            writeln!(out, "    {text}")?;
        }
    }
    if needs_text + unknown > 0 {
        writeln!(out, "\n{needs_text} need their text (a rule with patterns), of {unknown} nothing was judged")?;
    }
    Ok(())
}

/// The same numbers tenant by tenant, where there are any.
fn by_tenant(out: &mut impl Write, backtest: &Backtest) -> std::io::Result<()> {
    if backtest.by_tenant.keys().all(|[tenant, ..]| tenant.is_empty()) {
        return Ok(());
    }
    writeln!(out, "\nby tenant: newly stopped, newly passed")?;
    for ([tenant, direction, principle], [stopped, passed]) in &backtest.by_tenant {
        let tenant = if tenant.is_empty() { "(none)" } else { tenant };
        writeln!(out, "  {tenant:<24}{direction:<12}{principle:<6}{stopped:<8}{passed}")?;
    }
    Ok(())
}

fn shown(policy: &Policy, backtest: &Backtest, texts: &Texts) -> Value {
    let Backtest {
        decisions,
        stopped: [was, would],
        newly_stopped,
        newly_passed,
        by_tenant,
        reviewed: [newly_stopped_reviewed, newly_passed_reviewed],
        changes,
        samples,
        needs_text,
        unknown,
    } = backtest;
    let by = |names: [&str; 2], of: &BTreeMap<(String, String), u64>| -> Value {
        of.iter().map(|((one, other), count)| json!({names[0]: one, names[1]: other, "count": count})).collect()
    };
    let of_tenant = |([tenant, direction, principle], [stopped, passed]): (&[String; 3], &[u64; 2])| {
        let tenant = Some(tenant).filter(|tenant| !tenant.is_empty());
        json!({"tenant": tenant, "direction": direction, "principle": principle, "newly_stopped": stopped,
               "newly_passed": passed})
    };
    let sample = |sample: &Sample| {
        json!({"event": sample.event, "direction": sample.direction, "before": sample.before, "after": sample.after,
               "violation": sample.violation, "violates": sample.violates,
               "text": texts.get(&(sample.event.clone(), sample.direction.clone()))})
    };
    let reviewed = |[violating, harmless]: &[u64; 2]| json!({"violating": violating, "harmless": harmless});
    json!({
        "policy": policy.to_string(), "decisions": decisions, "stopped": was, "would_stop": would,
        "newly_stopped": by(["direction", "principle"], newly_stopped),
        "newly_passed": by(["direction", "principle"], newly_passed),
        "reviewed": {"newly_stopped": reviewed(newly_stopped_reviewed), "newly_passed": reviewed(newly_passed_reviewed)},
        "by_tenant": by_tenant.iter().map(of_tenant).collect::<Vec<_>>(),
        "changes": by(["before", "after"], changes),
        "samples": samples.iter().map(sample).collect::<Vec<_>>(),
        "needs_text": needs_text, "unknown": unknown,
    })
}
