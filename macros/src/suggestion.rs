//! "Did you mean ...?": the known name that is closest to a mistyped one.

/// The known name within a third of the word's length in edits, if there is one.
pub(crate) fn closest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let near_max = (word.chars().count() / 3).max(1);
    known
        .map(|name| (distance(word, name), name))
        .filter(|(edits, _)| *edits <= near_max)
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, name)| name)
}

/// How many insertions, deletions, substitutions and swaps of neighbours lead from one word to
/// the other (optimal string alignment).
fn distance(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    let mut rows = vec![vec![0; to.len() + 1]; from.len() + 1];
    for i in 0..=from.len() {
        for j in 0..=to.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let substituted = rows[i - 1][j - 1] + usize::from(from[i - 1] != to[j - 1]);
                let swapped =
                    i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1];
                let best = substituted.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
                if swapped { best.min(rows[i - 2][j - 2] + 1) } else { best }
            };
        }
    }
    rows[from.len()][to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 4] = ["num_cpus", "max_retries", "name", "local"];

    #[test]
    fn finds_a_near_name() {
        assert_eq!(closest("num_cpu", KNOWN.into_iter()), Some("num_cpus"));
        assert_eq!(closest("max_retires", KNOWN.into_iter()), Some("max_retries"));
        assert_eq!(closest("nmae", KNOWN.into_iter()), Some("name"));
    }

    #[test]
    fn stays_silent_when_nothing_is_near() {
        assert_eq!(closest("colour", KNOWN.into_iter()), None);
        assert_eq!(closest("x", KNOWN.into_iter()), None);
    }

    #[test]
    fn counts_edits() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", "abc"), 0);
        assert_eq!(distance("abc", "acb"), 1);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
