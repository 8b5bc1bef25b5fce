//! Proving the store: it is read from end to end beside the pages, and by one reader at a time.

use crate::audit::act::{Act, Deed};
use crate::audit::chain::Checkpoint;
use crate::audit::journal::now;
use crate::audit::key::{Public, Signing};
use crate::audit::store::{Fault, Store};
use crate::audit::verify::{Report, verify_telling};
use crate::console::account::Role;
use crate::console::figure::count;
use crate::console::language::Language;
use crate::console::page::{moved, time};
use crate::console::trouble::Trouble;
use crate::console::{Desk, Records};
use crate::response::Body;
use http::Response;
use http::header::{HeaderName, HeaderValue};
use maud::{Markup, html};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

const PATH: &str = "/console/audit/proof";

/// So long a page waits for the end; a small store is proven meanwhile.
const PATIENCE: Duration = Duration::from_secs(1);

/// After so many seconds a page that waits is loaded again.
const REFRESH: HeaderValue = HeaderValue::from_static("2");

/// How far a proof has come.
#[derive(Clone, Debug, Default)]
enum State {
    /// None was asked for since the start.
    #[default]
    None,
    /// So many decisions were read, of about so many.
    Running { began: i64, read: u64, of: u64 },
    /// It has ended.
    Done(Arc<Proven>),
    /// The store failed.
    Failed,
}

/// What a proof came to.
#[derive(Debug)]
struct Proven {
    report: Report,
    /// When it began, and who asked for it.
    began: i64,
    by: String,
    /// The place of the last entry that there was.
    until: i64,
    /// The last signature that counts.
    signed: Option<Checkpoint>,
}

/// The proof that runs, or ran last.
#[derive(Default)]
pub(in crate::console) struct Proof(Arc<watch::Sender<State>>);

impl Proof {
    /// Begins one, unless one runs.
    async fn begin(&self, records: &Records, by: &str) -> Result<(), Fault> {
        let (tail, began) = (records.store.tail().await?, now());
        let of = u64::try_from(tail.seq).unwrap_or_default();
        let is_begun = self.0.send_if_modified(|state| {
            let may_begin = !matches!(state, State::Running { .. });
            if may_begin {
                *state = State::Running { began, read: 0, of };
            }
            may_begin
        });
        if is_begun {
            let store = records.store.clone();
            let keys: Vec<Public> = records.audit.trust.iter().cloned().chain([records.key.public()]).collect();
            let (key, by, state) = (records.key.clone(), by.to_owned(), Arc::clone(&self.0));
            let telling = Arc::clone(&self.0);
            let tell = move |now: u64| {
                telling.send_if_modified(|state| {
                    if let State::Running { read, .. } = state {
                        *read = now;
                    }
                    false
                });
            };
            let proof = async move { prove(&store, (&keys, &key), (by, began), tell).await };
            tokio::spawn(async move { state.send_replace(ended(proof).await) });
        }
        Ok(())
    }

    /// How far it has come; where it runs, waited for.
    async fn state(&self) -> State {
        let mut state = self.0.subscribe();
        let ended = state.wait_for(|state| !matches!(state, State::Running { .. }));
        drop(tokio::time::timeout(PATIENCE, ended).await);
        self.0.borrow().clone()
    }
}

/// How a proof ends. One that breaks off has failed, so that another can begin.
async fn ended(proof: impl Future<Output = Result<Proven, Fault>> + Send + 'static) -> State {
    match tokio::spawn(proof).await {
        Ok(Ok(proven)) => return State::Done(Arc::new(proven)),
        Ok(Err(error)) => tracing::error!(%error, "the chain could not be proven, since the store does not answer"),
        Err(error) => {
            tracing::error!(is_panic = error.is_panic(), "the chain could not be proven: the proof broke off")
        }
    }
    State::Failed
}

/// Proves a store, on record.
async fn prove(
    store: &Store,
    (keys, key): (&[Public], &Signing),
    (by, began): (String, i64),
    tell: impl Fn(u64) + Send,
) -> Result<Proven, Fault> {
    let tail = store.tail().await?;
    let report = verify_telling(store, keys, tell).await?;
    let signed = store.checkpoints().await?.into_iter().rfind(|signed| keys.iter().any(|key| signed.is_by(key)));
    let deed = Deed::Verified { holds: report.holds(), decisions: report.decisions, until: tail.seq };
    store.act(&Act { time: now(), by: by.clone(), reason: String::new(), deed }, None, key).await?;
    Ok(Proven { report, began, by, until: tail.seq, signed })
}

