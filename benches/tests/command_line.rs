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
    let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/cases")).unwrap();
    let mut cases = 0;
    for file in files {
        let path = file.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if name != "mod" {
            cases += 1;
            assert!(listed.contains(&name.as_str()), "{name} is not listed");
        }
    }
    assert_eq!(listed.len(), cases);
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
