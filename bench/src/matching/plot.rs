//! Plots of a workload: cost against subscriptions, and the engines beside each other.
//!
//! Invariant: scales are logarithmic and begin and end at a power of ten, so every value lies within the frame; names
//! stand in a legend, one below the other, so that none covers another.

use std::fmt::{self, Write as _};
use std::path::Path;

use super::engine::EngineName;
use super::table::Row;

const WIDTH: f64 = 880.0;
const HEIGHT: f64 = 480.0;
const LEFT: f64 = 90.0;
const RIGHT: f64 = 650.0;
const TOP: f64 = 50.0;
const BOTTOM: f64 = 420.0;
/// Height of a bar with the space around it.
const BAR: f64 = 40.0;

/// Colours that people who do not see all colours can tell apart (Okabe and Ito), and a grey.
const COLOURS: [&str; 9] = [
    "#7f7f7f", "#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#cc79a7", "#d55e00",
    "#000000",
];

/// Draws two plots for each workload of `rows` into `folder`, which is made if need be.
///
/// # Errors
/// A file that cannot be written.
pub(super) fn draw(rows: &[Row], folder: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    for group in rows.chunk_by(|one, other| one.workload == other.workload) {
        let name = group[0].workload.name();
        let lines = Lines::of(group);
        if lines.0.is_empty() {
            continue;
        }
        std::fs::write(folder.join(format!("{name}.svg")), lines.plot(&name))?;
        let bars = lines.bars(&name);
        std::fs::write(folder.join(format!("{name}-bars.svg")), bars)?;
    }
    Ok(())
}

/// The points of each engine that has any: subscriptions, and nanoseconds for a publication.
struct Lines(Vec<(EngineName, Vec<(f64, f64)>)>);

impl Lines {
    fn of(rows: &[Row]) -> Self {
        let mut lines: Vec<(EngineName, Vec<(f64, f64)>)> = Vec::new();
        for row in rows {
            let Ok(figures) = &row.figures else { continue };
            let ns = figures.ns_per_publication.median();
            let point = (f64::from(row.subscriptions), ns);
            match lines.iter_mut().find(|(engine, _)| *engine == row.engine) {
                Some((_, points)) => points.push(point),
                None => lines.push((row.engine, vec![point])),
            }
        }
        Self(lines)
    }

    fn points(&self) -> impl Iterator<Item = (f64, f64)> {
        self.0.iter().flat_map(|(_, points)| points.iter().copied())
    }

    /// Cost against subscriptions, a line for each engine.
    fn plot(&self, name: &str) -> String {
        let across = Scale::over(self.points().map(|(count, _)| count), LEFT, RIGHT);
        let up = Scale::over(self.points().map(|(_, ns)| ns), BOTTOM, TOP);
        let mut drawing = Drawing::new(HEIGHT, &format!("{name}: time per publication"));
        for (value, x) in across.ticks() {
            drawing.line((x, TOP), (x, BOTTOM), "#ddd");
            drawing.text((x, BOTTOM + 18.0), "middle", &count(value));
        }
        for (value, y) in up.ticks() {
            drawing.line((LEFT, y), (RIGHT, y), "#ddd");
            drawing.text((LEFT - 8.0, y + 4.0), "end", &time(value));
        }
        let middle = (LEFT + RIGHT) / 2.0;
        drawing.text((middle, BOTTOM + 42.0), "middle", "subscriptions");
        for (engine, points) in &self.0 {
            let points = points.iter();
            let places: Vec<_> = points.map(|(x, y)| (across.at(*x), up.at(*y))).collect();
            drawing.path(&places, colour(*engine), width(*engine));
        }
        self.legend(&mut drawing);
        drawing.finish()
    }

