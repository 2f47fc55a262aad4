//! Two pictures as SVG: processor time by variant, and latency by percentile. Colours that can be read on light and
//! on dark pages; no script, no font of its own.

use std::fmt::Write as _;

use super::figures::{Figure, Summary};

const WIDTH: f64 = 860.0;
const ROW: f64 = 26.0;
const LEFT: f64 = 210.0;
const RIGHT: f64 = 90.0;
const TOP: f64 = 44.0;

/// Text and intervals follow the page's own lightness; bars and lines are of middle lightness. Ours are orange.
const STYLE: &str = "<style>text{font:13px sans-serif;fill:#444c56}line,path{fill:none}.t{font-size:15px}\
    .s{font-size:12px}.a{stroke:#8b949e;stroke-width:1}.w{stroke:#24292f;stroke-width:1.6}.b{fill:#6ca0ea}.o{fill:#e0885a}\
    @media(prefers-color-scheme:dark){text{fill:#adbac7}.w{stroke:#e6edf3}}</style>";

/// Of the lines, by variant: the two equal ones have one colour, and the second is broken.
const LINES: [(&str, &str); 4] = [
    ("nothing", "stroke=\"#8b949e\""),
    (
        "nothing_again",
        "stroke=\"#8b949e\" stroke-dasharray=\"6 4\"",
    ),
    ("everything", "stroke=\"#d4662c\""),
    (
        "everything_yielding",
        "stroke=\"#d4662c\" stroke-dasharray=\"6 4\"",
    ),
];

/// Draws what a request costs the gateway's worker, a bar for each variant of HTTP/1.1 with connections that are kept,
/// with its 95 % interval; `None` without figures.
#[must_use]
pub fn processor_picture(summary: &Summary) -> Option<String> {
    let bars: Vec<_> = summary.below("chain.cpu_us.http1.").collect();
    let most = bars
        .iter()
        .map(|(_, figure)| high(figure))
        .max_by(f64::total_cmp)?;
    let scale = (WIDTH - LEFT - RIGHT) / most;
    let height = TOP + ROW * bars.len() as f64 + 30.0;
    let mut svg = head(
        height,
        "Processor time of the gateway's worker for a request, microseconds",
    );
    for (row, (name, figure)) in bars.iter().enumerate() {
        let y = TOP + ROW * row as f64;
        let value = figure.value.unwrap_or_default();
        let (low, high) = figure.interval.unwrap_or((value, value));
        let class = if is_ours(name) { "o" } else { "b" };
        let middle = y + ROW / 2.0 - 3.0;
        let (top, end) = (middle - 4.0, middle + 4.0);
        let (from, to) = (LEFT + low * scale, LEFT + high * scale);
        writeln!(
            svg,
            "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\">{}</text>\
             <rect class=\"{class}\" x=\"{LEFT}\" y=\"{y:.0}\" width=\"{:.1}\" height=\"{:.0}\" rx=\"2\"/>\
             <path class=\"w\" d=\"M{from:.1} {top:.0}V{end:.0}M{from:.1} {middle:.0}H{to:.1}M{to:.1} {top:.0}V{end:.0}\"/>\
             <text x=\"{:.1}\" y=\"{:.0}\">{value:.1}</text>",
            LEFT - 8.0,
            y + 14.0,
            words(name),
            value * scale,
            ROW - 6.0,
            to.max(LEFT + value * scale) + 6.0,
            y + 14.0,
        )
        .ok()?;
    }
    let below = height - 10.0;
    writeln!(
        svg,
        "<text class=\"s\" x=\"{LEFT}\" y=\"{below:.0}\">orange: Syntrace; blue: nothing, and what one would use instead; lines: 95 % intervals</text>"
    )
    .ok()?;
    Some(svg + "</svg>\n")
}

/// One variant: percentile, latency and its interval, microseconds.
type Curve<'a> = (&'a str, Vec<(f64, f64, (f64, f64))>);

