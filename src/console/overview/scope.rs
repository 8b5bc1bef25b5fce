//! What the overview looks at: a time, and whose requests. Each number leads to the decisions that it counts.

use super::Choices;
use crate::audit::hours::HOUR;
use crate::audit::journal::now;
use crate::audit::series::Range;
use crate::console::form::Fields;
use crate::console::language::Language;
use crate::console::moment;
use crate::console::trouble::Trouble;
use form_urlencoded::Serializer;
use maud::{Markup, html};

/// The times that can be chosen, in hours: their names in the query, and for people.
const SPANS: [(&str, i64, &str, &str); 4] = [
    ("24h", 24, "24 hours", "24 horas"),
    ("7d", 7 * 24, "7 days", "7 días"),
    ("30d", 30 * 24, "30 days", "30 días"),
    ("90d", 90 * 24, "90 days", "90 días"),
];

const DEFAULT: &str = "7d";

/// What is looked at.
pub(super) struct Scope {
    /// Its name in the query.
    span: &'static str,
    pub(super) range: Range,
}

impl Scope {
    /// What a query asks for.
    ///
    /// # Errors
    /// When there is no such time.
    pub(super) fn asked(query: &Fields, language: Language) -> Result<Self, Trouble> {
        let asked = Some(query.get("range")).filter(|asked| !asked.is_empty()).unwrap_or(DEFAULT);
        let span = SPANS.iter().find(|(name, ..)| *name == asked);
        let (span, hours, ..) = span.ok_or_else(|| {
            let what =
                language.say("The time is one of 24h, 7d, 30d and 90d.", "El período es uno de 24h, 7d, 30d y 90d.");
            Trouble::BadInput(what.to_owned())
        })?;
        let chosen = |name: &str| Some(query.get(name)).filter(|text| !text.is_empty()).map(str::to_owned);
        let until = now();
        let (tenant, audience) = (chosen("tenant"), chosen("audience"));
        Ok(Self { span, range: Range { from: until - hours * HOUR, until, tenant, audience, direction: None } })
    }

    /// The same time, whoever asked.
    pub(super) fn unfiltered(&self) -> Range {
        Range { from: self.range.from, until: self.range.until, ..Range::default() }
    }

    /// Whose requests, as a query says it.
    fn whose(&self) -> impl Iterator<Item = (&str, &str)> {
        let whose = [("tenant", &self.range.tenant), ("audience", &self.range.audience)];
        whose.into_iter().filter_map(|(name, text)| Some((name, text.as_deref()?)))
    }

    /// The overview of another time, of the same requests.
    fn overview(&self, span: &str) -> String {
        let mut query = Serializer::new(String::new());
        query.append_pair("range", span).extend_pairs(self.whose());
        format!("/console/?{}", query.finish())
    }

    /// The decisions of this time and these requests, of which more is said.
    pub(super) fn decisions(&self, more: &[(&str, &str)]) -> String {
        let mut query = Serializer::new(String::new());
        // A second that has begun is in it.
        query.append_pair("from", &moment::exact(self.range.first()));
        query.append_pair("until", &moment::exact(self.range.until + 1_000_000));
        let is_said = |name: &str| more.iter().any(|(said, _)| *said == name);
        query.extend_pairs(self.whose().filter(|(name, _)| !is_said(name))).extend_pairs(more);
        format!("/console/decisions?{}", query.finish())
    }

    /// Where both are chosen.
    pub(super) fn chooser(&self, language: Language, choices: &Choices) -> Markup {
        html! {
            nav aria-label=(language.say("Time", "Período")) {
                ul class="tabs" {
                    @for (span, _, english, spanish) in SPANS {
                        li {
                            a href=(self.overview(span)) aria-current=[(span == self.span).then_some("true")] { (language.say(english, spanish)) }
                        }
                    }
                }
            }
            @if !choices.tenants.is_empty() || !choices.audiences.is_empty() {
                form method="get" action="/console/" class="fields" {
                    input type="hidden" name="range" value=(self.span);
                    (choice(language, ("tenant", language.say("Tenant", "Entidad")), (&choices.tenants, &self.range.tenant)))
                    (choice(language, ("audience", language.say("Audience", "Destinatarios")), (&choices.audiences, &self.range.audience)))
                    button { (language.say("Show", "Mostrar")) }
                }
            }
        }
    }
}

fn choice(language: Language, (name, label): (&str, &str), (all, chosen): (&[String], &Option<String>)) -> Markup {
    html! {
        div class="field" {
            label for=(name) { (label) }
            select id=(name) name=(name) {
                option value="" { (language.say("All", "Todos")) }
                @for one in all {
                    option value=(one) selected[Some(one) == chosen.as_ref()] { (one) }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(query: &[u8]) -> Result<Scope, Trouble> {
        Scope::asked(&Fields::parse(query), Language::En)
    }

    #[test]
    fn links_keep_what_was_chosen() {
        let scope = scope(b"range=24h&tenant=a%26b%20%22c&audience=patient").unwrap();
        assert_eq!(scope.overview("7d"), "/console/?range=7d&tenant=a%26b+%22c&audience=patient");
        let link = scope.decisions(&[("principle", "II"), ("tenant", "x")]);
        let (path, query) = link.split_once('?').unwrap();
        let query = Fields::parse(query.as_bytes());
        assert_eq!((path, query.get("tenant"), query.get("audience")), ("/console/decisions", "x", "patient"));
        assert_eq!((query.get("principle"), query.all("tenant").count()), ("II", 1));
        let [from, until] = ["from", "until"].map(|name| moment::read(query.get(name)).unwrap());
        assert_eq!((from % HOUR, (until - from) / HOUR), (0, 24 + i64::from(until % HOUR == 0)));
    }

    #[test]
    fn times_that_are_none_are_refused() {
        assert!(matches!(scope(b"range=1y"), Err(Trouble::BadInput(_))));
        assert_eq!(scope(b"range=&tenant=").unwrap().range.tenant, None);
    }
}
