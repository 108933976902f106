//! The day of a moment, without a library for calendars.

/// The day that holds a number of seconds since 1970, as `2026-11-25` (UTC).
pub(crate) fn day(seconds: u64) -> String {
    let mut days = seconds / 86_400;
    let mut year = 1970;
    while days >= length_of(year).iter().sum() {
        days -= length_of(year).iter().sum::<u64>();
        year += 1;
    }
    let mut month = 1;
    for length in length_of(year) {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    format!("{year}-{month:02}-{:02}", days + 1)
}

/// The days of the months of a year (Gregorian).
fn length_of(year: u64) -> [u64; 12] {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    [31, 28 + u64::from(leap), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        for (seconds, expected) in [
            (0, "1970-01-01"),
            (951_782_400, "2000-02-29"),
            (1_735_689_599, "2024-12-31"),
            (1_735_689_600, "2025-01-01"),
            (1_795_561_200, "2026-11-24"),
        ] {
            assert_eq!(day(seconds), expected);
        }
    }
}
