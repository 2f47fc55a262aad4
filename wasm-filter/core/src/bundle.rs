//! Several attributes by one host call: a CEL list, which Envoy evaluates as a whole.
//!
//! Envoy gives all of a list or nothing. Where one attribute is unset, as after a failed connect, each is
//! read on its own.

use std::borrow::Cow;

use crate::{Attribute, Expression, Host, pairs::Pairs};

/// A list of attributes, and its expression once it was needed.
#[derive(Debug)]
pub(crate) struct Bundle {
    attributes: &'static [Attribute],
    /// `None` before the first use; `Some(None)` where the proxy cannot prepare it.
    expression: Option<Option<Expression>>,
}

/// The values of a bundle, to be taken in the order of its attributes.
#[derive(Debug)]
pub(crate) struct Values<'a> {
    attributes: &'a [Attribute],
    list: Option<Pairs<'a>>,
}

// === impl Bundle ===

impl Bundle {
    pub(crate) const fn new(attributes: &'static [Attribute]) -> Self {
        Self {
            attributes,
            expression: None,
        }
    }

    /// Reads all attributes at once; `None` if one of them is unset.
    pub(crate) fn read(&mut self, host: &impl Host) -> Option<Vec<u8>> {
        let attributes = self.attributes;
        let expression = *self
            .expression
            .get_or_insert_with(|| host.compile(&expression(attributes)));
        let list = host.evaluate(expression?)?;
        (Pairs::new(&list).count() == attributes.len()).then_some(list)
    }

    /// Returns the values of `list`, as [`Self::read`] returned it.
    pub(crate) fn values<'a>(&self, list: Option<&'a [u8]>) -> Values<'a> {
        Values {
            attributes: self.attributes,
            list: list.map(Pairs::new),
        }
    }
}

// === impl Values ===

impl<'a> Values<'a> {
    /// Returns the next attribute's value, asking for it where the list could not be had.
    pub(crate) fn next(&mut self, host: &impl Host) -> Option<Cow<'a, [u8]>> {
        let (attribute, rest) = self.attributes.split_first()?;
        self.attributes = rest;
        match &mut self.list {
            Some(list) => list.next().map(|(value, _)| Cow::Borrowed(value)),
            None => host.attribute(*attribute).map(Cow::Owned),
        }
    }
}

fn expression(attributes: &[Attribute]) -> String {
    let mut list = String::from("[");
    for attribute in attributes {
        if list.len() > 1 {
            list.push(',');
        }
        list.extend(attribute.path().chars().map(|part| match part {
            '\0' => '.',
            part => part,
        }));
    }
    list.push(']');
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_expression_is_a_list_of_the_attributes() {
        let attributes = [Attribute::ResponseCode, Attribute::ClusterName];
        assert_eq!(expression(&attributes), "[response.code,xds.cluster_name]");
    }
}
