//! The newest value between real processes, and what becomes of it when those die.

use std::fs;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use twixt_address::BusName;
use twixt_bus::{
    Capacity, Kind, LatestReader, LatestWriter, Left, Options, Place, Presence, Waiting, remove,
};
use twixt_os::{Deadline, Error, ErrorKind, Room, Wait};
use twixt_testkit::{Peer, scratch, test};

fn name() -> BusName {
    BusName::new("position").unwrap()
}

fn options(path: &Path) -> Options {
    Options::new().create(true).place(Place::at(path).unwrap())
}

fn at(peer: &Peer) -> Options {
    options(Path::new(&peer.arg(0)))
}

fn kind<T>(result: Result<T, Error>) -> ErrorKind {
    match result {
        Ok(_) => panic!("it succeeded"),
        Err(error) => error.kind(),
    }
}

fn soon() -> Wait {
    Wait::until(Deadline::after(Duration::from_millis(150)))
}

fn poll(descriptor: BorrowedFd<'_>) {
    use rustix::event::{PollFd, PollFlags};
    let mut polled = [PollFd::from_borrowed_fd(descriptor, PollFlags::IN)];
    while rustix::event::poll(&mut polled, None).is_err() {}
}

/// A value from which a torn one can be told: its length follows from its number, and so does each of its bytes.
fn value(number: u64, most: u64) -> Vec<u8> {
    let len = 8 + number * 131 % (most - 8);
    let mut value = vec![(number * 7) as u8; len as usize];
    value[..8].copy_from_slice(&number.to_le_bytes());
    value
}

fn check(read: &[u8], most: u64) -> u64 {
    let number = u64::from_le_bytes(read[..8].try_into().unwrap());
    assert!(read == value(number, most), "value {number} is torn");
    number
}

/// Writes as fast as it can, values of up to so many bytes, and says so after the first.
fn storm(peer: &Peer) {
    let most = peer.arg(1).parse().unwrap();
    let mut writer = LatestWriter::open(&name(), &at(peer)).unwrap();
    let begin = writer.version().map_or(0, |version| version.number());
    for number in begin + 1.. {
        assert_eq!(writer.write(&value(number, most)).unwrap().number(), number);
        if number == begin + 1 {
            peer.say("writes");
        }
    }
}

/// Writes one value, and waits.
fn holds(peer: &Peer) {
    let mut writer = LatestWriter::open(&name(), &at(peer)).unwrap();
    writer.write(peer.arg(1).as_bytes()).unwrap();
    peer.say("written");
    peer.hear();
}

#[test]
fn no_value_is_torn_by_a_writer_at_full_speed() {
    let test = test!();
    test.role("storm", storm);
    for (most, values) in [(16_u64, 2000), (200, 2000), (60_000, 200)] {
        let scratch = scratch();
        let path = scratch.path().display();
        let mut reader = LatestReader::open(&name(), &options(scratch.path())).unwrap();
        let mut child = test.child("storm").arg(path).arg(most).spawn();
        child.expect("writes");
        let (mut read, mut last, mut different) = (Vec::new(), 0, 0);
        while different < values {
            let version = reader.read(&mut read).unwrap().unwrap();
            let number = check(&read, most);
            assert_eq!(version.number(), number);
            assert!(number >= last, "back in time");
            different += u32::from(number > last);
            last = number;
        }
        child.kill();
    }
}

#[test]
fn a_writer_that_is_killed_leaves_a_whole_value_and_its_version() {
    let test = test!();
    test.role("storm", storm);
    let scratch = scratch();
    let path = scratch.path().display().to_string();
    let mut reader = LatestReader::open(&name(), &options(scratch.path())).unwrap();
    let (mut read, mut last) = (Vec::new(), 0);
    for round in 0..60_u64 {
        let mut child = test.child("storm").arg(&path).arg(60_000).spawn();
        child.expect("writes");
        thread::sleep(Duration::from_micros(round * 53 % 700));
        child.kill();
        let version = reader.read(&mut read).unwrap().unwrap().number();
        assert_eq!(check(&read, 60_000), version);
        assert!(version > last);
        assert_eq!(reader.read(&mut read).unwrap().unwrap().number(), version, "nobody writes");
        last = version;
    }
    assert_eq!(reader.writer().unwrap(), Presence::Gone(Left::Died));
}

