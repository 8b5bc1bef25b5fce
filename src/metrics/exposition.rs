//! What is served: Prometheus' text format, or OpenMetrics 1.0 with exemplars, which the library does not write.

use super::declared::unit;
use super::exemplars::{Exemplar, Exemplars};
use prometheus::proto::{LabelPair, Metric, MetricFamily, MetricType};
use prometheus::{Encoder, Result, TextEncoder};
use std::fmt::Write;

/// How metrics are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus' text format.
    Prometheus,
    /// `OpenMetrics` 1.0, with exemplars.
    OpenMetrics,
}

impl Format {
    /// What a scraper asks for by its `Accept` header, which names it in the order of preference.
    #[must_use]
    pub fn accepted(accept: &str) -> Self {
        let kinds = accept.split(',').map(|kind| kind.split(';').next().unwrap_or_default().trim());
        let mut known = kinds.filter_map(|kind| match kind.to_ascii_lowercase().as_str() {
            "application/openmetrics-text" => Some(Self::OpenMetrics),
            "text/plain" | "*/*" => Some(Self::Prometheus),
            _ => None,
        });
        known.next().unwrap_or(Self::Prometheus)
    }

    /// The `Content-Type`.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

pub(super) fn written(format: Format, families: &[MetricFamily], exemplars: &Exemplars) -> Result<Vec<u8>> {
    match format {
        Format::Prometheus => {
            let mut text = Vec::new();
            TextEncoder::new().encode(families, &mut text)?;
            Ok(text)
        }
        Format::OpenMetrics => {
            let mut text = String::new();
            for family in families {
                text.push_str(&open_family(family, exemplars));
            }
            text.push_str("# EOF\n");
            Ok(text.into_bytes())
        }
    }
}

fn open_family(family: &MetricFamily, exemplars: &Exemplars) -> String {
    let (sample, kind) = (family.name(), family.get_field_type());
    // The samples of a counter end in _total, the family does not.
    let name = if kind == MetricType::COUNTER { sample.strip_suffix("_total").unwrap_or(sample) } else { sample };
    let kind_word = match kind {
        MetricType::COUNTER => "counter",
        MetricType::GAUGE => "gauge",
        MetricType::HISTOGRAM => "histogram",
        _ => "unknown",
    };
    let mut text = format!("# HELP {name} {}\n# TYPE {name} {kind_word}\n", escaped(family.help()));
    if let Some(unit) = unit(name) {
        text += &format!("# UNIT {name} {unit}\n");
    }
    for metric in family.get_metric() {
        let labels = metric.get_label();
        let last = exemplars.of(sample, labels.iter().map(LabelPair::value));
        match kind {
            MetricType::COUNTER => {
                let value = metric.get_counter().get_value();
                text += &line((sample, labels, None), value, last.get(&0));
            }
            MetricType::GAUGE => text += &line((sample, labels, None), metric.get_gauge().get_value(), None),
            MetricType::HISTOGRAM => text += &histogram(sample, metric, |bucket| last.get(&bucket)),
            _ => {}
        }
    }
    text
}

fn histogram<'a>(name: &str, metric: &Metric, last: impl Fn(usize) -> Option<&'a Exemplar>) -> String {
    let (histogram, labels) = (metric.get_histogram(), metric.get_label());
    let buckets = histogram.get_bucket().iter().map(|bucket| (bucket.upper_bound(), bucket.cumulative_count()));
    let buckets = buckets.filter(|(bound, _)| bound.is_finite());
    let buckets = buckets.chain([(f64::INFINITY, histogram.get_sample_count())]);
    let bucket_name = format!("{name}_bucket");
    let lines = buckets
        .enumerate()
        .map(|(place, (bound, count))| line((&bucket_name, labels, Some(bound)), count as f64, last(place)));
    let mut text: String = lines.collect();
    text += &line((&format!("{name}_sum"), labels, None), histogram.get_sample_sum(), None);
    text += &line((&format!("{name}_count"), labels, None), histogram.get_sample_count() as f64, None);
    text
}

