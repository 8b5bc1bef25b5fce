use super::*;
use proptest::prelude::*;

#[track_caller]
fn spans(text: &str, expected: &[(Kind, &str)]) {
    let found: Vec<(Kind, &str)> =
        find(text).into_iter().filter_map(|span| Some((span.kind, text.get(span.range)?))).collect();
    assert_eq!(found, expected, "{text}");
}

#[test]
fn each_kind_is_found() {
    spans("DOB: 4/12/1956, seen March 3, 2021", &[(Kind::Date, "4/12/1956"), (Kind::Date, "March 3, 2021")]);
    spans("a 94-year-old, and he is ninety-two", &[(Kind::Age, "94"), (Kind::Age, "ninety-two")]);
    spans("call (614) 555-0142, fax 614-555-0143", &[(Kind::Phone, "(614) 555-0142"), (Kind::Fax, "614-555-0143")]);
    spans("mail me at j.smith@clinic.org", &[(Kind::Email, "j.smith@clinic.org")]);
    spans("SSN 987-65-4321; MRN: 0048-71-226", &[(Kind::Ssn, "987-65-4321"), (Kind::Mrn, "0048-71-226")]);
    spans("Member ID XQB 8841 07735 02.", &[(Kind::Plan, "XQB 8841 07735 02")]);
    spans("account 77-310456-2", &[(Kind::Account, "77-310456-2")]);
    spans("NPI 1457389999, DEA# AB1234563", &[(Kind::Licence, "1457389999"), (Kind::Licence, "AB1234563")]);
    spans("VIN 1M8GDM9AXKP042788", &[(Kind::Vehicle, "1M8GDM9AXKP042788")]);
    spans("serial PJN4402187S", &[(Kind::Device, "PJN4402187S")]);
    spans("see https://portal.example.org/u/nk88.", &[(Kind::Url, "https://portal.example.org/u/nk88")]);
    spans("from 192.168.4.17 and 2001:db8::7", &[(Kind::Ip, "192.168.4.17"), (Kind::Ip, "2001:db8::7")]);
    spans("fingerprint template FP-88213", &[(Kind::Biometric, "FP-88213")]);
    spans("Accession: S23-018842", &[(Kind::Other, "S23-018842")]);
    spans("medical record four four one seven two nine", &[(Kind::Mrn, "four four one seven two nine")]);
}

#[test]
fn measures_scores_and_codes_are_no_identifiers() {
    for text in [
        "BP 120/80, HR 58, SpO2 97% RA, wt 91.4 kg, T 36.8, RR 18",
        "K 4.4, Cr 1.2, BNP 212 (prior 480), TSH 2.1, A1c 7.9, WBC 7.2, plt 221, INR 1.0",
        "GCS 15, pain 2/10, strength 5/5, MoCA 27/30, CURB-65 score 2, Apgar 8/9, Katz 5/6, 2/6 murmur",
        "ICD-10 K21.9, CPT 99024, LOINC 4548-4, SNOMED 413448000, NDC 0904-6773-24, NDC 00093-1234-01",
        "metoprolol 25 to 50 mg BID, sacubitril/valsartan 49/51, co-careldopa 25/100, insulin 22 units",
        "3.5 x 2.1 cm, 45-50%, 4-5 small meals, q4-5 min, 1-2 pillows, 10-14 days, 1:40 titre",
        "RxNorm 7980, ICD-O 8500/3, HCPCS J1885, DRG 291, CVX 208, OID 2.16.840.1.113883.19.5",
        "a 67-year-old with a 10 year history, day 5, POD 24, G2P1 at 38+4, visit 6 of 12, room 6",
        "sat 94 on room air, O2 is 93%, FHR 142, EF 55-60%, 95 kg, 98.6 F, 90 mL/min, age 67, for 95 minutes",
        "staples out today 12/12, Cr 0.81 mg/dL (0.50-1.10), sodium 136-145 mmol/L, 70-99",
        "may 5 mg be enough? she may 2 times a day. March on. In 2019 he had stents, since 2020 on HD.",
        "Plan: 3 months. Group therapy 2 times a week. Policy of 30 days. Case 3. Study of 120 patients.",
        "methylpred 500-250-125, ciprofloxacin 500 mg #20, 0.9% NaCl 1000 mL at 125 mL/h, 1,200 kcal, 4,000 U",
        "call 911 or 988; PHQ-9 17, GAD-7 14; version 2.5.1.3; 12:30:45; section 164.514",
        "mean 12.4 (SD 3.1), OR 1.25 (95% CI 1.10-1.42), p < 0.001, n = 12345 patients, 10.8 to 12.1",
    ] {
        spans(text, &[]);
    }
}

#[test]
fn hl7_fields_are_read() {
    let text = "PID|1||7720194^^^MCM^MR||DOE^JANE^A||19560412|F|||12 Elm St^^Duluth^MN^55803";
    spans(
        text,
        &[
            (Kind::Mrn, "7720194"),
            (Kind::Name, "DOE^JANE^A"),
            (Kind::Date, "19560412"),
            (Kind::Place, "12 Elm St^^Duluth^MN^55803"),
        ],
    );
}

#[test]
fn fhir_keys_are_read() {
    let text = r#"{"resourceType": "Patient", "name": [{"family": "Zzyx", "given": ["Jane"]}],
        "identifier": [{"system": "http://hl7.org/fhir/sid/us-ssn", "value": "987654325"}], "birthDate": "1994-12-30"}"#;
    spans(text, &[(Kind::Name, "Zzyx"), (Kind::Name, "Jane"), (Kind::Ssn, "987654325"), (Kind::Date, "1994-12-30")]);
}

#[test]
fn the_work_is_linear() {
    for unit in [
        "1-", "a.b@", "Jane ", "[", "[\"a\",", "(614) ", "http://", "ID ", "MRN: ", "12 Elm ", "May ", "A. ", "^|~",
        "five ",
    ] {
        let started = std::time::Instant::now();
        let spans = find(&unit.repeat(400_000 / unit.len()));
        assert!(spans.len() <= 400_000);
        assert!(started.elapsed().as_secs() < 60, "{unit}: {:?}", started.elapsed());
    }
}

proptest! {
    #[test]
    fn spans_are_in_order_and_on_characters(text in "[A-Za-z0-9 .,:/@^|\\-'é\n]{0,200}|\\PC{0,80}") {
        let mut end = 0;
        for span in find(&text) {
            prop_assert!(span.range.start >= end && span.range.start < span.range.end);
            prop_assert!(text.get(span.range.clone()).is_some());
            end = span.range.end;
        }
    }
}
