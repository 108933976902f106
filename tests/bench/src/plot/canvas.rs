//! What both kinds of charts need: a white page, its title, its colours, numbers for the library.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;

/// A page of some width and height, white, so that it can be read on a dark page too.
pub(super) type Page<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Pixels.
pub(super) const WIDTH: u32 = 1_000;

/// Colours that differ in brightness as well (Okabe and Ito, 2008).
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(90, 90, 90),
];

/// What targets of bars are drawn in.
pub(super) const TARGET: RGBColor = RGBColor(200, 30, 30);

/// What has no colour of its own.
pub(super) const GREY: RGBColor = RGBColor(90, 90, 90);

/// The colour of the `nth` thing.
pub(super) fn colour(nth: usize) -> RGBColor {
    COLOURS.get(nth % COLOURS.len()).copied().unwrap_or(BLACK)
}

/// A text of a size in pixels.
pub(super) fn font(size: u32) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(&RGBColor(30, 30, 30))
}

/// A page with its title and what it was measured on.
pub(super) fn page<'a>(path: &'a Path, height: u32, title: &str, about: &str) -> Result<Page<'a>> {
    let page = SVGBackend::new(path, (WIDTH, height)).into_drawing_area();
    page.fill(&WHITE).map_err(failed)?;
    text(&page, title, (20, 14), &font(20))?;
    text(&page, about, (20, 42), &font(13).color(&RGBColor(100, 100, 100)))?;
    Ok(page)
}

/// Writes a text from a point to the right and down.
pub(super) fn text(page: &Page<'_>, text: &str, at: (i32, i32), style: &TextStyle<'_>) -> Result<()> {
    page.draw(&Text::new(text.to_owned(), at, style.clone()))
        .map_err(failed)
}

/// Writes the page.
pub(super) fn finish(page: &Page<'_>) -> Result<()> {
    page.present().map_err(failed)
}

/// An error of the library, which is not one that can be handed on.
pub(super) fn failed(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("cannot draw: {error}")
}

/// A small number as a coordinate.
pub(super) fn float(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}

/// A small number as pixels.
pub(super) fn pixels(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
