//! Mapped files between processes: making, finding, sharing, growing, and what is refused.

#[path = "support/outcome.rs"]
mod support;

use std::fs;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

use support::{error, kind};
use twixt_os::mmap::{Access, Advice, Flush, HugePages, MappedFile, Memory, Options, Sharing};
use twixt_os::{Errno, ErrorKind, Mode};
use twixt_testkit::{Storm, command, compile_c, namespaces, root, scratch, strace, test};

const PAGE: usize = 4096;

#[test]
fn two_processes_see_each_others_bytes() {
    let test = test!();
    test.role("other", |peer| {
        let memory = MappedFile::open(peer.arg(0)).unwrap();
        let mut word = [0; 7];
        memory.read(5000, &mut word).unwrap();
        assert_eq!(&word, b"between");
        memory.write(5000, b"betwixt").unwrap();
        for _ in 0..10_000 {
            memory.atomic_u64(8).unwrap().fetch_add(1, SeqCst);
        }
    });
    let directory = scratch();
    let path = directory.path().join("board");
    let memory = MappedFile::create(&path, 2 * PAGE).unwrap();
    memory.write(5000, b"between").unwrap();
    let child = test.child("other").arg(path.display()).spawn();
    for _ in 0..10_000 {
        memory.atomic_u64(8).unwrap().fetch_add(1, SeqCst);
    }
    child.succeed();
    let mut word = [0; 7];
    memory.read(5000, &mut word).unwrap();
    assert_eq!(&word, b"betwixt");
    assert_eq!(memory.load_u64(8, SeqCst).unwrap(), 20_000);
    // It is the file's content, for whoever reads it otherwise.
    assert_eq!(&fs::read(&path).unwrap()[5000..5007], b"betwixt");
}

#[test]
fn a_c_program_shares_it() {
    let directory = scratch();
    let path = directory.path().join("board");
    let source = r#"
        #include <fcntl.h>
        #include <stdio.h>
        #include <string.h>
        #include <sys/mman.h>
        int main(int argc, char **argv) {
            int fd = open(argv[1], O_RDWR);
            char *at = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
            if (at == MAP_FAILED) return 1;
            puts(at);
            strcpy(at + 100, "from C");
            return 0;
        }"#;
    let program = compile_c(directory.path(), "share", source, &[]);
    let memory = MappedFile::create(&path, PAGE).unwrap();
    memory.write(0, b"from Rust\0").unwrap();
    let output = std::process::Command::new(program).arg(&path).output().unwrap();
    assert!(output.status.success());
    assert_eq!(output.stdout, b"from Rust\n");
    let mut text = [0; 6];
    memory.read(100, &mut text).unwrap();
    assert_eq!(&text, b"from C");
}

#[test]
fn create_makes_a_private_whole_file_and_leaves_it() {
    let directory = scratch();
    let path = directory.path().join("board");
    let memory = MappedFile::create(&path, 3 * PAGE + 5).unwrap();
    let stat = fs::metadata(&path).unwrap();
    assert_eq!(stat.permissions().mode() & 0o777, 0o600);
    assert_eq!(stat.len(), (3 * PAGE + 5) as u64);
    assert!(stat.blocks() * 512 >= stat.len(), "its space is reserved");
    assert_eq!(memory.len(), 3 * PAGE + 5);
    let flags = rustix::io::fcntl_getfd(&memory).unwrap();
    assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
    let refused = error(MappedFile::create(&path, PAGE));
    assert_eq!((refused.kind(), refused.errno()), (ErrorKind::AlreadyExists, Some(Errno::EXIST)));
    assert_eq!(
        refused.to_string(),
        format!("cannot create mapped file {}: file exists (EEXIST)", path.display())
    );
    drop(memory);
    assert!(path.exists(), "dropping removes nothing");
    let shared = directory.path().join("shared");
    Options::new().mode(Mode::new(0o400).unwrap()).create(&shared, 1).unwrap();
    assert_eq!(fs::metadata(&shared).unwrap().permissions().mode() & 0o777, 0o400);
    // A name without a directory is one in the working directory, which a test must not change.
    assert_eq!(kind(MappedFile::create("", 1)), ErrorKind::NotFound);
}

