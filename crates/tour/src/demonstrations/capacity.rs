//! How much a link holds: nothing, or so much and no more.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::sync::Arc;
use std::time::Instant;

use twixt_os::posix::mq::{self, Access, Limits, Priority, Queue};
use twixt_os::posix::sem::Semaphore;
use twixt_os::posix::shm::{self, Memory, SharedMemory};
use twixt_os::{ErrorKind, Mode};

use crate::demonstration::Demonstration;
use crate::failure::{Failure, expect};
use crate::party::Party;
use crate::run::Run;

pub(super) const ZERO: Demonstration = Demonstration {
    name: "capacity-zero",
    shows: "a rendezvous: the sender returns when the receiver has it",
    parties: &[("sender", sender), ("receiver", receiver)],
    conduct: meet,
    remove: |names| {
        let _ = shm::unlink(&names.posix(NAME));
        let _ = fs::remove_file(names.path(LETTERS));
    },
    two_terminals: None,
};

pub(super) const BOUNDED: Demonstration = Demonstration {
    name: "capacity-bounded",
    shows: "four messages fit; the fifth waits for room",
    parties: &[("producer", producer), ("consumer", consumer)],
    conduct: |run| {
        run.start("producer")?;
        run.wait_for("full")?;
        run.start("consumer")?;
        run.finish()?;
        expect("messages that were taken", run.count("messages"), CAPACITY as u64 + run.rounds())
    },
    remove: |names| drop(mq::unlink(&names.posix(NAME))),
    two_terminals: None,
};

const NAME: &str = "link";

/// A link that holds nothing: memory for one number, which is only used while both sides are there.
struct Rendezvous {
    memory: Arc<Memory>,
    receiver_waits: Semaphore,
    offered: Semaphore,
    taken: Semaphore,
}

/// Where the parts lie, each on a cache line of its own.
const NUMBER: usize = 0;
const RECEIVER_WAITS: usize = 64;
const OFFERED: usize = 128;
const TAKEN: usize = 192;
const SIZE: u64 = 256;

impl Rendezvous {
    /// Makes it; nobody finds it before its semaphores are what they should be.
    fn create(name: &str) -> Result<Self, Failure> {
        SharedMemory::create_with(name, SIZE, Mode::OWNER, |memory| {
            for offset in [RECEIVER_WAITS, OFFERED, TAKEN] {
                Semaphore::initialise(Arc::clone(&memory), offset, 0)?;
            }
            Ok(())
        })?;
        Self::open(name)
    }

    fn open(name: &str) -> Result<Self, Failure> {
        let memory = Arc::new(SharedMemory::open(name, shm::Access::ReadWrite)?.map(shm::Access::ReadWrite)?);
        let at = |offset| Semaphore::attach(Arc::clone(&memory), offset);
        let (receiver_waits, offered, taken) = (at(RECEIVER_WAITS)?, at(OFFERED)?, at(TAKEN)?);
        Ok(Self { memory, receiver_waits, offered, taken })
    }

    /// Returns once the receiver has taken it.
    fn send(&self, number: u64) -> Result<(), Failure> {
        self.receiver_waits.acquire()?;
        self.memory.write(NUMBER, &number.to_le_bytes())?;
        self.offered.release()?;
        Ok(self.taken.acquire()?)
    }

    /// Takes a number; `done` is done before the sender may return.
    fn receive(&self, done: impl FnOnce() -> Result<(), Failure>) -> Result<u64, Failure> {
        self.receiver_waits.release()?;
        self.offered.acquire()?;
        let mut number = [0; size_of::<u64>()];
        self.memory.read(NUMBER, &mut number)?;
        done()?;
        self.taken.release()?;
        Ok(u64::from_le_bytes(number))
    }
}

/// Where both sides leave a letter each: `t` for taken, `r` for returned.
const LETTERS: &str = "letters";

fn meet(run: &mut Run<'_>) -> Result<(), Failure> {
    run.start("sender")?;
    run.wait_for("would block")?;
    run.start("receiver")?;
    run.finish()?;
    let letters = fs::read_to_string(run.names().path(LETTERS))?;
    let should = "tr".repeat(usize::try_from(run.rounds()).unwrap_or(usize::MAX));
    expect("whether every send returned after its message was taken", letters == should, true)
}

fn letters(party: &Party) -> Result<fs::File, Failure> {
    Ok(OpenOptions::new().create(true).append(true).open(party.names().path(LETTERS))?)
}

fn sender(party: &Party) -> Result<(), Failure> {
    let link = Rendezvous::create(&party.names().posix(NAME))?;
    let mut letters = letters(party)?;
    // Nobody is there to take anything, and there is nowhere to leave it.
    match link.receiver_waits.try_acquire() {
        Err(error) if error.kind() == ErrorKind::WouldBlock => party.reached("would block", ""),
        outcome => return Err(Failure::wrong(format_args!("sending to nobody gave {outcome:?}"))),
    }
    let mut samples = party.samples();
    for round in 0..party.rounds() {
        let start = Instant::now();
        link.send(round)?;
        letters.write_all(b"r")?;
        samples.push(start.elapsed());
        party.say(&format!("Sender: {round} was taken"));
    }
    party.measured(samples);
    Ok(())
}

fn receiver(party: &Party) -> Result<(), Failure> {
    let link = Rendezvous::open(&party.names().posix(NAME))?;
    let mut letters = letters(party)?;
    for round in 0..party.rounds() {
        let number = link.receive(|| Ok(letters.write_all(b"t")?))?;
        expect("the number", number, round)?;
        party.say(&format!("Receiver: took {number}"));
    }
    Ok(())
}

/// How many messages the bounded link holds.
const CAPACITY: usize = 4;
const LIMITS: Limits = Limits { max_messages: CAPACITY, message_size: size_of::<u64>() };

fn producer(party: &Party) -> Result<(), Failure> {
    let queue = Queue::create(&party.names().posix(NAME), Access::Write, LIMITS, Mode::OWNER)?;
    for number in 0..CAPACITY as u64 {
        queue.try_send(&number.to_le_bytes(), Priority::LOWEST)?;
        party.say(&format!("Producer: {number} fits"));
    }
    match queue.try_send(&[], Priority::LOWEST) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => party.reached("full", ""),
        outcome => return Err(Failure::wrong(format_args!("a full queue gave {outcome:?}"))),
    }
    let mut samples = party.samples();
    for round in 0..party.rounds() {
        let start = Instant::now();
        queue.send_deadline(&(CAPACITY as u64 + round).to_le_bytes(), Priority::LOWEST, party.deadline())?;
        samples.push(start.elapsed());
    }
    party.measured(samples);
    Ok(())
}

fn consumer(party: &Party) -> Result<(), Failure> {
    let queue = Queue::open(&party.names().posix(NAME), Access::Read)?;
    let mut bytes = [0; size_of::<u64>()];
    let mut messages = 0;
    while messages < CAPACITY as u64 + party.rounds() {
        queue.receive_deadline(&mut bytes, party.deadline())?;
        expect("the next message", u64::from_le_bytes(bytes), messages)?;
        messages += 1;
    }
    party.say(&format!("Consumer: took {messages} in order"));
    party.counted("messages", messages);
    Ok(())
}
