//! Socket activation: sockets that somebody else has opened, under the protocol of systemd (`sd_listen_fds(3)`).

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::Signal;
use twixt_testkit::{Child, TempDir, compile_c, output, scratch, test};

#[path = "support/peer.rs"]
mod peer;
#[path = "support/process.rs"]
mod process;
#[path = "support/service.rs"]
mod service;
#[path = "support/tool.rs"]
mod tool;
use peer::{commands, python};
use process::until;
use service::Service;
use tool::{end, run, twixt};

fn socket() -> (TempDir, String) {
    let scratch = scratch();
    let path = scratch.path().join("socket").display().to_string();
    (scratch, path)
}

/// What systemd does between `fork` and `exec`: the sockets from descriptor 3 on, and the variables that say whose they
/// are and how many. The parent stays, as systemd does, and holds the sockets.
///
/// `manager KIND PATH COMMAND…`: `stream` and `datagram` give one socket, `both` gives two, `accept` waits for a
/// connection and gives that, `stale` leaves the variables to a child, for whom they are not meant.
const MANAGER: &str = r#"
    #define _GNU_SOURCE
    #include <fcntl.h>
    #include <signal.h>
    #include <stdio.h>
    #include <stdlib.h>
    #include <string.h>
    #include <sys/prctl.h>
    #include <sys/socket.h>
    #include <sys/un.h>
    #include <sys/wait.h>
    #include <unistd.h>
    static int open_at(int type, const char *path) {
        struct sockaddr_un name = { .sun_family = AF_UNIX };
        strncpy(name.sun_path, path, sizeof name.sun_path - 1);
        int s = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
        if (s < 0 || bind(s, (struct sockaddr *)&name, sizeof name)) exit(90);
        if (type == SOCK_STREAM && listen(s, 100)) exit(91);
        return s;
    }
    static pid_t child;
    static void forward(int number) { kill(child, number); }
    int main(int argc, char **argv) {
        const char *kind = argv[1];
        int sockets[2], count = 1;
        if (!strcmp(kind, "datagram")) sockets[0] = open_at(SOCK_DGRAM, argv[2]);
        else sockets[0] = open_at(SOCK_STREAM, argv[2]);
        if (!strcmp(kind, "both")) {
            char other[200];
            snprintf(other, sizeof other, "%s.datagrams", argv[2]);
            sockets[1] = open_at(SOCK_DGRAM, other);
            count = 2;
        }
        if (!strcmp(kind, "accept")) {
            int c = accept4(sockets[0], 0, 0, SOCK_CLOEXEC);
            close(sockets[0]);
            sockets[0] = c;
        }
        child = fork();
        if (child == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            // Out of the way first, so that none is overwritten.
            for (int i = 0; i < count; i++) sockets[i] = fcntl(sockets[i], F_DUPFD_CLOEXEC, 20);
            for (int i = 0; i < count; i++) dup2(sockets[i], 3 + i);
            char text[20];
            snprintf(text, sizeof text, "%d", (int)getpid());
            setenv("LISTEN_PID", text, 1);
            snprintf(text, sizeof text, "%d", count);
            setenv("LISTEN_FDS", text, 1);
            setenv("LISTEN_FDNAMES", count == 2 ? "first:second" : "first", 1);
            if (!strcmp(kind, "stale") && fork()) { int status; wait(&status); _exit(WEXITSTATUS(status)); }
            execvp(argv[3], argv + 3);
            _exit(127);
        }
        signal(SIGTERM, forward);
        int status;
        while (waitpid(child, &status, 0) != child) {}
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
"#;

/// A service that the manager has started.
fn managed(scratch: &TempDir, kind: &str, path: &str, arguments: &[&str]) -> Command {
    let program = compile_c(scratch.path(), "manager", MANAGER, &[]);
    let mut command = Command::new(program);
    command.args([kind, path, env!("CARGO_BIN_EXE_twixt")]).args(arguments).stdin(Stdio::null());
    command
}

#[test]
fn a_manager_in_c_gives_sockets() {
    let _test = test!();
    let (scratch, path) = socket();
    // What it was told about the sockets is not told on, and they are not passed on. The shell's pipe to `grep` may be gone
    // before `ls` has looked at it, of which nothing need be said.
    let look = "cat; env | grep -c LISTEN_; ls -l /proc/$$/fd 2>/dev/null | grep -c socket:";
    let service =
        Service::start(managed(&scratch, "stream", &path, &["serve", "--activated", "--", "sh", "-c", look]));
    assert_eq!(service.name, format!("unix:{path}"));
    for _ in 0..3 {
        // Of sockets it has the connection alone, as input and as output.
        let answer = run(&format!("call unix:{path}?framing=raw hello")).well();
        assert_eq!(answer, "hello0\n2\n", "{answer}");
    }
    service.ends(Signal::TERM);
    assert!(Path::new(&path).exists(), "the path is the manager's");
    std::fs::remove_file(&path).unwrap();

    let service =
        Service::start(managed(&scratch, "datagram", &path, &["serve", "--activated", "--", "rev"]));
    assert_eq!(run(&format!("call unix-dgram:{path} stressed")).well(), "desserts\n");
    service.ends(Signal::TERM);
    std::fs::remove_file(&path).unwrap();

    let service =
        Service::start(managed(&scratch, "both", &path, &["serve", "--activated", "--", "tr", "a-z", "A-Z"]));
    for _ in 0..3 {
        assert_eq!(run(&format!("call unix:{path}?framing=raw stream")).well(), "STREAM");
        assert_eq!(run(&format!("call unix-dgram:{path}.datagrams datagram")).well(), "DATAGRAM\n");
    }
    service.ends(Signal::TERM);
    std::fs::remove_file(&path).unwrap();

    let stale = managed(&scratch, "stale", &path, &["serve", "--activated", "--", "cat"]);
    end(stale).fails(2, "meant for another");
}

/// As with `Accept=yes`: the manager accepts, and the program has one connection as descriptor 3.
#[test]
fn a_manager_in_c_gives_a_connection() {
    let _test = test!();
    let (scratch, path) = socket();
    let mut recv = managed(&scratch, "accept", &path, &["recv", "fd:3", "--framing", "lines"]);
    let recv = recv.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until("listening", || Path::new(&path).exists());
    until("accepted", || {
        end(twixt(["send", &format!("unix:{path}?framing=lines"), "one", "two"])).code == Some(0)
    });
    let ended = recv.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&ended.stdout), "one\ntwo\n", "{ended:?}");
    std::fs::remove_file(&path).unwrap();
    let mut send = managed(&scratch, "accept", &path, &["send", "fd:3?framing=lines", "three"]);
    let send = send.spawn().unwrap();
    until("listening", || {
        UnixStream::connect(&path).is_ok_and(|mut connection| {
            let mut text = String::new();
            std::io::Read::read_to_string(&mut connection, &mut text).unwrap();
            text == "three\n"
        })
    });
    assert!(send.wait_with_output().unwrap().status.success());
}