#[test]
fn what_is_no_regular_file_is_refused() {
    let directory = scratch();
    let at = |name: &str| directory.path().join(name);
    assert_eq!(kind(MappedFile::open(at("nothing"))), ErrorKind::NotFound);
    assert_eq!(kind(MappedFile::create(at("no/where"), 1)), ErrorKind::NotFound);
    assert_eq!(kind(MappedFile::open(directory.path())), ErrorKind::InvalidInput);
    assert_eq!(kind(MappedFile::open_read_only(directory.path())), ErrorKind::InvalidInput);
    fs::write(at("file"), b"content").unwrap();
    std::os::unix::fs::symlink(at("file"), at("link")).unwrap();
    assert_eq!(kind(MappedFile::open(at("link"))), ErrorKind::PermissionDenied);
    assert_eq!(kind(MappedFile::open_or_create(at("link"), 1)), ErrorKind::PermissionDenied);
    assert_eq!(kind(MappedFile::create(at("link"), 1)), ErrorKind::AlreadyExists);
    std::os::unix::fs::symlink(at("nothing"), at("dangling")).unwrap();
    assert_eq!(kind(MappedFile::create(at("dangling"), 1)), ErrorKind::AlreadyExists);
    assert!(!at("nothing").exists());
    // A FIFO must not make it wait for the other end.
    std::process::Command::new("mkfifo").arg(at("fifo")).status().unwrap();
    assert_eq!(kind(MappedFile::open(at("fifo"))), ErrorKind::InvalidInput);
    assert_eq!(kind(MappedFile::open_read_only(at("fifo"))), ErrorKind::InvalidInput);
    let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
    assert_eq!(kind(MappedFile::open(at("socket"))), ErrorKind::InvalidInput);
    let (read, _write) = std::io::pipe().unwrap();
    assert_eq!(kind(MappedFile::from_fd(read.into())), ErrorKind::InvalidInput);
}

#[test]
fn lengths_and_offsets_are_checked() {
    let directory = scratch();
    let path = directory.path().join("board");
    assert_eq!(kind(MappedFile::create(&path, 0)), ErrorKind::InvalidInput);
    assert_eq!(kind(MappedFile::create(&path, usize::MAX)), ErrorKind::OutOfRange);
    assert!(!path.exists());
    fs::write(&path, b"").unwrap();
    assert_eq!(kind(MappedFile::open(&path)), ErrorKind::InvalidInput);
    fs::write(&path, vec![7; 3 * PAGE]).unwrap();
    let part = Options::new().offset(PAGE as u64).len(10).open(&path).unwrap();
    assert_eq!((part.len(), part.page_size()), (10, PAGE));
    let odd = error(Options::new().offset(100).open(&path));
    assert_eq!(odd.kind(), ErrorKind::InvalidInput);
    assert!(odd.to_string().ends_with("the offset 100 is not a multiple of the page size 4096"), "{odd}");
    for (offset, len) in [(0, 3 * PAGE + 1), (PAGE, 2 * PAGE + 1), (4 * PAGE, 1)] {
        let options = Options::new().offset(offset as u64).len(len);
        assert_eq!(kind(options.open(&path)), ErrorKind::OutOfRange, "{offset} {len}");
    }
    assert_eq!(kind(Options::new().offset(3 * PAGE as u64).open(&path)), ErrorKind::OutOfRange);
    assert_eq!(kind(Options::new().len(0).open(&path)), ErrorKind::InvalidInput);
}

