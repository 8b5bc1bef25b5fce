//! A score on its scale, with the thresholds that it is held against: a bar without a style of its own.

use super::language::Language;
use maud::{Markup, html};

/// How wide and high it is drawn.
const WIDTH: f64 = 200.0;
const HEIGHT: f64 = 16.0;

fn x(share: f64) -> String {
    format!("{:.1}", share.clamp(0.0, 1.0) * WIDTH)
}

/// A score from 0 to 1, and where rules begin to apply.
pub(super) fn scale(language: Language, (name, score): (&str, f64), thresholds: &[f64]) -> Markup {
    let marks: Vec<String> = thresholds.iter().map(|threshold| format!("{threshold:.2}")).collect();
    let mut said = format!("{name}: {score:.3}");
    if !marks.is_empty() {
        said.push_str(&format!("; {} {}", language.say("threshold", "umbral"), marks.join(", ")));
    }
    let is_over = thresholds.iter().any(|threshold| score >= *threshold);
    html! {
        svg class={ "scale" @if is_over { " over" } } viewBox="0 0 200 16" width="200" height="16" role="img" aria-label=(said) {
            rect class="track" x="0" y="3" width=(WIDTH) height="10" rx="5" {}
            rect class="value" x="0" y="3" width=(x(score)) height="10" rx="5" {}
            @for threshold in thresholds {
                line class="threshold" x1=(x(*threshold)) x2=(x(*threshold)) y1="0" y2=(HEIGHT) {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_stands_where_it_is() {
        let drawn = scale(Language::En, ("violation", 0.75), &[0.5]).into_string();
        assert!(drawn.contains(r#"x1="100.0""#) && drawn.contains(r#"width="150.0""#) && drawn.contains("scale over"));
        assert!(drawn.contains("violation: 0.750; threshold 0.50") && !drawn.contains("style="));
        assert!(!scale(Language::En, ("violation", 9.0), &[]).into_string().contains("over"));
    }
}
