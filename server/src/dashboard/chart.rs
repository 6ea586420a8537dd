//! Bar charts, drawn as SVG that takes its colours from the page.

use plotters::prelude::*;

/// Width and height, in the units of the picture; the page scales it.
const SIZE: (u32, u32) = (560, 200);
/// Most labels below the bars, so that they do not run into each other.
const LABELS_MAX: usize = 8;
/// Colours that stand for those of the page, which differ by light and dark.
const INK: RGBColor = RGBColor(1, 2, 3);
const LINE: RGBColor = RGBColor(1, 2, 4);
const BAR: RGBColor = RGBColor(1, 2, 5);

/// A bar: what is below it, and how high it is.
pub(super) type Bar = (String, f64);

/// Draws bars beside each other, from zero. Empty where there is nothing to draw.
pub(super) fn bars(bars: &[Bar]) -> String {
    let mut svg = String::new();
    match draw(&mut svg, bars) {
        Ok(()) => {
            let drawn = svg
                .replace("#010203", "var(--text)")
                .replace("#010204", "var(--line)")
                .replace("#010205", "var(--accent)");
            // The figures are told beside it; a screen reader need not read each mark.
            drawn.replacen("<svg", "<svg aria-hidden=\"true\" focusable=\"false\"", 1)
        }
        Err(error) => {
            tracing::warn!(%error, "a chart could not be drawn");
            String::new()
        }
    }
}

fn draw(svg: &mut String, bars: &[Bar]) -> Result<(), Box<dyn std::error::Error>> {
    if bars.is_empty() {
        return Ok(());
    }
    let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    let highest = bars.iter().map(|(_, height)| *height).fold(1.0, f64::max);
    let count = bars.len() as f64;
    let mut chart = ChartBuilder::on(&root)
        .margin(4)
        .margin_right(12)
        .x_label_area_size(24)
        .y_label_area_size(48)
        .build_cartesian_2d(0.0..count, 0.0..highest * 1.05)?;
    let font = ("sans-serif", 14).into_font().color(&INK);
    let label = |x: &f64| {
        // A mark between two bars has no label.
        let is_middle = (x.fract() - 0.5).abs() < 0.01;
        let bar = if is_middle { bars.get(*x as usize) } else { None };
        bar.map(|(label, _)| label.clone()).unwrap_or_default()
    };
    chart
        .configure_mesh()
        .disable_x_mesh()
        .disable_x_axis()
        .y_labels(4)
        .y_label_formatter(&|height| crate::outline::number(*height))
        .light_line_style(TRANSPARENT)
        .bold_line_style(LINE)
        .axis_style(LINE)
        .label_style(font.clone())
        .draw()?;
    let plot = chart.plotting_area();
    for (at, (_, height)) in bars.iter().enumerate() {
        let from = at as f64;
        plot.draw(&Rectangle::new([(from + 0.15, 0.0), (from + 0.85, *height)], BAR.filled()))?;
    }
    let step = bars.len().div_ceil(LABELS_MAX);
    for at in (0..bars.len()).step_by(step) {
        let middle = at as f64 + 0.5;
        let (x, y) = plot.map_coordinate(&(middle, 0.0));
        let style = font.clone().pos(plotters::style::text_anchor::Pos::new(
            plotters::style::text_anchor::HPos::Center,
            plotters::style::text_anchor::VPos::Top,
        ));
        root.draw_text(&label(&middle), &style, (x, y + 6))?;
    }
    root.present()?;
    drop(chart);
    drop(root);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_has_a_bar_for_each_value_and_the_colours_of_the_page() {
        let svg = bars(&[("Nov 1".to_owned(), 3.0), ("Nov 2".to_owned(), 0.0), ("Nov 3".to_owned(), 12.0)]);
        assert_eq!(svg.matches("<rect").count(), 3, "{svg}");
        assert_eq!(svg.matches("var(--accent)").count(), 3);
        assert!(!svg.contains("#0102"), "{svg}");
        for label in ["Nov 1", "Nov 3"] {
            assert!(svg.contains(label), "{svg}");
        }
        assert!(!svg.contains("style="), "pages forbid styles in the text");
    }

    #[test]
    fn nothing_is_drawn_of_nothing() {
        assert_eq!(bars(&[]), "");
    }
}
