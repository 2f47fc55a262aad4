//! Reads JSON objects strictly: each error names the key, what was found, and what was expected.

use super::is_name;
use crate::json::{Json, JsonError};

/// Longest part of a wrong value that an error shows.
const MAX_SHOWN_CHARS: usize = 60;

/// A configuration that Envoy must refuse. Keys are paths, such as `dye.rules[0].percent`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The text is not JSON.
    #[error("configuration is not JSON: {0}")]
    Json(#[from] JsonError),
    /// A key is not one of ours.
    #[error("unknown key `{key}`, expected one of {expected}")]
    UnknownKey {
        /// The key.
        key: String,
        /// Those that there are.
        expected: String,
    },
    /// A value is not what its key needs.
    #[error("`{key}` is {found}, expected {expected}")]
    Value {
        /// The key.
        key: String,
        /// The value, as JSON, shortened; `missing` without one.
        found: String,
        /// What it should be.
        expected: String,
    },
}

/// A JSON object within the configuration.
#[derive(Clone, Debug)]
pub(crate) struct Object<'a> {
    /// Empty at the top.
    path: String,
    entries: &'a [(String, Json)],
}

// === impl Object ===

impl<'a> Object<'a> {
    /// Takes a value for an object with no other keys than `keys`.
    pub(super) fn new(path: String, value: &'a Json, keys: &[&str]) -> Result<Self, ConfigError> {
        let object = Self::any(path, value)?;
        object.check_keys(keys)?;
        Ok(object)
    }

    fn any(path: String, value: &'a Json) -> Result<Self, ConfigError> {
        let Json::Object(entries) = value else {
            let key = if path.is_empty() {
                "configuration"
            } else {
                &path
            };
            return Err(wrong(key.to_owned(), value, "a JSON object"));
        };
        Ok(Self { path, entries })
    }

    /// Refuses any other key than `keys`.
    pub(super) fn check_keys(&self, keys: &[&str]) -> Result<(), ConfigError> {
        let unknown = self
            .entries
            .iter()
            .map(|(key, _)| key)
            .find(|key| !keys.contains(&key.as_str()));
        unknown.map_or(Ok(()), |key| {
            Err(ConfigError::UnknownKey {
                key: self.key(key),
                expected: keys.join(", "),
            })
        })
    }

    fn get(&self, key: &str) -> Option<&'a Json> {
        let (_, value) = self.entries.iter().find(|(name, _)| name == key)?;
        Some(value)
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// Reads a whole number from `least` to `most`.
    pub(super) fn number(
        &self,
        key: &str,
        least: u32,
        most: u32,
    ) -> Result<Option<u32>, ConfigError> {
        let expected = || format!("a whole number from {least} to {most}");
        self.read(key, expected, |value| {
            let Json::Number(number) = value else {
                return None;
            };
            let number = number.parse().ok()?;
            (least..=most).contains(&number).then_some(number)
        })
    }

    /// Reads a name: 1 to 200 visible ASCII characters.
    pub(super) fn name(&self, key: &str) -> Result<Option<String>, ConfigError> {
        self.text(key, is_name, "a text of 1 to 200 visible ASCII characters")
    }

    /// Reads a text that `is_valid`.
    pub(super) fn text(
        &self,
        key: &str,
        is_valid: impl Fn(&str) -> bool,
        expected: &str,
    ) -> Result<Option<String>, ConfigError> {
        self.read(
            key,
            || expected.to_owned(),
            |value| {
                let text = value.as_text()?;
                is_valid(text).then(|| text.to_owned())
            },
        )
    }

    /// Reads a list of texts of which each `is_valid`.
    pub(super) fn texts(
        &self,
        key: &str,
        is_valid: impl Fn(&str) -> bool,
        expected: &str,
    ) -> Result<Option<Vec<String>>, ConfigError> {
        self.each(key, |path, item| match item.as_text() {
            Some(text) if is_valid(text) => Ok(text.to_owned()),
            Some(_) | None => Err(wrong(path, item, expected)),
        })
    }

