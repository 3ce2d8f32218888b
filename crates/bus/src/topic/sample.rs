//! Messages that are read in place.

use core::fmt;

use std::time::Duration;

use twixt_os::{Deadline, Error, ErrorKind, Object, Result, Wait};
use twixt_sys::words::{ByLines, Visit};

use crate::error::refused;
use crate::ring::consumer::{Arrived, Consumer};
use crate::sync::relax;
use crate::words::{View, WORD};

use super::Subscriber;

/// A message, read in place: its room is the publisher's again when this is dropped.
///
/// What is read is copied out, or looked at word by word: another process may write there, so that there is no `&[u8]`. A
/// publisher that is not waited for may overwrite it while it is read, which is noticed.
pub struct Sample<'s> {
    subscriber: &'s mut Subscriber,
    /// How long to wait for the rest of one that is still being written.
    deadline: Option<Deadline>,
    is_never: bool,
    fate: Fate,
}

/// What becomes of a message when its sample is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It has been received, if it has not been overwritten: nobody has looked yet.
    Unchecked,
    /// It has been received.
    Intact,
    /// It was never finished, and is passed over.
    Broken,
    /// It is not all there yet, and will be received later.
    Kept,
}

/// Looks between two at whether the publisher of a message that is not whole has died.
const LOOKS: u32 = 20_000;
/// As often it does so without a pause.
const ROUNDS: u32 = 4;
/// The pause after that.
const PAUSE: Duration = Duration::from_micros(200);

impl<'s> Sample<'s> {
    #[inline(always)]
    pub(super) fn new(subscriber: &'s mut Subscriber, wait: &Wait) -> Self {
        // Not the whole of it: to load at once what was stored in parts waits for all stores before.
        let (deadline, is_never) = (wait.deadline(), wait.is_never());
        Self { subscriber, deadline, is_never, fate: Fate::Unchecked }
    }

    /// The bytes of the message.
    #[inline]
    pub fn len(&self) -> usize {
        self.subscriber.hand().len
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.subscriber.hand().len == 0
    }

    /// Who published it: the place that it has in the topic.
    pub fn publisher(&self) -> usize {
        self.subscriber.publisher_at_hand()
    }

    /// The number that its publisher gave it: one more for each.
    pub fn sequence(&self) -> u64 {
        self.subscriber.hand().sequence
    }

    /// Where it begins in its publisher's ring, counted in lines of 64 bytes since that was made: no other of its has the same.
    pub fn position(&self) -> u64 {
        self.subscriber.hand().position
    }

    /// Copies the message out, all of it, into the first bytes of `into`, and says how many it has. One that is still being
    /// written is copied as it comes.
    ///
    /// # Errors
    /// [`TooLong`](ErrorKind::TooLong) if `into` is too short; [`Overrun`](ErrorKind::Overrun) if it was overwritten
    /// meanwhile; [`PeerGone`](ErrorKind::PeerGone) if its publisher has died while it was writing it, or broke it off. What the
    /// wait that it was received with ends with, if its publisher does not go on meanwhile (where there was to be no waiting,
    /// after some hundred microseconds): then the message stays, and is received again.
    #[inline]
    pub fn read(&mut self, into: &mut [u8]) -> Result<usize> {
        let (len, room) = (self.len(), into.len());
        let Some(into) = into.get_mut(..len) else {
            // If it was overwritten, that is not its length.
            self.check()?;
            return Err(room_for(len, room, &self.subscriber.site.object));
        };
        self.read_with(Copied(into))?;
        Ok(len)
    }

    /// As [`read`](Self::read), into a vector that is made as long as the message.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_into(&mut self, into: &mut Vec<u8>) -> Result<()> {
        if into.len() < self.len() {
            into.resize(self.len(), 0);
        }
        into.truncate(self.len());
        self.read(into).map(drop)
    }

    /// The message, copied out.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn to_vec(mut self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.read_into(&mut bytes)?;
        Ok(bytes)
    }

    /// Reads the message word by word, in the machine's order, as it comes; the last may have bytes that are not the
    /// message's. What was read counts only if this succeeds.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    #[inline]
    pub fn read_words(&mut self, mut each: impl FnMut(u64)) -> Result<()> {
        self.read_lines(|line| line.iter().copied().for_each(&mut each))
    }

    /// As [`read_words`](Self::read_words), eight words at a time as long as there are so many, and then the others: as fast
    /// as the processor's vectors are, where `each` is simple.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    #[inline(always)]
    pub fn read_lines(&mut self, each: impl FnMut(&[u64])) -> Result<()> {
        self.visit(&mut ByLines(each))
    }

    /// As [`read_lines`](Self::read_lines), for a visitor of one's own: the fastest for large messages.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    #[inline(always)]
    pub fn visit(&mut self, visitor: &mut impl Visit) -> Result<()> {
        self.read_with(Visited(visitor))
    }

    /// The first word of the message, for looking at it without reading it; 0 if it has none. Of a message that is still being
    /// written it is waited for.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    #[inline]
    pub fn first_word(&mut self) -> Result<u64> {
        let is_whole = self.subscriber.consumer().is_some_and(Consumer::is_whole);
        if !is_whole {
            self.more(0)?;
        }
        let word = self.subscriber.consumer().map_or(0, |it| it.payload(it.hand()).load(0));
        self.check()?;
        Ok(word)
    }

    /// Gives each part to `taker` as it arrives: how many words were there before, and those that are new.
    ///
    /// What that writes to is seen by nothing that is not part of the caller: it can stay in registers.
    #[inline(always)]
    fn read_with(&mut self, mut taker: impl Take) -> Result<()> {
        let frame = self.subscriber.hand();
        if let Some(consumer) = self.subscriber.consumer()
            && consumer.arrived(frame) == Arrived::Whole
        {
            taker.take(0, consumer.payload(frame));
            let is_intact = consumer.is_intact(frame.position);
            return self.judge(is_intact);
        }
        let mut done = 0;
        while done < frame.words {
            let there = self.more(done)?;
            if let Some(consumer) = self.subscriber.consumer() {
                taker.take(done, consumer.payload(frame).part(done, there));
            }
            done = there;
        }
        self.check()
    }

    /// Waits until all of the message is there, and has it stay where it is.
    #[cold]
    #[inline(never)]
    pub(super) fn wait_until_whole(mut self) -> Result<()> {
        let mut done = 0;
        while !self.subscriber.consumer().is_none_or(Consumer::is_whole) {
            // Nothing is read: it may be broken off, or overwritten, however much of it is there.
            done = self.more(done)?;
        }
        self.fate = Fate::Kept;
        Ok(())
    }

    /// Waits until more than `done` words are there, and says how many.
    #[inline(always)]
    fn more(&mut self, done: usize) -> Result<usize> {
        // `self` is not lent: it would have to be in memory for all messages.
        match more(self.subscriber, done, self.deadline, self.is_never) {
            Ok(there) => Ok(there),
            Err(Unread { fate, error }) => {
                self.fate = fate;
                Err(error)
            }
        }
    }

    /// Whether what was read until here is the message.
    #[inline(always)]
    fn check(&mut self) -> Result<()> {
        self.judge(self.subscriber.consumer().is_some_and(|it| it.is_intact(it.position())))
    }

    #[inline(always)]
    fn judge(&mut self, is_intact: bool) -> Result<()> {
        if is_intact {
            self.fate = Fate::Intact;
            Ok(())
        } else {
            self.fate = Fate::Unchecked;
            Err(overrun(&self.subscriber.site.object))
        }
    }
}

