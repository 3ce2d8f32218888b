//! Whole numbers, with errors that name the number's role and its range.

use crate::ValueError;
use crate::error::shown;

/// Reads a decimal number that must lie in a range. `what` is its role: "port", "priority".
///
/// A plus sign is no part of a number here, and a minus only where the range has negative numbers.
pub(crate) fn integer<N>(what: &str, text: &str, least: N, most: N) -> Result<N, ValueError>
where
    N: Copy + Into<i128> + TryFrom<i128>,
{
    let right = || format!("{} is {} to {}", with_article(what), least.into(), most.into());
    let digits = text.strip_prefix('-').unwrap_or(text);
    if text.is_empty() {
        return Err(ValueError::new(format!("{what} is missing"), right()));
    }
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(ValueError::new(format!("{what} {} is not a whole number", shown(text)), right()));
    }
    let outside =
        |direction| Err(ValueError::new(format!("{what} {} is too {direction}", shown(text)), right()));
    match text.parse::<i128>() {
        Ok(number) if number < least.into() => outside("small"),
        Ok(number) if number <= most.into() => N::try_from(number).or_else(|_| outside("large")),
        // What even 128 bits do not hold is as far out as it looks.
        Err(_) if text.starts_with('-') => outside("small"),
        _ => outside("large"),
    }
}

/// Checks a number that is there already.
pub(crate) fn within<N>(what: &str, number: N, least: N, most: N) -> Result<N, ValueError>
where
    N: Copy + Into<i128> + TryFrom<i128>,
{
    integer(what, &number.into().to_string(), least, most)
}

pub(crate) fn with_article(what: &str) -> String {
    let article = if what.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    format!("{article} {what}")
}
