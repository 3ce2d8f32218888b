//! Memfds handed to another process, and what their seals are worth there.

#[path = "support/outcome.rs"]
mod support;

use std::fs;
use std::os::fd::{AsFd, OwnedFd};

use support::{error, kind};
use twixt_os::inherit::PassDescriptors;
use twixt_os::memfd::{HugePages, Memfd, Options, Sealed, Seals};
use twixt_os::mmap::Access;
use twixt_os::{Errno, ErrorKind};
use twixt_testkit::strace::ROUNDS;
use twixt_testkit::{Missing, compile_c, scratch, strace, test};

/// Above all numbers that the test itself uses, as `pass_descriptors` advises.
const FD: i32 = 90;
const PAGE: usize = 4096;

fn copy(fd: impl AsFd) -> OwnedFd {
    fd.as_fd().try_clone_to_owned().unwrap()
}

fn memfd(len: usize) -> Memfd {
    let memfd = Memfd::create("test").unwrap();
    memfd.reserve(len as u64).unwrap();
    memfd
}

#[test]
fn two_processes_share_it() {
    let test = test!();
    test.role("peer", |_| {
        let memfd = Memfd::inherited(FD).unwrap();
        let memory = memfd.map(Access::ReadWrite).unwrap();
        let mut word = [0; 7];
        memory.read(100, &mut word).unwrap();
        assert_eq!(&word, b"between");
        memory.write(100, b"betwixt").unwrap();
    });
    let memfd = memfd(PAGE);
    let memory = memfd.map(Access::ReadWrite).unwrap();
    memory.write(100, b"between").unwrap();
    test.child("peer").descriptor(copy(&memfd), FD).spawn().succeed();
    let mut word = [0; 7];
    memory.read(100, &mut word).unwrap();
    assert_eq!(&word, b"betwixt");
}

#[test]
fn a_receiver_can_rely_on_the_seals() {
    let test = test!();
    test.role("receiver", |peer| {
        let letter = Sealed::inherited(FD, Seals::IMMUTABLE).unwrap();
        assert!(letter.is_immutable());
        let memory = letter.map().unwrap();
        let mut text = vec![0; memory.len()];
        memory.read(0, &mut text).unwrap();
        assert_eq!(text, b"sealed text");
        assert_eq!(kind(letter.map_writable()), ErrorKind::PermissionDenied);
        assert!(!twixt_os::mmap::is_guarding(), "it needs no protection");
        peer.say("read");
    });
    // The one who attacks is the sender.
    let memfd = Memfd::create("letter").unwrap();
    memfd.write_at(0, b"sealed text").unwrap();
    let sealed = memfd.seal(Seals::IMMUTABLE).unwrap();
    let mut child = test.child("receiver").descriptor(copy(&sealed), FD).spawn();
    assert_eq!(sealed.len(), 11);
    let memfd = sealed.memfd();
    assert_eq!(kind(memfd.set_len(0)), ErrorKind::PermissionDenied);
    assert_eq!(kind(memfd.set_len(100)), ErrorKind::PermissionDenied);
    assert_eq!(kind(memfd.reserve(100)), ErrorKind::PermissionDenied);
    assert_eq!(kind(memfd.write_at(0, b"x")), ErrorKind::PermissionDenied);
    assert_eq!(kind(memfd.map(Access::ReadWrite)), ErrorKind::PermissionDenied);
    assert_eq!(kind(memfd.add_seals(Seals::FUTURE_WRITE)), ErrorKind::PermissionDenied);
    child.expect("read");
    child.succeed();
}

#[test]
fn a_missing_seal_is_named() {
    let memfd = memfd(PAGE);
    memfd.add_seals(Seals::SHRINK).unwrap();
    let refused = error(Sealed::from_fd(copy(&memfd), Seals::WRITE));
    assert_eq!(refused.kind(), ErrorKind::PermissionDenied);
    let text = refused.to_string();
    assert!(text.ends_with("it is not sealed with F_SEAL_GROW and F_SEAL_WRITE"), "{text}");
    // What the type promises is asked for in any case.
    assert_eq!(kind(Sealed::from_fd(copy(&memfd), Seals::empty())), ErrorKind::PermissionDenied);
    memfd.add_seals(Seals::GROW).unwrap();
    Sealed::from_fd(copy(&memfd), Seals::empty()).unwrap();
}

