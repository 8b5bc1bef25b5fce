//! The vocabulary of verdicts: the nine AMA principles, general harm, and the violation types under them.
//!
//! Declared once. It drives the model's labels (checked against the manifest), policy files, headers, metrics and reports.

use std::fmt;

/// A principle of the AMA Principles of Medical Ethics (2001), or general harm outside medicine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Principle {
    /// Competent medical care, with compassion and respect for dignity and rights.
    I,
    /// Professionalism, honesty, reporting of deficient or deceptive physicians.
    II,
    /// Respect for the law, and work to change what harms patients.
    III,
    /// Rights of patients and colleagues; confidences and privacy.
    IV,
    /// Study, science, sharing of information, consultation.
    V,
    /// Freedom to choose whom to serve, except in emergencies.
    VI,
    /// Improvement of the community and public health.
    VII,
    /// Responsibility to the patient as paramount.
    VIII,
    /// Access to medical care for all people.
    IX,
    /// General harm: not medical in itself.
    G,
}

impl Principle {
    /// All principles, in the order of reports.
    pub const ALL: [Self; 10] =
        [Self::I, Self::II, Self::III, Self::IV, Self::V, Self::VI, Self::VII, Self::VIII, Self::IX, Self::G];

    /// The identifier used in policies, headers and metrics: `I` … `IX`, `G`.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::I => "I",
            Self::II => "II",
            Self::III => "III",
            Self::IV => "IV",
            Self::V => "V",
            Self::VI => "VI",
            Self::VII => "VII",
            Self::VIII => "VIII",
            Self::IX => "IX",
            Self::G => "G",
        }
    }

    /// The principle with its meaning, as it is told to an LLM.
    #[must_use]
    pub const fn means(self) -> &'static str {
        match self {
            Self::I => "principle I (competent care, with compassion and respect for human dignity and rights)",
            Self::II => {
                "principle II (professionalism and honesty, and the reporting of deficient or deceptive colleagues)"
            }
            Self::III => "principle III (respect for the law, and work to change what harms patients)",
            Self::IV => "principle IV (the rights of patients and colleagues, confidences and privacy)",
            Self::V => "principle V (science, learning, consultation, and information for patients and the public)",
            Self::VI => "principle VI (freedom to choose whom to serve, except in emergencies)",
            Self::VII => "principle VII (the improvement of the community and of public health)",
            Self::VIII => "principle VIII (responsibility to the patient as paramount)",
            Self::IX => "principle IX (access to medical care for all people)",
            Self::G => "which forbid harm to people",
        }
    }

    /// The principle's text, of 2001; of general harm, what it forbids.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::I => {
                "A physician shall be dedicated to providing competent medical care, with compassion and respect for human dignity and rights."
            }
            Self::II => {
                "A physician shall uphold the standards of professionalism, be honest in all professional interactions, and strive to report physicians deficient in character or competence, or engaging in fraud or deception, to appropriate entities."
            }
            Self::III => {
                "A physician shall respect the law and also recognize a responsibility to seek changes in those requirements which are contrary to the best interests of the patient."
            }
            Self::IV => {
                "A physician shall respect the rights of patients, colleagues, and other health professionals, and shall safeguard patient confidences and privacy within the constraints of the law."
            }
            Self::V => {
                "A physician shall continue to study, apply, and advance scientific knowledge, maintain a commitment to medical education, make relevant information available to patients, colleagues, and the public, obtain consultation, and use the talents of other health professionals when indicated."
            }
            Self::VI => {
                "A physician shall, in the provision of appropriate patient care, except in emergencies, be free to choose whom to serve, with whom to associate, and the environment in which to provide medical care."
            }
            Self::VII => {
                "A physician shall recognize a responsibility to participate in activities contributing to the improvement of the community and the betterment of public health."
            }
            Self::VIII => {
                "A physician shall, while caring for a patient, regard responsibility to the patient as paramount."
            }
            Self::IX => "A physician shall support access to medical care for all people.",
            Self::G => {
                "Nobody shall be helped to harm people: by violence, weapons, poison or drugs, by abuse, hatred or harassment, by fraud, or by tampering with devices and records."
            }
        }
    }

    /// The principle with this identifier.
    #[must_use]
    pub fn from_id(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|principle| principle.id() == id)
    }
}

impl fmt::Display for Principle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

/// A way of violating a principle, the finest label that the model gives.
#[derive(Debug, PartialEq, Eq)]
pub struct ViolationType {
    /// The principle that it violates.
    pub principle: Principle,
    /// The identifier, `I.1` … `G.7`.
    pub id: &'static str,
    /// What it is, in a few words.
    pub name: &'static str,
}

const fn of(principle: Principle, id: &'static str, name: &'static str) -> ViolationType {
    ViolationType { principle, id, name }
}

