//! The words of verdicts, as people say them: principles, types, directions, audiences, marks.

use super::language::Language;
use super::principle;
use crate::audit::label::Mark;
use crate::policy::taxonomy::{Principle, VIOLATION_TYPES};

/// A principle by its id, with what it is about.
pub(super) fn principle(language: Language, id: &str) -> String {
    match Principle::from_id(id) {
        Some(principle) => format!("{id} · {}", principle::name(language, principle)),
        None => id.to_owned(),
    }
}

/// A type by its id, with what it is.
pub(super) fn kind(language: Language, id: &str) -> String {
    let found = VIOLATION_TYPES.iter().zip(SPANISH).find(|(kind, _)| kind.id == id);
    found.map_or_else(|| id.to_owned(), |(kind, spanish)| format!("{id} · {}", language.say(kind.name, spanish)))
}

/// `prompt` or `completion`.
pub(super) fn direction(language: Language, id: &str) -> &str {
    match id {
        "prompt" => language.say("prompt", "mensaje"),
        "completion" => language.say("answer", "respuesta"),
        other => other,
    }
}

/// Who is served.
pub(super) fn audience(language: Language, id: &str) -> &str {
    match id {
        "patient" => language.say("patients", "pacientes"),
        "clinician" => language.say("clinicians", "personal clínico"),
        "staff" => language.say("staff", "administración"),
        "research" => language.say("research and teaching", "investigación y docencia"),
        other => other,
    }
}

/// What a reviewer says of a decision.
pub(super) const fn mark(language: Language, mark: Mark) -> &'static str {
    match mark {
        Mark::Correct => language.say("correct", "correcta"),
        Mark::OverBlocked => language.say("stopped wrongly", "detenida por error"),
        Mark::Missed => language.say("missed", "no detectada"),
    }
}

/// How much of a message was judged.
pub(super) fn scan(language: Language, id: &str) -> &str {
    match id {
        "full" => language.say("all of it", "todo"),
        "partial" => {
            language.say("not all: images, files or data were in it", "no todo: contenía imágenes, archivos o datos")
        }
        "none" => language.say("nothing: the model could not judge", "nada: el modelo no pudo evaluar"),
        other => other,
    }
}

/// What a judge model said, or why it said nothing.
pub(super) fn opinion(language: Language, id: &str) -> String {
    let said = match id {
        "violates" => language.say("the second model says that it violates", "el segundo modelo dice que infringe"),
        "harmless" => {
            language.say("the second model says that it is harmless", "el segundo modelo dice que es inofensivo")
        }
        "unsent" => language.say(
            "it was not shown to the second model, so that it counts as a violation",
            "no se mostró al segundo modelo, por lo que cuenta como infracción",
        ),
        other => {
            let why = other.strip_prefix("none_").unwrap_or(other);
            return format!(
                "{} ({why})",
                language.say("the second model said nothing", "el segundo modelo no dijo nada")
            );
        }
    };
    said.to_owned()
}

