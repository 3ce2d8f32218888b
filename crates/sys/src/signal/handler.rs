//! The one signal handler of this crate, and the registry of what it does for each signal.
//!
//! The handler takes no lock and allocates nothing: it finds its [`Node`] through an atomic pointer, adds to a counter
//! or writes one record to a pipe, and puts `errno` back. Whoever removes a node waits until no handler of the signal
//! is running any more, so that nothing is freed or closed under a handler's feet.
//!
//! Installations of one signal are a stack. The last one acts; taking it away brings back what it found, and taking
//! away one further down hands what *that* found to the one above it. A disposition that somebody else set on top,
//! past this registry, is left alone.

use core::mem;
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use rustix::fs::OFlags;

use super::{ActionFlags, RECORD, RawInfo, RawSet, disposition, wiped};
use crate::{Errno, fork};

#[cfg(test)]
mod tests;

/// Signals are 1 to 64; index 0 stands empty.
pub(super) const SIGNALS: usize = 65;

/// What to do when the signal arrives.
#[derive(Clone, Debug)]
pub enum Reaction {
    /// `SIG_DFL`
    Default,
    /// `SIG_IGN`
    Ignore,
    /// A handler that does nothing, but ends the blocking call that it interrupts.
    Interrupt,
    /// A handler that adds one, with release ordering.
    Count(Arc<AtomicU64>),
    /// A handler that writes the signal's record to a pipe.
    Record(Arc<Recorder>),
}

/// A pipe into which handlers write a record of [`RECORD`] bytes for each signal, and the count of those that found
/// no room.
///
/// It owns both ends: while a handler may write there is always a reader, and so never a SIGPIPE.
#[derive(Debug)]
pub struct Recorder {
    read: OwnedFd,
    write: OwnedFd,
    lost: AtomicU64,
}

impl Recorder {
    /// Takes over a pipe.
    ///
    /// # Errors
    /// `EINVAL` if the write end is not non-blocking: a full pipe would hang the handler, and whoever waits for that.
    pub fn new(read: OwnedFd, write: OwnedFd) -> Result<Self, Errno> {
        if !rustix::fs::fcntl_getfl(&write)?.contains(OFlags::NONBLOCK) {
            return Err(Errno::INVAL);
        }
        Ok(Self { read, write, lost: AtomicU64::new(0) })
    }

