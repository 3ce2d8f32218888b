//! Messages on standard input and output.

use twixt::channel::Framing;
use twixt::channel::framing::{Decoder, Fault, MAX_RAW, encode, wrap};
use twixt::os::Errno;

/// Cuts a stream of bytes into messages, and knows where in it each of them begins.
#[derive(Debug)]
pub struct Cutter {
    decoder: Decoder,
    /// The most that is read at once: under `raw`, the most bytes of a message.
    most: usize,
    /// How many bytes of the stream are no message's.
    around: usize,
    /// Where the next message begins.
    offset: u64,
    has_ended: bool,
}

impl Cutter {
    /// `raw`: the most bytes of a message under `raw`, where the receiver takes less than is usual.
    pub fn new(framing: Framing, raw: usize) -> Self {
        let most = if framing == Framing::Raw { raw.clamp(1, MAX_RAW) } else { usize::MAX };
        let around = wrap(framing, b"-", 0).map_or(0, |it| it.before().len() + it.after().len());
        Self { decoder: Decoder::new(framing), most, around, offset: 0, has_ended: false }
    }

    /// The next message of what was read.
    pub fn cut(&mut self) -> Result<Option<&[u8]>, Fault> {
        let message = if self.has_ended { self.decoder.finish()? } else { self.decoder.next_message()? };
        if let Some(message) = message {
            // The last message may have nothing behind it.
            let around = if self.has_ended { 0 } else { self.around };
            self.offset += (message.len() + around) as u64;
        }
        Ok(message)
    }

    /// Reads on, once there is no message left; `false` at the end of the stream. If `read` fails, it can be called
    /// again: nothing is lost.
    pub fn fill(&mut self, read: impl FnOnce(&mut [u8]) -> Result<usize, Errno>) -> Result<bool, Errno> {
        if self.has_ended {
            return Ok(false);
        }
        let room = self.decoder.room();
        let most = room.len().min(self.most);
        match read(&mut room[..most])? {
            0 => self.has_ended = true,
            count => self.decoder.filled(count),
        }
        Ok(true)
    }

    /// Where in the stream the next message begins.
    pub fn offset(&self) -> u64 {
        self.offset
    }
}

/// Appends a message as standard output has it. Under `lines` and `nul` the message's own bytes stay as they are, a newline
/// in them too: it was received, and is not refused now.
///
/// # Errors
/// [`Fault::TooLong`]; nothing was appended.
pub fn put(framing: Framing, message: &[u8], into: &mut Vec<u8>) -> Result<(), Fault> {
    match framing {
        Framing::Lines | Framing::Nul | Framing::Raw => {
            into.extend_from_slice(message);
            into.extend(framing.delimiter());
            Ok(())
        }
        Framing::Len | Framing::Frame => encode(framing, message, into),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cuts what comes in pieces of this size.
    fn cut(framing: Framing, stream: &[u8], step: usize) -> Result<Vec<(u64, Vec<u8>)>, Fault> {
        let mut rest = stream;
        let mut cutter = Cutter::new(framing, 4);
        let mut messages = Vec::new();
        loop {
            let offset = cutter.offset();
            if let Some(message) = cutter.cut()? {
                messages.push((offset, message.to_vec()));
                continue;
            }
            let read = |room: &mut [u8]| {
                let count = rest.len().min(step).min(room.len());
                room[..count].copy_from_slice(&rest[..count]);
                rest = &rest[count..];
                Ok(count)
            };
            if !cutter.fill(read).unwrap() {
                assert_eq!(cutter.offset(), stream.len() as u64);
                return Ok(messages);
            }
        }
    }

    fn message(offset: u64, bytes: &[u8]) -> (u64, Vec<u8>) {
        (offset, bytes.to_vec())
    }

    #[test]
    fn messages_and_their_offsets() {
        for step in [1, 2, 5, 100] {
            let lines = [message(0, b"ab"), message(3, b""), message(4, b"c\0")];
            assert_eq!(cut(Framing::Lines, b"ab\n\nc\0", step).unwrap(), lines);
            assert_eq!(cut(Framing::Lines, b"ab\n\nc\0\n", step).unwrap(), lines);
            let nul = [message(0, b"a\nb"), message(4, b""), message(5, b"c")];
            assert_eq!(cut(Framing::Nul, b"a\nb\0\0c", step).unwrap(), nul);
            let len = [message(0, b"ab"), message(6, b""), message(10, b"\n")];
            assert_eq!(cut(Framing::Len, b"\x02\0\0\0ab\0\0\0\0\x01\0\0\0\n", step).unwrap(), len);
            assert_eq!(cut(Framing::Lines, b"", step).unwrap(), []);
        }
    }

    #[test]
    fn raw_comes_as_it_comes() {
        let twos = [message(0, b"ab"), message(2, b"cd"), message(4, b"ef")];
        assert_eq!(cut(Framing::Raw, b"abcdef", 2).unwrap(), twos);
        // No more than the receiver takes.
        assert_eq!(cut(Framing::Raw, b"abcdef", 6).unwrap(), [message(0, b"abcd"), message(4, b"ef")]);
    }

    #[test]
    fn what_is_put_is_cut() {
        for framing in [Framing::Lines, Framing::Nul, Framing::Len, Framing::Frame] {
            let mut stream = Vec::new();
            for message in [&b"one"[..], b"", &[b'x'; 100_000]] {
                put(framing, message, &mut stream).unwrap();
            }
            let messages: Vec<_> =
                cut(framing, &stream, 9_999).unwrap().into_iter().map(|(_, it)| it).collect();
            assert_eq!(messages, [b"one".to_vec(), b"".to_vec(), vec![b'x'; 100_000]], "{framing}");
        }
    }

    #[test]
    fn what_may_not_wait_goes_on_later() {
        let mut cutter = Cutter::new(Framing::Lines, MAX_RAW);
        let put = |bytes: &'static [u8]| {
            move |room: &mut [u8]| {
                room[..bytes.len()].copy_from_slice(bytes);
                Ok(bytes.len())
            }
        };
        assert_eq!(cutter.fill(put(b"ab")), Ok(true));
        assert_eq!(cutter.cut(), Ok(None));
        assert_eq!(cutter.fill(|_| Err(Errno::INTR)), Err(Errno::INTR));
        assert_eq!(cutter.fill(put(b"c\n")), Ok(true));
        assert_eq!(cutter.cut(), Ok(Some(&b"abc"[..])));
        assert_eq!(cutter.offset(), 4);
    }
}
