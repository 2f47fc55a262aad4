//! Two pictures as SVG: processor time by variant, and latency by percentile. Colours that can be read on light and
//! on dark pages; no script, no font of its own.

use std::fmt::Write as _;

use super::figures::{Figure, Summary};

const WIDTH: f64 = 860.0;
const ROW: f64 = 26.0;
const LEFT: f64 = 210.0;
const RIGHT: f64 = 90.0;
const TOP: f64 = 44.0;

/// Text follows the page's own lightness; bars and lines are of middle lightness.
const STYLE: &str = "<style>text{font:13px sans-serif;fill:#444c56}line,path{fill:none}.t{font-size:15px}\
    .a{stroke:#8b949e;stroke-width:1}.w{stroke:#8b949e;stroke-width:2}.b{fill:#4184e4}.o{fill:#d4662c}\
    @media(prefers-color-scheme:dark){text{fill:#adbac7}}</style>";

/// Of the lines, in the order in which they are drawn.
const COLOURS: [&str; 4] = ["#8b949e", "#4184e4", "#d4662c", "#3d9a50"];

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
    let height = TOP + ROW * bars.len() as f64 + 16.0;
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
        writeln!(
            svg,
            "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\">{}</text>\
             <rect class=\"{class}\" x=\"{LEFT}\" y=\"{y:.0}\" width=\"{:.1}\" height=\"{:.0}\" rx=\"2\"/>\
             <line class=\"w\" x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{middle:.0}\" y2=\"{middle:.0}\"/>\
             <text x=\"{:.1}\" y=\"{:.0}\">{value:.1}</text>",
            LEFT - 8.0,
            y + 14.0,
            words(name),
            value * scale,
            ROW - 6.0,
            LEFT + low * scale,
            LEFT + high * scale,
            LEFT + high * scale + 6.0,
            y + 14.0,
        )
        .ok()?;
    }
    Some(svg + "</svg>\n")
}

/// Draws the latency that the clients saw by percentile, a line for each variant at 50 % of the peak; `None` without
/// figures.
#[must_use]
pub fn latency_picture(summary: &Summary) -> Option<String> {
    let mut curves: Vec<(&str, Vec<(f64, f64)>)> = Vec::new();
    for (rest, figure) in summary.below("chain.latency_us.50.") {
        let (name, percentile) = rest.split_once(".p")?;
        let point = (percentile.parse().ok()?, figure.value?);
        match curves.iter_mut().find(|(other, _)| *other == name) {
            Some((_, points)) => points.push(point),
            None => curves.push((name, vec![point])),
        }
    }
    let all = || curves.iter().flat_map(|(_, points)| points);
    let most = all().map(|(_, us)| *us).max_by(f64::total_cmp)?;
    let least = all().map(|(_, us)| *us).min_by(f64::total_cmp)?;
    let nines = |percentile: f64| -(1.0 - percentile / 100.0).log10();
    let last = all().map(|(p, _)| nines(*p)).max_by(f64::total_cmp)?;
    let (bottom, right) = (330.0, WIDTH - RIGHT);
    let x = |percentile: f64| 70.0 + (right - 70.0) * nines(percentile) / last;
    let decades = (most.log10().ceil(), least.log10().floor());
    let y = |us: f64| TOP + (bottom - TOP) * (decades.0 - us.log10()) / (decades.0 - decades.1);
    let mut svg = head(
        380.0,
        "Latency at 50 % of the peak, by percentile, microseconds",
    );
    for decade in decades.1 as i32..=decades.0 as i32 {
        let (us, at) = (10_f64.powi(decade), y(10_f64.powi(decade)));
        writeln!(
            svg,
            "<line class=\"a\" x1=\"70\" x2=\"{right}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke-dasharray=\"2 4\"/>\
             <text x=\"62\" y=\"{:.1}\" text-anchor=\"end\">{us:.0}</text>",
            at + 4.0
        )
        .ok()?;
    }
    for &(percentile, _) in &curves.first()?.1 {
        let at = x(percentile);
        writeln!(
            svg,
            "<text x=\"{at:.1}\" y=\"{:.0}\" text-anchor=\"middle\">{percentile} %</text>",
            bottom + 20.0
        )
        .ok()?;
    }
    for (number, ((name, points), colour)) in curves.iter().zip(COLOURS.iter().cycle()).enumerate()
    {
        let mut path = String::new();
        for (at, (percentile, us)) in points.iter().enumerate() {
            let pen = if at == 0 { 'M' } else { 'L' };
            write!(path, "{pen}{:.1} {:.1}", x(*percentile), y(*us)).ok()?;
        }
        let legend = 90.0 + 190.0 * number as f64;
        writeln!(
            svg,
            "<path d=\"{path}\" stroke=\"{colour}\" stroke-width=\"2.5\"/>\
             <line x1=\"{legend}\" x2=\"{}\" y1=\"368\" y2=\"368\" stroke=\"{colour}\" stroke-width=\"3\"/>\
             <text x=\"{}\" y=\"372\">{}</text>",
            legend + 22.0,
            legend + 28.0,
            words(name),
        )
        .ok()?;
    }
    Some(svg + "</svg>\n")
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
    fn a_curve_falls_by_percentile_and_there_is_none_without_figures() {
        let svg = latency_picture(&summary(&[
            ("chain.latency_us.50.nothing.p50", 100.0),
            ("chain.latency_us.50.nothing.p99", 1000.0),
            ("chain.latency_us.50.everything.p50", 120.0),
            ("chain.latency_us.50.everything.p99", 1200.0),
            ("chain.latency_us.80.everything.p99", 9999.0),
        ]))
        .unwrap();
        assert_eq!(svg.matches("<path").count(), 2);
        assert!(svg.contains(">99 %<") && svg.contains(">everything<") && !svg.contains("NaN"));
        assert_eq!(latency_picture(&Summary::default()), None);
        assert_eq!(processor_picture(&Summary::default()), None);
    }
}
