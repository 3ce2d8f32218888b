//! Messages that are numbers: signals and event counters.

use core::str::FromStr;

use twixt_os::{ErrorKind, Result};

use crate::Message;
use crate::origin::Origin;

/// The most digits of a number of 64 bits, or one less with its sign.
const MOST: usize = 20;

/// The number that a message is, written in decimal and nothing else.
pub(crate) fn parse<N: FromStr + TryFrom<u64>>(
    bytes: &[u8],
    origin: &Origin,
    right: &'static str,
) -> Result<N> {
    if let Some(number) = digits(bytes).and_then(|number| number.try_into().ok()) {
        return Ok(number);
    }
    let number = core::str::from_utf8(bytes).ok().and_then(|text| text.parse().ok());
    number.ok_or_else(|| origin.refused("send to", ErrorKind::InvalidInput, right))
}

/// The number that so many digits are that it cannot be too large.
fn digits(bytes: &[u8]) -> Option<u64> {
    if bytes.is_empty() || bytes.len() > 19 {
        return None;
    }
    bytes
        .iter()
        .try_fold(0, |number, byte| byte.is_ascii_digit().then(|| number * 10 + u64::from(byte - b'0')))
}

/// Makes the message a number.
pub(crate) fn write(message: &mut Message, number: impl Into<i128>) {
    let number: i128 = number.into();
    // Every number of 64 bits fits.
    let mut rest = u64::try_from(number.unsigned_abs()).unwrap_or(u64::MAX);
    let mut text = [0; MOST];
    let mut start = MOST;
    loop {
        start -= 1;
        text[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        start -= 1;
        text[start] = b'-';
    }
    message.set(&text[start..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_in_decimal() {
        let numbers: [i128; 9] =
            [0, 7, 10, -1, 4711, i32::MIN.into(), i64::MIN.into(), i64::MAX.into(), u64::MAX.into()];
        let mut message = Message::new();
        for number in numbers {
            write(&mut message, number);
            assert_eq!(message.bytes(), number.to_string().as_bytes());
        }
    }

    #[test]
    fn numbers_are_read_as_the_standard_library_reads_them() {
        let short = ["", "0", "7", "007", "+7", "-7", "1x", "x1", " 1"];
        let long = ["9999999999999999999", "18446744073709551615", "18446744073709551616"];
        for text in short.into_iter().chain(long) {
            assert_eq!(
                digits(text.as_bytes()).or_else(|| text.parse().ok()),
                text.parse::<u64>().ok(),
                "{text}"
            );
        }
    }
}
