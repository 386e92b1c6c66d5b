//! Times and sizes in human-readable units: `10m`, `50MB`, `1.25 ms`.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

/// Parses "90s", "10m", "2h" or "90" (seconds).
pub fn parse_time(text: &str) -> Result<Duration, String> {
    let expected = "expected a time such as 90s, 10m or 2h";
    let (number, unit) = split_unit(text);
    let n: f64 = number.parse().map_err(|_| expected)?;
    let seconds = match unit {
        "" | "s" => n,
        "m" | "min" => n * 60.0,
        "h" => n * 3600.0,
        _ => return Err(expected.to_string()),
    };
    if !(seconds > 0.0 && seconds < 1e8) {
        return Err("expected a time above 0 and below three years".to_string());
    }
    Ok(Duration::from_secs_f64(seconds))
}

/// Formats a time to about three digits: "12.5 µs", "1.25 ms", "2.50 s".
pub fn show_time(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    let (number, unit) = match seconds {
        s if s < 1e-3 => (s * 1e6, "µs"),
        s if s < 1.0 => (s * 1e3, "ms"),
        s => (s, "s"),
    };
    let digits = if number < 10.0 { 2 } else { usize::from(number < 100.0) };
    format!("{number:.digits$} {unit}")
}

/// Parses a number of bytes: "1234", "2KB", "50MB", "1.5GB".
pub fn parse_size(text: &str) -> Result<u64, String> {
    let expected = "expected a size such as 500KB, 50MB or 1GB";
    let (number, unit) = split_unit(text);
    let n: f64 = number.trim().parse().map_err(|_| expected)?;
    let bytes = match unit.to_ascii_uppercase().as_str() {
        "" | "B" => n,
        "K" | "KB" => n * 1e3,
        "M" | "MB" => n * 1e6,
        "G" | "GB" => n * 1e9,
        "T" | "TB" => n * 1e12,
        _ => return Err(expected.to_string()),
    };
    if !(1.0..1e13).contains(&bytes) {
        return Err(format!("{expected}, from 1 byte to 10 TB"));
    }
    Ok(bytes as u64)
}

/// Largest number of steps, tokens, rows or the like that a flag takes: products of two such numbers
/// and times of a second each are far from the limits of their types.
pub const COUNT_MAX: u64 = 1_000_000_000_000;

/// Parser of whole numbers in `range`; its error says which numbers those are.
pub fn whole<T>(range: RangeInclusive<T>) -> impl Fn(&str) -> Result<T, String> + Clone
where
    T: FromStr + Display + PartialOrd + Clone,
{
    move |text| {
        let expected =
            || format!("expected a whole number from {} to {}", range.start(), range.end());
        text.parse().ok().filter(|n| range.contains(n)).ok_or_else(expected)
    }
}

/// Parser of a number of steps, tokens, rows or the like, from `least` on.
pub fn count(least: usize) -> impl Fn(&str) -> Result<usize, String> + Clone {
    whole(least..=COUNT_MAX as usize)
}

/// Parses a seed; those above are none that settings can hold.
pub fn parse_seed(text: &str) -> Result<u64, String> {
    whole(0..=i64::MAX as u64)(text)
}

/// Splits `text` into a number and the letters at its end.
fn split_unit(text: &str) -> (&str, &str) {
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    (number, &text[number.len()..])
}

/// Perplexity of a loss in nats, for display: a large one as a power of ten.
pub fn perplexity(loss: f64) -> String {
    match loss.exp() {
        large @ 1e6.. => format!("{large:.1e}"),
        usual => format!("{usual:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_with_their_units() {
        for (seconds, shown) in [
            (3.21e-6, "3.21 µs"),
            (4.56e-4, "456 µs"),
            (0.0125, "12.5 ms"),
            (2.5, "2.50 s"),
            (300.0, "300 s"),
        ] {
            assert_eq!(show_time(Duration::from_secs_f64(seconds)), shown);
        }
    }

    #[test]
    fn times_are_read() {
        assert_eq!(parse_time("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_time("1.5h"), Ok(Duration::from_secs(5400)));
        assert_eq!(parse_time("10m"), Ok(Duration::from_secs(600)));
        for bad in ["", "m", "-3s", "5 parsecs", "nan", "0s"] {
            assert!(parse_time(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn whole_numbers_are_read_within_their_range() {
        assert_eq!(whole(1..=9)("7"), Ok(7));
        for bad in ["0", "10", "-1", "1.5", "", "abc", "99999999999999999999999", "NaN"] {
            let expected = "expected a whole number from 1 to 9".to_owned();
            assert_eq!(whole(1..=9)(bad), Err(expected), "{bad}");
        }
        assert_eq!(parse_seed("9223372036854775807"), Ok(i64::MAX as u64));
        assert!(parse_seed("9223372036854775808").is_err() && count(1)("0").is_err());
    }

    #[test]
    fn sizes_are_read() {
        assert_eq!(parse_size("1234"), Ok(1234));
        assert_eq!(parse_size("1.5kb"), Ok(1500));
        assert_eq!(parse_size("50MB"), Ok(50_000_000));
        assert_eq!(parse_size("2TB"), Ok(2_000_000_000_000));
        for bad in ["", "MB", "-3MB", "0", "nan", "inf", "5 parsecs", "99999GB"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }
}
