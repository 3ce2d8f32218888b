//! Eventfds between processes: counting, waiting, filling up, and peers that know nothing of twixt.

#[path = "support/outcome.rs"]
mod support;
#[path = "support/waiting.rs"]
mod waiting;

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use support::{error, kind, later, past, soon};
use twixt_os::eventfd::{EventFd, Flags, MAX};
use twixt_os::inherit::PassDescriptors;
use twixt_os::{Errno, ErrorKind, Wait};
use twixt_testkit::strace::{ROUNDS, expected};
use twixt_testkit::{Child, Test, call, compile_c, scratch, strace, test, under_storm};
use waiting::Turns;

/// Above all numbers that the test itself uses, as `pass_descriptors` advises.
const FD: i32 = 90;

fn copy(eventfd: &EventFd) -> OwnedFd {
    eventfd.as_fd().try_clone_to_owned().unwrap()
}

fn both_kinds() -> [EventFd; 2] {
    [EventFd::create(0).unwrap(), EventFd::with_flags(0, Flags::NONBLOCK).unwrap()]
}

#[test]
fn a_child_adds_and_the_parent_reads() {
    let test = test!();
    test.role("adder", |_| {
        let eventfd = EventFd::inherited(FD).unwrap();
        for _ in 0..1000 {
            eventfd.add(3).unwrap();
        }
    });
    for eventfd in both_kinds() {
        let child = test.child("adder").descriptor(copy(&eventfd), FD).spawn();
        let mut sum = 0;
        while sum < 3000 {
            sum += eventfd.read().unwrap();
        }
        assert_eq!(sum, 3000);
        child.succeed();
        assert_eq!(kind(eventfd.try_read()), ErrorKind::WouldBlock);
    }
}

#[test]
fn a_counter_gives_all_and_a_semaphore_one() {
    let counter = EventFd::create(7).unwrap();
    counter.add(5).unwrap();
    assert_eq!((counter.count(), counter.read().unwrap()), (Some(12), 12));
    let semaphore = EventFd::semaphore(2).unwrap();
    semaphore.add(1).unwrap();
    for left in [2, 1, 0] {
        assert_eq!(semaphore.read().unwrap(), 1);
        assert_eq!(semaphore.count(), Some(left));
    }
    assert_eq!(kind(semaphore.try_read()), ErrorKind::WouldBlock);
    assert_eq!(EventFd::create(u32::MAX).unwrap().read().unwrap(), u64::from(u32::MAX));
    counter.add(0).unwrap();
    assert_eq!(kind(counter.try_read()), ErrorKind::WouldBlock);
}

#[test]
fn a_semaphore_lets_in_as_many_as_it_says() {
    let test = test!();
    test.role("taker", |peer| {
        let semaphore = EventFd::inherited(FD).unwrap();
        assert_eq!(semaphore.read().unwrap(), 1);
        peer.say("in");
    });
    let semaphore = EventFd::semaphore(0).unwrap();
    let mut children: Vec<_> =
        (0..3).map(|_| test.child("taker").descriptor(copy(&semaphore), FD).spawn()).collect();
    semaphore.add(3).unwrap();
    children.iter_mut().for_each(|child| child.expect("in"));
    children.into_iter().for_each(|child| child.succeed());
    assert_eq!(semaphore.count(), Some(0));
}

#[test]
fn it_fills_up_at_the_largest_value() {
    for eventfd in both_kinds() {
        let refused = error(eventfd.add(u64::MAX));
        assert_eq!((refused.kind(), refused.errno()), (ErrorKind::OutOfRange, None));
        eventfd.add(MAX - 2).unwrap();
        assert_eq!(kind(eventfd.try_add(3)), ErrorKind::WouldBlock);
        assert_eq!(kind(eventfd.add_deadline(3, past())), ErrorKind::TimedOut);
        assert_eq!(kind(eventfd.add_deadline(3, soon())), ErrorKind::TimedOut);
        eventfd.try_add(1).unwrap();
        eventfd.add_deadline(1, past()).unwrap();
        assert_eq!(eventfd.count(), Some(MAX));
        assert_eq!(kind(eventfd.try_add(1)), ErrorKind::WouldBlock);
        assert_eq!(kind(eventfd.add_deadline(1, soon())), ErrorKind::TimedOut);
        eventfd.try_add(0).unwrap();
        assert_eq!(eventfd.read().unwrap(), MAX);
        eventfd.try_add(MAX).unwrap();
    }
}

