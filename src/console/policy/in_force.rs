//! What is in force, read aloud; what waits; what was done.

use super::{PATH, drafts};
use crate::audit::act::{Act, Candidate, Deed, Measured};
use crate::console::Desk;
use crate::console::account::Role;
use crate::console::aloud;
use crate::console::language::Language;
use crate::console::page::time;
use crate::console::trouble::Trouble;
use crate::policy::Policy;
use crate::policy::promotion::{Standing, is_same};
use crate::policy::reload::InForce;
use crate::policy::versions::Known;
use crate::response::Body;
use http::{Response, StatusCode};
use maud::{Markup, html};

/// So many acts are shown.
const ACTS: usize = 50;

/// Shows it.
pub(in crate::console) async fn show(desk: &Desk<'_>) -> Result<Response<Body>, Trouble> {
    with(desk, StatusCode::OK, "").await
}

/// The same, with what was wrong with what was posted.
pub(super) async fn with(desk: &Desk<'_>, status: StatusCode, wrong: &str) -> Result<Response<Body>, Trouble> {
    let language = desk.language;
    let in_force = desk.console.proxy.policy.in_force();
    let known = match desk.console.proxy.policy.versions() {
        Some(versions) => versions.known().await.map(Some),
        None => Ok(None),
    };
    let title = language.say("Policy", "Política");
    let main = html! {
        h1 { (title) }
        @if !wrong.is_empty() { p class="wrong" role="alert" { (wrong) } }
        @match &known {
            Err(_) => p class="wrong" role="alert" {
                (language.say(
                    "What was done with the policy cannot be proven: an act was changed or removed, or the store does not answer. What is in force here stays. See the page of the audit.",
                    "No se puede demostrar lo que se hizo con la política: un acto fue alterado o eliminado, o el registro no responde. Lo que está en vigor aquí se mantiene. Vea la página de auditoría.",
                ))
            },
            Ok(None) => (of_file(desk)),
            Ok(Some(known)) => (waiting(desk, &known.standing)),
        }
        (standing(desk, &in_force))
        @if let Ok(Some(known)) = &known { (take_back(desk, &known.standing)) }
        (drafts::list(desk, &in_force).await?)
        @if let Ok(Some(known)) = &known { (history(language, known)) }
    };
    Ok(desk.page_with(status, title, &main))
}

/// What to do where the policy is no version in the store.
fn of_file(desk: &Desk<'_>) -> Markup {
    html! {
        p class="note" {
            (desk.language.say(
                "The policy comes from a file, so that it is not put in force here. Write and try a draft, download its text, and give it to whoever runs nonnocere: in place of that file, or, to put policies in force here, once with “nonnocere policy promote FILE”, and then with guard.policy = \"store\" in the configuration.",
                "La política procede de un archivo, por lo que no se pone en vigor aquí. Escriba y pruebe un borrador, descargue su texto y entréguelo a quien administra nonnocere: en lugar de ese archivo o, para poner políticas en vigor desde aquí, una vez con «nonnocere policy promote ARCHIVO», y después con guard.policy = \"store\" en la configuración.",
            ))
        }
    }
}

fn standing(desk: &Desk<'_>, in_force: &InForce) -> Markup {
    let language = desk.language;
    let stable = in_force.standing.as_ref().and_then(|standing| standing.stable);
    html! {
        section class="card" {
            h2 { (language.say("In force", "En vigor")) }
            (aloud(language, &in_force.policy, stable))
        }
        @if let Some((canary, share)) = &in_force.canary {
            section class="card" {
                h2 { (language.say("On trial", "A prueba")) }
                p {
                    @match language {
                        Language::En => { "For " (share) "% of the conversations this holds in its place." }
                        Language::Es => { "Para el " (share) "% de las conversaciones rige esta en su lugar." }
                    }
                }
                (aloud(language, canary, in_force.standing.as_ref().and_then(|standing| standing.canary).map(|(version, _)| version)))
            }
        }
        @if let Some(shadow) = &in_force.policy.beside {
            section class="card" {
                h2 { (language.say("In the shadow", "En la sombra")) }
                p { (language.say("What it would do is recorded, and changes nothing.", "Lo que haría se registra y no cambia nada.")) }
                (aloud(language, shadow, in_force.standing.as_ref().and_then(|standing| standing.shadow)))
            }
        }
    }
}

