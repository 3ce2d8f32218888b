//! Cutting messages out.

use core::ops::Range;

use memchr::memchr;
use twixt_address::Framing;
use twixt_os::Room;

use super::header::{self, HEADER, Header, LENGTH};
use super::{Fault, MAX_MESSAGE, MAX_RAW};
use crate::Message;

/// Cuts a stream of bytes into messages.
///
/// Bytes are given to it with [`push`](Self::push), or read into [`room`](Self::room) and [`filled`](Self::filled);
/// messages are taken with [`next_message`](Self::next_message) until there is none; [`finish`](Self::finish) tells what
/// the stream's end means. The module has an example.
///
/// How the bytes are split up as they are given makes no difference, except with `raw`, which has no boundaries. It holds
/// no more memory than twice what has arrived of a message, and 64 KiB.
#[derive(Debug)]
pub struct Decoder {
    framing: Framing,
    /// What has arrived and was not taken yet is `buffer[waiting]`. Never shortened, so that its bytes need not be zeroed
    /// again.
    buffer: Room,
    waiting: Range<usize>,
    /// How many of the waiting bytes are known to have no delimiter.
    searched: usize,
    /// A message that the buffer is too small for, while it arrives.
    long: Option<Long>,
    /// Where that is put together: `long.arrived` bytes. Never shortened either, but handed over with the message.
    body: Room,
    /// What was wrong. Nothing that follows can be trusted.
    fault: Option<Fault>,
}

#[derive(Debug)]
struct Long {
    header: Header,
    arrived: usize,
}

impl Long {
    const fn is_arriving(&self) -> bool {
        self.arrived < self.header.len
    }
}

/// A message that has arrived.
struct Cut {
    place: Place,
    start: usize,
    len: usize,
    descriptors: u8,
}

/// Where the bytes of a message are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Buffer,
    Body,
}

/// The room for a read: as much as a pipe or a socket's buffer commonly holds.
const BUFFER: usize = 64 << 10;

impl Decoder {
    /// One for the beginning of a stream.
    pub const fn new(framing: Framing) -> Self {
        Self {
            framing,
            buffer: Room::new(),
            waiting: 0..0,
            searched: 0,
            long: None,
            body: Room::new(),
            fault: None,
        }
    }

    /// The framing.
    pub const fn framing(&self) -> Framing {
        self.framing
    }