#[test]
fn a_manager_in_python_gives_tcp_sockets() {
    let test = test!();
    if let Err(missing) = python(&[]).and_then(|()| commands(&["curl"])) {
        return test.skip(&missing);
    }
    // Python makes its descriptors close on exec; dup2 gives one that does not.
    let manager = "import os, socket, sys\n\
        s = socket.create_server(('127.0.0.1', 0))\n\
        print(s.getsockname()[1], flush=True)\n\
        if s.fileno() == 3: os.set_inheritable(3, True)\n\
        else: os.dup2(s.fileno(), 3)\n\
        os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1', LISTEN_FDNAMES='http')\n\
        os.execv(sys.argv[1], sys.argv[1:])\n";
    let answer = "while read -r l && [ ${#l} -gt 1 ]; do :; done; printf 'HTTP/1.0 200 OK\\r\\n\\r\\nfrom %s' \"${TWIXT_SOURCE%:*}\"";
    let mut command = Command::new("python3");
    command.args([
        "-c",
        manager,
        env!("CARGO_BIN_EXE_twixt"),
        "serve",
        "--activated",
        "--",
        "sh",
        "-c",
        answer,
    ]);
    command.stderr(Stdio::null());
    let mut service = Child::start(command);
    let port = service.line().unwrap();
    for _ in 0..3 {
        assert_eq!(output("curl", &["-sS", &format!("http://127.0.0.1:{port}/")]), "from 127.0.0.1");
    }
    service.signal(Signal::TERM);
    assert_eq!(service.wait().code(), Some(0));
}

/// The sockets are opened, and the program started with the first who comes, whom it finds waiting.
#[test]
fn systemd_starts_it_with_the_first_connection() {
    let test = test!();
    if let Err(missing) = commands(&["systemd-socket-activate"]) {
        return test.skip(&missing);
    }
    let (_scratch, path) = socket();
    let systemd = |arguments: &[&str]| {
        let mut command = Command::new("systemd-socket-activate");
        command.args(arguments).stderr(Stdio::null());
        let child = Child::start(command);
        until("listening", || Path::new(&path).exists());
        child
    };
    let twixt = env!("CARGO_BIN_EXE_twixt");
    let mut service =
        systemd(&["-l", &path, "--fdname=jobs", twixt, "serve", "--activated", "--per-message", "--", "rev"]);
    assert_eq!(run(&format!("call unix:{path} stressed")).well(), "desserts\n");
    service.signal(Signal::TERM);
    assert_eq!(service.wait().code(), Some(0));
    std::fs::remove_file(&path).unwrap();
    let mut service = systemd(&["-d", "-l", &path, twixt, "serve", "--activated", "--", "rev"]);
    assert_eq!(run(&format!("call unix-dgram:{path} stressed")).well(), "desserts\n");
    service.signal(Signal::TERM);
    assert_eq!(service.wait().code(), Some(0));
    std::fs::remove_file(&path).unwrap();
    // Started anew for each connection, which is its descriptor 3; and a program of its kind that is called.
    let service = systemd(&["-a", "-l", &path, twixt, "relay", "--both", "fd:3", "exec:tr a-z A-Z"]);
    for _ in 0..2 {
        assert_eq!(run(&format!("call unix:{path}?framing=raw hello")).well(), "HELLO");
    }
    service.kill();
    std::fs::remove_file(&path).unwrap();
    let service = systemd(&["-a", "--inetd", "-l", &path, "rev"]);
    for _ in 0..2 {
        assert_eq!(run(&format!("call unix:{path}?framing=raw stressed")).well(), "desserts");
    }
    service.kill();
}
