//! How good predictions are.

use ndarray::{Array1, ArrayView1};

/// Mean squared error: the mean of (observed - predicted) squared.
///
/// # Panics
/// If there are not as many predictions as observations.
pub fn mse(observed: &Array1<f64>, predicted: &[f64]) -> f64 {
    squared_error(observed, predicted) / observed.len() as f64
}

/// Coefficient of determination: 1 for perfect predictions, 0 for those no
/// better than the mean, not a number where the observations are all equal.
///
/// # Panics
/// If there are not as many predictions as observations.
pub fn r2(observed: &Array1<f64>, predicted: &[f64]) -> f64 {
    let spread = observed.var(0.0) * observed.len() as f64;
    1.0 - squared_error(observed, predicted) / spread
}

/// Pearson's correlation of two columns.
///
/// # Panics
/// If they differ in length or are empty.
pub fn correlation(a: &Array1<f64>, b: &Array1<f64>) -> f64 {
    let mean_product = (a * b).mean().expect("at least one pair");
    let means = a.mean().zip(b.mean()).expect("at least one pair");
    (mean_product - means.0 * means.1) / (a.std(0.0) * b.std(0.0))
}

fn squared_error(observed: &Array1<f64>, predicted: &[f64]) -> f64 {
    (observed - &ArrayView1::from(predicted)).mapv(|error| error * error).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn errors_of_known_predictions() {
        let observed = array![1.0, 2.0, 3.0, 4.0];
        assert_eq!(mse(&observed, &[1.0, 2.0, 3.0, 4.0]), 0.0);
        assert_eq!(mse(&observed, &[2.0, 2.0, 3.0, 2.0]), 1.25);
        assert_eq!(r2(&observed, &[1.0, 2.0, 3.0, 4.0]), 1.0);
        assert_eq!(r2(&observed, &[2.5; 4]), 0.0);
        assert_eq!(r2(&observed, &[2.0, 2.0, 3.0, 2.0]), 0.0);
        assert!(r2(&observed, &[4.0, 3.0, 2.0, 1.0]) < 0.0);
        assert!(r2(&array![1.0, 1.0], &[1.0, 1.0]).is_nan());
    }

    #[test]
    fn correlation_of_known_columns() {
        let rising = array![1.0, 2.0, 3.0];
        assert!((correlation(&rising, &array![2.0, 4.0, 6.0]) - 1.0).abs() < 1e-12);
        assert!((correlation(&rising, &array![3.0, 2.0, 1.0]) + 1.0).abs() < 1e-12);
        assert!(correlation(&rising, &array![1.0, 0.0, 1.0]).abs() < 1e-12);
    }
}
