//! Reads JSON (RFC 8259), for the configuration.
//!
//! Not `serde_json`: that is a fifth of the module's size, most of it for numbers with a fraction, which
//! stay text here. What it does not do: keep white space, or write anything but a wrong value for an error.

/// Objects and lists within each other; more are no configuration.
const MAX_DEPTH: usize = 16;

/// A JSON value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    /// As it was written.
    Number(String),
    Text(String),
    List(Vec<Self>),
    /// In the order in which it was written; no key twice.
    Object(Vec<(String, Self)>),
}

/// Where text stops to be JSON, and what was expected there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected} at byte {at}")]
pub struct JsonError {
    expected: &'static str,
    /// The first is 0.
    at: usize,
}

// === impl Json ===

impl Json {
    /// Reads one value, with nothing but white space around it.
    ///
    /// # Errors
    ///
    /// [`JsonError`] says where and what.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, JsonError> {
        let mut reader = Reader { text, at: 0 };
        let value = reader.value(0)?;
        reader.skip_space();
        match reader.peek() {
            None => Ok(value),
            Some(_) => Err(reader.error("nothing more")),
        }
    }

    /// Returns the text that the value is.
    pub(crate) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::List(_) | Self::Object(_) => None,
        }
    }

    /// Writes the value as JSON, cut at about `limit` bytes.
    pub(crate) fn shown(&self, limit: usize) -> String {
        let mut to = String::new();
        self.show(&mut to, limit);
        match to.char_indices().nth(limit) {
            Some((end, _)) => {
                to.truncate(end);
                to.push_str("...");
                to
            }
            None => to,
        }
    }

    fn show(&self, to: &mut String, limit: usize) {
        if to.len() > limit {
            return;
        }
        match self {
            Self::Null => to.push_str("null"),
            Self::Bool(true) => to.push_str("true"),
            Self::Bool(false) => to.push_str("false"),
            Self::Number(number) => to.push_str(number),
            Self::Text(text) => quote(text, to, limit),
            Self::List(items) => {
                to.push('[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        to.push(',');
                    }
                    item.show(to, limit);
                }
                to.push(']');
            }
            Self::Object(entries) => {
                to.push('{');
                for (index, (key, value)) in entries.iter().enumerate() {
                    if index > 0 {
                        to.push(',');
                    }
                    quote(key, to, limit);
                    to.push(':');
                    value.show(to, limit);
                }
                to.push('}');
            }
        }
    }
}

