//! System V semaphore sets together with util-linux, C and Python programs.

use std::process::Command;

use twixt_os::sysv::Key;
use twixt_os::sysv::sem::{Id, Set};
use twixt_os::{ErrorKind, Mode, Wait};
use twixt_testkit::{Child, command, compile_c, defer, output, scratch, test, unique_key};

fn key() -> Key {
    Key::new(unique_key()).unwrap()
}

#[test]
fn what_ipcmk_makes_we_open() {
    let test = test!();
    if let Err(missing) = command("ipcmk") {
        return test.skip(&missing);
    }
    let said = output("ipcmk", &["-S", "3"]);
    let id = said.trim().rsplit(' ').next().unwrap().parse().unwrap();
    let set = Set::open_id(Id::new(id).unwrap()).unwrap().remove_on_drop();
    let stat = set.stat().unwrap();
    assert_eq!((stat.nsems, stat.perm.mode, stat.otime), (3, Mode::new(0o644).unwrap(), None));
    assert_eq!(Set::open(stat.perm.key).unwrap().id(), set.id());
    assert!(!set.is_initialised().unwrap());
    set.release(2).unwrap();
    assert_eq!(set.values().unwrap(), [0, 0, 1]);
    assert_eq!(set.acquire(3).unwrap_err().kind(), ErrorKind::OutOfRange);
}

#[test]
fn what_we_make_ipcs_shows_and_ipcrm_removes() {
    let test = test!();
    if let Err(missing) = command("ipcs").and(command("ipcrm")) {
        return test.skip(&missing);
    }
    let key = key();
    let set = Set::create_with(key, &[1, 2, 32767], Mode::new(0o640).unwrap()).unwrap();
    let cleaned = set.clone().remove_on_drop();
    let id = set.id().to_string();
    let all = output("ipcs", &["-s"]);
    let line = all.lines().find(|line| line.starts_with(&key.to_string())).unwrap();
    let fields: Vec<_> = line.split_ascii_whitespace().collect();
    assert_eq!((fields[1], fields[3], fields[4]), (id.as_str(), "640", "3"));
    let one = output("ipcs", &["-s", "-i", &id]);
    assert!(one.contains("nsems = 3"), "{one}");
    let values: Vec<Vec<&str>> = one
        .lines()
        .map(|line| line.split_ascii_whitespace().collect())
        .filter(|f: &Vec<_>| f.len() == 5)
        .collect();
    let pid = std::process::id().to_string();
    for (number, value) in [("0", "1"), ("1", "2"), ("2", "32767")] {
        assert!(values.contains(&vec![number, value, "0", "0", &pid]), "{one}");
    }
    output("ipcrm", &["-s", &id]);
    assert_eq!(set.stat().unwrap_err().kind(), ErrorKind::Removed);
    assert_eq!(Set::open(key).unwrap_err().kind(), ErrorKind::NotFound);
    let _ = cleaned.keep();
    let set = Set::create(key, 1, Mode::OWNER).unwrap();
    output("ipcrm", &["-S", &key.to_string()]);
    assert_eq!(set.try_acquire(0).unwrap_err().kind(), ErrorKind::Removed);
}

/// Takes turns with us over the set of the key: waits on 0, signals on 1, with the array of operations as in semop(2).
const TURNS: &str = r#"
#include <stdio.h>
#include <stdlib.h>
#include <sys/ipc.h>
#include <sys/sem.h>

int main(int argc, char **argv) {
    key_t key = (key_t) strtol(argv[1], NULL, 0);
    int id = semget(key, 3, 0600);
    if (argc != 2 || id < 0) { perror("semget"); return 1; }
    for (int round = 0; round < 100; round++) {
        struct sembuf turn[2] = {{0, -1, 0}, {1, +1, 0}};
        if (semop(id, turn, 2) < 0) { perror("semop"); return 1; }
    }
    struct sembuf undone = {2, -5, SEM_UNDO};
    if (semop(id, &undone, 1) < 0) { perror("semop"); return 1; }
    unsigned short values[3];
    if (semctl(id, 0, GETALL, values) < 0) { perror("semctl"); return 1; }
    /* We may not have taken our last turn yet, so values[1] is not known. */
    printf("%d %d\n", values[0], values[2]);
    fflush(stdout);
    getchar();
    return 0;
}
"#;

#[test]
fn a_c_program_takes_turns_with_us() {
    let _test = test!();
    let directory = scratch();
    let program = compile_c(directory.path(), "turns", TURNS, &[]);
    let key = key();
    let set = Set::create_with(key, &[0, 0, 7], Mode::OWNER).unwrap().remove_on_drop();
    let mut peer = Command::new(program);
    peer.arg(key.as_raw().to_string());
    let mut peer = Child::start(peer);
    for _ in 0..100 {
        set.release(0).unwrap();
        set.acquire(1).unwrap();
    }
    assert_eq!(peer.line().unwrap(), "0 2");
    assert_eq!(set.values().unwrap(), [0, 0, 2]);
    assert_eq!(set.last_pid(2).unwrap(), Some(peer.pid()));
    peer.succeed();
    assert_eq!(set.values().unwrap(), [0, 0, 7]);
}

