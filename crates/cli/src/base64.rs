//! Bytes in letters: RFC 4648, with padding.

use std::fmt::{self, Display, Formatter};

use serde::{Serialize, Serializer};

/// Bytes that print as base64.
#[derive(Clone, Copy, Debug)]
pub struct Base64<'a>(pub &'a [u8]);

const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

impl Display for Base64<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        // A multiple of three, so that nothing is left over between two pieces.
        for piece in self.0.chunks(3 * 256) {
            let mut letters = [b'='; 4 * 256];
            for (three, four) in piece.chunks(3).zip(letters.chunks_mut(4)) {
                let [a, b, c] = [0, 1, 2].map(|at| u32::from(three.get(at).copied().unwrap_or(0)));
                let bits = a << 16 | b << 8 | c;
                for (at, letter) in four.iter_mut().enumerate().take(three.len() + 1) {
                    *letter = LETTERS[(bits >> (18 - 6 * at) & 63) as usize];
                }
            }
            let length = piece.len().div_ceil(3) * 4;
            f.write_str(str::from_utf8(&letters[..length]).unwrap_or_default())?;
        }
        Ok(())
    }
}

impl Serialize for Base64<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_in_the_rfc() {
        let vectors = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ];
        for (bytes, text) in vectors {
            assert_eq!(Base64(bytes.as_bytes()).to_string(), text);
        }
        assert_eq!(Base64(&[0xfb, 0xff]).to_string(), "+/8=");
    }

    #[test]
    fn pieces_fit_together() {
        let long = [b'x'; 3 * 256 * 2 + 1];
        let text = Base64(&long).to_string();
        assert_eq!(text.len(), 4 * 256 * 2 + 4);
        assert!(text.trim_end_matches("eA==").bytes().all(|byte| b"eHh4".contains(&byte)));
    }
}