#[test]
fn only_a_memfd_is_taken_over() {
    let (read, _write) = std::io::pipe().unwrap();
    let directory = scratch();
    let file = fs::File::create(directory.path().join("file")).unwrap();
    assert_eq!(kind(Memfd::from_fd(read.into())), ErrorKind::InvalidInput);
    assert_eq!(kind(Memfd::from_fd(file.into())), ErrorKind::InvalidInput);
    // A file on tmpfs answers to F_GET_SEALS as well.
    let path = format!("/dev/shm/{}", twixt_testkit::unique_name());
    let file = fs::File::create(&path).unwrap();
    let named = Memfd::from_fd(file.try_clone().unwrap().into());
    fs::remove_file(&path).unwrap();
    assert_eq!(kind(named), ErrorKind::InvalidInput);
    assert_eq!(kind(Memfd::from_fd(file.into())), ErrorKind::InvalidInput, "unlinked too");
}

#[test]
fn an_unsealed_one_can_be_cut_by_the_peer_who_kills_nobody() {
    let test = test!();
    test.role("peer", |_| Memfd::inherited(FD).unwrap().set_len(10).unwrap());
    let memfd = memfd(3 * PAGE);
    let memory = memfd.map(Access::ReadWrite).unwrap();
    memory.write(0, &[7; 3 * PAGE]).unwrap();
    test.child("peer").descriptor(copy(&memfd), FD).spawn().succeed();
    let mut bytes = [0; 3 * PAGE];
    let refused = error(memory.read(0, &mut bytes));
    assert_eq!(refused.kind(), ErrorKind::Truncated);
    assert_eq!(bytes[..10], [7; 10]);
    assert_eq!(memfd.len().unwrap(), 10);
}

#[test]
fn writing_is_sealed_when_nobody_has_it_mapped() {
    let test = test!();
    // In a process of its own: those that other tests are just starting have a copy of each mapping for a moment.
    test.role("sealer", |_| {
        let memfd = memfd(PAGE);
        let memory = memfd.map(Access::ReadWrite).unwrap();
        let busy = error(memfd.add_seals(Seals::WRITE));
        assert_eq!((busy.kind(), busy.errno()), (ErrorKind::Busy, Some(Errno::BUSY)));
        drop(memory);
        memfd.add_seals(Seals::WRITE).unwrap();
        memfd.map(Access::ReadOnly).unwrap().read(0, &mut [0]).unwrap();
    });
    test.child("sealer").spawn().succeed();
}

#[test]
fn future_writing_is_sealed_while_the_sender_goes_on() {
    let test = test!();
    test.role("receiver", |_| {
        let sealed = Sealed::inherited(FD, Seals::FUTURE_WRITE).unwrap();
        assert_eq!(kind(sealed.map_writable()), ErrorKind::PermissionDenied);
        let mut byte = [0];
        sealed.map().unwrap().read(5, &mut byte).unwrap();
        assert_eq!(byte, [6]);
    });
    let memfd = memfd(PAGE);
    let memory = memfd.map(Access::ReadWrite).unwrap();
    let sealed = memfd.seal(Seals::FUTURE_WRITE).unwrap();
    memory.write(5, &[6]).unwrap();
    assert!(!sealed.is_immutable());
    test.child("receiver").descriptor(copy(&sealed), FD).spawn().succeed();
}

#[test]
fn bytes_and_lengths() {
    let memfd = Memfd::create("test").unwrap();
    assert_eq!(memfd.len().unwrap(), 0);
    assert_eq!(kind(memfd.map(Access::ReadOnly)), ErrorKind::InvalidInput);
    memfd.reserve(0).unwrap();
    memfd.write_at(3, b"text").unwrap();
    assert_eq!(memfd.len().unwrap(), 7);
    let mut bytes = [9; 10];
    assert_eq!(memfd.read_at(1, &mut bytes).unwrap(), 6);
    assert_eq!(&bytes, b"\0\0text\x09\x09\x09\x09");
    memfd.set_len(100).unwrap();
    memfd.reserve(50).unwrap();
    assert_eq!(memfd.len().unwrap(), 100, "reserving shortens nothing");
    assert_eq!(kind(memfd.reserve(u64::MAX)), ErrorKind::OutOfRange);
    memfd.set_len(5).unwrap();
    assert_eq!(memfd.map(Access::ReadWrite).unwrap().len(), 5);
}

