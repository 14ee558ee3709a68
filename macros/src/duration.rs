//! A length of time as people write it: `"500ms"`, `"1.5s"`, `"2m"`.

use std::time::Duration;

/// The units, with their length in seconds.
const UNITS: &[(&str, f64)] =
    &[("ns", 1e-9), ("us", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];

/// Reads a number and its unit, or says what is wrong with it.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: f64 = number.parse().map_err(|_| "start with a number".to_owned())?;
    let unit = unit.trim_start();
    let seconds = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, seconds)| seconds);
    let seconds = seconds.ok_or_else(|| {
        let names: Vec<_> = UNITS.iter().map(|(name, _)| *name).collect();
        format!("end with one of the units {}", names.join(", "))
    })?;
    match Duration::try_from_secs_f64(number * seconds) {
        Ok(Duration::ZERO) => Err("allow more than no time".to_owned()),
        Ok(duration) => Ok(duration),
        Err(_) => Err("shorten it".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_each_unit() {
        assert_eq!(parse("250ns"), Ok(Duration::from_nanos(250)));
        assert_eq!(parse("7us"), Ok(Duration::from_micros(7)));
        assert_eq!(parse("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse("3s"), Ok(Duration::from_secs(3)));
        assert_eq!(parse("1.5 s"), Ok(Duration::from_millis(1500)));
        assert_eq!(parse("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(parse("0.5h"), Ok(Duration::from_secs(1800)));
    }

    #[test]
    fn says_what_is_wrong() {
        assert!(parse("soon").unwrap_err().contains("start with a number"));
        assert!(parse("-3s").unwrap_err().contains("start with a number"));
        assert!(parse("").unwrap_err().contains("start with a number"));
        assert!(parse("3").unwrap_err().contains("ns, us, ms, s, m, h"));
        assert!(parse("3 days").unwrap_err().contains("ns, us, ms, s, m, h"));
        assert!(parse("0s").unwrap_err().contains("more than no time"));
        assert!(parse("99999999999999999999h").unwrap_err().contains("shorten"));
    }
}
