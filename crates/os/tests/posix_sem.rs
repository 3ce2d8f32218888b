//! POSIX semaphores: opening, values, names, spoiled files, removal.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::Arc;

use twixt_os::mmap::Memory;
use twixt_os::posix::sem::{self, Semaphore, VALUE_MAX};
use twixt_os::posix::shm::{Access, SharedMemory};
use twixt_os::{Errno, ErrorKind, Mechanism, Mode};
use twixt_testkit::{command, defer, namespaces, root, test, unique_name};

fn name() -> String {
    format!("/{}", unique_name())
}

fn file(name: &str) -> String {
    format!("/dev/shm/sem.{}", &name[1..])
}

fn anonymous(len: usize) -> Arc<Memory> {
    Arc::new(Memory::anonymous(len).unwrap())
}

#[test]
fn create_open_and_open_or_create_differ() {
    let _test = test!();
    let name = name();
    let missing = Semaphore::open(&name).unwrap_err();
    assert_eq!((missing.kind(), missing.errno()), (ErrorKind::NotFound, Some(Errno::NOENT)));
    assert_eq!(missing.mechanism(), Mechanism::PosixSem);

    let created = Semaphore::create(&name, 2, Mode::OWNER).unwrap();
    let _guard = created.unlink_on_drop().unwrap();
    let twice = Semaphore::create(&name, 2, Mode::OWNER).unwrap_err();
    assert_eq!((twice.kind(), twice.operation()), (ErrorKind::AlreadyExists, "create"));

    let opened = Semaphore::open_or_create(&name, 9, Mode::OWNER).unwrap();
    assert_eq!(opened.value().unwrap(), 2, "an existing semaphore keeps its value");
    opened.release().unwrap();
    assert_eq!(created.value().unwrap(), 3);
    assert_eq!(created.name().unwrap().to_string(), name);

    let fresh = format!("{name}-fresh");
    let made = Semaphore::open_or_create(&fresh, 9, Mode::OWNER).unwrap();
    let _guard = made.unlink_on_drop().unwrap();
    assert_eq!(Semaphore::open(&fresh).unwrap().value().unwrap(), 9);
}

#[test]
fn the_value_counts_down_to_zero_and_up_to_its_maximum() {
    let _test = test!();
    let semaphore = Semaphore::create(&name(), VALUE_MAX - 1, Mode::OWNER).unwrap();
    let _guard = semaphore.unlink_on_drop().unwrap();
    semaphore.release().unwrap();
    let error = semaphore.release().unwrap_err();
    assert_eq!((error.kind(), error.errno()), (ErrorKind::OutOfRange, Some(Errno::OVERFLOW)));
    assert_eq!(semaphore.value().unwrap(), VALUE_MAX);

    let semaphore = Semaphore::create(&name(), 2, Mode::OWNER).unwrap();
    let _guard = semaphore.unlink_on_drop().unwrap();
    semaphore.acquire().unwrap();
    semaphore.try_acquire().unwrap();
    let error = semaphore.try_acquire().unwrap_err();
    assert_eq!((error.kind(), error.errno()), (ErrorKind::WouldBlock, Some(Errno::AGAIN)));
    assert_eq!(semaphore.value().unwrap(), 0);
}

