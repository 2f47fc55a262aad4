//! Ids that were there before tracing: a header of the house whose value is a trace id in other clothes.

use syntrace_model::TraceId;

use super::{ConfigError, is_header, object::Object};

pub(super) const KEYS: [&str; 2] = ["header", "pattern"];

/// A header, and how its value holds 16 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HouseId {
    pub(crate) header: String,
    before: String,
    form: Form,
    after: String,
}

/// How 16 bytes are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// 8-4-4-4-12 hexadecimal digits (RFC 9562).
    Uuid,
    /// 32 hexadecimal digits.
    Hex,
}

const FORMS: [(&str, Form); 2] = [("{uuid}", Form::Uuid), ("{hex}", Form::Hex)];

/// Where the digits of a UUID are divided.
const HYPHENS: [usize; 4] = [8, 12, 16, 20];

// === impl HouseId ===

impl HouseId {
    pub(super) fn read_config(house_id: &Object<'_>) -> Result<Self, ConfigError> {
        let header = house_id.text("header", is_header, "a header's name in lower case")?;
        let header = house_id.required("header", header)?;
        let expected = "a text with one of {uuid}, {hex}, such as t-{uuid}";
        let pattern = house_id.text("pattern", |text| divide(text).is_some(), expected)?;
        let pattern = house_id.required("pattern", pattern)?;
        match divide(&pattern) {
            Some((before, form, after)) => Ok(Self {
                header,
                before: before.to_owned(),
                form,
                after: after.to_owned(),
            }),
            None => Err(house_id.contradiction("pattern", expected)),
        }
    }

    /// Reads the id in a header's value; `None` if it is not of the pattern, or all zero.
    pub(crate) fn read(&self, value: &[u8]) -> Option<TraceId> {
        let id = value.strip_prefix(self.before.as_bytes())?;
        let id = id.strip_suffix(self.after.as_bytes())?;
        let id = str::from_utf8(id).ok()?;
        let digits: String = match self.form {
            Form::Hex => id.to_ascii_lowercase(),
            Form::Uuid if id.len() == 36 => {
                let is_divided = |(place, byte): (usize, u8)| {
                    (byte == b'-') == matches!(place, 8 | 13 | 18 | 23)
                };
                if !id.bytes().enumerate().all(is_divided) {
                    return None;
                }
                id.to_ascii_lowercase().replace('-', "")
            }
            Form::Uuid => return None,
        };
        digits.parse().ok()
    }

    /// Writes an id as the header's value.
    pub(crate) fn write(&self, trace_id: TraceId) -> String {
        let mut value = self.before.clone();
        for (place, digit) in trace_id.to_string().chars().enumerate() {
            if self.form == Form::Uuid && HYPHENS.contains(&place) {
                value.push('-');
            }
            value.push(digit);
        }
        value.push_str(&self.after);
        value
    }
}

/// Divides a pattern into what comes before its one placeholder, the placeholder, and what comes after.
fn divide(pattern: &str) -> Option<(&str, Form, &str)> {
    let is_plain = |text: &str| {
        text.bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'{')
    };
    let (before, form, after) = FORMS.into_iter().find_map(|(name, form)| {
        let (before, after) = pattern.split_once(name)?;
        Some((before, form, after))
    })?;
    (is_plain(before) && is_plain(after)).then_some((before, form, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn house_id(pattern: &str) -> HouseId {
        let (before, form, after) = divide(pattern).unwrap();
        HouseId {
            header: "x-trace".to_owned(),
            before: before.to_owned(),
            form,
            after: after.to_owned(),
        }
    }

    #[test]
    fn a_house_id_survives_its_text_form() {
        let id: TraceId = "f6fa450631a1465e816146136cce11f8".parse().unwrap();
        for (pattern, text) in [
            ("t-{uuid}", "t-f6fa4506-31a1-465e-8161-46136cce11f8"),
            ("{hex}", "f6fa450631a1465e816146136cce11f8"),
            ("<{hex}>", "<f6fa450631a1465e816146136cce11f8>"),
        ] {
            assert_eq!(house_id(pattern).write(id), text);
            assert_eq!(house_id(pattern).read(text.as_bytes()), Some(id));
            assert_eq!(
                house_id(pattern)
                    .read(text.to_uppercase().as_bytes())
                    .is_some(),
                !text.starts_with('t')
            );
        }
    }

    #[test]
    fn what_is_not_of_the_pattern_is_no_id() {
        for value in [
            "",
            "t-",
            "f6fa4506-31a1-465e-8161-46136cce11f8",
            "t-f6fa4506-31a1-465e-8161-46136cce11f",
            "t-f6fa450631a1-465e-8161-46136cce11f8ab",
            "t-00000000-0000-0000-0000-000000000000",
            "t-f6fa4506-31a1-465e-8161-46136cce11fg",
        ] {
            assert_eq!(house_id("t-{uuid}").read(value.as_bytes()), None, "{value}");
        }
    }

    #[test]
    fn a_pattern_has_one_placeholder() {
        for pattern in ["", "t-", "{uuid}{uuid}", "{id}", "t {uuid}", "{hex}{uuid}"] {
            assert_eq!(divide(pattern), None, "{pattern}");
        }
    }
}
