//! A word in shared memory and whose turn it is: how memory becomes a conversation.

use crate::conversation::{Line, Word};
use crate::failure::Failure;

/// Memory that two processes share.
pub(super) trait Memory {
    fn read(&self, offset: usize, into: &mut [u8]) -> Result<(), Failure>;
    fn write(&self, offset: usize, from: &[u8]) -> Result<(), Failure>;
}

/// Two semaphores, by which each process lets the other go on: what must stand beside shared memory, since memory
/// itself tells nobody that it has changed.
pub(super) trait Turns {
    /// Waits until the other process has passed the turn to this one.
    fn take(&self) -> Result<(), Failure>;
    /// Passes the turn to the other.
    fn pass(&self) -> Result<(), Failure>;
}

/// One process's view of the word.
pub(super) struct SharedWord<M, T> {
    pub(super) memory: M,
    pub(super) turns: T,
}

/// Where the word's length and the word itself lie.
const LEN: usize = 0;
const WORD: usize = 1;

/// How much memory it takes.
pub(super) const SIZE: usize = WORD + size_of::<Word>();

impl<M: Memory, T: Turns> Line for SharedWord<M, T> {
    fn send(&mut self, word: &[u8]) -> Result<(), Failure> {
        self.memory.write(WORD, word)?;
        // A word is far shorter than 256 bytes.
        self.memory.write(LEN, &[word.len() as u8])?;
        self.turns.pass()
    }

    fn receive(&mut self, into: &mut Word) -> Result<usize, Failure> {
        self.turns.take()?;
        let mut len = [0];
        self.memory.read(LEN, &mut len)?;
        let word = into.get_mut(..len[0].into()).ok_or_else(|| Failure::wrong("a word longer than any"))?;
        self.memory.read(WORD, word)?;
        Ok(word.len())
    }
}
