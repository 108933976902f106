//! Bars from left to right on a logarithmic axis, in rows with their names before them.

use std::path::Path;

use anyhow::Result;
use plotters::prelude::*;

use super::canvas::{TARGET, colour, failed, finish, float, font, page, pixels, text};
use crate::figure::Unit;

/// The height of a bar and of the space between rows, the width of names, in pixels.
const BAR: usize = 13;
const SPACE: usize = 12;
const NAMES: i32 = 200;
/// Where the chart begins and how much is below it.
const TOP: usize = 100;
const BOTTOM: usize = 40;

/// A chart of times in seconds.
pub(super) struct Bars {
    pub(super) title: String,
    /// What the bars of each row are.
    pub(super) kinds: Vec<String>,
    /// Names of rows, and the bars of each.
    pub(super) rows: Vec<(String, Vec<Bar>)>,
}

/// A bar, and how long it should be at most.
pub(super) struct Bar {
    pub(super) value: f64,
    pub(super) target: Option<f64>,
}

impl Bars {
    /// Draws it.
    pub(super) fn draw(&self, path: &Path, about: &str) -> Result<()> {
        let row = self.kinds.len() * BAR + SPACE;
        let height = TOP + self.rows.len() * row + BOTTOM;
        let page = page(path, u32::try_from(height)?, &self.title, about)?;
        let has_targets = self.bars().any(|bar| bar.target.is_some());
        let mut left = NAMES;
        for (nth, kind) in self.kinds.iter().enumerate() {
            let square = [(left, 68), (left + 12, 80)];
            page.draw(&Rectangle::new(square, colour(nth).filled()))
                .map_err(failed)?;
            text(&page, kind, (left + 18, 69), &font(13))?;
            left += 110;
        }
        if has_targets {
            let tick = [(left + 5, 66), (left + 5, 82)];
            page.draw(&PathElement::new(tick, TARGET.stroke_width(3)))
                .map_err(failed)?;
            text(&page, "target", (left + 18, 69), &font(13))?;
        }
        let (least, most) = self.range();
        let (_, body) = page.split_vertically(pixels(TOP) - 10);
        let mut chart = ChartBuilder::on(&body)
            .margin_top(10)
            .margin_right(90)
            .x_label_area_size(30)
            .margin_left(NAMES)
            .build_cartesian_2d((least..most).log_scale(), 0.0..float(self.rows.len()))
            .map_err(failed)?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .disable_y_axis()
            .x_labels(10)
            .x_label_style(font(12))
            .x_label_formatter(&|value| Unit::Seconds.show(*value))
            .light_line_style(WHITE)
            .bold_line_style(RGBColor(225, 225, 225))
            .draw()
            .map_err(failed)?;
        for (nth, (name, bars)) in self.rows.iter().enumerate() {
            let top = TOP + nth * row + SPACE / 2;
            let middle = pixels(top + self.kinds.len() * BAR / 2);
            text(&page, name, (20, middle - 7), &font(13))?;
            for (kind, bar) in bars.iter().enumerate().filter(|(_, bar)| bar.value > 0.0) {
                let (upper, lower) = (pixels(top + kind * BAR), pixels(top + (kind + 1) * BAR - 1));
                let (end, _) = chart.backend_coord(&(bar.value, 0.0));
                let shape = [(NAMES, upper), (end, lower)];
                page.draw(&Rectangle::new(shape, colour(kind).filled()))
                    .map_err(failed)?;
                let mut beside = end;
                if let Some(target) = bar.target {
                    let (at, _) = chart.backend_coord(&(target, 0.0));
                    let tick = [(at, upper - 3), (at, lower + 3)];
                    page.draw(&PathElement::new(tick, TARGET.stroke_width(3)))
                        .map_err(failed)?;
                    // The number would lie on the target's tick.
                    if (at - end).abs() < 70 {
                        beside = at.max(end);
                    }
                }
                let label = Unit::Seconds.show(bar.value);
                text(&page, &label, (beside + 6, upper), &font(11))?;
            }
        }
        finish(&page)?;
        Ok(())
    }

    fn bars(&self) -> impl Iterator<Item = &Bar> {
        self.rows.iter().flat_map(|(_, bars)| bars)
    }

    /// From the power of ten below the least to a little above the most.
    fn range(&self) -> (f64, f64) {
        let values = self.bars().flat_map(|bar| [Some(bar.value), bar.target]);
        let values: Vec<f64> = values.flatten().filter(|value| *value > 0.0).collect();
        let least = values.iter().copied().fold(f64::MAX, f64::min);
        let most = values.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
        (10_f64.powf((least * 0.8).log10().floor()), most * 1.3)
    }
}