#[test]
fn accesses_are_checked() {
    let memory = Memory::anonymous(100).unwrap();
    assert_eq!(kind(memory.read(90, &mut [0; 11])), ErrorKind::OutOfRange);
    assert_eq!(kind(memory.write(usize::MAX, &[1])), ErrorKind::OutOfRange);
    assert_eq!(kind(memory.load_u32(2, Relaxed)), ErrorKind::InvalidInput);
    assert_eq!(kind(memory.atomic_u64(4)), ErrorKind::InvalidInput);
    assert_eq!(kind(memory.atomic_u32(97)), ErrorKind::OutOfRange);
    assert_eq!(kind(memory.flush_range(1, 100, Flush::Wait)), ErrorKind::OutOfRange);
    assert_eq!(kind(memory.advise(101, 0, Advice::Normal)), ErrorKind::OutOfRange);
    memory.read(100, &mut []).unwrap();
    memory.atomic_u8(99).unwrap().store(3, Relaxed);
    let refused = error(memory.read(100, &mut [0])).to_string();
    let expected =
        "cannot read from mapped file (anonymous): 1 bytes at offset 100 do not lie within its 100 bytes";
    assert_eq!(refused, expected);
    assert_eq!(kind(Memory::anonymous(0)), ErrorKind::InvalidInput);
}

#[test]
fn copies_are_exact_at_every_alignment() {
    let memory = Memory::anonymous(PAGE).unwrap();
    let pattern: Vec<u8> = (0..200).collect();
    for offset in 0..20 {
        for len in (0..40).chain([100, 199]) {
            memory.write(0, &[0xff; 300]).unwrap();
            memory.write(offset, &pattern[..len]).unwrap();
            let mut around = vec![0; 300];
            memory.read(0, &mut around).unwrap();
            assert_eq!(&around[offset..offset + len], &pattern[..len]);
            assert!(around[..offset].iter().chain(&around[offset + len..]).all(|byte| *byte == 0xff));
            let mut back = vec![0; len];
            memory.read(offset, &mut back).unwrap();
            assert_eq!(back, &pattern[..len]);
        }
    }
}

#[test]
fn private_writes_stay_private() {
    let directory = scratch();
    let path = directory.path().join("board");
    let shared = MappedFile::create(&path, PAGE).unwrap();
    let read_only = OwnedFd::from(fs::File::open(&path).unwrap());
    let private = Options::new().sharing(Sharing::Private).map(read_only).unwrap();
    private.write(0, b"mine").unwrap();
    let mut word = [0; 4];
    shared.read(0, &mut word).unwrap();
    assert_eq!(word, [0; 4]);
    private.read(0, &mut word).unwrap();
    assert_eq!(&word, b"mine");
    // What was written can be dropped.
    private.advise(0, PAGE, Advice::DontNeed).unwrap();
    private.read(0, &mut word).unwrap();
    assert_eq!(word, [0; 4]);
}

#[test]
fn read_only_memory_is_not_written() {
    let directory = scratch();
    let path = directory.path().join("board");
    let mut memory = MappedFile::create(&path, PAGE).unwrap();
    let mut read_only = MappedFile::open_read_only(&path).unwrap();
    assert_eq!(kind(read_only.write(0, b"x")), ErrorKind::PermissionDenied);
    assert_eq!(kind(read_only.atomic_u32(0)), ErrorKind::PermissionDenied);
    memory.atomic_u32(4).unwrap().store(9, SeqCst);
    assert_eq!(read_only.load_u32(4, SeqCst).unwrap(), 9);
    assert_eq!(kind(read_only.protect(Access::ReadWrite)), ErrorKind::PermissionDenied);
    assert_eq!(kind(read_only.grow(2 * PAGE)), ErrorKind::PermissionDenied);
    assert_eq!(kind(Options::new().map(fs::File::open(&path).unwrap().into())), ErrorKind::PermissionDenied);
    memory.protect(Access::ReadOnly).unwrap();
    assert_eq!(memory.access(), Access::ReadOnly);
    assert_eq!(kind(memory.write(0, b"x")), ErrorKind::PermissionDenied);
    memory.protect(Access::ReadWrite).unwrap();
    memory.write(0, b"x").unwrap();
}

