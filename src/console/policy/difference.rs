//! In what two policies differ: by their values, and line by line.

use super::{PATH, in_force};
use crate::console::Desk;
use crate::console::language::Language;
use crate::console::trouble::Trouble;
use crate::policy::Policy;
use crate::policy::diff::{Line, diff, lines};
use crate::response::Body;
use http::Response;
use maud::{Markup, html};

/// The values that differ.
pub(super) fn values(language: Language, before: &Policy, after: &Policy) -> Markup {
    let changes = diff(before, after);
    html! {
        @if changes.is_empty() {
            p class="quiet" { (language.say("No value differs from what is in force.", "Ningún valor difiere de lo que está en vigor.")) }
        } @else {
            div class="scroll" tabindex="0" role="region" aria-labelledby="values" {
                table {
                    caption id="values" { (language.say("What differs from what is in force", "Lo que difiere de lo que está en vigor")) }
                    thead {
                        tr {
                            th scope="col" { (language.say("Where", "Dónde")) }
                            th scope="col" { (language.say("In force", "En vigor")) }
                            th scope="col" { (language.say("Here", "Aquí")) }
                        }
                    }
                    tbody {
                        @for change in &changes {
                            tr {
                                th scope="row" { (change.place) }
                                td { @if let Some(before) = &change.before { del class="removed" { (before) } } }
                                td { @if let Some(after) = &change.after { ins class="added" { (after) } } }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The lines that differ.
pub(super) fn by_line(language: Language, before: &str, after: &str) -> Markup {
    let found = lines(before, after);
    html! {
        @if found.is_empty() {
            p class="quiet" { (language.say("No line differs.", "Ninguna línea difiere.")) }
        } @else {
            pre class="scroll tall" tabindex="0" {
                @for line in &found {
                    @match line {
                        Line::Kept(line) => { "  " (line) "\n" }
                        Line::Gone(line) => { del class="removed" { "- " (line) } "\n" }
                        Line::New(line) => { ins class="added" { "+ " (line) } "\n" }
                        Line::Gap => { "…\n" }
                    }
                }
            }
        }
    }
}

/// The own text of a policy.
pub(super) fn own(policy: &Policy) -> &str {
    policy.texts.first().map_or("", |own| own.text.as_str())
}

/// What a proposal would change.
pub(in crate::console) async fn proposal(desk: &Desk<'_>) -> Result<Response<Body>, Trouble> {
    let language = desk.language;
    let live = &desk.console.proxy.policy;
    let versions = live.versions().ok_or(Trouble::NotFound)?;
    let known = versions.known().await.map_err(Trouble::Failed)?;
    let (candidate, by) = known.standing.proposed.as_ref().ok_or(Trouble::NotFound)?;
    let policy = versions.policy(candidate.version, &known.standing).await;
    let policy = policy.map_err(|faults| Trouble::Failed(faults.join("; ")))?;
    let holds = live.snapshot();
    let title = format!("{} v{}", language.say("Proposal", "Propuesta"), candidate.version);
    let main = html! {
        h1 { (title) }
        p { a href=(PATH) { (language.say("Back to the policy", "Volver a la política")) } }
        p { (language.say("Proposed by", "Propuesta por")) " " strong { (by) } ", " (in_force::meant(language, candidate.share)) "." }
        (values(language, &holds, &policy))
        h2 { (language.say("Line by line", "Línea por línea")) }
        (by_line(language, own(&holds), own(&policy)))
    };
    Ok(desk.page(&title, &main))
}
