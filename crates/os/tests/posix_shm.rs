//! POSIX shared memory: opening, size, mapping, names, removal, a full file system.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;
use std::sync::Arc;

use rustix::process::{Resource, Rlimit, setrlimit};
use twixt_os::posix::sem::Semaphore;
use twixt_os::posix::shm::{self, Access, SharedMemory};
use twixt_os::{Errno, ErrorKind, Mechanism, Mode};
use twixt_testkit::{Spawn, Storm, Test, command, defer, namespaces, root, test, unique_name};

fn name() -> String {
    format!("/{}", unique_name())
}

fn file(name: &str) -> String {
    format!("/dev/shm{name}")
}

#[test]
fn create_open_and_open_or_create_differ() {
    let _test = test!();
    let name = name();
    let missing = SharedMemory::open(&name, Access::ReadOnly).unwrap_err();
    assert_eq!((missing.kind(), missing.errno()), (ErrorKind::NotFound, Some(Errno::NOENT)));
    assert_eq!(missing.mechanism(), Mechanism::PosixShm);

    let created = SharedMemory::create(&name, 10_000, Mode::OWNER).unwrap();
    let _guard = created.unlink_on_drop().unwrap();
    assert_eq!(fs::metadata(file(&name)).unwrap().permissions().mode() & 0o7777, 0o600);
    let twice = SharedMemory::create(&name, 10_000, Mode::OWNER).unwrap_err();
    assert_eq!((twice.kind(), twice.operation()), (ErrorKind::AlreadyExists, "create"));

    let opened = SharedMemory::open_or_create(&name, 5, Mode::OWNER).unwrap();
    assert_eq!(opened.size().unwrap(), 10_000, "an existing object keeps its size");
    assert_eq!((opened.access(), opened.name().unwrap().to_string()), (Access::ReadWrite, name.clone()));

    let fresh = format!("{name}-fresh");
    let made = SharedMemory::open_or_create(&fresh, 5, Mode::OWNER).unwrap();
    let _guard = made.unlink_on_drop().unwrap();
    assert_eq!(SharedMemory::open(&fresh, Access::ReadOnly).unwrap().size().unwrap(), 5);
}

#[test]
fn what_one_process_writes_another_reads() {
    let test = test!();
    test.role("reader", |peer| {
        let shared = SharedMemory::open(&peer.arg(0), Access::ReadOnly).unwrap();
        let memory = shared.map(Access::ReadOnly).unwrap();
        let mut text = vec![0; memory.len()];
        memory.read(0, &mut text).unwrap();
        peer.say(&format!("{} {}", text.len(), text.iter().map(|byte| u64::from(*byte)).sum::<u64>()));
    });
    let name = name();
    let shared = SharedMemory::create(&name, 9000, Mode::OWNER).unwrap();
    let _guard = shared.unlink_on_drop().unwrap();
    let bytes: Vec<u8> = (0..9000).map(|index| (index % 251) as u8).collect();
    shared.map(Access::ReadWrite).unwrap().write(0, &bytes).unwrap();
    let mut reader = test.child("reader").arg(&name).spawn();
    reader.expect(&format!("9000 {}", bytes.iter().map(|byte| u64::from(*byte)).sum::<u64>()));
    reader.succeed();
}

#[test]
fn what_was_opened_for_reading_is_not_written() {
    let _test = test!();
    let name = name();
    let created = SharedMemory::create(&name, 4096, Mode::OWNER).unwrap();
    let _guard = created.unlink_on_drop().unwrap();
    let readable = SharedMemory::open(&name, Access::ReadOnly).unwrap();
    let error = readable.map(Access::ReadWrite).unwrap_err();
    assert_eq!((error.kind(), error.errno()), (ErrorKind::PermissionDenied, Some(Errno::ACCESS)));
    assert!(readable.map(Access::ReadOnly).unwrap().write(0, b"x").is_err());
    for size in [1, 8192] {
        let error = readable.resize(size).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{size}");
        assert!(error.to_string().contains("reading only"), "{error}");
    }
}

