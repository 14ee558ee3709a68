//! What the figures of a case are of.
//!
//! Inside this program a figure is a *cost* in seconds or bytes, and less is
//! better in every case; so a ratio means the same everywhere. A rate, which
//! some people rather read, is told beside it.

/// What a case reports its medians in.
#[derive(Clone, Copy)]
pub(crate) enum Unit {
    /// Nanoseconds for each operation.
    NanosPerOp,
    /// Seconds for the whole work.
    Seconds,
    /// Seconds for each gigabyte, of 10^9 bytes.
    SecondsPerGigabyte,
    /// Microseconds that a task has to be long.
    MicrosOfTask,
    /// Seconds of CPU time in all.
    CpuSeconds,
    /// Bytes of memory for each operation.
    BytesPerOp,
}

impl Unit {
    pub(crate) fn label(self) -> &'static str {
        match self {
            Unit::NanosPerOp => "ns/op",
            Unit::Seconds => "s",
            Unit::SecondsPerGigabyte => "s/GB",
            Unit::MicrosOfTask => "us",
            Unit::CpuSeconds => "CPU s",
            Unit::BytesPerOp => "B/op",
        }
    }

    /// What people are told that a figure is of.
    pub(crate) fn of_what(self) -> &'static str {
        match self {
            Unit::NanosPerOp => "each",
            Unit::Seconds => "in all",
            Unit::SecondsPerGigabyte => "for each GB",
            Unit::MicrosOfTask => "length of a task",
            Unit::CpuSeconds => "of CPU time",
            Unit::BytesPerOp => "memory for each",
        }
    }

    /// `cost` in this unit.
    pub(crate) fn figure(self, cost: f64) -> f64 {
        match self {
            Unit::NanosPerOp => cost * 1e9,
            Unit::MicrosOfTask => cost * 1e6,
            Unit::Seconds | Unit::SecondsPerGigabyte | Unit::CpuSeconds | Unit::BytesPerOp => cost,
        }
    }

    /// `cost` as people like to read it.
    pub(crate) fn human(self, cost: f64) -> String {
        match self {
            Unit::BytesPerOp => format!("{} B", three_digits(cost)),
            _ => scaled(cost, &[(1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns")]),
        }
    }

    /// How much is done in a second at this `cost`; empty where that means nothing.
    pub(crate) fn rate(self, cost: f64) -> String {
        match self {
            Unit::NanosPerOp => {
                scaled(1.0 / cost, &[(1e9, "G/s"), (1e6, "M/s"), (1e3, "k/s"), (1.0, "/s")])
            }
            Unit::SecondsPerGigabyte => {
                scaled(1.0 / cost, &[(1e3, "TB/s"), (1.0, "GB/s"), (1e-3, "MB/s")])
            }
            _ => String::new(),
        }
    }
}

/// `value` by the largest of `scales` that leaves a figure of at least one,
/// else by the last, which is the smallest.
fn scaled(value: f64, scales: &[(f64, &str)]) -> String {
    let fits = |(scale, _): &&(f64, &str)| value >= *scale;
    let &(scale, name) = scales.iter().find(fits).unwrap_or(&scales[scales.len() - 1]);
    format!("{} {name}", three_digits(value / scale))
}

/// `value` with at least three digits, zeros at the end included.
pub(crate) fn three_digits(value: f64) -> String {
    let decimals = 2.0 - value.abs().log10().floor();
    format!("{value:.0$}", decimals.clamp(0.0, 9.0) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_get_a_scale_that_fits() {
        assert_eq!(Unit::Seconds.human(16.412), "16.4 s");
        assert_eq!(Unit::NanosPerOp.human(0.005_86), "5.86 ms");
        assert_eq!(Unit::MicrosOfTask.human(1e-6), "1.00 us");
        assert_eq!(Unit::NanosPerOp.human(183.4e-9), "183 ns");
        assert_eq!(Unit::BytesPerOp.human(96.04), "96.0 B");
    }

    #[test]
    fn a_rate_is_the_inverse_of_a_cost() {
        assert_eq!(Unit::NanosPerOp.rate(200e-9), "5.00 M/s");
        assert_eq!(Unit::NanosPerOp.rate(0.002), "500 /s");
        assert_eq!(Unit::NanosPerOp.rate(4.0), "0.250 /s");
        assert_eq!(Unit::SecondsPerGigabyte.rate(0.125), "8.00 GB/s");
        assert_eq!(Unit::CpuSeconds.rate(1.0), "");
    }

    #[test]
    fn programs_get_the_unit_of_the_label() {
        assert_eq!(Unit::MicrosOfTask.figure(0.5), 500_000.0);
        assert_eq!(Unit::BytesPerOp.figure(96.0), 96.0);
    }
}
