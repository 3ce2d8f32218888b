//! System V shared memory at its limits, set in an IPC namespace of the test's own.

use std::fs;

use twixt_os::sysv::Key;
use twixt_os::sysv::shm::{self, Access, Options, Segment};
use twixt_os::{Errno, ErrorKind, Mode};
use twixt_testkit::test;

/// Sets a limit of the namespace that this process runs in.
fn set(name: &str, value: u64) {
    fs::write(format!("/proc/sys/kernel/{name}"), value.to_string()).unwrap();
}

fn key() -> Key {
    Key::new(0x1234).unwrap()
}

/// All ways to make a segment of this size.
fn attempts(size: usize) -> [twixt_os::Error; 3] {
    [
        Segment::create(key(), size, Mode::OWNER).unwrap_err(),
        Segment::open_or_create(key(), size, Mode::OWNER).unwrap_err(),
        Options::new(size).create_transient().map(drop).unwrap_err(),
    ]
}

#[test]
fn the_number_of_segments() {
    test!().in_namespaces(|_| {
        set("shmmni", 1);
        let only = Segment::create(Key::PRIVATE, 1, Mode::OWNER).unwrap();
        for error in attempts(1) {
            assert_eq!((error.kind(), error.errno()), (ErrorKind::LimitReached, Some(Errno::NOSPC)));
            let limit = error.limit().unwrap();
            assert_eq!((limit.name, limit.current, limit.needed), ("kernel.shmmni", Some(1), Some(2)));
        }
        assert_eq!(
            Segment::create(key(), 1, Mode::OWNER).unwrap_err().to_string(),
            "cannot create System V shared memory 0x00001234: no space left on device (ENOSPC): kernel.shmmni is 1, \
             2 is needed; raise the sysctl kernel.shmmni, or remove segments (ipcs -m, ipcrm -m)"
        );
        assert_eq!(shm::limits().unwrap().shmmni, 1);
        assert_eq!(shm::usage().unwrap().segments, 1);
        assert_eq!(shm::list().unwrap().len(), 1);
        only.remove().unwrap();
        Segment::create(key(), 1, Mode::OWNER).unwrap();
    });
}

#[test]
fn the_size_of_a_segment() {
    test!().in_namespaces(|_| {
        set("shmmax", 5000);
        for error in attempts(5001) {
            assert_eq!((error.kind(), error.errno()), (ErrorKind::LimitReached, Some(Errno::INVAL)));
            let limit = error.limit().unwrap();
            assert_eq!((limit.name, limit.current, limit.needed), ("kernel.shmmax", Some(5000), Some(5001)));
        }
        let segment = Segment::create(key(), 5000, Mode::OWNER).unwrap();
        // Now it is the existing segment that is too small.
        let error = Segment::open_or_create(key(), 5001, Mode::OWNER).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(segment.attach(Access::ReadWrite).unwrap().len(), 5000);
    });
}

#[test]
fn the_size_of_all_segments() {
    test!().in_namespaces(|_| {
        set("shmall", 10);
        let _most = Segment::create(Key::PRIVATE, 7 * 4096, Mode::OWNER).unwrap();
        for error in attempts(3 * 4096 + 1) {
            assert_eq!((error.kind(), error.errno()), (ErrorKind::LimitReached, Some(Errno::NOSPC)));
            let limit = error.limit().unwrap();
            assert_eq!((limit.name, limit.current, limit.needed), ("kernel.shmall", Some(10), Some(11)));
        }
        Segment::create(key(), 3 * 4096, Mode::OWNER).unwrap();
        assert_eq!(shm::usage().unwrap().pages, 10);
    });
}
