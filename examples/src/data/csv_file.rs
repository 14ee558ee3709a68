//! Reading and writing tables; what can be wrong with a table.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use ndarray::{Array2, Axis};

use super::Dataset;

/// Why a table could not be read.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The file could not be opened.
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not a table: unreadable, or a row of the wrong length.
    Table(csv::Error),
    /// No column has the target's name.
    NoSuchColumn {
        /// The name that was asked for.
        name: String,
        /// The names there are.
        columns: Vec<String>,
    },
    /// The target is the only column.
    NoPredictors,
    /// A cell does not hold a finite number.
    NotANumber {
        /// The row, counted from 1 without the heading.
        row: usize,
        /// The column's name.
        column: String,
        /// What the cell holds.
        cell: String,
    },
}

impl Error {
    pub(super) fn open(path: &Path, source: io::Error) -> Self {
        Error::Open { path: path.to_owned(), source }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Open { path, source } => write!(f, "cannot open {}: {source}", path.display()),
            Error::Table(source) => write!(f, "cannot read the table: {source}"),
            Error::NoSuchColumn { name, columns } => {
                let all = if columns.is_empty() { "none" } else { &columns.join(", ") };
                write!(f, "no column is called `{name}`; there are {}", all.escape_debug())
            }
            Error::NoPredictors => write!(f, "the target is the only column"),
            // Escaped, since a quoted cell may hold line breaks and the message is one line.
            Error::NotANumber { row, column, cell } => {
                let (column, cell) = (column.escape_debug(), cell.escape_debug());
                write!(f, "row {row}, column `{column}`: `{cell}` is not a number")
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Open { source, .. } => Some(source),
            Error::Table(source) => Some(source),
            _ => None,
        }
    }
}

pub(super) fn read(from: impl io::Read, target: &str) -> Result<Dataset, Error> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(from);
    let mut columns: Vec<String> =
        reader.headers().map_err(Error::Table)?.iter().map(str::to_owned).collect();
    let mut cells = Vec::new();
    for (record, row) in reader.records().zip(1..) {
        for (cell, column) in record.map_err(Error::Table)?.iter().zip(&columns) {
            let number = cell.parse().ok().filter(|number: &f64| number.is_finite());
            cells.push(number.ok_or_else(|| Error::NotANumber {
                row,
                column: column.clone(),
                cell: cell.to_owned(),
            })?);
        }
    }
    let Some(at) = columns.iter().position(|column| column == target) else {
        return Err(Error::NoSuchColumn { name: target.to_owned(), columns });
    };
    if columns.len() == 1 {
        return Err(Error::NoPredictors);
    }
    // The reader has refused rows of any other length.
    let shape = (cells.len() / columns.len(), columns.len());
    let mut x = Array2::from_shape_vec(shape, cells).expect("rows of equal length");
    let y = x.column(at).to_owned();
    x.remove_index(Axis(1), at);
    let target = columns.remove(at);
    Ok(Dataset { columns, target, x, y })
}

pub(super) fn write(data: &Dataset, to: impl io::Write) -> io::Result<()> {
    let mut writer = csv::Writer::from_writer(to);
    writer.write_record(data.columns.iter().chain([&data.target]))?;
    for (row, y) in data.x.rows().into_iter().zip(&data.y) {
        writer.write_record(row.iter().chain([y]).map(f64::to_string))?;
    }
    writer.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(table: &str, target: &str) -> String {
        read(table.as_bytes(), target).unwrap_err().to_string()
    }

    #[test]
    fn the_target_may_stand_anywhere() {
        let data = read("a, y ,b\n1,2,3\n4, 5 ,6e1\n".as_bytes(), "y").unwrap();
        assert_eq!(data.columns, ["a", "b"]);
        assert_eq!(data.target, "y");
        assert_eq!(data.x, ndarray::array![[1.0, 3.0], [4.0, 60.0]]);
        assert_eq!(data.y, ndarray::array![2.0, 5.0]);
    }

    #[test]
    fn a_cell_that_is_no_number_is_named() {
        let expected = "row 2, column `b`: `tall` is not a number";
        assert_eq!(message("a,b,y\n1,2,3\n4,tall,6\n", "y"), expected);
        assert_eq!(message("a,y\n1,\n", "y"), "row 1, column `y`: `` is not a number");
        assert_eq!(message("a,y\nNaN,1\n", "y"), "row 1, column `a`: `NaN` is not a number");
        assert_eq!(message("a,y\n1,inf\n", "y"), "row 1, column `y`: `inf` is not a number");
        let expected = r"row 1, column `y`: `two\nlines` is not a number";
        assert_eq!(message("a,y\n1,\"two\nlines\"\n", "y"), expected);
    }

    #[test]
    fn a_missing_column_is_named_beside_those_there_are() {
        assert_eq!(message("a,b\n1,2\n", "y"), "no column is called `y`; there are a, b");
        assert_eq!(message("", "y"), "no column is called `y`; there are none");
    }

    #[test]
    fn a_target_alone_predicts_nothing() {
        assert_eq!(message("y\n1\n", "y"), "the target is the only column");
    }

    #[test]
    fn a_row_of_another_length_is_refused() {
        let message = message("a,y\n1,2\n3\n", "y");
        assert!(message.starts_with("cannot read the table: ") && message.contains("line: 3"));
        assert_eq!(message.lines().count(), 1);
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = super::super::read_csv(Path::new("no/such.csv"), "y").unwrap_err();
        assert!(error.to_string().starts_with("cannot open no/such.csv: "));
        assert!(std::error::Error::source(&error).is_some());
    }

    #[test]
    fn a_heading_alone_is_an_empty_table() {
        let data = read("a,y\n".as_bytes(), "y").unwrap();
        assert_eq!((data.x.dim(), data.y.len()), ((0, 1), 0));
    }
}
