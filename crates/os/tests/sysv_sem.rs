//! System V semaphore sets: making, finding, looking, setting, removing, and what is refused.

use std::time::{Duration, SystemTime};

use twixt_os::sysv::Key;
use twixt_os::sysv::sem::{self, Access, Id, Operation, OperationFlags, RemoveOnDrop, Set, Settings};
use twixt_os::{Errno, ErrorKind, Mode};
use twixt_testkit::{root, test, unique_key};

fn key() -> Key {
    Key::new(unique_key()).unwrap()
}

fn set_of(values: &[u16]) -> RemoveOnDrop {
    Set::create_with(Key::PRIVATE, values, Mode::OWNER).unwrap().remove_on_drop()
}

#[test]
fn create_open_and_open_or_create() {
    let _test = test!();
    let key = key();
    assert_eq!(Set::open(key).unwrap_err().kind(), ErrorKind::NotFound);
    let set = Set::create(key, 3, Mode::OWNER).unwrap().remove_on_drop();
    assert_eq!(set.values().unwrap(), [0, 0, 0]);
    let again = Set::create(key, 3, Mode::OWNER).unwrap_err();
    assert_eq!((again.kind(), again.errno()), (ErrorKind::AlreadyExists, Some(Errno::EXIST)));
    assert!(
        again.to_string().starts_with(&format!("cannot create System V semaphore set {key}: ")),
        "{again}"
    );
    let again = Set::create_with(key, &[1, 1, 1], Mode::OWNER).unwrap_err();
    assert_eq!(again.kind(), ErrorKind::AlreadyExists);
    for opened in [
        Set::open(key).unwrap(),
        Set::open_sized(key, 3).unwrap(),
        Set::open_sized(key, 1).unwrap(),
        Set::open_for(key, Access::READ | Access::ALTER).unwrap(),
        Set::open_or_create(key, 3, Mode::OWNER).unwrap(),
        Set::open_id(set.id()).unwrap(),
        Set::from_id(set.id()),
    ] {
        assert_eq!(opened.id(), set.id());
    }
    for error in [Set::open_sized(key, 4).unwrap_err(), Set::open_or_create(key, 4, Mode::OWNER).unwrap_err()]
    {
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("it has 3 semaphores, 4 were asked for"), "{error}");
    }
}

