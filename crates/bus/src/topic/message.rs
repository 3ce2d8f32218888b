//! One message of several that are received together.

use core::fmt;

use twixt_os::{Object, Result};
use twixt_sys::words::{ByLines, Visit};

use crate::ring::consumer::Frame;
use crate::ring::run::Claim;
use crate::words::View;

use super::sample::{overrun, room_for};

/// A message of several that are received together ([`Subscriber::receive_batch`](super::Subscriber::receive_batch)), read in
/// place and all there.
///
/// As with a [`Sample`](super::Sample), what is read is copied out, or looked at word by word; and what a publisher that is not
/// waited for has overwritten meanwhile is told by whatever reads it.
pub struct Message<'m> {
    pub(super) frame: Frame,
    pub(super) words: View<'m>,
    pub(super) claim: Claim<'m>,
    pub(super) publisher: usize,
    pub(super) object: &'m Object,
    /// Whether what was read of it was the message, and nothing has to be looked at any more.
    pub(super) is_intact: bool,
}

impl Message<'_> {
    /// The bytes of the message.
    #[inline(always)]
    pub fn len(&self) -> usize {
        self.frame.len
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.frame.len == 0
    }

    /// Who published it: the place that it has in the topic.
    pub fn publisher(&self) -> usize {
        self.publisher
    }

    /// The number that its publisher gave it: one more for each.
    pub fn sequence(&self) -> u64 {
        self.frame.sequence
    }

    /// Where it begins in its publisher's ring, counted in lines of 64 bytes since that was made.
    pub fn position(&self) -> u64 {
        self.frame.position
    }

    /// Copies the message out, all of it, into the first bytes of `into`, and says how many it has.
    ///
    /// # Errors
    /// [`TooLong`](twixt_os::ErrorKind::TooLong) if `into` is too short: it has been received all the same;
    /// [`Overrun`](twixt_os::ErrorKind::Overrun) if it was overwritten meanwhile.
    #[inline]
    pub fn read(&mut self, into: &mut [u8]) -> Result<usize> {
        let len = self.len();
        let room = into.len();
        if let Some(into) = into.get_mut(..len) {
            self.words.copy_to(0, into);
        }
        // If it was overwritten, that is not its length.
        self.check()?;
        if room < len { Err(room_for(len, room, self.object)) } else { Ok(len) }
    }

    /// The message, copied out.
    ///
    /// # Errors
    /// [`Overrun`](twixt_os::ErrorKind::Overrun) if it was overwritten meanwhile.
    pub fn to_vec(&mut self) -> Result<Vec<u8>> {
        let mut bytes = vec![0; self.len()];
        self.read(&mut bytes)?;
        Ok(bytes)
    }

    /// Reads the message word by word, in the machine's order; the last may have bytes that are not the message's. What was read
    /// counts only if this succeeds.
    ///
    /// # Errors
    /// [`Overrun`](twixt_os::ErrorKind::Overrun) if it was overwritten meanwhile.
    #[inline]
    pub fn read_words(&mut self, mut each: impl FnMut(u64)) -> Result<()> {
        self.read_lines(|line| line.iter().copied().for_each(&mut each))
    }

    /// As [`read_words`](Self::read_words), eight words at a time as long as there are so many, and then the others.
    ///
    /// # Errors
    /// As [`read_words`](Self::read_words).
    #[inline(always)]
    pub fn read_lines(&mut self, each: impl FnMut(&[u64])) -> Result<()> {
        self.visit(&mut ByLines(each))
    }

    /// As [`read_lines`](Self::read_lines), for a visitor of one's own.
    ///
    /// # Errors
    /// As [`read_words`](Self::read_words).
    #[inline(always)]
    pub fn visit(&mut self, visitor: &mut impl Visit) -> Result<()> {
        self.words.visit(visitor);
        self.check()
    }

    /// The first word of the message, for looking at it without reading it; 0 if it has none.
    ///
    /// # Errors
    /// As [`read_words`](Self::read_words).
    #[inline(always)]
    pub fn first_word(&mut self) -> Result<u64> {
        let word = self.words.load(0);
        self.check()?;
        Ok(word)
    }

    #[inline(always)]
    fn check(&mut self) -> Result<()> {
        self.is_intact = self.claim.is_intact(self.frame.position);
        if self.is_intact { Ok(()) } else { Err(overrun(self.object)) }
    }
}

impl fmt::Debug for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message").field("frame", &self.frame).finish_non_exhaustive()
    }
}
