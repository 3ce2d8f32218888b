//! Truncation by a peer as an error instead of a death.
//!
//! When a file is made shorter, the pages of a mapping that lay beyond its new end are gone, and touching one raises
//! SIGBUS, whose default is to end the process. Whoever may write a file may thus kill everybody who maps it. Here
//! a SIGBUS handler prevents that for the ranges that mappings of this crate registered: it puts a page of zeros
//! where the missing page was, marks the range as truncated, and returns, so that the access completes.
//! [`Mapping`](super::Mapping) looks at the mark after each access.
//!
//! The handler is installed with the first range, and never for a program that maps only sealed or anonymous memory.
//!
//! # The handler
//!
//! It may interrupt the thread anywhere, within the allocator for one, so it is made of atomic loads and stores and
//! of raw system calls: `mmap` for what is its own, and those that change the disposition, the mask or the queue of
//! signals for what is not. It runs on the alternate stack if the thread has one, and leaves `errno` as it was.
//! What is not its business goes to the disposition that it replaced: a signal that someone sent, an address outside
//! all ranges, a memory failure (`BUS_MCEERR_*`).
//!
//! # The registry
//!
//! A list of chunks of slots, which only ever grows: a chunk, once linked, is never freed, so the handler may walk
//! the list at any time. A slot is used again after its range has gone. Its `state` tells which:
//!
//! | low bits | slot | who moves it on |
//! |---|---|---|
//! | 0 | free | [`Guard::new`] claims it, by compare-and-exchange, and adds one generation |
//! | 1 | claimed, its fields are being written | the claimer |
//! | 2 | active | [`Guard::drop`] of its one owner |
//!
//! The handler reads a slot as from a sequence lock: state, fields, state again. If the state was active and the same
//! both times (the generation tells a second life), the fields belong together; if not, the slot is not the one it
//! looks for and need not be read again. For the one that it looks for does not move: the interrupted thread is in
//! an access through a `&Mapping`, which keeps the mapping, and with it the guard, alive and unchanged until the
//! handler has returned. It sees the slot as active since it came to that reference by way of the
//! registration.
//!
//! A range is registered after it is mapped and before the mapping is handed out, and leaves the registry before it is
//! unmapped. So at any time each address of an active range is memory of a live mapping, and no page of anybody
//! else's can be replaced, whatever is mapped at the same address later.

use core::ffi::{c_int, c_void};
use core::mem::MaybeUninit;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering, compiler_fence, fence};

use rustix::mm::{MapFlags, ProtFlags};

use crate::Errno;

mod chain;
#[cfg(test)]
mod tests;

/// A registered range. Leaves the registry when dropped, which must be before it is unmapped.
pub(super) struct Guard {
    slot: &'static Slot,
}

struct Slot {
    /// Generation and stage; see the table above.
    state: AtomicU64,
    /// The first address. Written by the claimer, as are the next two.
    start: AtomicUsize,
    /// The address after the last.
    end: AtomicUsize,
    /// The size of the pages that the file comes in, a power of two.
    page: AtomicUsize,
    /// Set by the handler, cleared by the next claimer.
    truncated: AtomicBool,
}

const FREE: u64 = 0;
const CLAIMED: u64 = 1;
const ACTIVE: u64 = 2;
const STAGE: u64 = 3;
const GENERATION: u64 = 4;

impl Guard {
    /// Registers `start..end`, which is mapped from a file in pages of `page` bytes, and installs the handler if it is
    /// not there.
    pub(super) fn new(start: usize, end: usize, page: usize) -> Result<Self, Errno> {
        chain::install()?;
        let (slot, claimed) = claim();
        slot.start.store(start, Ordering::Relaxed);
        slot.end.store(end, Ordering::Relaxed);
        slot.page.store(page, Ordering::Relaxed);
        slot.truncated.store(false, Ordering::Relaxed);
        // Release: pairs with the Acquire load in `Slot::covers`, so that it reads these fields.
        slot.state.store(claimed - CLAIMED + ACTIVE, Ordering::Release);
        Ok(Self { slot })
    }

    /// Whether a page of the range was found missing by an access that came before this call.
    pub(super) fn is_truncated(&self) -> bool {
        // The access and the handler that it may have raised are one thread: nothing but the compiler could move the
        // access behind the load below.
        compiler_fence(Ordering::SeqCst);
        // A thread that read zeros from a page that another thread's handler has put there did so after that handler
        // had stored the mark (Release, before its `mmap`): with this fence it sees the mark.
        fence(Ordering::Acquire);
        self.slot.truncated.load(Ordering::Relaxed)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let active = self.slot.state.load(Ordering::Relaxed);
        // Release: all accesses through the mapping are over before the slot can be claimed anew.
        self.slot.state.store(active - ACTIVE + FREE, Ordering::Release);
    }
}

impl Slot {
    const fn new() -> Self {
        Self {
            state: AtomicU64::new(FREE),
            start: AtomicUsize::new(0),
            end: AtomicUsize::new(0),
            page: AtomicUsize::new(0),
            truncated: AtomicBool::new(false),
        }
    }

    /// Makes a free slot the caller's, and tells its new state.
    fn try_claim(&self) -> Option<u64> {
        let free = self.state.load(Ordering::Relaxed);
        if free & STAGE != FREE {
            return None;
        }
        let claimed = free.wrapping_add(GENERATION) + CLAIMED;
        // Acquire: pairs with the Release in `Guard::drop`.
        self.state.compare_exchange(free, claimed, Ordering::Acquire, Ordering::Relaxed).ok()?;
        // A handler that reads one of the fields written from here on also finds the state changed: pairs with the
        // Acquire fence in `covers`.
        fence(Ordering::Release);
        Some(claimed)
    }

