//! The tokens of an address: read from a file, compared in constant time, never printed.

use std::{fmt, fs, io, path::Path};

use axum::http::{HeaderMap, header};
use subtle::ConstantTimeEq as _;

/// A shorter one could be guessed.
const TOKEN_BYTES_MIN: usize = 16;

/// Tokens of which any opens; several, so that one can be replaced without an interruption.
pub struct Tokens(Vec<Box<str>>);

/// A file that holds no tokens.
#[derive(Debug, thiserror::Error)]
pub enum TokensError {
    /// It cannot be read.
    #[error(transparent)]
    Unreadable(io::Error),
    /// It has no line that is not empty.
    #[error("expected a token a line, found none")]
    Empty,
    /// A token could be guessed, or not be sent.
    #[error(
        "line {line}: expected a token of {TOKEN_BYTES_MIN} or more printable ASCII characters"
    )]
    Unfit {
        /// The line, from 1.
        line: usize,
    },
}

impl Tokens {
    /// Reads a file of one token a line; lines that are empty do not count.
    ///
    /// # Errors
    ///
    /// [`TokensError`], which never holds a token.
    pub fn read(path: &Path) -> Result<Self, TokensError> {
        Self::parse(&fs::read_to_string(path).map_err(TokensError::Unreadable)?)
    }

    fn parse(text: &str) -> Result<Self, TokensError> {
        let mut tokens = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let token = line.trim();
            if token.is_empty() {
                continue;
            }
            if token.len() < TOKEN_BYTES_MIN || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(TokensError::Unfit { line: index + 1 });
            }
            tokens.push(token.into());
        }
        if tokens.is_empty() {
            return Err(TokensError::Empty);
        }
        Ok(Self(tokens))
    }

    /// Returns whether the headers carry one of the tokens (RFC 6750, section 2.1).
    ///
    /// The time it takes reveals the tokens' lengths and nothing else.
    #[must_use]
    pub fn admit(&self, headers: &HeaderMap) -> bool {
        let value = headers
            .get(header::AUTHORIZATION)
            .map_or(&b""[..], |value| value.as_bytes());
        let Some((scheme, token)) = value.split_at_checked("Bearer ".len()) else {
            return false;
        };
        let of_scheme = scheme.eq_ignore_ascii_case(b"Bearer ");
        let found = self.0.iter().fold(0, |found, expected| {
            found | token.ct_eq(expected.as_bytes()).unwrap_u8()
        });
        of_scheme && found == 1
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokens({} not shown)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    const FIRST: &str = "0123456789abcdef";
    const SECOND: &str = "fedcba9876543210-and-more";

    #[test]
    fn each_token_opens_and_nothing_else_does() {
        let tokens = Tokens::parse(&format!("{FIRST}\n\n  {SECOND} \r\n")).unwrap();
        for header in [format!("Bearer {FIRST}"), format!("bearer {SECOND}")] {
            assert!(tokens.admit(&headers(&header)), "{header}");
        }
        let wrong = [
            "Bearer ".to_owned(),
            format!("Bearer {FIRST}x"),
            format!("Bearer {}", &FIRST[..15]),
            format!("Basic  {FIRST}"),
            FIRST.to_owned(),
            String::new(),
        ];
        for header in wrong {
            assert!(!tokens.admit(&headers(&header)), "{header}");
        }
        assert!(!tokens.admit(&HeaderMap::new()));
    }

    #[test]
    fn a_file_without_a_token_that_protects_is_refused_without_showing_it() {
        for text in [
            "",
            "\n\n",
            "short",
            "0123456789 abcdef",
            "0123456789abcde\u{e9}",
        ] {
            let error = Tokens::parse(text).unwrap_err();
            assert!(text.trim().is_empty() || !error.to_string().contains(text));
        }
    }

    #[test]
    fn tokens_are_not_shown() {
        let tokens = Tokens::parse(FIRST).unwrap();
        assert_eq!(format!("{tokens:?}"), "Tokens(1 not shown)");
    }

    fn headers(authorization: &str) -> HeaderMap {
        let value = HeaderValue::from_str(authorization).unwrap();
        [(header::AUTHORIZATION, value)].into_iter().collect()
    }
}