/// A policy in plain words, and its text.
fn aloud(language: Language, policy: &Policy, version: Option<i64>) -> Markup {
    html! {
        p {
            @if let Some(version) = version { strong { "v" (version) } " · " }
            span class="mono" { (policy) }
            " · " (policy.tests.len()) " " (language.say("tests", "pruebas"))
        }
        p { (language.say("The first of these that applies decides:", "Decide la primera de estas que corresponda:")) }
        ol {
            @for rule in &policy.rules {
                li { strong { (rule.name) } ": " (aloud::rule(language, rule)) }
            }
        }
        ul { @for line in aloud::rest(language, policy) { li { (line) } } }
        @for text in &policy.texts {
            details {
                summary { (language.say("The text of", "El texto de")) " " span class="mono" { (text.file) } }
                pre class="scroll tall" tabindex="0" { (text.text) }
            }
        }
    }
}

/// What waits for a second person, with all that was measured, and the form to approve of it.
fn waiting(desk: &Desk<'_>, standing: &Standing) -> Markup {
    let language = desk.language;
    let Some((candidate, by)) = &standing.proposed else { return html! {} };
    let Candidate { version, policy, share, tests, model, backtest, .. } = candidate;
    html! {
        section class="card" {
            h2 { (language.say("Waits for approval", "Espera aprobación")) ": v" (version) " " (meant(language, *share)) }
            dl class="facts" {
                dt { (language.say("Policy", "Política")) } dd class="mono" { (policy) }
                dt { (language.say("Proposed by", "Propuesta por")) } dd { (by) }
                dt { (language.say("Tests", "Pruebas")) }
                dd { (tests) " " (language.say("hold, by the model", "se cumplen, con el modelo")) " " span class="mono" { (model) } }
                dt { (language.say("Decisions on record", "Decisiones registradas")) } dd { (measured(language, backtest)) }
            }
            p { a href={ (PATH) "/proposal" } { (language.say("What it would change, line by line", "Lo que cambiaría, línea por línea")) } }
            @if is_same(by, &desk.account.name) {
                p class="note" { (language.say("You proposed it, so someone else must approve.", "Usted la propuso; debe aprobarla otra persona.")) }
            } @else if desk.may(Role::Approver) {
                form method="post" action={ (PATH) "/approve" } class="fields" {
                    (desk.token())
                    input type="hidden" name="version" value=(version);
                    input type="hidden" name="share" value=(share);
                    (reason(language, "approve-reason"))
                    (new_key(desk, "approve-key"))
                    button class="primary" { (language.say("Approve", "Aprobar")) }
                }
            }
        }
    }
}

/// What was held against the decisions on record, in a sentence.
pub(super) fn measured(language: Language, found: &Measured) -> String {
    let Measured { since, decisions, stopped, would_stop, newly_stopped, newly_passed, untold } = found;
    let since = time(*since).into_string();
    let since = since.split(['<', '>']).nth(2).unwrap_or_default().to_owned();
    match language {
        Language::En if *decisions == 0 => format!("nothing is on record since {since} (UTC)"),
        Language::Es if *decisions == 0 => format!("no hay nada registrado desde {since} (UTC)"),
        Language::En => format!(
            "of {decisions} since {since} (UTC), {stopped} were stopped and {would_stop} would be: {newly_stopped} newly refused, {newly_passed} newly allowed, {untold} cannot be told"
        ),
        Language::Es => format!(
            "de {decisions} desde {since} (UTC) se detuvieron {stopped} y se detendrían {would_stop}: {newly_stopped} rechazadas de nuevo, {newly_passed} permitidas de nuevo, {untold} no se pueden determinar"
        ),
    }
}

/// Which conversations a share is.
pub(super) fn meant(language: Language, share: f64) -> String {
    match (language, share) {
        (Language::En, share) => crate::policy::promotion::meant(share),
        (Language::Es, share) if share <= 0.0 => "para la sombra".to_owned(),
        (Language::Es, share) if share < 100.0 => format!("para el {share}% de las conversaciones"),
        (Language::Es, _) => "para todas las conversaciones".to_owned(),
    }
}

/// The field of a reason.
pub(super) fn reason(language: Language, id: &str) -> Markup {
    html! {
        div class="field" {
            label for=(id) { (language.say("Reason (stays on record)", "Motivo (queda registrado)")) }
            input id=(id) name="reason" required maxlength="1000" autocomplete="off";
        }
    }
}

