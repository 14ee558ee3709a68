//! One picture: predictions against what was observed.

use std::error::Error;
use std::path::Path;

use ndarray::Array1;
use plotters::prelude::*;

/// Draws each observation as a point, across and its prediction up, with the
/// line on which the two agree. Writes SVG: text, so no font is needed here.
///
/// # Panics
/// If there are not as many predictions as observations.
pub fn predicted_against_observed(
    path: &Path,
    title: &str,
    observed: &Array1<f64>,
    predicted: &[f64],
) -> Result<(), Box<dyn Error>> {
    assert_eq!(observed.len(), predicted.len());
    let (low, high) = range(observed.iter().chain(predicted).copied());
    let picture = SVGBackend::new(path, (640, 640)).into_drawing_area();
    picture.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&picture)
        .caption(title, ("sans-serif", 20))
        .margin(16)
        .x_label_area_size(40)
        .y_label_area_size(56)
        .build_cartesian_2d(low..high, low..high)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .x_desc("observed")
        .y_desc("predicted")
        .draw()?;
    chart.draw_series(LineSeries::new([(low, low), (high, high)], BLACK.mix(0.4)))?;
    let points = observed.iter().copied().zip(predicted.iter().copied());
    chart.draw_series(points.map(|point| Circle::new(point, 3, BLUE.mix(0.5).filled())))?;
    picture.present()?;
    Ok(())
}

/// What the axes show: all the values and a little air, never nothing.
fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let widen = |(low, high): (f64, f64), value: f64| (low.min(value), high.max(value));
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), widen);
    let air = if low < high { 0.05 * (high - low) } else { 1.0 };
    (low - air, high + air)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn the_picture_has_a_point_for_each_row() {
        let path = std::env::temp_dir().join(format!("mobula-plot-{}.svg", std::process::id()));
        let observed = array![1.0, 2.0, 4.0];
        predicted_against_observed(&path, "a title", &observed, &[1.5, 2.0, 3.0]).unwrap();
        let svg = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(svg.matches("<circle").count(), 3);
        assert!(svg.starts_with("<svg") && svg.contains("a title") && svg.contains("observed"));
    }

    #[test]
    fn the_axes_are_never_empty() {
        assert_eq!(range([3.0, 3.0].into_iter()), (2.0, 4.0));
        assert_eq!(range([0.0, 10.0].into_iter()), (-0.5, 10.5));
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error() {
        let path = Path::new("no/such/folder/picture.svg");
        assert!(predicted_against_observed(path, "", &array![1.0], &[1.0]).is_err());
    }
}
