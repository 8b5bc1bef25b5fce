//! What stands against an act of policy, in the words of whoever wanted it.

use crate::audit::act::Lack;
use crate::console::language::Language;
use crate::policy::desk::Objection;

/// What stands against it, and what to do.
pub(super) fn told(language: Language, objection: &Objection) -> String {
    if language == Language::En {
        return match objection {
            Objection::Overtaken => {
                "someone else acted at the same time; look at what is in force now, and try again".to_owned()
            }
            Objection::Store(_) => "the audit store does not answer, or does not hold what was signed".to_owned(),
            other => other.to_string(),
        };
    }
    match objection {
        Objection::Lack(Lack::Name) => "falta el nombre".to_owned(),
        Objection::Lack(Lack::Reason) => "falta el motivo".to_owned(),
        Objection::NewKey(key) => {
            format!("la clave {key} aún no ha firmado nada aquí; añádala a audit.trust de todos los proxies")
        }
        Objection::Share => "se espera un porcentaje de 0 a 100".to_owned(),
        Objection::NoTests(policy) => {
            format!("{policy} no tiene pruebas; antes hay que probar lo que debe y no debe hacer")
        }
        Objection::NoStable => {
            "aún no hay ninguna versión en vigor junto a la que pueda estar; promueva antes una para todas las conversaciones"
                .to_owned()
        }
        Objection::Broken(broken) => format!("la política no supera {} de sus propias pruebas", broken.len()),
        Objection::Unjudged(_) => "el modelo no pudo evaluar las pruebas de la política".to_owned(),
        Objection::InForce(version) => format!("v{version} ya está en vigor"),
        Objection::NothingWaits(_) => "nada espera aprobación".to_owned(),
        Objection::Otherwise(version, ..) => format!("v{version} con esta proporción no espera aprobación"),
        Objection::OwnProposal(by) => format!("{by} la propuso; debe aprobarla otra persona"),
        Objection::MadeByProposer(by) => {
            format!("{by} la propuso, y le dio a usted su cuenta, su papel o su contraseña; debe aprobarla otra persona")
        }
        Objection::NotHad(faults) => format!("la versión no se puede aprobar: {}", faults.join("; ")),
        Objection::NothingInForce => "no hay ninguna versión en vigor que retirar".to_owned(),
        Objection::First(version) => format!("v{version} es la primera versión; no hay ninguna anterior"),
        Objection::NoShadow => "no hay ninguna versión en la sombra".to_owned(),
        Objection::NotBefore(to, stable) => format!("v{to} no estuvo en vigor antes de v{stable}"),
        Objection::Overtaken => "otra persona actuó al mismo tiempo; mire lo que está en vigor e inténtelo de nuevo".to_owned(),
        Objection::Store(_) => "el registro de auditoría no responde, o no contiene lo que se firmó".to_owned(),
    }
}