/// Draws the latency that the clients saw by percentile, a line for each variant at 50 % of the peak, with the intervals
/// of nothing and everything; `None` without figures.
#[must_use]
pub fn latency_picture(summary: &Summary) -> Option<String> {
    let mut curves: Vec<Curve<'_>> = Vec::new();
    for (rest, figure) in summary.below("chain.latency_us.50.") {
        let (name, percentile) = rest.split_once(".p")?;
        let value = figure.value?;
        let interval = figure.interval.unwrap_or((value, value));
        let point = (percentile.parse().ok()?, value, interval);
        match curves.iter_mut().find(|(other, _)| *other == name) {
            Some((_, points)) => points.push(point),
            None => curves.push((name, vec![point])),
        }
    }
    let all = || curves.iter().flat_map(|(_, points)| points);
    let most = all().map(|(.., ends)| ends.1).max_by(f64::total_cmp)?;
    let least = all().map(|(.., ends)| ends.0).min_by(f64::total_cmp)?;
    let nines = |percentile: f64| -(1.0 - percentile / 100.0).log10();
    let last = all().map(|(p, ..)| nines(*p)).max_by(f64::total_cmp)?;
    let (bottom, right) = (330.0, WIDTH - RIGHT);
    let x = |percentile: f64| 70.0 + (right - 70.0) * nines(percentile) / last;
    let marks = marks(least, most);
    let (lowest, highest) = marks.first().zip(marks.last())?;
    let y = |us: f64| TOP + (bottom - TOP) * (highest / us).log10() / (highest / lowest).log10();
    let mut svg = head(
        380.0,
        "Latency at 50 % of the peak, by percentile, microseconds",
    );
    for us in &marks {
        let at = y(*us);
        writeln!(
            svg,
            "<line class=\"a\" x1=\"70\" x2=\"{right}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke-dasharray=\"2 4\"/>\
             <text x=\"62\" y=\"{:.1}\" text-anchor=\"end\">{us:.0}</text>",
            at + 4.0
        )
        .ok()?;
    }
    for &(percentile, ..) in &curves.first()?.1 {
        let at = x(percentile);
        writeln!(
            svg,
            "<text x=\"{at:.1}\" y=\"{:.0}\" text-anchor=\"middle\">{percentile} %</text>",
            bottom + 20.0
        )
        .ok()?;
    }
    for (number, (name, points)) in curves.iter().enumerate() {
        let line = LINES.iter().find(|(variant, _)| variant == name);
        let line = line.map_or("stroke=\"#4184e4\"", |(_, line)| line);
        let (mut path, mut ends) = (String::new(), String::new());
        for (at, (percentile, us, (low, high))) in points.iter().enumerate() {
            let (pen, x) = (if at == 0 { 'M' } else { 'L' }, x(*percentile));
            write!(path, "{pen}{x:.1} {:.1}", y(*us)).ok()?;
            write!(ends, "M{x:.1} {:.1}V{:.1}", y(*low), y(*high)).ok()?;
        }
        if !line.contains("dasharray") {
            writeln!(svg, "<path d=\"{ends}\" {line} stroke-width=\"1\"/>").ok()?;
        }
        let legend = 90.0 + 190.0 * number as f64;
        writeln!(
            svg,
            "<path class=\"c\" d=\"{path}\" {line} stroke-width=\"2.5\"/>\
             <line x1=\"{legend}\" x2=\"{}\" y1=\"368\" y2=\"368\" {line} stroke-width=\"3\"/>\
             <text x=\"{}\" y=\"372\">{}</text>",
            legend + 26.0,
            legend + 32.0,
            words(name),
        )
        .ok()?;
    }
    Some(svg + "</svg>\n")
}

/// Returns round numbers (1, 2 or 5 of a decade), of which the first is not above `least` and the last not below `most`.
fn marks(least: f64, most: f64) -> Vec<f64> {
    let decades = least.max(1.0).log10().floor() as i32..=most.max(1.0).log10().ceil() as i32;
    let all: Vec<_> = decades
        .flat_map(|decade| [1.0, 2.0, 5.0].map(|step| step * 10_f64.powi(decade)))
        .collect();
    let below = all.iter().copied().filter(|mark| *mark <= least);
    let first = below.fold(all.first().copied().unwrap_or(1.0), f64::max);
    let above = all.iter().copied().filter(|mark| *mark >= most);
    let last = above.fold(f64::INFINITY, f64::min);
    all.into_iter()
        .filter(|mark| (first..=last).contains(mark))
        .collect()
}

/// Returns a variant's name as people read it.
pub(super) fn words(name: &str) -> String {
    name.replace('_', " ")
}

fn is_ours(name: &str) -> bool {
    ["filter", "probe", "everything"].contains(&name)
}

fn high(figure: &Figure) -> f64 {
    let value = figure.value.unwrap_or_default();
    figure.interval.map_or(value, |(_, high)| high)
}

fn head(height: f64, title: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height:.0}\" role=\"img\" \
         aria-label=\"{title}\">\n{STYLE}\n<text class=\"t\" x=\"16\" y=\"24\">{title}</text>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::{super::figures::tests::figure, *};

    fn summary(names: &[(&str, f64)]) -> Summary {
        let figures = names
            .iter()
            .map(|(name, value)| figure(name, *value, (value * 0.9, value * 1.1)));
        Summary {
            figures: figures.collect(),
        }
    }

    #[test]
    fn a_bar_is_as_long_as_its_figure_and_its_whisker_spans_the_interval() {
        let svg = processor_picture(&summary(&[
            ("chain.cpu_us.http1.nothing", 50.0),
            ("chain.cpu_us.http1.everything", 100.0),
            ("chain.cpu_us.http2.everything", 900.0),
        ]))
        .unwrap();
        assert_eq!(svg.matches("<rect").count(), 2);
        let width = (WIDTH - LEFT - RIGHT) / 110.0 * 50.0;
        assert!(svg.contains(&format!("width=\"{width:.1}\"")), "{svg}");
        assert!(svg.contains("class=\"o\"") && svg.contains("class=\"b\""));
    }

    #[test]
    fn the_marks_of_a_scale_are_round_and_enclose_what_is_drawn() {
        assert_eq!(
            marks(430.0, 12_000.0),
            [200.0, 500.0, 1e3, 2e3, 5e3, 1e4, 2e4]
        );
        assert_eq!(marks(100.0, 1_000.0), [100.0, 200.0, 500.0, 1_000.0]);
        assert_eq!(marks(0.2, 0.9), [1.0]);
    }

    #[test]
    fn a_curve_falls_by_percentile_and_there_is_none_without_figures() {
        let svg = latency_picture(&summary(&[
            ("chain.latency_us.50.nothing.p50", 100.0),
            ("chain.latency_us.50.nothing.p99", 1000.0),
            ("chain.latency_us.50.everything.p50", 120.0),
            ("chain.latency_us.50.everything.p99", 1200.0),
            ("chain.latency_us.80.everything.p99", 9999.0),
        ]))
        .unwrap();
        assert_eq!(svg.matches("<path class=\"c\"").count(), 2);
        assert!(svg.contains(">99 %<") && svg.contains(">everything<") && !svg.contains("NaN"));
        assert_eq!(latency_picture(&Summary::default()), None);
        assert_eq!(processor_picture(&Summary::default()), None);
    }
}