#[test]
fn growth_reaches_the_other_process_when_it_looks() {
    let test = test!();
    test.role("other", |peer| {
        let mut memory = MappedFile::open(peer.arg(0)).unwrap();
        peer.say(&memory.len().to_string());
        peer.wait_for("grown");
        assert_eq!(kind(memory.read(100 * PAGE, &mut [0])), ErrorKind::OutOfRange);
        peer.say(&memory.remap().unwrap().to_string());
        let mut word = [0; 3];
        memory.read(100 * PAGE, &mut word).unwrap();
        assert_eq!(&word, b"new");
        memory.read(0, &mut word).unwrap();
        assert_eq!(&word, b"old");
    });
    let directory = scratch();
    let path = directory.path().join("board");
    let mut memory = MappedFile::create(&path, PAGE).unwrap();
    memory.write(0, b"old").unwrap();
    let mut child = test.child("other").arg(path.display()).spawn();
    child.expect("4096");
    memory.grow(100 * PAGE + 3).unwrap();
    memory.grow(10).unwrap();
    assert_eq!(memory.len(), 100 * PAGE + 3);
    memory.write(100 * PAGE, b"new").unwrap();
    assert_eq!(memory.file_len().unwrap(), memory.len() as u64);
    child.tell("grown");
    child.expect(&(100 * PAGE + 3).to_string());
    child.succeed();
}

#[test]
fn open_or_create_finds_makes_and_lengthens() {
    let directory = scratch();
    let path = directory.path().join("board");
    let first = MappedFile::open_or_create(&path, PAGE).unwrap();
    first.write(0, b"kept").unwrap();
    let second = MappedFile::open_or_create(&path, 3 * PAGE).unwrap();
    assert_eq!(second.len(), 3 * PAGE);
    let third = MappedFile::open_or_create(&path, PAGE).unwrap();
    assert_eq!(third.len(), 3 * PAGE);
    let mut word = [0; 4];
    third.read(0, &mut word).unwrap();
    assert_eq!(&word, b"kept");
}

#[test]
fn one_of_many_creators_wins_and_all_see_a_whole_file() {
    let test = test!();
    test.role("creator", |peer| {
        peer.wait_for("go");
        let memory = MappedFile::open_or_create(peer.arg(0), 10 * PAGE).unwrap();
        assert_eq!(memory.len(), 10 * PAGE);
        memory.atomic_u32(0).unwrap().fetch_add(1, SeqCst);
    });
    let directory = scratch();
    let path = directory.path().join("board");
    let mut children: Vec<_> = (0..6).map(|_| test.child("creator").arg(path.display()).spawn()).collect();
    children.iter_mut().for_each(|child| child.tell("go"));
    children.into_iter().for_each(|child| child.succeed());
    assert_eq!(MappedFile::open(&path).unwrap().load_u32(0, SeqCst).unwrap(), 6);
}

#[test]
fn flush_and_advice() {
    let directory = scratch();
    let path = directory.path().join("board");
    let memory = MappedFile::create(&path, 3 * PAGE).unwrap();
    memory.write(0, &[7; 3 * PAGE]).unwrap();
    memory.flush().unwrap();
    memory.flush_range(5000, 10, Flush::Schedule).unwrap();
    memory.flush_range(5000, 10, Flush::Wait).unwrap();
    for advice in [
        Advice::Normal,
        Advice::Random,
        Advice::Sequential,
        Advice::WillNeed,
        Advice::DontNeed,
        Advice::DontDump,
        Advice::DoDump,
        Advice::Cold,
        Advice::PageOut,
    ] {
        memory.advise(100, 2 * PAGE, advice).unwrap_or_else(|error| panic!("{advice:?}: {error}"));
    }
    let mut bytes = [0; 3 * PAGE];
    memory.read(0, &mut bytes).unwrap();
    assert_eq!(bytes, [7; 3 * PAGE], "a shared file keeps its bytes");
    // Whole pages go, so only those that were meant.
    let anonymous = Memory::anonymous(2 * PAGE).unwrap();
    anonymous.write(0, &[7; 2 * PAGE]).unwrap();
    anonymous.advise(PAGE, PAGE, Advice::Remove).unwrap();
    let mut byte = [1];
    anonymous.read(PAGE, &mut byte).unwrap();
    assert_eq!(byte, [0]);
    anonymous.read(PAGE - 1, &mut byte).unwrap();
    assert_eq!(byte, [7]);
}

