//! Data inside a body: files and `data:` URLs that are text after all, and what only the upstream can open.

use data_encoding::{BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD};
use percent_encoding::percent_decode_str;

/// The text of a file's data: a `data:` URL, or base64 alone.
pub(super) fn readable(data: &str) -> Option<String> {
    readable_url(data).or_else(|| text_of(base64(data)?))
}

/// The text that a `data:` URL holds, when its media type is one of text (RFC 2397).
pub(super) fn readable_url(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once(':')?;
    let (media, data) = rest.split_once(',')?;
    if !scheme.trim().eq_ignore_ascii_case("data") {
        return None;
    }
    let mut parameters = media.split(';').map(str::trim);
    let kind = parameters.next().unwrap_or_default().to_ascii_lowercase();
    let is_text = kind.is_empty()
        || kind.starts_with("text/")
        || ["json", "xml", "yaml", "csv", "javascript"].iter().any(|name| kind.ends_with(name));
    let bytes = match parameters.any(|parameter| parameter.eq_ignore_ascii_case("base64")) {
        true => base64(data)?,
        false => percent_decode_str(data).collect(),
    };
    text_of(bytes).filter(|_| is_text)
}

fn base64(data: &str) -> Option<Vec<u8>> {
    let data: Vec<u8> = data.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    [BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD].iter().find_map(|alphabet| alphabet.decode(&data).ok())
}

/// Bytes as text, where they are text.
fn text_of(bytes: Vec<u8>) -> Option<String> {
    String::from_utf8(bytes).ok().filter(|text| !text.contains('\0'))
}

/// What only the upstream can open: a long run of base64 that is no text.
pub(super) fn is_sealed(text: &str) -> bool {
    text.len() >= 40
        && !text.contains(char::is_whitespace)
        && base64(text).is_some_and(|bytes| text_of(bytes).is_none())
}

/// Whether a string is data, or says where data is: a file, an image, what the upstream has sealed for itself.
pub(crate) fn is_data(key: &str, said: &str) -> bool {
    const DATA: [&str; 12] = [
        "url",
        "image_url",
        "file_url",
        "file_data",
        "file_id",
        "input_audio",
        "data",
        "encrypted_content",
        "signature",
        "thought_signature",
        "partial_image_b64",
        "b64_json",
    ];
    DATA.contains(&key) || (said.len() > 256 && is_sealed(said))
}