    /// The end to read from.
    pub fn read_end(&self) -> BorrowedFd<'_> {
        self.read.as_fd()
    }

    /// How many records found no room so far.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Async-signal-safe: one `write(2)`, which is atomic, having at most `PIPE_BUF` bytes.
    fn record(&self, info: &RawInfo) {
        if rustix::io::write(&self.write, &info.as_bytes()[..RECORD]) != Ok(RECORD) {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// What the handler does for one installation. Written before it is published, and never after.
struct Node {
    reaction: Reaction,
    /// The process that installed it, by its [`fork::epoch`]: a descendant may come to have the same id.
    process: u64,
    /// The handler below all of ours, which a genuine fault is handed to.
    below: Below,
    /// Where an installation of ours lies below that handler again: what is below that.
    beneath: Below,
}

/// The disposition that somebody else had set.
#[derive(Clone, Copy)]
enum Below {
    /// The default, or ignored.
    NoHandler,
    /// A handler without `SA_SIGINFO`.
    Plain(extern "C" fn(libc::c_int)),
    /// A handler with it.
    WithInfo(extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void)),
}

/// The acting node of each signal. Written under the registry's lock, read by the handler.
static ACTING: [AtomicPtr<Node>; SIGNALS] = [const { AtomicPtr::new(ptr::null_mut()) }; SIGNALS];

/// All installations, in the order in which they were made. Never locked by the handler.
static REGISTRY: Mutex<Registry> = Mutex::new(Registry { entries: Vec::new(), next: 0 });

struct Registry {
    entries: Vec<Entry>,
    next: u64,
}

struct Entry {
    id: u64,
    signal: i32,
    /// Null for the two dispositions without a handler.
    node: AtomicPtr<Node>,
    /// What was set.
    put: libc::sigaction,
    /// What was there before, and the node that acted.
    found: libc::sigaction,
    found_node: AtomicPtr<Node>,
}

fn registry() -> MutexGuard<'static, Registry> {
    REGISTRY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An installation, which ends when dropped, and brings back what was there before. See [`install`].
#[derive(Debug)]
pub struct Installed {
    id: u64,
    signal: i32,
    process: u64,
}

/// Sets a disposition. `mask` is what is blocked while the handler runs, beside the signal itself.
///
/// # Errors
/// `EINVAL` for a number that is no signal, the two that the C library keeps for itself, SIGKILL and SIGSTOP.
#[doc(alias = "sigaction")]
pub fn install(
    signal: i32,
    reaction: Reaction,
    flags: ActionFlags,
    mask: RawSet,
) -> Result<Installed, Errno> {
    let acting = usize::try_from(signal).ok().and_then(|index| ACTING.get(index)).ok_or(Errno::INVAL)?;
    let process = fork::epoch();
    let mut registry = registry();
    wiped::ensure(process)?;
    let (below, beneath) = below(acting, &disposition::query(signal)?);
    let (handler, flags) = match reaction {
        Reaction::Default => (libc::SIG_DFL, flags.bits()),
        Reaction::Ignore => (libc::SIG_IGN, flags.bits()),
        _ => (address(), flags.bits() | libc::SA_SIGINFO),
    };
    let put = disposition::action(handler, flags, mask);
    let found_node = acting.load(Ordering::Relaxed);
    let mut node = ptr::null_mut();
    if handler == address() {
        node = Box::into_raw(Box::new(Node { reaction, process, below, beneath }));
        acting.store(node, Ordering::SeqCst);
    }
    // SAFETY: the handler is one of the two that are none, or `dispatch` with `SA_SIGINFO`.
    let found = unsafe { disposition::set(signal, &put) };
    let found = found.inspect_err(|_| retire(signal, acting, node, found_node))?;
    let id = registry.next;
    registry.next += 1;
    let (node, found_node) = (AtomicPtr::new(node), AtomicPtr::new(found_node));
    registry.entries.push(Entry { id, signal, node, put, found, found_node });
    Ok(Installed { id, signal, process })
}

impl Installed {
    /// The signal.
    pub fn signal(&self) -> i32 {
        self.signal
    }

    /// Leaves the disposition in place for the life of the process.
    pub fn keep(self) {
        mem::forget(self);
    }
}

impl Drop for Installed {
    fn drop(&mut self) {
        // A forked child has its own copy of the dispositions, but the registry as the fork found it.
        if fork::epoch() != self.process {
            return;
        }
        let mut registry = registry();
        let entries = &mut registry.entries;
        let Some(at) = entries.iter().position(|entry| entry.id == self.id) else { return };
        let mut entry = entries.remove(at);
        let signal = entry.signal;
        let mut above = entries[at..].iter_mut().filter(|above| above.signal == signal);
        match above.next() {
            Some(next) => {
                next.inherit(&mut entry);
                // Those that brought no node of their own found the one below: several may have found the same.
                above.for_each(|above| above.inherit_node(&mut entry));
            }
            None => entry.restore(),
        }
        let Some(acting) = ACTING.get(entry.signal as usize) else { return };
        retire(entry.signal, acting, *entry.node.get_mut(), *entry.found_node.get_mut());
    }
}

impl Entry {
    /// Takes over what the entry below has found, as that goes.
    fn inherit(&mut self, below: &mut Self) {
        if below.may_show_as(self.found.sa_sigaction) {
            self.found = below.found;
        }
        self.inherit_node(below);
    }

    /// Forgets a node that goes, and takes the one that was found below it.
    fn inherit_node(&mut self, below: &mut Self) {
        if !below.node.get_mut().is_null() && self.found_node.get_mut() == below.node.get_mut() {
            *self.found_node.get_mut() = *below.found_node.get_mut();
        }
    }

    /// Brings back what was found, unless somebody else has set something since.
    fn restore(&self) {
        let Ok(now) = disposition::query(self.signal) else { return };
        if self.may_show_as(now.sa_sigaction) {
            // SAFETY: this is what `disposition::set` has found. It cannot fail where it has succeeded before.
            let _ = unsafe { disposition::set(self.signal, &self.found) };
        }
    }

    /// Whether this handler address is what was put, or what is left of it when it was for once and has fired.
    fn may_show_as(&self, handler: usize) -> bool {
        let once = self.put.sa_flags & libc::SA_RESETHAND != 0;
        handler == self.put.sa_sigaction || once && handler == libc::SIG_DFL
    }
}

/// Takes a node that no disposition leads to any more out of use, waits until no handler uses it, and frees it.
fn retire(signal: i32, acting: &AtomicPtr<Node>, node: *mut Node, found: *mut Node) {
    if node.is_null() {
        return;
    }
    // Either the handler sees this store, or the loop below sees that it is running: all four are SeqCst.
    let _ = acting.compare_exchange(node, found, Ordering::SeqCst, Ordering::SeqCst);
    let running = wiped::page().and_then(|page| page.running(signal as usize));
    while running.is_some_and(|running| running.load(Ordering::SeqCst) != 0) {
        thread::yield_now();
    }
    // SAFETY: it came out of a box, its entry is gone, no entry leads to it, and no handler has it in hand.
    drop(unsafe { Box::from_raw(node) });
}

/// The handler that lies below all of ours, and what lies below that.
fn below(acting: &AtomicPtr<Node>, found: &libc::sigaction) -> (Below, Below) {
    // SAFETY: null, or a node that cannot be retired while the caller holds the registry's lock.
    let node = unsafe { acting.load(Ordering::Relaxed).as_ref() };
    let known = node.map_or((Below::NoHandler, Below::NoHandler), |node| (node.below, node.beneath));
    let foreign = match found.sa_sigaction {
        libc::SIG_DFL | libc::SIG_IGN => return (Below::NoHandler, Below::NoHandler),
        ours if ours == address() => return known,
        foreign if found.sa_flags & libc::SA_SIGINFO != 0 => {
            // SAFETY: with this flag the kernel calls the address as such a function, and somebody has set it.
            Below::WithInfo(unsafe { mem::transmute::<usize, extern "C" fn(_, _, _)>(foreign) })
        }
        foreign => {
            // SAFETY: without the flag the kernel calls the address as such a function, and somebody has set it.
            Below::Plain(unsafe { mem::transmute::<usize, extern "C" fn(_)>(foreign) })
        }
    };
    let (below, beneath) = known;
    (foreign, if below.is(found.sa_sigaction) { beneath } else { below })
}

impl Below {
    fn is(self, handler: usize) -> bool {
        match self {
            Self::NoHandler => false,
            Self::Plain(function) => function as *const () as usize == handler,
            Self::WithInfo(function) => function as *const () as usize == handler,
        }
    }
}

/// The address of the handler, as `sigaction` takes and gives it.
pub(crate) fn address() -> usize {
    let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) = dispatch;
    handler as *const () as usize
}

