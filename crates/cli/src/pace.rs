//! So many in a second, evenly.

use std::str::FromStr;
use std::time::{Duration, Instant};

use crate::interrupt::Interrupt;

/// How many in which time: `100`, `100/s`, `30/m`, `0.5`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Between two.
    period: Duration,
}

const RIGHT: &str = "a rate is a number above 0 and up to 1000000000, with /s or /m: 100, 0.5/s, 30/m";

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, seconds) = match text.split_once('/') {
            None | Some((_, "s")) => (text.trim_end_matches("/s"), 1.0),
            Some((number, "m")) => (number, 60.0),
            Some((_, unit)) => return Err(format!("the unit {unit:?} is unknown; {RIGHT}")),
        };
        let is_plain = number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        match number.parse::<f64>() {
            Ok(rate) if is_plain && rate > 0.0 && rate <= 1e9 => {
                let period = Duration::try_from_secs_f64(seconds / rate);
                Ok(Self { period: period.map_err(|_| format!("{text:?} is too slow; {RIGHT}"))? })
            }
            _ => Err(format!("{text:?} is no rate; {RIGHT}")),
        }
    }
}

/// Keeps to a rate.
#[derive(Clone, Debug)]
pub struct Pace {
    period: Duration,
    next: Option<Instant>,
}

/// What a late one may make up for, so that the clock's coarseness does not slow down a high rate; no more, so that
/// what follows a long wait is no burst.
const SLACK: Duration = Duration::from_millis(10);

impl Pace {
    pub fn new(rate: Rate) -> Self {
        Self { period: rate.period, next: None }
    }

    /// Waits for the moment of the next one; `false` if there was a reason not to wait for it.
    pub fn wait(&mut self, interrupt: &Interrupt) -> bool {
        let now = Instant::now();
        let next = self.next.unwrap_or(now);
        if next > now && !interrupt.sleep_until(next.into()) {
            return false;
        }
        let late = now.checked_sub(SLACK).unwrap_or(now);
        // A period of centuries has no moment; the next one then never comes.
        self.next = next.max(late).checked_add(self.period).or(now.checked_add(CENTURY));
        true
    }
}

const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_have_units() {
        let period = |text: &str| text.parse::<Rate>().map(|rate| rate.period);
        assert_eq!(period("100"), Ok(Duration::from_millis(10)));
        assert_eq!(period("100/s"), Ok(Duration::from_millis(10)));
        assert_eq!(period("30/m"), Ok(Duration::from_secs(2)));
        assert_eq!(period("0.5"), Ok(Duration::from_secs(2)));
        for wrong in ["", "0", "-1", "/s", "1/h", "inf", "nan", "1e3", "1/s/s", "2000000000"] {
            assert!(period(wrong).is_err(), "{wrong}");
        }
    }
}