#[test]
fn another_user_is_kept_out() {
    let test = test!();
    test.role("other", |peer| {
        let denied = error(MappedFile::open(peer.arg(0)));
        assert_eq!((denied.kind(), denied.errno()), (ErrorKind::PermissionDenied, Some(Errno::ACCESS)));
        assert_eq!(kind(MappedFile::create(peer.arg(1), 1)), ErrorKind::PermissionDenied);
    });
    if let Err(missing) = root() {
        return test.skip(&missing);
    }
    let directory = scratch();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let path = directory.path().join("board");
    let _memory = MappedFile::create(&path, PAGE).unwrap();
    let other = directory.path().join("other");
    test.child("other").arg(path.display()).arg(other.display()).as_nobody().spawn().succeed();
}

/// Runs a role with a file system of 64 KiB mounted on a directory of its own.
fn on_a_small_file_system(test: &twixt_testkit::Test, role: &str, prepare: &str) {
    let namespaces = match namespaces() {
        Ok(words) => words,
        Err(missing) => return test.skip(&missing),
    };
    let directory = scratch();
    let place = directory.path().to_str().unwrap().to_owned();
    let mount = prepare.replace("HERE", &place) + "; exec \"$@\"";
    let mut words = namespaces;
    words.extend(["sh", "-ec", &mount, "sh"]);
    test.child(role).arg(&place).under(&words).spawn().succeed();
}

#[test]
fn a_full_file_system_is_an_error_at_creation() {
    let test = test!();
    test.role("creator", |peer| {
        let at = |name: &str| format!("{}/{name}", peer.arg(0));
        let full = error(MappedFile::create(at("large"), 1 << 20));
        assert_eq!((full.kind(), full.errno()), (ErrorKind::NoSpace, Some(Errno::NOSPC)));
        assert!(!fs::exists(at("large")).unwrap(), "nothing is left behind");
        assert_eq!(kind(MappedFile::open_or_create(at("large"), 1 << 20)), ErrorKind::NoSpace);
        assert_eq!(fs::read_dir(peer.arg(0)).unwrap().count(), 0);
        let mut memory = MappedFile::create(at("small"), 8 * PAGE).unwrap();
        memory.write(0, &[7; 8 * PAGE]).unwrap();
        assert_eq!(kind(memory.grow(1 << 20)), ErrorKind::NoSpace);
        assert_eq!((memory.len(), memory.file_len().unwrap()), (8 * PAGE, 8 * PAGE as u64));
        memory.write(0, &[8; 8 * PAGE]).unwrap();
        assert_eq!(kind(MappedFile::open_or_create(at("small"), 1 << 20)), ErrorKind::NoSpace);
        memory.grow(12 * PAGE).unwrap();
        memory.write(0, &[9; 12 * PAGE]).unwrap();
        // A hole that somebody else made is found out when it is touched, and kills nobody.
        fs::File::create(at("hole")).unwrap().set_len(1 << 20).unwrap();
        let hole = MappedFile::open(at("hole")).unwrap();
        assert_eq!(kind(hole.write(0, &[7; 1 << 20])), ErrorKind::Truncated);
    });
    on_a_small_file_system(&test, "creator", "mount -t tmpfs -o size=64k none HERE");
}

