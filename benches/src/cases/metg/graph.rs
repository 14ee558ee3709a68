//! Graphs of tasks by Task Bench's patterns: steps of points, where a task is
//! one point of one step and takes the results of some points of the step
//! before.

use std::ops::Range;

/// Which points of a step need which of the one before.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Pattern {
    /// None at all.
    Trivial,
    /// A point needs itself and its neighbours.
    Stencil,
    /// A point needs itself and the two at a distance that doubles from step to
    /// step, and then begins again.
    Fft,
    /// The width doubles from step to step up to the graph's; a point needs the
    /// one at half its place.
    Tree,
    /// A wave that comes in at one end and leaves at the other; a point needs
    /// itself and its left neighbour. Task Bench's `dom`.
    Sweep,
    /// A point needs itself and others among the nearest, by lot.
    RandomNearest,
}

#[cfg(test)]
impl Pattern {
    pub(super) const ALL: [Pattern; 6] = [
        Pattern::Trivial,
        Pattern::Stencil,
        Pattern::Fft,
        Pattern::Tree,
        Pattern::Sweep,
        Pattern::RandomNearest,
    ];
}

/// Points that `RandomNearest` draws from, the point itself included.
const NEAREST: usize = 5;
/// How probably each of the others is drawn, as Task Bench has it by default.
const DRAWN: f64 = 0.25;
/// Steps after which the lots are the same again.
const LOTS: usize = 3;

#[derive(Clone, Copy, Debug)]
pub(super) struct Graph {
    pub(super) pattern: Pattern,
    /// Points of a step, at most.
    pub(super) width: usize,
    pub(super) steps: usize,
}

impl Graph {
    /// The points that there are at `step`.
    fn points(&self, step: usize) -> Range<usize> {
        match self.pattern {
            Pattern::Tree => 0..self.width.min(1_usize.checked_shl(step as u32).unwrap_or(usize::MAX)),
            Pattern::Sweep => {
                let first = (step + self.width).saturating_sub(self.steps);
                first..first + self.width.min(step + 1).min(self.steps - step)
            }
            _ => 0..self.width,
        }
    }

    /// The points of the step before that `point` needs at `step`, in order.
    fn dependences(&self, step: usize, point: usize) -> Vec<usize> {
        if step == 0 {
            return Vec::new();
        }
        let before = self.points(step - 1);
        let mut needed = self.needed(step, point);
        needed.retain(|point| before.contains(point));
        needed
    }

    /// The same, where there are all points at all steps; some may be beyond
    /// the width.
    fn needed(&self, step: usize, point: usize) -> Vec<usize> {
        match self.pattern {
            Pattern::Trivial => Vec::new(),
            Pattern::Stencil => around(point, 1).collect(),
            Pattern::Fft => {
                // As many distances as it takes to reach every point.
                let distances = self.width.next_power_of_two().ilog2().max(1) as usize;
                around(point, 1 << ((step - 1) % distances)).collect()
            }
            Pattern::Tree => vec![point / 2],
            Pattern::Sweep => point.checked_sub(1).into_iter().chain([point]).collect(),
            Pattern::RandomNearest => {
                let first = point.saturating_sub(NEAREST / 2);
                let nearest = first..=point + (NEAREST - 1) / 2;
                let drawn = |other: &usize| *other == point || lot(step % LOTS, *other, point) < DRAWN;
                nearest.filter(drawn).collect()
            }
        }
    }

    /// All tasks, step by step.
    pub(super) fn tasks(&self) -> Tasks {
        let mut inputs: Vec<Vec<usize>> = Vec::new();
        // Number of the task that the point 0 of the step before has, or would have.
        let mut before = 0_isize;
        for step in 0..self.steps {
            let points = self.points(step);
            let now = inputs.len() as isize - points.start as isize;
            for point in points {
                let needed = self.dependences(step, point);
                let task = |point| (before + point as isize) as usize;
                inputs.push(needed.into_iter().map(task).collect());
            }
            before = now;
        }
        Tasks { inputs }
    }
}

