//! The handler and its registry. What must end a process, or change its dispositions, happens in a child.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::{env, process, thread};

use rustix::fs::{MemfdFlags, SealFlags};

use super::*;
use crate::{Access, Fault, Mapping};

const ROLE: &str = "TWIXT_SYS_TEST_CHILD";

/// Runs `body` in a child process, of which only `body`'s own end counts as success.
fn in_child(test: &str, body: impl FnOnce()) -> Option<ExitStatus> {
    if env::var(ROLE).as_deref() == Ok(test) {
        body();
        process::exit(42);
    }
    let name = format!("mapping::guard::tests::{test}");
    let mut command = Command::new(env::current_exe().unwrap());
    command.args([&name, "--exact", "--nocapture", "--test-threads=1"]).env(ROLE, test);
    Some(command.status().unwrap())
}

fn completes(status: Option<ExitStatus>) {
    assert_eq!(status.and_then(|status| status.code()), Some(42));
}

fn dies_of_sigbus(status: Option<ExitStatus>) {
    assert_eq!(status.and_then(|status| status.signal()), Some(libc::SIGBUS));
}

fn page() -> usize {
    rustix::param::page_size()
}

fn file(pages: usize) -> OwnedFd {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let file = rustix::fs::memfd_create("guarded", flags).unwrap();
    rustix::fs::ftruncate(&file, (pages * page()) as u64).unwrap();
    file
}

fn map(file: &OwnedFd, pages: usize) -> Mapping {
    Mapping::shared(file.as_fd(), 0, pages * page(), Access::ReadWrite).unwrap()
}

fn cut(file: &OwnedFd, pages: usize) {
    rustix::fs::ftruncate(file, (pages * page()) as u64).unwrap();
}

/// A mapping of a page that is gone, which this crate knows nothing of.
fn foreign() -> *mut u8 {
    let file = file(1);
    let protection = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: the kernel chooses a free range.
    let at = unsafe { rustix::mm::mmap(ptr::null_mut(), page(), protection, MapFlags::SHARED, &file, 0) };
    cut(&file, 0);
    at.unwrap().cast()
}

fn touch(at: *mut u8) -> u8 {
    // SAFETY: the page is mapped; the fault that it raises is what the tests are about.
    unsafe { at.read_volatile() }
}

/// Sets the disposition and returns whether the system call succeeded.
fn dispose(handler: usize, flags: c_int, also_blocked: &[c_int]) {
    let mut action = default_action();
    (action.sa_sigaction, action.sa_flags) = (handler, flags);
    for signal in also_blocked {
        // SAFETY: an initialised set and a valid number.
        unsafe { libc::sigaddset(&mut action.sa_mask, *signal) };
    }
    // SAFETY: the handlers of these tests are async-signal-safe.
    assert_eq!(unsafe { libc::sigaction(libc::SIGBUS, &action, ptr::null_mut()) }, 0);
}

fn send_sigbus() {
    crate::signal::send_to_thread(rustix::thread::gettid(), libc::SIGBUS).unwrap();
}

fn is_blocked(signal: c_int) -> bool {
    let mut mask = default_action().sa_mask;
    // SAFETY: the current mask is written to an initialised set; nothing changes.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, ptr::null(), &mut mask) };
    // SAFETY: an initialised set and a valid number.
    unsafe { libc::sigismember(&mask, signal) == 1 }
}

#[test]
fn a_missing_page_is_a_fault_and_then_zeros() {
    let file = file(3);
    let memory = map(&file, 3);
    memory.write(0, &vec![7; 3 * page()]).unwrap();
    assert_eq!(memory.check(), Ok(()));
    cut(&file, 1);
    let mut bytes = vec![1; 3 * page()];
    assert_eq!(memory.read(0, &mut bytes), Err(Fault::Truncated));
    assert!(bytes[..page()].iter().all(|byte| *byte == 7));
    assert!(bytes[page()..].iter().all(|byte| *byte == 0));
    // From now on each access says so, and those that would lend the memory out refuse.
    assert_eq!(memory.check(), Err(Fault::Truncated));
    assert_eq!(memory.write(0, &[1]), Err(Fault::Truncated));
    assert_eq!(memory.atomic_u32(0).map(drop), Err(Fault::Truncated));
    assert_eq!(memory.load_u64(0, Ordering::Relaxed), Err(Fault::Truncated));
    // The file is not harmed by what is written in the place of its pages, and a new mapping is whole.
    cut(&file, 3);
    assert_eq!(map(&file, 3).load_u32(2 * page(), Ordering::Relaxed), Ok(0));
}

