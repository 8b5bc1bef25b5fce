//! What moving a threshold would do, as numbers: for the script that draws them, and as a table.

use super::{named, path_of, read};
use crate::console::Desk;
use crate::console::language::Language;
use crate::console::trouble::Trouble;
use crate::policy::curve::{Curve, Moved};
use crate::policy::rule::Rule;
use crate::policy::tune::Rate;
use crate::response::{Body, json};
use http::Response;
use maud::{Markup, html};

/// The threshold that a query names.
fn moved(name: &str) -> Moved {
    if name == "context" { Moved::InContext } else { Moved::Alone }
}

/// The curve of a rule of a draft, as JSON; `null` where the draft has no such rule any more, since someone saved it meanwhile.
pub(in crate::console) async fn curve(desk: &Desk<'_>) -> Result<Response<Body>, Trouble> {
    let found = of(desk, desk.query.get("rule"), moved(desk.query.get("moved"))).await?;
    Ok(json(&found.map_or(serde_json::Value::Null, |curve| curve.json())))
}

async fn of(desk: &Desk<'_>, rule: &str, moved: Moved) -> Result<Option<std::sync::Arc<Curve>>, Trouble> {
    let draft = named(desk).await?;
    let Ok(policy) = read(desk, &draft).await else { return Ok(None) };
    let kept = (&desk.records.store, desk.records.audit.reviewers);
    Ok(desk.console.workshop.curve(kept, &policy, (rule, moved)).await?)
}

/// Where the script finds a curve.
pub(super) fn source(draft: &str, rule: &str, moved: &str) -> String {
    let query =
        form_urlencoded::Serializer::new(String::new()).append_pair("rule", rule).append_pair("moved", moved).finish();
    format!("{}/curve.json?{query}", path_of(draft))
}

/// A page of the numbers of one threshold, for whoever has no script.
pub(in crate::console) async fn numbers(desk: &Desk<'_>) -> Result<Response<Body>, Trouble> {
    let language = desk.language;
    let name = desk.query.get("rule");
    let found = of(desk, name, moved(desk.query.get("moved"))).await?.ok_or(Trouble::NotFound)?;
    let title = format!("{} {name}", language.say("Thresholds of", "Umbrales de"));
    let main = html! {
        h1 { (title) }
        p { a href=(path_of(desk.param("name"))) { (language.say("Back to the draft", "Volver al borrador")) } }
        p { (whence(language, &found)) }
        div class="scroll" tabindex="0" role="region" aria-labelledby="numbers" {
            table {
                caption id="numbers" { (language.say("What would be at each threshold", "Qué ocurriría con cada umbral")) }
                thead {
                    tr {
                        th scope="col" class="number-cell" { (language.say("Threshold", "Umbral")) }
                        th scope="col" class="number-cell" { (language.say("Newly refused", "Rechazadas de nuevo")) }
                        th scope="col" class="number-cell" { (language.say("Newly allowed", "Permitidas de nuevo")) }
                        th scope="col" { (language.say("Of what is stopped, violates (precision)", "De lo detenido, infringe (precisión)")) }
                        th scope="col" { (language.say("Of what violates, is stopped (recall)", "De lo que infringe, se detiene (exhaustividad)")) }
                    }
                }
                tbody {
                    @for point in &found.points {
                        tr {
                            th scope="row" class="number-cell" { (format!("{:.3}", point.threshold)) }
                            td class="number-cell" { (point.newly_refused) }
                            td class="number-cell" { (point.newly_allowed) }
                            td { (rate(point.precision())) }
                            td { (rate(point.recall())) }
                        }
                    }
                }
            }
        }
    };
    Ok(desk.page(&title, &main))
}

fn rate(rate: Option<Rate>) -> String {
    rate.map_or_else(|| "–".to_owned(), |rate| rate.to_string())
}

/// What the numbers come from.
fn whence(language: Language, curve: &Curve) -> String {
    let Curve { decisions, is_part, labelled, .. } = curve;
    match (language, is_part) {
        (Language::En, true) => format!(
            "From the newest {decisions} decisions, not from all on record; precision and recall from {labelled} that reviewers settled, with 95% intervals. The backtest measures all."
        ),
        (Language::En, false) => format!(
            "From all {decisions} decisions on record; precision and recall from {labelled} that reviewers settled, with 95% intervals."
        ),
        (Language::Es, true) => format!(
            "De las {decisions} decisiones más recientes, no de todas las registradas; la precisión y la exhaustividad, de {labelled} resueltas por revisores, con intervalos del 95 %. La prueba retrospectiva las mide todas."
        ),
        (Language::Es, false) => format!(
            "De las {decisions} decisiones registradas; la precisión y la exhaustividad, de {labelled} resueltas por revisores, con intervalos del 95 %."
        ),
    }
}

/// The slider of a threshold, with the field that counts, and a place for its chart.
pub(super) fn slider(desk: &Desk<'_>, draft: &str, (rule, what): (&Rule, &str)) -> Markup {
    let language = desk.language;
    let name = super::forms::field(what, &rule.name);
    let is_one = rule.threshold.to_bits() == rule.threshold_in_context.to_bits();
    let (value, moved) = match what {
        "context" => (rule.threshold_in_context, "context"),
        _ => (rule.threshold, "alone"),
    };
    let label = match what {
        "context" => language.say("In a conversation, from", "En una conversación, a partir de"),
        _ => language.say("It applies from", "Se aplica a partir de"),
    };
    let shown = format!("{value:.3}");
    let is_coupled = what == "context" && is_one;
    let page = source(draft, &rule.name, moved).replace("curve.json", "curve");
    html! {
        div class="field slider" data-curve=(source(draft, &rule.name, moved)) data-value=(shown)
            data-refused=(language.say("newly refused", "rechazadas de nuevo")) data-allowed=(language.say("newly allowed", "permitidas de nuevo"))
            data-precision=(language.say("precision", "precisión")) data-recall=(language.say("recall", "exhaustividad"))
            data-newest=(language.say("of the newest", "de las últimas")) data-all=(language.say("of all", "de todas las"))
            data-decisions=(language.say("decisions", "decisiones")) data-failed=(language.say("The numbers cannot be had now.", "Los números no están disponibles ahora.")) {
            label for=(name) { (label) }
            input type="number" id=(name) name=(name) min="0" max="1" step="0.001" value=[(!is_coupled).then_some(&shown)]
                required[what != "context"] placeholder=[is_coupled.then(|| language.say("as above", "como arriba"))];
            p class="hint" { a href=(page) { (language.say("The numbers as a table", "Los números en una tabla")) } }
        }
    }
}
