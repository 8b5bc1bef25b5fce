//! Bodies that come compressed. What is judged is what is sent on, so a body travels on as it was decoded: two readers of
//! one compressed body might read it differently.

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, HeaderMap};
use std::io::Read;

/// Why a body cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The encoding is not known, or encodings are stacked.
    Unknown,
    /// The body is not what it says it is.
    Broken,
    /// It is larger than the limit, decoded.
    TooLarge,
}

/// The encodings that are read.
pub const KNOWN: &str = "gzip, deflate, br, zstd";

/// The body that `headers` say how to decode, at most `limit` bytes of it.
///
/// # Errors
/// A [`Fault`]; however small a body that decodes to endless bytes is, no more than `limit` are made.
pub async fn decompress(headers: &HeaderMap, body: Bytes, limit: usize) -> Result<Bytes, Fault> {
    let mut encodings = Vec::new();
    for value in headers.get_all(CONTENT_ENCODING) {
        let names = value.to_str().map_err(|_| Fault::Unknown)?.split(',').map(|name| name.trim().to_ascii_lowercase());
        encodings.extend(names.filter(|name| !name.is_empty() && name != "identity"));
    }
    let encoding = match encodings.as_slice() {
        [] => return Ok(body),
        [encoding] => encoding.clone(),
        _ => return Err(Fault::Unknown),
    };
    // Megabytes take milliseconds, which other requests should not wait for.
    tokio::task::spawn_blocking(move || decode(&encoding, &body, limit)).await.unwrap_or(Err(Fault::Broken))
}

fn decode(encoding: &str, body: &[u8], limit: usize) -> Result<Bytes, Fault> {
    match encoding {
        "gzip" | "x-gzip" => bounded(flate2::read::MultiGzDecoder::new(body), limit),
        "deflate" => bounded(flate2::read::ZlibDecoder::new(body), limit),
        "br" => bounded(brotli_decompressor::Decompressor::new(body, 4096), limit),
        "zstd" => bounded(ruzstd::decoding::StreamingDecoder::new(body).map_err(|_| Fault::Broken)?, limit),
        _ => Err(Fault::Unknown),
    }
}

fn bounded(decoder: impl Read, limit: usize) -> Result<Bytes, Fault> {
    let mut decoded = Vec::new();
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    decoder.take(most).read_to_end(&mut decoded).map_err(|_| Fault::Broken)?;
    if decoded.len() > limit { Err(Fault::TooLarge) } else { Ok(Bytes::from(decoded)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::write::{GzEncoder, ZlibEncoder};
    use std::io::Write;

    const TEXT: &[u8] = b"{\"prompt\": \"na\xc3\xafve\"}";

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    async fn read(encoding: &str, body: Vec<u8>, limit: usize) -> Result<Bytes, Fault> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_ENCODING, encoding.parse().unwrap());
        decompress(&headers, Bytes::from(body), limit).await
    }

    #[tokio::test]
    async fn every_known_encoding_is_read() {
        let mut zlib = ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        zlib.write_all(TEXT).unwrap();
        // Stored, not compressed: RFC 7932 section 9.2, RFC 8878 section 3.1.1.
        let zstd = [&[0x28, 0xb5, 0x2f, 0xfd, 0x20, 0x14, 0xa1, 0, 0][..], TEXT].concat();
        let brotli = [&[0x8b, 0x09, 0x80][..], TEXT, &[0x03]].concat();
        for (encoding, body) in [
            ("identity", TEXT.to_vec()),
            ("gzip", gzip(TEXT)),
            ("X-GZIP", gzip(TEXT)),
            ("deflate", zlib.finish().unwrap()),
            ("zstd", zstd),
            ("br", brotli),
        ] {
            assert_eq!(read(encoding, body, 100).await.as_deref(), Ok(TEXT), "{encoding}");
        }
    }

    #[tokio::test]
    async fn a_bomb_goes_off_at_the_limit() {
        let bomb = gzip(&vec![b'a'; 10_000_000]);
        assert!(bomb.len() < 20_000);
        assert_eq!(read("gzip", bomb, 1_000_000).await, Err(Fault::TooLarge));
        assert_eq!(read("gzip", gzip(TEXT), TEXT.len()).await.as_deref(), Ok(TEXT));
        assert_eq!(read("gzip", gzip(TEXT), TEXT.len() - 1).await, Err(Fault::TooLarge));
    }

    #[tokio::test]
    async fn what_is_not_what_it_says_is_broken() {
        for encoding in ["gzip", "deflate", "br", "zstd"] {
            assert_eq!(read(encoding, TEXT.to_vec(), 100).await, Err(Fault::Broken), "{encoding}");
        }
        let mut cut = gzip(TEXT);
        cut.truncate(cut.len() - 5);
        assert_eq!(read("gzip", cut, 100).await, Err(Fault::Broken));
        for encoding in ["compress", "gzip, br", "x"] {
            assert_eq!(read(encoding, gzip(TEXT), 100).await, Err(Fault::Unknown), "{encoding}");
        }
    }
}
