//! `twixt recv` loses no message that it took.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::Signal;
use twixt_testkit::{Child, scratch, test};

#[path = "support/plane.rs"]
mod plane;
#[path = "support/tool.rs"]
mod tool;
use plane::{drain, fill, posix_queue, sysv_queue};
use tool::{end, twixt};

/// The one file that was saved here.
fn saved(directory: &Path) -> PathBuf {
    let mut entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let path = entries.next().expect("a saved file");
    assert_eq!(entries.next(), None);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    path
}

fn recv(arguments: &[&str], tmpdir: &Path) -> Command {
    let mut command = twixt(["recv"].iter().chain(arguments));
    command.env("TMPDIR", tmpdir);
    command
}

fn full() -> File {
    File::options().write(true).open("/dev/full").unwrap()
}

#[test]
fn a_full_disk() {
    let _test = test!();
    let (queue, _remove) = posix_queue(8, 100);
    let scratch = scratch();
    fill(&queue, ["one", "two", "three"]);
    let mut command = recv(&[&queue, "-n", "2"], scratch.path());
    command.stdout(full());
    let error = end(command).fails(2, "messages 1 to 2 were received and not delivered: ");
    assert!(error.contains("cannot write to standard output: No space left on device"), "{error}");
    let path = saved(scratch.path());
    assert!(error.contains(&format!("they are saved in {} as", path.display())), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "one\ntwo\n");
    assert_eq!(drain(&queue), ["three"]);
    // What is saved can be sent again.
    let mut command = twixt(["send", &queue]);
    command.stdin(File::open(&path).unwrap());
    end(command).well();
    assert_eq!(drain(&queue), ["one", "two"]);
}

#[test]
fn it_is_saved_as_it_would_have_been_printed() {
    let _test = test!();
    let (queue, _remove) = posix_queue(8, 100);
    for (flag, expected) in [("-0", "a\nb\0"), ("--framing=len", "\u{3}\0\0\0a\nb")] {
        let scratch = scratch();
        fill(&queue, ["a\nb"]);
        let mut command = recv(&[&queue, flag], scratch.path());
        command.stdout(full());
        end(command).fails(2, "message 1 was received and not delivered: ");
        assert_eq!(fs::read_to_string(saved(scratch.path())).unwrap(), expected);
    }
    let scratch = scratch();
    fill(&queue, ["x"]);
    let mut command = recv(&[&queue, "--json"], scratch.path());
    command.stdout(full());
    end(command).fails(2, "message 1");
    let line: serde_json::Value = serde_json::from_slice(&fs::read(saved(scratch.path())).unwrap()).unwrap();
    assert_eq!(line["text"], "x");
}

#[test]
fn a_reader_that_goes_in_the_middle_and_the_file_have_all_between_them() {
    let _test = test!();
    let (queue, _remove) = sysv_queue();
    let messages: Vec<String> = (0..9).map(|number| number.to_string().repeat(1000)).collect();
    let scratch = scratch();
    let (mut reader, writer) = std::io::pipe().unwrap();
    rustix::pipe::fcntl_setpipe_size(&writer, 4096).unwrap();
    fill(&queue, &messages);
    let mut command = recv(&[&queue, "--follow"], scratch.path());
    command.stdout(writer).stderr(Stdio::piped());
    let receiver = command.spawn().unwrap();
    drop(command);
    // It has taken all of them, and waits for room.
    while !drain_is_empty(&queue) {}
    let mut got = vec![0; 1500];
    reader.read_exact(&mut got).unwrap();
    drop(reader);
    let output = receiver.wait_with_output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{error}");
    // The pipe took 4096 bytes, and perhaps more after some were read: whole messages are not saved again, the one
    // that was cut is.
    let file = fs::read_to_string(saved(scratch.path())).unwrap();
    let rest: Vec<&str> = file.lines().collect();
    let first = messages.len() - rest.len();
    assert!(first >= 4, "{first}");
    assert_eq!(rest, messages[first..].iter().map(String::as_str).collect::<Vec<_>>());
    assert!(
        error.contains(&format!("messages {} to 9 were received and not delivered", first + 1)),
        "{error}"
    );
    let written = 4096 % 1001;
    if first == 4 {
        assert!(error.contains(&format!("(of message 5 {written} bytes went out)")), "{error}");
    }
}

fn drain_is_empty(queue: &str) -> bool {
    let queue = twixt::channel::Sender::open(&plane::address(queue)).unwrap();
    queue.len().unwrap() == Some(0)
}

#[test]
fn a_stop_while_the_reader_is_slow() {
    let _test = test!();
    let (queue, _remove) = sysv_queue();
    let scratch = scratch();
    let (mut reader, writer) = std::io::pipe().unwrap();
    rustix::pipe::fcntl_setpipe_size(&writer, 4096).unwrap();
    let messages: Vec<String> = (0..9).map(|number| number.to_string().repeat(999)).collect();
    fill(&queue, &messages);
    let mut command = recv(&[&queue, "--follow"], scratch.path());
    command.stdout(writer).stderr(Stdio::piped());
    let mut command_child = command.spawn().unwrap();
    drop(command);
    while !drain_is_empty(&queue) {}
    let pid = rustix::process::Pid::from_child(&command_child);
    rustix::process::kill_process(pid, Signal::TERM).unwrap();
    let mut error = String::new();
    command_child.stderr.take().unwrap().read_to_string(&mut error).unwrap();
    assert_eq!(command_child.wait().unwrap().code(), Some(143), "{error}");
    let mut got = String::new();
    reader.read_to_string(&mut got).unwrap();
    let file = fs::read_to_string(saved(scratch.path())).unwrap();
    let whole = &got[..got.rfind('\n').map_or(0, |at| at + 1)];
    assert_eq!(format!("{whole}{file}"), messages.iter().map(|it| format!("{it}\n")).collect::<String>());
}