#[test]
fn a_borrowed_atomic_reads_zero_and_check_tells() {
    let file = file(1);
    let memory = map(&file, 1);
    let word = memory.atomic_u64(8).unwrap();
    word.store(5, Ordering::Relaxed);
    cut(&file, 0);
    assert_eq!(word.load(Ordering::Relaxed), 0);
    assert_eq!(memory.check(), Err(Fault::Truncated));
}

#[test]
fn private_and_read_only_mappings_are_guarded() {
    let file = file(2);
    let private = Mapping::private(file.as_fd(), 0, 2 * page(), Access::ReadWrite).unwrap();
    let read_only = Mapping::shared(file.as_fd(), 0, 2 * page(), Access::ReadOnly).unwrap();
    cut(&file, 1);
    assert_eq!(private.write(page(), &[1]), Err(Fault::Truncated));
    assert_eq!(read_only.read(page(), &mut [0]), Err(Fault::Truncated));
}

#[test]
fn a_slot_is_clean_in_its_second_life() {
    for _ in 0..3 * SLOTS {
        let file = file(1);
        let memory = map(&file, 1);
        assert_eq!(memory.read(0, &mut [0]), Ok(()));
        cut(&file, 0);
        assert_eq!(memory.read(0, &mut [0]), Err(Fault::Truncated));
    }
}

#[test]
fn more_ranges_than_a_chunk_has_slots() {
    let files: Vec<_> = (0..3 * SLOTS).map(|_| file(1)).collect();
    let mappings: Vec<_> = files.iter().map(|file| map(file, 1)).collect();
    for file in files.iter().step_by(2) {
        cut(file, 0);
    }
    for (index, memory) in mappings.iter().enumerate() {
        let expected = if index % 2 == 0 { Err(Fault::Truncated) } else { Ok(()) };
        assert_eq!(memory.read(10, &mut [0]), expected, "mapping {index}");
    }
}

#[test]
fn threads_map_fault_and_unmap_at_once() {
    let steady = file(1);
    let steady = map(&steady, 1);
    let work = || {
        for round in 0..500 {
            let file = file(2);
            let memory = map(&file, 2);
            cut(&file, 1);
            assert_eq!(memory.write(round % page(), &[1]), Ok(()), "the first page is there");
            assert_eq!(memory.read(page() + round % page(), &mut [0]), Err(Fault::Truncated));
            assert_eq!(steady.atomic_u32(0).map(|word| word.fetch_add(1, Ordering::Relaxed)).err(), None);
        }
    };
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(work);
        }
    });
    assert_eq!(steady.load_u32(0, Ordering::Relaxed), Ok(2000));
}

#[test]
fn threads_fault_on_the_same_pages() {
    let pages = 64;
    let file = file(pages);
    let memory = map(&file, pages);
    cut(&file, 0);
    let ready = std::sync::Barrier::new(4);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                ready.wait();
                for at in (0..pages * page()).step_by(page() / 2) {
                    assert_eq!(memory.read(at, &mut [0]), Err(Fault::Truncated));
                }
            });
        }
    });
}

#[test]
fn sealed_and_anonymous_memory_needs_no_guard() {
    completes(in_child("sealed_and_anonymous_memory_needs_no_guard", || {
        let _anonymous = Mapping::anonymous(page(), Access::ReadWrite).unwrap();
        let sealed = file(1);
        rustix::fs::fcntl_add_seals(&sealed, SealFlags::SHRINK).unwrap();
        let memory = map(&sealed, 1);
        assert!(!is_guarding() && memory.guard.is_none());
        // What reaches past the end of the file is not there, sealed or not.
        let beyond = map(&sealed, 2);
        assert!(is_guarding());
        assert_eq!(beyond.read(page(), &mut [0]), Err(Fault::Truncated));
        assert_eq!(memory.read(0, &mut [0]), Ok(()));
    }));
}

#[test]
fn a_mapping_follows_its_file() {
    let file = file(1);
    let mut memory = map(&file, 1);
    memory.write(0, b"kept").unwrap();
    cut(&file, 300);
    memory.remap(300 * page()).unwrap();
    memory.write(299 * page(), b"new").unwrap();
    let mut word = [0; 4];
    memory.read(0, &mut word).unwrap();
    assert_eq!(&word, b"kept");
    // Guarded wherever it moved to.
    cut(&file, 2);
    assert_eq!(memory.read(299 * page(), &mut word), Err(Fault::Truncated));
    assert_eq!(memory.remap(page()), Err(Errno::FAULT));
    assert_eq!(Mapping::anonymous(page(), Access::ReadWrite).unwrap().remap(9), Err(Errno::INVAL));
}

#[test]
fn a_failed_remap_changes_nothing() {
    let file = file(1);
    let mut memory = map(&file, 1);
    assert!(memory.remap(usize::MAX / 2 + 1).is_err());
    assert_eq!(memory.write(0, b"there"), Ok(()));
    cut(&file, 0);
    assert_eq!(memory.read(0, &mut [0]), Err(Fault::Truncated));
}

