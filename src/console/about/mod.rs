//! The page that says what runs here, what it is for, and what it cannot do.

mod card;

use super::Desk;
use super::language::Language;
use super::trouble::Trouble;
use crate::classify::encode::EMBEDDED;
use crate::classify::manifest::Manifest;
use crate::digest;
use crate::policy::shipped;
use crate::response::Body;
use http::Response;
use maud::{Markup, html};

/// The card of the model in the binary.
const CARD: &str = include_str!("../../../classifier/model/MODEL_CARD.md");

/// What the binary is built from, to the version.
const LOCK: &str = include_str!("../../../Cargo.lock");

/// What there is to read, where the program came from.
const DOCUMENTS: [(&str, &str, &str); 7] = [
    ("README.md", "What it is, and how to begin", "Qué es y cómo empezar"),
    ("docs/CONSOLE.md", "This console", "Esta consola"),
    ("docs/PROMOTION.md", "How a policy comes in force", "Cómo entra en vigor una política"),
    ("docs/TEXTS.md", "Texts for reviewers", "Textos para revisores"),
    ("docs/PHI.md", "Identifiers of people", "Identificadores de personas"),
    ("docs/TENANTS.md", "Tenants", "Entidades"),
    ("docs/CONFORMANCE.md", "What is tested", "Qué se comprueba"),
];

/// Shows it.
pub(super) async fn show(desk: &Desk<'_>) -> Result<Response<Body>, Trouble> {
    let language = desk.language;
    let title = language.say("About", "Acerca de");
    let main = html! {
        h1 { (title) }
        (runs(desk))
        (meant(language))
        (model(language, desk.console.proxy.guard.model()))
        (policies(language))
        (documents(language))
        (parts(language))
    };
    Ok(desk.page(title, &main))
}

