//! Charts over time: `plotters` draws them as SVG in fixed colours, which console.css maps to those of the page's theme. Each says in
//! words what it shows, and has its numbers in a table below.

use super::language::Language;
use super::page::time;
use super::{figure, moment};
use crate::audit::hours::HOUR;
use maud::{Markup, PreEscaped, html};
use plotters::backend::{DrawingBackend, SVGBackend};
use plotters::chart::ChartBuilder;
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, DrawingAreaErrorKind, IntoDrawingArea};
use plotters::element::{Circle, Polygon, Rectangle, Text};
use plotters::series::LineSeries;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, IntoFont, RGBColor, ShapeStyle, TextStyle};

/// Small, so that it can be read where it is shown at half of its size.
const SIZE: (u32, u32) = (360, 200);

/// Of the lines, in their order: `--chart-1` to `--chart-4` of the light theme.
const INKS: [RGBColor; 4] =
    [RGBColor(15, 118, 110), RGBColor(180, 83, 9), RGBColor(29, 79, 156), RGBColor(91, 63, 155)];

/// Of words, and of what is behind.
const WORDS: RGBColor = RGBColor(77, 95, 105);
const GRID: RGBColor = RGBColor(211, 220, 223);

/// How something is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Lines; a step without a value is a gap.
    Lines,
    /// Lines, and what is below the first is filled.
    Area,
    /// Bars, one upon the other.
    Bars,
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// Percentages.
    Percent,
    /// Milliseconds.
    Millis,
    /// Whole numbers.
    Count,
}

/// One thing that is shown over time.
pub(super) struct Line {
    /// What it is.
    pub(super) name: String,
    /// A value for each step, where there is one.
    pub(super) values: Vec<Option<f64>>,
}

/// A chart.
pub(super) struct Chart<'a> {
    /// What it shows.
    pub(super) title: &'a str,
    /// How that is meant.
    pub(super) meaning: &'a str,
    pub(super) shape: Shape,
    pub(super) unit: Unit,
    /// When each step begins, in microseconds since 1970.
    pub(super) starts: &'a [i64],
    /// Not more than [`INKS`].
    pub(super) lines: Vec<Line>,
    pub(super) language: Language,
}

