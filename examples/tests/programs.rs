//! The examples as their users run them: what they print, and how they end.
//!
//! `cargo test` builds the examples beside this test, which is how it finds them.

use std::path::PathBuf;
use std::process::{Command, Output};

fn example(name: &str) -> Command {
    // target/<profile>/deps/<this test>, target/<profile>/examples/<name>.
    let this_test = std::env::current_exe().expect("the test has a path");
    let profile = this_test.ancestors().nth(2).expect("the test lies two folders deep");
    let mut command = Command::new(profile.join("examples").join(name));
    command.env("MOBULA_NUM_CPUS", "2");
    command
}

/// Runs it on few rows and trees, with these arguments after those.
fn loo_forest(arguments: &[&str]) -> Output {
    let picture = scratch("svg");
    let mut command = example("loo_forest");
    command.args(["--rows", "12", "--trees", "5"]).args(arguments).arg("--plot").arg(&picture);
    let output = command.output().expect("the example runs");
    let _ = std::fs::remove_file(picture);
    output
}

/// A path for a file that no other test uses.
fn scratch(extension: &str) -> PathBuf {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let (process, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    std::env::temp_dir().join(format!("mobula-example-{process}-{count}.{extension}"))
}

fn printed(output: &Output) -> String {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {error}", output.status);
    assert_eq!(error, "", "a program that ends well, and has no terminal, is silent on stderr");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The one line that a refused input gets.
fn refused(output: &Output) -> String {
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
    assert!(output.stdout.is_empty());
    error
}

/// Leaves out one row after the other of this table, to predict `y`.
fn refused_table(table: &str, target: &str) -> String {
    let path = scratch("csv");
    std::fs::write(&path, table).expect("the folder for temporary files can be written");
    let output = loo_forest(&["--target", target, "--csv", path.to_str().expect("it is UTF-8")]);
    let _ = std::fs::remove_file(&path);
    refused(&output)
}

#[test]
fn quickstart_prints_ten_means() {
    let text = printed(&example("quickstart").output().expect("the example runs"));
    assert_eq!(text.lines().count(), 10);
    assert!(text.starts_with("seed 0: mean -0.0245, sd 1.0074\n"), "{text}");
}

#[test]
fn the_other_short_programs_find_what_they_look_for() {
    for (name, part) in [
        // It asserts that its three ways agree before it gets here.
        ("calc_mean", "theory says 0.03162"),
        // Least squares attains 0.482 on these data.
        ("actors", "after 200 steps:          0.48"),
        ("bootstrap", "95% interval: 0.522 to 0.646"),
    ] {
        let text = printed(&example(name).output().expect("the example runs"));
        assert!(text.contains(part), "{name}: {text}");
    }
}

#[test]
fn the_bootstrap_is_the_same_on_any_number_of_cpus_and_engine() {
    let run = |setting, value| {
        printed(&example("bootstrap").env(setting, value).output().expect("the example runs"))
    };
    let one = run("MOBULA_NUM_CPUS", "1");
    for cpus in ["2", "8"] {
        assert_eq!(run("MOBULA_NUM_CPUS", cpus), one);
    }
    assert_eq!(run("MOBULA_ENGINE", "inline"), one);
}

#[test]
#[cfg(feature = "linalg")]
fn linear_algebra_prints_a_row_for_each_number_of_cpus() {
    let mut command = example("linear_algebra");
    let text =
        printed(&command.args(["--size", "60", "--num-cpus", "3"]).output().expect("it runs"));
    assert!(text.starts_with("OpenBLAS "), "{text}");
    let cpus = |line: &str| line.split_whitespace().next()?.parse().ok();
    let rows: Vec<u32> = text.lines().skip(2).filter_map(cpus).collect();
    assert_eq!(rows, [1, 2, 3], "{text}");
    let line = refused(&example("linear_algebra").args(["--size", "0"]).output().expect("it runs"));
    assert!(line.contains("--size"), "{line}");
}

#[test]
fn loo_forest_reports_and_draws() {
    let picture = scratch("svg");
    let mut command = example("loo_forest");
    command.args(["--data", "diabetes", "--rows", "20", "--trees", "5", "--num-cpus", "2"]);
    let text = printed(&command.arg("--plot").arg(&picture).output().expect("the example runs"));
    for part in ["20 forests of 5 trees", "MSE ", "R2 ", "wall time ", "task time ", "speed-up "] {
        assert!(text.contains(part), "{text}");
    }
    assert!(text.contains("on 2 CPUs, efficiency "), "{text}");
    let svg = std::fs::read_to_string(&picture).expect("the picture is drawn");
    std::fs::remove_file(&picture).expect("the picture can be removed");
    assert_eq!(svg.matches("<circle").count(), 20);
}

#[test]
fn predictions_depend_on_the_seed_and_on_nothing_else() {
    let errors = |arguments: &[&str]| {
        let text = printed(&loo_forest(arguments));
        text.lines().nth(1).expect("the second line has the errors").to_owned()
    };
    let one = errors(&["--num-cpus", "1"]);
    assert!(one.starts_with("MSE "), "{one}");
    assert_eq!(one, errors(&["--num-cpus", "3"]));
    assert_ne!(one, errors(&["--seed", "2"]));
}

#[test]
fn a_table_of_ones_own_is_predicted() {
    let path = scratch("csv");
    std::fs::write(&path, "a,b,y\n1,5,2\n2,5,4\n3,5,6\n4,5,8\n").expect("the file can be written");
    let output = loo_forest(&["--csv", path.to_str().expect("it is UTF-8"), "--target", "y"]);
    std::fs::remove_file(&path).expect("the file can be removed");
    assert!(printed(&output).starts_with("4 forests of 5 trees\n"));
}

#[test]
fn help_is_no_error() {
    let text = printed(&example("loo_forest").arg("--help").output().expect("the example runs"));
    let options =
        ["--data", "--csv", "--target", "--rows", "--trees", "--seed", "--num-cpus", "--plot"];
    assert!(options.iter().all(|option| text.contains(option)), "{text}");
}

#[test]
fn wrong_options_are_refused() {
    for (arguments, part) in [
        (&["--trees", "0"][..], "--trees"),
        (&["--trees", "many"], "many"),
        (&["--num-cpus", "0"], "num_cpus"),
        (&["--data", "iris"], "diabetes"),
        (&["--csv", "table.csv"], "--target"),
        (&["--target", "y"], "--csv"),
        (&["--forest"], "--forest"),
        (&["--rows", "2"], "at least 3 rows"),
    ] {
        let mut command = example("loo_forest");
        let line = refused(&command.args(arguments).output().expect("the example runs"));
        assert!(line.starts_with("error: ") && line.contains(part), "{arguments:?}: {line}");
    }
}

#[test]
fn wrong_tables_are_refused() {
    let line = refused(&loo_forest(&["--csv", "no/such.csv", "--target", "y"]));
    assert!(line.starts_with("error: cannot open no/such.csv: "), "{line}");
    let sound = "a,y\n1,2\n3,4\n5,6\n";
    assert_eq!(refused_table(sound, "z"), "error: no column is called `z`; there are a, y\n");
    let line = refused_table("a,y\n1,2\n3,tall\n5,6\n", "y");
    assert_eq!(line, "error: row 2, column `y`: `tall` is not a number\n");
    assert!(refused_table("a,y\n1,2\n3,4\n", "y").contains("at least 3 rows, not 2"));
    assert!(refused_table("a,y\n1,2\n3\n5,6\n", "y").contains("line: 3"));
}

#[test]
fn a_picture_that_cannot_be_drawn_is_said() {
    let mut command = example("loo_forest");
    command.args(["--rows", "4", "--trees", "1", "--plot", "no/such/folder/picture.svg"]);
    let output = command.output().expect("the example runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(error.starts_with("error: cannot draw no/such/folder/picture.svg: "), "{error}");
}

#[test]
fn random_streams_are_those_of_the_numpy_program() {
    // The file is what rng_streams.py printed, with NumPy 2.4.6.
    let output = example("rng_streams").output().expect("the example runs");
    assert_eq!(printed(&output), include_str!("../rng_streams.txt"));
}

/// The clusters that are there to be tested, as `tests/engines` has it.
fn clusters() -> impl Iterator<Item = &'static str> {
    let asked = std::env::var("MOBULA_TEST_CLUSTERS").unwrap_or_default();
    let is_asked = move |name: &&str| asked == "1" || asked.split(',').any(|other| other == *name);
    ["ray", "dask", "ipyparallel"].into_iter().filter(is_asked)
}

#[test]
fn loo_forest_predicts_the_same_on_every_engine() {
    let predicted = |engine: &str| {
        let picture = scratch("svg");
        let mut command = example("loo_forest");
        command.args(["--rows", "12", "--trees", "5", "--plot"]).arg(&picture);
        let output = command.env("MOBULA_ENGINE", engine).env("MOBULA_ADDRESS", "local").output();
        let output = output.expect("the example runs");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{engine}: {error}");
        // Each prediction is a point of it.
        let drawn = std::fs::read_to_string(&picture).expect("it was drawn");
        let _ = std::fs::remove_file(picture);
        drawn
    };
    let here = predicted("threads");
    for engine in ["inline", "processes"].into_iter().chain(clusters()) {
        assert!(predicted(engine) == here, "`{engine}` predicts otherwise than `threads`");
    }
}