    /// The slowest at the end first, as the lines come in on the right.
    fn legend(&self, drawing: &mut Drawing) {
        let greatest = self.points().map(|(count, _)| count).fold(0.0, f64::max);
        let ends = self
            .0
            .iter()
            .filter_map(|(engine, points)| Some((*engine, *points.last()?)));
        let mut ends: Vec<_> = ends.collect();
        ends.sort_by(|one, other| other.1.1.total_cmp(&one.1.1));
        for (nth, (engine, (size, ns))) in ends.into_iter().enumerate() {
            let y = TOP + 12.0 + 24.0 * nth as f64;
            let places = [(RIGHT + 18.0, y), (RIGHT + 42.0, y)];
            drawing.path(&places, colour(engine), width(engine));
            let mut text = format!("{engine} {}", time(ns));
            if size < greatest {
                // Writing to a string cannot fail.
                let _ = write!(text, " at {}", count(size));
            }
            drawing.text((RIGHT + 50.0, y + 4.0), "start", &text);
        }
    }

    /// A bar for each engine at the greatest size that all of these engines have.
    fn bars(&self, name: &str) -> String {
        let size = self.common_size();
        let at = |points: &[(f64, f64)]| points.iter().find(|point| point.0 == size).copied();
        let bars = self
            .0
            .iter()
            .filter_map(|(engine, points)| Some((*engine, at(points)?.1)));
        let mut bars: Vec<_> = bars.collect();
        bars.sort_by(|one, other| other.1.total_cmp(&one.1));
        let across = Scale::over(bars.iter().map(|(_, ns)| *ns), LEFT, RIGHT);
        let end = TOP + BAR * bars.len() as f64;
        let title = format!(
            "{name}: time per publication, {} subscriptions",
            count(size)
        );
        let mut drawing = Drawing::new(end + 40.0, &title);
        for (value, x) in across.ticks() {
            drawing.line((x, TOP), (x, end), "#ddd");
            drawing.text((x, end + 18.0), "middle", &time(value));
        }
        for (nth, (engine, ns)) in bars.into_iter().enumerate() {
            let y = TOP + BAR * nth as f64;
            let x = across.at(ns);
            drawing.bar((LEFT, y + 6.0), (x - LEFT, BAR - 12.0), colour(engine));
            let middle = y + BAR / 2.0 + 4.0;
            drawing.text((LEFT - 8.0, middle), "end", &engine.to_string());
            drawing.text((x + 6.0, middle), "start", &time(ns));
        }
        drawing.finish()
    }

    /// The greatest size with most engines.
    fn common_size(&self) -> f64 {
        let engines = |size: f64| self.points().filter(|point| point.0 == size).count();
        let sizes = self.points().map(|(size, _)| size);
        sizes
            .max_by(|one, other| {
                let by_engines = engines(*one).cmp(&engines(*other));
                by_engines.then(one.total_cmp(other))
            })
            .unwrap_or_default()
    }
}

fn colour(engine: EngineName) -> &'static str {
    COLOURS[engine as usize % COLOURS.len()]
}

fn width(engine: EngineName) -> f64 {
    match engine {
        EngineName::Index => 4.0,
        _ => 2.0,
    }
}

/// A logarithmic scale.
struct Scale {
    first: i32,
    last: i32,
    from: f64,
    to: f64,
}

impl Scale {
    /// From the power of ten below the least value to the one above the greatest.
    fn over(values: impl Iterator<Item = f64>, from: f64, to: f64) -> Self {
        let (least, greatest) = values.fold((f64::MAX, 1.0_f64), |(least, greatest), value| {
            (least.min(value), greatest.max(value))
        });
        let first = least.max(1.0).log10().floor() as i32;
        let last = (greatest.log10().ceil() as i32).max(first + 1);
        Self {
            first,
            last,
            from,
            to,
        }
    }

    fn at(&self, value: f64) -> f64 {
        let part =
            (value.max(1.0).log10() - f64::from(self.first)) / f64::from(self.last - self.first);
        self.from + (self.to - self.from) * part
    }

    /// Every power of ten, and where it lies.
    fn ticks(&self) -> impl Iterator<Item = (f64, f64)> {
        (self.first..=self.last).map(|power| {
            let value = 10_f64.powi(power);
            (value, self.at(value))
        })
    }
}

fn count(value: f64) -> String {
    match value {
        1e6.. => format!("{} M", value / 1e6),
        1e3.. => format!("{} k", value / 1e3),
        _ => value.to_string(),
    }
}

