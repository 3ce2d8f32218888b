//! Option values as text, both ways.

use core::fmt;
use core::time::Duration;

use super::{OptionName, Options};
use crate::ValueError;
use crate::error::shown;
use crate::number::integer;

impl Options {
    /// Sets an option other than `create` from its value's text.
    pub(crate) fn with_text(self, name: OptionName, text: &str) -> Result<Self, ValueError> {
        match name {
            OptionName::Create => Ok(self.with_create()),
            OptionName::Mode => self.with_mode(mode(text)?),
            OptionName::Capacity => self.with_capacity(bytes("capacity", text, 0)?),
            OptionName::Budget => self.with_budget(bytes("budget", text, 1)?),
            OptionName::Size => self.with_size(bytes("size", text, 1)?),
            OptionName::MessageSize => self.with_message_size(bytes("message-size", text, 1)?),
            OptionName::Count => self.with_count(integer("count", text, 1, 65_536)?),
            OptionName::Value => Ok(self.with_value(integer("value", text, i64::MIN, i64::MAX)?)),
            OptionName::Type => self.with_message_type(integer("type", text, 1, i64::MAX)?),
            OptionName::Prio => self.with_priority(integer("prio", text, 0, 32_767)?),
            OptionName::History => Ok(self.with_history(integer("history", text, 0, u64::MAX)?)),
            OptionName::Slow => Ok(self.with_slow(text.parse()?)),
            OptionName::Retries => Ok(self.with_retries(integer("number of retries", text, 0, u32::MAX)?)),
            OptionName::Visibility => self.with_visibility(duration("visibility", text)?),
            OptionName::Framing => Ok(self.with_framing(text.parse()?)),
            OptionName::Timeout => Ok(self.with_timeout(duration("timeout", text)?)),
        }
    }
}

/// As it stands in an address after the question mark; nothing if no option is given.
impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, name) in self.given().enumerate() {
            if index > 0 {
                f.write_str("&")?;
            }
            f.write_str(name.as_str())?;
            match name {
                OptionName::Create => Ok(()),
                OptionName::Mode => write!(f, "={:04o}", self.mode.unwrap_or_default()),
                OptionName::Capacity => write!(f, "={}", Bytes(self.capacity.unwrap_or_default())),
                OptionName::Budget => write!(f, "={}", Bytes(self.budget.unwrap_or_default())),
                OptionName::Size => write!(f, "={}", Bytes(self.size.unwrap_or_default())),
                OptionName::MessageSize => write!(f, "={}", Bytes(self.message_size.unwrap_or_default())),
                OptionName::Count => write!(f, "={}", self.count.unwrap_or_default()),
                OptionName::Value => write!(f, "={}", self.value.unwrap_or_default()),
                OptionName::Type => write!(f, "={}", self.message_type.unwrap_or_default()),
                OptionName::Prio => write!(f, "={}", self.priority.unwrap_or_default()),
                OptionName::History => write!(f, "={}", self.history.unwrap_or_default()),
                OptionName::Slow => write!(f, "={}", self.slow.unwrap_or_default()),
                OptionName::Retries => write!(f, "={}", self.retries.unwrap_or_default()),
                OptionName::Visibility => write!(f, "={}", Span(self.visibility.unwrap_or_default())),
                OptionName::Framing => write!(f, "={}", self.framing.unwrap_or_default()),
                OptionName::Timeout => write!(f, "={}", Span(self.timeout.unwrap_or_default())),
            }?;
        }
        Ok(())
    }
}

/// Reads a number of bytes as the options have it: from 0, with `k` (1024), `M` or `G`.
///
/// ```
/// assert_eq!(twixt_address::parse_size("8k")?, 8192);
/// # Ok::<(), twixt_address::ValueError>(())
/// ```
///
/// # Errors
/// It is no such number, or above [`Options::MOST_BYTES`].
pub fn parse_size(text: &str) -> Result<u64, ValueError> {
    bytes("size", text, 0)
}

/// Reads a length of time as the option `timeout` has it: a whole number and `ns`, `us`, `ms`, `s` or `m`.
///
/// ```
/// use std::time::Duration;
/// assert_eq!(twixt_address::parse_duration("1500ms")?, Duration::from_millis(1500));
/// # Ok::<(), twixt_address::ValueError>(())
/// ```
///
/// # Errors
/// The number or the unit is missing or none.
pub fn parse_duration(text: &str) -> Result<Duration, ValueError> {
    duration("timeout", text)
}

