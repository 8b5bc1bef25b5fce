//! The pages of the audit: what can be proven, what people did, what is kept for how long, and what can be taken away.

pub(super) mod download;
mod history;
pub(super) mod proof;

use super::account::Role;
use super::language::Language;
use super::page::time;
use super::trouble::Trouble;
use super::{Desk, figure};
use crate::response::Body;
use http::Response;
use maud::{Markup, html};
use std::time::Duration;

/// Who may take decisions away: what is shown to all, but all of it at once.
pub(super) const TAKES: Role = Role::Reviewer;

/// Decisions are not removed for less than a day of them.
const DAY: i64 = 86_400_000_000;

/// Shows them.
pub(super) async fn show(desk: &Desk<'_>) -> Result<Response<Body>, Trouble> {
    let language = desk.language;
    let title = language.say("Audit", "Auditoría");
    let history = history::table(desk).await?;
    let oldest = desk.records.store.oldest().await?;
    let main = html! {
        h1 { (title) }
        div class="columns even" {
            (proof::card(desk))
            (kept(desk, oldest))
        }
        @if desk.may(TAKES) {
            (download::card(desk))
        }
        (history)
    };
    Ok(desk.page(title, &main))
}

/// What is kept, for how long, and when something goes.
fn kept(desk: &Desk<'_>, oldest: Option<i64>) -> Markup {
    let (language, keys) = (desk.language, &desk.records.audit);
    let retention = i64::try_from(keys.retention.as_micros()).unwrap_or(i64::MAX);
    let next = oldest.map(|oldest| oldest.saturating_add(retention).saturating_add(DAY));
    html! {
        section class="card" {
            h2 { (language.say("What is kept", "Lo que se guarda")) }
            dl class="facts" {
                dt { (language.say("Decisions, without texts", "Decisiones, sin textos")) }
                dd { (span(language, keys.retention)) }
                dt { (language.say("Texts for reviewers", "Textos para revisores")) }
                dd {
                    @match &keys.vault {
                        Some(vault) => { (span(language, vault.retention)) ", " (language.say("sealed", "sellados")) }
                        None => (language.say("none are kept", "no se guarda ninguno")),
                    }
                }
                dt { (language.say("What people did", "Lo que hicieron las personas")) }
                dd { (language.say("for ever", "para siempre")) }
                @if let Some(oldest) = oldest {
                    dt { (language.say("The oldest entry", "La entrada más antigua")) }
                    dd { (time(oldest)) " UTC" }
                }
                @if let Some(next) = next.filter(|next| *next < i64::MAX) {
                    dt { (language.say("The next removal", "La próxima eliminación")) }
                    dd { (language.say("not before", "no antes del")) " " (time(next)) " UTC" }
                }
            }
            p class="hint" {
                (language.say(
                    "Set by audit.retention and audit.vault_retention. Before anything is removed the chain is proven, and what it ends in is signed, so that the rest can still be proven.",
                    "Lo definen audit.retention y audit.vault_retention. Antes de eliminar algo se prueba la cadena y se firma su final, de modo que el resto se pueda seguir probando.",
                ))
            }
        }
    }
}

/// How long something is kept, in days; what is shorter, as it is configured.
fn span(language: Language, span: Duration) -> String {
    let days = span.as_secs() / 86_400;
    if days == 0 {
        return humantime::format_duration(span).to_string();
    }
    format!(
        "{} {}",
        figure::count(language, days),
        if days == 1 { language.say("day", "día") } else { language.say("days", "días") }
    )
}