/// The point and the two that are `distance` away.
fn around(point: usize, distance: usize) -> impl Iterator<Item = usize> {
    point.checked_sub(distance).into_iter().chain([point, point + distance])
}

/// A number from 0 to 1 that is always the same for the same three.
fn lot(set: usize, from: usize, to: usize) -> f64 {
    // SplitMix64 by Steele, Lea and Flood, over the three one after the other.
    let mixed = [set, from, to].iter().fold(0_u64, |state, value| {
        let mut mixed = (state ^ *value as u64).wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    });
    (mixed >> 11) as f64 / (1_u64 << 53) as f64
}

/// A graph as an engine needs it: tasks by number, each behind all that it needs.
#[derive(Debug)]
pub(super) struct Tasks {
    inputs: Vec<Vec<usize>>,
}

impl Tasks {
    /// For each task the ones whose results it needs.
    pub(super) fn inputs(&self) -> &[Vec<usize>] {
        &self.inputs
    }

    /// For each task the ones that need its result.
    pub(super) fn outputs(&self) -> Vec<Vec<usize>> {
        let mut outputs = vec![Vec::new(); self.inputs.len()];
        for (task, inputs) in self.inputs.iter().enumerate() {
            inputs.iter().for_each(|&input| outputs[input].push(task));
        }
        outputs
    }

