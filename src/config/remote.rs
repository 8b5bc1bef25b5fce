//! The model server that runs the classifier's graph, as the configuration names it.

use super::value::{Secret, Span, authorization, url_such_as};
use crate::classify::remote::Settings;
use serde::Deserialize;
use std::time::Duration;

#[derive(Clone, Debug, Deserialize)]
pub(super) struct RawRemote {
    url: String,
    api_key: Secret,
    model: String,
    version: String,
    timeout: Span,
    workers: usize,
    batch: usize,
    fallback: Fallback,
    failures: u32,
    pause: Span,
}

/// What judges where the server fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Fallback {
    /// The model in this process.
    Local,
    /// Nothing: the policy's `on_unavailable` holds.
    None,
}

impl RawRemote {
    /// The server, where there is one; what is said of it must be right all the same. `deadline` is that of a message.
    pub(super) fn checked(self, deadline: Duration, faults: &mut Vec<String>) -> Option<Settings> {
        let Self { url, api_key, model, version, timeout, workers, batch, fallback, failures, pause } = self;
        let url = url_such_as(&url, ("guard.remote.url", "http://localhost:8000, before /v2"), faults);
        let authorization = authorization(&api_key, "guard.remote.api_key", faults);
        for (key, name) in [("model", &model), ("version", &version)] {
            if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)) {
                faults.push(format!(
                    "guard.remote.{key}: expected a name of a-z, A-Z, 0-9 and -._~, since it is part of a URL"
                ));
            }
        }
        if url.is_some() && model.is_empty() {
            faults.push("guard.remote.model: expected the name of the model on the server".to_owned());
        }
        let timeout = timeout.0;
        if timeout.is_zero() || timeout >= deadline {
            faults.push("guard.remote.timeout: expected more than 0s, and less than guard.deadline".to_owned());
        }
        let counts = [
            ("guard.remote.workers", workers),
            ("guard.remote.batch", batch),
            ("guard.remote.failures", failures as usize),
        ];
        super::at_least_one(&counts, faults);
        let (has_local, pause) = (fallback == Fallback::Local, pause.0);
        url.map(|url| Settings {
            url,
            authorization,
            model,
            version,
            timeout,
            workers,
            batch,
            has_local,
            failures,
            pause,
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;
    use crate::config::tests::with_file;
    use std::time::Duration;

    fn with(text: &str) -> Result<Config, Vec<String>> {
        with_file(&format!("[guard.remote]\n{text}"))
    }

    #[test]
    fn a_model_server_is_named_by_its_address_and_its_model() {
        assert!(with("").unwrap().remote.is_none());
        let config = with("url = \"http://triton:8000\"\nmodel = \"m\"\napi_key = \"hunter2\"").unwrap();
        assert!(!format!("{config:?}").contains("hunter2"));
        let remote = config.remote.unwrap();
        assert_eq!((remote.timeout, remote.workers, remote.batch), (Duration::from_millis(500), 8, 1));
        assert!(
            remote.has_local
                && !with("url = \"http://t\"\nmodel = \"m\"\nfallback = \"none\"").unwrap().remote.unwrap().has_local
        );
    }

    #[test]
    fn every_fault_of_a_model_server_is_found_at_once() {
        let faults = with(
            "url = \"triton\"\nmodel = \"a/b\"\nversion = \"?\"\ntimeout = \"10s\"\nworkers = 0\nbatch = 0\nfailures = 0\ncolour = 1",
        );
        let name = "expected a name of a-z, A-Z, 0-9 and -._~, since it is part of a URL";
        assert_eq!(
            faults.unwrap_err(),
            [
                "guard.remote.colour: unknown key".to_owned(),
                "guard.remote.url: expected a URL such as http://localhost:8000, before /v2".to_owned(),
                format!("guard.remote.model: {name}"),
                format!("guard.remote.version: {name}"),
                "guard.remote.timeout: expected more than 0s, and less than guard.deadline".to_owned(),
                "guard.remote.workers: expected at least 1".to_owned(),
                "guard.remote.batch: expected at least 1".to_owned(),
                "guard.remote.failures: expected at least 1".to_owned(),
            ]
        );
        assert_eq!(
            with("url = \"http://t\"").unwrap_err(),
            ["guard.remote.model: expected the name of the model on the server"]
        );
        assert!(with("fallback = \"maybe\"").unwrap_err()[0].contains("maybe"));
    }

    #[test]
    fn a_device_is_cpu_or_cuda() {
        use crate::classify::onnx::Device;
        let device = |name: &str| with_file(&format!("[guard]\ndevice = \"{name}\"\n")).map(|config| config.device);
        let named = ["cpu", "cuda", "cuda:1"].map(|name| device(name).unwrap());
        assert_eq!(named, [Device::Cpu, Device::Cuda(0), Device::Cuda(1)]);
        for wrong in ["", "gpu", "cuda:", "cuda:-1", "cuda:x"] {
            assert!(device(wrong).unwrap_err()[0].starts_with("guard.device: expected"), "{wrong}");
        }
    }
}
