//! Figures from samples.

use super::chance::chance;

/// The value below which `part` of the samples lie; NaN for none.
pub fn quantile(samples: &[f64], part: f64) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let index = (sorted.len().saturating_sub(1) as f64 * part).round() as usize;
    sorted.get(index).copied().unwrap_or(f64::NAN)
}

/// The middle one, or the mean of the two that are.
pub fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let upper = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => sorted[upper],
        _ => f64::midpoint(sorted[upper - 1], sorted[upper]),
    }
}

/// A median of ratios, one of each round, and where it lies with 95% confidence (bootstrap over the rounds).
#[derive(Clone, Copy, Debug)]
pub struct Ratio {
    pub median: f64,
    pub low: f64,
    pub high: f64,
}

impl Ratio {
    const DRAWS: i64 = 2000;

    /// Of `above` to `below`, which were measured in the same rounds.
    pub fn of(above: &[f64], below: &[f64]) -> Self {
        let ratios: Vec<f64> = above.iter().zip(below).map(|(above, below)| above / below).collect();
        let draw = |draw: i64| {
            let pick = |place: usize| {
                let number = draw * ratios.len() as i64 + place as i64;
                ratios[(chance(number, 1) * ratios.len() as f64) as usize]
            };
            median(&(0..ratios.len()).map(pick).collect::<Vec<f64>>())
        };
        let medians: Vec<f64> = if ratios.is_empty() { vec![] } else { (0..Self::DRAWS).map(draw).collect() };
        Self { median: median(&ratios), low: quantile(&medians, 0.025), high: quantile(&medians, 0.975) }
    }

    /// As JSON: the median and its interval.
    pub fn json(self) -> serde_json::Value {
        serde_json::json!({"median": self.median, "low": self.low, "high": self.high})
    }
}

impl std::fmt::Display for Ratio {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.3} [{:.3}, {:.3}]", self.median, self.low, self.high)
    }
}

/// Says whether the same against itself is the same: within 5%, or the run says nothing.
pub fn control(what: &str, first: &[f64], second: &[f64]) -> Ratio {
    let ratio = Ratio::of(second, first);
    let holds = (ratio.median - 1.0).abs() <= 0.05;
    println!(
        "control, {what} against itself: {ratio}{}",
        if holds { "" } else { "  MORE THAN 5%: THIS RUN IS TOO NOISY" }
    );
    ratio
}

/// The exponent `e` of `y = c·x^e` that fits the points best (least squares over the logarithms).
pub fn exponent(points: &[(f64, f64)]) -> f64 {
    let logs: Vec<(f64, f64)> = points.iter().map(|(x, y)| (x.ln(), y.ln())).collect();
    let count = logs.len() as f64;
    let (x, y) = (logs.iter().map(|p| p.0).sum::<f64>() / count, logs.iter().map(|p| p.1).sum::<f64>() / count);
    let above: f64 = logs.iter().map(|p| (p.0 - x) * (p.1 - y)).sum();
    above / logs.iter().map(|p| (p.0 - x).powi(2)).sum::<f64>()
}
