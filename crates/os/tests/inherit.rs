//! Descriptors passed to other programs, and taken over from the parent.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::process::Command;

use twixt_os::ErrorKind;
use twixt_os::eventfd::EventFd;
use twixt_os::inherit::{PassDescriptors, inherited};
use twixt_os::memfd::{Memfd, Sealed, Seals};
use twixt_os::pipe::{self, Reader};
use twixt_testkit::test;

/// A program that has been given an end as descriptor N.
#[test]
fn another_program_talks_through_the_numbers_it_is_given() {
    let test = test!();
    // In a process without other threads that let go of numbers meanwhile.
    test.role("alone", |_| talk_through_numbers());
    test.child("alone").spawn().succeed();
}

fn talk_through_numbers() {
    let (child_in, to_child) = pipe::create().unwrap();
    let (mut from_child, child_out) = pipe::create().unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", "tr a-z A-Z <&5 >&9"]);
    command.pass_descriptors([(OwnedFd::from(child_in), 5), (OwnedFd::from(child_out), 9)]).unwrap();
    let mut child = command.spawn().unwrap();
    drop(command);
    to_child.write_all(b"number five to number nine").unwrap();
    drop(to_child);
    let mut text = String::new();
    from_child.read_to_string(&mut text).unwrap();
    assert_eq!(text, "NUMBER FIVE TO NUMBER NINE");
    assert!(child.wait().unwrap().success());
}

#[test]
fn numbers_may_be_swapped_and_coincide_with_ours() {
    let test = test!();
    // In a process without other threads that let go of numbers meanwhile.
    test.role("alone", |_| swap_numbers());
    test.child("alone").spawn().succeed();
}

fn swap_numbers() {
    let (one, to_one) = pipe::create().unwrap();
    let (two, to_two) = pipe::create().unwrap();
    to_one.write_all(b"one").unwrap();
    to_two.write_all(b"two").unwrap();
    drop((to_one, to_two));
    let (at_one, at_two) = (one.as_fd().as_raw_fd(), two.as_fd().as_raw_fd());
    let mut command = Command::new("sh");
    // A shell understands single digits only, so it opens them by name.
    command.args(["-c", "cat /proc/self/fd/$0; cat /proc/self/fd/$1"]);
    command.args([at_one.to_string(), at_two.to_string()]);
    command.pass_descriptors([(one, at_two), (two, at_one)]).unwrap();
    assert_eq!(command.output().unwrap().stdout, b"twoone");
}

/// The standard library tells of a failed exec through a descriptor that has the lowest free number.
#[test]
fn passing_does_not_hide_that_a_program_is_missing() {
    let test = test!();
    // In a process without other threads that let go of numbers meanwhile.
    test.role("alone", |_| pass_to_nothing());
    test.child("alone").spawn().succeed();
}

fn pass_to_nothing() {
    // Whichever number that one would get is among these.
    for number in 3..40 {
        let (reader, writer) = pipe::create().unwrap();
        let mut command = Command::new("/nonexistent/program");
        command.pass_descriptors([(writer, number)]).unwrap();
        let error = command.spawn().unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{number}");
        drop(command);
        assert_eq!(reader.read(&mut [0; 64]).unwrap(), 0, "{number}");
    }
}

#[test]
fn a_number_may_change_hands() {
    let test = test!();
    test.role("spawn", |_| {
        // Two neighbours, since the ends of a pipe get the two lowest numbers that are free.
        let null = || File::open("/dev/null").unwrap();
        let (below, taken) = (null(), null());
        let number = taken.as_raw_fd();
        let (_reader, writer) = pipe::create().unwrap();
        let pass = |program: &str| {
            let mut command = Command::new(program);
            command.pass_descriptors([(writer.try_clone().unwrap(), number)]).unwrap();
            command
        };
        let (mut existing, mut missing) = (pass("true"), pass("/nonexistent/program"));
        assert!(existing.status().unwrap().success());
        drop((below, taken));
        // What would report that the program is missing has the number now: nothing is hidden.
        assert_eq!(missing.spawn().unwrap_err().kind(), std::io::ErrorKind::ResourceBusy);
        assert_eq!(existing.spawn().unwrap_err().kind(), std::io::ErrorKind::ResourceBusy);
        // A file that has it is of no use to the child.
        let files = (File::open("/dev/zero").unwrap(), File::open("/dev/zero").unwrap());
        assert_eq!(files.1.as_raw_fd(), number);
        assert!(existing.status().unwrap().success());
        assert_eq!(missing.spawn().unwrap_err().kind(), std::io::ErrorKind::NotFound);
        // Neither is a pipe that is there with both ends.
        drop(files);
        let ends = pipe::create().unwrap();
        assert_eq!(ends.1.as_fd().as_raw_fd(), number);
        assert!(existing.status().unwrap().success());
        assert_eq!(missing.spawn().unwrap_err().kind(), std::io::ErrorKind::NotFound);
    });
    test.child("spawn").spawn().succeed();
}