fn runs(desk: &Desk<'_>) -> Markup {
    let (language, proxy, keys) = (desk.language, &desk.console.proxy, &desk.records.audit);
    let yes = |is: bool| if is { language.say("yes", "sí") } else { language.say("no", "no") };
    html! {
        section class="card" {
            h2 { (language.say("What runs here", "Qué se ejecuta aquí")) }
            dl class="facts" {
                dt { (language.say("Version", "Versión")) }
                dd { "nonnocere " (env!("CARGO_PKG_VERSION")) }
                dt { (language.say("Policy in force", "Política en vigor")) }
                dd { a href="/console/policy" { code { (proxy.policy.snapshot().to_string()) } } }
                dt { (language.say("Model", "Modelo")) }
                dd { code { (proxy.guard.model()) } }
                dt { (language.say("A judge model is asked when in doubt", "En caso de duda se pregunta a un modelo juez")) }
                dd { (yes(proxy.guard.has_judge())) }
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
    }
}

fn meant(language: Language) -> Markup {
    html! {
        section class="card" {
            h2 { (language.say("What it is for, and what it is not", "Para qué es y para qué no")) }
            p {
                (language.say(
                    "It stands in front of a medical LLM, judges what people ask it and what it answers against the nine AMA Principles of Medical Ethics, and refuses, rewrites, or gives help as the policy says.",
                    "Está delante de un LLM médico, evalúa lo que se le pregunta y lo que responde según los nueve Principios de Ética Médica de la AMA, y rechaza, reescribe o da ayuda según la política.",
                ))
            }
            ul {
                @for (english, spanish) in LIMITS {
                    li { (language.say(english, spanish)) }
                }
            }
        }
    }
}

/// What it cannot do.
const LIMITS: [(&str, &str); 6] = [
    (
        "It judges texts, not patients: it gives no medical advice, and it is no medical device.",
        "Evalúa textos, no pacientes: no da consejo médico ni es un producto sanitario.",
    ),
    (
        "It can be wrong in both ways: harmless questions are refused, and some violations pass. The figures below say how often.",
        "Puede equivocarse en ambos sentidos: se rechazan preguntas inofensivas y pasan algunas infracciones. Las cifras de abajo dicen con qué frecuencia.",
    ),
    (
        "It finds many cries for help, and not all. It does not replace a person who watches.",
        "Detecta muchas peticiones de auxilio, no todas. No sustituye a una persona que vigile.",
    ),
    (
        "The model is made for English. Other languages, images and most files are judged badly or not at all.",
        "El modelo está hecho para inglés. Otros idiomas, las imágenes y casi todos los archivos se evalúan mal o no se evalúan.",
    ),
    (
        "Whether an answer is medically right is not judged.",
        "No se evalúa si una respuesta es correcta desde el punto de vista médico.",
    ),
    (
        "Decisions are kept without their texts; a text that is kept for reviewers is sealed, and whoever reads it is on record.",
        "Las decisiones se guardan sin sus textos; un texto guardado para revisores está sellado, y consta quién lo lee.",
    ),
];

fn model(language: Language, runs: &str) -> Markup {
    let manifest = serde_json::from_slice::<Manifest>(EMBEDDED.manifest).ok();
    let ours = digest::short(EMBEDDED.manifest);
    html! {
        section class="card" {
            h2 { (language.say("The model that is shipped", "El modelo incluido")) }
            @if ours != runs {
                p class="note warn" {
                    (language.say(
                        "Another model runs here; its card is in its folder. What follows is of the one inside the binary.",
                        "Aquí se ejecuta otro modelo; su ficha está en su carpeta. Lo que sigue es del incluido en el programa.",
                    ))
                }
            }
            @if let Some(manifest) = manifest {
                dl class="facts" {
                    dt { (language.say("Name and version", "Nombre y versión")) }
                    dd { (manifest.name) " " (manifest.version) }
                    dt { (language.say("Hash of its manifest", "Hash de su manifiesto")) }
                    dd { code { (ours) } }
                    @for (file, hash) in &manifest.files {
                        dt { "SHA-256 " (file) }
                        dd { code { (hash) } }
                    }
                    dt { (language.say("Reads at once", "Lee de una vez")) }
                    dd { (manifest.window) " " (language.say("tokens; windows overlap by", "tokens; las ventanas se solapan en")) " " (manifest.overlap) }
                }
            }
            details {
                summary { (language.say("The model card: figures, limits, data", "La ficha del modelo: cifras, límites, datos (en inglés)")) }
                div class="document" lang="en" { (card::shown(CARD)) }
            }
        }
    }
}

fn policies(language: Language) -> Markup {
    html! {
        section class="card" {
            h2 { (language.say("Policies that are shipped", "Políticas incluidas")) }
            @for (place, shipped) in shipped::ALL.iter().enumerate() {
                details {
                    summary {
                        code { (shipped.name) }
                        @if place == 0 { " " (language.say("(where none is chosen)", "(si no se elige otra)")) }
                    }
                    pre lang="en" tabindex="0" { (shipped.text) }
                }
            }
        }
    }
}

fn documents(language: Language) -> Markup {
    html! {
        section class="card" {
            h2 { (language.say("To read", "Para leer")) }
            p {
                (language.say(
                    "These files come with the program; whoever runs nonnocere can give them to you.",
                    "Estos archivos vienen con el programa; quien administra nonnocere puede dárselos.",
                ))
            }
            dl class="facts" {
                @for (file, english, spanish) in DOCUMENTS {
                    dt { code { (file) } }
                    dd { (language.say(english, spanish)) }
                }
            }
        }
    }
}

fn parts(language: Language) -> Markup {
    let parts = parts_of(LOCK);
    html! {
        section class="card" {
            h2 { (language.say("What it is made of", "De qué está hecho")) }
            p {
                (language.say("Packages, for building and testing too:", "Paquetes, también los de compilación y prueba:")) " " (parts.len()) ". "
                (language.say("Their licences are listed by", "Sus licencias las muestra")) " " code { "cargo metadata --format-version 1" } "."
            }
            details {
                summary { (language.say("Names and versions", "Nombres y versiones")) }
                ul class="parts" {
                    @for (name, version) in parts { li { (name) " " (version) } }
                }
            }
        }
    }
}

/// The names and versions in a lock file.
fn parts_of(lock: &str) -> Vec<(&str, &str)> {
    let part = |text| Some((quoted(text, "name = ")?, quoted(text, "version = ")?));
    lock.split("[[package]]").skip(1).filter_map(part).filter(|(name, _)| *name != env!("CARGO_PKG_NAME")).collect()
}

/// What stands in quotes behind a key.
fn quoted<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.split_once(key)?.1.split('"').nth(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_parts_are_named_with_their_versions() {
        let parts = parts_of(LOCK);
        assert_eq!(parts.len() + 1, LOCK.matches("[[package]]").count());
        assert!(parts.iter().any(|(name, version)| *name == "maud" && version.starts_with("0.27")));
    }
}
