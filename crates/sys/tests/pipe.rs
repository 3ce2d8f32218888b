//! A SIGPIPE that is raised by a call is gone after it, and one that was pending before stays.

use std::fs;

use twixt_sys::Errno;
use twixt_sys::pipe::{default_sigpipe, without_sigpipe};
use twixt_sys::signal::send_to_thread;

const SIGPIPE: i32 = 13;

/// Whether SIGPIPE stands in this line of the thread's status.
fn is_set(line: &str) -> bool {
    let status = fs::read_to_string("/proc/thread-self/status").unwrap();
    let mask = status.lines().find_map(|text| text.strip_prefix(line)).unwrap();
    u64::from_str_radix(mask.trim(), 16).unwrap() & 1 << (SIGPIPE - 1) != 0
}

fn raise() -> Result<(), Errno> {
    send_to_thread(rustix::thread::gettid(), SIGPIPE)
}

#[test]
fn a_sigpipe_is_taken_away_and_an_older_one_kept() {
    // Ignored, as in every Rust program: nothing to be done.
    without_sigpipe(|| {
        assert!(!is_set("SigBlk:"));
        raise()
    })
    .unwrap();

    default_sigpipe().unwrap();
    let outcome = without_sigpipe(|| {
        assert!(is_set("SigBlk:"));
        raise()?;
        assert!(is_set("SigPnd:"));
        Err::<(), _>(Errno::PIPE)
    });
    assert_eq!(outcome, Err(Errno::PIPE));
    assert!(!is_set("SigBlk:") && !is_set("SigPnd:"));

    without_sigpipe(|| {
        // Blocked already, by the outer call.
        without_sigpipe(raise)?;
        assert!(is_set("SigBlk:") && !is_set("SigPnd:"));
        raise()?;
        // Pending already: not the inner call's.
        without_sigpipe(|| Ok(()))?;
        assert!(is_set("SigBlk:") && is_set("SigPnd:"));
        Ok(())
    })
    .unwrap();
    assert!(!is_set("SigBlk:") && !is_set("SigPnd:"));
}