/// What it is, and the button that begins it.
pub(super) fn card(desk: &Desk<'_>) -> Markup {
    let language = desk.language;
    html! {
        section class="card" {
            h2 { (language.say("Prove the record", "Probar el registro")) }
            p {
                (language.say(
                    "Every decision and every act is chained to the one before it and signed every so often. Proving reads all of it, and finds whatever was changed, moved or removed since.",
                    "Cada decisión y cada acto están encadenados al anterior y se firman de vez en cuando. La prueba lo lee todo y encuentra lo que se haya cambiado, movido o eliminado.",
                ))
            }
            form method="post" action=(PATH) class="row" {
                (desk.token())
                @if desk.may(Role::Reviewer) { button class="primary" { (language.say("Prove it now", "Probar ahora")) } }
                @if !matches!(*desk.console.proof.0.borrow(), State::None) {
                    a href=(PATH) { (language.say("The last result", "El último resultado")) }
                }
            }
            p class="hint" {
                (language.say("Our key, as auditors know it:", "Nuestra clave, como la conocen los auditores:")) " "
                code { (desk.records.key.public().to_string()) }
            }
        }
    }
}

/// Begins a proof.
pub(in crate::console) async fn begin(desk: &Desk<'_>) -> Result<Response<Body>, Trouble> {
    desk.console.proof.begin(desk.records, &desk.account.name).await?;
    Ok(moved(PATH))
}

/// Shows how far it has come.
pub(in crate::console) async fn show(desk: &Desk<'_>) -> Result<Response<Body>, Trouble> {
    let language = desk.language;
    let title = language.say("Proof of the record", "Prueba del registro");
    let state = desk.console.proof.state().await;
    let main = html! {
        h1 { (title) }
        section class="card" {
            @match &state {
                State::None => p { (language.say("Nothing was proven since nonnocere started.", "No se ha probado nada desde que arrancó nonnocere.")) },
                State::Running { began, read, of } => (running(language, *began, (*read, *of))),
                State::Failed => {
                    p class="wrong" role="alert" {
                        (language.say("The record was not read to its end, so that nothing is proven. Try again; what went wrong is in the log.", "El registro no se leyó hasta el final, así que no se ha probado nada. Inténtelo de nuevo; el error consta en el registro del servidor."))
                    }
                }
                State::Done(proven) => (result(language, proven)),
            }
        }
        p { a href="/console/audit" { (language.say("Back to the audit", "Volver a la auditoría")) } }
    };
    let mut response = desk.page(title, &main);
    if let State::Running { .. } = state {
        response.headers_mut().insert(HeaderName::from_static("refresh"), REFRESH);
    }
    Ok(response)
}

fn running(language: Language, began: i64, (read, of): (u64, u64)) -> Markup {
    html! {
        p role="status" {
            (language.say("The record is being read since", "Se está leyendo el registro desde")) " " (time(began)) " UTC: "
            (count(language, read)) " " (language.say("of about", "de unas")) " " (count(language, of)) ". "
            (language.say("This page comes back by itself; you may leave it.", "Esta página se actualiza sola; puede salir de ella."))
        }
        progress max=(of.max(1)) value=(read) aria-label=(language.say("How much was read", "Cuánto se ha leído")) {}
    }
}

fn result(language: Language, proven: &Proven) -> Markup {
    let Report { decisions, pruned, checkpoints, acts, unsigned, findings, more } = &proven.report;
    let size = |n: i64| count(language, n.unsigned_abs());
    html! {
        @if proven.report.holds() {
            p class="flash" role="status" { strong { (language.say("The chain holds: all is as it was written.", "La cadena se sostiene: todo está como se escribió.")) } }
        } @else {
            div class="wrong" role="alert" {
                p { strong { (language.say("The chain is broken: this is not as it was written.", "La cadena está rota: esto no está como se escribió.")) } }
                ul lang="en" {
                    @for finding in findings { li { (finding) } }
                }
                @if *more > 0 {
                    p { (language.say("More findings:", "Más hallazgos:")) " " (count(language, *more)) }
                }
            }
        }
        dl class="facts" {
            dt { (language.say("Proven by", "Probado por")) }
            dd { (proven.by) ", " (time(proven.began)) " UTC" }
            dt { (language.say("Decisions read", "Decisiones leídas")) }
            dd { (count(language, *decisions)) }
            dt { (language.say("Up to the entry", "Hasta la entrada")) }
            dd { (size(proven.until)) }
            dt { (language.say("Acts that hold", "Actos que se sostienen")) }
            dd { (count(language, *acts)) }
            dt { (language.say("Signatures that hold", "Firmas que se sostienen")) }
            dd { (count(language, *checkpoints)) }
            @if let Some(signed) = &proven.signed {
                dt { (language.say("The last signature", "La última firma")) }
                dd { (time(signed.time)) " UTC, " (language.say("up to the entry", "hasta la entrada")) " " (size(signed.seq)) ", " (language.say("by the key", "con la clave")) " " code { (signed.key) } }
            }
            dt { (language.say("Entries after it", "Entradas posteriores")) }
            dd { (size(*unsigned)) " " (language.say("(nothing but the chain speaks for them yet)", "(por ellas solo responde aún la cadena)")) }
            @if *pruned > 0 {
                dt { (language.say("Removed before, as old as they may get", "Eliminadas antes, por antigüedad")) }
                dd { (size(*pruned)) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_proof_that_breaks_off_has_ended() {
        assert!(matches!(ended(async { panic!("broken") }).await, State::Failed));
        assert!(matches!(ended(async { Err(Fault::RowNotFound) }).await, State::Failed));
    }
}