#[test]
fn it_is_close_on_exec_and_not_executable() {
    let memfd = Memfd::create("test").unwrap();
    assert!(rustix::io::fcntl_getfd(&memfd).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
    let mode = |memfd: &Memfd| rustix::fs::fstat(memfd).unwrap().st_mode & 0o777;
    let seals = memfd.seals().unwrap();
    if seals.contains(Seals::EXEC) {
        assert_eq!(mode(&memfd), 0o666);
    } else {
        test!().skip(&Missing("MFD_NOEXEC_SEAL (Linux 6.3)".into()));
    }
    assert_eq!(seals - Seals::EXEC, Seals::empty());
    let program = Options::new().executable(true).create("program").unwrap();
    assert_eq!((mode(&program), program.seals().unwrap()), (0o777, Seals::empty()));
    let unsealable = Options::new().sealable(false).create("test").unwrap();
    assert_eq!(kind(unsealable.add_seals(Seals::GROW)), ErrorKind::PermissionDenied);
    assert_eq!(kind(memfd.add_seals(Seals::from_bits_retain(1 << 20))), ErrorKind::Unsupported);
}

#[test]
fn names_are_checked() {
    let longest = "n".repeat(249);
    let memfd = Memfd::create(&longest).unwrap();
    let link = fs::read_link(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&memfd.as_fd())));
    assert_eq!(link.unwrap().to_str().unwrap(), format!("/memfd:{longest} (deleted)"));
    assert_eq!(kind(Memfd::create(&"n".repeat(250))), ErrorKind::TooLong);
    assert_eq!(kind(Memfd::create("a\0b")), ErrorKind::InvalidInput);
}

#[test]
fn huge_pages() {
    let test = test!();
    let free = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let free = free.lines().find_map(|line| line.strip_prefix("HugePages_Free:")?.trim().parse::<u32>().ok());
    let memfd = match Options::new().huge_pages(HugePages::Default).create("huge") {
        Err(error) if error.kind() == ErrorKind::Unsupported => {
            return test.skip(&Missing("huge pages (CONFIG_HUGETLBFS)".into()));
        }
        outcome => outcome.unwrap(),
    };
    let page = rustix::fs::fstatfs(&memfd).unwrap().f_bsize as u64;
    assert_eq!(kind(memfd.set_len(page / 2)), ErrorKind::InvalidInput);
    if free.unwrap_or(0) < 1 {
        // The pool is empty: that must be an error, and no signal.
        memfd.set_len(page).unwrap();
        let refused = error(memfd.map(Access::ReadWrite));
        assert!(matches!(refused.kind(), ErrorKind::NoSpace | ErrorKind::LimitReached), "{refused}");
        assert!(matches!(error(memfd.reserve(page)).kind(), ErrorKind::NoSpace | ErrorKind::LimitReached));
        return test.skip(&Missing("free huge pages (vm.nr_hugepages)".into()));
    }
    memfd.reserve(page).unwrap();
    let memory = memfd.map(Access::ReadWrite).unwrap();
    assert_eq!(memory.page_size() as u64, page);
    memory.write(page as usize - 1, &[7]).unwrap();
    memfd.set_len(0).unwrap();
    assert_eq!(kind(memory.read(0, &mut [0])), ErrorKind::Truncated);
}

#[test]
fn limits_are_named() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let test = test!();
    test.role("limited", |_| {
        setrlimit(Resource::Fsize, Rlimit { current: Some(8192), maximum: Some(8192) }).unwrap();
        let memfd = Memfd::create("test").unwrap();
        for refused in [memfd.reserve(10_000), memfd.set_len(10_000)].map(error) {
            assert_eq!(refused.kind(), ErrorKind::LimitReached);
            let limit = refused.limit().unwrap();
            assert_eq!((limit.name, limit.needed), ("RLIMIT_FSIZE", Some(10_000)));
        }
        setrlimit(Resource::Nofile, Rlimit { current: Some(20), maximum: Some(20) }).unwrap();
        let mut made = Vec::new();
        let refused = loop {
            match Memfd::create("many") {
                Ok(memfd) => made.push(memfd),
                Err(error) => break error,
            }
        };
        assert_eq!(refused.limit().unwrap().name, "RLIMIT_NOFILE");
    });
    test.child("limited").spawn().succeed();
}

