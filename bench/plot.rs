//! The figures as a picture: a dot for each round on a logarithmic axis, with the median and the 99th percentile.

use std::fmt::Write;

use crate::{
    plan::{Fault, Subject, Variant},
    results::Round,
    table::{Group, groups, length, title},
};

/// From the least to the most on the axis.
const SPAN: f64 = 590.0;
/// Space for the labels, at least.
const LEFT: f64 = 360.0;
/// From a label to the axis, and to the edge.
const MARGIN: f64 = 12.0;
/// How wide a character of a label is, on average, at most.
const CHARACTER: f64 = 7.2;
const RIGHT: f64 = 40.0;
const TOP: f64 = 64.0;
const LANE: f64 = 24.0;
/// Between two faults.
const SPACE: f64 = 14.0;
/// Shorter outages than this, in milliseconds, stand at the edge.
const SHORTEST: f64 = 1.0;

/// Colours that can be told from each other, also by those who see few, on white and on black.
const STYLE: &str = "\
text{font:13px system-ui,sans-serif;fill:#1f2328}.quiet{fill:#59636e;font-size:12px}.head{font-size:15px;font-weight:600}\
.grid{stroke:#8c959f;stroke-opacity:.35}.mark{stroke-width:2.5}.far{stroke-dasharray:3 2}\
.dot{fill-opacity:.45}.helpless{fill:none;stroke-width:1.5}\
.s0{fill:#0969da;stroke:#0969da}.s1{fill:#bc4c00;stroke:#bc4c00}.s2{fill:#8250df;stroke:#8250df}\
.s3{fill:#9a6700;stroke:#9a6700}.s4{fill:#bf3989;stroke:#bf3989}.s5{fill:#0a7f83;stroke:#0a7f83}\
.s6{fill:#1a7f37;stroke:#1a7f37}\
circle.dot{stroke:none}circle.helpless{fill:none}\
@media(prefers-color-scheme:dark){text{fill:#f0f6fc}.quiet{fill:#9198a1}\
.s0{fill:#58a6ff;stroke:#58a6ff}.s1{fill:#f0883e;stroke:#f0883e}.s2{fill:#bc8cff;stroke:#bc8cff}\
.s3{fill:#e3b341;stroke:#e3b341}.s4{fill:#ff80c8;stroke:#ff80c8}.s5{fill:#39c5bb;stroke:#39c5bb}\
.s6{fill:#3fb950;stroke:#3fb950}}";

/// From milliseconds to where they are in the picture.
struct Axis {
    decades: (i32, i32),
    /// Where it begins.
    left: f64,
}

impl Axis {
    fn over(values: impl Iterator<Item = f64> + Clone, left: f64) -> Self {
        let lowest = values.clone().fold(f64::INFINITY, f64::min).max(SHORTEST);
        let highest = values.fold(SHORTEST, f64::max);
        #[allow(clippy::cast_possible_truncation, reason = "a handful of decades")]
        let decade = |value: f64| value as i32;
        let first = decade(lowest.log10().floor());
        Self { decades: (first, decade(highest.log10().ceil()).max(first + 1)), left }
    }

    fn at(&self, ms: f64) -> f64 {
        let (first, last) = (f64::from(self.decades.0), f64::from(self.decades.1));
        let part = (ms.max(SHORTEST).log10() - first) / (last - first);
        self.left + part.clamp(0.0, 1.0) * SPAN
    }
}

struct Lane<'a> {
    fault: (Fault, bool),
    subject: Subject,
    group: Group<'a>,
}

impl Lane<'_> {
    fn label(&self) -> String {
        match self.subject {
            Subject::Operator => title(self.fault),
            other => format!("{}: {}", title(self.fault), other.title()),
        }
    }
}

/// Space for these labels.
fn left_of_axis(labels: impl Iterator<Item = String>) -> f64 {
    let longest = labels.map(|label| label.chars().count()).max().unwrap_or_default();
    let width = CHARACTER * f64::from(u32::try_from(longest).unwrap_or(u32::MAX));
    LEFT.max((width + 2.0 * MARGIN).ceil())
}