#[test]
fn a_writer_that_is_stopped_anywhere_holds_nobody_up() {
    let test = test!();
    test.role("storm", storm);
    let scratch = scratch();
    let mut reader = LatestReader::open(&name(), &options(scratch.path())).unwrap();
    let mut child = test.child("storm").arg(scratch.path().display()).arg(60_000).spawn();
    child.expect("writes");
    let mut read = Vec::new();
    for round in 0..60_u64 {
        thread::sleep(Duration::from_micros(round * 53 % 700));
        child.stop();
        let version = reader.read(&mut read).unwrap().unwrap();
        assert_eq!(check(&read, 60_000), version.number());
        child.signal(Signal::CONT);
        // And it goes on.
        reader.wait_for_newer(Some(version), Wait::forever()).unwrap();
    }
    child.stop();
    let version = reader.version().unwrap();
    assert_eq!(reader.writer().unwrap(), Presence::Here);
    let mut found = version;
    // What it had published before it stopped may be newer; then nothing comes, and it is not taken for dead.
    let outcome = loop {
        match reader.wait_for_newer(found, soon()) {
            Ok(newer) => found = Some(newer),
            Err(error) => break error.kind(),
        }
    };
    assert_eq!(outcome, ErrorKind::TimedOut);
    child.signal(Signal::CONT);
    reader.wait_for_newer(found, Wait::forever()).unwrap();
}

#[test]
fn readers_that_are_stopped_or_killed_hold_nobody_up() {
    let test = test!();
    test.role("reader", |peer| {
        let mut reader = LatestReader::open(&name(), &at(peer)).unwrap();
        let mut read = Vec::new();
        for count in 0_u64.. {
            if reader.read(&mut read).unwrap().is_some() {
                check(&read, 60_000);
            }
            if count == 0 {
                peer.say("reads");
            }
        }
    });
    test.role("storm", storm);
    let scratch = scratch();
    let path = scratch.path().display().to_string();
    let mut reader = LatestReader::open(&name(), &options(scratch.path())).unwrap();
    let mut writer = test.child("storm").arg(&path).arg(60_000).spawn();
    writer.expect("writes");
    let mut children = Vec::new();
    for round in 0..8_u64 {
        let mut child = test.child("reader").arg(&path).spawn();
        child.expect("reads");
        thread::sleep(Duration::from_micros(round * 53 % 700));
        child.stop();
        children.push(child);
    }
    let mut read = Vec::new();
    for _ in 0..500 {
        let version = reader.read(&mut read).unwrap();
        check(&read, 60_000);
        reader.wait_for_newer(version, Wait::forever()).unwrap();
    }
    for child in children {
        child.kill();
    }
    for _ in 0..500 {
        let version = reader.read(&mut read).unwrap();
        check(&read, 60_000);
        reader.wait_for_newer(version, Wait::forever()).unwrap();
    }
}

