//! System V semaphore sets: initialisation without a race, and creators that die on the way.

use std::time::Duration;

use twixt_os::sysv::Key;
use twixt_os::sysv::sem::{Mutex, Operation, Order, Set};
use twixt_os::{Deadline, ErrorKind, Mode, Wait};
use twixt_testkit::{Child, Defer, call, defer, test, under_storm, unique_key};

const VALUES: [u16; 3] = [1, 0, 500];

fn key() -> (Key, Defer<impl FnOnce()>) {
    let key = Key::new(unique_key()).unwrap();
    (key, defer(move || drop(Set::open(key).map(|set| set.remove()))))
}

fn long() -> Wait {
    Wait::until(Deadline::after(Duration::from_secs(60)))
}

fn short() -> Wait {
    Wait::until(Deadline::after(Duration::from_millis(30)))
}

#[test]
fn sixteen_at_once_get_the_same_set_initialised_once() {
    let test = test!();
    test.role("open", |peer| {
        peer.say("ready");
        for _ in 0..20 {
            let key: Key = peer.hear().parse().unwrap();
            let set = Set::open_or_create_with(key, &VALUES, Mode::OWNER, long()).unwrap();
            // From now on it is in use: values that were added twice would be seen.
            set.operate(&[Operation::new(2, -1)]).unwrap();
            peer.say(&format!("{}", set.id()));
        }
    });
    let mut children: Vec<_> = (0..16).map(|_| test.child("open").spawn()).collect();
    for child in &mut children {
        child.expect("ready");
    }
    for _ in 0..20 {
        let (key, _removed) = key();
        children.iter_mut().for_each(|child| child.tell(&key.to_string()));
        let ids: Vec<_> = children.iter_mut().map(Child::hear).collect();
        let set = Set::open(key).unwrap();
        assert!(ids.iter().all(|id| *id == set.id().to_string()), "{ids:?}");
        assert_eq!(set.values().unwrap(), [1, 0, 500 - 16]);
    }
    children.into_iter().for_each(Child::succeed);
}

#[test]
fn openers_wait_for_the_creator() {
    let test = test!();
    test.role("open", |peer| {
        let key: Key = peer.arg(0).parse().unwrap();
        peer.say("waiting");
        let set = Set::open_or_create_with(key, &VALUES, Mode::OWNER, long()).unwrap();
        peer.say(&format!("{:?}", set.values().unwrap()));
    });
    let (key, _removed) = key();
    let set = Set::create(key, VALUES.len(), Mode::OWNER).unwrap();
    let mut child = test.child("open").arg(key).spawn();
    child.expect("waiting");
    assert!(!set.is_initialised().unwrap());
    assert_eq!(Set::open_initialised(key, 3, Wait::never()).unwrap_err().kind(), ErrorKind::WouldBlock);
    set.initialise(&VALUES).unwrap();
    child.expect("[1, 0, 500]");
    child.succeed();
    assert_eq!(Set::open_initialised(key, 3, Wait::never()).unwrap(), set);
    // Once is enough, also after all values were taken.
    assert_eq!(set.initialise(&VALUES).unwrap_err().kind(), ErrorKind::Busy);
    set.set_values(&[0, 0, 0]).unwrap();
    assert_eq!(set.initialise(&VALUES).unwrap_err().kind(), ErrorKind::Busy);
}

#[test]
fn zeroes_are_initialised_too() {
    let _test = test!();
    let (key, _removed) = key();
    let set = Set::open_or_create_with(key, &[0, 0], Mode::OWNER, Wait::never()).unwrap();
    assert!(set.is_initialised().unwrap());
    assert_eq!(Set::open_or_create_with(key, &[0, 0], Mode::OWNER, Wait::never()).unwrap(), set);
}