    /// The range and page size, if the slot is active and `address` lies in it.
    fn covers(&self, address: usize) -> Option<Range> {
        // Acquire: pairs with the Release in `Guard::new`.
        let before = self.state.load(Ordering::Acquire);
        if before & STAGE != ACTIVE {
            return None;
        }
        let range = Range {
            start: self.start.load(Ordering::Relaxed),
            end: self.end.load(Ordering::Relaxed),
            page: self.page.load(Ordering::Relaxed),
        };
        // Acquire: pairs with the Release fence in `try_claim`.
        fence(Ordering::Acquire);
        let after = self.state.load(Ordering::Relaxed);
        (before == after && (range.start..range.end).contains(&address)).then_some(range)
    }
}

struct Range {
    start: usize,
    end: usize,
    page: usize,
}

const SLOTS: usize = 64;

struct Chunk {
    slots: [Slot; SLOTS],
    /// Null at the end of the list; set once, by whoever appends.
    next: AtomicPtr<Chunk>,
}

impl Chunk {
    const fn new() -> Self {
        Self { slots: [const { Slot::new() }; SLOTS], next: AtomicPtr::new(ptr::null_mut()) }
    }

    fn next(&self) -> Option<&'static Self> {
        // Acquire: pairs with the Release in `grow`.
        let next = self.next.load(Ordering::Acquire);
        // SAFETY: null, or a chunk that `grow` leaked: valid for ever and shared by all.
        unsafe { next.as_ref() }
    }

    /// The chunk after this one, made if there is none.
    fn grow(&self) -> &'static Self {
        let made = Box::into_raw(Box::new(Self::new()));
        // Release: the chunk is whole before the handler can find it. Acquire: so is that of whoever was faster.
        let linked = self.next.compare_exchange(ptr::null_mut(), made, Ordering::AcqRel, Ordering::Acquire);
        let next = match linked {
            Ok(_null) => made,
            Err(faster) => {
                // SAFETY: `made` came from `Box::into_raw` above, and nobody else has seen it.
                drop(unsafe { Box::from_raw(made) });
                faster
            }
        };
        // SAFETY: as in `next`.
        unsafe { &*next }
    }
}

static FIRST: Chunk = Chunk::new();

fn claim() -> (&'static Slot, u64) {
    let mut chunk = &FIRST;
    loop {
        let claimed = chunk.slots.iter().find_map(|slot| Some((slot, slot.try_claim()?)));
        match claimed {
            Some(claimed) => return claimed,
            None => chunk = chunk.next().unwrap_or_else(|| chunk.grow()),
        }
    }
}

fn find(address: usize) -> Option<(&'static Slot, Range)> {
    let mut chunk = &FIRST;
    loop {
        let found = chunk.slots.iter().find_map(|slot| Some((slot, slot.covers(address)?)));
        if found.is_some() {
            return found;
        }
        chunk = chunk.next()?;
    }
}

extern "C" fn on_sigbus(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: takes nothing and gives the address of the calling thread's `errno`.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: valid as long as the thread lives.
    let before = unsafe { errno.read() };
    // SAFETY: the kernel passes a valid `siginfo_t` to a handler with SA_SIGINFO.
    let record = unsafe { &*info };
    // SAFETY: the field is plain bytes whatever the signal is, and only used where the code gives it meaning.
    let address = unsafe { record.si_addr() }.addr();
    if record.si_code != libc::BUS_ADRERR || !supply_page(address) {
        chain::pass_on(signal, info, context);
    }
    // SAFETY: as for the read.
    unsafe { errno.write(before) };
}

/// Marks the range around `address` as truncated and puts zeros there. `false` if there is no such range.
fn supply_page(address: usize) -> bool {
    let Some((slot, range)) = find(address) else { return false };
    // Release: whoever sees the zeros sees this (`Guard::is_truncated`).
    slot.truncated.store(true, Ordering::Release);
    let page = address & !(range.page - 1);
    // One page splits the mapping in up to three, for which the process may have too many (vm.max_map_count). The
    // whole range in its place does not, and costs only bytes that the mark forbids to rely on anyway.
    map_zeros(page, range.page) || map_zeros(range.start, range.end - range.start)
}

fn map_zeros(start: usize, len: usize) -> bool {
    let protection = ProtFlags::READ | ProtFlags::WRITE;
    let flags = MapFlags::PRIVATE | MapFlags::FIXED | MapFlags::NORESERVE;
    let at = ptr::without_provenance_mut(start);
    // SAFETY: the pages belong to a live mapping of this crate, of whose memory nobody holds a plain reference: only
    // atomic accesses are made, to which any change of the bytes is that of a concurrent writer. That holds for
    // the interrupted access as well.
    unsafe { rustix::mm::mmap_anonymous(at, len, protection, flags) }.is_ok()
}

/// Whether SIGBUS comes to this crate's handler at the moment, or may come to it by way of a later one.
///
/// It does not if no mapping has needed it yet, or if the program has installed a SIGBUS handler of its own since,
/// which then has to pass on what is not its own.
pub fn is_guarding() -> bool {
    chain::is_installed()
}

/// An all-zero `sigaction`: the default disposition, an empty mask, no flags.
fn default_action() -> libc::sigaction {
    // SAFETY: a C struct of integers and an optional function pointer; zero is a value of each.
    unsafe { MaybeUninit::zeroed().assume_init() }
}
