//! Any file is a policy or a list of faults.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Err(faults) = nonnocere::policy::file::parse("policy.toml", text) {
        assert!(!faults.is_empty());
    }
});
