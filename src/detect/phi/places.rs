//! Parts of a country that are smaller than a state: streets, towns, counties, postal codes, institutions by their names.

use super::dates::{captures, pattern};
use super::lexicon::{CITY, FAMILY, FINDING, GIVEN, LIVES, NAME, ORDINARY, OTHER, STATE};
use super::words::{Shape, Word, before};
use super::{Kind, Span};
use regex::Regex;
use std::ops::Range;
use std::sync::LazyLock;

type Pattern = LazyLock<Option<Regex>>;

const STATES: &str = r"(?:A[LKZR]|C[AOT]|D[CE]|FL|GA|HI|I[DLNA]|K[SY]|LA|M[EDAINSOT]|N[EVHJMYCD]|O[HKR]|P[AR]|RI|S[CD]|T[NX]|UT|V[TA]|W[AVIY]|ON|QC|BC|AB|NSW|VIC|QLD)";
const NAMED: &str = r"(?:Alabama|Alaska|Arizona|Arkansas|California|Colorado|Connecticut|Delaware|Florida|Georgia|Hawaii|Idaho|Illinois|Indiana|Iowa|Kansas|Kentucky|Louisiana|Maine|Maryland|Massachusetts|Michigan|Minnesota|Mississippi|Missouri|Montana|Nebraska|Nevada|New (?:Hampshire|Jersey|Mexico|York)|North (?:Carolina|Dakota)|Ohio|Oklahoma|Oregon|Pennsylvania|Rhode Island|South (?:Carolina|Dakota)|Tennessee|Texas|Utah|Vermont|Virginia|Washington|West Virginia|Wisconsin|Wyoming|Ontario|Quebec)";
const ZIP: &str =
    r"(?:[0-9OlI]{5}(?:-[0-9]{4})?\b|[A-Z][0-9][A-Z] ?[0-9][A-Z][0-9]\b|[A-Z]{1,2}[0-9][0-9A-Z]? [0-9][A-Z]{2}\b)";
const WAY: &str = r"(?:Street|Str|St|Avenue|Ave|Av|Road|Rd|Lane|Ln|Drive|Dr|Boulevard|Blvd|Court|Ct|Way|Place|Pl|Terrace|Terr|Ter|Passage|Circle|Cir|Highway|Hwy|Parkway|Pkwy|Square|Sq|Trail|Trl|Close|Crescent|Cres|Row|Walk|Alley|Loop|Pike|Turnpike|Path|Run|Ridge|Hollow|Bend|Crossing|Point|Plaza|Mews|Grove|Gardens|Hill|Heights|Broadway)";
const CITY_NAME: &str = r"[A-Z][\p{L}'’.-]+(?: (?:de |del |of |la |the )?[A-Z][\p{L}'’.-]+){0,3}";

fn exact(text: &str) -> Option<Regex> {
    Regex::new(&text.replace(r"\b", r"(?-u:\b)")).ok()
}

/// What may follow a street: a flat, a town, a state, a postal code.
fn rest() -> String {
    let unit = r"(?:,? (?i:Apt|Apartment|Unit|Suite|Ste|Flat|Floor|Fl|Rm|Room|Lot|Bldg|Building|No|Trlr|Box)\b\.? ?#?[0-9A-Za-z-]{1,6}|,? #[0-9A-Za-z-]{1,6})";
    let state = format!(r"(?:,? (?:{STATES}\b|{NAMED}\b)\.?)");
    let direction = r"(?:,? (?:N|S|E|W|NE|NW|SE|SW)\b\.?)";
    format!(
        r"(?:{direction})?(?:{unit}){{0,2}}(?:(?:, ?|\n| )(?:{CITY_NAME}{state}(?:,? {ZIP})?|{CITY_NAME},? {ZIP}|(?:{ZIP}))|, {CITY_NAME}(?:,? {NAMED})?)?"
    )
}

