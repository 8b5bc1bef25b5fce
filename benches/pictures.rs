//! Draws what was measured: of each benchmark the last run that is kept in benches/results, into docs/bench.

mod common;

use common::Fault;
use common::results::folder;
use plotters::prelude::*;
use serde::Deserialize;
use serde_json::Value;
use std::path::Path;

const SIZE: (u32, u32) = (560, 320);
const INKS: [RGBColor; 4] =
    [RGBColor(15, 118, 110), RGBColor(180, 83, 9), RGBColor(29, 79, 156), RGBColor(91, 63, 155)];

/// As `results::bars` and `results::curves` make it.
#[derive(Deserialize)]
struct Picture {
    name: String,
    title: String,
    #[serde(default)]
    bars: Vec<(String, Option<f64>)>,
    #[serde(default)]
    axes: Vec<String>,
    #[serde(default)]
    lines: Vec<(String, Vec<(f64, f64)>)>,
}

fn main() -> Result<(), Fault> {
    let out = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/bench"));
    std::fs::create_dir_all(out)?;
    let Ok(files) = std::fs::read_dir(folder()) else { return Err("nothing is in benches/results".into()) };
    let mut files: Vec<_> = files.collect::<Result<Vec<_>, _>>()?;
    // By date: what is drawn last is the newest.
    files.sort_by_key(std::fs::DirEntry::file_name);
    for file in files {
        let runs: Vec<Value> = serde_json::from_slice(&std::fs::read(file.path())?)?;
        let Some(last) = runs.last() else { continue };
        for picture in Vec::<Picture>::deserialize(&last["pictures"])? {
            let path = out.join(format!("{}.svg", picture.name));
            let area = SVGBackend::new(&path, SIZE).into_drawing_area();
            area.fill(&WHITE)?;
            if picture.bars.is_empty() {
                picture.curves(&area)?
            } else {
                picture.bars(&area)?
            };
            area.present()?;
            println!("docs/bench/{}.svg", picture.name);
        }
    }
    Ok(())
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

impl Picture {
    /// Values side by side, each with its number.
    fn bars(&self, area: &Area<'_>) -> Result<(), Fault> {
        let values = || self.bars.iter().map(|(name, value)| (name, value.unwrap_or(0.0)));
        let most = values().map(|(_, value)| value).fold(0.0, f64::max).max(f64::MIN_POSITIVE);
        let area = area.titled(&self.title, ("sans-serif", 15))?;
        let (height, left) = (area.dim_in_pixel().1 as i32 / values().count().max(1) as i32, 190);
        let wide = f64::from(SIZE.0) - f64::from(left) - 80.0;
        for (place, (name, value)) in values().enumerate() {
            let top = place as i32 * height;
            let end = left + (value / most * wide) as i32;
            let ink = INKS[place % INKS.len()].filled();
            area.draw(&Rectangle::new([(left, top + height / 5), (end, top + height * 4 / 5)], ink))?;
            area.draw(&Text::new(name.clone(), (8, top + height / 2 - 7), ("sans-serif", 13)))?;
            area.draw(&Text::new(number(value), (end + 6, top + height / 2 - 7), ("sans-serif", 13)))?;
        }
        Ok(())
    }

    /// Lines over logarithmic axes.
    fn curves(&self, area: &Area<'_>) -> Result<(), Fault> {
        let points = || self.lines.iter().flat_map(|(_, points)| points);
        let span = |of: fn(&(f64, f64)) -> f64| {
            let low = points().map(of).fold(f64::INFINITY, f64::min);
            let high = points().map(of).fold(f64::MIN_POSITIVE, f64::max);
            (low / 1.2..high * 1.2).log_scale()
        };
        let mut builder = ChartBuilder::on(area);
        builder.caption(&self.title, ("sans-serif", 15)).margin(12).x_label_area_size(36).y_label_area_size(56);
        let mut chart = builder.build_cartesian_2d(span(|point| point.0), span(|point| point.1))?;
        let axis = |place: usize| self.axes.get(place).cloned().unwrap_or_default();
        let label = |value: &f64| number(*value);
        let mut mesh = chart.configure_mesh();
        mesh.x_desc(axis(0)).y_desc(axis(1)).x_label_formatter(&label).y_label_formatter(&label).draw()?;
        for ((name, points), ink) in self.lines.iter().zip(INKS.iter().cycle()) {
            chart
                .draw_series(LineSeries::new(points.iter().copied(), ink.stroke_width(2)).point_size(3))?
                .label(name.clone())
                .legend(|(x, y)| PathElement::new([(x, y), (x + 16, y)], ink.stroke_width(2)));
        }
        if self.lines.len() > 1 {
            chart.configure_series_labels().background_style(WHITE.mix(0.8)).border_style(BLACK).draw()?;
        }
        Ok(())
    }
}

/// With three digits that say something.
fn number(value: f64) -> String {
    match value {
        value if value >= 100.0 || value.fract() == 0.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}