    /// Reads one of some words.
    pub(super) fn choice<T: Copy>(
        &self,
        key: &str,
        choices: &[(&str, T)],
    ) -> Result<Option<T>, ConfigError> {
        self.read(key, || words(choices), |value| chosen(value, choices))
    }

    /// Reads a list of some words.
    pub(super) fn choices<T: Copy>(
        &self,
        key: &str,
        choices: &[(&str, T)],
    ) -> Result<Option<Vec<T>>, ConfigError> {
        self.each(key, |path, item| {
            chosen(item, choices).ok_or_else(|| wrong(path, item, &words(choices)))
        })
    }

    /// Reads an object with no other keys than `keys`.
    pub(super) fn object(&self, key: &str, keys: &[&str]) -> Result<Option<Self>, ConfigError> {
        let object = self.get(key);
        object
            .map(|value| Object::new(self.key(key), value, keys))
            .transpose()
    }

    /// Reads a list of objects.
    pub(super) fn list<T>(
        &self,
        key: &str,
        read: impl Fn(&Self) -> Result<T, ConfigError>,
    ) -> Result<Option<Vec<T>>, ConfigError> {
        self.each(key, |path, item| read(&Object::any(path, item)?))
    }

    /// Refuses an object without this key.
    pub(super) fn required<T>(&self, key: &str, value: Option<T>) -> Result<T, ConfigError> {
        value.ok_or_else(|| self.contradiction(key, "a value"))
    }

    /// Returns what is wrong with a value that others contradict.
    pub(super) fn contradiction(&self, key: &str, expected: &str) -> ConfigError {
        match self.get(key) {
            Some(value) => wrong(self.key(key), value, expected),
            None => ConfigError::Value {
                key: self.key(key),
                found: "missing".to_owned(),
                expected: expected.to_owned(),
            },
        }
    }

    fn each<T>(
        &self,
        key: &str,
        mut read: impl FnMut(String, &'a Json) -> Result<T, ConfigError>,
    ) -> Result<Option<Vec<T>>, ConfigError> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        let Json::List(items) = value else {
            return Err(wrong(self.key(key), value, "a list"));
        };
        let items = items.iter().enumerate();
        let read = items.map(|(index, item)| read(format!("{}[{index}]", self.key(key)), item));
        read.collect::<Result<_, _>>().map(Some)
    }

    fn read<T>(
        &self,
        key: &str,
        expected: impl FnOnce() -> String,
        read: impl FnOnce(&Json) -> Option<T>,
    ) -> Result<Option<T>, ConfigError> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        match read(value) {
            Some(read) => Ok(Some(read)),
            None => Err(wrong(self.key(key), value, &expected())),
        }
    }

    /// Reads a value that `read` understands.
    pub(super) fn value<T>(
        &self,
        key: &str,
        expected: &str,
        read: impl FnOnce(&Json) -> Option<T>,
    ) -> Result<Option<T>, ConfigError> {
        self.read(key, || expected.to_owned(), read)
    }

    /// Names a key by its path; one line of bounded length, whatever the key is.
    fn key(&self, key: &str) -> String {
        let key: String = key.escape_default().take(MAX_SHOWN_CHARS).collect();
        if self.path.is_empty() {
            key
        } else {
            format!("{}.{key}", self.path)
        }
    }
}

fn chosen<T: Copy>(value: &Json, choices: &[(&str, T)]) -> Option<T> {
    let word = value.as_text()?;
    let choice = choices.iter().find(|(name, _)| *name == word)?;
    Some(choice.1)
}

fn words<T>(choices: &[(&str, T)]) -> String {
    let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
    format!("one of {}", words.join(", "))
}

fn wrong(key: String, found: &Json, expected: &str) -> ConfigError {
    ConfigError::Value {
        key,
        found: found.shown(MAX_SHOWN_CHARS),
        expected: expected.to_owned(),
    }
}
