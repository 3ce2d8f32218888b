//! What a family of mechanisms provides for a ring: mutual exclusion, sleep, memory, and evidence of life.

use std::sync::Arc;
use std::time::Duration;

use twixt_os::mmap::Memory;
use twixt_os::{Deadline, Errno, ErrorKind, Wait};

use super::fault::{Fault, Result};

/// How long anybody sleeps before looking again: what a wake-up that died with its sender costs.
pub(crate) const NAP: Duration = Duration::from_millis(100);
/// How long one who must not wait stands at the section's door all the same: whoever is inside needs a moment, and is
/// out again unless it was stopped.
pub(crate) const PATIENCE: Duration = Duration::from_millis(100);

/// What sleepers sleep on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bell {
    /// Receivers, for a message.
    Messages,
    /// Senders, for room.
    Room,
    /// The one who offers, for its message to be taken.
    Taken,
}

/// Which bells to ring.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bells(u8);

impl Bells {
    pub(crate) const NONE: Self = Self(0);

    /// This one too, if `so`.
    #[must_use]
    pub(crate) const fn and(self, bell: Bell, so: bool) -> Self {
        Self(self.0 | (so as u8) << bell as u8)
    }

    /// Those to ring.
    pub(crate) fn each(self) -> impl Iterator<Item = Bell> {
        [Bell::Messages, Bell::Room, Bell::Taken]
            .into_iter()
            .filter(move |bell| self.0 & 1 << *bell as u8 != 0)
    }
}

/// How a nap ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nap {
    /// The bell rang.
    Rung,
    /// It is time to look.
    Over,
}

/// A family's side of a ring. `ring` is its number in the object.
pub(crate) trait Guard: Send {
    /// The memory: header and areas.
    fn memory(&self) -> &Memory;

    /// Has at least `whole` bytes of the object mapped, which is that long.
    fn map(&mut self, whole: u64) -> Result<()>;

    /// Makes the object `whole` bytes long, its memory reserved, and maps it.
    fn reserve(&mut self, whole: u64) -> Result<()>;

    /// Enters the section, alone, as soon as nobody alive is inside.
    fn enter(&self, ring: usize, wait: Wait) -> Result<()>;

    /// Leaves the section, and rings these bells.
    fn leave(&self, ring: usize, bells: Bells) -> Result<()>;

    /// Sleeps until the bell rings, but for [`NAP`] at most.
    fn sleep(&self, ring: usize, bell: Bell, wait: Wait) -> Result<Nap>;

    /// Silences a bell that rings without end.
    fn silence(&self, ring: usize, bell: Bell) -> Result<()>;

    /// Takes the place of the one who may offer, if it is free or its holder is dead.
    fn try_take_slot(&self, ring: usize) -> Result<bool>;

    /// Gives it back.
    fn free_slot(&self, ring: usize) -> Result<()>;

    /// Whether somebody who lives holds it.
    fn slot_is_held(&self, ring: usize) -> Result<bool>;

    /// How often to look before falling asleep.
    fn spins(&self) -> u32;
}

/// A participant that has several ways in. They do not grow.
impl<G: Guard + Sync> Guard for Arc<G> {
    fn memory(&self) -> &Memory {
        (**self).memory()
    }

    fn map(&mut self, whole: u64) -> Result<()> {
        if whole > self.memory().len() as u64 {
            return Err(Fault::Malformed("it is longer than its memory"));
        }
        Ok(())
    }

    fn reserve(&mut self, whole: u64) -> Result<()> {
        self.map(whole)
    }

    fn enter(&self, ring: usize, wait: Wait) -> Result<()> {
        (**self).enter(ring, wait)
    }

    fn leave(&self, ring: usize, bells: Bells) -> Result<()> {
        (**self).leave(ring, bells)
    }

    fn sleep(&self, ring: usize, bell: Bell, wait: Wait) -> Result<Nap> {
        (**self).sleep(ring, bell, wait)
    }

    fn silence(&self, ring: usize, bell: Bell) -> Result<()> {
        (**self).silence(ring, bell)
    }

    fn try_take_slot(&self, ring: usize) -> Result<bool> {
        (**self).try_take_slot(ring)
    }

    fn free_slot(&self, ring: usize) -> Result<()> {
        (**self).free_slot(ring)
    }

    fn slot_is_held(&self, ring: usize) -> Result<bool> {
        (**self).slot_is_held(ring)
    }

    fn spins(&self) -> u32 {
        (**self).spins()
    }
}

/// Sleeps as `nap` does, which is told for how long at most, within `wait`.
pub(crate) fn nap(wait: Wait, mut nap: impl FnMut(Wait) -> twixt_os::Result<()>) -> Result<Nap> {
    let mut failure = None;
    let slept = wait.with_timeout(|remaining| {
        let whole = remaining.is_none_or(|remaining| remaining > NAP);
        let slice = remaining.unwrap_or(NAP).min(NAP);
        // Interruptible in any case: `wait` knows whether that ends it.
        match nap(Wait::until(Deadline::after(slice)).interruptible()) {
            Ok(()) => Ok(Nap::Rung),
            Err(error) => match error.kind() {
                ErrorKind::TimedOut if whole => Ok(Nap::Over),
                ErrorKind::TimedOut => Err(Errno::AGAIN),
                ErrorKind::Interrupted => Err(Errno::INTR),
                _ => {
                    failure = Some(error);
                    Err(Errno::IO)
                }
            },
        }
    });
    match (slept, failure) {
        (_, Some(error)) => Err(error.into()),
        (slept, None) => slept.map_err(Fault::Wait),
    }
}

/// What one who stands at the door waits by: a wait without a future gets [`PATIENCE`].
pub(crate) fn patience(wait: Wait) -> Wait {
    let short = wait.is_never() || wait.deadline().is_some_and(|deadline| deadline.remaining() < PATIENCE);
    if short { Wait::until(Deadline::after(PATIENCE)) } else { wait }
}

/// How that ends for one who waited by `wait`.
pub(crate) fn impatience(wait: Wait, errno: Errno) -> Fault {
    match errno {
        Errno::TIMEDOUT if wait.is_never() => Fault::Wait(Errno::AGAIN),
        errno => Fault::Wait(errno),
    }
}