#[test]
fn without_proc_a_file_is_made_whole_too_and_removed_on_failure() {
    let test = test!();
    test.role("creator", |peer| {
        let at = |name: &str| format!("{}/{name}", peer.arg(0));
        assert!(!fs::exists("/proc/self").unwrap());
        assert_eq!(kind(MappedFile::create(at("large"), 1 << 20)), ErrorKind::NoSpace);
        assert_eq!(fs::read_dir(peer.arg(0)).unwrap().count(), 0);
        let memory = MappedFile::create(at("small"), PAGE).unwrap();
        memory.write(0, b"there").unwrap();
        assert_eq!(kind(MappedFile::create(at("small"), PAGE)), ErrorKind::AlreadyExists);
    });
    let prepare = "mount -t tmpfs -o size=64k none HERE; mount -t tmpfs none /proc";
    on_a_small_file_system(&test, "creator", prepare);
}

#[test]
fn where_there_are_no_links_either_a_file_gets_its_name_by_renaming() {
    let test = test!();
    test.role("creator", |peer| {
        let at = |name: &str| format!("{}/{name}", peer.arg(0));
        let memory = MappedFile::create(at("board"), PAGE).unwrap();
        memory.write(0, b"there").unwrap();
        assert_eq!(kind(MappedFile::create(at("board"), PAGE)), ErrorKind::AlreadyExists);
        assert_eq!(kind(MappedFile::create(at("large"), 1 << 20)), ErrorKind::NoSpace);
        let entries = fs::read_dir(peer.arg(0)).unwrap();
        assert_eq!(entries.map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>(), ["board"]);
    });
    let namespaces = match namespaces().and_then(|words| command("strace").map(|()| words)) {
        Ok(words) => words,
        Err(missing) => return test.skip(&missing),
    };
    let directory = scratch();
    let place = directory.path().to_str().unwrap();
    // The first link, of a file without a name, fails for want of /proc; the kernel's answer to the others is strace's.
    let prepare = format!("mount -t tmpfs -o size=64k none {place}; mount -t tmpfs none /proc; exec \"$@\"");
    let mut words = namespaces;
    words.extend(["sh", "-ec", &prepare, "sh"]);
    words.extend(["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=linkat"]);
    words.extend(["-e", "inject=linkat:error=EPERM:when=2+"]);
    test.child("creator").arg(place).under(&words).spawn().succeed();
}

#[test]
fn a_file_system_without_reservation_gets_zeros_written() {
    let test = test!();
    test.role("creator", |peer| {
        let path = format!("{}/board", peer.arg(0));
        let mut memory = MappedFile::create(&path, 200_000).unwrap();
        memory.write(199_990, b"0123456789").unwrap();
        memory.grow(300_000).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), 300_000);
        let mut end = [1; 20];
        memory.read(199_990, &mut end).unwrap();
        assert_eq!(&end, b"0123456789\0\0\0\0\0\0\0\0\0\0");
    });
    on_a_small_file_system(&test, "creator", "mount -t ramfs none HERE");
}

#[test]
fn the_file_size_limit_is_named_and_kills_nobody() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let test = test!();
    test.role("limited", |peer| {
        setrlimit(Resource::Fsize, Rlimit { current: Some(8192), maximum: Some(8192) }).unwrap();
        let refused = error(MappedFile::create(peer.arg(0), 10_000));
        assert_eq!(refused.kind(), ErrorKind::LimitReached);
        let limit = refused.limit().unwrap();
        assert_eq!((limit.name, limit.current, limit.needed), ("RLIMIT_FSIZE", Some(8192), Some(10_000)));
        let mut memory = MappedFile::create(peer.arg(0), 8192).unwrap();
        assert_eq!(kind(memory.grow(10_000)), ErrorKind::LimitReached);
    });
    let directory = scratch();
    test.child("limited").arg(directory.path().join("board").display()).spawn().succeed();
}

#[test]
fn the_address_space_limit_is_named() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let test = test!();
    test.role("limited", |_| {
        setrlimit(Resource::As, Rlimit { current: Some(1 << 30), maximum: Some(1 << 30) }).unwrap();
        let refused = error(Memory::anonymous(1 << 31));
        assert_eq!(refused.kind(), ErrorKind::LimitReached);
        assert_eq!(refused.limit().unwrap().name, "RLIMIT_AS");
    });
    test.child("limited").spawn().succeed();
}

