//! The halves of a channel over a stream of bytes: framing above, a descriptor below.
//!
//! A message is one write: what stands before and behind it is copied together with it into one buffer, or, if it is long,
//! written from three places at once. One read takes as many messages as have arrived.

use std::io::IoSlice;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::process::Resource;
use twixt_address::Framing;
use twixt_os::unix::Credentials;
use twixt_os::{Errno, Error, ErrorKind, Limit, Maker, Outcome, Prepared, Result, Room, Wait};

use crate::framing::{
    Decoder, Fault, MAX_MESSAGE, MAX_RAW, SHORT, Wrapping, overhead, put_short_frame, wrap,
};
use crate::half::{Halves, PreparedSend, ReceiveHalf, SendHalf};
use crate::origin::Origin;
use crate::{Attributes, Boundaries, Capabilities, Capacity, Message, Parties, Readiness};

mod command;
mod descriptor;
mod fifo;
mod pipe;
mod socket;

pub(crate) use command::{CommandSink, CommandSource};
pub(crate) use descriptor::{receiver_over, sender_over};
pub(crate) use fifo::{FifoSink, FifoSource};
pub(crate) use pipe::{PipeSink, PipeSource};
pub(crate) use socket::{TcpEnd, UnixEnd};

/// Where a stream's bytes go.
pub(crate) trait Sink: Send {
    /// A message of so many bytes is about to be written, by one write or several. What fails here has written nothing.
    #[inline(always)]
    fn begin(&mut self, len: usize, wait: Wait) -> Result<()> {
        let _ = (len, wait);
        Ok(())
    }

    /// The message that was begun has been written, or nothing more of it will be.
    #[inline(always)]
    fn end(&mut self) {}

    /// Writes from the beginning of the slices, the descriptors with the first byte. Says how many bytes went.
    fn write(&mut self, slices: &[IoSlice<'_>], descriptors: &[BorrowedFd<'_>], wait: Wait) -> Result<usize>;

    /// Whether a message of so many bytes is written by a single call, with nothing to [begin](Self::begin) and to
    /// [end](Self::end). Asked first, as putting the message together takes time.
    fn prepares(&self, len: usize, wait: Wait) -> bool {
        let _ = (len, wait);
        false
    }

    /// The system call that writes a message, where it is [one](Self::prepares).
    fn prepare_write<'a>(&'a mut self, bytes: &'a [u8], wait: Wait) -> Option<Prepared<'a>> {
        let _ = (bytes, wait);
        None
    }

    /// Writes bytes, where the [prepared](Self::prepare_write) call has come to `first`. Every sink that prepares has this as well.
    fn finish_write(&mut self, first: Outcome, bytes: &[u8], wait: Wait) -> Result<usize> {
        let _ = first;
        self.write(&[IoSlice::new(bytes)], &[], wait)
    }

    /// Tells the other side that no more will come.
    fn finish(&mut self, wait: Wait) -> Result<()> {
        let _ = wait;
        Ok(())
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>>;

    fn capacity(&self) -> Result<Option<Capacity>>;

    /// How many bytes the kernel holds.
    fn len(&self) -> Result<Option<u64>>;
}

/// Where a stream's bytes come from.
pub(crate) trait Source: Send {
    /// Reads what is there, at least one byte unless the stream has ended. Descriptors that came along are added.
    fn read(&mut self, buffer: &mut [u8], descriptors: &mut Vec<OwnedFd>, wait: Wait) -> Result<usize>;

    /// The system call that reads.
    fn prepare_read<'a>(&'a mut self, buffer: &'a mut [u8], wait: Wait) -> Option<Prepared<'a>> {
        let _ = (buffer, wait);
        None
    }

    /// Reads, where the [prepared](Self::prepare_read) call has come to `first`. Every source that prepares has this as well.
    fn finish_read(
        &mut self,
        first: Outcome,
        buffer: &mut [u8],
        descriptors: &mut Vec<OwnedFd>,
        wait: Wait,
    ) -> Result<usize> {
        let _ = first;
        self.read(buffer, descriptors, wait)
    }

