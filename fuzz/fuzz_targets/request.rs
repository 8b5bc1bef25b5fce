//! Any body on any surface is a request or a clear fault; what is a request keeps its bytes.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use nonnocere::openai::request::{Request, Surface};

fuzz_target!(|body: &[u8]| {
    for surface in [Surface::Chat, Surface::Completions, Surface::Responses, Surface::Embeddings] {
        if let Ok(request) = Request::parse(surface, Bytes::copy_from_slice(body), 64) {
            assert_eq!(request.bytes(), body);
            let _ = request.asked().question(u64::MAX);
        }
    }
});