#[test]
fn reservation_ends_under_a_storm_of_signals() {
    let test = test!();
    test.role("creator", |peer| {
        let storm = Storm::on_this_thread();
        storm.wait_for(3);
        let memory = MappedFile::create(peer.arg(0), 64 << 20).unwrap();
        assert_eq!(memory.file_len().unwrap(), 64 << 20);
        let sent = storm.sent();
        storm.wait_for(3);
        memory.flush().unwrap();
        assert!(storm.sent() > sent);
    });
    let path = format!("/dev/shm/{}", twixt_testkit::unique_name());
    let _remove = twixt_testkit::defer(|| _ = fs::remove_file(&path));
    test.child("creator").arg(&path).spawn().succeed();
}

#[test]
fn accesses_cost_no_system_call_and_no_allocation() {
    let test = test!();
    test.role("worker", |peer| {
        let rounds: usize = peer.arg(1).parse().unwrap();
        let memory = MappedFile::open_or_create(peer.arg(0), PAGE).unwrap();
        let mut bytes = [0; 100];
        for _ in 0..rounds {
            memory.write(1, &bytes).unwrap();
            memory.read(1, &mut bytes).unwrap();
            memory.atomic_u32(0).unwrap().fetch_add(1, Relaxed);
        }
    });
    let directory = scratch();
    let path = directory.path().join("board");
    drop(MappedFile::create(&path, PAGE).unwrap());
    let memory = MappedFile::open(&path).unwrap();
    let mut bytes = [0; 100];
    let measured = allocation_counter::measure(|| {
        memory.write(1, &bytes).unwrap();
        memory.read(1, &mut bytes).unwrap();
        memory.atomic_u32(0).unwrap().fetch_add(1, Relaxed);
        assert!(memory.read(PAGE, &mut bytes).is_err());
        memory.flush().unwrap();
    });
    assert_eq!(measured.count_total, 0);
    match strace::cost(|rounds| test.child("worker").arg(path.display()).arg(rounds)) {
        Ok(cost) => assert_eq!(cost, strace::expected(&[])),
        Err(missing) => test.skip(&missing),
    }
}

#[test]
fn the_descriptor_is_the_files() {
    let directory = scratch();
    let path = directory.path().join("board");
    let memory = MappedFile::create(&path, 5).unwrap();
    memory.write(0, b"bytes").unwrap();
    let mut text = String::new();
    fs::File::from(OwnedFd::from(memory)).read_to_string(&mut text).unwrap();
    assert_eq!(text, "bytes");
}

/// A field of the mapping's entry in `/proc/self/smaps`, in bytes.
fn smaps(memory: &Memory, field: &str) -> usize {
    let smaps = fs::read_to_string("/proc/self/smaps").unwrap();
    let start = format!("{:x}-", memory.address());
    let mut lines = smaps.lines().skip_while(|line| !line.starts_with(&start));
    let line = lines.find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).expect(field);
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

#[test]
fn pages_are_there_from_the_start_if_asked_for() {
    let directory = scratch();
    let path = directory.path().join("board");
    drop(MappedFile::create(&path, 16 * PAGE).unwrap());
    let anonymous = Memory::anonymous(16 * PAGE).unwrap();
    assert_eq!(smaps(&anonymous, "Rss"), 0);
    let anonymous = Options::new().populate().anonymous(16 * PAGE).unwrap();
    assert_eq!(smaps(&anonymous, "Rss"), 16 * PAGE);
    for sharing in [Sharing::Shared, Sharing::Private] {
        let lazy = Options::new().sharing(sharing).open(&path).unwrap();
        assert_eq!(smaps(&lazy, "Rss"), 0, "{sharing:?}");
        let file = Options::new().sharing(sharing).populate().open(&path).unwrap();
        assert_eq!(smaps(&file, "Rss"), 16 * PAGE, "{sharing:?}");
    }
}

