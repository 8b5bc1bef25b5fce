//! Any file is a policy or a list of faults.

#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::Once;

static QUIET: Once = Once::new();

fuzz_target!(|text: &str| {
    // The TOML parser panics at some files, which is caught; the fuzzer's own hook would end the process all the same.
    QUIET.call_once(|| std::panic::set_hook(Box::new(|_| {})));
    if let Err(faults) = nonnocere::policy::file::parse("policy.toml", text) {
        assert!(!faults.is_empty());
    }
});