#[test]
fn there_is_one_writer_and_the_next_goes_on() {
    let test = test!();
    test.role("holds", holds);
    let scratch = scratch();
    let options = options(scratch.path());
    let mut reader = LatestReader::open(&name(), &options).unwrap();
    assert_eq!(reader.writer().unwrap(), Presence::Nobody);
    assert_eq!(reader.read(&mut Vec::new()).unwrap(), None);
    let mut child = test.child("holds").arg(scratch.path().display()).arg("first").spawn();
    child.expect("written");
    let error = LatestWriter::open(&name(), &options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert!(error.to_string().contains(&format!("process {}", child.pid())), "{error}");
    assert_eq!(reader.writer().unwrap(), Presence::Here);
    child.kill();
    assert_eq!(reader.writer().unwrap(), Presence::Gone(Left::Died));

    let mut writer = LatestWriter::open(&name(), &options).unwrap();
    assert_eq!(reader.writer().unwrap(), Presence::Here);
    let first = writer.version().unwrap();
    let mut read = Vec::new();
    assert_eq!(reader.read(&mut read).unwrap(), Some(first));
    assert_eq!(read, b"first");
    let second = writer.write(b"second").unwrap();
    assert_eq!((first.number(), second.number()), (1, 2));
    assert_eq!(writer.written(), (2, 11));
    drop(writer);
    assert_eq!(reader.writer().unwrap(), Presence::Gone(Left::Closed));
    assert_eq!(reader.read(&mut read).unwrap(), Some(second));
    assert_eq!(read, b"second");
}

#[test]
fn whoever_waits_is_told_of_values_and_of_the_writers_end() {
    let test = test!();
    test.role("holds", holds);
    for waiting in [Waiting::Adaptive, Waiting::Spin, Waiting::Block] {
        let scratch = scratch();
        let path = scratch.path().display().to_string();
        let options = options(scratch.path());
        let mut reader = LatestReader::open_waiting(&name(), &options, waiting).unwrap();
        assert_eq!(kind(reader.wait_for_newer(None, Wait::never())), ErrorKind::WouldBlock);
        let (send, received) = std::sync::mpsc::channel();
        let waits = thread::spawn(move || {
            let mut version = None;
            for _ in 0..5 {
                let outcome = reader.wait_for_newer(version, Wait::forever());
                version = outcome.as_ref().ok().copied().or(version);
                send.send(outcome.map(|version| version.number()).map_err(|error| error.kind())).unwrap();
            }
        });
        let mut first = test.child("holds").arg(&path).arg("a").spawn();
        first.expect("written");
        assert_eq!(received.recv().unwrap(), Ok(1));
        first.kill();
        assert_eq!(received.recv().unwrap(), Err(ErrorKind::PeerGone), "{waiting:?}");
        let mut second = test.child("holds").arg(&path).arg("b").spawn();
        second.expect("written");
        assert_eq!(received.recv().unwrap(), Ok(2));
        second.succeed();
        assert_eq!(received.recv().unwrap(), Err(ErrorKind::PeerGone), "{waiting:?}");
        let mut writer = LatestWriter::open(&name(), &options).unwrap();
        writer.write(b"c").unwrap();
        assert_eq!(received.recv().unwrap(), Ok(3));
        waits.join().unwrap();
    }
}

#[test]
fn a_doorbell_rings_for_a_newer_value() {
    let test = test!();
    test.role("writer", |peer| {
        let mut writer = LatestWriter::open(&name(), &at(peer)).unwrap();
        writer.write(b"0").unwrap();
        peer.say("there");
        for _ in 0..10 {
            peer.wait_for("write");
            writer.write(b"1").unwrap();
        }
    });
    let scratch = scratch();
    let mut reader = LatestReader::open(&name(), &options(scratch.path())).unwrap();
    let mut child = test.child("writer").arg(scratch.path().display()).spawn();
    child.expect("there");
    let mut version = reader.read(&mut Vec::new()).unwrap();
    reader.doorbell(version).unwrap();
    for _ in 0..10 {
        assert!(!reader.arm(version).unwrap());
        child.tell("write");
        poll(reader.doorbell(version).unwrap());
        let newer = reader.read(&mut Vec::new()).unwrap();
        assert!(newer > version);
        version = newer;
    }
}

#[test]
fn values_have_any_length_up_to_the_message_size() {
    let scratch = scratch();
    let options = options(scratch.path()).message_size(1 << 20);
    let mut writer = LatestWriter::open(&name(), &options).unwrap();
    let mut reader = LatestReader::open(&name(), &options.clone().create(false)).unwrap();
    let (mut read, mut room) = (Vec::new(), Room::new());
    for len in [0, 1, 7, 8, 9, 48, 49, 4096, 100_000, 1 << 20, 3] {
        let value: Vec<u8> = (0..len).map(|at| (at * 7 + len) as u8).collect();
        for _ in 0..9 {
            let version = writer.write(&value).unwrap();
            assert_eq!(reader.read(&mut read).unwrap(), Some(version));
            assert!(read == value, "{len} bytes");
            assert_eq!(reader.read_into(&mut room).unwrap(), Some((version, len)));
            assert!(room[..len] == value, "{len} bytes");
        }
    }
    assert_eq!(kind(writer.write(&vec![0; (1 << 20) + 1])), ErrorKind::TooLong);
    let other = options.clone().message_size(4096);
    assert_eq!(kind(LatestReader::open(&name(), &other)), ErrorKind::InvalidInput);
    assert_eq!(
        kind(LatestReader::open(&name(), &options.clone().capacity(Capacity::DEFAULT))),
        ErrorKind::InvalidInput
    );
    for size in [0, (1 << 30) + 1] {
        let other = BusName::new("other").unwrap();
        assert_eq!(
            kind(LatestWriter::open(&other, &options.clone().message_size(size))),
            ErrorKind::OutOfRange
        );
    }
}

#[test]
fn an_idle_one_is_small() {
    use std::os::unix::fs::MetadataExt;
    let scratch = scratch();
    let options = options(scratch.path());
    let mut writer = LatestWriter::open(&name(), &options).unwrap();
    let file = scratch.path().join("latest.position/w0");
    for _ in 0..20 {
        writer.write(&[1; 100]).unwrap();
    }
    let stat = fs::metadata(&file).unwrap();
    assert!(stat.blocks() * 512 <= 64 << 10, "{} KiB", stat.blocks() / 2);
    assert!(stat.len() > 512 << 10);
}

/// From the page that describes the bytes.
#[test]
fn a_segment_written_by_hand_is_understood() {
    let scratch = scratch();
    let options = options(scratch.path()).message_size(100);
    drop(LatestReader::open(&name(), &options).unwrap());
    let directory = scratch.path().join("latest.position");
    let site = fs::read(directory.join("site")).unwrap();
    let stride = (2 + 100_usize.div_ceil(8)).next_multiple_of(8);
    let mut words = vec![0_u64; 2048 + 8 * stride];
    words[0] = u64::from_le_bytes(*b"twixtbus");
    words[1] = 1 | 5 << 32;
    words[2] = 8 * words.len() as u64;
    words[3] = u64::from_ne_bytes(site[24..32].try_into().unwrap());
    words[512] = 7 << 8 | 3;
    words[513] = 40;
    words[520] = 1;
    let buffer = 2048 + 3 * stride;
    words[buffer] = 2 * 7;
    words[buffer + 1] = 5;
    words[buffer + 2] = u64::from_ne_bytes(*b"hello\0\0\0");
    // The one after it, in which its writer died.
    words[buffer + stride] = 2 * 8 + 1;
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    fs::write(directory.join("w0"), bytes).unwrap();

    let mut reader = LatestReader::open(&name(), &options).unwrap();
    let mut read = Vec::new();
    assert_eq!(reader.read(&mut read).unwrap().unwrap().number(), 7);
    assert_eq!(read, b"hello");
    assert_eq!(reader.writer().unwrap(), Presence::Gone(Left::Died));
    let mut writer = LatestWriter::open(&name(), &options).unwrap();
    assert_eq!(writer.written(), (7, 40));
    assert_eq!(writer.write(b"again").unwrap().number(), 8);
    assert_eq!(reader.read(&mut read).unwrap().unwrap().number(), 8);
    assert_eq!(read, b"again");
    let bytes = fs::read(directory.join("w0")).unwrap();
    let word = |at: usize| u64::from_ne_bytes(bytes[8 * at..][..8].try_into().unwrap());
    assert_eq!((word(512), word(513), word(520), word(521)), (8 << 8 | 4, 45, 1, 1));
    assert_eq!((word(buffer + stride), word(buffer + stride + 1)), (16, 5));
}

#[test]
fn another_user_reads_what_the_mode_lets_it_and_writes_nothing() {
    use std::os::unix::fs::PermissionsExt;
    let test = test!();
    test.role("nobody", |peer| {
        let mut reader = LatestReader::open(&name(), &at(peer)).unwrap();
        let mut read = Vec::new();
        let version = reader.wait_for_newer(None, Wait::forever()).unwrap();
        assert_eq!(reader.read(&mut read).unwrap(), Some(version));
        assert_eq!(read, b"for all");
        let segment = Path::new(&peer.arg(0)).join("latest.position/w0");
        let error = fs::File::options().write(true).open(segment).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied);
    });
    if let Err(missing) = twixt_testkit::root() {
        return test.skip(&missing);
    }
    let scratch = scratch();
    fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let options = options(scratch.path()).mode(twixt_os::Mode::new(0o666).unwrap());
    let mut writer = LatestWriter::open(&name(), &options).unwrap();
    writer.write(b"for all").unwrap();
    test.child("nobody").arg(scratch.path().display()).as_nobody().spawn().succeed();
}

