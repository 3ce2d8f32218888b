//! The ring itself: variable-length messages between two counters. Pure; whoever calls is alone in the section.
//!
//! Head and tail count bytes since the beginning of time and never go back; where a byte stands follows from its number
//! and the length of the ring. Each change that others can see is *one* store: of the tail to put a message, of the head
//! to take one, of the length to grow. Whoever dies before it has changed nothing, and after it everything.

use crate::Message;

use super::fault::{Fault, Result};
use super::layout::Control;
use super::space::Space;
use super::step::step;

/// What stands before each message: its length and a check, 32 bits each.
pub(crate) const FRAME: u64 = 8;
/// What the check is made of, besides the length and the frame's place.
const CHECK: u32 = 0x7477_6672;

/// Where a ring lies in its object.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Queue {
    pub(crate) control: Control,
    /// The offset of its area.
    pub(crate) area: usize,
    /// Its length at first.
    pub(crate) first: u64,
    /// Its length at most.
    pub(crate) most: u64,
}

/// What the words say, once it was checked that a ring can say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) head: u64,
    pub(crate) tail: u64,
    pub(crate) length: u64,
}

impl State {
    /// The bytes that wait.
    pub(crate) const fn waiting(self) -> u64 {
        self.tail - self.head
    }

    /// The bytes that there is room for.
    pub(crate) const fn room(self) -> u64 {
        self.length - self.waiting()
    }
}

/// How many bytes of the ring a message takes: whole words.
pub(crate) const fn frame(len: usize) -> u64 {
    FRAME + (len as u64).next_multiple_of(8)
}

impl Queue {
    /// Makes the ring empty and of its first length. Whoever calls knows that nobody else is there.
    pub(crate) fn initialise(&self, space: &impl Space) -> Result<()> {
        space.store(self.control.head(), 0)?;
        space.store(self.control.tail(), 0)?;
        space.store(self.control.length(), self.first)
    }

    /// Reads the words, each once, and checks them.
    pub(crate) fn state(&self, space: &impl Space) -> Result<State> {
        let head = space.load(self.control.head())?;
        let tail = space.load(self.control.tail())?;
        let length = space.load(self.control.length())?;
        let is_length = length >= self.first && length <= self.most && {
            let times = length / self.first;
            times.is_power_of_two() && times * self.first == length
        };
        if !is_length {
            return Err(Fault::Malformed("the length of its ring is none that it can have"));
        }
        let sound = tail.checked_sub(head).is_some_and(|waiting| waiting <= length)
            && (head | tail).is_multiple_of(8);
        if !sound {
            return Err(Fault::Malformed("its counters contradict each other"));
        }
        Ok(State { head, tail, length })
    }

    /// Writes a message behind the others, for which there is [room](State::room).
    pub(crate) fn put(&self, space: &impl Space, state: State, bytes: &[u8]) -> Result<State> {
        let len = u32::try_from(bytes.len()).map_err(|_| Fault::Malformed("the message is too long"))?;
        let frame = frame(bytes.len());
        let tail = state.tail.checked_add(frame).ok_or(Fault::Malformed(WORN_OUT))?;
        debug_assert!(frame <= state.room());
        step();
        space.store(self.at(state, state.tail), word(len, state.tail))?;
        step();
        self.split(state, state.tail + FRAME, bytes.len(), |at, from, to| space.write(at, &bytes[from..to]))?;
        step();
        // What was written is there for whoever sees this.
        space.store(self.control.tail(), tail)?;
        step();
        Ok(State { tail, ..state })
    }

    /// Copies the foremost message out, if there is one, and gives the state that its removal leads to:
    /// [`Queue::remove`].
    pub(crate) fn peek(
        &self,
        space: &impl Space,
        state: State,
        message: &mut Message,
    ) -> Result<Option<State>> {
        if state.waiting() == 0 {
            return Ok(None);
        }
        let header = space.load(self.at(state, state.head))?;
        let len = header as u32;
        // Checked before anything is believed or made room for.
        if header != word(len, state.head) || frame(len as usize) > state.waiting() {
            return Err(Fault::Malformed("the length of a message in it is wrong"));
        }
        let len = len as usize;
        let room = message.room(len);
        self.split(state, state.head + FRAME, len, |at, from, to| space.read(at, &mut room[from..to]))?;
        message.set_len(len);
        step();
        Ok(Some(State { head: state.head + frame(len), ..state }))
    }

    /// Takes out what [`Queue::peek`] has copied.
    pub(crate) fn remove(&self, space: &impl Space, after: State) -> Result<()> {
        space.store(self.control.head(), after.head)?;
        step();
        Ok(())
    }

    /// Empties the ring.
    pub(crate) fn clear(&self, space: &impl Space, state: State) -> Result<State> {
        let after = State { head: state.tail, ..state };
        self.remove(space, after)?;
        Ok(after)
    }

    /// Makes the ring twice as long, for which there is memory.
    ///
    /// Bytes wait in two laps at most, one even and one odd. In the longer ring the even one stands where it stood, and
    /// the odd one behind it, where nothing is yet: so it is copied there before the length changes.
    pub(crate) fn grow(&self, space: &impl Space, state: State) -> Result<State> {
        let grown = State { length: state.length * 2, ..state };
        let mut block = [0; 4096];
        let mut at = state.head;
        while at < state.tail {
            let (lap, within) = (at / state.length, at % state.length);
            let rest = (state.length - within).min(state.tail - at);
            let len = rest.min(block.len() as u64);
            if !lap.is_multiple_of(2) {
                let block = &mut block[..len as usize];
                space.read(self.at(state, at), block)?;
                space.write(self.at(grown, at), block)?;
                step();
            }
            at += len;
        }
        space.store(self.control.length(), grown.length)?;
        step();
        Ok(grown)
    }

    /// Where the byte of this number stands.
    fn at(&self, state: State, number: u64) -> usize {
        self.area + (number % state.length) as usize
    }

    /// Does in one or two pieces what is to be done with `len` bytes from `number` on: at which offset, and from where to
    /// where among them.
    fn split(
        &self,
        state: State,
        number: u64,
        len: usize,
        mut piece: impl FnMut(usize, usize, usize) -> Result<()>,
    ) -> Result<()> {
        let at = self.at(state, number);
        let to_end = self.area + state.length as usize - at;
        let first = len.min(to_end);
        piece(at, 0, first)?;
        if first < len {
            step();
            piece(self.area, first, len)?;
        }
        Ok(())
    }
}

const WORN_OUT: &str = "its counters are at their end";

/// The header of a message of this length at this place.
const fn word(len: u32, place: u64) -> u64 {
    let check = len ^ CHECK ^ (place as u32) ^ (place >> 32) as u32;
    (check as u64) << 32 | len as u64
}

#[cfg(test)]
mod tests;