#[test]
fn it_grows_and_shrinks() {
    let _test = test!();
    let name = name();
    let shared = SharedMemory::create(&name, 100, Mode::OWNER).unwrap();
    let _guard = shared.unlink_on_drop().unwrap();
    shared.map(Access::ReadWrite).unwrap().write(98, b"ab").unwrap();
    shared.resize(10_000).unwrap();
    assert_eq!(shared.size().unwrap(), 10_000);
    let blocks = fs::metadata(file(&name)).map(|data| std::os::unix::fs::MetadataExt::blocks(&data)).unwrap();
    assert!(blocks * 512 >= 10_000, "what was added is reserved");
    let mut bytes = [9; 4];
    shared.map(Access::ReadOnly).unwrap().read(98, &mut bytes).unwrap();
    assert_eq!(&bytes, b"ab\0\0");
    shared.resize(50).unwrap();
    shared.resize(100).unwrap();
    shared.map(Access::ReadOnly).unwrap().read(96, &mut bytes).unwrap();
    assert_eq!(bytes, [0; 4], "what was cut off is gone");
    shared.resize(100).unwrap();
    shared.resize(0).unwrap();
    let error = shared.map(Access::ReadOnly).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("no bytes"), "{error}");
}

#[test]
fn memory_cut_off_by_another_is_an_error_and_not_a_death() {
    let test = test!();
    test.role("cutter", |peer| {
        SharedMemory::open(&peer.arg(0), Access::ReadWrite).unwrap().resize(0).unwrap();
    });
    let name = name();
    let shared = SharedMemory::create(&name, 10_000, Mode::OWNER).unwrap();
    let _guard = shared.unlink_on_drop().unwrap();
    let memory = shared.map(Access::ReadWrite).unwrap();
    test.child("cutter").arg(&name).spawn().succeed();
    let error = memory.write(5000, b"x").unwrap_err();
    assert_eq!((error.kind(), error.mechanism()), (ErrorKind::Truncated, Mechanism::PosixShm));
    assert!(error.to_string().contains(&name), "{error}");
    assert_eq!(memory.read(0, &mut [0; 4]).unwrap_err().kind(), ErrorKind::Truncated);
}

#[test]
fn a_range_is_mapped_from_a_page_on() {
    let _test = test!();
    let page = rustix::param::page_size();
    let shared = SharedMemory::create(&name(), 3 * page as u64, Mode::OWNER).unwrap();
    let _guard = shared.unlink_on_drop().unwrap();
    shared.map(Access::ReadWrite).unwrap().write(page, b"second").unwrap();
    let second = shared.map_range(page as u64, page, Access::ReadOnly).unwrap();
    let mut text = [0; 6];
    second.read(0, &mut text).unwrap();
    assert_eq!((&text, second.len()), (b"second", page));
    let kind = |offset, len| shared.map_range(offset, len, Access::ReadOnly).unwrap_err().kind();
    assert_eq!(kind(2 * page as u64, page + 1), ErrorKind::OutOfRange);
    assert_eq!(kind(u64::MAX, 1), ErrorKind::OutOfRange);
    assert_eq!(kind(1, page), ErrorKind::InvalidInput);
    assert_eq!(kind(0, 0), ErrorKind::InvalidInput);
}

#[test]
fn a_process_without_descriptors_is_told_so() {
    let test = test!();
    test.role("full", |_| {
        let maximum = rustix::process::getrlimit(Resource::Nofile).maximum;
        setrlimit(Resource::Nofile, Rlimit { current: Some(3), maximum }).unwrap();
        for error in [
            SharedMemory::create(&name(), 1, Mode::OWNER).unwrap_err(),
            Semaphore::create(&name(), 1, Mode::OWNER).unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::LimitReached);
            assert_eq!(error.limit().unwrap().name, "RLIMIT_NOFILE");
        }
    });
    test.child("full").spawn().succeed();
}

#[test]
fn sizes_that_no_file_has_are_refused() {
    let test = test!();
    test.role("limited", |_| {
        setrlimit(Resource::Fsize, Rlimit { current: Some(4096), maximum: None }).unwrap();
        let name = name();
        let error = SharedMemory::create(&name, 4097, Mode::OWNER).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LimitReached);
        let limit = error.limit().unwrap();
        assert_eq!((limit.name, limit.current, limit.needed), ("RLIMIT_FSIZE", Some(4096), Some(4097)));
        let shared = SharedMemory::create(&name, 4096, Mode::OWNER).unwrap();
        let _guard = shared.unlink_on_drop().unwrap();
        assert_eq!(shared.resize(4097).unwrap_err().kind(), ErrorKind::LimitReached);
    });
    let name = name();
    assert_eq!(SharedMemory::create(&name, u64::MAX, Mode::OWNER).unwrap_err().kind(), ErrorKind::OutOfRange);
    assert_eq!(SharedMemory::open(&name, Access::ReadOnly).unwrap_err().kind(), ErrorKind::NotFound);
    test.child("limited").spawn().succeed();
}

