//! System V semaphore sets at their limits, set in an IPC namespace of the test's own.

use std::fs;

use twixt_os::sysv::Key;
use twixt_os::sysv::sem::{self, Operation, Set};
use twixt_os::{Errno, ErrorKind, Mode, Wait};
use twixt_testkit::test;

/// Sets the four limits of the namespace that this process runs in.
fn limit(semmsl: u32, semmns: u32, semopm: u32, semmni: u32) {
    fs::write("/proc/sys/kernel/sem", format!("{semmsl} {semmns} {semopm} {semmni}")).unwrap();
}

fn key() -> Key {
    Key::new(0x1234).unwrap()
}

/// All ways to make a set of `count`.
fn attempts(count: usize) -> [twixt_os::Error; 4] {
    let values = vec![1; count];
    [
        Set::create(key(), count, Mode::OWNER).unwrap_err(),
        Set::open_or_create(key(), count, Mode::OWNER).unwrap_err(),
        Set::create_with(key(), &values, Mode::OWNER).unwrap_err(),
        Set::open_or_create_with(key(), &values, Mode::OWNER, Wait::forever()).unwrap_err(),
    ]
}

#[test]
fn the_number_of_sets() {
    test!().in_namespaces(|_| {
        limit(32000, 1000, 500, 1);
        let _only = Set::create(Key::PRIVATE, 1, Mode::OWNER).unwrap();
        for error in attempts(1) {
            assert_eq!((error.kind(), error.errno()), (ErrorKind::LimitReached, Some(Errno::NOSPC)));
            let limit = error.limit().unwrap();
            assert_eq!(
                (limit.name, limit.current, limit.needed),
                ("kernel.sem[3] (SEMMNI)", Some(1), Some(2))
            );
        }
        assert_eq!(
            Set::create(key(), 1, Mode::OWNER).unwrap_err().to_string(),
            "cannot create System V semaphore set 0x00001234: no space left on device (ENOSPC): \
             kernel.sem[3] (SEMMNI) is 1, 2 is needed; raise the fourth number of the sysctl kernel.sem, or remove \
             sets (ipcs -s, ipcrm -s)"
        );
        assert_eq!(sem::limits().unwrap().semmni, 1);
        assert_eq!(sem::usage().unwrap(), sem::Usage { sets: 1, semaphores: 1 });
        assert_eq!(sem::list().unwrap().len(), 1);
    });
}

#[test]
fn the_number_of_semaphores() {
    test!().in_namespaces(|_| {
        limit(32000, 10, 500, 100);
        let _most = Set::create(Key::PRIVATE, 7, Mode::OWNER).unwrap();
        for error in attempts(4) {
            assert_eq!((error.kind(), error.errno()), (ErrorKind::LimitReached, Some(Errno::NOSPC)));
            let limit = error.limit().unwrap();
            assert_eq!(
                (limit.name, limit.current, limit.needed),
                ("kernel.sem[1] (SEMMNS)", Some(10), Some(11))
            );
        }
        Set::create(key(), 3, Mode::OWNER).unwrap();
    });
}

#[test]
fn the_size_of_a_set() {
    test!().in_namespaces(|_| {
        limit(5, 1000, 500, 100);
        for error in attempts(6) {
            assert_eq!((error.kind(), error.errno()), (ErrorKind::LimitReached, Some(Errno::INVAL)));
            let limit = error.limit().unwrap();
            assert_eq!(
                (limit.name, limit.current, limit.needed),
                ("kernel.sem[0] (SEMMSL)", Some(5), Some(6))
            );
        }
        Set::create(key(), 5, Mode::OWNER).unwrap();
    });
}

#[test]
fn the_number_of_operations() {
    test!().in_namespaces(|_| {
        limit(32000, 1000, 3, 100);
        // More values than operations: it takes two steps then.
        let set = Set::create_with(key(), &[9, 8, 7, 6, 5], Mode::OWNER).unwrap();
        assert_eq!(set.values().unwrap(), [9, 8, 7, 6, 5]);
        assert!(set.is_initialised().unwrap());
        let bare = Set::create(Key::PRIVATE, 4, Mode::OWNER).unwrap();
        bare.initialise(&[0, 1, 2, 3]).unwrap();
        assert_eq!(bare.values().unwrap(), [0, 1, 2, 3]);
        assert!(bare.is_initialised().unwrap());

        set.operate(&[Operation::acquire(0); 3]).unwrap();
        for error in [
            set.operate(&[Operation::acquire(0); 4]).unwrap_err(),
            set.try_operate(&[Operation::acquire(0); 4]).unwrap_err(),
        ] {
            assert_eq!((error.kind(), error.errno()), (ErrorKind::LimitReached, Some(Errno::TOOBIG)));
            let limit = error.limit().unwrap();
            assert_eq!(
                (limit.name, limit.current, limit.needed),
                ("kernel.sem[2] (SEMOPM)", Some(3), Some(4))
            );
        }
        assert_eq!(set.value(0).unwrap(), 6);
    });
}

#[test]
fn an_identifier_that_came_to_stand_for_a_larger_set() {
    test!().in_namespaces(|_| {
        // The kernel can be told which identifier comes next, so that a stale handle meets another set.
        let set = Set::create(Key::PRIVATE, 1, Mode::OWNER).unwrap();
        let id = set.id();
        set.remove().unwrap();
        if fs::write("/proc/sys/kernel/sem_next_id", id.to_string()).is_err() {
            return;
        }
        let larger = Set::create_with(Key::PRIVATE, &[1; 4000], Mode::OWNER).unwrap();
        assert_eq!(larger.id(), id);
        let mut one = [0];
        let read = twixt_sys::sysv::sem::values(id.as_raw(), &mut one);
        let set = twixt_sys::sysv::sem::set_values(id.as_raw(), &one);
        assert_eq!((read, set), (Err(Errno::FAULT), Err(Errno::FAULT)));
        assert_eq!(larger.values().unwrap(), [1; 4000]);
    });
}
