//! Finds the length of a task at which the efficiency is one half.

use anyhow::Result;

const HALF: f64 = 0.5;

/// Where to look, in seconds, and how closely.
#[derive(Clone, Copy, Debug)]
pub(super) struct Search {
    pub(super) first: f64,
    pub(super) least: f64,
    pub(super) most: f64,
    /// Ratio of two lengths that are close enough to lie on a line between.
    pub(super) tolerance: f64,
}

/// A length that was tried.
#[derive(Clone, Copy)]
struct Tried {
    length: f64,
    efficiency: f64,
}

impl Search {
    /// The length at which `efficiency`, which grows with the length, is one
    /// half: the least where it is more there already, `None` where it is less
    /// even with the most.
    pub(super) fn length_at_half(
        &self,
        mut efficiency: impl FnMut(f64) -> Result<f64>,
    ) -> Result<Option<f64>> {
        let mut at = |length| Ok(Tried { length, efficiency: efficiency(length)? });
        let first = at(self.first)?;
        let between = if first.efficiency < HALF {
            self.upward(first, &mut at)?
        } else {
            self.downward(first, &mut at)?
        };
        let Some((mut below, mut above)) = between else {
            return Ok((first.efficiency >= HALF).then_some(self.least));
        };
        while above.length / below.length > self.tolerance {
            let middle = at((below.length * above.length).sqrt())?;
            if middle.efficiency < HALF {
                below = middle;
            } else {
                above = middle;
            }
        }
        Ok(Some(crossing(below, above)))
    }

    /// Doubles the length until one half lies between the last two.
    fn upward(
        &self,
        mut below: Tried,
        at: &mut impl FnMut(f64) -> Result<Tried>,
    ) -> Result<Option<(Tried, Tried)>> {
        while below.length < self.most {
            let above = at((2.0 * below.length).min(self.most))?;
            if above.efficiency >= HALF {
                return Ok(Some((below, above)));
            }
            below = above;
        }
        Ok(None)
    }

    /// Halves the length until one half lies between the last two.
    fn downward(
        &self,
        mut above: Tried,
        at: &mut impl FnMut(f64) -> Result<Tried>,
    ) -> Result<Option<(Tried, Tried)>> {
        while above.length > self.least {
            let below = at((above.length / 2.0).max(self.least))?;
            if below.efficiency < HALF {
                return Ok(Some((below, above)));
            }
            above = below;
        }
        Ok(None)
    }
}

/// Where a line from `below` to `above`, over the logarithm of the length, is
/// at one half.
fn crossing(below: Tried, above: Tried) -> f64 {
    let share = (HALF - below.efficiency) / (above.efficiency - below.efficiency);
    below.length * (above.length / below.length).powf(share)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEARCH: Search = Search { first: 1e-6, least: 1e-9, most: 0.1, tolerance: 1.05 };

    /// Efficiency on an engine that spends `overhead` seconds on each task.
    fn model(overhead: f64) -> impl FnMut(f64) -> Result<f64> {
        move |length| Ok(length / (length + overhead))
    }

    #[test]
    fn half_is_lost_where_a_task_is_as_long_as_its_overhead() {
        for overhead in [3e-9, 170e-9, 1e-6, 1.1e-6, 42e-6, 3.3e-3, 0.09] {
            let found = SEARCH.length_at_half(model(overhead)).unwrap().unwrap();
            assert!((found / overhead - 1.0).abs() < 0.001, "{found} is not {overhead}");
        }
    }

    #[test]
    fn a_coarse_search_is_near() {
        let search = Search { tolerance: 1.5, ..SEARCH };
        let found = search.length_at_half(model(7e-6)).unwrap().unwrap();
        assert!((found / 7e-6 - 1.0).abs() < 0.01, "{found}");
    }

    #[test]
    fn a_step_is_found_within_the_tolerance() {
        let step = |length| Ok(if length < 13e-6 { 0.1 } else { 0.9 });
        let found = SEARCH.length_at_half(step).unwrap().unwrap();
        assert!((found / 13e-6 - 1.0).abs() < 0.05, "{found}");
    }

    #[test]
    fn an_engine_without_cost_gives_the_least_length() {
        assert_eq!(SEARCH.length_at_half(|_| Ok(1.0)).unwrap(), Some(SEARCH.least));
    }

    #[test]
    fn an_engine_that_never_gets_there_has_no_length() {
        assert_eq!(SEARCH.length_at_half(|_| Ok(0.3)).unwrap(), None);
    }

    #[test]
    fn a_failed_run_is_told() {
        let error = SEARCH.length_at_half(|_| anyhow::bail!("broken")).unwrap_err();
        assert_eq!(error.to_string(), "broken");
    }
}