    /// What all tasks take on `cpus` CPUs where nothing but the tasks takes
    /// time, in lengths of a task: each runs as soon as its inputs are there
    /// and a CPU is free. With work for all CPUs at all times that is the number
    /// of tasks divided by the number of CPUs.
    pub(super) fn ideal(&self, cpus: usize) -> usize {
        let mut busy: Vec<usize> = Vec::new();
        let mut ends: Vec<usize> = Vec::with_capacity(self.inputs.len());
        // Before it, all CPUs are busy.
        let mut free = 0;
        for inputs in &self.inputs {
            let ready = inputs.iter().map(|&input| ends[input]).max().unwrap_or(0);
            let mut time = ready.max(free);
            while busy.get(time).is_some_and(|&tasks| tasks == cpus) {
                time += 1;
            }
            busy.resize(busy.len().max(time + 1), 0);
            busy[time] += 1;
            ends.push(time + 1);
            while busy.get(free).is_some_and(|&tasks| tasks == cpus) {
                free += 1;
            }
        }
        busy.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(pattern: Pattern, width: usize, steps: usize) -> Graph {
        Graph { pattern, width, steps }
    }

    /// Dependences of each point there is at `step`.
    fn row(graph: Graph, step: usize) -> Vec<Vec<usize>> {
        graph.points(step).map(|point| graph.dependences(step, point)).collect()
    }

    #[test]
    fn dependences_are_points_of_the_step_before() {
        for pattern in Pattern::ALL {
            for (width, steps) in [(1, 3), (2, 5), (3, 7), (8, 4), (8, 20), (64, 16), (64, 130)] {
                let graph = graph(pattern, width, steps);
                for step in 0..steps {
                    let points = graph.points(step);
                    assert!(!points.is_empty() && points.end <= width, "{graph:?}, step {step}");
                    for point in points {
                        let needed = graph.dependences(step, point);
                        assert!(needed.is_sorted_by(|a, b| a < b), "{graph:?}: {needed:?}");
                        let in_range = |point| step > 0 && graph.points(step - 1).contains(point);
                        assert!(needed.iter().all(in_range), "{graph:?}: {needed:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn trivial_points_need_nothing() {
        assert_eq!(row(graph(Pattern::Trivial, 3, 4), 2), vec![Vec::<usize>::new(); 3]);
    }

    #[test]
    fn stencil_points_need_their_neighbours() {
        let graph = graph(Pattern::Stencil, 4, 3);
        assert_eq!(row(graph, 0), vec![Vec::<usize>::new(); 4]);
        assert_eq!(row(graph, 1), [vec![0, 1], vec![0, 1, 2], vec![1, 2, 3], vec![2, 3]]);
    }

    #[test]
    fn fft_distances_double_and_begin_again() {
        let graph = graph(Pattern::Fft, 8, 6);
        let of_the_middle: Vec<_> = (1..6).map(|step| graph.dependences(step, 3)).collect();
        assert_eq!(
            of_the_middle,
            [vec![2, 3, 4], vec![1, 3, 5], vec![3, 7], vec![2, 3, 4], vec![1, 3, 5]]
        );
    }

    #[test]
    fn a_tree_grows_to_its_width() {
        let graph = graph(Pattern::Tree, 4, 4);
        let widths: Vec<usize> = (0..4).map(|step| graph.points(step).len()).collect();
        assert_eq!(widths, [1, 2, 4, 4]);
        assert_eq!(row(graph, 2), [[0], [0], [1], [1]]);
        assert_eq!(row(graph, 3), [[0], [0], [1], [1]]);
    }

    #[test]
    fn a_sweep_comes_in_at_one_end_and_leaves_at_the_other() {
        let graph = graph(Pattern::Sweep, 3, 6);
        let points: Vec<_> = (0..6).map(|step| graph.points(step)).collect();
        assert_eq!(points, [0..1, 0..2, 0..3, 0..3, 1..3, 2..3]);
        assert_eq!(row(graph, 1), [vec![0], vec![0]]);
        assert_eq!(row(graph, 3), [vec![0], vec![0, 1], vec![1, 2]]);
        assert_eq!(row(graph, 5), [[1, 2]]);
    }

    #[test]
    fn random_points_need_themselves_and_some_of_the_nearest() {
        let graph = graph(Pattern::RandomNearest, 64, 400);
        let mut others = 0;
        for step in 1..1 + LOTS {
            for point in 0..64 {
                let needed = graph.dependences(step, point);
                assert!(needed.contains(&point));
                assert!(needed.iter().all(|other| other.abs_diff(point) <= NEAREST / 2));
                assert_eq!(needed, graph.dependences(step + LOTS, point));
                others += needed.len() - 1;
            }
        }
        // Four others for each point, but for six that lie beyond the ends.
        let share = f64::from(others as u32) / (LOTS * (4 * 64 - 6)) as f64;
        assert!((share - DRAWN).abs() < 0.06, "{share} of them");
    }

    #[test]
    fn tasks_are_numbered_step_by_step() {
        let inputs = graph(Pattern::Sweep, 2, 4).tasks().inputs;
        // Points 0; 0, 1; 0, 1; 1.
        assert_eq!(inputs, [vec![], vec![0], vec![0], vec![1], vec![1, 2], vec![3, 4]]);
        let outputs = graph(Pattern::Sweep, 2, 4).tasks().outputs();
        assert_eq!(outputs, [vec![1, 2], vec![3, 4], vec![4], vec![5], vec![5], vec![]]);
    }

    #[test]
    fn every_task_is_behind_all_that_it_needs() {
        for pattern in Pattern::ALL {
            let tasks = graph(pattern, 8, 20).tasks();
            let mut inputs = tasks.inputs.iter().enumerate();
            assert!(inputs.all(|(task, inputs)| inputs.iter().all(|&input| input < task)));
        }
    }

    #[test]
    fn ideal_is_bound_by_cpus_and_by_the_longest_path() {
        assert_eq!(graph(Pattern::Trivial, 8, 4).tasks().ideal(2), 16);
        assert_eq!(graph(Pattern::Trivial, 8, 4).tasks().ideal(5), 7);
        assert_eq!(graph(Pattern::Stencil, 8, 4).tasks().ideal(2), 16);
        assert_eq!(graph(Pattern::Stencil, 2, 10).tasks().ideal(4), 10);
        // The wave of a sweep has one point at first and at last.
        assert_eq!(graph(Pattern::Sweep, 2, 4).tasks().ideal(2), 4);
        assert_eq!(graph(Pattern::Sweep, 2, 4).tasks().ideal(1), 6);
        assert_eq!(graph(Pattern::Tree, 4, 3).tasks().ideal(2), 4);
    }
}
