//! No body decodes to more than the limit.

#![no_main]

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header::CONTENT_ENCODING};
use libfuzzer_sys::fuzz_target;
use nonnocere::decompress::decompress;
use std::sync::LazyLock;

const LIMIT: usize = 1 << 16;

static RUNTIME: LazyLock<tokio::runtime::Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_current_thread().build().expect("a runtime"));

fuzz_target!(|body: &[u8]| {
    for encoding in ["gzip", "deflate", "br", "zstd"] {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
        let decoded = RUNTIME.block_on(decompress(&headers, Bytes::copy_from_slice(body), LIMIT));
        assert!(decoded.map_or(true, |decoded| decoded.len() <= LIMIT));
    }
});
