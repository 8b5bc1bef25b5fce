//! Any text is read, in bounded work, and every payload has a place in it.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    for payload in nonnocere::detect::read(text).payloads {
        assert!(text.get(payload.source).is_some());
    }
});