fn mode(text: &str) -> Result<u32, ValueError> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    if text.is_empty() {
        return Err(not_a_mode("mode is missing".to_owned()));
    }
    if digits.is_empty() || !digits.bytes().all(|byte| matches!(byte, b'0'..=b'7')) {
        return Err(not_a_mode(format!("mode {} is not an octal number", shown(text))));
    }
    match u32::from_str_radix(digits, 8) {
        Ok(mode @ 0..=0o777) => Ok(mode),
        _ => Err(not_a_mode(format!("mode {} has more than the permission bits", shown(text)))),
    }
}

pub(crate) fn not_a_mode(why: String) -> ValueError {
    ValueError::new(why, "a mode is 0 to 0777 in octal")
}

/// Largest first: what prints takes the first that divides.
const SUFFIXES: [(&str, u64); 3] = [("G", 1 << 30), ("M", 1 << 20), ("k", 1 << 10)];

fn bytes(what: &str, text: &str, least: u64) -> Result<u64, ValueError> {
    let most = Options::MOST_BYTES;
    let right = || format!("a {what} is {least} to {most}, and may end in k (1024), M or G");
    let (digits, unit) = SUFFIXES
        .iter()
        .chain(&[("K", 1 << 10)])
        .find_map(|&(suffix, unit)| Some((text.strip_suffix(suffix)?, unit)))
        .unwrap_or((text, 1));
    if text.is_empty() {
        return Err(ValueError::new(format!("{what} is missing"), right()));
    }
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(ValueError::new(format!("{what} {} is not a whole number", shown(text)), right()));
    }
    match digits.parse::<u64>().ok().and_then(|number| number.checked_mul(unit)) {
        Some(number) if number < least => {
            Err(ValueError::new(format!("{what} {} is too small", shown(text)), right()))
        }
        Some(number) if number <= most => Ok(number),
        _ => Err(ValueError::new(format!("{what} {} is too large", shown(text)), right())),
    }
}

struct Bytes(u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let divides = |unit: u64| self.0 != 0 && self.0.is_multiple_of(unit);
        match SUFFIXES.iter().find(|&&(_, unit)| divides(unit)) {
            Some((suffix, unit)) => write!(f, "{}{suffix}", self.0 / unit),
            None => write!(f, "{}", self.0),
        }
    }
}

/// Largest first. `s` must be tried after those that end in it when a suffix is looked for.
const UNITS: [(&str, u128); 5] =
    [("m", 60_000_000_000), ("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000), ("ns", 1)];

fn duration(what: &str, text: &str) -> Result<Duration, ValueError> {
    let right = || format!("a {what} is a whole number and ns, us, ms, s or m");
    let wrong = |why: &str| Err(ValueError::new(format!("{what} {} {why}", shown(text)), right()));
    if text.is_empty() {
        return Err(ValueError::new(format!("{what} is missing"), right()));
    }
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    if digits.is_empty() {
        return wrong("does not begin with a number");
    }
    if unit.starts_with(['.', ',']) {
        return wrong("is not a whole number");
    }
    if unit.is_empty() {
        return wrong("has no unit");
    }
    let Some(&(_, unit)) = UNITS.iter().find(|(name, _)| *name == unit) else {
        return wrong(&format!("has {} for a unit", shown(unit)));
    };
    let nanoseconds = digits.parse::<u128>().ok().and_then(|number| number.checked_mul(unit));
    match nanoseconds {
        Some(nanoseconds) if nanoseconds <= Duration::MAX.as_nanos() => {
            Ok(Duration::new((nanoseconds / 1_000_000_000) as u64, (nanoseconds % 1_000_000_000) as u32))
        }
        _ => wrong("is longer than any clock runs"),
    }
}

struct Span(Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanoseconds = self.0.as_nanos();
        let divides = |unit: u128| nanoseconds != 0 && nanoseconds.is_multiple_of(unit);
        match UNITS.iter().find(|&&(_, unit)| divides(unit)) {
            Some((name, unit)) => write!(f, "{}{name}", nanoseconds / unit),
            None => f.write_str("0s"),
        }
    }
}
