//! POSIX semaphores: C and Python programs share them, bytes and sleepers alike.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use twixt_os::posix::sem::{self, Semaphore};
use twixt_os::posix::shm::{Access, SharedMemory};
use twixt_os::{ErrorKind, Mode};
use twixt_testkit::{Child, call, command, compile_c, defer, scratch, test, unique_name};

/// create NAME VALUE | wait NAME | timedwait NAME | post NAME | value NAME, and the same in memory with an offset.
const PROGRAM: &str = r#"
#include <fcntl.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
int main(int argc, char **argv) {
    char *verb = argv[1];
    sem_t *semaphore;
    if (argc > 3 && strcmp(verb, "create")) {
        int memory = shm_open(argv[2], O_RDWR, 0);
        char *start = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
        semaphore = (sem_t *)(start + atoi(argv[3]));
    } else {
        semaphore = strcmp(verb, "create") ? sem_open(argv[2], 0)
                                           : sem_open(argv[2], O_CREAT | O_EXCL, 0600, atoi(argv[3]));
        if (semaphore == SEM_FAILED)
            return 1;
    }
    int value;
    struct timespec late;
    clock_gettime(CLOCK_REALTIME, &late);
    late.tv_sec += 80;
    if (!strcmp(verb, "init") && sem_init(semaphore, 1, 5)) return 2;
    if (!strcmp(verb, "wait") && sem_wait(semaphore)) return 3;
    if (!strcmp(verb, "timedwait") && sem_timedwait(semaphore, &late)) return 4;
    if (!strcmp(verb, "post") && sem_post(semaphore)) return 5;
    sem_getvalue(semaphore, &value);
    printf("%d\n", value);
    return 0;
}
"#;

fn program(directory: &Path) -> PathBuf {
    compile_c(directory, "semaphore", PROGRAM, &["rt"])
}

fn run(program: &Path, arguments: &[&str]) -> String {
    let mut child = Child::program(program, arguments);
    let line = child.line().unwrap_or_default();
    child.succeed();
    line
}

fn name() -> String {
    format!("/{}", unique_name())
}

#[test]
fn the_file_is_byte_for_byte_that_of_c() {
    let _test = test!();
    let directory = scratch();
    let program = program(directory.path());
    let (theirs, ours) = (name(), name());
    let _clean = defer(|| drop((sem::unlink(&theirs), sem::unlink(&ours))));
    for value in [0, 1, 77, sem::VALUE_MAX] {
        run(&program, &["create", &theirs, &value.to_string()]);
        let semaphore = Semaphore::create(&ours, value, Mode::OWNER).unwrap();
        let read = |name: &str| {
            let file = format!("/dev/shm/sem.{}", &name[1..]);
            let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(&file).unwrap());
            (fs::read(file).unwrap(), mode)
        };
        assert_eq!(read(&theirs), read(&ours));
        assert_eq!(read(&ours).0.len(), sem::SIZE);
        assert_eq!(Semaphore::open(&theirs).unwrap().value().unwrap(), value);
        assert_eq!(run(&program, &["value", &ours]), value.to_string());
        drop(semaphore);
        sem::unlink(&theirs).unwrap();
        sem::unlink(&ours).unwrap();
    }
}

#[test]
fn each_wakes_the_other() {
    let test = test!();
    test.role("waiter", |peer| {
        Semaphore::open(&peer.arg(0)).unwrap().acquire().unwrap();
        peer.say("woken");
    });
    let directory = scratch();
    let program = program(directory.path());
    let name = name();
    let semaphore = Semaphore::create(&name, 0, Mode::OWNER).unwrap();
    let _guard = semaphore.unlink_on_drop().unwrap();

    for verb in ["wait", "timedwait"] {
        let mut theirs = Child::program(&program, &[verb, &name]);
        theirs.wait_until_blocked_in(&[call::FUTEX]);
        semaphore.release().unwrap();
        assert_eq!(theirs.line().unwrap(), "0");
        theirs.succeed();
    }
    let mut ours = test.child("waiter").arg(&name).spawn();
    ours.wait_until_blocked_in(&[call::FUTEX]);
    // It may have been taken before they look.
    run(&program, &["post", &name]);
    ours.expect("woken");
    ours.succeed();
    let file = fs::read(format!("/dev/shm/sem.{}", &name[1..])).unwrap();
    assert_eq!(file[..8], [0; 8], "nobody is counted as waiting");
}

#[test]
fn c_and_we_take_turns_in_shared_memory() {
    let _test = test!();
    let directory = scratch();
    let program = program(directory.path());
    let name = name();
    let shared = SharedMemory::create(&name, 4096, Mode::OWNER).unwrap();
    let _guard = shared.unlink_on_drop().unwrap();
    let memory = Arc::new(shared.map(Access::ReadWrite).unwrap());

    assert_eq!(run(&program, &["init", &name, "64"]), "5");
    let theirs = Semaphore::attach(memory.clone(), 64).unwrap();
    assert_eq!(theirs.value().unwrap(), 5);
    let ours = Semaphore::initialise(memory.clone(), 128, 5).unwrap();
    let bytes = |offset| {
        let mut bytes = [0; sem::SIZE];
        memory.read(offset, &mut bytes).unwrap();
        bytes
    };
    assert_eq!(bytes(64), bytes(128));

    for _ in 0..5 {
        ours.acquire().unwrap();
    }
    let mut waiter = Child::program(&program, &["wait", &name, "128"]);
    waiter.wait_until_blocked_in(&[call::FUTEX]);
    ours.release().unwrap();
    assert_eq!(waiter.line().unwrap(), "0");
    waiter.succeed();
    assert_eq!(run(&program, &["post", &name, "128"]), "1");
    ours.try_acquire().unwrap();
    assert_eq!(ours.try_acquire().unwrap_err().kind(), ErrorKind::WouldBlock);
}

const PYTHON: &str = r#"
import ctypes, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.sem_open.restype = ctypes.c_void_p
libc.sem_open.argtypes = [ctypes.c_char_p, ctypes.c_int]
name = sys.argv[2].encode()
semaphore = ctypes.c_void_p(libc.sem_open(name, 0))
assert semaphore.value
call = {"wait": libc.sem_wait, "post": libc.sem_post}[sys.argv[1]]
assert call(semaphore) == 0
print("done")
"#;

#[test]
fn python_takes_part() {
    let test = test!();
    if let Err(missing) = command("python3") {
        return test.skip(&missing);
    }
    let name = name();
    let semaphore = Semaphore::create(&name, 0, Mode::OWNER).unwrap();
    let _guard = semaphore.unlink_on_drop().unwrap();
    let python = |verb| Child::program(Path::new("python3"), &["-c", PYTHON, verb, &name]);
    let mut waiter = python("wait");
    waiter.wait_until_blocked_in(&[call::FUTEX]);
    semaphore.release().unwrap();
    assert_eq!(waiter.line().as_deref(), Some("done"));
    waiter.succeed();
    let poster = python("post");
    semaphore.acquire().unwrap();
    poster.succeed();
}