impl Chart<'_> {
    /// The chart with its words and its numbers.
    pub(super) fn figure(&self) -> Markup {
        let language = self.language;
        let drawn = if self.is_empty() { None } else { self.svg() };
        html! {
            figure class="chart card" {
                figcaption {
                    h3 { (self.title) }
                    p { (self.meaning) }
                }
                @match drawn {
                    Some(drawn) => {
                        svg viewBox={ "0 0 " (SIZE.0) " " (SIZE.1) } role="img" aria-label=(self.summary()) { (PreEscaped(drawn)) }
                        (self.legend())
                        details {
                            summary { (language.say("The numbers", "Los números")) }
                            (self.table())
                        }
                    }
                    None => {
                        p class="note" { (language.say("There is nothing to show for this time.", "No hay nada que mostrar de este período.")) }
                    }
                }
            }
        }
    }

    fn values(&self) -> impl Iterator<Item = f64> {
        self.lines.iter().flat_map(|line| &line.values).flatten().copied()
    }

    fn is_empty(&self) -> bool {
        self.values().next().is_none() || (self.unit == Unit::Count && self.values().all(|value| value == 0.0))
    }

    fn shown(&self, value: f64) -> String {
        match self.unit {
            // The scale is in whole numbers where it can be.
            Unit::Percent => {
                let is_whole = value >= 10.0 || value.fract() == 0.0;
                figure::percent(self.language, value, if is_whole { 0 } else { 1 })
            }
            Unit::Millis => figure::millis(self.language, value),
            Unit::Count => figure::count(self.language, value.max(0.0).round() as u64),
        }
    }

    /// What who cannot see it is told.
    fn summary(&self) -> String {
        let told = |line: &Line| {
            let values = || line.values.iter().flatten().copied();
            let [low, high] = [values().reduce(f64::min), values().reduce(f64::max)];
            let [low, high, last] = [low?, high?, values().next_back()?].map(|value| self.shown(value));
            Some(match self.language {
                Language::En => format!("{}: from {low} to {high}, at last {last}", line.name),
                Language::Es => format!("{}: de {low} a {high}, al final {last}", line.name),
            })
        };
        let lines: Vec<String> = self.lines.iter().filter_map(told).collect();
        format!("{}. {}.", self.title, lines.join("; "))
    }

    fn legend(&self) -> Markup {
        html! {
            ul class="legend" {
                @for (line, ink) in self.lines.iter().zip(INKS) {
                    li {
                        svg viewBox="0 0 24 10" width="24" height="10" aria-hidden="true" {
                            @if self.shape == Shape::Bars {
                                rect x="4" y="0" width="16" height="10" fill=(hex(ink)) {}
                            } @else {
                                polyline points="0,5 24,5" stroke-width="2" stroke=(hex(ink)) {}
                            }
                        }
                        (line.name)
                    }
                }
            }
        }
    }

    fn table(&self) -> Markup {
        html! {
            div class="scroll tall" tabindex="0" role="region" aria-label=(self.title) {
                table {
                    caption { (self.title) }
                    thead {
                        tr {
                            th scope="col" { (self.language.say("From (UTC)", "Desde (UTC)")) }
                            @for line in &self.lines {
                                th scope="col" class="number-cell" { (line.name) }
                            }
                        }
                    }
                    tbody {
                        @for (place, start) in self.starts.iter().enumerate() {
                            tr {
                                th scope="row" { (time(*start)) }
                                @for line in &self.lines {
                                    td class="number-cell" { (self.cell(line, place)) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    fn cell(&self, line: &Line, place: usize) -> String {
        let value = line.values.get(place).copied().flatten();
        value.map_or_else(|| "–".to_owned(), |value| self.shown(value))
    }

    /// What is within the `svg` element; nothing where it cannot be drawn.
    fn svg(&self) -> Option<String> {
        let mut svg = String::new();
        {
            let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
            self.draw(&area).ok()?;
            area.present().ok()?;
        }
        // Its size is that of the page.
        let (_, inner) = svg.split_once('>')?;
        inner.trim_end().strip_suffix("</svg>").map(str::to_owned)
    }

    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
        let (steps, top) = (self.starts.len() as f64, self.top());
        let ends = if self.shape == Shape::Bars { -0.5..steps - 0.5 } else { 0.0..(steps - 1.0).max(1.0) };
        let mut chart = ChartBuilder::on(area);
        let chart = chart.margin(8).margin_right(12).x_label_area_size(22).y_label_area_size(48);
        let mut chart = chart.build_cartesian_2d(ends, 0.0..top)?;
        let words = |pos| TextStyle::from(("sans-serif", 16).into_font()).color(&WORDS).pos(pos);
        let mut mesh = chart.configure_mesh();
        mesh.disable_x_mesh().disable_x_axis().x_labels(0).y_labels(5).max_light_lines(0);
        mesh.bold_line_style(GRID).axis_style(GRID).label_style(words(Pos::new(HPos::Left, VPos::Top)));
        mesh.y_label_formatter(&|value| self.shown(*value)).draw()?;
        let bottom = 0.0;
        let mut below = vec![bottom; self.starts.len()];
        for (place, (line, ink)) in self.lines.iter().zip(INKS).enumerate() {
            if self.shape == Shape::Bars {
                let bars: Vec<_> =
                    bars(line, &mut below).into_iter().map(|ends| Rectangle::new(ends, ink.filled())).collect();
                chart.draw_series(bars)?;
                continue;
            }
            for run in runs(line) {
                if let [point] = *run {
                    chart.draw_series([Circle::new(point, 3, ink.filled())])?;
                    continue;
                }
                if self.shape == Shape::Area && place == 0 {
                    chart.draw_series([Polygon::new(closed(&run), ink.mix(0.15))])?;
                }
                let style: ShapeStyle = ink.stroke_width(2);
                chart.draw_series(LineSeries::new(run, style))?;
            }
        }
        for (place, anchor) in self.marks() {
            let Some(start) = self.starts.get(place) else { continue };
            let (x, y) = chart.backend_coord(&(place as f64, bottom));
            area.draw(&Text::new(self.mark(*start), (x, y + 6), words(Pos::new(anchor, VPos::Top))))?;
        }
        Ok(())
    }

    /// What the scale ends with: 1, 2, 4 or 5, or such a number of tens, hundreds or tenths.
    fn top(&self) -> f64 {
        let highest = match self.shape {
            Shape::Bars => (0..self.starts.len()).map(|place| self.sum(place)).fold(0.0, f64::max),
            Shape::Lines | Shape::Area => self.values().fold(0.0, f64::max),
        };
        let highest = if highest <= 0.0 { 1.0 } else { highest };
        let scale = 10f64.powf(highest.log10().floor());
        let top = [1.0, 2.0, 4.0, 5.0, 10.0].into_iter().map(|top| top * scale).find(|top| *top >= highest);
        let top = top.unwrap_or(highest);
        if self.unit == Unit::Count { top.max(4.0) } else { top }
    }

    fn sum(&self, place: usize) -> f64 {
        self.lines.iter().filter_map(|line| line.values.get(place).copied().flatten()).sum()
    }

    /// The steps that are named: four at most, so that their names stay apart.
    fn marks(&self) -> Vec<(usize, HPos)> {
        let last = self.starts.len().saturating_sub(1);
        if last < 3 {
            return (0..=last).map(|place| (place, anchor(place, last))).collect();
        }
        (0..4).map(|third| third * last / 3).map(|place| (place, anchor(place, last))).collect()
    }

    fn mark(&self, start: i64) -> String {
        let is_short =
            self.starts.first().zip(self.starts.last()).is_some_and(|(first, last)| last - first <= 25 * HOUR);
        if is_short { moment::hour(start) } else { moment::day(self.language, start) }
    }
}

const fn anchor(place: usize, last: usize) -> HPos {
    match place {
        _ if last == 0 => HPos::Center,
        0 => HPos::Left,
        _ if place == last => HPos::Right,
        _ => HPos::Center,
    }
}

/// A colour as `plotters` writes it into the SVG.
fn hex(RGBColor(red, green, blue): RGBColor) -> String {
    format!("#{red:02X}{green:02X}{blue:02X}")
}

/// The bars of a line, upon what is below them.
fn bars(line: &Line, below: &mut [f64]) -> Vec<[(f64, f64); 2]> {
    let mut bars = Vec::new();
    for (place, (value, below)) in line.values.iter().zip(below).enumerate() {
        let value = value.unwrap_or_default();
        if value > 0.0 {
            bars.push([(place as f64 - 0.4, *below), (place as f64 + 0.4, *below + value)]);
            *below += value;
        }
    }
    bars
}

/// The parts of a line between its gaps.
fn runs(line: &Line) -> Vec<Vec<(f64, f64)>> {
    let mut runs: Vec<Vec<(f64, f64)>> = vec![Vec::new()];
    for (place, value) in line.values.iter().enumerate() {
        match (value, runs.last_mut()) {
            (Some(value), Some(run)) => run.push((place as f64, *value)),
            (None, Some(run)) if !run.is_empty() => runs.push(Vec::new()),
            _ => {}
        }
    }
    runs.retain(|run| !run.is_empty());
    runs
}

/// What is between a run and the bottom.
fn closed(run: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let ends = run.last().into_iter().chain(run.first()).map(|(x, _)| (*x, 0.0));
    run.iter().copied().chain(ends).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const STYLE: &str = include_str!("console.css");

    fn chart<'a>(starts: &'a [i64], shape: Shape, lines: &[&[Option<f64>]]) -> Chart<'a> {
        let line = |values: &&[Option<f64>]| Line { name: "<b>Prompts & co</b>".to_owned(), values: values.to_vec() };
        let lines = lines.iter().map(line).collect();
        let (title, meaning) = ("Refusals <i>", "Of all");
        Chart { title, meaning, shape, unit: Unit::Percent, starts, lines, language: Language::Es }
    }

    fn starts(n: i64) -> Vec<i64> {
        (0..n).map(|place| 1_795_824_000_000_000 + place * 24 * HOUR).collect()
    }

    #[test]
    fn every_colour_is_one_of_the_theme() {
        let starts = starts(5);
        let (line, gaps) = ([Some(1.0); 5], [Some(2.0), None, Some(3.0), Some(4.0), None]);
        for shape in [Shape::Lines, Shape::Area, Shape::Bars] {
            let page = chart(&starts, shape, &[&line, &gaps, &line, &line]).figure().into_string();
            let colours: BTreeSet<&str> = ["fill=\"#", "stroke=\"#"]
                .iter()
                .flat_map(|what| page.match_indices(what).map(|(at, what)| page.get(at..at + what.len() + 7).unwrap()))
                .collect();
            assert!(colours.len() >= 6, "{colours:?}");
            for colour in colours {
                assert!(STYLE.contains(&format!(".chart [{colour}]")), "{colour}");
            }
            assert!(!page.contains("style="), "{page}");
        }
        for place in 1..=INKS.len() {
            assert!(STYLE.contains(&format!("--chart-{place}: {}", hex(INKS[place - 1]).to_lowercase())));
        }
    }

    #[test]
    fn names_are_escaped_and_said() {
        let starts = starts(2);
        let page = chart(&starts, Shape::Lines, &[&[Some(1.5), Some(12.0)]]).figure().into_string();
        assert!(!page.contains("<b>") && !page.contains("<i>"), "{page}");
        let said = "aria-label=\"Refusals &lt;i&gt;. &lt;b&gt;Prompts &amp; co&lt;/b&gt;: de 1,5\u{a0}% a 12\u{a0}%, al final 12\u{a0}%.\"";
        assert!(page.contains(said), "{page}");
        assert!(page.contains("<td class=\"number-cell\">1,5\u{a0}%</td>"), "{page}");
    }

    /// The places of the words of a kind, and the words.
    fn texts(svg: &str, anchor: &str) -> Vec<(i64, String)> {
        let number = |text: &str| text.split_once("x=\"").unwrap().1.split_once('"').unwrap().0.parse().unwrap();
        let texts = svg.split("<text ").skip(1).filter(|text| text.contains(&format!("text-anchor=\"{anchor}\"")));
        texts
            .map(|text| (number(text), text.split_once('>').unwrap().1.split_once('<').unwrap().0.trim().to_owned()))
            .collect()
    }

    #[test]
    fn a_hundred_steps_are_named_four_times_apart() {
        let starts = starts(101);
        let svg = chart(&starts, Shape::Area, &[&[Some(3.0); 101]]).svg().unwrap();
        let mut middle = texts(&svg, "middle");
        let first = texts(&svg, "start").pop().unwrap();
        middle.insert(0, first);
        assert_eq!(middle.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>(), ["28 nov", "31 dic", "2 feb"]);
        assert!(middle.windows(2).all(|pair| pair[1].0 - pair[0].0 > 80), "{middle:?}");
        let right = texts(&svg, "end");
        assert!(right.iter().any(|(_, text)| text == "8 mar"), "{right:?}");
        // The scale is named in whole numbers, each once.
        let scale: BTreeSet<&str> = right.iter().map(|(_, text)| text.as_str()).collect();
        assert_eq!(scale.len(), right.len(), "{right:?}");
    }

    #[test]
    fn what_is_empty_is_said_and_not_drawn() {
        let starts = starts(3);
        for lines in [vec![], vec![&[None, None, None][..]]] {
            let page = chart(&starts, Shape::Lines, &lines).figure().into_string();
            assert!(!page.contains("<svg") && page.contains("No hay nada que mostrar"), "{page}");
        }
    }

    #[test]
    fn one_step_and_what_is_nothing_are_drawn() {
        let one = starts(1);
        for shape in [Shape::Lines, Shape::Area, Shape::Bars] {
            assert!(chart(&one, shape, &[&[Some(0.0)]]).svg().is_some());
        }
        assert!(chart(&one, Shape::Lines, &[&[Some(7.0)]]).svg().unwrap().contains("<circle"));
    }
}