#[test]
fn without_a_place_for_a_file_it_is_told() {
    let _test = test!();
    let (queue, _remove) = posix_queue(8, 100);
    let scratch = scratch();
    fill(&queue, ["foobar"]);
    // No file may grow, which /dev/full is not.
    let mut command = Command::new("bash");
    let line = "ulimit -f 0; trap '' XFSZ; cd \"$2\"; TMPDIR=/nowhere exec \"$0\" recv \"$1\" > /dev/full";
    command.args(["-c", line, env!("CARGO_BIN_EXE_twixt"), &queue]).arg(scratch.path());
    let error = end(command).fails(2, "it is saved nowhere, since /nowhere takes no file");
    assert!(error.contains("in base64 it is as it would have been printed: Zm9vYmFyCg=="), "{error}");
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0);
}

#[test]
fn a_command_that_fails() {
    let _test = test!();
    let (queue, _remove) = posix_queue(8, 100);
    for (line, code, how) in [
        ("exit 7", 7, "the command `exit 7` ended with status 7"),
        ("kill -9 $$", 137, "was ended by signal 9"),
        ("no-such-command-anywhere 2>/dev/null", 127, "ended with status 127"),
    ] {
        let scratch = scratch();
        fill(&queue, ["one", "two"]);
        let error = end(recv(&[&queue, "-n", "2", "--exec", line], scratch.path())).fails(code, how);
        assert!(error.contains("message 1 was received and not delivered: "), "{error}");
        let path = saved(scratch.path());
        assert!(error.contains(&format!("it is saved in {}\n", path.display())), "{error}");
        assert_eq!(fs::read_to_string(path).unwrap(), "one");
        assert_eq!(drain(&queue), ["two"]);
    }
}

#[test]
fn a_command_that_cannot_start() {
    let _test = test!();
    let (queue, _remove) = posix_queue(8, 100);
    let scratch = scratch();
    fill(&queue, ["one"]);
    // More than one argument may have (MAX_ARG_STRLEN), by way of the environment.
    let command = recv(&[&queue, "--exec", "cat"], scratch.path());
    let mut limited = Command::new("bash");
    limited.args(["-c", "ulimit -s 128; exec \"$@\"", "bash"]).arg(command.get_program());
    limited.args(command.get_args()).env("TMPDIR", scratch.path());
    for number in 0..4 {
        limited.env(format!("LONG{number}"), "x".repeat(120_000));
    }
    limited.stdin(Stdio::null());
    let ended = end(limited);
    // bash itself may find the environment too long, and then nothing was taken.
    if ended.code == Some(126) {
        assert_eq!(drain(&queue), ["one"]);
        return;
    }
    ended.fails(2, "message 1 was received and not delivered: cannot start");
    assert_eq!(fs::read_to_string(saved(scratch.path())).unwrap(), "one");
}

#[test]
fn commands_get_the_message_and_what_is_known_of_it() {
    let _test = test!();
    let (queue, _remove) = sysv_queue();
    let scratch = scratch();
    for (number, text) in [(5, "five"), (6, "six")] {
        end(twixt(["send", &queue, "--type", &number.to_string(), text])).well();
    }
    let line = r#"printf '%s %s %s [%s] %s: ' "$TWIXT_NUMBER" "$TWIXT_LENGTH" "$TWIXT_TYPE" "$TWIXT_PRIORITY" "$TWIXT_FDS"; cat; echo"#;
    let mut command = recv(&[&queue, "-n", "2", "--exec", line], scratch.path());
    command.env("TWIXT_PRIORITY", "inherited");
    assert_eq!(end(command).well(), "1 4 5 [] 0: five\n2 3 6 [] 0: six\n");
    // One that reads nothing of a long message is no failure.
    let (queue, _remove) = sysv_queue();
    fill(&queue, [vec![b'x'; 8192]]);
    assert_eq!(end(recv(&[&queue, "--exec", "echo $TWIXT_LENGTH"], scratch.path())).well(), "8192\n");
}

#[test]
fn a_stop_waits_for_the_command() {
    let _test = test!();
    let (queue, _remove) = posix_queue(8, 100);
    let scratch = scratch();
    fill(&queue, ["one", "two"]);
    let line = "echo begun; read line < go; echo ended";
    let go = scratch.path().join("go");
    rustix::fs::mknodat(rustix::fs::CWD, &go, rustix::fs::FileType::Fifo, rustix::fs::Mode::from(0o600), 0)
        .unwrap();
    let mut command = recv(&[&queue, "--follow", "--exec", line], scratch.path());
    command.current_dir(scratch.path());
    let mut receiver = Child::start(command);
    assert_eq!(receiver.line().as_deref(), Some("begun"));
    receiver.signal(Signal::TERM);
    fs::write(&go, "\n").unwrap();
    assert_eq!(receiver.line().as_deref(), Some("ended"));
    assert_eq!(receiver.wait().code(), Some(143));
    assert_eq!(drain(&queue), ["two"]);
}
