//! Messages in a stream of bytes: cutting them out, and wrapping them up.
//!
//! Nothing here reads or writes: bytes go in and messages come out, and the other way round, so that the same code
//! serves every channel over a stream, the standard streams of a program, and a fuzzer. `docs/stream-format.md` has the
//! bytes.
//!
//! ```
//! use twixt_address::Framing;
//! use twixt_channel::framing::{Decoder, encode};
//!
//! let mut stream = Vec::new();
//! encode(Framing::Frame, b"hello", &mut stream)?;
//! encode(Framing::Frame, b"", &mut stream)?;
//!
//! let mut decoder = Decoder::new(Framing::Frame);
//! decoder.push(&stream[..14]);
//! assert!(decoder.next_message()?.is_none(), "there is more to come");
//! decoder.push(&stream[14..]);
//! assert_eq!(decoder.next_message()?.map(<[u8]>::to_vec), Some(b"hello".to_vec()));
//! assert_eq!(decoder.next_message()?.map(<[u8]>::to_vec), Some(Vec::new()));
//! assert!(decoder.finish()?.is_none(), "nothing was cut off");
//! # Ok::<(), twixt_channel::framing::Fault>(())
//! ```

mod decode;
mod encode;
mod fault;
mod header;

pub use decode::Decoder;
pub(crate) use encode::{SHORT, overhead, put_short_frame};
pub use encode::{Wrapping, encode, wrap};
pub use fault::Fault;

/// The longest message of a stream: 64 MiB. A receiver has to hold all of it before anybody can use it.
pub const MAX_MESSAGE: usize = 64 << 20;

/// The most bytes that a `raw` message is received with: 64 KiB.
pub const MAX_RAW: usize = 64 << 10;
