//! The bytes that say what type a value is of. `docs/typed-format.md` draws them.

use super::schema::{MOST_NAME, MOST_TEXT, Schema, cut};

/// Stands in front of a value on channels whose messages may come from anyone.
///
/// ```text
/// 0       2         3          4          12
/// "Ty"    version   name len   hash LE    name, the value
/// ```
pub(super) mod tag {
    use super::*;

    const MAGIC: [u8; 2] = *b"Ty";
    const VERSION: u8 = 1;
    const HEADER: usize = 12;

    pub(in super::super) fn of(schema: &Schema) -> Vec<u8> {
        let name = schema.name().as_bytes();
        let mut tag = Vec::with_capacity(HEADER + name.len());
        tag.extend_from_slice(&MAGIC);
        tag.push(VERSION);
        tag.push(name.len() as u8);
        tag.extend_from_slice(&schema.hash().to_le_bytes());
        tag.extend_from_slice(name);
        tag
    }

    /// The hash, the name and the value of a message.
    pub(in super::super) fn split(message: &[u8]) -> Result<(u64, &[u8], &[u8]), String> {
        let stranger = || "it does not say of which type it is; was it sent by a typed sender?".to_owned();
        let (header, rest) = message.split_first_chunk::<HEADER>().ok_or_else(stranger)?;
        let [t, y, version, len, hash @ ..] = *header;
        if [t, y] != MAGIC {
            return Err(stranger());
        }
        if version != VERSION {
            return Err(format!("its typed format is version {version}, and this side knows {VERSION}"));
        }
        let (name, value) = rest.split_at_checked(usize::from(len)).ok_or_else(stranger)?;
        Ok((u64::from_le_bytes(hash), name, value))
    }
}

/// The first message of each side of a connection.
///
/// ```text
/// 0             8         9    16             24                32   34
/// "twixt:ty"    version   0…   sent hash LE   received hash LE   len  text of what is sent, len, text of what is received
/// ```
pub(super) mod hello {
    use super::*;

    const MAGIC: [u8; 8] = *b"twixt:ty";
    const VERSION: u8 = 1;
    const HEADER: usize = 32;

    /// What the other side said.
    #[derive(Debug)]
    pub(in super::super) struct Hello {
        pub(in super::super) sends: u64,
        pub(in super::super) receives: u64,
        pub(in super::super) sends_text: String,
        pub(in super::super) receives_text: String,
    }

    pub(in super::super) fn of(sends: &Schema, receives: &Schema) -> Vec<u8> {
        let mut hello = Vec::with_capacity(HEADER + 4 + sends.text().len() + receives.text().len());
        hello.extend_from_slice(&MAGIC);
        hello.extend_from_slice(&[VERSION, 0, 0, 0, 0, 0, 0, 0]);
        hello.extend_from_slice(&sends.hash().to_le_bytes());
        hello.extend_from_slice(&receives.hash().to_le_bytes());
        for text in [sends.text(), receives.text()] {
            hello.extend_from_slice(&(text.len() as u16).to_le_bytes());
            hello.extend_from_slice(text.as_bytes());
        }
        hello
    }

    pub(in super::super) fn read(message: &[u8]) -> Result<Hello, String> {
        let stranger =
            || "the other side did not say which types it speaks; is it a typed connection?".to_owned();
        let rest = message.strip_prefix(&MAGIC).ok_or_else(stranger)?;
        let (&version, rest) = rest.split_first().ok_or_else(stranger)?;
        if version != VERSION {
            return Err(format!(
                "the other side's typed format is version {version}, and this side knows {VERSION}"
            ));
        }
        let (_reserved, rest) = rest.split_first_chunk::<7>().ok_or_else(stranger)?;
        let (sends, rest) = rest.split_first_chunk::<8>().ok_or_else(stranger)?;
        let (receives, rest) = rest.split_first_chunk::<8>().ok_or_else(stranger)?;
        let (sends_text, rest) = text(rest).ok_or_else(stranger)?;
        // What a later version of this format may add behind it is of no concern.
        let (receives_text, _) = text(rest).ok_or_else(stranger)?;
        Ok(Hello {
            sends: u64::from_le_bytes(*sends),
            receives: u64::from_le_bytes(*receives),
            sends_text: readable(sends_text, MOST_TEXT),
            receives_text: readable(receives_text, MOST_TEXT),
        })
    }

    fn text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
        let (len, rest) = bytes.split_first_chunk::<2>()?;
        rest.split_at_checked(usize::from(u16::from_le_bytes(*len)))
    }
}

/// A stranger's name, as it may stand in an error: cut, and without what would play with a terminal.
pub(super) fn readable_name(name: &[u8]) -> String {
    readable(name, MOST_NAME)
}

fn readable(text: &[u8], most: usize) -> String {
    let text = String::from_utf8_lossy(text);
    let text: String = text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    cut(&text, most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_bytes_make_a_header_panic() {
        let schema = Schema::named("Job");
        for bytes in [tag::of(&schema), hello::of(&schema, &schema)] {
            for end in 0..bytes.len() {
                let _ = tag::split(&bytes[..end]);
                assert!(hello::read(&bytes[..end]).is_err());
            }
            for index in 0..bytes.len() {
                let mut damaged = bytes.clone();
                damaged[index] ^= 0xff;
                let _ = tag::split(&damaged);
                let _ = hello::read(&damaged);
            }
        }
    }
}
