//! Messages that are read in place.

use core::fmt;

use std::time::Duration;

use twixt_os::{ErrorKind, Result, Wait};

use crate::error::refused;
use crate::ring::consumer::Arrived;
use crate::sync::relax;
use crate::words::View;

use super::Subscriber;
use super::subscriber::Found;

/// A message, read in place: its room is the publisher's again when this is dropped.
///
/// What is read is copied out, or looked at word by word: another process may write there, so that there is no `&[u8]`. A
/// publisher that is not waited for may overwrite it while it is read, which is noticed.
pub struct Sample<'s> {
    subscriber: &'s mut Subscriber,
    found: Found,
    wait: Wait,
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
    pub(super) fn new(subscriber: &'s mut Subscriber, found: Found, wait: Wait) -> Self {
        Self { subscriber, found, wait, fate: Fate::Unchecked }
    }

    /// The bytes of the message.
    #[inline]
    pub fn len(&self) -> usize {
        self.found.frame.len
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.found.frame.len == 0
    }

    /// Who published it: the place that it has in the topic.
    pub fn publisher(&self) -> usize {
        self.subscriber.publisher_of(self.found.track)
    }

    /// The number that its publisher gave it: one more for each.
    pub fn sequence(&self) -> u64 {
        self.found.frame.sequence
    }

    /// Where it begins in its publisher's ring, counted in lines of 64 bytes since that was made: no other of its has the same.
    pub fn position(&self) -> u64 {
        self.found.frame.position
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
        let len = self.len();
        let Some(into) = into.get_mut(..len) else {
            let why = format!("the message has {len} bytes, and there is room for {}", into.len());
            return Err(refused("receive from", &self.subscriber.site.object, ErrorKind::TooLong, why));
        };
        self.read_with(|done, view, part| view.copy_to(done, &mut into[done..done + part]))?;
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
        self.read_with(|done, view, part| {
            view.part(done / 8, (done + part).div_ceil(8)).iter().for_each(&mut each)
        })
    }

    /// The first word of the message, for looking at it without reading it.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    #[inline]
    pub fn first_word(&mut self) -> Result<u64> {
        let consumer = self.subscriber.consumer(self.found.track);
        let word = consumer.payload(self.found.frame).load(0);
        self.check()?;
        Ok(word)
    }

    /// Calls `take` with each part as it arrives: how much was there before, all words, and how much is new.
    #[inline(always)]
    fn read_with(&mut self, mut take: impl FnMut(usize, View<'_>, usize)) -> Result<()> {
        let len = self.found.frame.len;
        let consumer = self.subscriber.consumer(self.found.track);
        if consumer.arrived(self.found.frame) == Arrived::Whole {
            take(0, consumer.payload(self.found.frame), len);
        } else {
            self.read_flowing(&mut take)?;
        }
        self.check()
    }

    /// Whether what was read until here is the message.
    #[inline(always)]
    fn check(&mut self) -> Result<()> {
        if self.subscriber.consumer(self.found.track).is_intact(self.found.frame.position) {
            self.fate = Fate::Intact;
            Ok(())
        } else {
            self.fate = Fate::Unchecked;
            Err(self.overrun())
        }
    }

    #[inline(never)]
    fn read_flowing(&mut self, take: &mut dyn FnMut(usize, View<'_>, usize)) -> Result<()> {
        let (frame, len) = (self.found.frame, self.found.frame.len);
        let (mut done, mut looks, mut rounds) = (0, 0, 0);
        loop {
            let consumer = self.subscriber.consumer(self.found.track);
            let there = match consumer.arrived(frame) {
                Arrived::Whole => len,
                // Whole words, so that none is read twice.
                Arrived::Part(there) => there.min(len) / 8 * 8,
                Arrived::Broken if !consumer.is_intact(frame.position) => return Err(self.overrun()),
                Arrived::Broken => {
                    self.fate = Fate::Broken;
                    return Err(self.broken("its publisher broke it off"));
                }
            };
            if there > done {
                take(done, consumer.payload(frame), there - done);
                done = there;
                (looks, rounds) = (0, 0);
            }
            if done >= len {
                return Ok(());
            }
            if !consumer.is_intact(frame.position) {
                return Err(self.overrun());
            }
            looks += 1;
            if looks % LOOKS == 0 {
                if self.subscriber.has_died(self.found.track) {
                    self.fate = Fate::Broken;
                    return Err(self.broken("its publisher has died while writing it"));
                }
                if self.wait.is_never() || self.wait.has_passed() {
                    self.fate = Fate::Kept;
                    return Err(self.unfinished());
                }
                // A publisher that is held up in the middle is not waited for on its processor.
                rounds += 1;
                if rounds < ROUNDS { std::thread::yield_now() } else { std::thread::sleep(PAUSE) }
            }
            relax();
        }
    }

    fn overrun(&self) -> twixt_os::Error {
        let why = "the message was overwritten while it was read";
        refused("receive from", &self.subscriber.site.object, ErrorKind::Overrun, why)
    }

    fn unfinished(&self) -> twixt_os::Error {
        let (kind, why) = if self.wait.is_never() {
            (ErrorKind::WouldBlock, "its publisher is still writing the message")
        } else {
            (ErrorKind::TimedOut, "its publisher has not finished the message in time")
        };
        refused("receive from", &self.subscriber.site.object, kind, why)
    }

    fn broken(&self, why: &'static str) -> twixt_os::Error {
        refused("receive from", &self.subscriber.site.object, ErrorKind::PeerGone, why)
    }
}

impl Drop for Sample<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        self.subscriber.finish(&self.found, self.fate);
    }
}

impl fmt::Debug for Sample<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sample").field("frame", &self.found.frame).finish_non_exhaustive()
    }
}
