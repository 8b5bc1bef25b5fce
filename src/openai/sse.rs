//! Server-sent events: bytes in, events out. Accepts CRLF, CR and LF, comments, `data:` without a space, multi-line data.

use bytes::{Bytes, BytesMut};

/// The end of an OpenAI stream.
pub const DONE: &str = "[DONE]";

/// One event's data, its lines joined by `\n`.
pub type Data = String;

/// Cuts a stream into its events as its bytes come: each event is the bytes up to and with the blank line that ends it.
#[derive(Default)]
pub struct Decoder {
    bytes: BytesMut,
    /// Up to here there is no end of an event.
    seen: usize,
    /// Whether the line at `seen` has begun.
    in_line: bool,
}

impl Decoder {
    /// Takes the next bytes of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Bytes that wait for the end of their event.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.bytes.len()
    }

    /// The next whole event.
    pub fn next_event(&mut self) -> Option<Bytes> {
        while let Some(byte) = self.bytes.get(self.seen) {
            let width = match (byte, self.bytes.get(self.seen + 1)) {
                // Its line feed may be still to come.
                (b'\r', None) => return None,
                (b'\r', Some(b'\n')) => 2,
                (b'\r' | b'\n', _) => 1,
                _ => {
                    self.in_line = true;
                    self.seen += 1;
                    continue;
                }
            };
            self.seen += width;
            if !std::mem::take(&mut self.in_line) {
                return Some(self.bytes.split_to(std::mem::take(&mut self.seen)).freeze());
            }
        }
        None
    }

    /// What is left at the end of the stream: an event that the stream breaks off is one too, nothing stays unread.
    pub fn rest(&mut self) -> Option<Bytes> {
        self.seen = 0;
        Some(self.bytes.split().freeze()).filter(|rest| !rest.is_empty())
    }
}

/// The data of one event as it came; `None` for an event that is only a comment.
///
/// # Errors
/// When it is not UTF-8.
pub fn data(event: &[u8]) -> Result<Option<Data>, std::str::Utf8Error> {
    events(event).map(|mut events| events.pop())
}

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

    /// The events of a stream that comes in pieces.
    fn decoded(pieces: &[&[u8]]) -> Vec<Bytes> {
        let (mut decoder, mut events) = (Decoder::default(), Vec::new());
        for piece in pieces {
            decoder.push(piece);
            events.extend(std::iter::from_fn(|| decoder.next_event()));
        }
        events.extend(decoder.rest());
        events
    }

    #[test]
    fn an_event_is_whole_with_its_blank_line() {
        let stream = b": hi\r\n\r\ndata: a\ndata: b\n\ndata: c\r\rdata: half";
        let events = decoded(&[stream]);
        assert_eq!(events, [": hi\r\n\r\n", "data: a\ndata: b\n\n", "data: c\r\r", "data: half"]);
        let read: Vec<Option<Data>> = events.iter().map(|event| data(event).unwrap()).collect();
        assert_eq!(read, [None, Some("a\nb".to_owned()), Some("c".to_owned()), Some("half".to_owned())]);
    }

    proptest! {
        #[test]
        fn events_do_not_depend_on_how_the_bytes_come(
            lines in proptest::collection::vec(("(data: ?|: |event: )[^\r\n]{0,12}|", "\r\n|\n|\r"), 0..30),
            size in 1_usize..9,
        ) {
            let stream: String = lines.iter().flat_map(|(line, end)| [line.as_str(), end]).collect();
            let pieces: Vec<&[u8]> = stream.as_bytes().chunks(size).collect();
            let events = decoded(&pieces);
            prop_assert_eq!(&events, &decoded(&[stream.as_bytes()]));
            prop_assert_eq!(events.concat(), stream.as_bytes());
            let read: Vec<Data> = events.iter().filter_map(|event| data(event).unwrap()).collect();
            prop_assert_eq!(read, super::events(stream.as_bytes()).unwrap());
        }

        #[test]
        fn what_is_written_is_read(data in proptest::collection::vec("[^\r\n]{0,40}", 0..20)) {
            let stream: String = data.iter().map(|data| event(data)).collect();
            prop_assert_eq!(events(stream.as_bytes()).unwrap(), data);
        }
    }
}