/// The types in Spanish, in the order of [`VIOLATION_TYPES`].
const SPANISH: [&str; VIOLATION_TYPES.len()] = [
    "Atención negligente o deliberadamente deficiente (sin exploración, sin comprobar alergias o interacciones, sin control de infecciones)",
    "Atención sin consentimiento informado, o contra una negativa o una voluntad anticipada",
    "Coacción, sujeción o sedación por comodidad o castigo",
    "Trato degradante, humillante o deshumanizante a pacientes",
    "Explotación sexual o romántica, transgresión de límites",
    "Participación en tortura, interrogatorio abusivo o ejecución",
    "Fraude de facturación y codificación (servicios inflados, ficticios o desglosados)",
    "Falsificar o antedatar historias, certificados o recetas",
    "Ocultar un error o evento adverso al paciente o a quienes lo revisan",
    "Afirmaciones engañosas, títulos falsos, testimonios o publicidad falsos",
    "Encubrir o tomar represalias: no comunicar a un colega incapaz, castigar a quien denuncia",
    "Comisiones ilícitas, reparto de honorarios, influencia oculta de la industria",
    "Prescripción ilegal o desvío de sustancias controladas, búsqueda de recetas",
    "Ejercicio sin licencia, evasión de licencias o acreditaciones",
    "Procedimientos o comercio ilegales (órganos, experimentación ilícita, trata)",
    "Eludir comunicaciones obligatorias o autoridades (maltrato, heridas de bala, citaciones, inspecciones)",
    "Uso de un producto no aprobado o retirado fuera de toda vía legal",
    "Revelar datos de salud sin autorización (prensa, empleador, familia, pareja)",
    "Curiosear: abrir historias sin relación asistencial",
    "Reidentificar o vincular datos anonimizados",
    "Venta o uso secundario de datos o tejidos sin consentimiento",
    "Usar datos de salud para dañar: chantaje, acecho, acoso",
    "Vulnerar derechos de colegas o personal: acoso, discriminación, chivos expiatorios",
    "Fabricación, falsificación o plagio en la investigación",
    "Ocultar o comunicar de forma selectiva resultados o riesgos",
    "Experimentar sin comité de ética o sin consentimiento",
    "Desinformación médica presentada como ciencia",
    "Ejercer más allá de la competencia, negarse a consultar, copiar en exámenes o formación",
    "Abandono: terminar la atención sin aviso ni alternativas",
    "Negar atención de urgencia, expulsar pacientes",
    "Rechazo discriminatorio de pacientes presentado como libre elección",
    "Coaccionar la elección del clínico (cuotas forzadas, represalias, cláusulas ilegales de no competencia)",
    "Forzar actos contra la conciencia, o usar la conciencia para impedir información",
    "Ocultar datos de enfermedades de declaración obligatoria o de brotes",
    "Socavar la vacunación o la prevención en la población",
    "Daño ambiental o por productos con ánimo de lucro (residuos, tabaco, promoción de opioides)",
    "Abuso de poderes en catástrofes o cuarentenas, especulación",
    "Bioseguridad: convertir el saber biomédico en arma",
    "Pruebas o procedimientos innecesarios por ingresos",
    "Anteponer la institución, el pagador, el patrocinador o a uno mismo al paciente",
    "Retener información importante, resultados o un tratamiento eficaz",
    "Explotar la vulnerabilidad (capacidad, demencia, dependencia, regalos, herencias)",
    "Dosis peligrosas o planes contraindicados pedidos como tales; envenenamiento, medicación encubierta",
    "Presionar hacia la muerte: eutanasia no voluntaria, retirada forzada",
    "Discriminación por un rasgo protegido o irrelevante",
    "Negar atención por capacidad de pago o seguro",
    "Barreras: idioma, discapacidad, situación migratoria, lugar",
    "Algoritmo sesgado o requisito hecho para excluir",
    "Saltarse la cola y reparto injusto de recursos escasos",
    "Violencia, armas, agentes químicos, biológicos, radiológicos o nucleares",
    "Facilitar el suicidio o la autolesión",
    "Síntesis o tráfico de drogas ilícitas",
    "Contenido sexual con menores, abuso infantil",
    "Odio y acoso",
    "Ciberdelito, manipulación de dispositivos o historias electrónicas",
    "Fraude, robo de identidad, desinformación fuera de la medicina",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_named_in_both_languages() {
        assert!(kind(Language::Es, "II.2").contains("antedatar") && kind(Language::En, "II.2").contains("backdating"));
        assert!(kind(Language::Es, "VIII.6").contains("muerte") && kind(Language::Es, "G.7").contains("identidad"));
        assert_eq!(kind(Language::En, "X.1"), "X.1");
        assert_eq!(principle(Language::Es, "IV"), "IV · Derechos y privacidad");
    }
}
