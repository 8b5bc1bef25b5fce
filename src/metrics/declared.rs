//! How series are declared: once, where they are made. What was declared is what is served, and what `docs/METRICS.md` lists.

use super::exemplars::{Exemplar, Exemplars};
use super::label::{Label, Values};
use prometheus::core::Collector;
use prometheus::proto::MetricFamily;
use prometheus::{Error, GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry, Result};
use std::sync::Arc;
use uuid::Uuid;

/// A series, as far as it is known before anything is counted.
#[derive(Clone, Copy, Debug)]
pub struct Series {
    /// Its name; the unit is in it.
    pub name: &'static str,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// By what it is told apart, in the order of their names.
    pub labels: &'static [Label],
    /// What it counts or measures.
    pub help: &'static str,
}

impl Series {
    /// What it is measured in; nothing where it is a number of things.
    #[must_use]
    pub fn unit(&self) -> Option<&'static str> {
        unit(self.name)
    }
}

/// The unit in a name.
pub(super) fn unit(name: &str) -> Option<&'static str> {
    let name = name.strip_suffix("_total").unwrap_or(name);
    ["seconds", "bytes"].into_iter().find(|unit| name.ends_with(unit))
}

/// All series of a proxy.
#[derive(Default)]
pub(super) struct Declared {
    registry: Registry,
    pub(super) series: Vec<Series>,
    pub(super) exemplars: Arc<Exemplars>,
}

/// Adds its values up, and may name an event for the last of each label and bucket.
pub(super) struct Histogram {
    name: &'static str,
    values: HistogramVec,
    bounds: &'static [f64],
    exemplars: Arc<Exemplars>,
}

impl Histogram {
    /// Adds a value, which came about in an event.
    pub(super) fn observe(&self, labels: &[&str], value: f64, event: Option<Uuid>) {
        self.values.with_label_values(labels).observe(value);
        if let Some(event) = event {
            let bucket = self.bounds.partition_point(|bound| *bound < value);
            self.exemplars.note((self.name, labels, bucket), Exemplar::now(event, value));
        }
    }
}

impl Declared {
    /// A counter. Where all that its labels may say is known here, it stands at zero from the start: what is counted once must
    /// be seen to rise.
    pub(super) fn counter(
        &mut self,
        name: &'static str,
        help: &'static str,
        labels: &'static [Label],
    ) -> Result<IntCounterVec> {
        let names = self.declare(Series { name, kind: "counter", labels, help })?;
        let series = self.registered(IntCounterVec::new(Opts::new(name, help), &names)?)?;
        for values in all(labels) {
            series.with_label_values(&values).inc_by(0);
        }
        Ok(series)
    }

    /// A gauge.
    pub(super) fn gauge(
        &mut self,
        name: &'static str,
        help: &'static str,
        labels: &'static [Label],
    ) -> Result<GaugeVec> {
        let names = self.declare(Series { name, kind: "gauge", labels, help })?;
        let series = self.registered(GaugeVec::new(Opts::new(name, help), &names)?)?;
        if labels.is_empty() {
            series.with_label_values::<&str>(&[]).set(0.0);
        }
        Ok(series)
    }

    /// A histogram, whose buckets end with `bounds`.
    pub(super) fn histogram(
        &mut self,
        (name, help): (&'static str, &'static str),
        labels: &'static [Label],
        bounds: &'static [f64],
    ) -> Result<Histogram> {
        let names = self.declare(Series { name, kind: "histogram", labels, help })?;
        let values = HistogramVec::new(HistogramOpts::new(name, help).buckets(bounds.to_vec()), &names)?;
        let values = self.registered(values)?;
        for known in all(labels) {
            drop(values.with_label_values(&known));
        }
        Ok(Histogram { name, values, bounds, exemplars: Arc::clone(&self.exemplars) })
    }

    /// All values as they are now.
    pub(super) fn gather(&self) -> Vec<MetricFamily> {
        self.registry.gather()
    }

    fn declare(&mut self, series: Series) -> Result<Vec<&'static str>> {
        // So that values that are given by their place are found again by name: the registry sorts them.
        if !series.labels.is_sorted_by_key(|label| label.name) {
            return Err(Error::Msg(format!("the labels of {} do not stand in the order of their names", series.name)));
        }
        self.series.push(series);
        Ok(series.labels.iter().map(|label| label.name).collect())
    }

    fn registered<C: Collector + Clone + 'static>(&self, series: C) -> Result<C> {
        self.registry.register(Box::new(series.clone()))?;
        Ok(series)
    }
}

/// All combinations of what labels may say, where that is known; none where it is not.
fn all(labels: &[Label]) -> Vec<Vec<&'static str>> {
    labels.iter().fold(vec![vec![]], |all, label| match label.values {
        Values::Fixed(values) => {
            let with = |one: &Vec<&'static str>| {
                let one = one.clone();
                values.iter().map(move |value| [one.as_slice(), &[*value]].concat())
            };
            all.iter().flat_map(with).collect()
        }
        Values::From(_) => Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::label::{DIRECTION, RULE, SCAN};
    use super::*;

    #[test]
    fn what_is_counted_once_is_seen_to_rise_from_zero() {
        assert_eq!(all(&[]), [Vec::<&str>::new()]);
        assert_eq!(all(&[DIRECTION, SCAN]).len(), 6);
        assert!(all(&[DIRECTION, RULE]).is_empty());
    }

    #[test]
    fn labels_stand_in_the_order_of_their_names() {
        assert!(Declared::default().counter("a_total", "A.", &[SCAN, DIRECTION]).is_err());
        assert!(Declared::default().counter("a_total", "A.", &[DIRECTION, SCAN]).is_ok());
    }

    #[test]
    fn the_unit_is_in_the_name() {
        assert_eq!(unit("held_seconds"), Some("seconds"));
        assert_eq!(unit("spool_bytes_total"), Some("bytes"));
        assert_eq!(unit("decisions_total"), None);
    }
}