/// The variant that the picture shows: the first of which there are rounds.
pub fn variant(rounds: &[Round]) -> Option<Variant> {
    Variant::ALL.into_iter().find(|&variant| rounds.iter().any(|round| round.variant == variant))
}

/// An SVG of all rounds of a variant.
pub fn svg(rounds: &[Round], variant: Variant) -> Result<String, std::fmt::Error> {
    let mut lanes: Vec<Lane> = Subject::ALL
        .into_iter()
        .flat_map(|subject| {
            let all = groups(rounds, subject, variant).into_iter();
            all.map(move |(fault, group)| Lane { fault, subject, group })
        })
        .collect();
    lanes.sort_by_key(|lane| (lane.fault, lane.subject));
    let left = left_of_axis(lanes.iter().map(Lane::label));
    let axis = Axis::over(lanes.iter().flat_map(|lane| &lane.group.0).map(|round| round.outage_ms), left);
    let width = left + SPAN + RIGHT;

    let mut body = String::new();
    let mut y = TOP;
    let mut former = None;
    for lane in &lanes {
        if former != Some(lane.fault) {
            y += if former.is_some() { SPACE } else { 0.0 };
            former = Some(lane.fault);
        }
        draw(&mut body, &axis, lane, y)?;
        y += LANE;
    }
    let height = y + 40.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" role=\"img\" \
         aria-label=\"Write outage by fault\">\n<style>{STYLE}</style>\n"
    );
    writeln!(svg, "<text class=\"head\" x=\"12\" y=\"24\">How long writes were held up</text>")?;
    writeln!(
        svg,
        "<text class=\"quiet\" x=\"12\" y=\"44\">{}; a dot is a round, a line the median, a broken line the p99, \
         a ring a round without a recovery</text>",
        variant.title().replace('`', "")
    )?;
    grid(&mut svg, &axis, y)?;
    svg += &body;
    svg += "</svg>\n";
    Ok(svg)
}

fn grid(svg: &mut String, axis: &Axis, bottom: f64) -> std::fmt::Result {
    for decade in axis.decades.0..=axis.decades.1 {
        let ms = 10_f64.powi(decade);
        let x = axis.at(ms);
        let label = if ms < 1000.0 { format!("{ms} ms") } else { format!("{} s", ms / 1000.0) };
        writeln!(svg, "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{bottom}\"/>")?;
        let y = bottom + 20.0;
        writeln!(svg, "<text class=\"quiet\" x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\">{label}</text>")?;
    }
    Ok(())
}

