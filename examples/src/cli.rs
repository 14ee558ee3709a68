//! Command lines that fail in one line.

use std::fmt::Display;
use std::process::ExitCode;

use clap::Parser;

/// The exit code for wrong input, as command-line tools have it.
const WRONG_INPUT: u8 = 2;

/// The parsed command line. A wrong one ends the program with one line on
/// standard error and exit code 2; `--help` ends it with the help and code 0.
pub fn parse<Options: Parser>() -> Options {
    Options::try_parse().unwrap_or_else(|error| {
        if !error.use_stderr() {
            error.exit();
        }
        // The first paragraph says what is wrong; usage and hints follow it.
        let text = error.to_string();
        let what = text.split("\n\n").next().unwrap_or(&text);
        let words: Vec<&str> = what.split_whitespace().collect();
        eprintln!("{}", words.join(" "));
        std::process::exit(WRONG_INPUT.into());
    })
}

/// Says in one line what was wrong with the input. Return its value from `main`.
pub fn wrong_input(what: impl Display) -> ExitCode {
    eprintln!("error: {what}");
    ExitCode::from(WRONG_INPUT)
}
