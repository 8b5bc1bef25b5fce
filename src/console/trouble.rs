//! What keeps a visitor from a page, each with its status and its words.

use super::account::Role;
use super::language::Language;
use crate::audit::store::Fault;
use http::StatusCode;
use std::time::Duration;

/// Why there is no page.
#[derive(Debug)]
pub enum Trouble {
    /// There is nothing at this place.
    NotFound,
    /// It is there, and is not asked for so.
    Method,
    /// Who asks may not see it; this role may.
    Forbidden(Role),
    /// What was sent is wrong, in words for whoever sent it.
    BadInput(String),
    /// What was sent is no form.
    NoForm,
    /// What was sent is too large.
    TooLarge,
    /// Another site had it sent, or the page that it comes from is of a session that has ended.
    OtherSite,
    /// Too many tried to sign in; they may again after this time.
    Limited(Duration),
    /// Too much is asked at once.
    Busy,
    /// There is no audit store.
    NoStore,
    /// The audit store failed.
    Store(Fault),
    /// Something else failed: for the log, and never for the page.
    Failed(String),
}

impl Trouble {
    /// The status of the answer.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Forbidden(_) | Self::OtherSite => StatusCode::FORBIDDEN,
            Self::BadInput(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::NoForm => StatusCode::BAD_REQUEST,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Limited(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Busy | Self::NoStore | Self::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// After how many seconds trying again helps.
    #[must_use]
    pub fn retry_after(&self) -> Option<u64> {
        match self {
            Self::Limited(after) => Some(after.as_secs().max(1)),
            Self::Busy | Self::Store(_) => Some(5),
            _ => None,
        }
    }

    /// Its title, and what to do.
    #[must_use]
    pub fn told(&self, language: Language) -> (String, String) {
        let (title, text) = match self {
            Self::NotFound => (
                language.say("There is no such page", "Esta página no existe"),
                language.say("It may have been removed, or the address is wrong.", "Puede que se haya eliminado, o que la dirección esté mal."),
            ),
            Self::Method => (
                language.say("This is not asked for so", "Esto no se pide así"),
                language.say("Go back, and use the buttons of the page.", "Vuelva atrás y use los botones de la página."),
            ),
            Self::Forbidden(role) => return forbidden(*role, language),
            Self::BadInput(what) => {
                return (language.say("Please correct what you sent", "Corrija lo que envió").to_owned(), what.clone());
            }
            Self::NoForm => (
                language.say("What was sent cannot be read", "No se puede leer lo que se envió"),
                language.say("Go back, and send the form again.", "Vuelva atrás y envíe el formulario de nuevo."),
            ),
            Self::TooLarge => (
                language.say("That is too much", "Es demasiado"),
                language.say("A form may have 256 KiB. Send less.", "Un formulario puede tener 256 KiB. Envíe menos."),
            ),
            Self::OtherSite => (
                language.say("This page is too old", "Esta página es demasiado antigua"),
                language.say(
                    "It comes from a session that has ended, or from another site. Go back, load it again, and send it once more.",
                    "Procede de una sesión terminada o de otro sitio. Vuelva atrás, cárguela de nuevo y envíela otra vez.",
                ),
            ),
            Self::Limited(after) => return limited(*after, language),
            Self::Busy => (
                language.say("Too much is going on", "Hay demasiada actividad"),
                language.say("Try again in a moment.", "Inténtelo de nuevo en un momento."),
            ),
            Self::NoStore => (
                language.say("No decisions are kept", "No se guardan decisiones"),
                language.say(
                    "The console shows what is kept in the audit store, and there is none. Ask whoever runs nonnocere to set audit.url in its configuration, to a SQLite file or a PostgreSQL database.",
                    "La consola muestra lo que se guarda en el registro de auditoría, y no hay ninguno. Pida a quien administra nonnocere que defina audit.url en su configuración: un archivo SQLite o una base de datos PostgreSQL.",
                ),
            ),
            Self::Store(_) => (
                language.say("The audit store does not answer", "El registro de auditoría no responde"),
                language.say("Try again in a moment. What went wrong is in the log.", "Inténtelo de nuevo en un momento. El error consta en el registro del servidor."),
            ),
            Self::Failed(_) => (
                language.say("Something went wrong", "Algo salió mal"),
                language.say("What went wrong is in the log. Try again.", "El error consta en el registro del servidor. Inténtelo de nuevo."),
            ),
        };
        (title.to_owned(), text.to_owned())
    }
}

fn forbidden(role: Role, language: Language) -> (String, String) {
    let name = role.name(language);
    let text = match language {
        Language::En => format!("It needs the role {name}. An administrator can give it to you."),
        Language::Es => format!("Se necesita el rol {name}. Un administrador puede dárselo."),
    };
    (language.say("You may not do this", "No tiene permiso").to_owned(), text)
}

fn limited(after: Duration, language: Language) -> (String, String) {
    let minutes = after.as_secs().div_ceil(60).max(1);
    let text = match language {
        Language::En => format!("There were too many attempts. Try again in {minutes} min."),
        Language::Es => format!("Hubo demasiados intentos. Inténtelo de nuevo en {minutes} min."),
    };
    (language.say("Please wait", "Espere un momento").to_owned(), text)
}

impl From<Fault> for Trouble {
    fn from(fault: Fault) -> Self {
        Self::Store(fault)
    }
}