/// What reads a message. Not a closure, which a compiler may leave a call.
trait Take {
    fn take(&mut self, done: usize, view: View<'_>);
}

/// Shows it to a visitor.
struct Visited<'a, V>(&'a mut V);

impl<V: Visit> Take for Visited<'_, V> {
    #[inline(always)]
    fn take(&mut self, _: usize, view: View<'_>) {
        view.visit(self.0);
    }
}

/// Copies it out.
struct Copied<'a>(&'a mut [u8]);

impl Take for Copied<'_> {
    #[inline(always)]
    fn take(&mut self, done: usize, view: View<'_>) {
        let into = &mut self.0[WORD * done..];
        let end = into.len().min(WORD * view.len());
        view.copy_to(0, &mut into[..end]);
    }
}

/// Why a message was not read, and what becomes of it.
struct Unread {
    fate: Fate,
    error: Error,
}

/// Waits until more than `done` words are there of the message at hand, and says how many.
///
/// Not cold, though it is rare: what takes the words is then compiled into both of its places, and keeps its state in registers.
#[inline(never)]
fn more(
    subscriber: &mut Subscriber,
    done: usize,
    deadline: Option<Deadline>,
    is_never: bool,
) -> core::result::Result<usize, Unread> {
    let frame = subscriber.hand();
    let (mut looks, mut rounds) = (0, 0);
    loop {
        let Some(consumer) = subscriber.consumer() else { return Ok(frame.words) };
        let there = match consumer.arrived(frame) {
            Arrived::Whole => return Ok(frame.words),
            // Whole ones, so that none is read twice.
            Arrived::Part(there) => there.min(frame.len) / WORD,
            Arrived::Broken if consumer.is_intact(frame.position) => {
                let error = broken(subscriber, "its publisher broke it off");
                return Err(Unread { fate: Fate::Broken, error });
            }
            Arrived::Broken => done,
        };
        if there > done {
            return Ok(there);
        }
        if !consumer.is_intact(frame.position) {
            return Err(Unread { fate: Fate::Unchecked, error: overrun(&subscriber.site.object) });
        }
        looks += 1;
        if looks == LOOKS {
            looks = 0;
            if subscriber.has_died() {
                let error = broken(subscriber, "its publisher has died while writing it");
                return Err(Unread { fate: Fate::Broken, error });
            }
            if is_never || deadline.is_some_and(Deadline::has_passed) {
                return Err(Unread { fate: Fate::Kept, error: unfinished(subscriber, is_never) });
            }
            // A publisher that is held up in the middle is not waited for on its processor.
            rounds = ROUNDS.min(rounds + 1);
            if rounds < ROUNDS { std::thread::yield_now() } else { std::thread::sleep(PAUSE) }
        }
        relax();
    }
}

#[cold]
pub(super) fn overrun(object: &Object) -> Error {
    let why = "the message was overwritten while it was read";
    refused("receive from", object, ErrorKind::Overrun, why)
}

/// That a message does not fit.
#[cold]
pub(super) fn room_for(len: usize, room: usize, object: &Object) -> Error {
    let why = format!("the message has {len} bytes, and there is room for {room}");
    refused("receive from", object, ErrorKind::TooLong, why)
}

fn unfinished(subscriber: &Subscriber, is_never: bool) -> Error {
    let (kind, why) = if is_never {
        (ErrorKind::WouldBlock, "its publisher is still writing the message")
    } else {
        (ErrorKind::TimedOut, "its publisher has not finished the message in time")
    };
    refused("receive from", &subscriber.site.object, kind, why)
}

fn broken(subscriber: &Subscriber, why: &'static str) -> Error {
    refused("receive from", &subscriber.site.object, ErrorKind::PeerGone, why)
}

impl Drop for Sample<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        self.subscriber.finish(self.fate);
    }
}

impl fmt::Debug for Sample<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sample").field("frame", &self.subscriber.hand()).finish_non_exhaustive()
    }
}
