//! The kit itself: a role is played in another process, and failures are seen.

use twixt_testkit::{Storm, test};

#[test]
fn a_child_plays_its_role_in_another_process() {
    let test = test!();
    test.role("echo", |peer| {
        let line = peer.hear();
        peer.say(&format!("{line} {} from {}", peer.arg(0), std::process::id()));
    });
    let mut child = test.child("echo").arg("with argument").spawn();
    let pid = child.pid();
    assert_ne!(pid.cast_unsigned(), std::process::id());
    child.tell("line");
    child.expect(&format!("line with argument from {pid}"));
    child.succeed();
}

#[test]
fn a_failed_role_is_a_failed_child() {
    let test = test!();
    test.role("fail", |_| std::process::exit(3));
    assert_eq!(test.child("fail").spawn().wait().code(), Some(3));
}

#[test]
fn a_descriptor_is_handed_over() {
    use std::io::Read;
    let test = test!();
    test.role("write", |_| std::fs::write("/proc/self/fd/7", "through 7").unwrap());
    let (mut read, write) = std::io::pipe().unwrap();
    test.child("write").descriptor(write.into(), 7).spawn().succeed();
    let mut text = String::new();
    read.read_to_string(&mut text).unwrap();
    assert_eq!(text, "through 7");
}

#[test]
fn a_storm_interrupts() {
    let _test = test!();
    let storm = Storm::on_this_thread();
    let timeout = rustix::event::Timespec { tv_sec: 60, tv_nsec: 0 };
    assert_eq!(rustix::event::poll(&mut [], Some(&timeout)), Err(rustix::io::Errno::INTR));
    storm.wait_for(1);
}
