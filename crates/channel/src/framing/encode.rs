//! Wrapping messages up.

use memchr::memchr;
use twixt_address::Framing;
use twixt_os::Room;

use super::header::{self, HEADER, LENGTH};
use super::{Fault, MAX_MESSAGE};

/// What stands before and behind a message in a stream.
///
/// ```
/// use twixt_address::Framing;
/// use twixt_channel::framing::wrap;
/// let wrapping = wrap(Framing::Len, b"hello", 0)?;
/// assert_eq!(wrapping.before(), [5, 0, 0, 0]);
/// assert_eq!(wrapping.after(), b"");
/// # Ok::<(), twixt_channel::framing::Fault>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wrapping {
    before: [u8; HEADER],
    before_len: u8,
    after: [u8; 1],
    after_len: u8,
}

impl Wrapping {
    /// The most descriptors that can go with a message: `SCM_MAX_FD`.
    pub const MAX_DESCRIPTORS: u8 = 253;

    const NONE: Self = Self { before: [0; HEADER], before_len: 0, after: [0], after_len: 0 };

    /// What stands before the message.
    pub fn before(&self) -> &[u8] {
        &self.before[..self.before_len.into()]
    }

    /// What stands behind it.
    pub fn after(&self) -> &[u8] {
        &self.after[..self.after_len.into()]
    }
}

/// What has to stand before and behind a message, that so many descriptors go along with.
///
/// # Errors
/// [`Fault::TooLong`]; [`Fault::Delimiter`] with `lines` and `nul`, [`Fault::Empty`] with `raw`, and
/// [`Fault::Descriptors`] if there are too many, or any with another framing than `frame`.
pub fn wrap(framing: Framing, message: &[u8], descriptors: usize) -> Result<Wrapping, Fault> {
    if message.len() > MAX_MESSAGE {
        return Err(Fault::TooLong { len: message.len() as u64 });
    }
    let most = if framing == Framing::Frame { Wrapping::MAX_DESCRIPTORS } else { 0 };
    let descriptors = match u8::try_from(descriptors) {
        Ok(descriptors) if descriptors <= most => descriptors,
        _ => return Err(Fault::Descriptors),
    };
    let mut wrapping = Wrapping::NONE;
    match framing {
        Framing::Frame => {
            wrapping.before = header::of_payload(message, descriptors);
            wrapping.before_len = HEADER as u8;
        }
        Framing::Len => {
            wrapping.before[..LENGTH].copy_from_slice(&(message.len() as u32).to_le_bytes());
            wrapping.before_len = LENGTH as u8;
        }
        Framing::Lines | Framing::Nul => {
            let delimiter = framing.delimiter().unwrap_or_default();
            if let Some(at) = memchr(delimiter, message) {
                return Err(Fault::Delimiter { delimiter, at });
            }
            wrapping.after = [delimiter];
            wrapping.after_len = 1;
        }
        Framing::Raw if message.is_empty() => return Err(Fault::Empty),
        Framing::Raw => {}
    }
    Ok(wrapping)
}

/// Puts a message as a frame at the beginning of a buffer, if it is short: the shortest way for what is sent most.
#[inline]
pub(crate) fn put_short_frame<'a>(message: &[u8], buffer: &'a mut Room) -> Option<&'a [u8]> {
    if message.len() > SHORT {
        return None;
    }
    let len = HEADER + message.len();
    if buffer.len() < len {
        lengthen(buffer, len);
    }
    let frame = buffer.get_mut(..len)?;
    let (header, payload) = frame.split_first_chunk_mut()?;
    *header = header::of_payload(message, 0);
    payload.copy_from_slice(message);
    Some(frame)
}

#[cold]
fn lengthen(buffer: &mut Room, len: usize) {
    buffer.grow(len);
}

/// The longest message that is copied together with what stands around it, rather than written from where it is.
pub(crate) const SHORT: usize = 64 << 10;

/// Adds a message to a stream.
///
/// # Errors
/// Those of [`wrap`]; then nothing is added.
pub fn encode(framing: Framing, message: &[u8], stream: &mut Vec<u8>) -> Result<(), Fault> {
    let wrapping = wrap(framing, message, 0)?;
    stream.extend_from_slice(wrapping.before());
    stream.extend_from_slice(message);
    stream.extend_from_slice(wrapping.after());
    Ok(())
}

/// How many bytes stand before and behind a message.
pub(crate) const fn overhead(framing: Framing) -> usize {
    match framing {
        Framing::Frame => HEADER,
        Framing::Len => LENGTH,
        Framing::Lines | Framing::Nul => 1,
        Framing::Raw => 0,
    }
}