#[test]
fn removal_is_told_to_writer_and_reader() {
    let scratch = scratch();
    let options = options(scratch.path());
    let mut writer = LatestWriter::open(&name(), &options).unwrap();
    let mut reader = LatestReader::open(&name(), &options).unwrap();
    let mut waiting = LatestReader::open(&name(), &options).unwrap();
    let waits = thread::spawn(move || kind(waiting.wait_for_newer(None, Wait::forever())));
    remove(Kind::Latest, &name(), Some(&Place::at(scratch.path()).unwrap())).unwrap();
    assert_eq!(waits.join().unwrap(), ErrorKind::Removed);
    assert_eq!(kind(writer.write(b"nowhere")), ErrorKind::Removed);
    assert_eq!(kind(reader.read(&mut Vec::new())), ErrorKind::Removed);
    assert_eq!(kind(reader.writer()), ErrorKind::Removed);
    drop((writer, reader));
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0);
}

#[test]
fn readers_leave_nothing() {
    let test = test!();
    test.role("reader", |peer| {
        let mut reader = LatestReader::open(&name(), &at(peer)).unwrap();
        reader.doorbell(None).unwrap();
        peer.say("there");
        peer.hear();
    });
    let scratch = scratch();
    let options = options(scratch.path());
    let mut writer = LatestWriter::open(&name(), &options).unwrap();
    let mut child = test.child("reader").arg(scratch.path().display()).spawn();
    child.expect("there");
    assert_eq!(writer.readers().unwrap(), 1);
    child.kill();
    // The next one takes the place of the dead.
    let mut reader = LatestReader::open(&name(), &options).unwrap();
    reader.doorbell(None).unwrap();
    assert_eq!(writer.readers().unwrap(), 1);
    drop(reader);
    drop(writer);
    let mut left: Vec<_> = fs::read_dir(scratch.path().join("latest.position"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, ["site", "w0"]);
}

/// Bytes that anybody may have written, from a number.
fn noise(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 11 ^ *state << 31
}

/// Writes what is no good into a file, until told to stop.
fn spoil(path: &Path, seed: u64, stopped: &std::sync::mpsc::Receiver<()>) {
    use std::os::unix::fs::FileExt;
    let mut state = seed | 1;
    let file = fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let len = file.metadata().unwrap().len();
    while stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
        let at = noise(&mut state) % (len / 8) * 8;
        // The control block and the first buffers, mostly; small numbers, often.
        let at = if noise(&mut state) & 1 == 0 { at } else { at % 20_000 / 8 * 8 };
        let word = noise(&mut state) >> (noise(&mut state) % 64);
        let _ = file.write_at(&word.to_le_bytes(), at);
    }
}

