//! System V semaphores: mutual exclusion (initial value 1) and order (initial value 0).

use std::sync::atomic::Ordering;

use twixt_os::Mode;
use twixt_os::mmap::MappedFile;
use twixt_os::sysv::sem::Set;

use super::posix_sem::raise;
use super::{counter, order};
use crate::demonstration::Demonstration;
use crate::failure::Failure;
use crate::names::Names;
use crate::party::Party;

pub(super) const MUTEX: Demonstration = Demonstration {
    name: "sysv-sem-mutex",
    shows: "initial value 1, SEM_UNDO: three processes, one counter",
    parties: &[("worker", worker)],
    conduct: |run| {
        let counter = MappedFile::create(run.names().path(COUNTER), size_of::<u64>())?;
        Set::create_with(run.names().key(0), &[1], Mode::OWNER)?;
        counter::compete(run, || Ok(counter.memory().load_u64(0, Ordering::Acquire)?))
    },
    remove: |names| {
        remove(names);
        let _ = std::fs::remove_file(names.path(COUNTER));
    },
    two_terminals: None,
};

pub(super) const ORDER: Demonstration = Demonstration {
    name: "sysv-sem-order",
    shows: "initial value 0: A comes before B, every time",
    parties: &[("first", first), ("second", second)],
    conduct: |run| {
        Set::create_with(run.names().key(0), &[0, 0], Mode::OWNER)?;
        order::conduct(run)
    },
    remove: |names| {
        remove(names);
        order::remove(names);
    },
    two_terminals: None,
};

const COUNTER: &str = "counter";

/// The two semaphores of an order.
const A_DONE: u16 = 0;
const B_DONE: u16 = 1;

pub(super) fn remove(names: &Names) {
    if let Ok(set) = Set::open(names.key(0)) {
        let _ = set.remove();
    }
}

fn worker(party: &Party) -> Result<(), Failure> {
    let mutex =
        twixt_os::sysv::sem::Mutex::open_or_create(party.names().key(0), Mode::OWNER, party.deadline())?;
    let counter = MappedFile::open(party.names().path(COUNTER))?;
    counter::work(party, || {
        let _held = mutex.lock()?;
        raise(&counter)
    })
}

fn set(party: &Party) -> Result<Set, Failure> {
    Ok(Set::open(party.names().key(0))?)
}

fn first(party: &Party) -> Result<(), Failure> {
    let set = set(party)?;
    order::first(party, || Ok(set.release(A_DONE)?), || Ok(set.acquire(B_DONE)?))
}

fn second(party: &Party) -> Result<(), Failure> {
    let set = set(party)?;
    order::second(party, || Ok(set.acquire(A_DONE)?), || Ok(set.release(B_DONE)?))
}
