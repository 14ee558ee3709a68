//! The cases, one a file, or one a group where many are much alike. A new one
//! is a file here and a line below.

use crate::case::Case;

/// Cases that are chosen together by one name, or singly by their own.
pub(crate) struct Group {
    pub(crate) name: &'static str,
    /// One line for `--list`.
    pub(crate) about: &'static str,
    /// In the order of the report.
    pub(crate) cases: &'static [Case],
}

/// Declares the modules of single cases and those of groups, and lists what is
/// in them.
macro_rules! cases {
    (single { $($single:ident,)* } groups { $($(#[$condition:meta])* $group:ident,)* }) => {
        $(mod $single;)*
        $($(#[$condition])* mod $group;)*

        /// The cases that belong to no group.
        pub(crate) const SINGLE: &[Case] = &[$($single::CASE),*];

        pub(crate) const GROUPS: &[Group] = &[$($(#[$condition])* $group::GROUP),*];
    };
}

cases! {
    single {
        tasks_batch,
        tasks_batch_events,
        tasks_nested,
        roundtrip,
        fib,
        idle,
        queued_memory,
        calc_mean,
        loo_forest,
        stream,
    }
    groups {
        actors,
        processes,
        clusters,
        microbenchmark,
        envelope,
        put_get,
        spill,
        codec,
        metg,
        random,
        #[cfg(feature = "linalg")]
        blas_tasks,
    }
}

/// All cases, in the order of the report.
pub(crate) fn all() -> impl Iterator<Item = &'static Case> {
    SINGLE.iter().chain(GROUPS.iter().flat_map(|group| group.cases))
}

/// The cases of these names, each of a case or of a group, or all where there
/// are none; `Err` is a line that names the first unknown one.
pub(crate) fn choose(names: &[String]) -> Result<Vec<&'static Case>, String> {
    if names.is_empty() {
        return Ok(all().collect());
    }
    let mut chosen = Vec::new();
    for name in names {
        let group = GROUPS.iter().filter(|group| group.name == name);
        let found = group.flat_map(|group| group.cases);
        let found = found.chain(all().find(|case| case.name == name));
        let before = chosen.len();
        chosen.extend(found);
        if chosen.len() == before {
            return Err(format!("unknown case `{name}`; the cases are {}", all_names()));
        }
    }
    Ok(chosen)
}

fn all_names() -> String {
    let groups = GROUPS.iter().map(|group| group.name);
    let names: Vec<&str> = groups.chain(all().map(|case| case.name)).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn names_of(chosen: &[&Case]) -> Vec<&'static str> {
        chosen.iter().map(|case| case.name).collect()
    }

    #[test]
    fn no_names_mean_all_and_names_keep_their_order() {
        assert_eq!(choose(&[]).unwrap().len(), all().count());
        let chosen = choose(&["roundtrip".into(), "tasks_batch".into()]).unwrap();
        assert_eq!(names_of(&chosen), ["roundtrip", "tasks_batch"]);
    }

    #[test]
    fn the_name_of_a_group_means_all_in_it() {
        for group in GROUPS {
            let chosen = choose(&[group.name.into()]).unwrap();
            let cases: Vec<&Case> = group.cases.iter().collect();
            assert_eq!(names_of(&chosen), names_of(&cases));
        }
    }

    #[test]
    fn no_name_is_there_twice() {
        let names = all().map(|case| case.name).chain(GROUPS.iter().map(|group| group.name));
        let mut seen = HashSet::new();
        names.for_each(|name| assert!(seen.insert(name), "{name} is there twice"));
    }

    #[test]
    fn an_unknown_name_is_told_in_one_line_with_all_cases() {
        let message = choose(&["task_batch".into()]).err().unwrap();
        assert!(!message.contains('\n'));
        assert!(message.contains("task_batch"));
        assert!(all().all(|case| message.contains(case.name)));
    }
}
