//! The token that is sent to the bridge, read from its file.

use std::{fs, path::Path};

use hyper::header::HeaderValue;

use super::SetupError;

/// Reads the header that a token makes: the first, of a file that has a token a line as the bridge's.
pub(super) fn header(path: &Path) -> Result<HeaderValue, SetupError> {
    let read = fs::read_to_string(path);
    let text = read.map_err(|source| SetupError::Read {
        path: path.to_owned(),
        source,
    })?;
    let mut lines = text.lines().map(str::trim);
    let first = lines.find(|line| !line.is_empty()).unwrap_or_default();
    let value = format!("Bearer {first}").parse();
    let mut value: HeaderValue = value.map_err(|_wrong| SetupError::Characters {
        path: path.to_owned(),
    })?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_file_with_several_tokens_the_first_is_shown() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("tokens");
        for (text, expected) in [
            (
                "\n first-token \r\nsecond-token\n",
                Some("Bearer first-token"),
            ),
            ("only-token", Some("Bearer only-token")),
            ("a\u{7f}b", None),
        ] {
            fs::write(&path, text).unwrap();
            let header = header(&path).ok();
            let header = header.as_ref().map(|value| value.to_str().unwrap());
            assert_eq!(header, expected, "{text:?}");
        }
    }
}