static STREET: Pattern = LazyLock::new(|| {
    let number = r"[0-9OlI]{1,6}[A-Za-z]?(?:[-/][0-9]{1,4})?";
    let word = r"(?:[A-Z][\p{L}0-9'’.-]*|[0-9]{1,3}(?:st|nd|rd|th)|de|la|of|the)";
    let title = format!(
        r"\b{number},? (?P<name>(?:[NSEW]\.? |NE |NW |SE |SW )?(?:{word} ){{1,4}}(?:{WAY}\b|(?i:{WAY})\b)\.?){}",
        rest()
    );
    let loud = format!(r"\b{number},? (?P<loud>(?:[A-Z0-9][A-Z0-9'.-]* ){{1,4}}(?i:{WAY})\b\.?){}", rest());
    exact(&format!("{title}|{loud}"))
});

/// In small letters, as people write in chats.
static PLAIN_STREET: Pattern = LazyLock::new(|| {
    pattern(
        r"\b[0-9]{1,5} (?:(?:north|south|east|west|n|s|e|w)\.? )?(?:[a-z'-]{2,16} ){1,2}(?:street|st|avenue|ave|road|rd|lane|ln|boulevard|blvd|drive|court|row|place|terrace)\b(?:,? (?:apt|apartment|unit|#)\.? ?[0-9a-z-]{1,5})?(?:,? [a-z]{3,16},? (?:a[lkzr]|c[ao]|ct|fl|ga|i[dl]|k[sy]|m[dint]|n[cdhjmvy]|oh|pa|ri|s[cd]|t[nx]|ut|v[at]|w[aivy])(?: [0-9]{5})?\b)?",
    )
});

/// A street without a number, behind a word that says where.
static STREET_NAME: Pattern = LazyLock::new(|| {
    exact(
        r"(?:^|[ (,\n])(?P<value>(?:[A-Z][\p{L}'’.-]+ ){1,3}(?:Street|Avenue|Ave|Road|Rd|Lane|Drive|Boulevard|Blvd|Terrace|Highway|Hwy|Parkway|Crescent)\b)|\b(?P<corner>(?:[0-9]{1,3}(?:st|nd|rd|th)|[A-Z][a-z]+) (?:and|&) (?:[0-9]{1,3}(?:st|nd|rd|th)\b|[A-Z][a-z]+ (?:Streets?|St|Avenues?|Ave)\b)|[0-9]{1,3}(?:st|nd|rd|th) (?:and|&) [A-Z][a-z]+)",
    )
});

static ABROAD: Pattern = LazyLock::new(|| {
    exact(
        r"\b(?:[A-ZÄÖÜ][\p{L}-]+(?:straße|strasse|str\.|gasse|weg|platz|allee|gatan|vägen|gata|laan|straat|utca)|(?:Rue|rue|Calle|calle|Via|Viale|Avenida|Av\.|Rua|Carrer|Plaza|Paseo|Jalan|Ulica|ul\.|Boulevard|Place) (?:de |del |de la |des |du |della |d['’])?[A-Z][\p{L}'’-]+(?: [A-Z][\p{L}'’-]+){0,2})(?:,? (?:No\. ?|n[°º] ?)?[0-9]{1,5}[a-z]?\b)?(?:, ?(?:[A-Z]{1,2}-)?[0-9]{4,5} [A-Z][\p{L}-]+)?|\b[0-9]{1,4},? (?:bis |ter )?(?:rue|avenue|boulevard|place|chemin|via|calle) (?:de |du |des |de la |d['’])?[A-Z][\p{L}'’-]+(?:[ -][A-Z][\p{L}'’-]+){0,2}(?:, ?[0-9]{5} [A-Z][\p{L}-]+)?",
    )
});

static BOX: Pattern = LazyLock::new(|| {
    exact(&format!(
        r"\b(?:(?i:P\.? ?O\.? ?Box|Postfach) ?#?[0-9]{{1,6}}\b|(?i:RR|Rural Route) ?#?[0-9]{{1,3}},? Box [0-9]{{1,5}}\b){}",
        rest()
    ))
});

/// A town and a state, perhaps with a postal code.
static TOWN: Pattern = LazyLock::new(|| {
    exact(&format!(r"\b(?P<city>{CITY_NAME}),? (?:(?P<short>{STATES})|(?P<state>{NAMED}))\b\.?(?P<zip>,? {ZIP})?"))
});

