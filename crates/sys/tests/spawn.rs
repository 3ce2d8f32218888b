//! What is refused before anything is spawned.

use std::fs::File;
use std::os::fd::{OwnedFd, RawFd};
use std::process::Command;

use twixt_sys::Errno;
use twixt_sys::spawn::pass_descriptors;

#[test]
fn numbers_that_no_descriptor_can_have_are_refused() {
    for number in [RawFd::MIN, -1, RawFd::MAX, RawFd::MAX - 1] {
        let descriptor = OwnedFd::from(File::open("/dev/null").unwrap());
        let passed = pass_descriptors(&mut Command::new("true"), vec![(descriptor, number)]);
        assert_eq!(passed, Err(Errno::INVAL), "{number}");
    }
}
