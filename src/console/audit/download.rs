//! Taking decisions away, as a file that is written while it is taken.

use crate::audit::act::Deed;
use crate::audit::download::{Download, Selection};
use crate::audit::export::Format;
use crate::audit::journal::now;
use crate::console::Desk;
use crate::console::moment;
use crate::console::trouble::Trouble;
use crate::response::{Body, Writer};
use http::Response;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, HeaderValue};
use maud::{Markup, html};
use std::sync::Arc;

const PATH: &str = "/console/audit/decisions";

/// The form that asks for it.
pub(super) fn card(desk: &Desk<'_>) -> Markup {
    let language = desk.language;
    let until = now();
    let fields = [
        ("from", language.say("From (UTC)", "Desde (UTC)"), until - 30 * super::DAY),
        ("until", language.say("Until (UTC)", "Hasta (UTC)"), until + 60_000_000),
    ];
    html! {
        section class="card" {
            h2 { (language.say("Take decisions away", "Llevarse decisiones")) }
            p {
                (language.say(
                    "One row a decision: when, what was done, by which rule, policy and model, with which scores. No text is in it; users are pseudonyms. That you take it is on record.",
                    "Una fila por decisión: cuándo, qué se hizo, con qué regla, política y modelo, y qué puntuaciones. No contiene textos; los usuarios son seudónimos. Consta que usted se lo lleva.",
                ))
            }
            form method="post" action=(PATH) class="fields" {
                (desk.token())
                @for (name, label, moment) in fields {
                    div class="field" {
                        label for={ "take-" (name) } { (label) }
                        input id={ "take-" (name) } name=(name) type="datetime-local" required value=(moment::field(moment));
                    }
                }
                div class="field" {
                    label for="take-tenant" { (language.say("Tenant", "Entidad")) }
                    input id="take-tenant" name="tenant" maxlength="200" autocomplete="off" aria-describedby="take-tenant-hint";
                    p class="hint" id="take-tenant-hint" { (language.say("Empty for all", "Vacío para todas")) }
                }
                div class="field" {
                    label for="take-format" { (language.say("Format", "Formato")) }
                    select id="take-format" name="format" {
                        @for format in Format::ALL {
                            option value=(format.id()) { (format.id()) }
                        }
                    }
                }
                button { (language.say("Download", "Descargar")) }
            }
        }
    }
}

fn asked(desk: &Desk<'_>) -> Result<(Selection, Format), Trouble> {
    let (form, language) = (desk.form, desk.language);
    let wrong = |english, spanish| Trouble::BadInput(language.say(english, spanish).to_owned());
    let [from, until] = ["from", "until"].map(|name| moment::read(form.get(name)));
    let (Some(from), Some(until)) = (from, until) else {
        return Err(wrong(
            "Both times are written as 2026-11-28T03:20 or 2026-11-28T03:20:00Z.",
            "Ambas horas se escriben como 2026-11-28T03:20 o 2026-11-28T03:20:00Z.",
        ));
    };
    if from >= until {
        return Err(wrong("The time must begin before it ends.", "El período debe empezar antes de acabar."));
    }
    let format = Format::ALL.into_iter().find(|format| format.id() == form.get("format"));
    let format =
        format.ok_or_else(|| wrong("The format is csv, jsonl or parquet.", "El formato es csv, jsonl o parquet."))?;
    let tenant = Some(form.get("tenant").trim()).filter(|tenant| !tenant.is_empty()).map(str::to_owned);
    Ok((Selection { from, until, tenant }, format))
}

/// Sends the file.
pub(in crate::console) async fn take(desk: &Desk<'_>) -> Result<Response<Body>, Trouble> {
    let (selection, format) = asked(desk)?;
    // Each keeps a connection to the store busy, which others need.
    let slot = Arc::clone(&desk.console.downloads).try_acquire_owned().map_err(|_| Trouble::Busy)?;
    let Selection { from, until, tenant } = selection.clone();
    desk.record(Deed::Downloaded { from, until, tenant, format: format.id().to_owned() }, "").await?;
    let download = Download::begin(desk.records.store.clone(), selection, format).await;
    let download = download.map_err(|error| Trouble::Failed(error.to_string()))?;
    let patience = desk.console.proxy.limits.body_timeout;
    let body = Body::flowing(patience, move |writer| async move {
        write(download, (format, &writer)).await;
        drop(slot);
    });
    let mut response = Response::new(body);
    let [first, last] = [from, until].map(|moment| moment::exact(moment).chars().take(10).collect::<String>());
    let name = format!("attachment; filename=\"nonnocere-{first}-{last}.{}\"", format.id());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(format.media_type()));
    headers.extend(HeaderValue::try_from(name).ok().map(|name| (CONTENT_DISPOSITION, name)));
    Ok(response)
}

/// Writes all of it; where it breaks off, the file says so: JSON and CSV by a last line, Parquet by having no end.
async fn write(mut download: Download, (format, writer): (Format, &Writer)) {
    loop {
        match download.next().await {
            Ok(Some(bytes)) => {
                if writer.own(bytes).await.is_err() {
                    return;
                }
            }
            Ok(None) => return,
            Err(error) => {
                tracing::error!(%error, "decisions could not be written out to the end");
                let last: &[u8] = match format {
                    Format::Jsonl => b"{\"error\":\"broken off: the audit store did not answer\"}\n",
                    Format::Csv => b"\"BROKEN OFF: the audit store did not answer\"\n",
                    Format::Parquet => return,
                };
                drop(writer.own(last.to_vec()).await);
                return;
            }
        }
    }
}