#[test]
fn locked_memory_stays_in_memory() {
    let test = test!();
    test.role("lock", |peer| {
        let path = peer.arg(0);
        let memory = Options::new().lock().anonymous(3 * PAGE + 1).unwrap();
        assert_eq!((memory.len(), smaps(&memory, "Locked")), (3 * PAGE + 1, 4 * PAGE));
        let mut file = Options::new().lock().open(&path).unwrap();
        assert_eq!((smaps(&file, "Rss"), smaps(&file, "Locked")), (4 * PAGE, 4 * PAGE));
        // Also when it is mapped anew, because it was cut.
        let whole = fs::OpenOptions::new().write(true).open(&path).unwrap();
        whole.set_len(PAGE as u64).unwrap();
        assert_eq!(kind(file.read(2 * PAGE, &mut [0])), ErrorKind::Truncated);
        assert_eq!(file.remap().unwrap(), PAGE);
        assert_eq!(smaps(&file, "Locked"), PAGE);
    });
    let directory = scratch();
    let path = directory.path().join("board");
    drop(MappedFile::create(&path, 4 * PAGE).unwrap());
    test.child("lock").arg(path.display()).spawn().succeed();
}

#[test]
fn the_limit_on_locked_memory_is_named() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let test = test!();
    test.role("limited", |_| {
        for limit in [8 * PAGE as u64, 0] {
            setrlimit(Resource::Memlock, Rlimit { current: Some(limit), maximum: None }).unwrap_or_else(
                |_| {
                    setrlimit(Resource::Memlock, Rlimit { current: Some(limit), maximum: Some(limit) })
                        .unwrap();
                },
            );
            let refused = error(Options::new().lock().anonymous(9 * PAGE));
            assert_eq!(refused.kind(), ErrorKind::LimitReached, "{refused}");
            let named = refused.limit().unwrap();
            assert_eq!(
                (named.name, named.current, named.needed),
                ("RLIMIT_MEMLOCK", Some(limit), Some(9 * PAGE as u64))
            );
            assert!(refused.advice().unwrap().contains("ulimit -l"), "{refused}");
        }
    });
    let child = test.child("limited");
    // With CAP_IPC_LOCK there is no limit.
    let child = if root().is_ok() { child.as_nobody() } else { child };
    child.spawn().succeed();
}

#[test]
fn anonymous_memory_may_be_of_huge_pages() {
    let Some(size) = HugePages::DEFAULT.size() else { return };
    let size = usize::try_from(size).unwrap();
    match Options::new().huge_pages(HugePages::DEFAULT).anonymous(size + 1) {
        Ok(memory) => {
            assert_eq!((memory.len(), memory.page_size()), (size + 1, size));
            memory.write(size - 3, b"betwixt").unwrap_err();
            memory.write(size - 3, b"twix").unwrap();
            assert_eq!(smaps(&memory, "KernelPageSize"), size);
        }
        Err(refused) => {
            assert_eq!(refused.kind(), ErrorKind::LimitReached, "{refused}");
            assert_eq!(refused.limit().unwrap().name, "vm.nr_hugepages");
        }
    }
    let none = HugePages::of_size(1 << 13).unwrap();
    assert_eq!(kind(Options::new().huge_pages(none).anonymous(PAGE)), ErrorKind::Unsupported);
}

#[test]
fn options_that_do_not_apply_are_refused() {
    let directory = scratch();
    let path = directory.path().join("board");
    drop(MappedFile::create(&path, PAGE).unwrap());
    assert_eq!(kind(Options::new().huge_pages(HugePages::DEFAULT).open(&path)), ErrorKind::InvalidInput);
    for options in
        [Options::new().len(1), Options::new().offset(4096), Options::new().sharing(Sharing::Private)]
    {
        assert_eq!(kind(options.anonymous(PAGE)), ErrorKind::InvalidInput);
    }
    assert_eq!(kind(Options::new().anonymous(0)), ErrorKind::InvalidInput);
    assert_eq!(kind(Options::new().anonymous(usize::MAX)), ErrorKind::NoSpace);
}
