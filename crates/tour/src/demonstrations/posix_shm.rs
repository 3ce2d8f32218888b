//! POSIX shared memory, with two POSIX semaphores in it.

use std::sync::Arc;

use twixt_os::Mode;
use twixt_os::posix::sem::{self, Semaphore};
use twixt_os::posix::shm::{self, Access, SharedMemory};

use super::shared_word::{self, Memory, SharedWord, Turns};
use crate::conversation;
use crate::demonstration::{Demonstration, TwoTerminals};
use crate::failure::Failure;
use crate::party::Party;

pub(super) const CONVERSATION: Demonstration = Demonstration {
    name: "posix-shm",
    shows: "a word in memory, guarded by POSIX semaphores beside it",
    parties: &[("server", server), ("client", client)],
    conduct: |run| run.server_and_client(),
    remove: |names| drop(shm::unlink(&names.posix(NAME))),
    two_terminals: Some(TwoTerminals { address: |names| format!("posix-shm:{}", names.posix(NAME)) }),
};

const NAME: &str = "word";

/// Where the semaphores lie: behind the word, each on a cache line of its own.
const FOR_SERVER: usize = 64;
const FOR_CLIENT: usize = 128;
const SIZE: usize = FOR_CLIENT + 64;
const _: () =
    assert!(shared_word::SIZE <= FOR_SERVER && sem::SIZE <= 64 && FOR_SERVER.is_multiple_of(sem::ALIGNMENT));

impl Memory for Arc<shm::Memory> {
    fn read(&self, offset: usize, into: &mut [u8]) -> Result<(), Failure> {
        Ok(shm::Memory::read(self, offset, into)?)
    }

    fn write(&self, offset: usize, from: &[u8]) -> Result<(), Failure> {
        Ok(shm::Memory::write(self, offset, from)?)
    }
}

struct Semaphores {
    own: Semaphore,
    other: Semaphore,
}

impl Turns for Semaphores {
    fn take(&self) -> Result<(), Failure> {
        Ok(self.own.acquire()?)
    }

    fn pass(&self) -> Result<(), Failure> {
        Ok(self.other.release()?)
    }
}

fn server(party: &Party) -> Result<(), Failure> {
    // Nobody finds the memory before its semaphores are what they should be.
    let memory = SharedMemory::create_with(&party.names().posix(NAME), SIZE as u64, Mode::OWNER, |memory| {
        Semaphore::initialise(Arc::clone(&memory), FOR_SERVER, 0)?;
        Semaphore::initialise(memory, FOR_CLIENT, 0)?;
        Ok(())
    })?;
    let memory = Arc::new(memory.map(Access::ReadWrite)?);
    let own = Semaphore::attach(Arc::clone(&memory), FOR_SERVER)?;
    let other = Semaphore::attach(Arc::clone(&memory), FOR_CLIENT)?;
    party.reached("ready", "");
    conversation::server(party, &mut SharedWord { memory, turns: Semaphores { own, other } })
}

fn client(party: &Party) -> Result<(), Failure> {
    let memory = SharedMemory::open(&party.names().posix(NAME), Access::ReadWrite)?;
    let memory = Arc::new(memory.map(Access::ReadWrite)?);
    let own = Semaphore::attach(Arc::clone(&memory), FOR_CLIENT)?;
    let other = Semaphore::attach(Arc::clone(&memory), FOR_SERVER)?;
    conversation::client(party, &mut SharedWord { memory, turns: Semaphores { own, other } })
}