#[test]
fn hostile_bytes_hurt_nobody() {
    for (file, seed) in ["w0", "r0", "site"].into_iter().flat_map(|file| (0..5).map(move |seed| (file, seed)))
    {
        let scratch = scratch();
        let options = options(scratch.path());
        let mut writer = LatestWriter::open(&name(), &options).unwrap();
        let mut reader = LatestReader::open(&name(), &options).unwrap();
        writer.write(&[1; 100]).unwrap();
        let path = scratch.path().join("latest.position").join(file);
        let (stop, stopped) = std::sync::mpsc::channel();
        let spoils = thread::spawn(move || spoil(&path, seed, &stopped));
        let writes = thread::spawn(move || {
            for len in 0..500 {
                let _ = writer.write(&vec![7; len * 10]);
            }
            writer
        });
        let mut read = Vec::new();
        for _ in 0..100 {
            let version = reader.read(&mut read).unwrap_or(None);
            assert!(read.len() <= 64 << 10);
            let _ = reader.wait_for_newer(version, Wait::until(Deadline::after(Duration::from_millis(1))));
            let _ = reader.writer();
        }
        let writer = writes.join().unwrap();
        drop((stop, writer));
        spoils.join().unwrap();
        // Whoever comes next finds what makes no sense, and says so or begins anew.
        drop(reader);
        if let Ok(mut writer) = LatestWriter::open(&name(), &options) {
            writer.write(b"again").unwrap();
        }
        let _ = LatestReader::open(&name(), &options).map(|mut reader| reader.read(&mut read));
    }
}