extern "C" fn dispatch(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the call takes nothing and gives the place of the thread's `errno`.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: that place belongs to this thread.
    let interrupted = unsafe { errno.read() };
    // SAFETY: the handler is installed with SA_SIGINFO only, so the kernel passes a whole record.
    let record = unsafe { info.cast::<RawInfo>().read() };
    let below = react(signal, &record);
    if is_fault(&record) {
        hand_down(below, signal, info, context);
    }
    // SAFETY: as above.
    unsafe { errno.write(interrupted) };
}

/// What [`dispatch`] does where another handler of this crate, at `from`, has found it installed and passes a signal on.
///
/// If it has been installed above that one too, a fault went through it already, and it would hand the fault to the
/// other again, without end.
pub(crate) fn pass_on(
    from: usize,
    signal: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) {
    // SAFETY: the other handler is one with SA_SIGINFO, so the kernel has passed it a whole record.
    let record = unsafe { info.cast::<RawInfo>().read() };
    let beneath = |node: &Node, _: &_| node.below.is(from).then_some(node.beneath);
    match is_fault(&record).then(|| with_acting(signal, beneath)).flatten().flatten() {
        Some(beneath) => hand_down(beneath, signal, info, context),
        None => dispatch(signal, info, context),
    }
}

/// Does what is to be done, and says what lies below.
fn react(signal: libc::c_int, record: &RawInfo) -> Below {
    let below = with_acting(signal, |node, page| {
        match &node.reaction {
            Reaction::Default | Reaction::Ignore | Reaction::Interrupt => {}
            // Release: pairs with the Acquire of whoever reads the counter.
            Reaction::Count(counter) => _ = counter.fetch_add(1, Ordering::Release),
            // In a forked child the pipe is the parent's, and the signal is not.
            Reaction::Record(recorder) if page.is_in(node.process) => recorder.record(record),
            Reaction::Record(_) => {}
        }
        node.below
    });
    below.unwrap_or(Below::NoHandler)
}

/// Does something with the acting node, if there is one, which is not freed meanwhile.
fn with_acting<T>(signal: libc::c_int, work: impl FnOnce(&Node, &wiped::Handlers) -> T) -> Option<T> {
    let index = signal as usize;
    let page = wiped::page()?;
    let (acting, running) = (ACTING.get(index)?, page.running(index)?);
    running.fetch_add(1, Ordering::SeqCst);
    // SAFETY: null, or a node that `retire` does not free while `running` is not zero.
    let done = unsafe { acting.load(Ordering::SeqCst).as_ref() }.map(|node| work(node, page));
    running.fetch_sub(1, Ordering::SeqCst);
    done
}

/// Whether the signal is an instruction of this thread that failed, and will fail again when the handler returns.
/// Such a signal that a process sent has a code that is not positive.
fn is_fault(record: &RawInfo) -> bool {
    matches!(record.signal(), libc::SIGSEGV | libc::SIGBUS | libc::SIGILL | libc::SIGFPE) && record.code() > 0
}

/// Lets the handler that was there before deal with a fault; where there was none, the default disposition will, as
/// the instruction is tried again.
fn hand_down(below: Below, signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    match below {
        Below::Plain(handler) => handler(signal),
        Below::WithInfo(handler) => handler(signal, info, context),
        Below::NoHandler => {
            let default = disposition::action(libc::SIG_DFL, 0, 0);
            // SAFETY: the default disposition has no handler.
            let _ = unsafe { disposition::set(signal, &default) };
        }
    }
}