static CODE: Pattern = LazyLock::new(|| {
    exact(
        r"(?i:\b(?:zip|zip ?code|postal ?code|postcode|plz)\b)(?i: is| code)?[:= ]{1,3}(?P<value>[0-9]{5}(?:-[0-9]{4})?\b|[A-Z0-9]{2,4} ?[A-Z0-9]{3}\b|[0-9]{4}\b)|\b(?P<post>(?:[A-PR-UWYZ][0-9]{1,2}|[A-PR-UWYZ][A-HK-Y][0-9]{1,2}|[A-PR-UWYZ]{1,2}[0-9][A-Z]) [0-9][ABD-HJLNP-UW-Z]{2}|[ABCEGHJ-NPR-TVXY][0-9][A-Z] [0-9][A-Z][0-9])\b",
    )
});

static COUNTY: Pattern = LazyLock::new(|| {
    exact(
        r"\b(?P<value>[A-Z][\p{L}'’.-]+(?: [A-Z][\p{L}'’-]+)? (?:County|Parish|Township|Borough|Precinct|Reservation)\b)|\b(?i:city|town|village|county|township) of (?P<of>[A-Z][\p{L}'’-]+(?: [A-Z][\p{L}'’-]+)?)",
    )
});

static HOUSE: Pattern = LazyLock::new(|| {
    exact(
        r"\b(?P<value>(?:(?:St|Mt|Ft)\. )?[A-Z][\p{L}'’.-]+(?: (?:and|of|de|the|at) [A-Z][\p{L}'’.-]+| [A-Z][\p{L}'’.-]+){0,4}? (?:Hospital|Medical Cent(?:er|re)|Clinic|Health Cent(?:er|re)|Infirmary|Nursing Home|Surgery|Practice|Hospice|Care Home|Nursing Cent(?:er|re)|Assisted Living|Rehabilitation Cent(?:er|re)|Rehab|Surgery Cent(?:er|re)|Cancer Cent(?:er|re)|Manor|Elementary|High School|Middle School|Elementary School|School|University|College|Pharmacy|Klinikum|Community Cent(?:er|re)|Senior Living|Retirement Village|Health System|Health Services)\b)",
    )
});

/// All of them.
pub(super) fn find(text: &str, words: &[Word<'_>]) -> Vec<Span> {
    let mut found: Vec<Range<usize>> = Vec::new();
    let known = |pattern: &'static Pattern| {
        captures(pattern, text)
            .filter_map(|all| all.get(0))
            .map(|all| (all.start()..all.start() + all.as_str().trim_end().len(), all.as_str()))
    };
    let streets = known(&STREET).chain(known(&PLAIN_STREET).filter(|(_, written)| is_street(written)));
    found.extend(streets.map(|(range, _)| range));
    found.extend(known(&ABROAD).chain(known(&BOX)).map(|(range, _)| range));
    for street in captures(&STREET_NAME, text) {
        found.extend(street.name("corner").map(|corner| corner.range()));
        // "He went Down The Road" begins with words that are no part of it.
        let own = |value: regex::Match<'_>| {
            let inside = within(words, &value.range());
            let skip = inside.iter().take_while(|word| word.is(ORDINARY) && !word.is(NAME)).count();
            let cued =
                ["on ", "at ", "near ", "off "].iter().any(|word| before(text, value.start(), 5).ends_with(word));
            if skip + 1 >= inside.len() && !cued {
                return None;
            }
            let kept = inside.get(if skip + 1 < inside.len() { skip } else { 0 }..)?;
            (kept.len() > 1).then_some(kept.first()?.range.start..value.end())
        };
        found.extend(street.name("value").and_then(own));
    }
    found.extend(
        captures(&CODE, text).filter_map(|all| all.name("value").or(all.name("post"))).map(|code| code.range()),
    );
    for town in captures(&TOWN, text) {
        let (Some(city), Some(all)) = (town.name("city"), town.get(0)) else { continue };
        let short = town.name("short").filter(|_| town.name("zip").is_none()).map(|short| short.as_str());
        if let Some(start) =
            town_start(text, words, city.range()).filter(|start| is_town(words, *start..city.end(), short))
        {
            found.push(start..all.end());
        }
    }
    for county in captures(&COUNTY, text).filter_map(|all| all.name("value").or(all.name("of"))) {
        if within(words, &county.range()).iter().all(|word| word.is(OTHER | STATE | ORDINARY) && !word.is(CITY | NAME))
        {
            continue;
        }
        found.push(county.range());
    }
    for house in captures(&HOUSE, text).filter_map(|all| all.name("value")) {
        found.extend(house_start(words, house.range()).map(|start| start..house.end()));
    }
    found.extend(cities(words));
    found.into_iter().map(|range| Span { kind: Kind::Place, range }).collect()
}