/// Every violation type, in the order of the model's outputs.
///
/// The taxonomy's `M` types (manipulation) are not here: they are ways of asking, orthogonal to what is asked.
pub static VIOLATION_TYPES: [ViolationType; 56] = [
    of(
        Principle::I,
        "I.1",
        "Negligent or deliberately substandard care (skip exam, allergy/interaction checks, infection control)",
    ),
    of(Principle::I, "I.2", "Care without informed consent / overriding refusal or advance directive"),
    of(Principle::I, "I.3", "Coercion, restraint or sedation for convenience or punishment"),
    of(Principle::I, "I.4", "Demeaning, humiliating or dehumanising conduct toward patients"),
    of(Principle::I, "I.5", "Sexual or romantic exploitation / boundary violation"),
    of(Principle::I, "I.6", "Participation in torture, abusive interrogation, execution"),
    of(Principle::II, "II.1", "Billing and coding fraud (upcoding, phantom services, unbundling)"),
    of(Principle::II, "II.2", "Falsifying or backdating records, certificates, prescriptions"),
    of(Principle::II, "II.3", "Concealing error or adverse event from patient or reviewers"),
    of(Principle::II, "II.4", "Deceptive claims, false credentials, fake testimonials or advertising"),
    of(
        Principle::II,
        "II.5",
        "Shielding or retaliating: not reporting impaired/incompetent colleague, punishing whistle-blower",
    ),
    of(Principle::II, "II.6", "Kickbacks, fee splitting, undisclosed industry influence"),
    of(Principle::III, "III.1", "Illegal prescribing / diversion of controlled drugs, doctor shopping"),
    of(Principle::III, "III.2", "Unlicensed practice, evading licensure or credentialing"),
    of(Principle::III, "III.3", "Illegal procedures or trade (organ trade, unlawful experimentation, trafficking)"),
    of(Principle::III, "III.4", "Evading mandatory reports or regulators (abuse, gunshot, subpoena, inspection)"),
    of(Principle::III, "III.5", "Using unapproved or recalled product outside any lawful route"),
    of(Principle::IV, "IV.1", "Disclosure of PHI without authority (media, employer, family, partner)"),
    of(Principle::IV, "IV.2", "Snooping: opening records with no treatment relationship"),
    of(Principle::IV, "IV.3", "Re-identification or linkage of de-identified data"),
    of(Principle::IV, "IV.4", "Sale or secondary use of data or tissue without consent"),
    of(Principle::IV, "IV.5", "Using PHI to harm: blackmail, stalking, harassment"),
    of(Principle::IV, "IV.6", "Violating rights of colleagues or staff: harassment, discrimination, scapegoating"),
    of(Principle::V, "V.1", "Fabrication, falsification, plagiarism in research"),
    of(Principle::V, "V.2", "Suppressing or selectively reporting results or risks"),
    of(Principle::V, "V.3", "Experimenting without IRB or participant consent"),
    of(Principle::V, "V.4", "Medical misinformation presented as science"),
    of(Principle::V, "V.5", "Practising beyond competence, refusing consultation, cheating CME or exams"),
    of(Principle::VI, "VI.1", "Abandonment: terminating care without notice or alternatives"),
    of(Principle::VI, "VI.2", "Refusing emergency care / EMTALA dumping"),
    of(Principle::VI, "VI.3", "Invidious refusal of patients presented as free choice"),
    of(
        Principle::VI,
        "VI.4",
        "Coercing clinicians' choice of patient, associate or setting (forced quotas, retaliation, illegal non-competes)",
    ),
    of(Principle::VI, "VI.5", "Forcing acts against conscience, or conscience used to block information"),
    of(Principle::VII, "VII.1", "Suppressing notifiable disease or outbreak data"),
    of(Principle::VII, "VII.2", "Undermining vaccination or prevention at population level"),
    of(Principle::VII, "VII.3", "Environmental or product harm for profit (waste, tobacco, opioid marketing)"),
    of(Principle::VII, "VII.4", "Misuse of disaster or quarantine powers, profiteering"),
    of(Principle::VII, "VII.5", "Biosecurity: weaponising biomedical knowledge"),
    of(Principle::VIII, "VIII.1", "Unnecessary tests or procedures for revenue"),
    of(Principle::VIII, "VIII.2", "Putting institution, payer, sponsor or self above the patient"),
    of(Principle::VIII, "VIII.3", "Withholding material information, test results or effective treatment"),
    of(Principle::VIII, "VIII.4", "Exploiting vulnerability (capacity, dementia, dependency, gifts, inheritance)"),
    of(
        Principle::VIII,
        "VIII.5",
        "Dangerous dosing or contraindicated plan requested as such; poisoning / covert medication",
    ),
    of(Principle::VIII, "VIII.6", "Pressuring death: non-voluntary euthanasia, coerced withdrawal"),
    of(Principle::IX, "IX.1", "Discrimination by protected or irrelevant trait"),
    of(Principle::IX, "IX.2", "Denying care by ability to pay or insurance"),
    of(Principle::IX, "IX.3", "Barriers: language, disability, immigration status, location"),
    of(Principle::IX, "IX.4", "Biased algorithm or eligibility rule built to exclude"),
    of(Principle::IX, "IX.5", "Queue-jumping and unfair allocation of scarce resources"),
    of(Principle::G, "G.1", "Violence, weapons, CBRN"),
    of(Principle::G, "G.2", "Suicide / self-harm facilitation (route to crisis text, never plain block)"),
    of(Principle::G, "G.3", "Illicit drug synthesis or trafficking"),
    of(Principle::G, "G.4", "Sexual content with minors / child abuse"),
    of(Principle::G, "G.5", "Hate and harassment"),
    of(Principle::G, "G.6", "Cybercrime, device or EHR tampering"),
    of(Principle::G, "G.7", "Fraud, identity theft, disinformation outside medicine"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_stands_under_its_principle() {
        for kind in &VIOLATION_TYPES {
            let (family, _) = kind.id.split_once('.').unwrap();
            assert_eq!(Principle::from_id(family), Some(kind.principle), "{}", kind.id);
        }
        for principle in Principle::ALL {
            assert!(VIOLATION_TYPES.iter().any(|kind| kind.principle == principle));
        }
    }
}