#[test]
fn a_set_of_another_size_is_not_opened() {
    let _test = test!();
    let (key, _removed) = key();
    let set = Set::create_with(key, &VALUES, Mode::OWNER).unwrap();
    for values in [&[1, 0][..], &[1, 0, 500, 7]] {
        let error = Set::open_or_create_with(key, values, Mode::OWNER, long()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        let why = format!("it has 3 semaphores, not {}", values.len());
        assert!(error.to_string().contains(&why), "{error}");
    }
    let bare = Set::create(Key::PRIVATE, 2, Mode::OWNER).unwrap().remove_on_drop();
    assert_eq!(bare.initialise(&VALUES).unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(set.values().unwrap(), VALUES);
}

#[test]
fn a_killed_creator_is_told_of_and_can_be_replaced_by_all_at_once() {
    let test = test!();
    test.role("create", |peer| {
        let key: Key = peer.arg(0).parse().unwrap();
        Set::create(key, VALUES.len(), Mode::OWNER).unwrap();
        peer.say("created");
        peer.hear();
    });
    test.role("survive", |peer| {
        let key: Key = peer.arg(0).parse().unwrap();
        let error = Set::open_or_create_with(key, &VALUES, Mode::OWNER, short()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(error.to_string().contains("nobody has initialised it"), "{error}");
        assert!(error.advice().unwrap().contains("Set::discard_uninitialised"), "{error}");
        peer.say("told");
        peer.wait_for("replace");
        Set::discard_uninitialised(key).unwrap();
        let set = Set::open_or_create_with(key, &VALUES, Mode::OWNER, long()).unwrap();
        set.operate(&[Operation::new(2, -1)]).unwrap();
        peer.say(&set.id().to_string());
    });
    let (key, _removed) = key();
    let mut creator = test.child("create").arg(key).spawn();
    creator.expect("created");
    let abandoned = Set::open(key).unwrap();
    creator.kill();
    let mut survivors: Vec<_> = (0..8).map(|_| test.child("survive").arg(key).spawn()).collect();
    for survivor in &mut survivors {
        survivor.expect("told");
    }
    survivors.iter_mut().for_each(|survivor| survivor.tell("replace"));
    let ids: Vec<_> = survivors.iter_mut().map(Child::hear).collect();
    survivors.into_iter().for_each(Child::succeed);
    let set = Set::open(key).unwrap();
    assert_ne!(set.id(), abandoned.id());
    assert!(ids.iter().all(|id| *id == set.id().to_string()), "{ids:?}");
    assert_eq!(set.values().unwrap(), [1, 0, 500 - 8]);
}

#[test]
fn those_who_wait_follow_when_the_abandoned_set_is_replaced() {
    let test = test!();
    test.role("open", |peer| {
        let key: Key = peer.arg(0).parse().unwrap();
        peer.say("waiting");
        let set = Set::open_or_create_with(key, &VALUES, Mode::OWNER, long()).unwrap();
        peer.say(&set.id().to_string());
    });
    let (key, _removed) = key();
    let abandoned = Set::create(key, VALUES.len(), Mode::OWNER).unwrap();
    let mut child = test.child("open").arg(key).spawn();
    child.expect("waiting");
    assert!(Set::discard_uninitialised(key).unwrap());
    let id = child.hear();
    child.succeed();
    assert_ne!(id, abandoned.id().to_string());
    assert_eq!(Set::open(key).unwrap().values().unwrap(), VALUES);
    // A creator that was not dead after all finds out, and would start again.
    assert_eq!(abandoned.initialise(&VALUES).unwrap_err().kind(), ErrorKind::Removed);
}

#[test]
fn one_survivor_may_initialise_in_the_creators_place() {
    let test = test!();
    test.role("create", |peer| {
        Set::create(peer.arg(0).parse().unwrap(), VALUES.len(), Mode::OWNER).unwrap();
    });
    let (key, _removed) = key();
    test.child("create").arg(key).spawn().succeed();
    assert_eq!(
        Set::open_or_create_with(key, &VALUES, Mode::OWNER, Wait::never()).unwrap_err().kind(),
        ErrorKind::WouldBlock
    );
    Set::open(key).unwrap().initialise(&VALUES).unwrap();
    let set = Set::open_or_create_with(key, &VALUES, Mode::OWNER, Wait::never()).unwrap();
    assert_eq!(set.values().unwrap(), VALUES);
}

#[test]
fn what_bears_a_trace_of_use_is_not_discarded() {
    let test = test!();
    test.role("wait", |peer| Set::open(peer.arg(0).parse().unwrap()).unwrap().acquire(0).unwrap());
    let (key, _removed) = key();
    assert!(!Set::discard_uninitialised(key).unwrap(), "there is none");

    // Somebody waits on it.
    let set = Set::create(key, 2, Mode::OWNER).unwrap();
    let child = test.child("wait").arg(key).spawn();
    while set.waiting_to_acquire(0).unwrap() == 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(!Set::discard_uninitialised(key).unwrap());
    child.kill();
    assert!(Set::discard_uninitialised(key).unwrap());

    // Somebody set a value, as C programs do before their first operation.
    let set = Set::create(key, 2, Mode::OWNER).unwrap();
    set.set_value(1, 0).unwrap();
    assert!(!set.is_initialised().unwrap());
    assert!(!Set::discard_uninitialised(key).unwrap());
    set.remove().unwrap();

    // It was initialised.
    let set = Set::create_with(key, &[0, 0], Mode::OWNER).unwrap();
    assert!(!Set::discard_uninitialised(key).unwrap());
    assert_eq!(set.values().unwrap(), [0, 0]);
}

#[test]
fn a_private_set_is_always_a_new_one() {
    let _test = test!();
    let make = || {
        Set::open_or_create_with(Key::PRIVATE, &VALUES, Mode::OWNER, Wait::never()).unwrap().remove_on_drop()
    };
    let (one, other) = (make(), make());
    assert_ne!(one.id(), other.id());
    assert_eq!(one.values().unwrap(), VALUES);
}

#[test]
fn a_signal_ends_the_wait_for_the_creator_if_it_is_meant_to() {
    let test = test!();
    test.role("stormed", |peer| {
        let key: Key = peer.arg(0).parse().unwrap();
        let _storm = twixt_testkit::Storm::on_this_thread();
        let end = short();
        let error = Set::open_initialised(key, 1, end).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(end.deadline().unwrap().has_passed());
        let error = Set::open_initialised(key, 1, long().interruptible()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Interrupted);
    });
    let (key, _removed) = key();
    Set::create(key, 1, Mode::OWNER).unwrap();
    test.child("stormed").arg(key).spawn().succeed();
}

#[test]
fn no_signal_ends_the_wait_for_the_creator_otherwise() {
    let test = test!();
    test.role("stormed", |peer| {
        let key: Key = peer.arg(0).parse().unwrap();
        let wait = if peer.arg(2) == "forever" { Wait::forever() } else { long() };
        let set = under_storm(peer, || match peer.arg(1).as_str() {
            "set" => Set::open_or_create_with(key, &[7], Mode::OWNER, wait),
            "initialised" => Set::open_initialised(key, 1, wait),
            "mutex" => Mutex::open_or_create(key, Mode::OWNER, wait).map(|mutex| mutex.set().clone()),
            _ => Order::open_or_create(key, Mode::OWNER, wait).map(|order| order.set().clone()),
        });
        peer.say(&set.unwrap().id().to_string());
    });
    for form in ["set", "initialised", "mutex", "order"] {
        for wait in ["forever", "deadline"] {
            let (key, _removed) = key();
            let set = Set::create(key, 1, Mode::OWNER).unwrap();
            let mut child = test.child("stormed").arg(key).arg(form).arg(wait).spawn();
            child.expect("stormed");
            // It sleeps between its looks.
            child.wait_until_blocked_in(call::POLLING);
            set.initialise(&[7]).unwrap();
            child.expect(&set.id().to_string());
            child.succeed();
            assert_eq!(set.values().unwrap(), [7], "initialised once");
        }
    }
}
