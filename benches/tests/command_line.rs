//! The benchmark program as one types it.

use std::process::{Command, Output};

use serde_json::Value;

fn bench(arguments: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_mobula-bench");
    Command::new(program).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn list_names_every_case() {
    let output = bench(&["--list"]);
    assert!(output.status.success());
    let listed: Vec<&str> =
        text(&output.stdout).lines().filter_map(|line| line.split_whitespace().next()).collect();
    // A single case is a file, a group a folder.
    let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/cases")).unwrap();
    for file in files {
        let path = file.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let is_built = name != "mod" && (name != "blas_tasks" || cfg!(feature = "linalg"));
        assert_eq!(
            listed.contains(&name.as_str()),
            is_built,
            "{name}: is it listed where it is built?"
        );
    }
    for case in ["1_1_actor_calls_async", "single_client_wait_1k_refs", "metg_fft_8"] {
        assert!(listed.contains(&case), "{case} is not listed");
    }
}

#[test]
fn an_unknown_case_is_one_line_and_exit_code_two() {
    let output = bench(&["nonsense"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    let message = text(&output.stderr);
    assert_eq!(message.lines().count(), 1);
    assert!(message.contains("nonsense") && message.contains("roundtrip"));
}

#[test]
fn a_group_runs_all_its_cases_and_isolated_rounds_tell_their_cost() {
    let output = bench(&["queued_memory", "envelope", "--quick", "--json", "--num-cpus", "2"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let lines: Vec<Value> =
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let cases: Vec<&str> = lines.iter().map(|line| line["case"].as_str().unwrap()).collect();
    assert_eq!((cases[0], cases.len()), ("queued_memory", 8));
    assert!(cases.contains(&"many_gets") && cases.contains(&"large_object"));
    // A task holds a result of eight bytes at least, and less than a kilobyte.
    let bytes = lines[0]["mobula"].as_f64().unwrap();
    assert!((8.0..1024.0).contains(&bytes), "{bytes} bytes");
    assert_eq!(lines[0]["unit"], "B/op");
}

#[test]
fn json_is_one_object_a_case_with_medians_and_ratios() {
    let output = bench(&["roundtrip", "--quick", "--json", "--num-cpus", "2"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let line: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(line["case"], "roundtrip");
    assert_eq!(line["unit"], "ns/op");
    let mobula = line["mobula"].as_f64().unwrap();
    assert!(mobula > 0.0);
    for peer in ["tokio", "rayon"] {
        let ratio = line["ratio"][peer].as_f64().unwrap();
        let expected = line["peers"][peer].as_f64().unwrap() / mobula;
        assert!((ratio / expected - 1.0).abs() < 0.01, "{line}");
    }
}
