//! A memfd: memory without a name, handed to a child, whose length nobody can change any more.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use twixt_os::eventfd::EventFd;
use twixt_os::inherit::PassDescriptors;
use twixt_os::memfd::{Memfd, Sealed, Seals};

use super::shared_word::{self, SharedWord, Turns};
use crate::conversation;
use crate::demonstration::Demonstration;
use crate::failure::{Failure, expect};
use crate::party::Party;

pub(super) const CONVERSATION: Demonstration = Demonstration {
    name: "memfd",
    shows: "sealed memory passed to a child, eventfds for the turns",
    parties: &[("parent", parent), ("child", child)],
    conduct: |run| {
        run.start("parent")?;
        run.finish()?;
        expect("pings that the child counted", run.count("pings"), run.rounds())
    },
    remove: |_| (),
    two_terminals: None,
};

/// The descriptors under which the child finds the memory and the counters.
const MEMORY: i32 = 3;
const FOR_CHILD: i32 = 4;
const FOR_PARENT: i32 = 5;

struct Counters {
    own: EventFd,
    other: EventFd,
}

impl Turns for Counters {
    fn take(&self) -> Result<(), Failure> {
        self.own.read()?;
        Ok(())
    }

    fn pass(&self) -> Result<(), Failure> {
        Ok(self.other.add(1)?)
    }
}

fn parent(party: &Party) -> Result<(), Failure> {
    let memfd = Memfd::create("twixt-tour")?;
    memfd.reserve(shared_word::SIZE as u64)?;
    let sealed = memfd.seal(Seals::FIXED_LENGTH)?;
    let turns = Counters { own: EventFd::create(0)?, other: EventFd::create(0)? };

    let mut command = party.command("child")?;
    let copies: [(OwnedFd, i32); 3] = [
        (sealed.as_fd().try_clone_to_owned()?, MEMORY),
        (turns.other.as_fd().try_clone_to_owned()?, FOR_CHILD),
        (turns.own.as_fd().try_clone_to_owned()?, FOR_PARENT),
    ];
    command.pass_descriptors(copies)?;
    let mut child = command.spawn()?;
    drop(command);

    let memory = Arc::new(sealed.map_writable()?);
    let spoken = conversation::client(party, &mut SharedWord { memory, turns });
    if spoken.is_err() {
        // It waits for a turn that will not come.
        let _ = child.kill();
    }
    let status = child.wait()?;
    spoken?;
    expect("the child's end", status.success(), true)
}

fn child(party: &Party) -> Result<(), Failure> {
    let sealed = Sealed::inherited(MEMORY, Seals::FIXED_LENGTH)?;
    let cut = sealed.memfd().set_len(0);
    expect("whether the memory can be cut short", cut.is_ok(), false)?;
    let turns = Counters { own: EventFd::inherited(FOR_CHILD)?, other: EventFd::inherited(FOR_PARENT)? };
    let memory = Arc::new(sealed.map_writable()?);
    conversation::server(party, &mut SharedWord { memory, turns })
}