/// For a key that has signed for no policy yet.
pub(super) fn new_key(desk: &Desk<'_>, id: &str) -> Markup {
    let language = desk.language;
    if !desk.may(Role::Admin) {
        return html! {};
    }
    html! {
        details {
            summary { (language.say("This proxy signs for a policy for the first time", "Este proxy firma una política por primera vez")) }
            div class="field" {
                label for=(id) {
                    input type="checkbox" id=(id) name="new_key" value="yes"; " "
                    (language.say("All proxies trust its key (audit.trust):", "Todos los proxies confían en su clave (audit.trust):"))
                    " " span class="mono" { (desk.records.key.public()) }
                }
            }
        }
    }
}

fn take_back(desk: &Desk<'_>, standing: &Standing) -> Markup {
    let language = desk.language;
    let before = standing.before();
    let can = standing.canary.is_some() || standing.shadow.is_some() || !before.is_empty();
    if !can || !desk.may(Role::Approver) {
        return html! {};
    }
    html! {
        section class="card" {
            h2 { (language.say("Take back", "Retirar")) }
            p { (language.say("It holds at once, and nobody needs to approve.", "Rige de inmediato, y nadie tiene que aprobarlo.")) }
            form method="post" action={ (PATH) "/rollback" } class="fields" {
                (desk.token())
                div class="field" {
                    label for="back" { (language.say("What", "Qué")) }
                    select id="back" name="back" {
                        @if let Some((version, _)) = standing.canary {
                            option value="newest" { "v" (version) " " (language.say("on trial", "a prueba")) }
                        }
                        @if let Some(version) = standing.shadow {
                            option value="shadow" { "v" (version) " " (language.say("in the shadow", "en la sombra")) }
                        }
                        @for version in before.iter().rev() {
                            option value=(version) { (language.say("all that came after v", "todo lo posterior a v")) (version) }
                        }
                    }
                }
                (reason(language, "back-reason"))
                (new_key(desk, "back-key"))
                button class="danger" { (language.say("Take back", "Retirar")) }
            }
        }
    }
}

fn history(language: Language, known: &Known) -> Markup {
    let acts = || known.acts.iter().filter(|act| act.deed.is_of_policy()).rev();
    html! {
        section {
            h2 { (language.say("What was done", "Lo que se hizo")) }
            div class="scroll" tabindex="0" role="region" aria-labelledby="acts" {
                table {
                    caption id="acts" { (language.say("Every act is signed; the last is on top", "Cada acto está firmado; el último, arriba")) }
                    thead {
                        tr {
                            th scope="col" { (language.say("Time (UTC)", "Hora (UTC)")) }
                            th scope="col" { (language.say("What", "Qué")) }
                            th scope="col" { (language.say("Who", "Quién")) }
                            th scope="col" { (language.say("Why", "Por qué")) }
                        }
                    }
                    tbody {
                        @for act in acts().take(ACTS) {
                            tr { td { (time(act.time)) } td { (told(language, act)) } td { (act.by) } td { (act.reason) } }
                        }
                    }
                }
            }
            @if acts().count() > ACTS {
                p class="quiet" { (language.say("Earlier acts are on the page of the audit.", "Los actos anteriores están en la página de auditoría.")) }
            }
        }
    }
}

fn told(language: Language, act: &Act) -> String {
    let new = |candidate: &Candidate| format!("v{} {}", candidate.version, meant(language, candidate.share));
    match &act.deed {
        Deed::Proposed(candidate) => format!("{} {}", language.say("Proposed:", "Propuesta:"), new(candidate)),
        Deed::Promoted { candidate, proposed_by } => {
            let proposed =
                proposed_by.as_ref().map(|by| format!("{} {by}", language.say(", proposed by", ", propuesta por")));
            format!(
                "{} {}{}",
                language.say("Put in force:", "Puesta en vigor:"),
                new(candidate),
                proposed.unwrap_or_default()
            )
        }
        Deed::RolledBack { version, to } => match language {
            Language::En => format!("v{version} taken back, v{to} holds"),
            Language::Es => format!("v{version} retirada, rige v{to}"),
        },
        Deed::FellBack { version, to, stopped, of } => match language {
            Language::En => {
                format!("v{version} into the shadow: it stopped {stopped} of {of} messages that v{to} lets pass")
            }
            Language::Es => format!("v{version} a la sombra: detuvo {stopped} de {of} mensajes que v{to} deja pasar"),
        },
        _ => String::new(),
    }
}
