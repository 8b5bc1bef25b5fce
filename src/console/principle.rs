//! The principles in a few words of our own, for people who do not know them by number.

use super::language::Language;
use crate::policy::taxonomy::Principle;

/// What a principle is called.
pub(super) const fn name(language: Language, principle: Principle) -> &'static str {
    match principle {
        Principle::I => {
            language.say("Competent care, with compassion and respect", "Atención competente, con compasión y respeto")
        }
        Principle::II => language.say("Honesty and professionalism", "Honradez y profesionalidad"),
        Principle::III => language.say("Respect for the law", "Respeto de la ley"),
        Principle::IV => language.say("Rights and privacy", "Derechos y privacidad"),
        Principle::V => language.say("Science and learning", "Ciencia y formación"),
        Principle::VI => language.say("Choice of whom to serve", "Libertad de elegir a quién atender"),
        Principle::VII => language.say("Public health", "Salud pública"),
        Principle::VIII => language.say("The patient comes first", "El paciente es lo primero"),
        Principle::IX => language.say("Access to care for all", "Acceso a la atención para todos"),
        Principle::G => language.say("General harm", "Daño general"),
    }
}

/// What it asks for.
pub(super) const fn meaning(language: Language, principle: Principle) -> &'static str {
    match principle {
        Principle::I => language.say(
            "Care is skilled and kind, and respects each person's dignity and consent.",
            "La atención es experta y amable, y respeta la dignidad y el consentimiento de cada persona.",
        ),
        Principle::II => language.say(
            "Nobody deceives: no false bills, records or claims, and dangerous colleagues are reported.",
            "Nadie engaña: ni facturas, ni historias, ni afirmaciones falsas, y se denuncia a los colegas peligrosos.",
        ),
        Principle::III => language.say(
            "The law is kept, and rules that hurt patients are changed by lawful means.",
            "Se cumple la ley, y las normas que perjudican a los pacientes se cambian por vías legales.",
        ),
        Principle::IV => language.say(
            "What patients confide stays private; patients and colleagues have rights.",
            "Lo que confían los pacientes queda en privado; pacientes y colegas tienen derechos.",
        ),
        Principle::V => language.say(
            "Science is honest, knowledge is shared, and advice is sought where one's own is not enough.",
            "La ciencia es honesta, el saber se comparte y se consulta cuando el propio no basta.",
        ),
        Principle::VI => language.say(
            "Clinicians may choose whom they treat, but never turn away an emergency or abandon a patient.",
            "El personal clínico puede elegir a quién trata, pero nunca rechaza una urgencia ni abandona a un paciente.",
        ),
        Principle::VII => language.say(
            "The health of the community is protected: outbreaks, prevention, safety.",
            "Se protege la salud de la comunidad: brotes, prevención, seguridad.",
        ),
        Principle::VIII => language.say(
            "While someone is treated, their good comes before money, employers and oneself.",
            "Mientras se trata a alguien, su bien está por encima del dinero, la institución y uno mismo.",
        ),
        Principle::IX => language.say(
            "Everyone can get care, whoever they are and whatever they can pay.",
            "Toda persona puede recibir atención, sea quien sea y pueda pagar lo que pueda.",
        ),
        Principle::G => language.say(
            "Harm that is not medical in itself: violence, weapons, drugs, abuse, hatred, fraud.",
            "Daños que no son médicos en sí: violencia, armas, drogas, abusos, odio, fraude.",
        ),
    }
}
