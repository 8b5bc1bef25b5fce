//! Server-sent events: bytes in, events out. Accepts CRLF, CR and LF, comments, `data:` without a space, multi-line data.

/// The end of an OpenAI stream.
pub const DONE: &str = "[DONE]";

/// One event's data, its lines joined by `\n`.
pub type Data = String;

/// The data of each event in a whole stream. An event that the stream breaks off is one too: nothing stays unread.
///
/// # Errors
/// When the stream is not UTF-8.
pub fn events(stream: &[u8]) -> Result<Vec<Data>, std::str::Utf8Error> {
    let stream = std::str::from_utf8(stream)?;
    let stream = stream.strip_prefix('\u{feff}').unwrap_or(stream);
    let mut events = Vec::new();
    let mut data: Option<Data> = None;
    for line in lines(stream) {
        if line.is_empty() {
            events.extend(data.take());
        } else if let Some(value) = field(line, "data") {
            match &mut data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => data = Some(value.to_owned()),
            }
        }
    }
    events.extend(data);
    Ok(events)
}

/// One event as it is written.
#[must_use]
pub fn event(data: &str) -> String {
    format!("data: {data}\n\n")
}

/// Lines that end in CRLF, LF or CR.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let Some(end) = text.find(['\r', '\n']) else {
            rest = None;
            return Some(text);
        };
        let (line, tail) = text.split_at(end);
        rest = tail.strip_prefix("\r\n").or_else(|| tail.strip_prefix(['\r', '\n']));
        Some(line)
    })
}

fn field<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let value = line.strip_prefix(name)?;
    if value.is_empty() {
        return Some(value);
    }
    let value = value.strip_prefix(':')?;
    Some(value.strip_prefix(' ').unwrap_or(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn all_spellings_of_a_stream_are_read() {
        let stream = ": comment\r\ndata: a\r\n\r\nevent: x\rdata:b\rdata:  c\r\rid: 1\n\ndata: [DONE]\n\n";
        assert_eq!(events(stream.as_bytes()).unwrap(), ["a", "b\n c", DONE]);
    }

    #[test]
    fn an_event_that_is_broken_off_is_read() {
        assert_eq!(events(b"data: a\n\ndata: half").unwrap(), ["a", "half"]);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(data in proptest::collection::vec("[^\r\n]{0,40}", 0..20)) {
            let stream: String = data.iter().map(|data| event(data)).collect();
            prop_assert_eq!(events(stream.as_bytes()).unwrap(), data);
        }
    }
}