    /// Whether descriptors that came along were lost for want of room since this was last asked.
    fn has_lost_descriptors(&mut self) -> bool {
        false
    }

    /// Who is at the other end, where the kernel vouches for it.
    fn peer(&self) -> Option<Credentials> {
        None
    }

    /// All there was has been given to the user, who is to hear of the end now, or first of the failure that it came by.
    fn finish(&mut self, wait: Wait) -> Result<()> {
        let _ = wait;
        Ok(())
    }

    /// The end was told to the user. What is read from now on is of another stream, where there can be one.
    fn renew(&mut self) -> Result<()> {
        Ok(())
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>>;

    fn capacity(&self) -> Result<Option<Capacity>>;

    /// How many bytes the kernel holds.
    fn len(&self) -> Result<Option<u64>>;
}

/// What a stream can do that ends when one side goes, with the framing it has.
pub(crate) const fn capabilities(framing: Framing) -> Capabilities {
    Capabilities {
        framing: Some(framing),
        max_message: Some(MAX_MESSAGE),
        empty_messages: !matches!(framing, Framing::Raw),
        senders: Parties::One,
        receivers: Parties::One,
        sees_end: true,
        ..Capabilities::new(Boundaries::Framed)
    }
}

/// The most descriptors with a message over a Unix socket: what a frame has a place for.
pub(crate) const fn passed_descriptors(framing: Framing) -> usize {
    match framing {
        Framing::Frame => Wrapping::MAX_DESCRIPTORS as usize,
        _ => 0,
    }
}

/// The two halves of a connection.
pub(crate) fn halves<K, S>(
    (sink, source): (K, S),
    framing: Framing,
    capabilities: &Capabilities,
    origin: &Origin,
) -> Halves
where
    K: Sink + 'static,
    S: Source + 'static,
{
    (
        Box::new(StreamSender::new(sink, framing, capabilities.clone(), origin.clone())),
        Box::new(StreamReceiver::new(source, framing, capabilities.clone(), origin.clone())),
    )
}

/// Sends messages into a stream.
pub(crate) struct StreamSender<K: Sink> {
    sink: K,
    framing: Framing,
    // In boxes, as they are seldom looked at and long.
    capabilities: Box<Capabilities>,
    origin: Box<Origin>,
    /// Where a message is put together, at its beginning.
    whole: Room,
    /// What was accepted and has not gone yet.
    kept: Vec<u8>,
    /// A message was cut in the middle; nothing that follows would be understood.
    is_broken: bool,
    maker: Maker,
}

impl<K: Sink> StreamSender<K> {
    pub(crate) fn new(sink: K, framing: Framing, capabilities: Capabilities, origin: Origin) -> Self {
        let (whole, kept) = (Room::new(), Vec::new());
        let (maker, capabilities, origin) = (Maker::this(), Box::new(capabilities), Box::new(origin));
        Self { sink, framing, capabilities, origin, whole, kept, is_broken: false, maker }
    }

    fn refused(&self, fault: Fault) -> Error {
        let object = self.origin.object.clone();
        let kind = if fault == Fault::Descriptors { ErrorKind::Unsupported } else { fault.kind() };
        Error::refused(self.origin.mechanism, "send to", object, kind, fault.to_string())
    }

