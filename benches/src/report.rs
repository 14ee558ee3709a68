//! What people and programs read of an outcome: a table, or JSON lines.

use std::collections::BTreeMap;

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use crate::case::Case;
use crate::measure::{Outcome, Sample};
use crate::unit::three_digits;

/// Digits that mean anything in a figure for programs. People get three.
const DIGITS: i32 = 4;

/// Takes the outcomes as they come. JSON lines go out at once, a table at the
/// end; standard output carries nothing else.
pub(crate) struct Report {
    /// `None` for JSON lines.
    table: Option<Table>,
}

impl Report {
    pub(crate) fn new(json: bool) -> Self {
        Report { table: (!json).then(empty_table) }
    }

    pub(crate) fn add(&mut self, case: &Case, outcome: &Outcome) {
        for (name, error) in &outcome.failures {
            eprintln!("{}: {name}: {error:#}", case.name);
        }
        match &mut self.table {
            Some(table) => add_row(table, case, outcome),
            None => println!("{}", Line::new(case, outcome).to_json()),
        }
    }

    pub(crate) fn finish(self) {
        if let Some(table) = self.table {
            println!("{table}");
        }
    }
}

/// One case as a line of JSON.
#[derive(Serialize)]
struct Line<'a> {
    case: &'a str,
    unit: &'a str,
    mobula: f64,
    peers: BTreeMap<&'a str, f64>,
    /// Peer divided by mobula: above one, mobula is faster.
    ratio: BTreeMap<&'a str, f64>,
}

impl<'a> Line<'a> {
    fn new(case: &'a Case, outcome: &'a Outcome) -> Self {
        let of_peers = |figure: &dyn Fn(&Sample) -> f64| {
            let peers = outcome.peers.iter();
            peers.map(|peer| (peer.name.as_str(), significant(figure(peer)))).collect()
        };
        Line {
            case: case.name,
            unit: case.unit.label(),
            mobula: significant(case.unit.figure(outcome.mobula.cost)),
            peers: of_peers(&|peer| case.unit.figure(peer.cost)),
            ratio: of_peers(&|peer| peer.ratio_to(&outcome.mobula)),
        }
    }

    fn to_json(&self) -> String {
        serde_json::to_string(self).expect("names and numbers always serialize")
    }
}

fn empty_table() -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY);
    table.set_header(["case", "on", "median", "rate", "spread", "to mobula"]);
    for column in [2, 3, 4, 5] {
        let column = table.column_mut(column).expect("the header has six columns");
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// One row a case, with a line in it for each contender.
fn add_row(table: &mut Table, case: &Case, outcome: &Outcome) {
    let samples: Vec<&Sample> = std::iter::once(&outcome.mobula).chain(&outcome.peers).collect();
    let lines = |cell: &dyn Fn(&Sample) -> String| {
        let cells: Vec<String> = samples.iter().map(|sample| cell(sample)).collect();
        cells.join("\n")
    };
    table.add_row([
        format!("{}\n  {}", case.name, case.unit.of_what()),
        lines(&|sample| sample.name.clone()),
        lines(&|sample| case.unit.human(sample.cost)),
        lines(&|sample| case.unit.rate(sample.cost)),
        lines(&|sample| match sample.spread {
            Some(spread) => format!("{:.0} %", 100.0 * spread),
            None => "one round".to_owned(),
        }),
        lines(&|sample| format!("{} x", three_digits(sample.ratio_to(&outcome.mobula)))),
    ]);
}

/// `value` rounded to the digits that mean anything.
fn significant(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let decimals = DIGITS - 1 - value.abs().log10().floor() as i32;
    // Dividing by a power of ten is exact where multiplying by its inverse is not.
    if decimals >= 0 {
        let scale = 10f64.powi(decimals);
        (value * scale).round() / scale
    } else {
        let scale = 10f64.powi(-decimals);
        (value / scale).round() * scale
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit::Unit;

    fn sample(name: &str, cost: f64) -> Sample {
        let name = name.to_owned();
        Sample { name, cost, spread: Some(0.1) }
    }

    const CASE: Case =
        Case { name: "work", about: "", unit: Unit::NanosPerOp, contenders: |_| Ok(Vec::new()) };

    fn outcome() -> Outcome {
        Outcome {
            mobula: sample("mobula", 200e-9),
            peers: vec![sample("tokio", 500e-9), sample("rayon", 100e-9)],
            failures: Vec::new(),
        }
    }

    #[test]
    fn a_line_holds_medians_and_ratios() {
        let line: serde_json::Value =
            serde_json::from_str(&Line::new(&CASE, &outcome()).to_json()).unwrap();
        let expected = serde_json::json!({
            "case": "work",
            "unit": "ns/op",
            "mobula": 200.0,
            "peers": {"tokio": 500.0, "rayon": 100.0},
            "ratio": {"tokio": 2.5, "rayon": 0.5},
        });
        assert_eq!(line, expected);
    }

    #[test]
    fn the_table_names_case_and_contenders() {
        let mut table = empty_table();
        add_row(&mut table, &CASE, &outcome());
        let text = table.to_string();
        for word in ["work", "mobula", "tokio", "rayon", "2.50 x", "500 ns", "2.00 M/s"] {
            assert!(text.contains(word), "{word} is not in\n{text}");
        }
    }

    #[test]
    fn figures_keep_four_digits() {
        assert_eq!(significant(183.427_199_999), 183.4);
        assert_eq!(significant(0.000_123_456), 0.000_123_5);
        assert_eq!(significant(2_893_456.0), 2_893_000.0);
        assert_eq!(significant(0.0), 0.0);
    }
}