#[test]
fn private_sets_have_no_key() {
    let _test = test!();
    let (one, other) = (set_of(&[1]), set_of(&[1]));
    assert_ne!(one.id(), other.id());
    assert!(one.stat().unwrap().perm.key.is_private());
    let error = Set::open(Key::PRIVATE).unwrap_err();
    assert_eq!((error.kind(), error.errno()), (ErrorKind::InvalidInput, None));
    assert_eq!(Set::open_for(Key::PRIVATE, Access::READ).unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn sizes_that_no_set_has() {
    let _test = test!();
    assert_eq!(Set::create(key(), 0, Mode::OWNER).unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(Set::create_with(key(), &[], Mode::OWNER).unwrap_err().kind(), ErrorKind::InvalidInput);
    let most = sem::limits().unwrap().semmsl as usize;
    for count in [most + 1, usize::MAX] {
        let error = Set::create(key(), count, Mode::OWNER).unwrap_err();
        assert_eq!((error.kind(), error.errno()), (ErrorKind::LimitReached, Some(Errno::INVAL)));
        let limit = error.limit().unwrap();
        assert_eq!((limit.name, limit.current), ("kernel.sem[0] (SEMMSL)", Some(most as u64)));
        assert_eq!(limit.needed, Some(count as u64));
    }
}

#[test]
fn identifiers_that_lead_nowhere() {
    let _test = test!();
    assert!(Id::new(-1).is_none());
    let removed = set_of(&[1]).id();
    for id in [removed, Id::new(i32::MAX).unwrap()] {
        let error = Set::open_id(id).unwrap_err();
        assert_eq!((error.kind(), error.errno()), (ErrorKind::NotFound, Some(Errno::INVAL)));
        assert!(error.to_string().contains(&format!("id {id}")), "{error}");
        let trusted = Set::from_id(id);
        for error in [
            trusted.acquire(0).unwrap_err(),
            trusted.release(0).unwrap_err(),
            trusted.value(0).unwrap_err(),
            trusted.set_value(0, 1).unwrap_err(),
            trusted.values().unwrap_err(),
            trusted.set_values(&[1]).unwrap_err(),
            trusted.last_pid(0).unwrap_err(),
            trusted.stat().unwrap_err(),
            trusted.set(Settings { uid: 0, gid: 0, mode: Mode::OWNER }).unwrap_err(),
            trusted.initialise(&[1]).unwrap_err(),
            trusted.remove().unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::Removed, "{error}");
        }
    }
}

#[test]
fn values_are_set_and_read() {
    let _test = test!();
    let set = set_of(&[1, 2, 3]);
    assert_eq!(set.values().unwrap(), [1, 2, 3]);
    set.set_value(1, 32767).unwrap();
    assert_eq!([0, 1, 2].map(|number| set.value(number).unwrap()), [1, 32767, 3]);
    set.set_values(&[7, 8, 9]).unwrap();
    assert_eq!(set.values().unwrap(), [7, 8, 9]);
    for wrong in [&[1, 2][..], &[1, 2, 3, 4], &[]] {
        assert_eq!(set.set_values(wrong).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    assert_eq!(set.values().unwrap(), [7, 8, 9]);
}

#[test]
fn sets_larger_than_a_page_are_read_and_set_whole() {
    let _test = test!();
    // 2048 values fill a page exactly; 600 are more than one operation takes.
    for count in [600, 2047, 2048, 2049, 5000] {
        let values: Vec<u16> = (0..count).map(|number| number % 32768).collect();
        let set = set_of(&values);
        assert_eq!(set.values().unwrap(), values);
        assert!(set.is_initialised().unwrap());
        let other: Vec<u16> = values.iter().map(|value| 32767 - value).collect();
        set.set_values(&other).unwrap();
        assert_eq!(set.values().unwrap(), other);
    }
}

#[test]
fn values_above_the_highest_are_out_of_range() {
    let _test = test!();
    let set = set_of(&[32767, 0]);
    for error in [
        set.release(0).unwrap_err(),
        set.operate(&[Operation::new(1, 1), Operation::new(0, 1)]).unwrap_err(),
        set.set_value(0, 32768).unwrap_err(),
        set.set_values(&[32768, 0]).unwrap_err(),
    ] {
        assert_eq!((error.kind(), error.errno()), (ErrorKind::OutOfRange, Some(Errno::RANGE)));
        assert!(error.to_string().contains("SEMVMX"), "{error}");
    }
    assert_eq!(set.values().unwrap(), [32767, 0]);
    let key = key();
    for error in [
        Set::create_with(key, &[0, 32768], Mode::OWNER).unwrap_err(),
        Set::open_or_create_with(key, &[0, 32768], Mode::OWNER, twixt_os::Wait::never()).unwrap_err(),
        Set::create(Key::PRIVATE, 2, Mode::OWNER)
            .unwrap()
            .remove_on_drop()
            .initialise(&[0, 40000])
            .unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::OutOfRange);
        assert!(error.to_string().contains("semaphore 1 is above 32767"), "{error}");
    }
    assert_eq!(Set::open(key).unwrap_err().kind(), ErrorKind::NotFound, "none was left behind");
}

#[test]
fn what_would_be_undone_has_a_range_too() {
    let _test = test!();
    let set = set_of(&[0]);
    set.operate(&[Operation::new(0, 32767).undo()]).unwrap();
    set.operate(&[Operation::new(0, -32767)]).unwrap();
    set.operate(&[Operation::new(0, 1).undo()]).unwrap();
    let error = set.operate(&[Operation::new(0, 1).undo()]).unwrap_err();
    assert_eq!((error.kind(), error.errno()), (ErrorKind::OutOfRange, Some(Errno::RANGE)));
}

#[test]
fn a_set_has_exactly_its_semaphores() {
    let _test = test!();
    let set = set_of(&[5, 5, 5]);
    assert_eq!(set.stat().unwrap().nsems, 3);
    for number in [3, u16::MAX] {
        for error in [
            set.acquire(number).unwrap_err(),
            set.try_acquire(number).unwrap_err(),
            set.release(number).unwrap_err(),
            set.try_wait_for_zero(number).unwrap_err(),
            set.operate(&[Operation::acquire(0), Operation::acquire(number)]).unwrap_err(),
            set.value(number).unwrap_err(),
            set.set_value(number, 1).unwrap_err(),
            set.last_pid(number).unwrap_err(),
            set.waiting_to_acquire(number).unwrap_err(),
            set.waiting_for_zero(number).unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::OutOfRange);
            let why = format!("there is no semaphore {number}; the set has 3, counted from 0");
            assert!(error.to_string().contains(&why), "{error}");
        }
    }
    assert_eq!(set.values().unwrap(), [5, 5, 5]);
}

#[test]
fn operations_are_what_they_are_told_to_be() {
    let _test = test!();
    let operation = Operation::new(7, -3).undo().no_wait();
    assert_eq!((operation.semaphore(), operation.change()), (7, -3));
    assert_eq!(operation.flags(), OperationFlags::UNDO | OperationFlags::NO_WAIT);
    assert_eq!(operation, Operation::new(7, -3).with(OperationFlags::all()));
    assert_ne!(operation, Operation::new(7, -3));
    assert_eq!(Operation::acquire(1).change(), -1);
    assert_eq!(Operation::release(1).change(), 1);
    assert_eq!(Operation::wait_for_zero(1).change(), 0);
    assert_eq!(
        format!("{operation:?}"),
        "Operation { semaphore: 7, change: -3, flags: OperationFlags(NO_WAIT | UNDO) }"
    );
}

#[test]
fn an_empty_list_of_operations_is_refused() {
    let _test = test!();
    let set = set_of(&[1]);
    let error = set.operate(&[]).unwrap_err();
    assert_eq!((error.kind(), error.errno()), (ErrorKind::InvalidInput, None));
}

#[test]
fn more_operations_than_the_kernel_takes_at_once() {
    let _test = test!();
    let set = set_of(&[0]);
    let most = sem::limits().unwrap().semopm as usize;
    set.operate(&vec![Operation::release(0); most]).unwrap();
    let error = set.operate(&vec![Operation::release(0); most + 1]).unwrap_err();
    assert_eq!((error.kind(), error.errno()), (ErrorKind::LimitReached, Some(Errno::TOOBIG)));
    let limit = error.limit().unwrap();
    assert_eq!(limit.name, "kernel.sem[2] (SEMOPM)");
    assert_eq!((limit.current, limit.needed), (Some(most as u64), Some(most as u64 + 1)));
    assert_eq!(usize::from(set.value(0).unwrap()), most);
}

#[test]
fn stat_tells_who_and_when() {
    let _test = test!();
    let before = SystemTime::now() - Duration::from_secs(1);
    let key = key();
    let set = Set::create(key, 2, Mode::new(0o640).unwrap()).unwrap().remove_on_drop();
    let stat = set.stat().unwrap();
    assert_eq!((stat.perm.key, stat.perm.mode, stat.nsems), (key, Mode::new(0o640).unwrap(), 2));
    assert_eq!((stat.perm.uid, stat.perm.creator_uid), (stat.perm.creator_uid, stat.perm.uid));
    assert_eq!(stat.otime, None);
    assert!(stat.ctime >= before && stat.ctime <= SystemTime::now());
    assert_eq!(set.last_pid(1).unwrap(), None);
    assert!(!set.is_initialised().unwrap());
    set.release(1).unwrap();
    let stat = set.stat().unwrap();
    assert!(stat.otime.is_some_and(|time| time >= before && time <= SystemTime::now()));
    assert!(set.is_initialised().unwrap());
    assert_eq!(set.last_pid(1).unwrap(), Some(std::process::id().cast_signed()));
    assert_eq!(set.last_pid(0).unwrap(), None);
}

#[test]
fn owner_and_mode_are_changed() {
    let test = test!();
    let set = set_of(&[1]);
    let settings = Settings::from(set.stat().unwrap());
    set.set(Settings { mode: Mode::new(0o400).unwrap(), ..settings }).unwrap();
    assert_eq!(set.stat().unwrap().perm.mode, Mode::new(0o400).unwrap());
    let nobody = set.set(Settings { uid: u32::MAX, ..settings }).unwrap_err();
    assert_eq!((nobody.kind(), nobody.errno()), (ErrorKind::InvalidInput, Some(Errno::INVAL)));
    if let Err(missing) = root() {
        return test.skip(&missing);
    }
    set.set(Settings { uid: 65534, gid: 65533, ..settings }).unwrap();
    let perm = set.stat().unwrap().perm;
    assert_eq!((perm.uid, perm.gid, perm.creator_uid), (65534, 65533, settings.uid));
}

#[test]
fn another_user_is_kept_out() {
    let test = test!();
    test.role("nobody", |peer| {
        let key: Key = peer.arg(0).parse().unwrap();
        let denied = |error: twixt_os::Error, errno| {
            assert_eq!((error.kind(), error.errno()), (ErrorKind::PermissionDenied, Some(errno)), "{error}");
        };
        // To find it is open to all.
        let set = Set::open(key).unwrap();
        assert_eq!(Set::open_id(set.id()).unwrap().id(), set.id());
        denied(Set::open_for(key, Access::READ).unwrap_err(), Errno::ACCESS);
        denied(Set::open_or_create(key, 1, Mode::OWNER).unwrap_err(), Errno::ACCESS);
        denied(Set::open_initialised(key, 1, twixt_os::Wait::forever()).unwrap_err(), Errno::ACCESS);
        denied(set.acquire(0).unwrap_err(), Errno::ACCESS);
        denied(set.try_acquire(0).unwrap_err(), Errno::ACCESS);
        denied(set.release(0).unwrap_err(), Errno::ACCESS);
        denied(set.try_wait_for_zero(0).unwrap_err(), Errno::ACCESS);
        denied(set.value(0).unwrap_err(), Errno::ACCESS);
        denied(set.values().unwrap_err(), Errno::ACCESS);
        denied(set.set_value(0, 1).unwrap_err(), Errno::ACCESS);
        denied(set.set_values(&[1]).unwrap_err(), Errno::ACCESS);
        denied(set.stat().unwrap_err(), Errno::ACCESS);
        denied(set.set(Settings { uid: 65534, gid: 65534, mode: Mode::OWNER }).unwrap_err(), Errno::PERM);
        denied(set.remove().unwrap_err(), Errno::PERM);
        denied(Set::discard_uninitialised(key).unwrap_err(), Errno::ACCESS);
        // The list is open to all, too.
        let listed = sem::list().unwrap().into_iter().find(|listed| listed.id == set.id()).unwrap();
        assert_eq!(listed.stat.perm.key, key);
        // Without write permission for itself, a creator cannot initialise.
        let own = Key::new(key.as_raw() ^ 1).unwrap();
        denied(Set::create_with(own, &[1], Mode::new(0o400).unwrap()).unwrap_err(), Errno::ACCESS);
        assert_eq!(Set::open(own).unwrap_err().kind(), ErrorKind::NotFound, "none was left behind");
        peer.say("kept out");
        // Now with read permission.
        peer.wait_for("read");
        assert_eq!(set.values().unwrap(), [1]);
        denied(set.acquire(0).unwrap_err(), Errno::ACCESS);
        denied(Set::open_for(key, Access::ALTER).unwrap_err(), Errno::ACCESS);
        Set::open_for(key, Access::READ).unwrap();
    });
    if let Err(missing) = root() {
        return test.skip(&missing);
    }
    let key = key();
    let set = Set::create_with(key, &[1], Mode::OWNER).unwrap().remove_on_drop();
    let mut nobody = test.child("nobody").arg(key).as_nobody().spawn();
    nobody.expect("kept out");
    set.set(Settings { mode: Mode::new(0o604).unwrap(), ..set.stat().unwrap().into() }).unwrap();
    nobody.tell("read");
    nobody.succeed();
    assert_eq!(set.values().unwrap(), [1]);
}

#[test]
fn the_list_has_every_set() {
    let _test = test!();
    let key = key();
    let set = Set::create_with(key, &[1, 2, 3, 4], Mode::OWNER).unwrap().remove_on_drop();
    let listed = sem::list().unwrap().into_iter().find(|listed| listed.id == set.id()).unwrap();
    assert_eq!((listed.stat.nsems, listed.stat.perm.key), (4, key));
    let usage = sem::usage().unwrap();
    assert!(usage.sets >= 1 && usage.semaphores >= 4);
    assert_eq!(sem::limits().unwrap().semvmx, 32767);
}

#[test]
fn the_guard_removes_its_own_set_only() {
    let _test = test!();
    let key = key();
    let guard = Set::create(key, 1, Mode::OWNER).unwrap().remove_on_drop();
    guard.remove().unwrap();
    let other = Set::create(key, 1, Mode::OWNER).unwrap().remove_on_drop();
    drop(guard);
    assert_eq!(Set::open(key).unwrap().id(), other.id());
    let kept = other.keep();
    kept.remove().unwrap();
    assert_eq!(kept.remove().unwrap_err().kind(), ErrorKind::Removed);
    assert_eq!(Set::open(key).unwrap_err().kind(), ErrorKind::NotFound);
}