    /// Writes the message that was put together, which has so many bytes.
    fn write_whole(&mut self, len: usize, descriptors: &[BorrowedFd<'_>], wait: Wait) -> Result<()> {
        self.sink.begin(len, wait)?;
        let written = self.sink.write(&[IoSlice::new(&self.whole[..len])], descriptors, wait);
        self.go_on_with_whole(len, written, wait)
    }

    /// What becomes of the message that was put together, by what a first attempt to write it has come to.
    #[inline(never)]
    fn go_on_with_whole(&mut self, len: usize, written: Result<usize>, wait: Wait) -> Result<()> {
        let whole = std::mem::take(&mut self.whole);
        let outcome =
            written.and_then(|written| self.go_on(&mut [IoSlice::new(&whole[..len])], written, wait));
        self.whole = whole;
        if self.kept.is_empty() {
            self.sink.end();
        }
        outcome
    }

    /// Writes all slices, or keeps what does not go in time.
    fn write(
        &mut self,
        slices: &mut [IoSlice<'_>],
        descriptors: &[BorrowedFd<'_>],
        wait: Wait,
    ) -> Result<()> {
        self.sink.begin(slices.iter().map(|slice| slice.len()).sum(), wait)?;
        let outcome = match self.sink.write(slices, descriptors, wait) {
            Ok(written) => self.go_on(slices, written, wait),
            Err(error) => Err(error),
        };
        if self.kept.is_empty() {
            self.sink.end();
        }
        outcome
    }

    /// What becomes of a message of which so many bytes have gone.
    fn go_on(&mut self, mut slices: &mut [IoSlice<'_>], mut written: usize, wait: Wait) -> Result<()> {
        let mut has_begun = false;
        loop {
            if written == 0 {
                self.is_broken |= has_begun;
                return Err(self.origin.refused("send to", ErrorKind::Other, "the kernel took nothing"));
            }
            has_begun = true;
            IoSlice::advance_slices(&mut slices, written);
            if slices.is_empty() {
                return Ok(());
            }
            // A blocking write that is cut short was cut short by a signal handler.
            let is_interrupted = wait.is_forever() && wait == wait.interruptible();
            if is_interrupted || wait.has_passed() {
                self.keep(slices);
                return Ok(());
            }
            written = match self.sink.write(slices, &[], wait) {
                Ok(written) => written,
                Err(error) if is_impatience(&error) => {
                    self.keep(slices);
                    return Ok(());
                }
                Err(error) => {
                    self.is_broken = true;
                    return Err(error);
                }
            };
        }
    }

    fn keep(&mut self, slices: &[IoSlice<'_>]) {
        for slice in slices {
            self.kept.extend_from_slice(slice);
        }
    }

    fn whole_again(&self) -> Result<()> {
        if self.is_broken {
            let why = "the other side went, or failed, in the middle of a message; open the channel again";
            return Err(self.origin.refused("send to", ErrorKind::PeerGone, why));
        }
        Ok(())
    }
}

impl<K: Sink> SendHalf for StreamSender<K> {
    #[inline]
    fn prepare<'a>(&'a mut self, bytes: &'a [u8], wait: Wait) -> Option<PreparedSend<'a>> {
        let is_usual = self.framing == Framing::Frame && !self.is_broken && self.kept.is_empty();
        if !is_usual || !self.sink.prepares(overhead(Framing::Frame) + bytes.len(), wait) {
            return None;
        }
        let frame = put_short_frame(bytes, &mut self.whole)?;
        let whole = frame.len();
        Some(PreparedSend { call: self.sink.prepare_write(frame, wait)?, whole })
    }

    #[cold]
    fn finish_prepared(&mut self, first: Outcome, bytes: &[u8], wait: Wait) -> Result<()> {
        let len = overhead(self.framing) + bytes.len();
        let written = self.sink.finish_write(first, &self.whole[..len], wait);
        self.go_on_with_whole(len, written, wait)
    }

    fn send(&mut self, bytes: &[u8], attributes: &Attributes<'_>, wait: Wait) -> Result<()> {
        let descriptors = attributes.descriptors;
        let wrapping = wrap(self.framing, bytes, descriptors.len()).map_err(|fault| self.refused(fault))?;
        self.whole_again()?;
        if !self.kept.is_empty() {
            self.flush(wait)?;
        }
        let (before, after) = (wrapping.before(), wrapping.after());
        if before.is_empty() && after.is_empty() {
            self.write(&mut [IoSlice::new(bytes)], descriptors, wait)
        } else if bytes.len() > SHORT {
            let slices = &mut [IoSlice::new(before), IoSlice::new(bytes), IoSlice::new(after)];
            let count = if after.is_empty() { 2 } else { 3 };
            let start = usize::from(before.is_empty());
            self.write(&mut slices[start..count], descriptors, wait)
        } else {
            let len = before.len() + bytes.len() + after.len();
            self.whole.grow(len);
            let (head, rest) = self.whole.split_at_mut(before.len());
            let (body, tail) = rest.split_at_mut(bytes.len());
            head.copy_from_slice(before);
            body.copy_from_slice(bytes);
            tail[..after.len()].copy_from_slice(after);
            self.write_whole(len, descriptors, wait)
        }
    }

    fn flush(&mut self, wait: Wait) -> Result<()> {
        let (mut flushed, had_kept) = (0, !self.kept.is_empty());
        let outcome = loop {
            if flushed == self.kept.len() {
                break Ok(());
            }
            match self.sink.write(&[IoSlice::new(&self.kept[flushed..])], &[], wait) {
                Ok(written) if written > 0 => flushed += written,
                Ok(_) => {
                    break Err(self.origin.refused("send to", ErrorKind::Other, "the kernel took nothing"));
                }
                Err(error) => break Err(error),
            }
        };
        self.kept.drain(..flushed);
        if outcome.as_ref().is_err_and(|error| !is_impatience(error)) {
            // Whoever reads from now on would read the rest of a message that it has not the beginning of.
            self.kept.clear();
            self.is_broken = true;
        }
        if had_kept && self.kept.is_empty() {
            self.sink.end();
        }
        outcome
    }

    fn holds_back(&self) -> bool {
        !self.kept.is_empty()
    }

    fn finish(&mut self, wait: Wait) -> Result<()> {
        self.flush(wait)?;
        self.sink.finish(wait)
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::clone(&self.capabilities)
    }

    fn capacity(&self) -> Result<Option<Capacity>> {
        self.sink.capacity()
    }

    fn len(&self) -> Result<Option<u64>> {
        Ok(self.sink.len()?.map(|len| len + self.kept.len() as u64))
    }

    fn readiness(&self) -> Option<Readiness<'_>> {
        self.sink.descriptor().map(Readiness::to_write)
    }

    fn stream(&self) -> Option<BorrowedFd<'_>> {
        if self.holds_back() || self.is_broken { None } else { self.sink.descriptor() }
    }
}

/// What was kept goes if it goes at once.
impl<K: Sink> Drop for StreamSender<K> {
    fn drop(&mut self) {
        // A forked child's copy is not its own to pass on.
        if !self.kept.is_empty() && self.maker.is_this() {
            let _ = self.flush(Wait::never());
        }
    }
}

/// How many reads of a stream that nothing is understood of any more are made by one receive that must not wait.
const MOST_THROWN_AWAY: u32 = 64;

/// Receives messages from a stream.
pub(crate) struct StreamReceiver<S: Source> {
    source: S,
    decoder: Decoder,
    // In boxes, as they are seldom looked at and long.
    capabilities: Box<Capabilities>,
    origin: Box<Origin>,
    /// What came along with bytes that no message was made of yet.
    descriptors: Vec<OwnedFd>,
    state: State,
    /// Whether the next read may be looked at by the shortest way: the stream is open, nothing has arrived, and nothing is
    /// wrong.
    is_idle: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// Something was wrong with the stream: what follows is thrown away, up to its end.
    Lost,
    /// It has ended, which the user is still to be told.
    Ended,
}

impl<S: Source> StreamReceiver<S> {
    pub(crate) fn new(source: S, framing: Framing, capabilities: Capabilities, origin: Origin) -> Self {
        let (decoder, descriptors) = (Decoder::new(framing), Vec::new());
        let (capabilities, origin) = (Box::new(capabilities), Box::new(origin));
        Self { source, decoder, capabilities, origin, descriptors, state: State::Open, is_idle: false }
    }

    fn malformed(&self, why: impl Into<std::borrow::Cow<'static, str>>) -> Error {
        self.error(ErrorKind::Malformed, why)
    }

    fn error(&self, kind: ErrorKind, why: impl Into<std::borrow::Cow<'static, str>>) -> Error {
        Error::refused(self.origin.mechanism, "receive from", self.origin.object.clone(), kind, why)
    }

    fn faulty(&self, fault: Fault) -> Error {
        self.error(fault.kind(), fault.to_string())
    }

    /// Gives up the stream: nothing is known of where its next message begins.
    fn lose(&mut self) {
        self.decoder.reset();
        self.descriptors.clear();
        self.state = State::Lost;
    }

    /// The end has been told.
    fn begin_again(&mut self) -> Result<()> {
        self.decoder.reset();
        self.descriptors.clear();
        self.state = State::Open;
        self.source.renew()
    }

    #[inline]
    fn attach_any(&mut self, message: &mut Message, count: u8) -> Result<()> {
        if count == 0 { Ok(()) } else { self.attach(message, count.into()) }
    }

    /// Gives the message the descriptors that its frame says are its own.
    #[inline(never)]
    fn attach(&mut self, message: &mut Message, count: usize) -> Result<()> {
        if count > self.descriptors.len() {
            message.clear();
            self.descriptors.clear();
            if self.source.has_lost_descriptors() {
                let why =
                    "this process has no room for the descriptors of a message, which is lost with them";
                let limit = Limit::rlimit("RLIMIT_NOFILE", Resource::Nofile);
                let error = self.error(ErrorKind::LimitReached, why).with_limit(limit);
                return Err(error.with_advice("raise it with `ulimit -n`, or close descriptors"));
            }
            let error = self.malformed("a message's descriptors did not come with it");
            self.lose();
            return Err(error);
        }
        message.details().received.descriptors.extend(self.descriptors.drain(..count));
        Ok(())
    }

    /// Reads once. Whether there was anything.
    fn read(&mut self, wait: Wait) -> Result<bool> {
        if !self.descriptors.is_empty() && self.descriptors.len() > self.decoder.expected_descriptors() {
            let error = self.malformed("descriptors came without a message that says so");
            self.lose();
            return Err(error);
        }
        let room = self.decoder.room();
        let read = match self.source.read(room, &mut self.descriptors, wait) {
            // With something left of a message it is that which is told.
            Err(error) if error.kind() == ErrorKind::PeerGone && self.decoder.buffered() > 0 => 0,
            read => read?,
        };
        self.decoder.filled(read);
        Ok(read > 0)
    }

    /// What the end of the stream makes of what has arrived. Whether that is a message.
    fn end(&mut self, message: &mut Message) -> Result<bool> {
        self.state = State::Ended;
        self.decoder.finish_into(message).map_err(|fault| self.faulty(fault))
    }

    /// A piece of a stream without boundaries, straight into the message.
    fn receive_raw(&mut self, message: &mut Message, wait: Wait) -> Result<bool> {
        let room = &mut message.room(MAX_RAW)[..MAX_RAW];
        let read = self.source.read(room, &mut self.descriptors, wait)?;
        message.set_len(read);
        Ok(read > 0)
    }
}

impl<S: Source> StreamReceiver<S> {
    /// Receives whatever comes. `has_read` says whether anything was there, if it was read just now.
    fn receive_any(&mut self, message: &mut Message, mut has_read: Option<bool>, wait: Wait) -> Result<()> {
        let mut thrown_away = 0;
        loop {
            match has_read {
                Some(false) if self.state == State::Lost => self.state = State::Ended,
                Some(false) if self.end(message)? => return Ok(()),
                // There may be no end of it.
                Some(true) if self.state == State::Lost => {
                    thrown_away += 1;
                    if wait.has_passed() {
                        return Err(self.origin.kernel("receive from", Errno::TIMEDOUT));
                    }
                    if wait.is_never() && thrown_away >= MOST_THROWN_AWAY {
                        return Err(self.origin.kernel("receive from", Errno::AGAIN));
                    }
                }
                // However slowly a message trickles in, it does not outlast the deadline.
                Some(true) if wait.has_passed() && !self.decoder.has_message() => {
                    return Err(self.origin.kernel("receive from", Errno::TIMEDOUT));
                }
                _ => {}
            }
            match self.state {
                State::Open => {}
                State::Lost => self.decoder.reset(),
                State::Ended => {
                    self.source.finish(wait)?;
                    self.begin_again()?;
                    let why = "the other side has gone, and everything was received";
                    return Err(self.error(ErrorKind::PeerGone, why));
                }
            }
            if self.decoder.framing() == Framing::Raw {
                if self.receive_raw(message, wait)? {
                    return Ok(());
                }
                self.state = State::Ended;
                has_read = None;
                continue;
            }
            match self.decoder.next_into(message) {
                Ok(Some(count)) => return self.attach_any(message, count),
                Ok(None) => {}
                Err(fault) => {
                    let error = self.faulty(fault);
                    self.lose();
                    return Err(error);
                }
            }
            has_read = Some(self.read(wait)?);
        }
    }
}

impl<S: Source> StreamReceiver<S> {
    /// Receives what was read into the decoder's whole room: that is one frame alone, mostly.
    #[inline]
    fn receive_only(&mut self, message: &mut Message, read: usize, wait: Wait) -> Result<()> {
        match self.decoder.only_frame(read) {
            Some(payload) if self.descriptors.is_empty() => {
                message.set(payload);
                message.set_peer(self.source.peer());
                Ok(())
            }
            _ => self.receive_next(message, Some(read), wait),
        }
    }

    /// Receives what the shortest way is not for. `read` is how many bytes were read just now into the decoder's whole room.
    #[inline(never)]
    fn receive_next(&mut self, message: &mut Message, read: Option<usize>, wait: Wait) -> Result<()> {
        self.is_idle = false;
        self.decoder.filled(read.unwrap_or(0));
        let may_have = self.state == State::Open && (read.is_some() || self.descriptors.is_empty());
        match may_have.then(|| self.decoder.next_frame_into(message)).flatten() {
            Some(count) => self.attach_any(message, count)?,
            None => self.receive_any(message, read.map(|read| read > 0), wait)?,
        }
        self.is_idle = self.state == State::Open && self.descriptors.is_empty() && self.decoder.idles();
        message.set_peer(self.source.peer());
        Ok(())
    }
}

impl<S: Source> ReceiveHalf for StreamReceiver<S> {
    fn receive(&mut self, message: &mut Message, wait: Wait) -> Result<()> {
        if !self.is_idle {
            return self.receive_next(message, None, wait);
        }
        let read = self.source.read(self.decoder.whole_room(), &mut self.descriptors, wait)?;
        self.receive_only(message, read, wait)
    }

    #[inline]
    fn prepare<'a>(&'a mut self, _: &'a mut Message, wait: Wait) -> Option<Prepared<'a>> {
        if !self.is_idle {
            return None;
        }
        self.source.prepare_read(self.decoder.whole_room(), wait)
    }

    fn finish_prepared(&mut self, first: Outcome, message: &mut Message, wait: Wait) -> Result<()> {
        let (room, descriptors) = (self.decoder.whole_room(), &mut self.descriptors);
        let read = self.source.finish_read(first, room, descriptors, wait)?;
        self.receive_only(message, read, wait)
    }

    fn has_buffered(&self) -> bool {
        self.state == State::Ended || (self.state == State::Open && self.decoder.has_message())
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::clone(&self.capabilities)
    }

    fn capacity(&self) -> Result<Option<Capacity>> {
        self.source.capacity()
    }

    fn len(&self) -> Result<Option<u64>> {
        Ok(self.source.len()?.map(|len| len + self.decoder.buffered() as u64))
    }

    fn readiness(&self) -> Option<Readiness<'_>> {
        self.source.descriptor().map(Readiness::to_read)
    }

    fn stream(&self) -> Option<BorrowedFd<'_>> {
        let is_clean = self.state == State::Open && self.decoder.buffered() == 0;
        if is_clean { self.source.descriptor() } else { None }
    }
}

/// Whether it is the caller's time or patience that ended.
fn is_impatience(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

/// A number of bytes as a capacity.
fn bytes(count: usize) -> Option<Capacity> {
    Some(Capacity::Bytes(count as u64))
}

/// The first slice with anything in it alone, if there is only that one.
fn only<'a>(slices: &'a [IoSlice<'_>]) -> Option<&'a [u8]> {
    match slices {
        [one] => Some(one),
        _ => None,
    }
}

/// As a trait object's descriptor.
fn borrowed(descriptor: &impl AsFd) -> Option<BorrowedFd<'_>> {
    Some(descriptor.as_fd())
}

#[cfg(test)]
mod tests;