#[test]
fn bad_names_are_refused_before_the_kernel_sees_them() {
    let _test = test!();
    let long = format!("/{}", "x".repeat(256));
    let cases = [
        ("jobs", ErrorKind::InvalidInput),
        ("", ErrorKind::InvalidInput),
        ("/", ErrorKind::InvalidInput),
        ("/.", ErrorKind::InvalidInput),
        ("/a/b", ErrorKind::InvalidInput),
        ("/a\0b", ErrorKind::InvalidInput),
        (&long, ErrorKind::TooLong),
    ];
    for (name, kind) in cases {
        let error = SharedMemory::create(name, 1, Mode::OWNER).unwrap_err();
        assert_eq!((error.kind(), error.errno()), (kind, None), "{name:?}");
        assert_eq!(SharedMemory::open(name, Access::ReadOnly).unwrap_err().kind(), kind, "{name:?}");
        assert_eq!(SharedMemory::open_or_create(name, 1, Mode::OWNER).unwrap_err().kind(), kind, "{name:?}");
        assert_eq!(shm::unlink(name).unwrap_err().kind(), kind, "{name:?}");
    }
    let unique = unique_name();
    let longest = format!("/{unique}{}", "x".repeat(255 - unique.len()));
    let shared = SharedMemory::create(&longest, 1, Mode::OWNER).unwrap();
    shared.unlink_on_drop().unwrap().unlink().unwrap();
}

