//! The tour as its user runs it: rows, two terminals, interruption, and nothing left behind.

use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use twixt_testkit::{Child, Test, namespaces, scratch, test};

const TWIXT: &str = env!("CARGO_BIN_EXE_twixt");

fn twixt(arguments: &[&str]) -> Output {
    Command::new(TWIXT).args(arguments).stdin(Stdio::null()).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// The command that runs another in namespaces of its own; none, said so, where there can be none.
fn private(test: &Test) -> Option<Vec<&'static str>> {
    namespaces().map_err(|missing| test.skip(&missing)).ok()
}

/// A shell script with `$TWIXT`, in namespaces of its own, where every System V object is the script's.
fn script(wrapper: &[&str], directory: &Path, script: &str) -> Output {
    Command::new(wrapper[0])
        .args(&wrapper[1..])
        .args(["sh", "-c", script])
        .env("TWIXT", TWIXT)
        .env("TMPDIR", directory)
        .env("XDG_RUNTIME_DIR", directory)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// Prints whatever objects there are in the namespaces and in the script's directory.
const OBJECTS: &str = r#"
    grep -hv key /proc/sysvipc/msg /proc/sysvipc/sem /proc/sysvipc/shm
    ls /dev/shm | grep "twixt-tour-$pid-"
    grep -o "@twixt-tour-$pid-.*" /proc/net/unix
    ls "$TMPDIR"
    echo end
"#;

#[test]
fn every_row_passes_or_names_what_is_missing() {
    let _test = test!();
    let output = twixt(&["tour", "--json", "--rounds", "30"]);
    let rows: Vec<Value> = stdout(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for row in &rows {
        let status = row["status"].as_str().unwrap();
        assert!(row["schema"] == 1 && row["shows"].is_string() && row["rounds"].is_u64(), "{row}");
        match status {
            "passed" => {
                assert!(row["p50_ns"].is_u64() && row["reason"].is_null() && row["rounds"] != 0, "{row}")
            }
            "skipped" => assert!(row["reason"].as_str().unwrap().contains("needs"), "{row}"),
            _ => panic!("{row}"),
        }
    }
    assert_eq!(output.status.code(), Some(0));
    let names: BTreeSet<&str> = rows.iter().map(|row| row["mechanism"].as_str().unwrap()).collect();
    assert_eq!(names.len(), rows.len(), "a name stands twice");
    for name in [
        "pipe",
        "pipe-shell",
        "popen-read",
        "popen-write",
        "fifo",
        "unix",
        "unix-dgram",
        "unix-seqpacket",
        "tcp",
        "udp",
        "raw",
        "signal",
        "signal-rt",
        "sysv-msg",
        "sysv-msg-select",
        "posix-mq",
        "posix-mq-priority",
        "posix-mq-notify",
        "sysv-shm",
        "posix-shm",
        "mmap",
        "sysv-sem-mutex",
        "posix-sem-mutex",
        "sysv-sem-order",
        "posix-sem-order",
        "eventfd",
        "lock",
        "direct",
        "indirect",
        "capacity-zero",
        "capacity-bounded",
        "fifo-open",
        "signal-handlers",
        "memfd",
        "unix-passing",
        "topic",
        "queue",
        "latest",
        "rpc",
        "rpc-bus",
    ] {
        assert!(names.contains(name), "no row {name}");
    }
}

#[test]
fn a_plain_user_gets_the_tour_too() {
    let test = test!();
    if let Err(missing) = twixt_testkit::root() {
        // Whoever is not root has just seen it in the other tests.
        return test.skip(&missing);
    }
    use std::os::unix::process::CommandExt;
    let directory = scratch();
    std::os::unix::fs::chown(directory.path(), Some(65534), Some(65534)).unwrap();
    let mut command = Command::new(TWIXT);
    command.args(["tour", "--json", "--rounds", "5"]).env("TMPDIR", directory.path()).uid(65534).gid(65534);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
    let skipped: Vec<String> = stdout(&output)
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|row| row["status"] == "skipped")
        .map(|row| row["mechanism"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(skipped, ["raw"], "only a raw socket needs more than a plain user has");
}

#[test]
fn a_tour_leaves_nothing() {
    let test = test!();
    let Some(wrapper) = private(&test) else { return };
    let directory = scratch();
    let run = format!(r#""$TWIXT" tour --rounds 5 >/dev/null & pid=$!; wait $pid; echo $?; {OBJECTS}"#);
    let output = script(&wrapper, directory.path(), &run);
    assert_eq!(stdout(&output), "0\nend\n", "{}", stderr(&output));
}

#[test]
fn an_interrupted_tour_leaves_nothing() {
    let test = test!();
    let Some(wrapper) = private(&test) else { return };
    // Each signal, in the middle of a conversation that would take for ever. A shell has its background commands ignore
    // SIGINT; a terminal does not.
    for (signal, status) in [("INT", "130"), ("TERM", "143"), ("HUP", "129")] {
        let directory = scratch();
        let run = format!(
            r#"env --default-signal=INT "$TWIXT" tour sysv-shm --rounds 10000000 >/dev/null & pid=$!
            until grep -q ' 2 ' /proc/sysvipc/sem; do sleep 0.01; done
            kill -{signal} $pid; wait $pid; echo $?; {OBJECTS}"#
        );
        let output = script(&wrapper, directory.path(), &run);
        assert_eq!(stdout(&output), format!("{status}\nend\n"), "after SIG{signal}: {}", stderr(&output));
    }
}

#[test]
fn a_killed_party_is_a_failed_row_and_leaves_nothing() {
    let test = test!();
    let Some(wrapper) = private(&test) else { return };
    let directory = scratch();
    let run = format!(
        r#""$TWIXT" tour posix-shm sysv-msg --rounds 10000000 --json >"$TMPDIR/out" & pid=$!
        for row in 1 2; do
            until [ "$(wc -w </proc/$pid/task/$pid/children)" = 2 ]; do sleep 0.01; done
            kill -KILL $(cut -d' ' -f1 /proc/$pid/task/$pid/children)
            until [ "$(wc -l <"$TMPDIR/out")" = $row ]; do sleep 0.01; done
        done
        wait $pid; echo $?; cat "$TMPDIR/out"; rm "$TMPDIR/out"; {OBJECTS}"#
    );
    let output = script(&wrapper, directory.path(), &run);
    let text = stdout(&output);
    let lines: Vec<&str> = text.lines().collect();
    let [status, first, second, "end"] = lines[..] else { panic!("{text}{}", stderr(&output)) };
    assert_eq!(status, "1");
    for (line, name) in [(first, "posix-shm"), (second, "sysv-msg")] {
        let row: Value = serde_json::from_str(line).unwrap();
        assert_eq!((row["mechanism"].as_str(), row["status"].as_str()), (Some(name), Some("failed")));
        assert!(row["reason"].as_str().unwrap().contains("signal: 9"), "{row}");
    }
}

#[test]
fn two_terminals_meet() {
    let test = test!();
    let Some(mut wrapper) = private(&test) else { return };
    if let Err(missing) = twixt_testkit::command("ip") {
        return test.skip(&missing);
    }
    // The agreed port, keys and names are the user's: a network, an IPC namespace and a /dev/shm of the test's own keep
    // other runs out.
    wrapper.insert(wrapper.len() - 1, "--net");
    let listed = twixt(&["tour", "--list", "--json"]);
    let rows = stdout(&listed);
    let rows = rows.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let sided: Vec<String> = rows
        .filter(|row| row["sides"] == true)
        .map(|row| row["mechanism"].as_str().unwrap().to_owned())
        .collect();
    assert!(sided.len() >= 8, "{sided:?}");
    for name in sided {
        let directory = scratch();
        let run = format!(
            r#"ip link set lo up; mount -t tmpfs tmpfs /dev/shm
            "$TWIXT" tour {name} --as server --rounds 3 >"$TMPDIR/server" 2>"$TMPDIR/note" & pid=$!
            # The client of a server that is not there yet says so.
            until "$TWIXT" tour {name} --as client --rounds 3 >"$TMPDIR/client" 2>/dev/null; do sleep 0.02; done
            wait $pid; echo $?; cat "$TMPDIR/server" "$TMPDIR/client" | grep -v 'is here'; cat "$TMPDIR/note" >&2
            rm "$TMPDIR/server" "$TMPDIR/client" "$TMPDIR/note"; rmdir "$TMPDIR"/twixt-*; {OBJECTS}"#
        );
        let output = script(&wrapper, directory.path(), &run);
        let text = stdout(&output);
        assert!(
            text.starts_with("0\nServer: Received ping\nServer: Sent pong\n")
                || text.starts_with("0\nServer: 0 is followed by 1\n"),
            "{name}: {text}{}",
            stderr(&output)
        );
        // Calls have words of their own.
        let middle = match name.starts_with("rpc") {
            true => "Server: the client has said goodbye\n3 rounds\nClient: 1 follows 0\n",
            false => "Server: Received end\n3 rounds\nClient: Sent ping\n",
        };
        assert!(text.contains(middle), "{name}: {text}");
        assert!(text.ends_with(" each\nend\n"), "{name}: {text}");
        assert!(stderr(&output).contains(&format!("twixt tour {name} --as client")), "{}", stderr(&output));
    }
}

#[test]
fn a_python_program_takes_a_side() {
    let test = test!();
    if let Err(missing) = twixt_testkit::command("python3") {
        return test.skip(&missing);
    }
    let directory = scratch();
    let mut command = Command::new(TWIXT);
    command.args(["tour", "unix", "--as", "server"]).env("XDG_RUNTIME_DIR", directory.path());
    let mut server = Child::start(command);
    let uid = rustix_uid();
    let path = directory.path().join(format!("twixt-{uid}/server"));
    let client = r"
import socket, sys, time
link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
while True:
    try:
        link.connect(sys.argv[1])
        break
    except OSError:
        time.sleep(0.01)
for _ in range(7):
    link.sendall(b'ping')
    assert link.recv(16) == b'pong'
link.sendall(b'end')
";
    let status = Command::new("python3").args(["-c", client]).arg(&path).status().unwrap();
    assert!(status.success());
    let mut lines = Vec::new();
    while let Some(line) = server.line() {
        lines.push(line);
    }
    assert_eq!(lines.iter().filter(|line| *line == "Server: Received ping").count(), 7);
    assert_eq!(lines.last().map(String::as_str), Some("7 rounds"));
    server.succeed();
    assert!(!path.exists());
}

fn rustix_uid() -> u32 {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").unwrap().uid()
}

#[test]
fn a_dialogue_is_what_the_two_sides_say() {
    let _test = test!();
    let output = twixt(&["tour", "posix-mq", "--dialogue", "--rounds", "2", "--noheadings"]);
    let text = stdout(&output);
    let round = ["Client: Sent ping", "Server: Received ping", "Server: Sent pong", "Client: Received pong"];
    let lines: Vec<&str> = text.lines().collect();
    // Causes before effects, though each side writes to a pipe of its own.
    assert_eq!(lines[..9], [&["posix-mq"], &round[..], &round[..]].concat(), "{text}");
    assert_eq!(lines[9], "Server: Received end");
    assert!(lines[10].ends_with("passed"), "{text}");
}

#[test]
fn wrong_words_are_refused() {
    let _test = test!();
    for (arguments, said) in [
        (&["tour", "carrier-pigeon"][..], "no row of the tour has that name; there are pipe,"),
        (&["tour", "--as", "server"], "name one, like"),
        (&["tour", "fifo", "tcp", "--as", "client"], "cannot play one side of 2 rows"),
        (&["tour", "sysv-sem-mutex", "--as", "server"], "no name by which two terminals could meet"),
        (&["tour", "fifo", "--as", "conductor"], "possible values: server, client"),
        (&["tour", "--rounds", "0"], "0 is not in 1..=10000000"),
        (&["tour", "--json", "--dialogue"], "cannot be used with"),
        (&["tour", "fifo", "--as", "server", "--noheadings"], "cannot be used with"),
    ] {
        let output = twixt(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(said), "{arguments:?}: {}", stderr(&output));
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn a_reader_that_has_seen_enough_ends_the_tour_quietly() {
    let _test = test!();
    let mut child = Command::new(TWIXT)
        .args(["tour", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.status.signal()), (Some(0), None));
    assert_eq!(stderr(&output), "");
}

#[test]
fn what_a_killed_tour_leaves_the_next_one_removes() {
    let test = test!();
    let Some(wrapper) = private(&test) else { return };
    let directory = scratch();
    let run = format!(
        r#""$TWIXT" tour sysv-shm --rounds 10000000 >/dev/null & pid=$!
        until grep -q ' 2 ' /proc/sysvipc/sem; do sleep 0.01; done
        kill -KILL $pid; wait $pid; echo $?
        # Its parties die with it; what has no owner stays.
        while grep -lz play-party /proc/[0-9]*/cmdline 2>/dev/null | xargs -r grep -lz "$TMPDIR" 2>/dev/null | grep -q .; do
            sleep 0.01
        done
        grep -hvc key /proc/sysvipc/shm
        "$TWIXT" tour pipe >/dev/null; echo $?; {OBJECTS}"#
    );
    let output = script(&wrapper, directory.path(), &run);
    assert_eq!(stdout(&output), "137\n1\n0\nend\n", "{}", stderr(&output));
}

#[test]
fn a_server_follows_a_killed_one_and_waits_for_a_living_one() {
    let test = test!();
    let Some(wrapper) = private(&test) else { return };
    let directory = scratch();
    let run = r#"
        serve() { "$TWIXT" tour sysv-shm --as server >/dev/null 2>"$TMPDIR/note"; }
        serve & sleep 0; until grep -q ' 2 ' /proc/sysvipc/sem; do sleep 0.01; done
        serve; echo $?; grep -o 'another one of it is running' "$TMPDIR/note"
        # The one that serves, not the shell function around it.
        for pid in $(cat /proc/$$/task/$$/children); do kill -KILL $(cat /proc/$pid/task/$pid/children); done
        wait
        "$TWIXT" tour sysv-shm --as server --rounds 2 >"$TMPDIR/out" 2>/dev/null & pid=$!
        until "$TWIXT" tour sysv-shm --as client --rounds 2 >/dev/null 2>&1; do sleep 0.01; done
        wait $pid; echo $?; tail -n 1 "$TMPDIR/out"
    "#;
    let output = script(&wrapper, directory.path(), run);
    assert_eq!(stdout(&output), "2\nanother one of it is running\n0\n2 rounds\n", "{}", stderr(&output));
}

#[test]
fn a_side_learns_that_the_other_has_gone() {
    let test = test!();
    let Some(wrapper) = private(&test) else { return };
    // A System V queue tells nobody who uses it. Once with the client killed, once with the server.
    for (victim, survivor, said) in
        [("client", "server", "the client has gone"), ("server", "client", "the server has gone")]
    {
        let directory = scratch();
        let run = format!(
            r#"
            "$TWIXT" tour sysv-msg --as server >"$TMPDIR/server" 2>"$TMPDIR/server.error" & server=$!
            until grep -qs 'running\|meeting' "$TMPDIR/server.error" && grep -q ' 1 \|600' /proc/sysvipc/msg; do sleep 0.01; done
            "$TWIXT" tour sysv-msg --as client --rounds 10000000 >"$TMPDIR/client" 2>"$TMPDIR/client.error" & client=$!
            # In the middle of it, and each having seen the other.
            until grep -q 'is here' "$TMPDIR/client" && grep -q 'is here' "$TMPDIR/server"; do sleep 0.01; done
            kill -KILL ${victim}; wait ${survivor}; echo $?; tail -n 1 "$TMPDIR/{survivor}.error"
            "#
        );
        let output = script(&wrapper, directory.path(), &run);
        assert_eq!(stdout(&output), format!("5\ntwixt: {said}\n"), "{}", stderr(&output));
    }
}

#[test]
fn a_client_without_a_server_says_so() {
    let test = test!();
    let Some(wrapper) = private(&test) else { return };
    for name in
        ["fifo", "sysv-msg", "posix-mq", "sysv-shm", "posix-shm", "unix", "unix-dgram", "unix-seqpacket"]
    {
        let directory = scratch();
        let run = format!(
            r#""$TWIXT" tour {name} --as client >/dev/null 2>"$TMPDIR/error"; echo $?; cat "$TMPDIR/error""#
        );
        let output = script(&wrapper, directory.path(), &run);
        let text = stdout(&output);
        assert!(text.starts_with("1\n") && text.ends_with("; start the server first\n"), "{name}: {text}");
    }
}