fn line((name, labels, bound): (&str, &[LabelPair], Option<f64>), value: f64, exemplar: Option<&Exemplar>) -> String {
    let mut pairs: Vec<String> =
        labels.iter().map(|label| format!("{}=\"{}\"", label.name(), escaped(label.value()))).collect();
    pairs.extend(bound.map(|bound| format!("le=\"{}\"", float(bound))));
    let pairs = if pairs.is_empty() { String::new() } else { format!("{{{}}}", pairs.join(",")) };
    let mut line = format!("{name}{pairs} {value}");
    if let Some(Exemplar { event, value, time }) = exemplar {
        // Writing to a string cannot fail.
        write!(line, " # {{event_id=\"{}\"}} {value} {:.3}", event.simple(), time.as_secs_f64()).ok();
    }
    line.push('\n');
    line
}

/// A number as OpenMetrics has it in labels: with a point, so that all write the same.
fn float(value: f64) -> String {
    if value.is_infinite() { "+Inf".to_owned() } else { format!("{value:?}") }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::super::declared::Declared;
    use super::super::label::{DIRECTION, RULE};
    use super::*;
    use std::time::Duration;
    use uuid::Uuid;

    fn served(declared: &Declared) -> String {
        let text = written(Format::OpenMetrics, &declared.gather(), &declared.exemplars).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn a_counter_is_written_with_the_event_that_it_counted_last() {
        let mut declared = Declared::default();
        let counter = declared.counter("a_total", "Says \"a\".", &[DIRECTION, RULE]).unwrap();
        counter.with_label_values(&["prompt", "say \"no\" \\ now\n"]).inc();
        let exemplar = Exemplar { event: Uuid::from_u128(7), value: 1.0, time: Duration::from_millis(1_500) };
        declared.exemplars.note(("a_total", &["prompt", "say \"no\" \\ now\n"], 0), exemplar);
        assert_eq!(
            served(&declared),
            "# HELP a Says \\\"a\\\".\n# TYPE a counter\n\
             a_total{direction=\"prompt\",rule=\"say \\\"no\\\" \\\\ now\\n\"} 1 \
             # {event_id=\"00000000000000000000000000000007\"} 1 1.500\n# EOF\n"
        );
        declared.exemplars.forget("a_total");
        assert!(!served(&declared).contains("event_id"));
    }

    #[test]
    fn a_histogram_is_written_with_an_event_in_the_bucket_that_it_fell_in() {
        let mut declared = Declared::default();
        let histogram = declared.histogram(("a_seconds", "A."), &[RULE], &[0.25, 1.0]).unwrap();
        histogram.observe(&["r"], 0.25, Some(Uuid::from_u128(1)));
        histogram.observe(&["r"], 3.0, Some(Uuid::from_u128(2)));
        let text = served(&declared);
        let lines: Vec<&str> = text.lines().map(|line| line.split(" 0.25 ").next().unwrap()).collect();
        assert_eq!(lines[2], "# UNIT a_seconds seconds");
        assert_eq!(
            lines[3],
            "a_seconds_bucket{rule=\"r\",le=\"0.25\"} 1 # {event_id=\"00000000000000000000000000000001\"}"
        );
        assert_eq!(lines[4], "a_seconds_bucket{rule=\"r\",le=\"1.0\"} 1");
        assert!(lines[5].starts_with(
            "a_seconds_bucket{rule=\"r\",le=\"+Inf\"} 2 # {event_id=\"00000000000000000000000000000002\"} 3 "
        ));
        assert_eq!(lines[6..], ["a_seconds_sum{rule=\"r\"} 3.25", "a_seconds_count{rule=\"r\"} 2", "# EOF"]);
    }

    #[test]
    fn a_scraper_gets_what_it_prefers() {
        for (accept, format) in [
            ("", Format::Prometheus),
            ("*/*", Format::Prometheus),
            ("text/html", Format::Prometheus),
            ("application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5", Format::OpenMetrics),
            ("text/plain;version=0.0.4,application/openmetrics-text", Format::Prometheus),
        ] {
            assert_eq!(Format::accepted(accept), format, "{accept}");
        }
    }
}