#[test]
fn impossible_numbers_are_refused() {
    let _test = test!();
    let pass = |numbers: &[i32]| {
        let (_reader, writer) = pipe::create().unwrap();
        let ends = numbers.iter().map(|number| (writer.try_clone().unwrap(), *number));
        Command::new("true").pass_descriptors(ends).map(drop).unwrap_err()
    };
    for numbers in [&[-1][..], &[7, 8, 7]] {
        let error = pass(numbers);
        assert_eq!((error.kind(), error.errno()), (ErrorKind::InvalidInput, None));
    }
    let error = pass(&[100_000_000]);
    assert_eq!(error.kind(), ErrorKind::LimitReached);
    let limit = error.limit().unwrap();
    assert_eq!((limit.name, limit.needed), ("RLIMIT_NOFILE", Some(100_000_001)));
}

#[test]
fn an_inherited_descriptor_is_taken_once() {
    let test = test!();
    test.role("take", |_| {
        let first = Reader::inherited(7).unwrap();
        let error = Reader::inherited(7).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        let text = "cannot take over pipe (descriptor 7): bad file descriptor (EBADF); \
                    no such descriptor was inherited, or it was taken before";
        assert_eq!(error.to_string(), text);
        for number in [-1, 0, 1, 2, 99] {
            assert_eq!(Reader::inherited(number).unwrap_err().kind(), ErrorKind::InvalidInput);
        }
        // What this program opens itself is its own.
        let (own, _writer) = pipe::create().unwrap();
        let number = std::os::fd::AsRawFd::as_raw_fd(&std::os::fd::AsFd::as_fd(&own));
        assert_eq!(Reader::inherited(number).unwrap_err().kind(), ErrorKind::InvalidInput);
        drop(first);
    });
    let (reader, _writer) = pipe::create().unwrap();
    test.child("take").descriptor(reader.into(), 7).spawn().succeed();
}

#[test]
fn any_descriptor_is_inherited_and_each_type_knows_its_own() {
    let test = test!();
    test.role("take", |_| {
        let error = EventFd::inherited(90).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().ends_with("the descriptor is not an eventfd's"), "{error}");
        assert_eq!(EventFd::inherited(91).unwrap().read().unwrap(), 7);
        let letter = Sealed::inherited(92, Seals::FIXED_LENGTH).unwrap();
        assert_eq!(letter.len(), 100);
        let error = Sealed::inherited(93, Seals::WRITE).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        assert_eq!(Memfd::inherited(94).unwrap().len().unwrap(), 0);
        let file = inherited(95).unwrap();
        assert!(rustix::io::fcntl_getfd(&file).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
        let error = inherited(95).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().starts_with("cannot take over file (descriptor 95): "), "{error}");
    });
    let sealed = || {
        let memfd = Memfd::create("letter").unwrap();
        memfd.set_len(100).unwrap();
        OwnedFd::from(memfd.seal(Seals::FIXED_LENGTH).unwrap())
    };
    let child = test.child("take");
    let child = child.descriptor(pipe::create().unwrap().0.into(), 90);
    let child = child.descriptor(EventFd::create(7).unwrap().into(), 91);
    let child = child.descriptor(sealed(), 92).descriptor(sealed(), 93);
    let child = child.descriptor(Memfd::create("empty").unwrap().into(), 94);
    child.descriptor(File::open("/dev/null").unwrap().into(), 95).spawn().succeed();
}
