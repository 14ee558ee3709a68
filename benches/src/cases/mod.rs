//! The cases, one a file. A new one is a file here and a line below.

use crate::case::Case;

/// Declares the modules and lists their cases in the order of the report.
macro_rules! cases {
    ($($name:ident,)*) => {
        $(mod $name;)*

        /// All cases, in the order of the report.
        pub(crate) const ALL: &[Case] = &[$($name::CASE),*];
    };
}

cases! {
    tasks_batch,
    tasks_batch_events,
    tasks_nested,
    roundtrip,
    actor_batch,
    calc_mean,
    loo_forest,

}

/// The cases of these names, or all where there are none; `Err` is a line that
/// names the first unknown one.
pub(crate) fn choose(names: &[String]) -> Result<Vec<&'static Case>, String> {
    if names.is_empty() {
        return Ok(ALL.iter().collect());
    }
    let find = |name: &String| {
        let found = ALL.iter().find(|case| case.name == name);
        found.ok_or_else(|| format!("unknown case `{name}`; the cases are {}", all_names()))
    };
    names.iter().map(find).collect()
}

fn all_names() -> String {
    let names: Vec<&str> = ALL.iter().map(|case| case.name).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_names_mean_all_and_names_keep_their_order() {
        assert_eq!(choose(&[]).unwrap().len(), ALL.len());
        let chosen = choose(&["roundtrip".into(), "tasks_batch".into()]).unwrap();
        let names: Vec<&str> = chosen.iter().map(|case| case.name).collect();
        assert_eq!(names, ["roundtrip", "tasks_batch"]);
    }

    #[test]
    fn an_unknown_name_is_told_in_one_line_with_all_cases() {
        let message = choose(&["task_batch".into()]).err().unwrap();
        assert!(!message.contains('\n'));
        assert!(message.contains("task_batch"));
        assert!(ALL.iter().all(|case| message.contains(case.name)));
    }
}
