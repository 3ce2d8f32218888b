//! System V shared memory, guarded by a System V semaphore set.

use twixt_os::Mode;
use twixt_os::sysv::sem::Set;
use twixt_os::sysv::shm::{Access, Attachment, Segment};

use super::shared_word::{self, Memory, SharedWord, Turns};
use super::sysv_sem;
use crate::conversation;
use crate::demonstration::{Demonstration, TwoTerminals};
use crate::failure::Failure;
use crate::names::Names;
use crate::party::Party;

pub(super) const CONVERSATION: Demonstration = Demonstration {
    name: "sysv-shm",
    shows: "a word in memory, guarded by a System V semaphore set",
    parties: &[("server", server), ("client", client)],
    conduct: |run| run.server_and_client(),
    remove: |names| {
        sysv_sem::remove(names);
        if let Ok(segment) = Segment::open(names.key(0)) {
            let _ = segment.remove();
        }
    },
    two_terminals: Some(TwoTerminals { address }),
};

fn address(names: &Names) -> String {
    format!("sysv-shm:{} (and the semaphores of the same key)", names.key(0).as_raw())
}

/// Which semaphore tells whom to go on.
const FOR_SERVER: u16 = 0;
const FOR_CLIENT: u16 = 1;

impl Memory for Attachment {
    fn read(&self, offset: usize, into: &mut [u8]) -> Result<(), Failure> {
        Ok(self.memory().read(offset, into)?)
    }

    fn write(&self, offset: usize, from: &[u8]) -> Result<(), Failure> {
        Ok(self.memory().write(offset, from)?)
    }
}

struct Semaphores {
    set: Set,
    own: u16,
    other: u16,
}

impl Turns for Semaphores {
    fn take(&self) -> Result<(), Failure> {
        Ok(self.set.acquire(self.own)?)
    }

    fn pass(&self) -> Result<(), Failure> {
        Ok(self.set.release(self.other)?)
    }
}

fn server(party: &Party) -> Result<(), Failure> {
    let key = party.names().key(0);
    let memory = Segment::create(key, shared_word::SIZE, Mode::OWNER)?.attach(Access::ReadWrite)?;
    let set = Set::create_with(key, &[0, 0], Mode::OWNER)?;
    party.reached("ready", "");
    let turns = Semaphores { set, own: FOR_SERVER, other: FOR_CLIENT };
    conversation::server(party, &mut SharedWord { memory, turns })
}

fn client(party: &Party) -> Result<(), Failure> {
    let key = party.names().key(0);
    let memory = Segment::open(key)?.attach(Access::ReadWrite)?;
    // Initialised, or the server's initial values could undo this side's first turn.
    let set = Set::open_initialised(key, 2, party.deadline())?;
    let turns = Semaphores { set, own: FOR_CLIENT, other: FOR_SERVER };
    conversation::client(party, &mut SharedWord { memory, turns })
}
