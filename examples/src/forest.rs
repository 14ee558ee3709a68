//! A random forest for regression.
//!
//! It grows trees as scikit-learn's `RandomForestRegressor` does by default:
//! each tree sees a bootstrap sample of the rows, each split weighs every
//! column, and a node is split until its targets are equal. Other crates offer
//! more kinds of forest. This one is small enough to read, uses no thread but
//! the caller's, and is a pure function of the data and the generator it is
//! given, which is what a task of a parallel program should be.

mod grow;

use ndarray::{Array1, Array2, ArrayView1};
use rand::Rng;

use grow::Grower;

/// Regression trees whose mean is the prediction.
#[derive(Debug, Clone, PartialEq)]
pub struct Forest {
    trees: Vec<Tree>,
}

impl Forest {
    /// Fits `trees` trees to the rows of `x` and `y` that `rows` lists. The
    /// others are not looked at, so leaving a row out copies nothing.
    ///
    /// # Panics
    /// If `rows` or `x` is empty, or lists a row that `x` or `y` does not have.
    pub fn fit(
        x: &Array2<f64>,
        y: &Array1<f64>,
        rows: &[usize],
        trees: usize,
        rng: &mut impl Rng,
    ) -> Self {
        let mut grower = Grower::new(x, y, rows);
        let trees = (0..trees).map(|_| grower.grow(rng)).collect();
        Forest { trees }
    }

    /// The forest's prediction for one row of as many columns as it was fitted to.
    pub fn predict(&self, row: ArrayView1<'_, f64>) -> f64 {
        let sum: f64 = self.trees.iter().map(|tree| tree.predict(row)).sum();
        sum / self.trees.len() as f64
    }
}

/// Nodes in depth-first order: a split's left child is the node that follows it.
#[derive(Debug, Clone, PartialEq)]
struct Tree {
    nodes: Vec<Node>,
}

#[derive(Debug, Clone, PartialEq)]
enum Node {
    Leaf { mean: f64 },
    Split { column: usize, at_most: f64, right: usize },
}

impl Tree {
    fn predict(&self, row: ArrayView1<'_, f64>) -> f64 {
        let mut node = 0;
        loop {
            match self.nodes[node] {
                Node::Leaf { mean } => return mean,
                Node::Split { column, at_most, .. } if row[column] <= at_most => node += 1,
                Node::Split { right, .. } => node = right,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{data, metrics, random};

    fn leave_one_out(data: &data::Dataset, trees: usize, seed: u64) -> Vec<f64> {
        let n = data.y.len();
        let predict = |held_out| {
            let rows: Vec<usize> = (0..n).filter(|&row| row != held_out).collect();
            let mut rng = random::stream(seed, held_out as u64);
            Forest::fit(&data.x, &data.y, &rows, trees, &mut rng).predict(data.x.row(held_out))
        };
        (0..n).map(predict).collect()
    }

    #[test]
    fn the_same_seed_grows_the_same_forest() {
        let data = data::synthetic().head(40);
        let fit = |seed| {
            let rows: Vec<usize> = (0..40).collect();
            Forest::fit(&data.x, &data.y, &rows, 10, &mut random::stream(seed, 0))
        };
        assert_eq!(fit(1), fit(1));
        assert_ne!(fit(1), fit(2));
    }

    #[test]
    fn a_held_out_row_has_no_say() {
        let data = data::synthetic().head(30);
        let mut changed = data.clone();
        changed.x.row_mut(7).fill(1e9);
        changed.y[7] = -1e9;
        let rows: Vec<usize> = (0..30).filter(|&row| row != 7).collect();
        let fit = |data: &data::Dataset| {
            Forest::fit(&data.x, &data.y, &rows, 10, &mut random::stream(1, 0))
        };
        assert_eq!(fit(&data), fit(&changed));
    }

    #[test]
    fn a_step_is_learned() {
        let x = Array2::from_shape_fn((40, 2), |(row, column)| [row, row % 3][column] as f64);
        let y = Array1::from_shape_fn(40, |row| if row < 20 { 1.0 } else { 5.0 });
        let rows: Vec<usize> = (0..40).collect();
        let forest = Forest::fit(&x, &y, &rows, 50, &mut random::stream(3, 0));
        assert_eq!(forest.predict(x.row(2)), 1.0);
        assert_eq!(forest.predict(x.row(37)), 5.0);
    }

    #[test]
    fn a_constant_target_is_a_leaf() {
        let x = Array2::from_shape_fn((5, 1), |(row, _)| row as f64);
        let y = Array1::from_elem(5, 2.5);
        let forest = Forest::fit(&x, &y, &[0, 1, 2, 3, 4], 3, &mut random::stream(0, 0));
        assert!(forest.trees.iter().all(|tree| tree.nodes == [Node::Leaf { mean: 2.5 }]));
    }

    #[test]
    fn equal_values_are_never_parted() {
        let x = Array2::from_shape_fn((20, 1), |(row, _)| (row / 10) as f64);
        let y = Array1::from_shape_fn(20, |row| row as f64);
        let rows: Vec<usize> = (0..20).collect();
        let forest = Forest::fit(&x, &y, &rows, 20, &mut random::stream(0, 0));
        assert!(forest.trees.iter().all(|tree| tree.nodes.len() <= 3));
        assert_eq!(forest.predict(x.row(0)), forest.predict(x.row(9)));
    }

    /// Few rows and trees, so that a build without optimization is quick too.
    #[test]
    fn unseen_rows_are_predicted() {
        let data = data::diabetes().head(120);
        let r2 = metrics::r2(&data.y, &leave_one_out(&data, 20, 1));
        assert!((0.25..0.6).contains(&r2), "R2 = {r2}");
    }
}