    /// Gives it bytes.
    pub fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = self.room();
            let len = room.len().min(bytes.len());
            room[..len].copy_from_slice(&bytes[..len]);
            self.filled(len);
            bytes = &bytes[len..];
        }
    }

    /// Room to read bytes into, at least one. [`filled`](Self::filled) then says how many were read.
    ///
    /// Ask for it only once [`next_message`](Self::next_message) has nothing more: with messages left in the buffer there
    /// is less room, or more memory is needed for it.
    pub fn room(&mut self) -> &mut [u8] {
        if let Some(long) = &self.long
            && long.is_arriving()
        {
            let end = self.body.len().min(long.header.len);
            if long.arrived < end {
                return &mut self.body[long.arrived..end];
            }
            // Only as many bytes again as have arrived: what was merely announced may never come.
            let end = long.header.len.min((2 * long.arrived).max(BUFFER));
            self.body.lengthen(end);
            return &mut self.body[long.arrived..end];
        }
        if self.waiting.is_empty() {
            self.waiting = 0..0;
            self.buffer.lengthen(BUFFER);
            return &mut self.buffer;
        }
        let waiting = self.waiting.len();
        let is_full = self.waiting.end == self.buffer.len() && self.waiting.start > 0;
        if is_full || waiting <= self.waiting.start {
            self.buffer.copy_within(self.waiting.clone(), 0);
            self.waiting = 0..waiting;
        }
        if self.waiting.end == self.buffer.len() {
            let longer = (2 * self.buffer.len()).max(BUFFER);
            self.buffer.lengthen(longer);
        }
        &mut self.buffer[self.waiting.end..]
    }

    /// Says that so many bytes were put into the [`room`](Self::room); more than there was room for count as that.
    pub fn filled(&mut self, len: usize) {
        match &mut self.long {
            Some(long) if long.is_arriving() => {
                long.arrived = (long.arrived + len).min(self.body.len()).min(long.header.len);
            }
            _ => self.waiting.end = (self.waiting.end + len).min(self.buffer.len()),
        }
    }

    /// Takes the next message, if all of it has arrived. With `raw`, all that has arrived, up to
    /// [`MAX_RAW`](super::MAX_RAW) bytes.
    ///
    /// # Errors
    /// [`Fault::TooLong`], [`Fault::NotAFrame`], [`Fault::Checksum`]. The same again from then on: where the next message
    /// begins is not known.
    pub fn next_message(&mut self) -> Result<Option<&[u8]>, Fault> {
        Ok(self.cut()?.map(|cut| self.bytes(&cut)))
    }

    /// Says that the stream has ended, and takes what that makes a message: a last line without its end.
    ///
    /// Take all messages first. Afterwards it is as new, for another stream.
    ///
    /// # Errors
    /// [`Fault::Cut`], [`Fault::CutHeader`]: the stream ended within a message.
    pub fn finish(&mut self) -> Result<Option<&[u8]>, Fault> {
        Ok(self.last()?.map(|cut| self.bytes(&cut)))
    }

    /// Forgets all that has arrived, and what was wrong with it, for another stream.
    pub fn reset(&mut self) {
        self.waiting = 0..0;
        self.searched = 0;
        self.long = None;
        self.fault = None;
    }

    /// How many bytes have arrived that no message was made of yet.
    pub fn buffered(&self) -> usize {
        let head = if self.framing == Framing::Frame { HEADER } else { LENGTH };
        self.waiting.len() + self.long.as_ref().map_or(0, |long| head + long.arrived)
    }

    /// As [`Decoder::next_message`], into a message. Returns how many descriptors are to come with it.
    pub(crate) fn next_into(&mut self, message: &mut Message) -> Result<Option<u8>, Fault> {
        Ok(self.cut()?.map(|cut| self.hand_over(&cut, message)))
    }

    /// The shortest way for what comes most: a frame that is whole and in order. All else is `None`, and for
    /// [`next_into`](Self::next_into) to look at closely.
    #[inline]
    pub(crate) fn next_frame_into(&mut self, message: &mut Message) -> Option<u8> {
        if self.framing != Framing::Frame || self.long.is_some() || self.fault.is_some() {
            return None;
        }
        let waiting = self.buffer.get(self.waiting.clone())?;
        let (header, rest) = waiting.split_first_chunk()?;
        let (payload, descriptors) = header::payload_of(header, rest)?;
        message.set(payload);
        self.waiting.start += HEADER + payload.len();
        Some(descriptors)
    }

    /// Whether nothing has arrived, nothing is wrong, and there is room for frames: then the shortest way can be gone, which is
    /// to read into [`whole_room`](Self::whole_room) and take the [`only_frame`](Self::only_frame).
    pub(crate) fn idles(&mut self) -> bool {
        if !self.waiting.is_empty() || self.long.is_some() || self.fault.is_some() {
            return false;
        }
        self.waiting = 0..0;
        self.framing == Framing::Frame && !self.buffer.is_empty()
    }

    /// All its room, for a read while it [idles](Self::idles).
    #[inline]
    pub(crate) fn whole_room(&mut self) -> &mut [u8] {
        &mut self.buffer
    }

    /// The payload of the one frame that so many bytes of the whole room are, if they are that and no descriptors go with it.
    /// Otherwise they are to be [told of](Self::filled) as usual.
    #[inline]
    pub(crate) fn only_frame(&self, read: usize) -> Option<&[u8]> {
        let (header, payload) = self.buffer.get(..read)?.split_first_chunk()?;
        header::is_all(header, payload).then_some(payload)
    }

    /// As [`Decoder::finish`], into a message. Returns whether there is one.
    pub(crate) fn finish_into(&mut self, message: &mut Message) -> Result<bool, Fault> {
        let last = self.last()?;
        Ok(last.map(|cut| self.hand_over(&cut, message)).is_some())
    }

    /// How many descriptors may come with what has arrived of the next message.
    pub(crate) fn expected_descriptors(&self) -> usize {
        if let Some(long) = &self.long {
            return long.header.descriptors.into();
        }
        match &self.buffer[self.waiting.clone()] {
            [] => 0,
            [_, _, _, _, descriptors, ..] if self.framing == Framing::Frame => (*descriptors).into(),
            _ if self.framing == Framing::Frame => super::Wrapping::MAX_DESCRIPTORS.into(),
            _ => 0,
        }
    }

    /// Whether the next message stands here whole, or what is wrong with it.
    pub(crate) fn has_message(&self) -> bool {
        let waiting = &self.buffer[self.waiting.clone()];
        if self.fault.is_some() {
            return true;
        }
        if let Some(long) = &self.long {
            return !long.is_arriving();
        }
        match self.framing {
            Framing::Frame => has_whole(Header::of_frame(waiting), HEADER, waiting),
            Framing::Len => has_whole(Header::of_len(waiting), LENGTH, waiting),
            Framing::Lines | Framing::Nul => {
                waiting.len() > MAX_MESSAGE
                    || memchr(self.framing.delimiter().unwrap_or_default(), &waiting[self.searched..])
                        .is_some()
            }
            Framing::Raw => !waiting.is_empty(),
        }
    }

    fn bytes(&self, cut: &Cut) -> &[u8] {
        let bytes = if cut.place == Place::Buffer { &self.buffer } else { &self.body };
        &bytes[cut.start..cut.start + cut.len]
    }

    #[inline]
    fn hand_over(&mut self, cut: &Cut, message: &mut Message) -> u8 {
        match cut.place {
            Place::Buffer => message.set(&self.buffer[cut.start..cut.start + cut.len]),
            // A long message is not copied: the two exchange their rooms.
            Place::Body => message.exchange(&mut self.body, cut.len),
        }
        cut.descriptors
    }

    fn cut(&mut self) -> Result<Option<Cut>, Fault> {
        if self.fault.is_none() && self.waiting.is_empty() && self.long.is_none() {
            return Ok(None);
        }
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let cut = match self.framing {
            Framing::Frame => self.counted(HEADER, Header::of_frame),
            Framing::Len => self.counted(LENGTH, Header::of_len),
            Framing::Lines | Framing::Nul => self.delimited(),
            Framing::Raw => Ok(self.take(self.waiting.len().min(MAX_RAW))),
        };
        if let Err(fault) = cut {
            self.fault = Some(fault);
        }
        cut
    }

    /// The next message, if its length stands before it.
    #[inline]
    fn counted(
        &mut self,
        head: usize,
        read: impl Fn(&[u8]) -> Result<Option<Header>, Fault>,
    ) -> Result<Option<Cut>, Fault> {
        if self.long.is_some() {
            return self.arrived();
        }
        let waiting = &self.buffer[self.waiting.clone()];
        let Some(header) = read(waiting)? else { return Ok(None) };
        let payload = &waiting[head..];
        let (len, descriptors) = (header.len, header.descriptors);
        if let Some(payload) = payload.get(..len) {
            header.vouches_for(payload)?;
            let start = self.waiting.start + head;
            self.waiting.start = start + len;
            return Ok(Some(Cut { place: Place::Buffer, start, len, descriptors }));
        }
        if head + len > BUFFER {
            let arrived = payload.len();
            self.body.lengthen(arrived);
            self.body[..arrived].copy_from_slice(payload);
            self.waiting = 0..0;
            self.long = Some(Long { header, arrived });
        }
        Ok(None)
    }

    /// The long message, if it has arrived.
    #[cold]
    fn arrived(&mut self) -> Result<Option<Cut>, Fault> {
        let Some(Long { header, .. }) = self.long.take_if(|long| !long.is_arriving()) else {
            return Ok(None);
        };
        let (len, descriptors) = (header.len, header.descriptors);
        header.vouches_for(&self.body[..len])?;
        Ok(Some(Cut { place: Place::Body, start: 0, len, descriptors }))
    }

    /// The next message, if a byte stands behind it.
    fn delimited(&mut self) -> Result<Option<Cut>, Fault> {
        let delimiter = self.framing.delimiter().unwrap_or_default();
        let waiting = &self.buffer[self.waiting.clone()];
        match memchr(delimiter, &waiting[self.searched..]) {
            Some(at) if self.searched + at <= MAX_MESSAGE => {
                let cut = self.take_empty(self.searched + at);
                self.waiting.start += 1;
                Ok(Some(cut))
            }
            None if waiting.len() <= MAX_MESSAGE => {
                self.searched = waiting.len();
                Ok(None)
            }
            _ => Err(Fault::TooLong { len: waiting.len() as u64 }),
        }
    }

    /// Takes so many of the waiting bytes as a message.
    fn take_empty(&mut self, len: usize) -> Cut {
        let start = self.waiting.start;
        self.waiting.start += len;
        self.searched = 0;
        Cut { place: Place::Buffer, start, len, descriptors: 0 }
    }

    /// The same, if there are any.
    fn take(&mut self, len: usize) -> Option<Cut> {
        (len > 0).then(|| self.take_empty(len))
    }

    fn last(&mut self) -> Result<Option<Cut>, Fault> {
        let outcome = match (self.fault, &self.long) {
            (Some(fault), _) => Err(fault),
            (None, Some(long)) => Err(Fault::Cut { arrived: long.arrived, whole: long.header.len }),
            (None, None) => self.last_waiting(),
        };
        self.reset();
        outcome
    }

    fn last_waiting(&mut self) -> Result<Option<Cut>, Fault> {
        let waiting = &self.buffer[self.waiting.clone()];
        let (head, header) = match self.framing {
            Framing::Lines | Framing::Nul | Framing::Raw => return Ok(self.take(self.waiting.len())),
            Framing::Frame => (HEADER, Header::of_frame(waiting)?),
            Framing::Len => (LENGTH, Header::of_len(waiting)?),
        };
        match header {
            _ if waiting.is_empty() => Ok(None),
            Some(header) => Err(Fault::Cut { arrived: waiting.len() - head, whole: header.len }),
            None => Err(Fault::CutHeader { arrived: waiting.len(), whole: head }),
        }
    }
}

fn has_whole(header: Result<Option<Header>, Fault>, head: usize, waiting: &[u8]) -> bool {
    match header {
        Ok(Some(header)) => waiting.len() >= head + header.len,
        Ok(None) => false,
        Err(_) => true,
    }
}
