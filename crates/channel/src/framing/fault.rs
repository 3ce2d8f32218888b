//! Why a message cannot be wrapped up, or a stream not be cut.

use core::fmt;

use twixt_os::ErrorKind;

use super::MAX_MESSAGE;

/// What is wrong with a message, or with a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// A message is longer than [`MAX_MESSAGE`].
    TooLong {
        /// How long it is, or claims to be.
        len: u64,
    },
    /// A message contains the byte that would end it.
    Delimiter {
        /// The byte.
        delimiter: u8,
        /// Where it stands in the message.
        at: usize,
    },
    /// An empty message, where nothing stands between messages.
    Empty,
    /// More descriptors than [`MAX_DESCRIPTORS`](crate::framing::Wrapping::MAX_DESCRIPTORS), or descriptors without a
    /// frame that says how many.
    Descriptors,
    /// What stands where a frame should begin is no frame's header.
    NotAFrame,
    /// A frame's checksum is not that of its bytes.
    Checksum,
    /// The stream ended within what stands before a message.
    CutHeader {
        /// How many bytes of it had come.
        arrived: usize,
        /// How many it has.
        whole: usize,
    },
    /// The stream ended within a message.
    Cut {
        /// How many bytes of it had come.
        arrived: usize,
        /// How many it has.
        whole: usize,
    },
}

impl Fault {
    /// What kind of error it is.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::TooLong { .. } => ErrorKind::TooLong,
            Self::Delimiter { .. } | Self::Empty | Self::Descriptors => ErrorKind::InvalidInput,
            Self::NotAFrame | Self::Checksum | Self::CutHeader { .. } | Self::Cut { .. } => {
                ErrorKind::Malformed
            }
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::TooLong { len } => {
                write!(f, "the message has {len} bytes, and {MAX_MESSAGE} is the most")
            }
            Self::Delimiter { delimiter, at } => {
                let name = if delimiter == 0 { "a zero byte" } else { "a newline" };
                write!(f, "the message has {name} at byte {at}, where it would end")
            }
            Self::Empty => {
                f.write_str("framing=raw has no empty messages, since nothing stands between messages")
            }
            Self::Descriptors => f.write_str("descriptors need framing=frame, and 253 are the most"),
            Self::NotAFrame => f.write_str(
                "what arrives is not framed; a sender that is not twixt needs framing=lines, nul, len or raw",
            ),
            Self::Checksum => f.write_str("a message is damaged: its checksum is wrong"),
            Self::CutHeader { arrived, whole } => {
                write!(f, "the stream ended {arrived} bytes into the {whole} that stand before a message")
            }
            Self::Cut { arrived, whole } => {
                let missing = whole.saturating_sub(arrived);
                write!(f, "the stream ended within a message: {missing} of its {whole} bytes were cut off")
            }
        }
    }
}

impl std::error::Error for Fault {}