#[test]
fn a_value_beyond_the_maximum_is_refused_and_nothing_made() {
    let _test = test!();
    let name = name();
    for outcome in [
        Semaphore::create(&name, VALUE_MAX + 1, Mode::OWNER),
        Semaphore::open_or_create(&name, u32::MAX, Mode::OWNER),
        Semaphore::initialise(anonymous(64), 0, VALUE_MAX + 1),
    ] {
        assert_eq!(outcome.unwrap_err().kind(), ErrorKind::OutOfRange);
    }
    assert_eq!(Semaphore::open(&name).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn bad_names_are_refused_before_the_kernel_sees_them() {
    let _test = test!();
    let long = format!("/{}", "x".repeat(252));
    let cases = [
        ("jobs", ErrorKind::InvalidInput),
        ("", ErrorKind::InvalidInput),
        ("/", ErrorKind::InvalidInput),
        ("/a/b", ErrorKind::InvalidInput),
        ("/../shm", ErrorKind::InvalidInput),
        ("/a\0b", ErrorKind::InvalidInput),
        (&long, ErrorKind::TooLong),
    ];
    for (name, kind) in cases {
        let error = Semaphore::create(name, 0, Mode::OWNER).unwrap_err();
        assert_eq!((error.kind(), error.errno()), (kind, None), "{name:?}");
        assert_eq!(Semaphore::open(name).unwrap_err().kind(), kind, "{name:?}");
        assert_eq!(Semaphore::open_or_create(name, 0, Mode::OWNER).unwrap_err().kind(), kind, "{name:?}");
        assert_eq!(sem::unlink(name).unwrap_err().kind(), kind, "{name:?}");
    }
    let unique = unique_name();
    let longest = format!("/{unique}{}", "x".repeat(251 - unique.len()));
    let semaphore = Semaphore::create(&longest, 0, Mode::OWNER).unwrap();
    semaphore.unlink_on_drop().unwrap().unlink().unwrap();
}

#[test]
fn an_unlinked_semaphore_serves_those_who_have_it() {
    let _test = test!();
    let name = name();
    let semaphore = Semaphore::create(&name, 0, Mode::OWNER).unwrap();
    let other = Semaphore::open(&name).unwrap();
    sem::unlink(&name).unwrap();
    assert_eq!(sem::unlink(&name).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(Semaphore::open(&name).unwrap_err().kind(), ErrorKind::NotFound);
    semaphore.release().unwrap();
    other.acquire().unwrap();
}

#[test]
fn a_guard_removes_its_semaphore_and_no_other() {
    let _test = test!();
    let name = name();
    let first = Semaphore::create(&name, 0, Mode::OWNER).unwrap();
    let guard = first.unlink_on_drop().unwrap();
    sem::unlink(&name).unwrap();
    let second = Semaphore::create(&name, 0, Mode::OWNER).unwrap();
    let _clean = defer(|| drop(sem::unlink(&name)));
    drop(guard);
    Semaphore::open(&name).expect("the guard was for the first");
    second.unlink_on_drop().unwrap().keep();
    Semaphore::open(&name).expect("the guard was told to keep it");
    drop(second.unlink_on_drop().unwrap());
    assert_eq!(Semaphore::open(&name).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn files_that_are_no_semaphores_are_errors_and_not_deaths() {
    let _test = test!();
    let name = name();
    let path = file(&name);
    let _clean = defer(|| drop(fs::remove_file(&path)));

    for len in [0, 1, 31] {
        fs::write(&path, vec![0; len]).unwrap();
        let error = Semaphore::open(&name).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Malformed, "{len} bytes");
        assert!(error.to_string().contains(&format!("{len} bytes")), "{error}");
        let error = Semaphore::open_or_create(&name, 0, Mode::OWNER).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Malformed);
    }
    fs::remove_file(&path).unwrap();

    symlink("/dev/shm/elsewhere", &path).unwrap();
    let error = Semaphore::open(&name).unwrap_err();
    assert_eq!((error.kind(), error.errno()), (ErrorKind::PermissionDenied, Some(Errno::LOOP)));
    assert_eq!(Semaphore::create(&name, 0, Mode::OWNER).unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert!(Semaphore::open_or_create(&name, 0, Mode::OWNER).is_err());
    fs::remove_file(&path).unwrap();

    rustix::fs::mknodat(
        rustix::fs::CWD,
        &*path,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    assert_eq!(Semaphore::open(&name).unwrap_err().kind(), ErrorKind::InvalidInput);
    fs::remove_file(&path).unwrap();

    fs::create_dir(&path).unwrap();
    let error = Semaphore::open(&name).unwrap_err();
    fs::remove_dir(&path).unwrap();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

/// The C library ends the process by these bytes.
#[test]
fn spoiled_bytes_harm_nobody() {
    let test = test!();
    test.role("victim", |peer| {
        let semaphore = Semaphore::open(&peer.arg(0)).unwrap();
        let past = twixt_os::Deadline::now();
        let _ = semaphore.try_acquire();
        let _ = semaphore.acquire_deadline(past);
        let _ = semaphore.release();
        let _ = semaphore.acquire_deadline(past);
        peer.say("lives");
    });
    let name = name();
    let path = file(&name);
    let _clean = defer(|| drop(fs::remove_file(&path)));
    for word in [[0xff_u8; 4], [0, 0, 0, 0x80], [1, 0, 0, 0], [0, 0, 0, 0], [0x45, 0x23, 1, 0]] {
        for position in 0..3 {
            let mut bytes = [0; 32];
            bytes[position * 4..position * 4 + 4].copy_from_slice(&word);
            bytes[16..].fill(0xaa);
            fs::write(&path, bytes).unwrap();
            let mut victim = test.child("victim").arg(&name).spawn();
            victim.expect("lives");
            victim.succeed();
        }
    }
}

#[test]
fn the_mode_and_the_umask_keep_others_out() {
    let test = test!();
    test.role("stranger", |peer| {
        let outcome = Semaphore::open(&peer.arg(0)).map(drop).map_err(|error| error.kind());
        peer.say(&format!("{outcome:?}"));
        let outcome = sem::unlink(&peer.arg(0)).map_err(|error| error.kind());
        peer.say(&format!("{outcome:?}"));
    });
    test.role("with umask", |peer| {
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o027));
        Semaphore::create(&peer.arg(0), 0, Mode::new(0o666).unwrap()).unwrap();
    });
    let name = name();
    test.child("with umask").arg(&name).spawn().succeed();
    let _clean = defer(|| drop(sem::unlink(&name)));
    assert_eq!(fs::metadata(file(&name)).unwrap().permissions().mode() & 0o7777, 0o640);
    if let Err(missing) = root() {
        return test.skip(&missing);
    }
    let mut stranger = test.child("stranger").arg(&name).as_nobody().spawn();
    stranger.expect("Err(PermissionDenied)");
    stranger.expect("Err(PermissionDenied)");
    stranger.succeed();
}

#[test]
fn a_full_file_system_leaves_no_name() {
    let test = test!();
    test.role("full", |peer| {
        let mount = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=64k", "tmpfs", "/dev/shm"])
            .status();
        assert!(mount.unwrap().success());
        let filler = SharedMemory::create("/filler", 64 << 10, Mode::OWNER).unwrap();
        let error = Semaphore::create("/none", 0, Mode::OWNER).unwrap_err();
        assert_eq!((error.kind(), error.errno()), (ErrorKind::NoSpace, Some(Errno::NOSPC)));
        let files: Vec<_> =
            fs::read_dir("/dev/shm").unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(files, ["filler"]);
        filler.resize(0).unwrap();
        Semaphore::create("/none", 0, Mode::OWNER).unwrap();
        peer.say("left nothing");
    });
    let namespaces = match namespaces().and_then(|words| command("mount").map(|()| words)) {
        Ok(words) => words,
        Err(missing) => return test.skip(&missing),
    };
    let mut child = test.child("full").under(&namespaces).spawn();
    child.expect("left nothing");
    child.succeed();
}

#[test]
fn a_semaphore_in_memory_is_checked_for_room_place_and_access() {
    let _test = test!();
    let memory = anonymous(4096);
    for offset in [4096, 4096 - 24, usize::MAX - 7] {
        for outcome in
            [Semaphore::initialise(memory.clone(), offset, 0), Semaphore::attach(memory.clone(), offset)]
        {
            assert_eq!(outcome.unwrap_err().kind(), ErrorKind::OutOfRange, "{offset}");
        }
    }
    assert_eq!(Semaphore::initialise(memory.clone(), 12, 0).unwrap_err().kind(), ErrorKind::InvalidInput);
    Semaphore::initialise(memory, 4096 - 32, 0).expect("the last place");

    let shared = SharedMemory::create(&name(), 4096, Mode::OWNER).unwrap();
    let _guard = shared.unlink_on_drop().unwrap();
    let readable = Arc::new(shared.map(Access::ReadOnly).unwrap());
    let error = Semaphore::attach(readable, 0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert!(error.to_string().contains("at offset 0"), "{error}");
}

#[test]
fn dropping_a_semaphore_in_memory_hurts_nobody() {
    let _test = test!();
    let memory = anonymous(4096);
    let mine = Semaphore::initialise(memory.clone(), 128, 3).unwrap();
    let theirs = Semaphore::attach(memory.clone(), 128).unwrap();
    drop(mine);
    drop(memory);
    theirs.acquire().unwrap();
    assert_eq!(theirs.value().unwrap(), 2, "the semaphore keeps its memory");
    assert!(theirs.name().is_none());
    assert_eq!(theirs.unlink_on_drop().unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn a_file_cut_off_by_another_is_an_error_and_not_a_death() {
    let test = test!();
    test.role("victim", |peer| {
        let semaphore = Semaphore::open(&peer.arg(0)).unwrap();
        peer.say("open");
        peer.wait_for("cut off");
        let past = twixt_os::Deadline::now();
        for outcome in [
            semaphore.acquire(),
            semaphore.try_acquire(),
            semaphore.acquire_deadline(past),
            semaphore.release(),
            semaphore.value().map(drop),
        ] {
            assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Truncated);
        }
        peer.say("lives");
    });
    let name = name();
    let semaphore = Semaphore::create(&name, 5, Mode::OWNER).unwrap();
    let _guard = semaphore.unlink_on_drop().unwrap();
    let mut victim = test.child("victim").arg(&name).spawn();
    victim.expect("open");
    fs::OpenOptions::new().write(true).open(file(&name)).unwrap().set_len(0).unwrap();
    victim.tell("cut off");
    victim.expect("lives");
    victim.succeed();
    assert_eq!(semaphore.release().unwrap_err().kind(), ErrorKind::Truncated);
    assert_eq!(Semaphore::open(&name).unwrap_err().kind(), ErrorKind::Malformed);
}

#[test]
fn the_limit_on_descriptors_is_named() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let test = test!();
    test.role("limited", |peer| {
        let limit = Rlimit { current: Some(3), maximum: Some(3) };
        setrlimit(Resource::Nofile, limit).unwrap();
        for outcome in [
            Semaphore::create(&format!("/{}", unique_name()), 0, Mode::OWNER),
            Semaphore::open(&peer.arg(0)),
            Semaphore::open_or_create(&peer.arg(0), 0, Mode::OWNER),
        ] {
            let error = outcome.unwrap_err();
            assert_eq!(
                (error.kind(), error.limit().unwrap().name),
                (ErrorKind::LimitReached, "RLIMIT_NOFILE")
            );
            assert!(error.advice().unwrap().contains("ulimit -n"), "{error}");
        }
    });
    let name = name();
    let semaphore = Semaphore::create(&name, 0, Mode::OWNER).unwrap();
    let _guard = semaphore.unlink_on_drop().unwrap();
    test.child("limited").arg(&name).spawn().succeed();
}