#[test]
fn reading_waits_as_told() {
    for eventfd in both_kinds() {
        assert_eq!(kind(eventfd.try_read()), ErrorKind::WouldBlock);
        assert_eq!(kind(eventfd.read_deadline(past())), ErrorKind::TimedOut);
        assert_eq!(kind(eventfd.read_deadline(soon())), ErrorKind::TimedOut);
        eventfd.add(4).unwrap();
        assert_eq!(eventfd.read_deadline(past()).unwrap(), 4);
        eventfd.add(4).unwrap();
        assert_eq!(eventfd.read_interruptible().unwrap(), 4);
        eventfd.add(4).unwrap();
        assert_eq!(eventfd.read_wait(Wait::never()).unwrap(), 4);
    }
}

/// Waits in one of the blocking forms, and says what came of it.
fn play_waiter(test: &Test) {
    test.role("waiter", |peer| {
        let eventfd = EventFd::inherited(FD).unwrap();
        let form = peer.arg(0);
        let wait = || match form.as_str() {
            "read" => eventfd.read(),
            "read_deadline" => eventfd.read_deadline(later()),
            "read_interruptible" => eventfd.read_interruptible(),
            "add" => eventfd.add(1).map(|()| 0),
            "add_deadline" => eventfd.add_deadline(1, later()).map(|()| 0),
            "add_interruptible" => eventfd.add_interruptible(1).map(|()| 0),
            "add_two" => eventfd.add(2).map(|()| 0),
            "add_two_deadline" => eventfd.add_deadline(2, later()).map(|()| 0),
            other => panic!("{other}"),
        };
        let outcome = match peer.arg(1).as_str() {
            "storm" => under_storm(peer, wait),
            _ => wait(),
        };
        match outcome {
            Ok(number) => peer.say(&number.to_string()),
            Err(error) => peer.say(&format!("{:?}", error.kind())),
        }
    });
}

fn waiter(test: &Test, form: &str, weather: &str, eventfd: &EventFd) -> Child {
    let mut child = test.child("waiter").arg(form).arg(weather).descriptor(copy(eventfd), FD).spawn();
    match weather {
        "storm" => child.expect("stormed"),
        _ => child.wait_until_blocked_in(WAITING),
    }
    child
}

const WAITING: &[i64] = &[call::READ, call::WRITE, call::POLL, call::PPOLL];

#[test]
fn a_blocked_reader_is_woken_also_through_a_storm() {
    let test = test!();
    play_waiter(&test);
    for eventfd in both_kinds() {
        for form in ["read", "read_deadline"] {
            for weather in ["calm", "storm"] {
                let mut child = waiter(&test, form, weather, &eventfd);
                eventfd.add(8).unwrap();
                child.expect("8");
                child.succeed();
            }
        }
        interrupted(&test, "read_interruptible", &eventfd);
    }
}

#[test]
fn a_blocked_adder_is_woken_also_through_a_storm() {
    let test = test!();
    play_waiter(&test);
    for eventfd in both_kinds() {
        for form in ["add", "add_deadline", "add_two", "add_two_deadline"] {
            for weather in ["calm", "storm"] {
                eventfd.add(MAX).unwrap();
                let mut child = waiter(&test, form, weather, &eventfd);
                assert_eq!(eventfd.read().unwrap(), MAX);
                child.expect("0");
                assert_eq!(eventfd.read().unwrap(), if form.starts_with("add_two") { 2 } else { 1 });
                child.succeed();
            }
        }
        eventfd.add(MAX).unwrap();
        interrupted(&test, "add_interruptible", &eventfd);
    }
}

