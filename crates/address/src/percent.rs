//! Percent-encoding: how any byte stands in an address.
//!
//! `%` and two hexadecimal digits stand for one byte. Written so are the percent sign, the question mark (which
//! would begin the options), whatever a terminal would not show, and bytes that are not UTF-8. All else stands for
//! itself, spaces included.

use core::fmt;
use core::ops::Range;

/// An encoded form, for printing.
pub(crate) struct Encoded<'a>(pub &'a [u8]);

impl fmt::Display for Encoded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for character in chunk.valid().chars() {
                if stands_for_itself(character) {
                    write!(f, "{character}")?;
                } else {
                    let mut buffer = [0; 4];
                    character.encode_utf8(&mut buffer).bytes().try_for_each(|byte| escape(f, byte))?;
                }
            }
            chunk.invalid().iter().try_for_each(|&byte| escape(f, byte))?;
        }
        Ok(())
    }
}

/// One byte as `%XX`.
pub(crate) fn escape(f: &mut fmt::Formatter<'_>, byte: u8) -> fmt::Result {
    write!(f, "%{byte:02X}")
}

fn stands_for_itself(character: char) -> bool {
    match character {
        '%' | '?' => false,
        ' '..='~' => true,
        // The standard library knows what is printable; it escapes the rest (controls, invisible and
        // direction-changing characters, combining marks on nothing).
        _ => character.escape_debug().len() == 1,
    }
}

/// Decodes; the error is the range in `text` of what begins like an escape and is none.
pub(crate) fn decode(text: &str) -> Result<Vec<u8>, Range<usize>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(percent) = rest.find('%') {
        bytes.extend_from_slice(&rest.as_bytes()[..percent]);
        let after = &rest[percent + 1..];
        let Some(byte) = escaped(after) else {
            let start = text.len() - after.len() - 1;
            let length: usize = after.chars().take(2).map(char::len_utf8).sum();
            return Err(start..start + 1 + length);
        };
        bytes.push(byte);
        rest = &after[2..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    Ok(bytes)
}

/// The text with every percent sign that begins no escape made one: what someone may have meant who forgot.
pub(crate) fn mended(text: &str) -> String {
    let mut pieces = text.split('%');
    let mut mended = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        mended.push_str(if escaped(piece).is_some() { "%" } else { "%25" });
        mended.push_str(piece);
    }
    mended
}

/// The byte of the two digits that follow a percent sign.
fn escaped(after: &str) -> Option<u8> {
    let digit = |index: usize| char::from(*after.as_bytes().get(index)?).to_digit(16);
    Some((digit(0)? << 4 | digit(1)?) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(bytes: &[u8]) -> String {
        Encoded(bytes).to_string()
    }

    #[test]
    fn what_can_be_read_stands_for_itself() {
        assert_eq!(encoded("/tmp/a b,c=d&e@[f]é漢".as_bytes()), "/tmp/a b,c=d&e@[f]é漢");
    }

    #[test]
    fn what_would_confuse_is_escaped() {
        assert_eq!(encoded(b"100%?"), "100%25%3F");
        assert_eq!(encoded(b"\n\x1b\x7f\xff"), "%0A%1B%7F%FF");
        // A right-to-left override, which would make a name look like another.
        assert_eq!(encoded("a\u{202e}b".as_bytes()), "a%E2%80%AEb");
    }

    #[test]
    fn decoding_takes_either_case_and_any_byte() {
        assert_eq!(decode("%fF%00x").unwrap(), b"\xff\0x");
    }

    #[test]
    fn a_false_escape_is_pointed_at() {
        assert_eq!(decode("a%"), Err(1..2));
        assert_eq!(decode("a%2"), Err(1..3));
        assert_eq!(decode("ab%zz"), Err(2..5));
        assert_eq!(decode("%41%é漢x"), Err(3..9));
    }

    #[test]
    fn a_forgotten_escape_can_be_mended() {
        assert_eq!(mended("date +%H:%M %41 100%"), "date +%25H:%25M %41 100%25");
    }
}