fn quote(text: &str, to: &mut String, limit: usize) {
    to.push('"');
    for character in text.chars().take(limit + 1) {
        match character {
            '"' | '\\' => to.extend(['\\', character]),
            // A line of Envoy's log stays one line.
            character if character.is_control() => to.push('\u{fffd}'),
            character => to.push(character),
        }
    }
    to.push('"');
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

// === impl Reader ===

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    const fn error(&self, expected: &'static str) -> JsonError {
        JsonError {
            expected,
            at: self.at,
        }
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    /// Takes `byte`, if it is the next one after white space.
    fn take(&mut self, byte: u8) -> bool {
        self.skip_space();
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    fn expect(&mut self, byte: u8, expected: &'static str) -> Result<(), JsonError> {
        if self.take(byte) {
            Ok(())
        } else {
            Err(self.error(expected))
        }
    }

    fn value(&mut self, depth: usize) -> Result<Json, JsonError> {
        self.skip_space();
        if depth > MAX_DEPTH {
            return Err(self.error("less depth"));
        }
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.list(depth),
            Some(b'"') => self.string().map(Json::Text),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => [
                ("null", Json::Null),
                ("true", Json::Bool(true)),
                ("false", Json::Bool(false)),
            ]
            .into_iter()
            .find(|(word, _)| self.word(word))
            .map(|(_, value)| value)
            .ok_or_else(|| self.error("a value")),
        }
    }

    fn word(&mut self, word: &str) -> bool {
        let is_next = self
            .text
            .get(self.at..)
            .is_some_and(|rest| rest.starts_with(word.as_bytes()));
        if is_next {
            self.at += word.len();
        }
        is_next
    }

    fn object(&mut self, depth: usize) -> Result<Json, JsonError> {
        self.at += 1;
        let mut entries: Vec<(String, Json)> = Vec::new();
        if self.take(b'}') {
            return Ok(Json::Object(entries));
        }
        loop {
            self.skip_space();
            if self.peek() != Some(b'"') {
                return Err(self.error("a key"));
            }
            let key = self.string()?;
            if entries.iter().any(|(earlier, _)| *earlier == key) {
                return Err(self.error("no key twice"));
            }
            self.expect(b':', "`:`")?;
            entries.push((key, self.value(depth + 1)?));
            if !self.take(b',') {
                self.expect(b'}', "`,` or `}`")?;
                return Ok(Json::Object(entries));
            }
        }
    }

    fn list(&mut self, depth: usize) -> Result<Json, JsonError> {
        self.at += 1;
        let mut items = Vec::new();
        if self.take(b']') {
            return Ok(Json::List(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            if !self.take(b',') {
                self.expect(b']', "`,` or `]`")?;
                return Ok(Json::List(items));
            }
        }
    }

    fn number(&mut self) -> Result<Json, JsonError> {
        let from = self.at;
        self.at += usize::from(self.peek() == Some(b'-'));
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        let number = self.text.get(from..self.at).unwrap_or_default();
        Ok(Json::Number(String::from_utf8_lossy(number).into_owned()))
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        let from = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at == from {
            return Err(self.error("a digit"));
        }
        Ok(())
    }

    fn string(&mut self) -> Result<String, JsonError> {
        let from = self.at;
        self.at += 1;
        let mut bytes = Vec::new();
        loop {
            match self.next() {
                Some(b'"') => break,
                Some(b'\\') => {
                    let mut buffer = [0; 4];
                    let escaped = self.escaped()?.encode_utf8(&mut buffer);
                    bytes.extend_from_slice(escaped.as_bytes());
                }
                None | Some(0..=0x1f) => return Err(self.error("a string's end")),
                Some(byte) => bytes.push(byte),
            }
        }
        String::from_utf8(bytes).map_err(|_invalid| JsonError {
            expected: "UTF-8",
            at: from,
        })
    }

    fn escaped(&mut self) -> Result<char, JsonError> {
        Ok(match self.next() {
            Some(byte @ (b'"' | b'\\' | b'/')) => char::from(byte),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let first = self.unit()?;
                let code = match first {
                    0xd800..=0xdbff if self.word("\\u") => {
                        let second = self.unit()?.wrapping_sub(0xdc00);
                        if second > 0x3ff {
                            return Err(self.error("a low surrogate"));
                        }
                        0x1_0000 + ((first - 0xd800) << 10 | second)
                    }
                    code => code,
                };
                char::from_u32(code).ok_or_else(|| self.error("a character"))?
            }
            _ => return Err(self.error("an escape")),
        })
    }

    /// Reads the four digits of `\u`.
    fn unit(&mut self) -> Result<u32, JsonError> {
        let mut unit = 0;
        for _ in 0..4 {
            let digit = self.next().and_then(|byte| char::from(byte).to_digit(16));
            unit = unit << 4 | digit.ok_or_else(|| self.error("a hexadecimal digit"))?;
        }
        Ok(unit)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn same(ours: &Json, theirs: &Value) -> bool {
        match (ours, theirs) {
            (Json::Null, Value::Null) => true,
            (Json::Bool(ours), Value::Bool(theirs)) => ours == theirs,
            (Json::Number(ours), Value::Number(theirs)) => {
                ours.parse::<f64>().ok() == theirs.as_f64()
            }
            (Json::Text(ours), Value::String(theirs)) => ours == theirs,
            (Json::List(ours), Value::Array(theirs)) => {
                ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(a, b)| same(a, b))
            }
            (Json::Object(ours), Value::Object(theirs)) => {
                ours.len() == theirs.len()
                    && ours.iter().all(|(key, value)| same(value, &theirs[key]))
            }
            _ => false,
        }
    }

    #[test]
    fn what_is_not_json_is_named_by_its_place() {
        for (text, message) in [
            ("", "expected a value at byte 0"),
            ("{", "expected a key at byte 1"),
            ("{\"a\" 1}", "expected `:` at byte 5"),
            ("[1 2]", "expected `,` or `]` at byte 3"),
            ("1 2", "expected nothing more at byte 2"),
            ("{\"a\":1,\"a\":2}", "expected no key twice at byte 10"),
            ("\"\\ud800\\u0041\"", "expected a low surrogate at byte 13"),
            (&"[".repeat(40), "expected less depth at byte 17"),
        ] {
            let error = Json::parse(text.as_bytes()).unwrap_err();
            assert_eq!(error.to_string(), message, "{text}");
        }
    }

    #[test]
    fn a_shown_value_is_one_short_line() {
        let json = Json::parse(br#"{"a": ["x\ny\"", 1.5e3, null, true, {}]}"#).unwrap();
        assert_eq!(
            json.shown(60),
            "{\"a\":[\"x\u{fffd}y\\\"\",1.5e3,null,true,{}]}"
        );
        assert_eq!(json.shown(5), "{\"a\":...");
    }

    proptest! {
        #[test]
        fn it_reads_what_serde_reads(text in r#"([\[\]{},:]|"[a-z\\"é]{0,3}"|[-0-9.eE+]{1,4}|true|null|\\u[0-9a-f]{4}| ){0,12}"#) {
            let theirs = serde_json::from_str::<Value>(&text);
            match (Json::parse(text.as_bytes()), theirs) {
                (Ok(ours), Ok(theirs)) => prop_assert!(same(&ours, &theirs), "{text}"),
                (Err(_), Err(_)) => {}
                // It takes the last of two; and a number beyond its range for an error.
                (Err(error), Ok(_)) => prop_assert_eq!(error.expected, "no key twice"),
                (Ok(_), Err(error)) => {
                    prop_assert!(error.to_string().starts_with("number out of range"), "{text}: {error}");
                }
            }
        }

        #[test]
        fn no_bytes_break_the_reader(bytes: Vec<u8>) {
            prop_assert!(Json::parse(&bytes).is_ok() || Json::parse(&bytes).is_err());
        }
    }
}