/// In a storm, this form ends by itself. The storm may end before it has hit often.
fn interrupted(test: &Test, form: &str, eventfd: &EventFd) {
    let mut child = test.child("waiter").arg(form).arg("storm").descriptor(copy(eventfd), FD).spawn();
    let mut heard = [child.hear(), child.hear()];
    heard.sort();
    assert_eq!(heard, ["Interrupted", "stormed"]);
    child.succeed();
}

#[test]
fn a_killed_reader_takes_nothing_with_it() {
    let test = test!();
    play_waiter(&test);
    let eventfd = EventFd::create(0).unwrap();
    waiter(&test, "read", "calm", &eventfd).kill();
    eventfd.add(1).unwrap();
    assert_eq!(eventfd.try_read().unwrap(), 1);
}

#[test]
fn a_c_program_takes_part() {
    let directory = scratch();
    let source = r#"
        #include <stdint.h>
        #include <stdio.h>
        #include <sys/eventfd.h>
        int main(void) {
            eventfd_t value;
            if (eventfd_read(90, &value)) return 1;
            printf("read %llu\n", (unsigned long long) value);
            if (eventfd_write(91, 77)) return 2;
            return 0;
        }"#;
    let program = compile_c(directory.path(), "peer", source, &[]);
    // It expects its plain read to wait.
    let forth = EventFd::create(0).unwrap();
    let back = EventFd::create(0).unwrap();
    let mut command = std::process::Command::new(program);
    command.pass_descriptors([(copy(&forth), 90), (copy(&back), 91)]).unwrap();
    let mut child = twixt_testkit::Child::start(command);
    child.wait_until_blocked_in(&[call::READ]);
    forth.add(5).unwrap();
    assert_eq!(child.line().unwrap(), "read 5");
    assert_eq!(back.read().unwrap(), 77);
    child.succeed();
}

#[test]
fn it_is_close_on_exec_and_leaves_the_shared_flag_alone() {
    for eventfd in both_kinds() {
        assert!(rustix::io::fcntl_getfd(&eventfd).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
        let before = rustix::fs::fcntl_getfl(&eventfd).unwrap();
        let again = EventFd::try_from(copy(&eventfd)).unwrap();
        assert!(again.try_read().is_err());
        again.try_add(2).unwrap();
        again.read_deadline(soon()).unwrap();
        assert_eq!(rustix::fs::fcntl_getfl(&eventfd).unwrap(), before);
    }
}

#[test]
fn only_an_eventfd_is_taken_over() {
    let (read, _write) = std::io::pipe().unwrap();
    assert_eq!(kind(EventFd::from_fd(read.into())), ErrorKind::InvalidInput);
}

#[test]
fn the_descriptor_limit_is_named() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let test = test!();
    test.role("limited", |_| {
        setrlimit(Resource::Nofile, Rlimit { current: Some(20), maximum: Some(20) }).unwrap();
        let mut made = Vec::new();
        let refused = loop {
            match EventFd::create(0) {
                Ok(eventfd) => made.push(eventfd),
                Err(error) => break error,
            }
        };
        assert_eq!((refused.kind(), refused.errno()), (ErrorKind::LimitReached, Some(Errno::MFILE)));
        let limit = refused.limit().unwrap();
        assert_eq!((limit.name, limit.current), ("RLIMIT_NOFILE", Some(20)));
    });
    test.child("limited").spawn().succeed();
}

