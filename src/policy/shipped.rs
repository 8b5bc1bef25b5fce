//! The policies inside the binary, which others can extend by name.

/// A policy inside the binary.
#[derive(Debug, PartialEq, Eq)]
pub struct Shipped {
    /// Its name, in configurations and in `extends`.
    pub name: &'static str,
    /// Where its text stands in the project.
    pub file: &'static str,
    /// Its text.
    pub text: &'static str,
}

/// What holds where nobody says otherwise.
pub static DEFAULT: &Shipped = {
    let [first, ..] = &ALL;
    first
};

/// All of them.
pub static ALL: [Shipped; 5] = [
    Shipped { name: "ama", file: "policies/ama.toml", text: include_str!("../../policies/ama.toml") },
    Shipped { name: "patient", file: "policies/patient.toml", text: include_str!("../../policies/patient.toml") },
    Shipped { name: "clinician", file: "policies/clinician.toml", text: include_str!("../../policies/clinician.toml") },
    Shipped { name: "research", file: "policies/research.toml", text: include_str!("../../policies/research.toml") },
    Shipped { name: "shadow", file: "policies/shadow.toml", text: include_str!("../../policies/shadow.toml") },
];

/// The one of this name.
#[must_use]
pub fn named(name: &str) -> Option<&'static Shipped> {
    ALL.iter().find(|shipped| shipped.name == name)
}