#[test]
fn errno_is_as_it_was() {
    let file = file(1);
    let memory = map(&file, 1);
    cut(&file, 0);
    // SAFETY: gives the address of this thread's errno.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: valid while the thread lives.
    unsafe { errno.write(1234) };
    let read = memory.read(0, &mut [0]);
    // SAFETY: as above.
    assert_eq!((read, unsafe { errno.read() }), (Err(Fault::Truncated), 1234));
}

#[test]
fn a_fault_elsewhere_kills_as_in_any_rust_program() {
    dies_of_sigbus(in_child("a_fault_elsewhere_kills_as_in_any_rust_program", || {
        let file = file(1);
        let _memory = map(&file, 1);
        touch(foreign());
    }));
}

#[test]
fn a_fault_elsewhere_kills_by_default() {
    dies_of_sigbus(in_child("a_fault_elsewhere_kills_by_default", || {
        dispose(libc::SIG_DFL, 0, &[]);
        let file = file(1);
        let _memory = map(&file, 1);
        touch(foreign());
    }));
}

#[test]
fn a_signal_that_was_sent_kills_by_default() {
    dies_of_sigbus(in_child("a_signal_that_was_sent_kills_by_default", || {
        dispose(libc::SIG_DFL, 0, &[]);
        let file = file(1);
        let _memory = map(&file, 1);
        send_sigbus();
    }));
}

#[test]
fn an_ignored_signal_is_ignored_and_a_fault_is_not() {
    dies_of_sigbus(in_child("an_ignored_signal_is_ignored_and_a_fault_is_not", || {
        dispose(libc::SIG_IGN, 0, &[]);
        let file = file(1);
        let memory = map(&file, 1);
        for _ in 0..3 {
            send_sigbus();
        }
        cut(&file, 0);
        if memory.read(0, &mut [0]) != Err(Fault::Truncated) {
            process::exit(1);
        }
        touch(foreign());
    }));
}

#[test]
fn a_fault_elsewhere_kills_between_reactions_to_the_signal() {
    use crate::signal::{ActionFlags, Reaction, install};
    dies_of_sigbus(in_child("a_fault_elsewhere_kills_between_reactions_to_the_signal", || {
        let counters = [const { AtomicU64::new(0) }; 2].map(Arc::new);
        let count = |index: usize| {
            let reaction = Reaction::Count(Arc::clone(&counters[index]));
            install(libc::SIGBUS, reaction, ActionFlags::ONSTACK, 0).unwrap()
        };
        let counted = || counters.each_ref().map(|counter| counter.load(Ordering::SeqCst));
        let _below = count(0);
        let file = file(1);
        let memory = map(&file, 1);
        let above = count(1);
        send_sigbus();
        // The fault of a mapping, by way of the one above.
        cut(&file, 0);
        let truncated = memory.read(0, &mut [0]) == Err(Fault::Truncated);
        if !truncated || counted() != [0, 2] {
            process::exit(1);
        }
        drop(above);
        send_sigbus();
        if counted() != [1, 2] {
            process::exit(2);
        }
        let _above = count(1);
        touch(foreign());
    }));
}

static SEEN: AtomicUsize = AtomicUsize::new(0);
static OTHER_WAS_BLOCKED: AtomicBool = AtomicBool::new(false);
static SIGBUS_WAS_BLOCKED: AtomicBool = AtomicBool::new(false);

/// What a program's own handler may do: look at the address and mend it.
extern "C" fn mend(_signal: c_int, info: *mut libc::siginfo_t, _context: *mut c_void) {
    // SAFETY: valid, by the contract of SA_SIGINFO.
    let record = unsafe { &*info };
    // SAFETY: the field is there for this signal.
    let at = unsafe { record.si_addr() };
    SEEN.store(at.addr(), Ordering::Relaxed);
    OTHER_WAS_BLOCKED.store(is_blocked(libc::SIGUSR1), Ordering::Relaxed);
    SIGBUS_WAS_BLOCKED.store(is_blocked(libc::SIGBUS), Ordering::Relaxed);
    map_zeros(at.addr() & !(page() - 1), page());
}

fn mender() -> usize {
    let handler: extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) = mend;
    handler as *const () as usize
}

extern "C" fn count(_signal: c_int) {
    SEEN.fetch_add(1, Ordering::Relaxed);
}

