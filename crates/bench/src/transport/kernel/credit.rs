//! Which of the sender's places may be written to again.

use twixt_os::pipe::{Reader, Writer};
use twixt_os::{ErrorKind, Wait};

use crate::{Failure, Result};

/// How many places a sender takes turns with, and for how many messages one receipt is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turns {
    pub(super) places: usize,
    stride: usize,
}

impl Turns {
    /// Many small ones, so that receipts are rare; of large ones two, since what is in the cache is all that helps.
    pub(super) const fn of(size: usize) -> Self {
        if size < 64 << 10 { Self { places: 8, stride: 4 } } else { Self { places: 2, stride: 1 } }
    }
}

/// What the sender knows of it.
pub(super) struct Credit {
    receipts: Reader,
    turns: Turns,
    /// Messages that were sent, and those of them that have been read for certain.
    sent: usize,
    read: usize,
}

impl Credit {
    pub(super) const fn new(receipts: Reader, turns: Turns) -> Self {
        Self { receipts, turns, sent: 0, read: 0 }
    }

    /// The place for the next message, once it is free: `None` if it would have to wait.
    pub(super) fn place(&mut self, wait: Wait) -> Result<Option<usize>> {
        while self.sent - self.read == self.turns.places {
            let mut receipts = [0; 16];
            match self.receipts.read_wait(&mut receipts, wait) {
                Ok(0) => return Err(Failure::failed("the receiver has gone")),
                // Never more than were sent, whatever a peer writes.
                Ok(count) => self.read = (self.read + count * self.turns.stride).min(self.sent),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Some(self.sent % self.turns.places))
    }

    /// The message in that place is under way.
    pub(super) fn went(&mut self) {
        self.sent += 1;
    }
}

/// What the receiver tells of it.
pub(super) struct Receipts {
    receipts: Writer,
    turns: Turns,
    unsaid: usize,
}

impl Receipts {
    pub(super) const fn new(receipts: Writer, turns: Turns) -> Self {
        Self { receipts, turns, unsaid: 0 }
    }

    /// A message was read.
    pub(super) fn take(&mut self) -> Result<()> {
        self.unsaid += 1;
        if self.unsaid < self.turns.stride {
            return Ok(());
        }
        self.unsaid = 0;
        match self.receipts.write_wait(&[0], Wait::forever()) {
            // The sender has sent all it had.
            Err(error) if error.kind() == ErrorKind::PeerGone => Ok(()),
            written => Ok(written.map(drop)?),
        }
    }
}