#[test]
fn a_message_costs_one_system_call_a_side_and_no_allocation() {
    let test = test!();
    test.role("worker", |peer| {
        let rounds: u64 = peer.arg(0).parse().unwrap();
        for eventfd in both_kinds() {
            for _ in 0..rounds {
                eventfd.add(1).unwrap();
                eventfd.read().unwrap();
                eventfd.add(2).unwrap();
                eventfd.try_read().unwrap();
                eventfd.add(3).unwrap();
                eventfd.read_deadline(later()).unwrap();
            }
        }
    });
    for eventfd in both_kinds() {
        let measured = allocation_counter::measure(|| {
            eventfd.add(1).unwrap();
            eventfd.read().unwrap();
            eventfd.try_add(1).unwrap();
            eventfd.add_deadline(2, later()).unwrap();
            eventfd.read_deadline(later()).unwrap();
            assert!(eventfd.try_read().is_err());
            eventfd.add(MAX).unwrap();
            assert!(eventfd.try_add(1).is_err());
            assert!(eventfd.add_deadline(2, past()).is_err());
        });
        assert_eq!(measured.count_total, 0);
    }
    match strace::cost(|rounds| test.child("worker").arg(rounds)) {
        Ok(cost) => {
            let calls = [("write", 6 * ROUNDS), ("read", 2 * ROUNDS), ("preadv2", 4 * ROUNDS)];
            assert_eq!(cost, expected(&calls));
        }
        Err(missing) => test.skip(&missing),
    }
}

#[test]
fn adding_without_waiting_costs_a_look_more_where_the_description_blocks() {
    let test = test!();
    test.role("worker", |peer| {
        let flags = if peer.arg(1) == "blocking" { Flags::empty() } else { Flags::NONBLOCK };
        let eventfd = EventFd::with_flags(0, flags).unwrap();
        for _ in 0..peer.arg(0).parse::<u64>().unwrap() {
            eventfd.try_add(1).unwrap();
            eventfd.add_deadline(1, later()).unwrap();
        }
    });
    for (kind, looks) in [("blocking", 2), ("non-blocking", 0)] {
        match strace::cost(|rounds| test.child("worker").arg(rounds).arg(kind)) {
            Ok(mut cost) => {
                let polls = ["poll", "ppoll"].into_iter().filter_map(|name| cost.remove(name)).sum::<u64>();
                assert_eq!((polls, cost), (looks * ROUNDS, expected(&[("write", 2 * ROUNDS)])), "{kind}");
            }
            Err(missing) => return test.skip(&missing),
        }
    }
}

#[test]
fn waiting_costs_no_call_more() {
    let test = test!();
    test.role("waiter", |peer| {
        let eventfd = EventFd::inherited(FD).unwrap();
        let (rounds, mut turns) = (peer.arg(0).parse::<u64>().unwrap(), Turns::begin());
        for _ in 0..rounds {
            match peer.arg(1).as_str() {
                "read" => assert_eq!(eventfd.read().unwrap(), 1),
                "deadline" => assert_eq!(eventfd.read_deadline(later()).unwrap(), 1),
                _ => {
                    eventfd.add(MAX).unwrap();
                    eventfd.add(1).unwrap();
                    assert_eq!(eventfd.read().unwrap(), 1);
                }
            }
            turns.done();
        }
    });
    for (form, calls) in [
        ("read", &[("read", 1), ("write", 1)][..]),
        ("deadline", &[("preadv2", 2), ("poll", 1), ("write", 1)]),
        ("add", &[("read", 1), ("write", 3)]),
    ] {
        let eventfd = Arc::new(EventFd::create(0).unwrap());
        let role = |rounds| test.child("waiter").arg(rounds).arg(form).descriptor(copy(&eventfd), FD);
        let other = Arc::clone(&eventfd);
        let wake = move |_| match form {
            "add" => assert_eq!(other.read().unwrap(), MAX),
            _ => other.add(1).unwrap(),
        };
        match waiting::cost(role, WAITING, wake) {
            Ok(cost) => {
                let calls: Vec<_> = calls.iter().map(|(call, count)| (*call, count * ROUNDS)).collect();
                assert_eq!(cost, expected(&calls), "{form}");
            }
            Err(missing) => return test.skip(&missing),
        }
    }
}
