//! POSIX shared memory: C and Python programs share it.

use std::path::Path;
use std::process::Command;

use twixt_os::Mode;
use twixt_os::posix::shm::{self, Access, SharedMemory};
use twixt_testkit::{Child, command, compile_c, defer, scratch, test, unique_name};

const PROGRAM: &str = r#"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
int main(int argc, char **argv) {
    int create = !strcmp(argv[1], "create");
    int memory = shm_open(argv[2], O_RDWR | (create ? O_CREAT | O_EXCL : 0), 0600);
    if (memory < 0 || (create && ftruncate(memory, 5000)))
        return 1;
    struct stat stat;
    fstat(memory, &stat);
    char *text = mmap(NULL, stat.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
    if (create)
        strcpy(text + 4096, "from C");
    else
        printf("%ld %s\n", (long)stat.st_size, text + 4096);
    return 0;
}
"#;

#[test]
fn c_programs_share_memory_with_us() {
    let _test = test!();
    let directory = scratch();
    let program = compile_c(directory.path(), "memory", PROGRAM, &["rt"]);
    let run = |verb: &str, name: &str| {
        let mut command = Command::new(&program);
        command.args([verb, name]);
        Child::start(command)
    };
    let name = format!("/{}", unique_name());
    let shared = SharedMemory::create(&name, 6000, Mode::OWNER).unwrap();
    let guard = shared.unlink_on_drop().unwrap();
    shared.map(Access::ReadWrite).unwrap().write(4096, b"from Rust\0").unwrap();
    let mut reader = run("read", &name);
    assert_eq!(reader.line().unwrap(), "6000 from Rust");
    reader.succeed();
    guard.unlink().unwrap();

    let _clean = defer(|| drop(shm::unlink(&name)));
    run("create", &name).succeed();
    let shared = SharedMemory::open(&name, Access::ReadOnly).unwrap();
    assert_eq!(shared.size().unwrap(), 5000);
    let mut text = [0; 6];
    shared.map(Access::ReadOnly).unwrap().read(4096, &mut text).unwrap();
    assert_eq!(&text, b"from C");
}

const PYTHON: &str = r#"
import sys
from multiprocessing.shared_memory import SharedMemory
memory = SharedMemory(sys.argv[1])
print(memory.size, bytes(memory.buf[:4]).decode())
memory.buf[:4] = b"pong"
memory.close()
"#;

#[test]
fn python_shares_memory_with_us() {
    let test = test!();
    if let Err(missing) = command("python3") {
        return test.skip(&missing);
    }
    let name = format!("/{}", unique_name());
    let shared = SharedMemory::create(&name, 4096, Mode::OWNER).unwrap();
    // Python's resource tracker may unlink it first.
    let _clean = defer(|| drop(shm::unlink(&name)));
    let memory = shared.map(Access::ReadWrite).unwrap();
    memory.write(0, b"ping").unwrap();
    let mut command = Command::new(Path::new("python3"));
    command.args(["-c", PYTHON, &name[1..]]).stderr(std::process::Stdio::null());
    let mut python = Child::start(command);
    assert_eq!(python.line().as_deref(), Some("4096 ping"));
    python.succeed();
    let mut text = [0; 4];
    memory.read(0, &mut text).unwrap();
    assert_eq!(&text, b"pong");
}
