//! The operator's rules for paths.

use super::Upstreams;
use crate::guard::stream::Mode;
use crate::openai::request::Surface;
use crate::policy::message::Audience;
use crate::route::{Action, Flow, Rule};
use serde::Deserialize;

#[derive(Clone, Debug, Deserialize)]
pub(super) struct RawRoute {
    path: String,
    rule: RawRule,
    surface: Option<Surface>,
    stream: Option<Mode>,
    speculative: Option<bool>,
    audience: Option<Audience>,
    part2: Option<bool>,
    upstream: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RawRule {
    Guard,
    Pass,
    Deny,
}

/// The rules, where there is no fault.
pub(super) fn checked(
    routes: Vec<RawRoute>,
    (flow, upstreams): (Flow, &Upstreams),
    faults: &mut Vec<String>,
) -> Vec<Rule> {
    let mut rules = Vec::new();
    for (place, RawRoute { path, rule, surface, stream, speculative, audience, part2, upstream }) in
        routes.into_iter().enumerate()
    {
        let is_guarded = matches!(rule, RawRule::Guard);
        if !is_guarded && (stream.is_some() || speculative.is_some() || audience.is_some() || part2.is_some()) {
            faults.push(format!("routes[{place}]: only the rule guard has stream, speculative, audience and part2"));
        }
        let flow = Flow {
            mode: stream.unwrap_or(flow.mode),
            speculative: speculative.unwrap_or(flow.speculative),
            audience: audience.or(flow.audience),
            part2: part2.unwrap_or(flow.part2),
        };
        if !path.starts_with('/') {
            faults.push(format!("routes[{place}].path: expected a path such as /v1/files*, found {path:?}"));
        }
        if let Some(name) = &upstream {
            if matches!(rule, RawRule::Deny) {
                faults.push(format!("routes[{place}].upstream: the rule deny asks none"));
            } else if !upstreams.endpoints.iter().any(|endpoint| *endpoint.name == **name) {
                faults.push(format!("routes[{place}].upstream: there is no [upstreams.{name}]"));
            }
        }
        let action = match (rule, surface) {
            (RawRule::Guard, Some(surface)) => Action::Guard(surface, flow),
            (RawRule::Pass, None) => Action::Pass,
            (RawRule::Deny, None) => Action::Deny,
            (RawRule::Guard, None) => {
                faults.push(format!(
                    "routes[{place}].surface: expected chat, completions, responses or embeddings, by which to judge it"
                ));
                continue;
            }
            (RawRule::Pass | RawRule::Deny, Some(_)) => {
                faults.push(format!("routes[{place}].surface: only the rule guard has one"));
                continue;
            }
        };
        rules.push(Rule { path, action, upstream: upstream.map(Into::into) });
    }
    rules
}
