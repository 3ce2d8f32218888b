//! What only raw calls can show: a forked child, and `errno`.

use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::PidfdFlags;

use super::*;
use crate::signal::{change_mask, current, disposition::Kind, mask};

/// Only one test may use each, as dispositions belong to the process.
const FORKED: i32 = libc::SIGURG;
const FULL: i32 = libc::SIGWINCH;
/// Linux 6.9.
const PIDFD_THREAD: u32 = libc::O_EXCL as u32;
const STACKED: i32 = libc::SIGUSR2;

fn recorder() -> Arc<Recorder> {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).unwrap();
    Arc::new(Recorder::new(read, write).unwrap())
}

fn raise(signal: i32) {
    // SAFETY: the call takes an integer and touches no memory.
    assert_eq!(unsafe { libc::raise(signal) }, 0);
}

fn recorded(from: &Recorder) -> Result<usize, Errno> {
    rustix::io::read(from.read_end(), &mut [0; RECORD])
}

#[test]
fn a_forked_childs_signals_do_not_enter_the_parents_pipe() {
    let recorder = recorder();
    let guard = install(FORKED, Reaction::Record(Arc::clone(&recorder)), ActionFlags::empty(), 0).unwrap();
    // SAFETY: the child makes async-signal-safe calls only, and never returns from this block.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // The handler is the child's too. It runs, and writes nothing; dropping the guard changes nothing either.
        raise(FORKED);
        drop(guard);
        let kept = current(FORKED).is_ok_and(|current| current.kind == Kind::Ours);
        // SAFETY: ends the child without running anything of the parent's.
        unsafe { libc::_exit(if kept { 0 } else { 1 }) }
    }
    let mut status = 0;
    // SAFETY: `status` outlives the call.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    assert_eq!(status, 0);
    assert_eq!(recorded(&recorder), Err(Errno::AGAIN), "the child's signal arrived in the parent");
    raise(FORKED);
    assert_eq!(recorded(&recorder), Ok(RECORD));
    drop(guard);
    assert_eq!(current(FORKED).unwrap().kind, Kind::Default);
    assert_eq!(Arc::strong_count(&recorder), 1);
}

#[test]
fn a_pipe_that_could_hang_the_handler_is_refused() {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    assert_eq!(Recorder::new(read, write).err(), Some(Errno::INVAL));
}

#[test]
fn errno_survives_the_handler() {
    let recorder = recorder();
    while rustix::io::write(&recorder.write, &[0; RECORD]).is_ok() {}
    let _guard = install(FULL, Reaction::Record(Arc::clone(&recorder)), ActionFlags::empty(), 0).unwrap();
    // SAFETY: the call takes nothing and gives the place of the thread's `errno`.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: that place belongs to this thread.
    unsafe { errno.write(libc::EXDEV) };
    let thread = rustix::thread::gettid().as_raw_nonzero().get();
    let process = rustix::process::getpid().as_raw_nonzero().get();
    // Fails in the handler, on a full pipe; succeeds here, and so leaves `errno` alone.
    crate::signal::tgkill(process, thread, FULL).unwrap();
    // SAFETY: as above.
    assert_eq!(unsafe { errno.read() }, libc::EXDEV);
    assert_eq!(recorder.lost(), 1);
}

#[test]
fn one_node_may_be_found_by_several_installations() {
    let counters = [const { AtomicU64::new(0) }; 3].map(Arc::new);
    let count = |index: usize| {
        let reaction = Reaction::Count(Arc::clone(&counters[index]));
        install(STACKED, reaction, ActionFlags::empty(), 0).unwrap()
    };
    let lowest = count(0);
    let gone = count(1);
    // Neither of these two has a handler of its own between it and `gone`'s.
    let ignored = install(STACKED, Reaction::Ignore, ActionFlags::empty(), 0).unwrap();
    let highest = count(2);
    drop(gone);
    assert_eq!(Arc::strong_count(&counters[1]), 1);
    drop(ignored);
    drop(highest);
    let index = STACKED as usize;
    let acting = ACTING[index].load(Ordering::SeqCst);
    let node =
        registry().entries.iter().find(|entry| entry.id == lowest.id).unwrap().node.load(Ordering::SeqCst);
    assert_eq!(acting, node, "what acts now is freed memory");
    raise(STACKED);
    assert_eq!(counters.each_ref().map(|counter| counter.load(Ordering::SeqCst)), [1, 0, 0]);
    drop(lowest);
    assert!(ACTING[index].load(Ordering::SeqCst).is_null());
}

