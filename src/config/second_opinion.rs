//! The judge that is asked for a second opinion, as the configuration names it.

use super::value::{Secret, Span, authorization, url};
use crate::guard::judge::Settings;
use serde::Deserialize;

#[derive(Clone, Debug, Deserialize)]
pub(super) struct RawSecondOpinion {
    url: String,
    api_key: Secret,
    model: String,
    max_tokens: u32,
    deadline: Span,
    budget: u32,
    cache: usize,
}

impl RawSecondOpinion {
    /// The judge, where there is one; what is said of it must be right all the same.
    pub(super) fn checked(self, faults: &mut Vec<String>) -> Option<Settings> {
        let Self { url, api_key, model, max_tokens, deadline, budget, cache } = self;
        let url = self::url(&url, "second_opinion.url", faults);
        let authorization = authorization(&api_key, "second_opinion.api_key", faults);
        if deadline.0.is_zero() {
            faults.push("second_opinion.deadline: expected more than 0s".to_owned());
        }
        if budget == 0 {
            faults.push("second_opinion.budget: expected at least 1 question a minute".to_owned());
        }
        if max_tokens == 0 {
            faults.push("second_opinion.max_tokens: expected at least 1".to_owned());
        }
        if url.is_some() && model.trim().is_empty() {
            faults.push("second_opinion.model: expected the name of the model that the judge serves".to_owned());
        }
        let deadline = deadline.0;
        url.map(|url| Settings { url, authorization, model, max_tokens, deadline, budget, remembered: cache })
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, Overrides};
    use std::io::Write;
    use std::time::Duration;

    fn with_file(text: &str) -> Result<Config, Vec<String>> {
        let mut file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
        file.write_all(format!("[second_opinion]\n{text}").as_bytes()).unwrap();
        Config::load(&Overrides { file: Some(file.path().to_owned()), ..Overrides::default() })
    }

    #[test]
    fn a_judge_is_named_by_its_address_and_its_model() {
        assert!(with_file("").unwrap().second_opinion.is_none());
        let config = with_file("url = \"http://judge/v1\"\nmodel = \"m\"\napi_key = \"hunter2\"").unwrap();
        assert!(!format!("{config:?}").contains("hunter2"));
        let judge = config.second_opinion.unwrap();
        assert_eq!((judge.deadline, judge.budget, judge.remembered), (Duration::from_secs(2), 60, 4096));
        assert_eq!(judge.max_tokens, 512);
        assert_eq!(judge.authorization.unwrap(), "Bearer hunter2");
    }

    #[test]
    fn every_fault_of_a_judge_is_found_at_once() {
        let faults =
            with_file("url = \"judge\"\napi_key = \"\\n\"\ndeadline = \"0s\"\nbudget = 0\nmax_tokens = 0\ncolour = 1")
                .unwrap_err();
        assert_eq!(
            faults,
            [
                "second_opinion.colour: unknown key",
                "second_opinion.url: expected a URL such as http://localhost:8000/v1",
                "second_opinion.api_key: holds a character that no header can carry",
                "second_opinion.deadline: expected more than 0s",
                "second_opinion.budget: expected at least 1 question a minute",
                "second_opinion.max_tokens: expected at least 1",
            ]
        );
        let faults = with_file("url = \"http://judge/v1\"").unwrap_err();
        assert_eq!(faults, ["second_opinion.model: expected the name of the model that the judge serves"]);
    }
}