#[test]
fn a_truncated_file_is_an_error() {
    for file in ["w0", "r0", "site"] {
        let scratch = scratch();
        let options = options(scratch.path());
        let mut writer = LatestWriter::open(&name(), &options).unwrap();
        let mut reader = LatestReader::open(&name(), &options).unwrap();
        writer.write(&[1; 100]).unwrap();
        let path = scratch.path().join("latest.position").join(file);
        fs::File::options().write(true).open(path).unwrap().set_len(0).unwrap();
        let (written, read) = (writer.write(&[2; 100]), reader.read(&mut Vec::new()));
        if file == "w0" {
            assert_eq!((kind(written), kind(read)), (ErrorKind::Truncated, ErrorKind::Truncated));
        }
    }
}

#[test]
fn a_forked_copy_disturbs_nothing_and_is_good_for_nothing() {
    let test = test!();
    test.role("forks", |peer| {
        let mut writer = LatestWriter::open(&name(), &at(peer)).unwrap();
        let mut reader = LatestReader::open(&name(), &at(peer)).unwrap();
        writer.write(b"before").unwrap();
        // SAFETY: this role runs one thread of the test's; the child uses what it has and ends.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let refused = kind(writer.write(b"from the child")) == ErrorKind::InvalidInput
                && kind(reader.read(&mut Vec::new())) == ErrorKind::InvalidInput
                && kind(reader.wait_for_newer(None, Wait::never())) == ErrorKind::InvalidInput
                && kind(reader.arm(None)) == ErrorKind::InvalidInput;
            drop((writer, reader));
            // SAFETY: ends the process, as is allowed after a fork.
            unsafe { libc::_exit(i32::from(!refused)) };
        }
        let mut status = 0;
        // SAFETY: waits for a child of this process, into a variable of its own.
        unsafe { libc::waitpid(child, &mut status, 0) };
        assert_eq!(status, 0);
        let mut read = Vec::new();
        let version = writer.write(b"after").unwrap();
        assert_eq!(reader.read(&mut read).unwrap(), Some(version));
        assert_eq!(read, b"after");
    });
    let scratch = scratch();
    test.child("forks").arg(scratch.path().display()).spawn().succeed();
}

#[test]
fn a_full_file_system_is_an_error_and_the_value_stays() {
    test!().in_namespaces(|_| {
        let scratch = scratch();
        let at = scratch.path().to_str().unwrap();
        twixt_testkit::output("mount", &["-t", "tmpfs", "-o", "size=200k", "tmpfs", at]);
        let options = options(scratch.path());
        let mut writer = LatestWriter::open(&name(), &options).unwrap();
        let mut reader = LatestReader::open(&name(), &options).unwrap();
        let mut last = writer.write(b"small").unwrap();
        let mut value = b"small".to_vec();
        let error = loop {
            match writer.write(&[1; 60_000]) {
                Ok(version) => (last, value) = (version, vec![1; 60_000]),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}");
        let mut read = Vec::new();
        assert_eq!(reader.read(&mut read).unwrap(), Some(last));
        assert_eq!(read, value);
        drop((writer, reader));
        twixt_testkit::output("umount", &[at]);
    });
}
