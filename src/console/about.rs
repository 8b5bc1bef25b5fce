//! The page that says what runs here.

use super::Desk;
use super::trouble::Trouble;
use crate::response::Body;
use http::Response;
use maud::html;

/// Shows it.
pub(super) async fn show(desk: &Desk<'_>) -> Result<Response<Body>, Trouble> {
    let language = desk.language;
    let title = language.say("About", "Acerca de");
    let proxy = &desk.console.proxy;
    let keys = &desk.records.audit;
    let yes = |is: bool| if is { language.say("yes", "sí") } else { language.say("no", "no") };
    let main = html! {
        h1 { (title) }
        section class="card" {
            h2 { (language.say("What runs here", "Qué se ejecuta aquí")) }
            dl class="facts" {
                dt { (language.say("Version", "Versión")) }
                dd { "nonnocere " (env!("CARGO_PKG_VERSION")) }
                dt { (language.say("Policy in force", "Política en vigor")) }
                dd { code { (proxy.policy.snapshot().to_string()) } }
                dt { (language.say("Model", "Modelo")) }
                dd { code { (proxy.guard.model()) } }
                dt { (language.say("Key that signs the record", "Clave que firma el registro")) }
                dd { code { (desk.records.key.public().to_string()) } }
                dt { (language.say("Texts are kept for reviewers", "Se guardan textos para revisores")) }
                dd { (yes(keys.vault.is_some())) }
                dt { (language.say("Decisions are kept for", "Las decisiones se guardan durante")) }
                dd { (humantime::format_duration(keys.retention)) }
                dt { (language.say("A second person must approve", "Una segunda persona debe aprobar")) }
                dd { (yes(desk.records.promotion.second_approver)) }
                dt { (language.say("Reviewers who must agree", "Revisores que deben coincidir")) }
                dd { (keys.reviewers) }
            }
        }
        section class="card" {
            h2 { (language.say("What it does not do", "Lo que no hace")) }
            p {
                (language.say(
                    "It judges texts, not patients: it gives no medical advice, and its refusals can be wrong. Decisions are kept without \
                     their texts; a text that is kept for reviewers is sealed, and whoever reads it is on record.",
                    "Evalúa textos, no pacientes: no da consejo médico, y sus rechazos pueden ser erróneos. Las decisiones se guardan sin \
                     sus textos; un texto guardado para revisores está sellado, y consta quién lo lee.",
                ))
            }
        }
    };
    Ok(desk.page(title, &main))
}
