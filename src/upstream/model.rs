//! Which endpoints serve a model, by the names and patterns that the configuration gives.

use super::settings::EndpointSettings;

/// A model's name; `*` at its end stands for whatever follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(pub String);

impl Pattern {
    /// How closely it names `model`: the longer the better, and the whole name best.
    fn closeness(&self, model: &str) -> Option<usize> {
        match self.0.strip_suffix('*') {
            Some(start) => model.starts_with(start).then_some(start.len()),
            None => (self.0 == model).then_some(usize::MAX),
        }
    }
}

/// The places of the endpoints that serve `model`: those that name it most closely, else those that name no models. A
/// request without a model is for all. Empty where nobody serves it.
pub(super) fn serving(endpoints: &[&EndpointSettings], model: &str) -> Vec<usize> {
    let closeness = |endpoint: &EndpointSettings| match endpoint.models.is_empty() || model.is_empty() {
        // Behind each that names it, be it by a star alone.
        true => Some(None),
        false => endpoint.models.iter().filter_map(|pattern| pattern.closeness(model)).max().map(Some),
    };
    let found: Vec<Option<Option<usize>>> = endpoints.iter().map(|endpoint| closeness(endpoint)).collect();
    let Some(best) = found.iter().flatten().max() else { return Vec::new() };
    (0..).zip(&found).filter(|(_, closeness)| closeness.as_ref() == Some(best)).map(|(place, _)| place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::settings::Terms;

    #[test]
    fn the_closest_name_serves_then_who_names_none() {
        let endpoint = |models: &[&str]| {
            let mut endpoint = EndpointSettings::plain("e", "http://e/v1".parse().unwrap(), Terms::default());
            endpoint.models = models.iter().map(|name| Pattern((*name).to_owned())).collect();
            endpoint
        };
        let all =
            [endpoint(&["gpt-*", "o1"]), endpoint(&["gpt-4o"]), endpoint(&[]), endpoint(&["gpt-4*"]), endpoint(&[])];
        let of = |model| serving(&all.iter().collect::<Vec<_>>(), model);
        assert_eq!(of("gpt-4o"), [1]);
        assert_eq!(of("gpt-4o-mini"), [3]);
        assert_eq!(of("gpt-3"), [0]);
        assert_eq!(of("o1"), [0]);
        assert_eq!(of("o1-mini"), [2, 4]);
        assert_eq!(of("GPT-4o"), [2, 4]);
        assert_eq!(of(""), [0, 1, 2, 3, 4]);
        let listed = [endpoint(&["a"]), endpoint(&["b*", "*"])];
        assert_eq!(serving(&listed.iter().collect::<Vec<_>>(), "c"), [1]);
        assert!(serving(&[&listed[0]], "c").is_empty());
    }
}