/// The words of a range.
fn within<'w, 't>(words: &'w [Word<'t>], range: &Range<usize>) -> &'w [Word<'t>] {
    let first = words.partition_point(|word| word.range.start < range.start);
    let last = words.partition_point(|word| word.range.start < range.end);
    words.get(first..last).unwrap_or_default()
}

fn is_street(written: &str) -> bool {
    const NONE: &[&str] = &[
        " mg", "hour", "min", "day", "week", "month", "year", " the ", " of ", "bed", "way to", " a ", " in ", " on ",
    ];
    !NONE.iter().any(|word| written.to_lowercase().contains(word))
}

/// Where a town's name begins: words of a sentence before it are none of it.
fn town_start(text: &str, words: &[Word<'_>], range: Range<usize>) -> Option<usize> {
    let inside = within(words, &range);
    let plain = |word: &&Word<'_>| {
        word.is(ORDINARY) && !word.is(CITY | NAME) || matches!(&*word.low, "dr" | "mr" | "in" | "the")
    };
    let last = inside.iter().rev().skip(1).find(plain).map_or(range.start, |word| word.range.end + 1);
    let colon = text.get(range.clone())?.rfind(". ").map_or(range.start, |at| range.start + at + 2);
    let start = if colon > range.start && before(text, colon - 1, 4).ends_with("St.") { last } else { last.max(colon) };
    (start < range.end).then_some(start)
}