#[test]
fn a_c_program_takes_part() {
    let directory = scratch();
    let source = r#"
        #define _GNU_SOURCE
        #include <fcntl.h>
        #include <stdio.h>
        #include <sys/mman.h>
        int main(void) {
            char *at = mmap(0, 4096, PROT_READ, MAP_SHARED, 90, 0);
            if (at == MAP_FAILED) return 1;
            int seals = fcntl(90, F_GET_SEALS) & (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
            printf("%s %d\n", at, seals);
            return 0;
        }"#;
    let program = compile_c(directory.path(), "peer", source, &[]);
    let memfd = memfd(PAGE);
    memfd.write_at(0, b"from Rust\0").unwrap();
    let sealed = memfd.seal(Seals::empty()).unwrap();
    let mut command = std::process::Command::new(program);
    command.pass_descriptors([(copy(&sealed), FD)]).unwrap();
    let output = command.output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "from Rust 6\n");
}

#[test]
fn each_operation_is_one_system_call_and_allocates_nothing() {
    let test = test!();
    test.role("worker", |peer| {
        let memfd = memfd(PAGE);
        let mut bytes = [0; 64];
        for _ in 0..peer.arg(0).parse::<u64>().unwrap() {
            memfd.write_at(8, b"between us").unwrap();
            assert_eq!(memfd.read_at(8, &mut bytes).unwrap(), 64);
            assert_eq!(memfd.len().unwrap(), PAGE as u64);
            memfd.add_seals(Seals::SHRINK).unwrap();
            memfd.seals().unwrap();
        }
    });
    let memfd = memfd(PAGE);
    let mut bytes = [0; 64];
    let measured = allocation_counter::measure(|| {
        memfd.write_at(8, b"between us").unwrap();
        memfd.read_at(8, &mut bytes).unwrap();
        memfd.len().unwrap();
        memfd.set_len(2 * PAGE as u64).unwrap();
        memfd.add_seals(Seals::SHRINK).unwrap();
        memfd.seals().unwrap();
        memfd.set_len(PAGE as u64).unwrap_err();
    });
    assert_eq!(measured.count_total, 0);
    match strace::cost(|rounds| test.child("worker").arg(rounds)) {
        Ok(mut cost) => {
            // What looks at a file is another call on some machines.
            let looks = ["fstat", "newfstatat", "statx"].into_iter().filter_map(|name| cost.remove(name));
            assert_eq!(looks.sum::<u64>(), ROUNDS);
            let calls = [("pwrite64", ROUNDS), ("pread64", ROUNDS), ("fcntl", 2 * ROUNDS)];
            assert_eq!(cost, strace::expected(&calls));
        }
        Err(missing) => test.skip(&missing),
    }
}

#[test]
fn a_mapping_is_three_looks_and_two_calls_and_its_bytes_cost_none() {
    let test = test!();
    test.role("worker", |peer| {
        let sealed = memfd(PAGE).seal(Seals::empty()).unwrap();
        let mut bytes = [0; 64];
        for _ in 0..peer.arg(0).parse::<u64>().unwrap() {
            let memory = sealed.map_writable().unwrap();
            memory.write(0, b"between us").unwrap();
            memory.read(0, &mut bytes).unwrap();
        }
    });
    match strace::cost(|rounds| test.child("worker").arg(rounds)) {
        Ok(mut cost) => {
            // The size of its pages; whether a seal keeps its length, and that this is long enough.
            let looks =
                ["fstatfs", "fcntl", "fstat", "newfstatat"].into_iter().filter_map(|name| cost.remove(name));
            assert_eq!(looks.sum::<u64>(), 3 * ROUNDS);
            assert_eq!(cost, strace::expected(&[("mmap", ROUNDS), ("munmap", ROUNDS)]));
        }
        Err(missing) => test.skip(&missing),
    }
}
