use super::super::{Kind, find};

#[track_caller]
fn names(text: &str, expected: &[&str]) {
    let found: Vec<&str> =
        find(text).into_iter().filter(|span| span.kind == Kind::Name).filter_map(|span| text.get(span.range)).collect();
    assert_eq!(found, expected, "{text}");
}

#[test]
fn names_behind_cues() {
    names("Seen by Dr. Priya Raghunathan today.", &["Priya Raghunathan"]);
    names("my name is tunde okafor and i have a rash", &["tunde okafor"]);
    names("my husband Carlos has a fever", &["Carlos"]);
    names("Dr. Young and Mrs. Hope Long agreed.", &["Young", "Hope Long"]);
    names("dr patel said its fine", &["patel"]);
    names("Best,\nIkaika", &["Ikaika"]);
    names("Patient: DOE, JANE A   MRN", &["DOE, JANE A"]);
    names("cc: Ottoline Baptiste-Reyes", &["Ottoline Baptiste-Reyes"]);
}

#[test]
fn names_without_cues() {
    names("Yesterday Siobhan O'Hanlon came in.", &["Siobhan O'Hanlon"]);
    names("K. Oyelaran, MD", &["K. Oyelaran"]);
    names("We asked Will about it.", &["Will"]);
}

#[test]
fn parts_of_a_name_are_found_again() {
    names("Mr. Tobias Wexcombe is here. Wexcombe says he is well.", &["Tobias Wexcombe", "Wexcombe"]);
}

#[test]
fn eponyms_drugs_and_words_are_no_names() {
    for text in [
        "Parkinson disease, Hoehn and Yahr stage 1.5, no Foley, Down syndrome.",
        "Crohn's flare; Addison disease; Cushing syndrome; Graves ophthalmopathy; Bell's palsy",
        "Apgar 8/9, Glasgow Coma Scale 15, Braden 18, Babinski negative, Murphy's sign absent",
        "May be discharged. Will follow up. Hope this helps. Mark the site. Bill the payer. Long history of pain.",
        "The Dr. on call can be reached through the operator.",
        "Start Eliquis 5 mg, Lantus 20 units and Synthroid 50 mcg.",
        "Hepatitis B negative. Vitamin D low. Wilson disease unlikely. Barrett's esophagus. Chiari malformation.",
        "Nurse will call. Patient denies pain. Doctor Appointment Reminder. Call the Nurse Practitioner.",
        "White male, Black coffee, Brown recluse bite, Gram stain, Jackson-Pratt drain, Swan-Ganz catheter",
        "He rose early in the summer, at dawn, with faith and grace; the bill will be long.",
    ] {
        names(text, &[]);
    }
}
