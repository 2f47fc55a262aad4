//! The page that lists every sentence, how it is shown, and that it holds.

use std::fmt::Write as _;

use super::{Recommendation, case::Settings, case::Shown};

const HEAD: &str = "# Conformance

What a service behind Envoy with the filter received, held against the recommendations on propagation, sentence by sentence:
W3C Trace Context level 2 (what level 1 says otherwise is in the rows), W3C Baggage, and B3. Every case is a request through a
real Envoy to a service that answers with the header lines that it got.

Written by `integration/tests/filter_in_envoy/conformance`: `UPDATE=1` writes it anew, any other run fails if a case fails or
the page is not this one. A sentence that is not shown by a request says why.

";

/// Writes the page of recommendations of which every case holds.
pub(super) fn write(recommendations: &[Recommendation]) -> String {
    let mut page = HEAD.to_owned();
    let mut counts = (0, 0);
    for recommendation in recommendations {
        writeln!(page, "## {}\n", recommendation.title).unwrap();
        page.push_str("| section | sentence | shown by | result |\n| --- | --- | --- | --- |\n");
        for sentence in &recommendation.sentences {
            let (shown, result) = match &sentence.shown {
                Shown::By(cases) => {
                    counts.0 += 1;
                    counts.1 += cases.len();
                    let names: Vec<_> = cases
                        .iter()
                        .map(|case| {
                            let settings = case.settings.text();
                            if case.settings == Settings::Default {
                                case.name.clone()
                            } else {
                                format!("{} (`{settings}`)", case.name)
                            }
                        })
                        .collect();
                    (names.join("; "), format!("{0} of {0}", cases.len()))
                }
                Shown::Not(why) => ((*why).to_owned(), "-".to_owned()),
            };
            writeln!(
                page,
                "| {} | {} | {} | {result} |",
                sentence.section,
                cell(sentence.text),
                cell(&shown)
            )
            .unwrap();
        }
        page.push('\n');
    }
    let (sentences, cases) = counts;
    writeln!(
        page,
        "{sentences} sentences are shown by {cases} cases; all of them hold."
    )
    .unwrap();
    page
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
