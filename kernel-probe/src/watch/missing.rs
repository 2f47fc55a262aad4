//! What cannot be seen, in one line for each reason.

/// Joins sentences of the form `capability: reason` that have the reason in common.
pub(super) fn by_reason(missing: &[String]) -> Vec<String> {
    let mut lines: Vec<(Vec<&str>, &str)> = Vec::new();
    for sentence in missing {
        let (capability, reason) = sentence.split_once(": ").unwrap_or((sentence, ""));
        match lines.iter_mut().find(|(_, known)| *known == reason) {
            Some((capabilities, _)) => capabilities.push(capability),
            None => lines.push((vec![capability], reason)),
        }
    }
    let line = |(capabilities, reason): (Vec<&str>, &str)| {
        let capabilities = capabilities.join(", ");
        format!("{capabilities}: {reason}")
    };
    lines.into_iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_one_reason_is_one_line() {
        let missing = [
            "tag: process 7: not permitted",
            "backfill: too old",
            "accept wait: process 7: not permitted",
        ];
        assert_eq!(
            by_reason(&missing.map(str::to_owned)),
            [
                "tag, accept wait: process 7: not permitted",
                "backfill: too old"
            ]
        );
    }
}