#[test]
fn an_earlier_handler_gets_what_is_its() {
    completes(in_child("an_earlier_handler_gets_what_is_its", || {
        dispose(mender(), libc::SA_SIGINFO, &[libc::SIGUSR1]);
        let file = file(1);
        let memory = map(&file, 1);
        let at = foreign().wrapping_add(3);
        assert_eq!(touch(at), 0);
        assert_eq!(SEEN.swap(0, Ordering::Relaxed), at.addr());
        assert!(OTHER_WAS_BLOCKED.load(Ordering::Relaxed), "the mask that it asked for");
        assert!(SIGBUS_WAS_BLOCKED.load(Ordering::Relaxed));
        assert!(!is_blocked(libc::SIGUSR1) && !is_blocked(libc::SIGBUS), "and only meanwhile");
        // And not what is ours.
        cut(&file, 0);
        assert_eq!(memory.read(0, &mut [0]), Err(Fault::Truncated));
        assert_eq!(SEEN.load(Ordering::Relaxed), 0);
    }));
}

#[test]
fn an_earlier_handler_may_want_its_own_signal() {
    completes(in_child("an_earlier_handler_may_want_its_own_signal", || {
        dispose(mender(), libc::SA_SIGINFO | libc::SA_NODEFER, &[]);
        let file = file(1);
        let _memory = map(&file, 1);
        touch(foreign());
        assert!(!SIGBUS_WAS_BLOCKED.load(Ordering::Relaxed));
    }));
}

#[test]
fn a_one_shot_handler_is_called_once() {
    dies_of_sigbus(in_child("a_one_shot_handler_is_called_once", || {
        dispose(mender(), libc::SA_SIGINFO | libc::SA_RESETHAND, &[]);
        let file = file(1);
        let _memory = map(&file, 1);
        touch(foreign());
        if SEEN.load(Ordering::Relaxed) == 0 {
            process::exit(1);
        }
        touch(foreign());
    }));
}

/// A handler that passes on to the one it was installed over, which is ours.
extern "C" fn hand_down(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    SEEN.fetch_add(1, Ordering::Relaxed);
    on_sigbus(signal, info, context);
}

#[test]
fn handlers_that_pass_on_to_each_other_come_to_an_end() {
    dies_of_sigbus(in_child("handlers_that_pass_on_to_each_other_come_to_an_end", || {
        let handler: extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) = hand_down;
        dispose(handler as *const () as usize, libc::SA_SIGINFO, &[]);
        let file = file(1);
        let memory = map(&file, 1);
        dispose(handler as *const () as usize, libc::SA_SIGINFO, &[]);
        // What is ours comes by way of it, as often as needed.
        cut(&file, 0);
        let again = map(&file, 1);
        if [memory, again].map(|memory| memory.read(0, &mut [0])) != [Err(Fault::Truncated); 2]
            || SEEN.load(Ordering::Relaxed) != 2
        {
            process::exit(1);
        }
        touch(foreign());
    }));
}

#[test]
fn a_plain_handler_gets_what_was_sent() {
    completes(in_child("a_plain_handler_gets_what_was_sent", || {
        let handler: extern "C" fn(c_int) = count;
        dispose(handler as *const () as usize, 0, &[]);
        let file = file(1);
        let _memory = map(&file, 1);
        for _ in 0..3 {
            send_sigbus();
        }
        assert_eq!(SEEN.load(Ordering::Relaxed), 3);
    }));
}

#[test]
fn a_later_handler_is_left_in_place() {
    completes(in_child("a_later_handler_is_left_in_place", || {
        let file = file(1);
        let _memory = map(&file, 1);
        dispose(mender(), libc::SA_SIGINFO, &[]);
        let _another = map(&file, 1);
        touch(foreign());
        assert_ne!(SEEN.load(Ordering::Relaxed), 0);
    }));
}

#[test]
fn the_handler_comes_back_after_a_reset() {
    completes(in_child("the_handler_comes_back_after_a_reset", || {
        let file = file(1);
        let _memory = map(&file, 1);
        dispose(libc::SIG_DFL, 0, &[]);
        assert!(!is_guarding());
        let again = map(&file, 1);
        assert!(is_guarding());
        cut(&file, 0);
        assert_eq!(again.read(0, &mut [0]), Err(Fault::Truncated));
    }));
}

#[test]
fn a_forked_child_is_guarded_too() {
    let file = file(1);
    let memory = map(&file, 1);
    cut(&file, 0);
    // SAFETY: the child makes only system calls and atomic accesses before it ends.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let outcome = memory.read(0, &mut [0]);
        // SAFETY: ends the child without running what belongs to the parent.
        unsafe { libc::_exit(if outcome == Err(Fault::Truncated) { 42 } else { 1 }) };
    }
    let mut status = 0;
    // SAFETY: waits for the child made above; the status is written to a valid place.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    assert_eq!(libc::WEXITSTATUS(status), 42);
    // Its patch is its own: here the page is still missing.
    assert_eq!(memory.check(), Ok(()));
    assert_eq!(memory.read(0, &mut [0]), Err(Fault::Truncated));
}