#[test]
fn numbers_that_are_no_signal_are_refused() {
    for number in [i32::MIN, -1, 0, 32, 33, 65, 1000, i32::MAX] {
        let installed = install(number, Reaction::Ignore, ActionFlags::empty(), 0);
        assert_eq!(installed.err(), Some(Errno::INVAL), "{number}");
        assert_eq!(current(number), Err(Errno::INVAL), "{number}");
    }
    for number in [libc::SIGKILL, libc::SIGSTOP] {
        let counter = Arc::new(AtomicU64::new(0));
        let installed = install(number, Reaction::Count(Arc::clone(&counter)), ActionFlags::empty(), 0);
        assert_eq!(installed.err(), Some(Errno::INVAL));
        assert_eq!(Arc::strong_count(&counter), 1, "what a failed installation held is freed");
    }
}

#[test]
fn the_c_librarys_own_signals_never_enter_a_mask() {
    let before = change_mask(crate::signal::How::Block, u64::MAX).unwrap();
    assert_eq!(mask().unwrap() & (1 << 31 | 1 << 32), 0);
    change_mask(crate::signal::How::Set, before).unwrap();
}

#[test]
fn the_c_librarys_own_signals_are_not_sent_to_threads() {
    // With a second thread the C library has a handler for the second of the two, which trusts that it comes from
    // `setuid(2)`, and follows a pointer that nothing has set.
    std::thread::spawn(|| {
        let thread = rustix::thread::gettid();
        let process = rustix::process::getpid().as_raw_nonzero().get();
        for signal in [32, 33] {
            assert_eq!(crate::signal::send_to_thread(thread, signal), Err(Errno::INVAL));
            let number = thread.as_raw_nonzero().get();
            assert_eq!(crate::signal::tgkill(process, number, signal), Err(Errno::INVAL));
            let own = rustix::process::pidfd_open(thread, PidfdFlags::from_bits_retain(PIDFD_THREAD));
            if let Ok(own) = own {
                assert_eq!(crate::signal::pidfd_send(own.as_fd(), signal), Err(Errno::INVAL));
            }
        }
    })
    .join()
    .unwrap();
}

#[test]
fn the_c_librarys_own_signals_are_not_taken_away() {
    let set = 1 << 31 | 1 << 32;
    let process = rustix::process::getpid().as_raw_nonzero().get();
    let thread = rustix::thread::gettid().as_raw_nonzero().get();
    // Blocked as nothing but a raw call can: so it stays pending.
    let mut old: crate::signal::RawSet = 0;
    let size = size_of_val(&old);
    let block = |how: i32, new: *const u64, old: *mut u64| {
        // SAFETY: both are null or point to a set, whose size is passed.
        assert_eq!(unsafe { libc::syscall(libc::SYS_rt_sigprocmask, how, new, old, size) }, 0);
    };
    block(libc::SIG_BLOCK, &set, &mut old);
    // The handler of the C library takes no notice of one that comes with a value.
    crate::signal::queue_to_thread(process, thread, 33, 0).unwrap();
    let at_once = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    let taken = crate::signal::timed_wait(set, Some(at_once)).map(|info| info.signal());
    let signalfd = crate::signal::new_signalfd(set, crate::signal::SignalFdFlags::NONBLOCK).unwrap();
    let read = rustix::io::read(&signalfd, &mut [0; 128]);
    crate::signal::set_signalfd(signalfd.as_fd(), set).unwrap();
    let again = rustix::io::read(&signalfd, &mut [0; 128]);
    block(libc::SIG_SETMASK, &old, core::ptr::null_mut());
    assert_eq!((taken, read, again), (Err(Errno::AGAIN), Err(Errno::AGAIN), Err(Errno::AGAIN)));
}