/// Nanoseconds, in a unit that keeps the number short.
fn time(ns: f64) -> String {
    let (value, unit) = match ns {
        1e9.. => (ns / 1e9, "s"),
        1e6.. => (ns / 1e6, "ms"),
        1e3.. => (ns / 1e3, "us"),
        _ => (ns, "ns"),
    };
    if value < 10.0 && value.fract() != 0.0 {
        format!("{value:.1} {unit}")
    } else {
        format!("{value:.0} {unit}")
    }
}

/// An SVG being written.
struct Drawing(String);

impl Drawing {
    fn new(height: f64, title: &str) -> Self {
        let mut drawing = Self(String::new());
        drawing.put(format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
             font-family=\"sans-serif\" font-size=\"13\">"
        ));
        drawing.put(format_args!(
            "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>"
        ));
        drawing.text((LEFT, 28.0), "start", title);
        drawing
    }

    fn put(&mut self, element: fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "{element}");
    }

    fn line(&mut self, from: (f64, f64), to: (f64, f64), colour: &str) {
        self.put(format_args!(
            "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"{colour}\"/>",
            from.0, from.1, to.0, to.1
        ));
    }

    fn text(&mut self, at: (f64, f64), anchor: &str, text: &str) {
        self.put(format_args!(
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{text}</text>",
            at.0, at.1
        ));
    }

    fn bar(&mut self, at: (f64, f64), size: (f64, f64), colour: &str) {
        self.put(format_args!(
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{colour}\"/>",
            at.0, at.1, size.0, size.1
        ));
    }

    /// A line through points, each with a dot.
    fn path(&mut self, points: &[(f64, f64)], colour: &str, width: f64) {
        let mut places = String::new();
        for (x, y) in points {
            let _ = write!(places, "{x:.1},{y:.1} ");
            self.put(format_args!(
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{:.1}\" fill=\"{colour}\"/>",
                width + 1.0
            ));
        }
        self.put(format_args!(
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\"/>",
            places.trim_end()
        ));
    }

    fn finish(mut self) -> String {
        self.0.push_str("</svg>\n");
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matching::language::Unsupported;
    use crate::matching::table::tests::row;

    fn rows() -> Vec<Row> {
        let mut failed = row(EngineName::ATree, 1000, 1.0);
        failed.figures = Err(Unsupported::because("too many"));
        vec![
            row(EngineName::Scan, 1000, 5000.0),
            row(EngineName::Index, 1000, 90.0),
            failed,
            row(EngineName::Index, 100_000, 280.0),
        ]
    }

    #[test]
    fn a_workload_has_a_plot_with_a_line_for_each_engine_that_was_measured_and_a_chart_of_bars() {
        let folder = tempfile::tempdir().unwrap();

        draw(&rows(), &folder.path().join("plots")).unwrap();

        let read = |name| std::fs::read_to_string(folder.path().join("plots").join(name)).unwrap();
        let (plot, bars) = (read("range0.svg"), read("range0-bars.svg"));
        // Each engine has a line, and a piece of it in the legend.
        assert_eq!(plot.matches("<polyline").count(), 4);
        assert!(plot.contains("scan 5 us at 1 k<"));
        assert!(plot.contains("index 280 ns<") && !plot.contains("a-tree"));
        assert_eq!(bars.matches("<rect").count(), 3);
        assert!(bars.contains("1 k subscriptions"));
    }

    #[test]
    fn a_scale_goes_from_power_to_power_and_holds_every_value() {
        let scale = Scale::over([90.0, 480_000.0].into_iter(), 0.0, 500.0);

        let ticks: Vec<_> = scale.ticks().collect();

        assert_eq!(ticks.first(), Some(&(10.0, 0.0)));
        assert_eq!(ticks.last().map(|tick| tick.1), Some(500.0));
        assert!((0.0..500.0).contains(&scale.at(90.0)) && scale.at(480_000.0) < 500.0);
    }

    #[test]
    fn values_are_told_in_short_units() {
        let told = [90.0, 1500.0, 250_000.0, 3e6].map(time);

        assert_eq!(told, ["90 ns", "1.5 us", "250 us", "3 ms"]);
        assert_eq!([500.0, 1e4, 1e7].map(count), ["500", "10 k", "10 M"]);
    }
}
