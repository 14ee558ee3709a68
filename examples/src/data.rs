//! Tables of numbers with a column to predict: made, built in, or read from a file.

mod csv_file;

use std::io;
use std::path::Path;

use ndarray::{Array1, Array2, ArrayView1, Axis, s};
use rand::{RngExt, SeedableRng};
use rand_distr::StandardNormal;
use rand_pcg::Pcg64;

pub use csv_file::Error;

/// Columns of predictors, and the target that they should predict.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    /// What the predictors are called, in the order of `x`'s columns.
    pub columns: Vec<String>,
    /// What the target is called.
    pub target: String,
    /// One row per observation, one column per predictor.
    pub x: Array2<f64>,
    /// The target of each row of `x`.
    pub y: Array1<f64>,
}

/// 200 rows of 20 standard normals `x0` to `x19`, of which three matter:
/// y = x0 + sqrt|x1 x2| + x1 - x2 + a standard normal. The same numbers each
/// time, from a fixed seed.
pub fn synthetic() -> Dataset {
    const ROWS: usize = 200;
    const COLUMNS: usize = 20;
    let mut rng = Pcg64::seed_from_u64(2024);
    let x = Array2::from_shape_simple_fn((ROWS, COLUMNS), || rng.sample(StandardNormal));
    let y = x.rows().into_iter().map(|row: ArrayView1<'_, f64>| {
        let noise: f64 = rng.sample(StandardNormal);
        row[0] + (row[1] * row[2]).abs().sqrt() + row[1] - row[2] + noise
    });
    let y = y.collect();
    let columns = (0..COLUMNS).map(|column| format!("x{column}")).collect();
    Dataset { columns, target: "y".into(), x, y }
}

/// 442 diabetes patients: age, sex, body mass index, blood pressure and six
/// blood serum measurements, and how far the disease had progressed a year
/// later. Original units.
///
/// Source: B. Efron, T. Hastie, I. Johnstone, R. Tibshirani, "Least Angle
/// Regression", Annals of Statistics 32 (2004), 407-499; as distributed with
/// scikit-learn (`load_diabetes(scaled=False)`).
pub fn diabetes() -> Dataset {
    let table = include_str!("../data/diabetes.csv");
    csv_file::read(table.as_bytes(), "progression").expect("the built-in table is sound")
}

/// Reads a comma-separated file whose first line names its columns. Every cell
/// must hold a number, and `target` must name one of several columns.
pub fn read_csv(path: &Path, target: &str) -> Result<Dataset, Error> {
    let file = std::fs::File::open(path).map_err(|source| Error::open(path, source))?;
    csv_file::read(io::BufReader::new(file), target)
}

impl Dataset {
    /// The first `rows` rows, or all where there are no more.
    pub fn head(mut self, rows: usize) -> Self {
        let rows = rows.min(self.y.len());
        self.x = self.x.slice_move(s![..rows, ..]);
        self.y = self.y.slice_move(s![..rows]);
        self
    }

    /// The values of one predictor, or of the target.
    pub fn column(&self, name: &str) -> Option<Array1<f64>> {
        if name == self.target {
            return Some(self.y.clone());
        }
        let at = self.columns.iter().position(|column| column == name)?;
        Some(self.x.index_axis(Axis(1), at).to_owned())
    }

    /// Writes what [`read_csv`] reads, the target last. Numbers are written so
    /// that any program which reads them as doubles gets the very same ones.
    pub fn write_csv(&self, to: impl io::Write) -> io::Result<()> {
        csv_file::write(self, to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn synthetic_data_never_changes() {
        let data = synthetic();
        assert_eq!(data.x.dim(), (200, 20));
        assert_eq!(data, synthetic());
        let (first, last, sum) = (data.x[[0, 0]], data.y[199], data.x.sum() + data.y.sum());
        // Not to the last digit: some draws pass through the platform's logarithm.
        let close = |value: f64, expected: f64| (value - expected).abs() < 1e-9;
        assert!(close(first, -0.8594355886124193), "{first}");
        assert!(close(last, -1.9049736035251685), "{last}");
        assert!(close(sum, 129.59226111888182), "{sum}");
    }

    #[test]
    fn diabetes_data_is_whole() {
        let data = diabetes();
        assert_eq!(data.x.dim(), (442, 10));
        assert_eq!(data.columns, ["age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6"]);
        assert_eq!(data.y.sum(), 67_243.0);
        assert_eq!(data.column("bmi").map(|bmi| bmi[0]), Some(32.1));
        assert_eq!(data.column("progression"), Some(data.y.clone()));
        assert_eq!(data.column("weight"), None);
    }

    #[test]
    fn what_is_written_is_read_back() {
        let data = synthetic().head(25);
        let mut file = Vec::new();
        data.write_csv(&mut file).unwrap();
        assert_eq!(csv_file::read(&file[..], "y").unwrap(), data);
    }
}