/// The classic way to open or make a set, as textbooks have it: whoever makes it sets the values and then does one
/// operation; whoever finds it waits for `sem_otime`.
const CONVENTION: &str = r#"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <sys/ipc.h>
#include <sys/sem.h>

union semun { int val; struct semid_ds *buf; unsigned short *array; };

int main(int argc, char **argv) {
    key_t key = (key_t) strtol(argv[1], NULL, 0);
    int id = semget(key, 2, IPC_CREAT | IPC_EXCL | 0600);
    if (argc != 2) return 1;
    if (id >= 0) {
        printf("made\n"); fflush(stdout); getchar();
        unsigned short values[2] = {4, 9};
        if (semctl(id, 0, SETALL, (union semun) {.array = values}) < 0) { perror("SETALL"); return 1; }
        printf("set\n"); fflush(stdout); getchar();
        struct sembuf first = {0, -1, 0};
        if (semop(id, &first, 1) < 0) { perror("semop"); return 1; }
        return 0;
    }
    if (errno != EEXIST || (id = semget(key, 2, 0600)) < 0) { perror("semget"); return 1; }
    printf("found\n"); fflush(stdout);
    struct semid_ds stat;
    do {
        usleep(1000);
        if (semctl(id, 0, IPC_STAT, (union semun) {.buf = &stat}) < 0) { perror("IPC_STAT"); return 1; }
    } while (stat.sem_otime == 0);
    printf("%d %d\n", semctl(id, 0, GETVAL), semctl(id, 1, GETVAL));
    return 0;
}
"#;

#[test]
fn c_programs_that_keep_the_convention_initialise_with_us() {
    let test = test!();
    test.role("open", |peer| {
        let key: Key = peer.arg(0).parse().unwrap();
        peer.say("waiting");
        let set = Set::open_or_create_with(key, &[3, 9], Mode::OWNER, Wait::forever()).unwrap();
        peer.say(&format!("{:?}", set.values().unwrap()));
    });
    let directory = scratch();
    let program = compile_c(directory.path(), "convention", CONVENTION, &[]);
    let start = |key: Key| {
        let mut peer = Command::new(&program);
        peer.arg(key.as_raw().to_string());
        Child::start(peer)
    };

    // It makes the set, we wait.
    let made = key();
    let _removed = defer(move || drop(Set::open(made).map(|set| set.remove())));
    let mut peer = start(made);
    assert_eq!(peer.line().unwrap(), "made");
    let mut us = test.child("open").arg(made).spawn();
    us.expect("waiting");
    peer.tell("");
    assert_eq!(peer.line().unwrap(), "set");
    assert_eq!(
        Set::open_initialised(made, 2, Wait::never()).unwrap_err().kind(),
        ErrorKind::WouldBlock,
        "the values are there, the operation is not"
    );
    peer.tell("");
    us.expect("[3, 9]");
    us.succeed();
    peer.succeed();

    // We make the set, it waits.
    let found = key();
    let set = Set::create(found, 2, Mode::OWNER).unwrap().remove_on_drop();
    let mut peer = start(found);
    assert_eq!(peer.line().unwrap(), "found");
    set.initialise(&[5, 6]).unwrap();
    assert_eq!(peer.line().unwrap(), "5 6");
    peer.succeed();
}

/// Python has no module for this in its library, but the C library.
const PYTHON: &str = r"
import ctypes, sys
class sembuf(ctypes.Structure):
    _fields_ = [('num', ctypes.c_ushort), ('op', ctypes.c_short), ('flg', ctypes.c_short)]
libc = ctypes.CDLL(None, use_errno=True)
id = libc.semget(int(sys.argv[1], 0), 1, 0)
op = sembuf(0, -2, 0)
assert libc.semop(id, ctypes.byref(op), 1) == 0, ctypes.get_errno()
print('took', libc.semctl(id, 0, 12))
";

#[test]
fn a_python_program_acquires_what_we_release() {
    let test = test!();
    if let Err(missing) = command("python3") {
        return test.skip(&missing);
    }
    let key = key();
    let set = Set::create_with(key, &[0], Mode::OWNER).unwrap().remove_on_drop();
    let mut peer = Command::new("python3");
    peer.args(["-c", PYTHON, &key.to_string()]);
    let mut peer = Child::start(peer);
    set.release(0).unwrap();
    set.release(0).unwrap();
    assert_eq!(peer.line().unwrap(), "took 0");
    peer.succeed();
}