#[test]
fn other_things_under_the_name_are_not_opened() {
    let _test = test!();
    let name = name();
    let path = file(&name);
    let _clean = defer(|| drop(fs::remove_file(&path)));
    symlink("/etc/passwd", &path).unwrap();
    let error = SharedMemory::open(&name, Access::ReadOnly).unwrap_err();
    assert_eq!((error.kind(), error.errno()), (ErrorKind::PermissionDenied, Some(Errno::LOOP)));
    assert_eq!(SharedMemory::create(&name, 1, Mode::OWNER).unwrap_err().kind(), ErrorKind::AlreadyExists);
    fs::remove_file(&path).unwrap();
    // Opening a FIFO for reading would wait for a writer.
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &*path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    assert_eq!(SharedMemory::open(&name, Access::ReadOnly).unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn unlinked_memory_serves_those_who_have_it() {
    let _test = test!();
    let name = name();
    let shared = SharedMemory::create(&name, 4096, Mode::OWNER).unwrap();
    let other = SharedMemory::open(&name, Access::ReadOnly).unwrap();
    shm::unlink(&name).unwrap();
    assert_eq!(shm::unlink(&name).unwrap_err().kind(), ErrorKind::NotFound);
    shared.map(Access::ReadWrite).unwrap().write(0, b"still").unwrap();
    let memory = other.map(Access::ReadOnly).unwrap();
    drop(other);
    let mut text = [0; 5];
    memory.read(0, &mut text).unwrap();
    assert_eq!(&text, b"still");
}

#[test]
fn a_guard_removes_its_object_and_no_other() {
    let _test = test!();
    let name = name();
    let first = SharedMemory::create(&name, 1, Mode::OWNER).unwrap();
    let guard = first.unlink_on_drop().unwrap();
    shm::unlink(&name).unwrap();
    let second = SharedMemory::create(&name, 2, Mode::OWNER).unwrap();
    let _clean = defer(|| drop(shm::unlink(&name)));
    drop(guard);
    let found = SharedMemory::open(&name, Access::ReadOnly).expect("the guard was for the first");
    assert_eq!(found.size().unwrap(), 2);
    drop(second.unlink_on_drop().unwrap());
    assert_eq!(SharedMemory::open(&name, Access::ReadOnly).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn a_descriptor_becomes_memory_again() {
    let _test = test!();
    let name = name();
    let shared = SharedMemory::create(&name, 4096, Mode::OWNER).unwrap();
    let _guard = shared.unlink_on_drop().unwrap();
    let memory = shared.map(Access::ReadWrite).unwrap();
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let line = maps.lines().find(|line| line.contains(&name)).expect("mapped under its own name");
    assert!(line.starts_with(&format!("{:x}", memory.address())) && !line.contains("deleted"), "{line}");

    let fd = OwnedFd::from(shared);
    assert!(rustix::io::fcntl_getfd(&fd).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
    let again = SharedMemory::try_from(fd).unwrap();
    assert_eq!((again.access(), again.size().unwrap()), (Access::ReadWrite, 4096));
    assert!(again.name().is_none());
    assert_eq!(again.unlink_on_drop().unwrap_err().kind(), ErrorKind::InvalidInput);
    let null = fs::File::open("/dev/null").unwrap();
    assert_eq!(SharedMemory::from_fd(null.into()).unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn the_mode_and_the_umask_keep_others_out() {
    let test = test!();
    test.role("stranger", |peer| {
        for access in [Access::ReadOnly, Access::ReadWrite] {
            let outcome = SharedMemory::open(&peer.arg(0), access).map(drop).map_err(|error| error.kind());
            peer.say(&format!("{outcome:?}"));
        }
        let outcome = shm::unlink(&peer.arg(0)).map_err(|error| error.kind());
        peer.say(&format!("{outcome:?}"));
    });
    test.role("with umask", |peer| {
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
        SharedMemory::create(&peer.arg(0), 1, Mode::new(0o666).unwrap()).unwrap();
    });
    let name = name();
    test.child("with umask").arg(&name).spawn().succeed();
    let _clean = defer(|| drop(shm::unlink(&name)));
    assert_eq!(fs::metadata(file(&name)).unwrap().permissions().mode() & 0o7777, 0o644);
    if let Err(missing) = root() {
        return test.skip(&missing);
    }
    let mut stranger = test.child("stranger").arg(&name).as_nobody().spawn();
    stranger.expect("Ok(())");
    stranger.expect("Err(PermissionDenied)");
    stranger.expect("Err(PermissionDenied)");
    stranger.succeed();
}

/// A child with a /dev/shm of its own.
fn alone(test: &Test, role: &str) -> Result<Spawn, twixt_testkit::Missing> {
    command("mount")?;
    Ok(test.child(role).under(&namespaces()?))
}

fn mount(options: &str, at: &str) {
    let status = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs", at]).status();
    assert!(status.unwrap().success());
}

fn files() -> Vec<String> {
    let entries = fs::read_dir("/dev/shm").unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    files.sort();
    files
}

fn fill_and_overfill() {
    let first = SharedMemory::create("/first", 32 << 10, Mode::OWNER).unwrap();
    let error = SharedMemory::create("/second", 48 << 10, Mode::OWNER).unwrap_err();
    assert_eq!((error.kind(), error.errno()), (ErrorKind::NoSpace, Some(Errno::NOSPC)));
    let limit = error.limit().unwrap();
    assert_eq!((limit.current, limit.needed), (Some(32 << 10), Some(48 << 10)));
    assert_eq!(files(), ["first"], "no name is left");
    assert!(SharedMemory::open_or_create("/second", 48 << 10, Mode::OWNER).is_err());
    assert_eq!(files(), ["first"]);

    assert_eq!(first.resize(80 << 10).unwrap_err().kind(), ErrorKind::NoSpace);
    assert_eq!(first.size().unwrap(), 32 << 10, "the size is as before");
    // Nor is any memory: all that is free can be had.
    SharedMemory::create("/second", 32 << 10, Mode::OWNER).unwrap();
    assert_eq!(files(), ["first", "second"]);
}

#[test]
fn a_full_file_system_is_an_error_at_creation_and_leaves_no_name() {
    let test = test!();
    test.role("full", |peer| {
        mount("size=64k", "/dev/shm");
        fill_and_overfill();
        peer.say("left nothing");
    });
    let mut child = match alone(&test, "full") {
        Ok(child) => child.spawn(),
        Err(missing) => return test.skip(&missing),
    };
    child.expect("left nothing");
    child.succeed();
}

/// Without /proc a nameless file cannot be given a name; a temporary name does it then.
#[test]
fn the_same_without_proc() {
    let test = test!();
    test.role("full", |peer| {
        mount("size=64k", "/dev/shm");
        mount("size=4k", "/proc");
        fill_and_overfill();
        peer.say("left nothing");
    });
    let mut child = match alone(&test, "full") {
        Ok(child) => child.spawn(),
        Err(missing) => return test.skip(&missing),
    };
    child.expect("left nothing");
    child.succeed();
}

#[test]
fn without_dev_shm_the_error_says_so() {
    let test = test!();
    test.role("none", |peer| {
        mount("size=4k", "/dev");
        let error = SharedMemory::create("/x", 1, Mode::OWNER).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        peer.say(&error.to_string());
    });
    let mut child = match alone(&test, "none") {
        Ok(child) => child.spawn(),
        Err(missing) => return test.skip(&missing),
    };
    let said = child.hear();
    assert!(said.ends_with("mount a tmpfs on /dev/shm"), "{said}");
    child.succeed();
}

/// Every opener sees all of it or nothing.
#[test]
fn nobody_opens_it_half_made() {
    let test = test!();
    test.role("creator", |peer| {
        let name = peer.arg(0);
        let _clean = defer(|| drop(shm::unlink(&name)));
        for _ in 0..300 {
            drop(SharedMemory::create(&name, 1 << 20, Mode::OWNER).unwrap());
            shm::unlink(&name).unwrap();
        }
        SharedMemory::create(&name, 1, Mode::OWNER).unwrap();
        peer.say("done");
        peer.wait_for("seen");
    });
    let name = name();
    let mut creator = test.child("creator").arg(&name).spawn();
    loop {
        match SharedMemory::open(&name, Access::ReadOnly).and_then(|shared| shared.size()) {
            Ok(1) => break,
            Ok(size) => assert_eq!(size, 1 << 20),
            Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound),
        }
    }
    creator.expect("done");
    creator.tell("seen");
    creator.succeed();
}

/// Here the opener must never find the semaphore's first value missing.
#[test]
fn nobody_opens_it_unprepared() {
    let test = test!();
    test.role("creator", |peer| {
        let name = peer.arg(0);
        let _clean = defer(|| drop(shm::unlink(&name)));
        for round in 0..=300 {
            let shared = SharedMemory::create_with(&name, 4096, Mode::OWNER, |memory| {
                memory.write(100, b"prepared")?;
                Semaphore::initialise(memory, 0, if round == 300 { 2 } else { 1 }).map(drop)
            });
            drop(shared.unwrap());
            if round < 300 {
                shm::unlink(&name).unwrap();
            }
        }
        peer.say("done");
        peer.wait_for("seen");
    });
    let name = name();
    let mut creator = test.child("creator").arg(&name).spawn();
    loop {
        let opened = match SharedMemory::open(&name, Access::ReadWrite) {
            Ok(opened) => opened,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::NotFound);
                continue;
            }
        };
        let memory = Arc::new(opened.map(Access::ReadWrite).unwrap());
        let mut text = [0; 8];
        memory.read(100, &mut text).unwrap();
        assert_eq!(&text, b"prepared");
        if Semaphore::attach(memory, 0).unwrap().value().unwrap() == 2 {
            break;
        }
    }
    creator.expect("done");
    creator.tell("seen");
    creator.succeed();
}

#[test]
fn what_cannot_be_prepared_is_not_created() {
    let _test = test!();
    let name = name();
    let create =
        |size| SharedMemory::create_with(&name, size, Mode::OWNER, |memory| memory.write(4096, b"beyond"));
    assert_eq!(create(4096).unwrap_err().kind(), ErrorKind::OutOfRange);
    assert_eq!(create(0).unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(SharedMemory::open(&name, Access::ReadOnly).unwrap_err().kind(), ErrorKind::NotFound);
    let shared = create(8192).unwrap();
    let _guard = shared.unlink_on_drop().unwrap();
    assert_eq!(create(8192).unwrap_err().kind(), ErrorKind::AlreadyExists);
}

/// The kernel gives up a reservation at every signal; one large enough would never end.
#[test]
fn a_large_reservation_ends_whatever_signals_come() {
    let test = test!();
    test.role("reserve", |peer| {
        mount("size=600m", "/dev/shm");
        let _storm = Storm::on_this_thread();
        drop(SharedMemory::create("/large", 512 << 20, Mode::OWNER).unwrap());
        peer.say("reserved");
    });
    let mut child = match alone(&test, "reserve") {
        Ok(child) => child.spawn(),
        Err(missing) => return test.skip(&missing),
    };
    child.expect("reserved");
    child.succeed();
}
