//! Growing one tree.
//!
//! Each column is sorted once for the whole forest. A tree takes its rows in
//! that order, and a split parts every column's list without disturbing it, so
//! no node sorts anything: a tree costs columns x rows x depth.
//!
//! Invariants, for the node that owns `start..end`:
//! 1. `sorted[c][start..end]` holds the node's rows, the same ones for each `c`.
//! 2. They are in rising order of `columns[c]`.

use ndarray::{Array1, Array2};
use rand::{Rng, RngExt};

use super::{Node, Tree};

/// What all trees of a forest share, and what each of them reuses.
pub(super) struct Grower<'a> {
    rows: &'a [usize],
    columns: Vec<Vec<f64>>,
    /// All of `rows`, once for each column, in rising order of that column.
    order: Vec<Vec<u32>>,
    /// The rows that this tree drew.
    sorted: Vec<Vec<u32>>,
    draws: Vec<Draw>,
    goes_left: Vec<bool>,
    set_aside: Vec<u32>,
}

/// How often a row was drawn into the bootstrap sample, and with what target.
#[derive(Clone, Copy)]
struct Draw {
    times: f64,
    y: f64,
}

/// Rows before `at` in `sorted[column]` go left, those from there on right.
struct Split {
    column: usize,
    at: usize,
}

impl<'a> Grower<'a> {
    pub(super) fn new(x: &Array2<f64>, y: &Array1<f64>, rows: &'a [usize]) -> Self {
        assert!(!rows.is_empty() && !x.is_empty(), "a forest needs rows and columns");
        let columns: Vec<Vec<f64>> = x.columns().into_iter().map(|x| x.to_vec()).collect();
        let rising = |column: &Vec<f64>| {
            let mut order: Vec<u32> = rows.iter().map(|&row| row as u32).collect();
            order.sort_by(|&a, &b| column[a as usize].total_cmp(&column[b as usize]));
            order
        };
        Grower {
            rows,
            order: columns.iter().map(rising).collect(),
            sorted: vec![vec![0; rows.len() + 1]; columns.len()],
            draws: y.iter().map(|&y| Draw { times: 0.0, y }).collect(),
            goes_left: vec![false; y.len()],
            set_aside: vec![0; rows.len()],
            columns,
        }
    }

    /// Grows a tree on a fresh bootstrap sample.
    pub(super) fn grow(&mut self, rng: &mut impl Rng) -> Tree {
        let drawn = self.draw(rng);
        let mut nodes = Vec::with_capacity(2 * drawn);
        let mut todo = vec![(0, drawn, None)];
        while let Some((start, end, left_of)) = todo.pop() {
            let here = nodes.len();
            // A left child follows its parent; only a right child must be linked.
            if let Some(parent) = left_of
                && let Node::Split { right, .. } = &mut nodes[parent]
            {
                *right = here;
            }
            let (mean, split) = self.best_split(start, end, rng);
            let Some(split) = split else {
                nodes.push(Node::Leaf { mean });
                continue;
            };
            let at_most = self.threshold(&split);
            nodes.push(Node::Split { column: split.column, at_most, right: 0 });
            self.part(start, end, &split);
            todo.push((split.at, end, Some(here)));
            todo.push((start, split.at, None));
        }
        Tree { nodes }
    }

    /// Draws as many rows as there are, with replacement. Returns how many different ones.
    fn draw(&mut self, rng: &mut impl Rng) -> usize {
        self.draws.iter_mut().for_each(|draw| draw.times = 0.0);
        for _ in self.rows {
            self.draws[self.rows[rng.random_range(0..self.rows.len())]].times += 1.0;
        }
        let mut drawn = 0;
        for (order, sorted) in self.order.iter().zip(&mut self.sorted) {
            drawn = 0;
            for &row in order {
                // Written always and kept sometimes: a branch here would be a coin toss.
                sorted[drawn] = row;
                drawn += usize::from(self.draws[row as usize].times > 0.0);
            }
        }
        drawn
    }

    /// The node's mean, and the split that lowers its squared error most, if
    /// its targets differ and some column can tell them apart.
    fn best_split(&self, start: usize, end: usize, rng: &mut impl Rng) -> (f64, Option<Split>) {
        let (mut times, mut sum) = (0.0, 0.0);
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for &row in &self.sorted[0][start..end] {
            let draw = self.draws[row as usize];
            times += draw.times;
            sum += draw.times * draw.y;
            (low, high) = (low.min(draw.y), high.max(draw.y));
        }
        let mean = sum / times;
        if low == high {
            return (low, None);
        }
        let mut best = None;
        let mut best_gain = f64::NEG_INFINITY;
        // Where columns tie, as all do for two rows, the first one wins: begin
        // anywhere, lest the first columns get more splits than they earn.
        let first = rng.random_range(0..self.columns.len());
        for column in (first..self.columns.len()).chain(0..first) {
            let x = &self.columns[column];
            let (mut left, mut excess) = (0.0, 0.0);
            for (pair, at) in self.sorted[column][start..end].windows(2).zip(start + 1..) {
                let (row, next) = (pair[0] as usize, pair[1] as usize);
                let draw = self.draws[row];
                left += draw.times;
                excess += draw.times * (draw.y - mean);
                // What the two means save over the one, up to a factor that the node fixes.
                let gain = excess * excess / (left * (times - left));
                if gain > best_gain && x[row] < x[next] {
                    best_gain = gain;
                    best = Some(Split { column, at });
                }
            }
        }
        (mean, best)
    }

    /// The middle between the split's neighbours, or the lower one where
    /// rounding would carry the middle up to the higher.
    fn threshold(&self, split: &Split) -> f64 {
        let value = |at: usize| self.columns[split.column][self.sorted[split.column][at] as usize];
        let (low, high) = (value(split.at - 1), value(split.at));
        let middle = low + (high - low) / 2.0;
        if middle < high { middle } else { low }
    }

    /// Moves the rows that go left before those that go right, in every column.
    fn part(&mut self, start: usize, end: usize, split: &Split) {
        for (&row, at) in self.sorted[split.column][start..end].iter().zip(start..) {
            self.goes_left[row as usize] = at < split.at;
        }
        for sorted in &mut self.sorted {
            let rows = &mut sorted[start..end];
            let (mut left, mut right) = (0, 0);
            for at in 0..rows.len() {
                // Both written, one kept; `left` is never ahead of `at`.
                let row = rows[at];
                rows[left] = row;
                self.set_aside[right] = row;
                let goes_left = self.goes_left[row as usize];
                left += usize::from(goes_left);
                right += usize::from(!goes_left);
            }
            rows[left..].copy_from_slice(&self.set_aside[..right]);
        }
    }
}
