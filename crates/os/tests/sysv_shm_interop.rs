//! System V shared memory together with util-linux, C and Python programs.

use std::process::Command;
use std::sync::atomic::Ordering::{Acquire, Release};

use twixt_os::sysv::Key;
use twixt_os::sysv::shm::{Access, Id, Segment};
use twixt_os::{ErrorKind, Mode};
use twixt_testkit::{Child, command, compile_c, output, scratch, test, unique_key};

fn key() -> Key {
    Key::new(unique_key()).unwrap()
}

#[test]
fn what_ipcmk_makes_we_open() {
    let test = test!();
    if let Err(missing) = command("ipcmk") {
        return test.skip(&missing);
    }
    let said = output("ipcmk", &["-M", "4096", "-p", "0640"]);
    let id = said.trim().rsplit(' ').next().unwrap().parse().unwrap();
    let segment = Segment::open_id(Id::new(id).unwrap()).unwrap().remove_on_drop();
    let stat = segment.stat().unwrap();
    assert_eq!((stat.segsz, stat.perm.mode, stat.nattch), (4096, Mode::new(0o640).unwrap(), 0));
    assert_eq!(Segment::open(stat.perm.key).unwrap().id(), segment.id());
    let memory = segment.attach(Access::ReadWrite).unwrap();
    assert_eq!(memory.len(), 4096);
    memory.write(4090, b"to end").unwrap();
}

#[test]
fn what_we_make_ipcs_shows_and_ipcrm_removes() {
    let test = test!();
    if let Err(missing) = command("ipcs").and(command("ipcrm")) {
        return test.skip(&missing);
    }
    let key = key();
    let segment = Segment::create(key, 5000, Mode::new(0o604).unwrap()).unwrap();
    let cleaned = segment.clone().remove_on_drop();
    let id = segment.id().to_string();
    let all = output("ipcs", &["-m"]);
    let line = all.lines().find(|line| line.starts_with(&key.to_string())).unwrap();
    let fields: Vec<_> = line.split_ascii_whitespace().collect();
    assert_eq!((fields[1], fields[3], fields[4], fields[5]), (id.as_str(), "604", "5000", "0"));
    let one = output("ipcs", &["-m", "-i", &id]);
    assert!(one.contains("bytes=5000"), "{one}");
    assert!(one.contains(&format!("cpid={}", std::process::id())), "{one}");
    output("ipcrm", &["-m", &id]);
    assert_eq!(segment.stat().unwrap_err().kind(), ErrorKind::Removed);
    let _ = cleaned.keep();
    let segment = Segment::create(key, 1, Mode::OWNER).unwrap();
    output("ipcrm", &["-M", &key.to_string()]);
    assert_eq!(segment.attach(Access::ReadOnly).unwrap_err().kind(), ErrorKind::Removed);
}

/// Answers each byte by its complement, when the first word becomes 1.
const ANSWER: &str = r#"
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ipc.h>
#include <sys/shm.h>

int main(int argc, char **argv) {
    key_t key = (key_t) strtol(argv[1], NULL, 0);
    int id = shmget(key, 0, 0600);
    struct shmid_ds stat;
    if (argc != 2 || id < 0 || shmctl(id, IPC_STAT, &stat) < 0) { perror("shmget"); return 1; }
    unsigned char *memory = shmat(id, NULL, 0);
    if (memory == (void *) -1) { perror("shmat"); return 1; }
    _Atomic unsigned *turn = (_Atomic unsigned *) memory;
    while (atomic_load_explicit(turn, memory_order_acquire) != 1) {}
    for (size_t at = 4; at < stat.shm_segsz; at++) memory[at] = ~memory[at];
    atomic_store_explicit(turn, 2, memory_order_release);
    printf("%zu\n", stat.shm_segsz);
    return 0;
}
"#;

#[test]
fn a_c_program_sees_the_same_bytes() {
    let _test = test!();
    let directory = scratch();
    let program = compile_c(directory.path(), "answer", ANSWER, &[]);
    let key = key();
    let segment = Segment::create(key, 10_001, Mode::OWNER).unwrap().remove_on_drop();
    let memory = segment.attach(Access::ReadWrite).unwrap();
    let mut peer = Command::new(program);
    peer.arg(key.as_raw().to_string());
    let mut peer = Child::start(peer);
    let question: Vec<u8> = (0..9997_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    memory.write(4, &question).unwrap();
    memory.atomic_u32(0).unwrap().store(1, Release);
    while memory.load_u32(0, Acquire).unwrap() != 2 {
        std::thread::yield_now();
    }
    let mut answer = vec![0; 9997];
    memory.read(4, &mut answer).unwrap();
    assert!(answer.iter().zip(&question).all(|(answer, question)| *answer == !*question));
    assert_eq!(peer.line().unwrap(), "10001");
    peer.succeed();
}

/// Python has no module for this in its library, but the C library.
const PYTHON: &str = r"
import ctypes, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = ctypes.c_void_p
id = libc.shmget(int(sys.argv[1], 0), 0, 0)
at = libc.shmat(id, None, 0)
print(ctypes.string_at(at, 7).decode())
ctypes.memmove(at, b'python!', 7)
";

#[test]
fn a_python_program_reads_and_writes() {
    let test = test!();
    if let Err(missing) = command("python3") {
        return test.skip(&missing);
    }
    let key = key();
    let segment = Segment::create(key, 7, Mode::OWNER).unwrap().remove_on_drop();
    let memory = segment.attach(Access::ReadWrite).unwrap();
    memory.write(0, b"between").unwrap();
    let mut peer = Command::new("python3");
    peer.args(["-c", PYTHON, &key.to_string()]);
    let mut peer = Child::start(peer);
    assert_eq!(peer.line().unwrap(), "between");
    peer.succeed();
    let mut word = [0; 7];
    memory.read(0, &mut word).unwrap();
    assert_eq!(&word, b"python!");
}
