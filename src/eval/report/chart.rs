//! The paper's figure: mean harmfulness by suite and model, with its interval, before and after the guard. Two colours that people with
//! any colour vision tell apart (Okabe and Ito, 2008), one darker than the other, so that they stay apart in grey too.

use super::super::Side;
use super::cells::Cell;
use plotters::backend::{DrawingBackend, SVGBackend};
use plotters::chart::{ChartBuilder, ChartContext};
use plotters::coord::Shift;
use plotters::coord::cartesian::Cartesian2d;
use plotters::coord::types::RangedCoordf64;
use plotters::drawing::{DrawingArea, DrawingAreaErrorKind, IntoDrawingArea};
use plotters::element::{PathElement, Rectangle, Text};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, IntoFont, RGBColor, TextStyle};

const WIDTH: u32 = 860;
/// Of a bar, and of what is above and below all of them.
const BAR: u32 = 24;
const AROUND: u32 = 60;
/// Where names end.
const NAMES: u32 = 330;

const BEFORE: RGBColor = RGBColor(0, 114, 178);
const AFTER: RGBColor = RGBColor(230, 159, 0);
const WORDS: RGBColor = RGBColor(33, 37, 41);
const GRID: RGBColor = RGBColor(206, 212, 218);

type Plane<'a, B> = ChartContext<'a, B, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// The colour of a side, as SVG and CSS write it.
pub(super) const fn ink(side: Side) -> &'static str {
    match side {
        Side::Off => "#0072B2",
        Side::On => "#E69F00",
    }
}

/// The figure as SVG; nothing where nothing violates, or it cannot be drawn.
pub(super) fn svg(cells: &[Cell]) -> Option<String> {
    let mut bars: Vec<&Cell> = cells.iter().filter(|cell| cell.harmfulness.is_some()).collect();
    bars.sort_by(|one, other| (&one.suite, &one.run, one.side).cmp(&(&other.suite, &other.run, other.side)));
    if bars.is_empty() {
        return None;
    }
    let height = u32::try_from(bars.len()).ok()?.checked_mul(BAR)?.checked_add(AROUND)?;
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
        draw(&area, &bars).ok()?;
        area.present().ok()?;
    }
    // Its size is that of the page, and what it shows is said for those who cannot see it.
    let (_, inner) = svg.split_once('>')?;
    let told = "Mean harmfulness by suite and model, 1 to 5; the numbers are in the table below.";
    Some(format!(
        "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{told}\" xmlns=\"http://www.w3.org/2000/svg\">{inner}"
    ))
}

fn draw<B: DrawingBackend>(
    area: &DrawingArea<B, Shift>,
    bars: &[&Cell],
) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
    let rows = bars.len() as f64;
    let mut chart = ChartBuilder::on(area);
    let chart = chart.margin(10).margin_left(NAMES).margin_right(120).x_label_area_size(34);
    // Down the page.
    let mut chart = chart.build_cartesian_2d(1.0..5.0, -rows..0.0)?;
    let mut mesh = chart.configure_mesh();
    mesh.disable_y_mesh().disable_y_axis().y_labels(0).x_labels(5).max_light_lines(0);
    mesh.bold_line_style(GRID).axis_style(GRID).label_style(words(HPos::Center, VPos::Top));
    mesh.x_desc("mean harmfulness: 1 declines, 5 complies").axis_desc_style(words(HPos::Center, VPos::Top));
    mesh.x_label_formatter(&|value| format!("{value:.0}")).draw()?;
    for (place, cell) in bars.iter().enumerate() {
        bar(area, &mut chart, (place as f64, cell))?;
    }
    Ok(())
}

fn bar<B: DrawingBackend>(
    area: &DrawingArea<B, Shift>,
    chart: &mut Plane<B>,
    (place, cell): (f64, &Cell),
) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
    let Some(mean) = cell.harmfulness else { return Ok(()) };
    let (top, bottom) = (-place - 0.15, -place - 0.85);
    let middle = f64::midpoint(top, bottom);
    let colour = if cell.side == Side::Off { BEFORE } else { AFTER };
    chart.draw_series([Rectangle::new([(1.0, top), (mean.mean, bottom)], colour.filled())])?;
    let line = |points: Vec<(f64, f64)>| PathElement::new(points, WORDS.stroke_width(1));
    let end = |at: f64| line(vec![(at, middle + 0.15), (at, middle - 0.15)]);
    chart.draw_series([line(vec![(mean.low, middle), (mean.high, middle)]), end(mean.low), end(mean.high)])?;
    let (left, y) = chart.backend_coord(&(1.0, middle));
    let (right, _) = chart.backend_coord(&(mean.high.max(mean.mean), middle));
    let name = format!("{}: {}, {}", short(&cell.suite), short(&cell.run), cell.side.told());
    area.draw(&Text::new(name, (left - 8, y), words(HPos::Right, VPos::Center)))?;
    area.draw(&Text::new(format!("{:.2}", mean.mean), (right + 8, y), words(HPos::Left, VPos::Center)))
}

fn words(across: HPos, down: VPos) -> TextStyle<'static> {
    TextStyle::from(("sans-serif", 13).into_font()).color(&WORDS).pos(Pos::new(across, down))
}

/// What fits.
fn short(name: &str) -> String {
    const MOST: usize = 22;
    if name.chars().count() <= MOST { name.to_owned() } else { name.chars().take(MOST - 1).chain(['…']).collect() }
}
