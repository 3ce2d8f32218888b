//! Messages that are in hand.

use core::fmt;

use twixt_os::{Error, ErrorKind, Result};

use crate::error::refused;
use crate::words::View;

use super::Consumer;
use super::consumer::{Source, Taken};

/// A message that this consumer has in hand, to be read and then acknowledged. Dropping it gives it back: it is handed out
/// again, to this consumer or another.
///
/// Several may be in hand at a time. What is read is copied out, or looked at word by word: its producer may write there once
/// the message was taken from a consumer that was too slow, which is noticed.
pub struct Job<'c> {
    consumer: &'c Consumer,
    source: &'c Source,
    taken: Taken,
}

impl<'c> Job<'c> {
    #[inline(always)]
    pub(super) fn new(consumer: &'c Consumer, source: &'c Source, taken: Taken) -> Self {
        Self { consumer, source, taken }
    }

    /// The bytes of the message.
    #[inline]
    pub fn len(&self) -> usize {
        self.taken.held.frame.len
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How often it was handed out, this time included. After 255 times it is not counted any more.
    pub fn deliveries(&self) -> u32 {
        self.taken.held.claim.count() as u32
    }

    /// Who sent it: the place that the sender has in the queue.
    pub fn producer(&self) -> usize {
        self.source.index
    }

    /// The number that its sender's place gave it: one more for each.
    pub fn sequence(&self) -> u64 {
        self.taken.held.frame.sequence
    }

    /// Copies the message into the first bytes of `into`, and says how many it has.
    ///
    /// # Errors
    /// [`TooLong`](ErrorKind::TooLong) if `into` is too short; [`Overrun`](ErrorKind::Overrun) if somebody else was given the
    /// message meanwhile, since this consumer was too slow, and it was overwritten.
    #[inline]
    pub fn read(&self, into: &mut [u8]) -> Result<usize> {
        let len = self.len();
        let Some(into) = into.get_mut(..len) else { return Err(self.too_long(into.len())) };
        self.view().copy_to(0, into);
        self.check()?;
        Ok(len)
    }

    /// As [`read`](Self::read), into a vector that is made as long as the message.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    #[inline]
    pub fn read_into(&self, into: &mut Vec<u8>) -> Result<()> {
        into.resize(self.len(), 0);
        self.read(into).map(drop)
    }

    /// The message, copied out.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn to_vec(&self) -> Result<Vec<u8>> {
        let mut bytes = vec![0; self.len()];
        self.read(&mut bytes)?;
        Ok(bytes)
    }

    /// Reads the message word by word, in the machine's order; the last may have bytes that are not the message's. What was
    /// read counts only if this succeeds.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    #[inline]
    pub fn read_words(&self, mut each: impl FnMut(u64)) -> Result<()> {
        self.view().by_lines(|line| line.iter().copied().for_each(&mut each));
        self.check()
    }

    /// The first word of the message, for looking at it without reading it.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    #[inline]
    pub fn first_word(&self) -> Result<u64> {
        let word = self.view().load(0);
        self.check()?;
        Ok(word)
    }

    /// Says that the work is done: nobody gets the message again.
    ///
    /// # Errors
    /// [`Overrun`](ErrorKind::Overrun) if the message was taken from this consumer, which has had it for longer than the
    /// queue's visibility: another has it, or will have it, and this acknowledgement does nothing;
    /// [`InvalidInput`](ErrorKind::InvalidInput) in a process that was forked meanwhile.
    #[inline]
    pub fn acknowledge(self) -> Result<()> {
        let outcome = self.consumer.acknowledge(self.source, &self.taken);
        core::mem::forget(self);
        outcome
    }

    /// Gives the message back at once, as dropping it does.
    pub fn reject(self) {}

    /// Has the time that the message may be worked on begin anew.
    ///
    /// # Errors
    /// As [`acknowledge`](Self::acknowledge).
    pub fn renew(&mut self) -> Result<()> {
        self.taken.held.claim = self.consumer.renew(self.source, &self.taken)?;
        Ok(())
    }

    #[inline(always)]
    fn view(&self) -> View<'_> {
        self.source.picker.reader.payload(self.taken.held.frame)
    }

    #[inline(always)]
    fn check(&self) -> Result<()> {
        if self.source.picker.reader.is_intact(self.taken.held.frame.position) {
            Ok(())
        } else {
            Err(self.overrun())
        }
    }

    #[cold]
    fn overrun(&self) -> Error {
        let why = "another was given the message, and it was overwritten";
        refused("receive from", self.consumer.object(), ErrorKind::Overrun, why)
    }

    #[cold]
    fn too_long(&self, room: usize) -> Error {
        let why = format!("the message has {} bytes, and there is room for {room}", self.len());
        refused("receive from", self.consumer.object(), ErrorKind::TooLong, why)
    }
}

impl Drop for Job<'_> {
    fn drop(&mut self) {
        self.consumer.give_back(self.source, &self.taken);
    }
}

impl fmt::Debug for Job<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job")
            .field("len", &self.len())
            .field("deliveries", &self.deliveries())
            .finish_non_exhaustive()
    }
}
