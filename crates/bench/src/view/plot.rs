//! A plot of lines as SVG that needs no script.
//!
//! Each line is labelled at its right end, in its colour, the labels pushed apart until all can be read; what the mouse is on
//! stands out, and a point tells its figure.

use core::fmt::Write;

use super::html::escaped;

/// A plot.
pub(crate) struct Plot {
    pub(crate) title: String,
    pub(crate) x: Axis,
    pub(crate) y: Axis,
    pub(crate) series: Vec<Series>,
}

/// An axis: positions are on its scale already (the logarithm of a size, say).
pub(crate) struct Axis {
    pub(crate) label: &'static str,
    pub(crate) ticks: Vec<(f64, String)>,
}

/// A line.
pub(crate) struct Series {
    pub(crate) label: String,
    /// Which of the colours it has; none for the floor.
    pub(crate) colour: Option<usize>,
    pub(crate) points: Vec<Point>,
    /// Whether its points are shown as such.
    pub(crate) has_marks: bool,
}

/// A point.
pub(crate) struct Point {
    pub(crate) x: f64,
    pub(crate) y: f64,
    pub(crate) says: String,
}

/// How many colours there are; beyond them the same come again with dashes.
pub(crate) const COLOURS: usize = 12;

const WIDTH: f64 = 760.0;
const LEFT: f64 = 84.0;
const RIGHT: f64 = 168.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 44.0;
/// What a label's line takes.
const LINE: f64 = 13.5;
/// Of a label; the whole of it is in the figure's tip.
const LETTERS: usize = 22;

/// Powers of ten with what they are called, and 2 and 5 times these where there are few.
pub(crate) fn decades(
    (least, greatest): (f64, f64),
    name: &dyn Fn(f64) -> String,
) -> (Vec<(f64, String)>, (f64, f64)) {
    let (from, to) = (least.log10().floor() as i32, greatest.log10().ceil() as i32);
    let steps: &[f64] = if to - from <= 2 { &[1.0, 2.0, 5.0] } else { &[1.0] };
    let all = (from..=to).flat_map(|power| steps.iter().map(move |step| step * 10f64.powi(power)));
    let (low, high) = (least * 0.8, greatest * 1.25);
    let ticks = all.filter(|it| (low..=high).contains(it)).map(|it| (it.log10(), name(it))).collect();
    (ticks, (low.log10(), high.log10()))
}

/// Powers of two, as many as there is room for.
pub(crate) fn powers(
    (least, greatest): (f64, f64),
    name: &dyn Fn(f64) -> String,
) -> (Vec<(f64, String)>, (f64, f64)) {
    let (low, high) = (least * 0.8, greatest * 1.25);
    let step = ((high / low).log2() / 9.0).ceil().max(1.0) as i32;
    // Whatever the step, what is a unit of its own is a tick: 1 KiB, 1 MiB.
    let step = [1, 2, 5, 10].into_iter().find(|&it| it >= step).unwrap_or(20);
    let all = (0..=60 / step).map(|index| 2f64.powi(index * step));
    let ticks = all.filter(|it| (low..=high).contains(it)).map(|it| (it.log10(), name(it))).collect();
    (ticks, (low.log10(), high.log10()))
}