fn draw(svg: &mut String, axis: &Axis, lane: &Lane, y: f64) -> std::fmt::Result {
    let class = format!("s{}", Subject::ALL.iter().position(|&s| s == lane.subject).unwrap_or_default());
    let middle = y + LANE / 2.0;
    let name = lane.label();
    let quiet = if lane.subject == Subject::Operator { "" } else { " class=\"quiet\"" };
    writeln!(
        svg,
        "<text{quiet} x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{name}</text>",
        axis.left - MARGIN,
        middle + 4.0
    )?;
    for (number, round) in lane.group.0.iter().enumerate() {
        // Beside each other, where they would cover each other.
        let aside = f64::from(u8::try_from(number * 7 % 11).unwrap_or_default()) - 5.0;
        let helpless = if round.recovered { "dot" } else { "helpless" };
        let (x, y) = (axis.at(round.outage_ms), middle + aside * LANE / 16.0);
        writeln!(svg, "<circle class=\"{helpless} {class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\"/>")?;
    }
    for (percent, far) in [(50, ""), (99, " far")] {
        let (x, half) = (axis.at(lane.group.outage(percent)), LANE / 2.0 - 1.0);
        let (from, to) = (middle - half, middle + half);
        writeln!(svg, "<line class=\"mark{far} {class}\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{from}\" y2=\"{to}\">")?;
        writeln!(svg, "<title>{name}, p{percent}: {}</title></line>", length(lane.group.outage(percent)))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::round;

    #[test]
    fn the_axis_is_logarithmic_and_holds_everything() {
        let axis = Axis::over([63.0, 6500.0].into_iter(), LEFT);
        assert_eq!(axis.decades, (1, 4));
        let (ten, hundred, thousand) = (axis.at(10.0), axis.at(100.0), axis.at(1000.0));
        assert!((hundred - ten - (thousand - hundred)).abs() < 1e-9 && (ten - LEFT).abs() < 1e-9);
        assert!((axis.at(10_000.0) - (LEFT + SPAN)).abs() < 1e-9);
        assert!((axis.at(0.0) - LEFT).abs() < 1e-9, "no outage at all stands at the edge");
        assert_eq!(Axis::over([100.0].into_iter(), LEFT).decades, (2, 3));
    }

    /// Where a text begins, and whether what is read is one.
    fn begins(line: &str) -> Option<(f64, &str)> {
        let (attributes, text) = line.strip_prefix("<text")?.split_once('>')?;
        let text = text.strip_suffix("</text>")?;
        let x = attributes.split_once(" x=\"")?.1.split_once('"')?.0.parse::<f64>().ok()?;
        let width = CHARACTER * f64::from(u32::try_from(text.chars().count()).ok()?);
        let before = match attributes.split_once("text-anchor=\"").map(|(_, rest)| rest.split('"').next()) {
            Some(Some("end")) => width,
            Some(Some("middle")) => width / 2.0,
            _ => 0.0,
        };
        Some((x - before, text))
    }

    fn no_text_begins_outside(svg: &str) -> usize {
        let texts: Vec<_> = svg.lines().filter_map(begins).collect();
        assert_eq!(texts.len(), svg.matches("<text").count(), "all are read");
        for (from, text) in &texts {
            assert!(*from >= 0.0, "{text:?} begins at {from:.0}");
        }
        texts.len()
    }

    #[test]
    fn no_label_begins_outside_of_the_picture() -> Result<(), std::fmt::Error> {
        let kinds =
            Subject::ALL.into_iter().flat_map(|subject| Fault::ALL.into_iter().map(move |fault| (subject, fault)));
        let rounds: Vec<_> = kinds
            .flat_map(|(subject, fault)| {
                [false, true].map(|leader_lost| Round { leader_lost, ..round(subject, fault, 60.0) })
            })
            .collect();
        assert!(no_text_begins_outside(&svg(&rounds, Variant::Idle)?) > rounds.len());
        no_text_begins_outside(include_str!("../docs/benchmark.svg"));
        Ok(())
    }

    #[test]
    fn every_round_is_in_the_picture() -> Result<(), std::fmt::Error> {
        let mut rounds = vec![
            round(Subject::Operator, Fault::Crash, 60.0),
            round(Subject::Operator, Fault::Crash, 70.0),
            round(Subject::Operator, Fault::Drain, 12.0),
            round(Subject::Sentinel5s, Fault::Crash, 6500.0),
        ];
        rounds.push(Round { recovered: false, ..round(Subject::Operator, Fault::Hang, 60_000.0) });
        rounds.push(Round { variant: Variant::Busy, ..round(Subject::Operator, Fault::Crash, 1.0) });
        assert_eq!(variant(&rounds), Some(Variant::Idle));
        let svg = svg(&rounds, Variant::Idle)?;
        assert_eq!(svg.matches("<circle class=\"dot s0\"").count(), 3);
        assert_eq!(svg.matches("<circle class=\"dot s4\"").count(), 1);
        assert_eq!(svg.matches("<circle class=\"helpless s0\"").count(), 1);
        assert_eq!(svg.matches(", p50: ").count(), 4, "a median for each fault and subject");
        assert!(svg.contains("prefers-color-scheme:dark") && svg.contains("crash: Sentinel, 5 s"));
        let (opened, closed) = (svg.matches("<text").count(), svg.matches("</text>").count());
        assert_eq!(opened, closed);
        assert_eq!(variant(&[]), None);
        Ok(())
    }
}