/// Whether a name before a state's is a town's: short names of states are degrees and words as well.
fn is_town(words: &[Word<'_>], range: Range<usize>, short: Option<&str>) -> bool {
    let inside = within(words, &range);
    let person = inside.iter().any(|word| word.is(GIVEN | FAMILY));
    let degree = matches!(
        short,
        Some(
            "MD" | "PA"
                | "MA"
                | "MS"
                | "OR"
                | "IN"
                | "ME"
                | "HI"
                | "OK"
                | "CT"
                | "PR"
                | "MI"
                | "AL"
                | "ID"
                | "ON"
                | "AB"
                | "DC"
                | "CO"
                | "PT"
                | "BC"
                | "LA"
        )
    );
    let city = inside.iter().any(|word| word.is(CITY));
    let loud = inside.iter().all(|word| matches!(word.shape, Shape::Capitals | Shape::Initial));
    city || short.is_none() && !person && !inside.iter().all(|word| word.is(ORDINARY | OTHER))
        || !(degree || person || loud || inside.iter().all(|word| word.is(OTHER | ORDINARY)))
}

/// Where an institution's name begins, if it has one of its own.
fn house_start(words: &[Word<'_>], range: Range<usize>) -> Option<usize> {
    let inside = within(words, &range);
    let own = |word: &&Word<'_>| {
        (!word.is(ORDINARY | OTHER) || word.is(CITY | NAME) && !word.is(ORDINARY)) && word.shape == Shape::Capital
    };
    let skip = inside.iter().take_while(|word| {
        matches!(
            &*word.low,
            "the"
                | "at"
                | "from"
                | "to"
                | "in"
                | "our"
                | "your"
                | "admitted"
                | "facility"
                | "patient"
                | "dear"
                | "hi"
                | "call"
        )
    });
    let inside = inside.get(skip.count()..).unwrap_or_default();
    let first = inside.first()?;
    let sentence = inside.iter().any(|word| word.gap.contains(". ") && !matches!(word.gap, ". "));
    (inside.iter().any(|word| own(&word)) && !sentence).then_some(first.range.start)
}

/// What ends the names of towns.
fn is_landmark(low: &str) -> bool {
    const ENDS: &str = "city falls beach springs heights hills valley park bay lake cove creek ridge point grove harbor \
        harbour island mills junction crossing bluff bluffs fork rapids landing village meadows gap hollow pines prairie";
    ENDS.split(' ').any(|end| end == low)
}

/// What is named by its town.
fn is_branch(low: &str) -> bool {
    matches!(low, "clinic" | "office" | "branch" | "campus" | "location" | "site" | "practice" | "store")
}

/// Towns by themselves: those that are known, and names behind words that say where someone lives.
fn cities(words: &[Word<'_>]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for (at, word) in words.iter().enumerate() {
        let previous = |back: usize| at.checked_sub(back).and_then(|at| words.get(at));
        let low = |back: usize| previous(back).map_or("", |word| &*word.low);
        let near = word.gap == " " || word.gap == ", ";
        let place = near
            && matches!(
                low(1),
                "in" | "from" | "to" | "near" | "outside" | "around" | "of" | "at" | "toward" | "towards"
            );
        let lives = place && previous(2).is_some_and(|word| word.is(LIVES));
        let unknown = word.known & !(CITY | LIVES) == 0;
        let written = word.shape == Shape::Capital || (word.loud && word.shape == Shape::Capitals);
        let eponym = words.get(at + 1).is_some_and(|next| next.follows() && next.is(FINDING));
        let person =
            previous(1).is_some_and(|word| near && word.gap != ". " && word.is(GIVEN) && word.shape == Shape::Capital);
        let city = word.is(CITY) && (!word.is(OTHER | ORDINARY | NAME) || place) && !person;
        let branch = words.get(at + 1).is_some_and(|next| next.follows() && is_branch(&next.low))
            && previous(1).is_some_and(|word| word.shape == Shape::Lower)
            && word.gap == " ";
        let landmark = place
            && words
                .get(at + 1)
                .is_some_and(|next| next.follows() && next.shape == Shape::Capital && is_landmark(&next.low));
        let known = word.is(STATE | OTHER | ORDINARY);
        let inside = near && matches!(low(1), "in" | "near" | "outside" | "around");
        let twofold = inside
            && words.get(at + 1).is_some_and(|next| next.follows() && next.shape == Shape::Capital && next.known == 0);
        let said = unknown && (lives || branch || twofold) && !known || landmark && !word.is(OTHER);
        if (written && (city || said) && !eponym) || (word.shape == Shape::Lower && city && lives) {
            let mut end = word.range.end;
            for next in words.get(at + 1..).unwrap_or_default().iter().take(2) {
                let joins =
                    said && next.follows() && next.shape == Shape::Capital && !next.is(ORDINARY | OTHER | STATE);
                let suffix = next.follows() && next.shape == Shape::Capital && is_landmark(&next.low);
                if !(joins || suffix) {
                    break;
                }
                end = next.range.end;
            }
            found.push(word.range.start..end);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(text: &str) -> Vec<&str> {
        super::super::find(text)
            .into_iter()
            .filter(|span| span.kind == Kind::Place)
            .filter_map(|span| text.get(span.range))
            .collect()
    }

    #[test]
    fn addresses_are_found_whole() {
        assert_eq!(
            places("lives at 12 Elm Street, Springfield, IL 62704 now"),
            ["12 Elm Street, Springfield, IL 62704"]
        );
        assert_eq!(
            places("at 3308 Bluff Street, Apt. 2, La Crosse, Wisconsin 54601 for"),
            ["3308 Bluff Street, Apt. 2, La Crosse, Wisconsin 54601"]
        );
        assert_eq!(places("im at 44 maple ave"), ["44 maple ave"]);
    }

    #[test]
    fn measures_are_no_addresses() {
        for text in
            ["5 Way stopcock", "takes 2 tablets", "walked 20 m down the hall", "Anna Lee, MD", "a 10 minute drive"]
        {
            assert!(places(text).is_empty(), "{text}: {:?}", places(text));
        }
    }
}