impl Plot {
    /// As SVG, with a caption. `y` is the range of the vertical axis.
    pub(crate) fn svg(&self, (low, high): (f64, f64)) -> String {
        let height = (TOP + BOTTOM + LINE * self.series.len() as f64).max(400.0);
        let xs = || {
            let points = self.series.iter().flat_map(|series| &series.points).map(|point| point.x);
            points.chain(self.x.ticks.iter().map(|tick| tick.0))
        };
        let (left, right) = (xs().fold(f64::MAX, f64::min), xs().fold(f64::MIN, f64::max));
        let across = |x: f64| LEFT + (x - left) / (right - left).max(1e-9) * (WIDTH - LEFT - RIGHT);
        let down = |y: f64| TOP + (high - y) / (high - low).max(1e-9) * (height - TOP - BOTTOM);
        let title = escaped(&self.title);
        let mut svg = format!(
            "<figure>\n<figcaption>{title}</figcaption>\n\
             <svg class=\"plot\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{title}\">\n"
        );
        let (bottom, end) = (height - BOTTOM, WIDTH - RIGHT);
        for (y, name) in &self.y.ticks {
            let (at, name) = (down(*y), escaped(name));
            let _ = writeln!(
                svg,
                "<path class=\"grid\" d=\"M{LEFT} {at:.1}H{end}\"/>\
                 <text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{name}</text>",
                LEFT - 8.0,
                at + 4.0
            );
        }
        for (x, name) in &self.x.ticks {
            let (at, name) = (across(*x), escaped(name));
            let _ = writeln!(
                svg,
                "<path class=\"grid\" d=\"M{at:.1} {TOP}V{bottom:.1}\"/>\
                 <text class=\"tick\" x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{name}</text>",
                bottom + 17.0
            );
        }
        let _ = writeln!(
            svg,
            "<text class=\"axis\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            f64::midpoint(LEFT, end),
            height - 6.0,
            escaped(self.x.label)
        );
        let _ = writeln!(
            svg,
            "<text class=\"axis\" transform=\"translate(12 {:.1}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
            f64::midpoint(TOP, bottom),
            escaped(self.y.label)
        );
        for (series, label) in self.series.iter().zip(self.labels(&down, bottom)) {
            svg += &line(series, label, &across, &down);
        }
        svg + "</svg>\n</figure>\n"
    }

    /// Where each label stands: beside the end of its line, or as near to that as the others let it.
    fn labels(&self, down: &dyn Fn(f64) -> f64, bottom: f64) -> Vec<f64> {
        let end = |series: &Series| series.points.last().map_or(bottom, |point| down(point.y));
        let mut order: Vec<usize> = (0..self.series.len()).collect();
        order.sort_by(|&one, &other| end(&self.series[one]).total_cmp(&end(&self.series[other])));
        let mut places: Vec<f64> = order.iter().map(|&index| end(&self.series[index])).collect();
        let mut least = TOP;
        for place in &mut places {
            *place = place.max(least);
            least = *place + LINE;
        }
        let mut most = bottom;
        for place in places.iter_mut().rev() {
            *place = place.min(most);
            most = *place - LINE;
        }
        let mut labels = vec![0.0; places.len()];
        order.into_iter().zip(places).for_each(|(index, place)| labels[index] = place);
        labels
    }
}

fn line(series: &Series, label: f64, across: &dyn Fn(f64) -> f64, down: &dyn Fn(f64) -> f64) -> String {
    let Some(last) = series.points.last() else { return String::new() };
    let class = match series.colour {
        None => "floor".to_owned(),
        Some(colour) if colour < COLOURS => format!("c{colour}"),
        Some(colour) => format!("c{} again", colour % COLOURS),
    };
    let mut path = String::new();
    for (index, point) in series.points.iter().enumerate() {
        let command = if index == 0 { 'M' } else { 'L' };
        let _ = write!(path, "{command}{:.1} {:.1}", across(point.x), down(point.y));
    }
    let name = escaped(&series.label);
    let mut short: String = series.label.chars().take(LETTERS).collect();
    if short.len() < series.label.len() {
        short.pop();
        short.push('…');
    }
    let (x, end) = (across(last.x), WIDTH - RIGHT);
    let mut text = format!(
        "<g class=\"series {class}\" data-series=\"{name}\"><title>{name}</title>\n\
         <path class=\"near\" d=\"{path}\"/><path class=\"line\" d=\"{path}\"/>\
         <path class=\"lead\" d=\"M{x:.1} {:.1}L{end:.1} {label:.1}H{:.1}\"/>\
         <text x=\"{:.1}\" y=\"{:.1}\">{}</text>\n",
        down(last.y),
        end + 8.0,
        end + 12.0,
        label + 4.0,
        escaped(&short)
    );
    for point in series.points.iter().filter(|_| series.has_marks) {
        let _ = writeln!(
            text,
            "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3.2\"><title>{name}: {}</title></circle>",
            across(point.x),
            down(point.y),
            escaped(&point.says)
        );
    }
    text + "</g>\n"
}
