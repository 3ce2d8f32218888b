//! POSIX semaphores: mutual exclusion (initial value 1) and order (initial value 0).

use twixt_os::Mode;
use twixt_os::mmap::MappedFile;
use twixt_os::posix::sem::{self, Semaphore};

use super::{counter, order};
use crate::demonstration::Demonstration;
use crate::failure::Failure;
use crate::names::Names;
use crate::party::Party;

pub(super) const MUTEX: Demonstration = Demonstration {
    name: "posix-sem-mutex",
    shows: "initial value 1: three processes, one counter, nothing lost",
    parties: &[("worker", worker)],
    conduct: |run| {
        let path = run.names().path(COUNTER);
        let counter = MappedFile::create(&path, size_of::<u64>())?;
        Semaphore::create(&run.names().posix(MUTEX_NAME), 1, Mode::OWNER)?;
        counter::compete(run, || Ok(counter.memory().load_u64(0, std::sync::atomic::Ordering::Acquire)?))
    },
    remove: |names| {
        let _ = sem::unlink(&names.posix(MUTEX_NAME));
        let _ = std::fs::remove_file(names.path(COUNTER));
    },
    two_terminals: None,
};

pub(super) const ORDER: Demonstration = Demonstration {
    name: "posix-sem-order",
    shows: "initial value 0: A comes before B, every time",
    parties: &[("first", first), ("second", second)],
    conduct: |run| {
        Semaphore::create(&run.names().posix(A_DONE), 0, Mode::OWNER)?;
        Semaphore::create(&run.names().posix(B_DONE), 0, Mode::OWNER)?;
        order::conduct(run)
    },
    remove: |names| {
        let _ = sem::unlink(&names.posix(A_DONE));
        let _ = sem::unlink(&names.posix(B_DONE));
        order::remove(names);
    },
    two_terminals: None,
};

const COUNTER: &str = "counter";
const MUTEX_NAME: &str = "mutex";
const A_DONE: &str = "a";
const B_DONE: &str = "b";

fn worker(party: &Party) -> Result<(), Failure> {
    let semaphore = Semaphore::open(&party.names().posix(MUTEX_NAME))?;
    let counter = MappedFile::open(party.names().path(COUNTER))?;
    counter::work(party, || {
        semaphore.acquire()?;
        raise(&counter)?;
        Ok(semaphore.release()?)
    })
}

/// Reads the counter and writes it one higher: two steps, between which another process could come.
pub(super) fn raise(counter: &MappedFile) -> Result<(), Failure> {
    let mut number = [0; size_of::<u64>()];
    counter.memory().read(0, &mut number)?;
    counter.memory().write(0, &(u64::from_ne_bytes(number) + 1).to_ne_bytes())?;
    Ok(())
}

fn pair(names: &Names) -> Result<(Semaphore, Semaphore), Failure> {
    Ok((Semaphore::open(&names.posix(A_DONE))?, Semaphore::open(&names.posix(B_DONE))?))
}

fn first(party: &Party) -> Result<(), Failure> {
    let (a, b) = pair(party.names())?;
    order::first(party, || Ok(a.release()?), || Ok(b.acquire()?))
}

fn second(party: &Party) -> Result<(), Failure> {
    let (a, b) = pair(party.names())?;
    order::second(party, || Ok(a.acquire()?), || Ok(b.release()?))
}
