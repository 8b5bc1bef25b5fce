//! The policies by which a text is tried: what is in force, and what might come after it.

use crate::audit::act::Deed;
use crate::audit::drafts::is_name;
use crate::console::Desk;
use crate::console::language::Language;
use crate::console::policy::{path_of, read};
use crate::console::trouble::Trouble;
use crate::policy::Policy;
use crate::policy::file::Fault;
use maud::{Markup, html};
use std::sync::Arc;

/// Kept versions that are tried beside what is in force.
const NEWEST: usize = 3;

/// A draft that was asked for, and is no policy.
pub(super) struct NoPolicy {
    name: String,
    why: Why,
}

enum Why {
    /// Its text has faults.
    Faulty(Vec<Fault>),
    /// Somebody threw it away.
    Gone,
}

/// A policy, and what it is: in force, a canary …
pub(super) type Candidate = (Arc<Policy>, String);

/// The policy in force, and those that might come after it; the draft that was asked for stands next to it.
pub(super) async fn of(desk: &Desk<'_>) -> Result<(Vec<Candidate>, Option<NoPolicy>), Trouble> {
    let language = desk.language;
    let in_force = desk.console.proxy.policy.in_force();
    let mut all = vec![(Arc::clone(&in_force.policy), language.say("in force", "en vigor").to_owned())];
    let no_policy = match draft(desk).await? {
        Some(Ok(draft)) => {
            all.push(draft);
            None
        }
        Some(Err(no_policy)) => Some(no_policy),
        None => None,
    };
    if let Some((canary, share)) = &in_force.canary {
        let of = language.say("of the conversations", "de las conversaciones");
        all.push((Arc::clone(canary), format!("{} {share}% {of}", language.say("canary, for", "canario, para el"))));
    }
    if let Some(beside) = &in_force.policy.beside {
        all.push((Arc::clone(beside), language.say("in the shadow", "en la sombra").to_owned()));
    }
    kept(desk, &mut all).await;
    Ok((all, no_policy))
}

/// The draft that the form names, if it names one.
async fn draft(desk: &Desk<'_>) -> Result<Option<Result<Candidate, NoPolicy>>, Trouble> {
    let name = chosen(desk).to_owned();
    if name.is_empty() {
        return Ok(None);
    }
    let Some(draft) = desk.records.store.draft(&name).await? else {
        return Ok(Some(Err(NoPolicy { name, why: Why::Gone })));
    };
    Ok(Some(match read(desk, &draft).await {
        Ok(policy) => Ok((Arc::new(policy), format!("{} {name}", desk.language.say("draft", "borrador")))),
        Err(faults) => Err(NoPolicy { name, why: Why::Faulty(faults) }),
    }))
}

/// The newest versions that are kept, except those that are there already.
async fn kept(desk: &Desk<'_>, all: &mut Vec<Candidate>) {
    let Some(versions) = desk.console.proxy.policy.versions() else { return };
    let Ok(known) = versions.known().await else { return };
    let version = |deed: &Deed| match deed {
        Deed::Proposed(candidate) | Deed::Promoted { candidate, .. } => Some(candidate.version),
        _ => None,
    };
    let mut kept: Vec<i64> = known.acts.iter().filter_map(|act| version(&act.deed)).collect();
    kept.sort_unstable_by(|one, other| other.cmp(one));
    kept.dedup();
    for version in kept.into_iter().take(NEWEST) {
        if let Ok(policy) = versions.policy(version, &known.standing).await
            && !all.iter().any(|(known, _)| known.hash == policy.hash)
        {
            all.push((Arc::new(policy), format!("v{version}")));
        }
    }
}

/// The name of the draft that was chosen: by the form, or by the link that leads here; nothing where none was.
fn chosen<'a>(desk: &'a Desk<'_>) -> &'a str {
    let sent = if desk.is_post() { desk.form } else { desk.query };
    Some(sent.get("draft")).filter(|name| is_name(name)).unwrap_or_default()
}

/// The field in which a draft is chosen; nothing where there is none.
pub(super) async fn field(desk: &Desk<'_>) -> Result<Markup, Trouble> {
    let language = desk.language;
    let drafts = desk.records.store.drafts().await?;
    let chosen = chosen(desk);
    Ok(html! {
        @if !drafts.is_empty() {
            div class="field" {
                label for="draft" { (language.say("Beside what is in force", "Junto a lo que está en vigor")) }
                select id="draft" name="draft" {
                    option value="" { (language.say("no draft", "ningún borrador")) }
                    @for draft in &drafts {
                        option value=(draft.name) selected[draft.name == chosen] { (language.say("draft", "borrador")) " " (draft.name) }
                    }
                }
            }
        }
    })
}

impl NoPolicy {
    /// What stands in the place of its verdict.
    pub(super) fn shown(&self, language: Language) -> Markup {
        html! {
            article class="verdict" {
                h3 { code { (self.name) } " " span class="quiet" { (language.say("draft", "borrador")) } }
                @match &self.why {
                    Why::Gone => p class="wrong" role="alert" {
                        (language.say("There is no such draft any more.", "Este borrador ya no existe."))
                    },
                    Why::Faulty(faults) => {
                        p class="wrong" role="alert" {
                            (language.say("The draft has faults, so that it judges nothing.", "El borrador tiene errores, así que no evalúa nada."))
                        }
                        ul {
                            @for Fault { line, key, message, .. } in faults {
                                li {
                                    a href={ (path_of(&self.name)) "#line-" (line) } { (language.say("Line", "Línea")) " " (line) }
                                    ": " @if !key.is_empty() { code { (key) } ": " }
                                    span lang="en" { (message) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}
