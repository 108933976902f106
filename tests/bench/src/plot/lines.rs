//! Lines over the cases of a bench, from left to right in the order in which they ran.

use std::path::Path;

use anyhow::Result;
use plotters::coord::ranged1d::ValueFormatter;
use plotters::prelude::*;

use super::canvas::{GREY, colour, failed, finish, float, font, page, pixels, text};
use crate::figure::{Figure, Unit};

/// Pixels: of the page, of the names beside the lines.
const HEIGHT: u32 = 460;
const NAMES: u32 = 290;

/// A chart.
pub(super) struct Lines {
    pub(super) title: String,
    /// What cases are.
    pub(super) axis: String,
    pub(super) unit: Unit,
    /// The cases, in order.
    pub(super) cases: Vec<String>,
    pub(super) figures: Vec<Line>,
    /// Values that have no case: drawn from side to side, as thin lines.
    pub(super) references: Vec<Line>,
}

/// A line: a value, the middle, for each case.
pub(super) struct Line {
    pub(super) name: String,
    pub(super) points: Vec<(String, f64)>,
    /// What it should stay below.
    pub(super) target: Option<f64>,
}

impl Lines {
    /// A line for each name of figures. Figures whose case is no number are left out.
    pub(super) fn of<'a>(title: &str, axis: &str, figures: impl Iterator<Item = &'a Figure>) -> Self {
        let mut lines: Vec<Line> = Vec::new();
        let (mut cases, mut unit) = (Vec::new(), Unit::Seconds);
        for figure in figures {
            let case = figure.case.rsplit('/').next().unwrap_or_default();
            if case.is_empty()
                || !case
                    .trim_end_matches('k')
                    .bytes()
                    .all(|byte| byte.is_ascii_digit())
            {
                continue;
            }
            unit = figure.unit;
            if !cases.iter().any(|known| known == case) {
                cases.push(case.to_owned());
            }
            let target = figure.target.map(|target| target.most);
            let point = (case.to_owned(), figure.spread.p50);
            match lines.iter_mut().find(|line| line.name == figure.what) {
                Some(line) => {
                    line.points.push(point);
                    line.target = line.target.or(target);
                }
                None => lines.push(Line {
                    name: figure.what.clone(),
                    points: vec![point],
                    target,
                }),
            }
        }
        Self {
            title: title.to_owned(),
            axis: axis.to_owned(),
            unit,
            cases,
            figures: lines,
            references: Vec::new(),
        }
    }

    /// Draws it.
    pub(super) fn draw(&self, path: &Path, about: &str) -> Result<()> {
        let page = page(path, HEIGHT, &self.title, about)?;
        self.legend(&page)?;
        let (_, body) = page.split_vertically(66);
        let (least, most) = self.range();
        let width = float(self.cases.len());
        // A logarithm where it is needed: most of these charts are about lines that stay flat.
        if least > 0.0 && most / least > 50.0 {
            let mut chart = ChartBuilder::on(&body)
                .margin(16)
                .margin_right(NAMES)
                .x_label_area_size(45)
                .y_label_area_size(70)
                .build_cartesian_2d(0.0..width, (least * 0.7..most * 1.4).log_scale())
                .map_err(failed)?;
            self.fill(&mut chart)?;
        } else {
            let (low, high) = (least.min(0.0) * 1.15, most * 1.15);
            let mut chart = ChartBuilder::on(&body)
                .margin(16)
                .margin_right(NAMES)
                .x_label_area_size(45)
                .y_label_area_size(70)
                .build_cartesian_2d(0.0..width, low..high)
                .map_err(failed)?;
            self.fill(&mut chart)?;
        }
        finish(&page)
    }

    /// The axes, and everything between them.
    fn fill<Y>(&self, chart: &mut Chart<'_, '_, Y>) -> Result<()>
    where
        Y: Ranged<ValueType = f64> + ValueFormatter<f64>,
    {
        let case = |at: &f64| {
            let nth = (0..self.cases.len()).find(|nth| (float(*nth) + 0.5 - at).abs() < 0.01);
            nth.and_then(|nth| self.cases.get(nth))
                .cloned()
                .unwrap_or_default()
        };
        chart
            .configure_mesh()
            .disable_x_mesh()
            .x_labels(self.cases.len() * 2 + 1)
            .x_label_formatter(&case)
            .x_desc(self.axis.clone())
            .axis_desc_style(font(13))
            .label_style(font(12))
            .y_label_formatter(&|value| self.unit.show(*value))
            .light_line_style(WHITE)
            .bold_line_style(RGBColor(225, 225, 225))
            .draw()
            .map_err(failed)?;
        let width = float(self.cases.len());
        for (nth, line) in self.figures.iter().enumerate() {
            if let Some(target) = line.target {
                let dashed = DashedLineSeries::new(
                    [(0.0, target), (width, target)],
                    8,
                    6,
                    colour(nth).stroke_width(2),
                );
                chart.draw_series(dashed).map_err(failed)?;
            }
        }
        for (nth, reference) in self.references.iter().enumerate() {
            let style = colour(self.figures.len() + nth).stroke_width(1);
            for (_, value) in &reference.points {
                let line = LineSeries::new([(0.0, *value), (width, *value)], style);
                chart.draw_series(line).map_err(failed)?;
            }
        }
        for (nth, line) in self.figures.iter().enumerate() {
            let points: Vec<(f64, f64)> = line.points.iter().filter_map(|point| self.place(point)).collect();
            let style = colour(nth).stroke_width(3);
            let dots = points
                .iter()
                .map(|point| Circle::new(*point, 4, colour(nth).filled()));
            chart
                .draw_series(LineSeries::new(points.clone(), style))
                .map_err(failed)?;
            chart.draw_series(dots).map_err(failed)?;
        }
        Ok(())
    }

    /// Names of the lines with their colours, beside the chart.
    fn legend(&self, page: &super::canvas::Page<'_>) -> Result<()> {
        let left = pixels(1_000 - NAMES as usize) + 12;
        let mut top = 90;
        let lines = self.figures.iter().map(|line| (line, 3));
        let references = self.references.iter().map(|line| (line, 1));
        for (nth, (line, width)) in lines.chain(references).enumerate() {
            let stroke = [(left, top + 5), (left + 18, top + 5)];
            page.draw(&PathElement::new(stroke, colour(nth).stroke_width(width)))
                .map_err(failed)?;
            text(page, &line.name, (left + 24, top), &font(12))?;
            top += 22;
        }
        if self.figures.iter().any(|line| line.target.is_some()) {
            for part in [(left, left + 7), (left + 11, left + 18)] {
                let stroke = [(part.0, top + 5), (part.1, top + 5)];
                page.draw(&PathElement::new(stroke, GREY.stroke_width(2)))
                    .map_err(failed)?;
            }
            text(
                page,
                "target of the line of this colour",
                (left + 24, top),
                &font(12),
            )?;
        }
        Ok(())
    }

    /// Where a point is.
    fn place(&self, (case, value): &(String, f64)) -> Option<(f64, f64)> {
        let nth = self.cases.iter().position(|known| known == case)?;
        Some((float(nth) + 0.5, *value))
    }

    /// The least and the most of all values.
    fn range(&self) -> (f64, f64) {
        let lines = self.figures.iter().chain(&self.references);
        let values = lines.flat_map(|line| {
            let points = line.points.iter().map(|(_, value)| *value);
            points.chain(line.target)
        });
        let values: Vec<f64> = values.collect();
        let least = values.iter().copied().fold(f64::MAX, f64::min);
        let most = values.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
        (least, most)
    }
}

/// A chart with cases from left to right.
type Chart<'a, 'b, Y> =
    ChartContext<'a, SVGBackend<'b>, Cartesian2d<plotters::coord::types::RangedCoordf64, Y>>;
