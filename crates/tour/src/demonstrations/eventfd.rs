//! eventfd: a counter that wakes, shared by a parent and its child.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;

use twixt_os::eventfd::EventFd;
use twixt_os::inherit::PassDescriptors;

use crate::demonstration::Demonstration;
use crate::failure::{Failure, expect};
use crate::party::Party;

pub(super) const CONVERSATION: Demonstration = Demonstration {
    name: "eventfd",
    shows: "parent and child, a counter each way; counts add up",
    parties: &[("parent", parent), ("child", child)],
    conduct: |run| {
        run.start("parent")?;
        run.finish()?;
        expect("events that the child took", run.count("events"), run.rounds())
    },
    remove: |_| (),
    two_terminals: None,
};

/// The descriptors under which the child finds its counters.
const TO_CHILD: i32 = 3;
const TO_PARENT: i32 = 4;

fn parent(party: &Party) -> Result<(), Failure> {
    let (to_child, to_parent) = (EventFd::create(0)?, EventFd::create(0)?);
    let mut command = party.command("child")?;
    let copies: [(OwnedFd, i32); 2] = [
        (to_child.as_fd().try_clone_to_owned()?, TO_CHILD),
        (to_parent.as_fd().try_clone_to_owned()?, TO_PARENT),
    ];
    command.pass_descriptors(copies)?;
    let mut child = command.spawn()?;
    drop(command);
    let spoken = converse(party, &to_child, &to_parent);
    if spoken.is_err() {
        // It waits for an event that will not come.
        let _ = child.kill();
    }
    let status = child.wait()?;
    spoken?;
    expect("the child's end", status.success(), true)
}

fn converse(party: &Party, to_child: &EventFd, to_parent: &EventFd) -> Result<(), Failure> {
    let mut samples = party.samples();
    for round in 1..=party.rounds() {
        let start = Instant::now();
        to_child.add(round)?;
        let answer = to_parent.read_deadline(party.deadline())?;
        samples.push(start.elapsed());
        party.say(&format!("Parent: added {round}, got {answer} back"));
        expect("the answer", answer, round)?;
    }
    // Several additions that nobody has taken yet are one event.
    for number in [1, 2, 3] {
        to_parent.add(number)?;
    }
    expect("the sum of 1, 2 and 3", to_parent.try_read()?, 6)?;
    party.measured(samples);
    Ok(())
}

fn child(party: &Party) -> Result<(), Failure> {
    let to_child = EventFd::inherited(TO_CHILD)?;
    let to_parent = EventFd::inherited(TO_PARENT)?;
    for _ in 0..party.rounds() {
        let number = to_child.read_deadline(party.deadline())?;
        to_parent.add(number)?;
    }
    party.counted("events", party.rounds());
    Ok(())
}
