//! Commands as streams.

#[path = "support/pipes.rs"]
mod support;

use std::fs;
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use support::{later, soon};
use twixt_os::pipe;
use twixt_os::popen::{Command, Duplex, Input, Job, Output};
use twixt_os::{Deadline, ErrorKind, Wait};
use twixt_testkit::{Child, Storm, call, scratch, test, under_storm};

fn text(mut from: impl Read) -> String {
    let mut text = String::new();
    from.read_to_string(&mut text).unwrap();
    text
}

/// Whether there is a process, zombie or not.
fn exists(pid: i32) -> bool {
    fs::exists(format!("/proc/{pid}")).unwrap()
}

/// Waits until the process has ended and is a zombie, if it is not reaped.
fn wait_until_ended(pid: i32) {
    while fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap().starts_with(" Z"))
    {
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_commands_output_is_read() {
    let _test = test!();
    let mut uname = Command::shell("uname -s; exit 3").read().unwrap();
    assert_eq!(text(&mut uname), "Linux\n");
    assert_eq!(uname.close().unwrap().code(), Some(3));
    // Closing again says the same.
    assert_eq!(uname.close().unwrap().code(), Some(3));
    let error = uname.reader().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(error.to_string(), "cannot read from command uname -s; exit 3: it was closed already");
    assert!(uname.read(&mut [0; 8]).is_err());
}

#[test]
fn a_commands_input_is_written() {
    let _test = test!();
    let directory = scratch();
    let path = directory.path().join("dump");
    let output = fs::File::create(&path).unwrap();
    let mut od = Command::program("od").arg("-c").stdout(output).write().unwrap();
    od.write_all(b"Once").unwrap();
    od.flush().unwrap();
    assert!(od.close().unwrap().success());
    assert_eq!(fs::read_to_string(&path).unwrap(), "0000000   O   n   c   e\n0000004\n");
    assert_eq!(od.writer().unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn a_line_is_interpreted_and_an_argument_is_not() {
    let _test = test!();
    assert_eq!(text(Command::shell("echo $((6 * 7)) | cat").read().unwrap()), "42\n");
    assert_eq!(text(Command::shell("echo $0 $1").args(["a", "b"]).read().unwrap()), "a b\n");
    assert_eq!(text(Command::program("echo").arg("$((6 * 7)) | cat").read().unwrap()), "$((6 * 7)) | cat\n");
    // A line that begins with a dash is a line.
    let mut dash = Command::shell("-n 2>/dev/null; echo ran").read().unwrap();
    assert_eq!(text(&mut dash), "ran\n");
    dash.close().unwrap();
}

#[test]
fn the_surroundings_can_be_set() {
    let test = test!();
    // In a process without other threads that let go of numbers meanwhile.
    test.role("alone", |_| set_the_surroundings());
    test.child("alone").spawn().succeed();
}

fn set_the_surroundings() {
    let directory = scratch();
    let (fd_reader, fd_writer) = pipe::create().unwrap();
    fd_writer.write_all(b"five").unwrap();
    drop(fd_writer);
    let mut command = Command::shell("echo $WORD; pwd -P; cat <&5; cat; echo gone >&2")
        .env("WORD", "betwixt")
        .current_dir(directory.path())
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .pass_descriptors([(fd_reader, 5)])
        .unwrap();
    command.as_std_mut().env_remove("HOME");
    let expected = format!("betwixt\n{}\nfive", directory.path().canonicalize().unwrap().display());
    assert_eq!(text(command.read().unwrap()), expected);
}

#[test]
fn a_command_that_is_not_there() {
    let _test = test!();
    // Without a shell it is an error that names it.
    let error = Command::program("/nonexistent/program").read().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(
        error.to_string(),
        "cannot start command /nonexistent/program: no such file or directory (ENOENT)"
    );
    let error = Command::program("twixt-no-such-program").run().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    // For a shell it is a status.
    let mut shell = Command::shell("twixt-no-such-program 2>/dev/null").read().unwrap();
    assert_eq!(shell.close().unwrap().code(), Some(127));
}

#[test]
fn what_cannot_be_run() {
    let test = test!();
    // In a process without other threads that fork, and so keep the program open for writing for a moment.
    test.role("alone", |_| run_what_cannot_be_run());
    test.child("alone").spawn().succeed();
}

fn run_what_cannot_be_run() {
    let directory = scratch();
    let path = directory.path().join("data");
    fs::write(&path, "data").unwrap();
    let error = Command::program(&path).read().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    use std::os::unix::fs::PermissionsExt;
    let program = directory.path().join("program");
    fs::write(&program, [0x7f, b'?']).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(Command::program(&program).read().unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(Command::program("a\0b").read().unwrap_err().kind(), ErrorKind::InvalidInput);
    let long = "x".repeat(10_000_000);
    assert_eq!(Command::program("true").arg(long).read().unwrap_err().kind(), ErrorKind::TooLong);
    let nowhere = Command::program("true").current_dir("/nonexistent").read();
    assert_eq!(nowhere.unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn both_directions_at_once() {
    let _test = test!();
    let mut cat = Command::program("cat").duplex().unwrap();
    for turn in ["ping", "pong", "ping"] {
        cat.write_all(turn.as_bytes()).unwrap();
        let mut echoed = [0; 4];
        cat.read_exact(&mut echoed).unwrap();
        assert_eq!(echoed, turn.as_bytes());
    }
    cat.close_input();
    assert_eq!(cat.writer().unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(cat.read(&mut [0; 4]).unwrap(), 0);
    assert!(cat.close().unwrap().success());
}

#[test]
fn a_command_gets_all_its_input_though_its_output_fills() {
    let _test = test!();
    let input: Vec<u8> = (0..3_000_000u32).map(|number| (number % 251) as u8).collect();
    let mut cat = Command::program("cat").duplex().unwrap();
    let mut output = b"before".to_vec();
    assert_eq!(cat.communicate(&input, &mut output).unwrap(), input.len());
    assert_eq!(&output[..6], b"before");
    assert!(output[6..] == input);
    assert!(cat.close().unwrap().success());

    // One that stops reading early is no error.
    let mut head = Command::shell("head -c 3; exit 5").duplex().unwrap();
    let mut output = Vec::new();
    assert_eq!(head.communicate_deadline(&input, &mut output, later()).unwrap(), 3);
    assert_eq!(head.close().unwrap().code(), Some(5));
}

#[test]
fn communication_keeps_its_deadline() {
    let _test = test!();
    let mut output = Vec::new();
    let mut silent = Command::program("sleep").arg("1000").kill_on_drop().duplex().unwrap();
    for deadline in [Deadline::now(), soon()] {
        let error = silent.communicate_deadline(&[0; 200_000], &mut output, deadline).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    }
    assert!(output.is_empty());
    // A command that never stops keeps the pipe ready, but not past the deadline.
    let mut endless = Command::program("yes").kill_on_drop().duplex().unwrap();
    let error = endless.communicate_deadline(b"", &mut output, soon()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
}

#[test]
fn a_pipeline_is_joined_as_the_shell_does() {
    let _test = test!();
    let mut words = (Command::program("printf").arg("b\nc\na\n")
        | Command::program("sort")
        | Command::program("tr").args(["a-z", "A-Z"]))
    .read()
    .unwrap();
    assert_eq!(text(&mut words), "A\nB\nC\n");
    assert!(words.close().unwrap().success());
    let job = words.job();
    assert_eq!(job.statuses().flatten().filter(|status| status.success()).count(), 3);
    assert_eq!(job.pids().len(), 3);
    assert!(job.pids().all(|pid| !exists(pid)), "all were waited for");
}

#[test]
fn a_pipeline_ends_when_its_reader_has_enough() {
    let _test = test!();
    let mut first = (Command::program("yes") | Command::program("head").arg("-n2")).read().unwrap();
    assert_eq!(text(&mut first), "y\ny\n");
    // `yes` dies of SIGPIPE, as it should: no stray copy of the read end keeps it alive.
    assert!(first.close().unwrap().success());
    let signals: Vec<_> = first.job().statuses().map(|status| status.unwrap().signal()).collect();
    assert_eq!(signals, [Some(13), None]);
}

#[test]
fn the_statuses_of_a_pipeline_are_kept_apart() {
    let _test = test!();
    let mut job =
        (Command::shell("exit 1") | Command::shell("kill -9 $$") | Command::shell("exit 3")).run().unwrap();
    assert_eq!(job.wait().unwrap().code(), Some(3));
    let statuses: Vec<_> = job.statuses().flatten().map(|status| (status.code(), status.signal())).collect();
    assert_eq!(statuses, [(Some(1), None), (None, Some(9)), (Some(3), None)]);
}

#[test]
fn a_pipeline_is_written_and_read() {
    let _test = test!();
    let mut both = (Command::program("cat") | Command::program("tr").args(["a-z", "A-Z"])).duplex().unwrap();
    let mut output = Vec::new();
    both.communicate(b"both ends", &mut output).unwrap();
    assert_eq!(output, b"BOTH ENDS");
    assert!(both.close().unwrap().success());

    let directory = scratch();
    let path = directory.path().join("out");
    let file = fs::File::create(&path).unwrap();
    let last = Command::program("tr").args(["a-z", "A-Z"]).stdout(file);
    let mut input = (Command::program("cat") | last).write().unwrap();
    input.write_all(b"in").unwrap();
    assert!(input.close().unwrap().success());
    assert_eq!(fs::read_to_string(path).unwrap(), "IN");
}

#[test]
fn a_pipeline_that_cannot_start_leaves_nothing_running() {
    let _test = test!();
    let directory = scratch();
    let path = directory.path().join("pid");
    let line = format!("echo $$ > {}; exec sleep 1000", path.display());
    let error = (Command::shell(line) | Command::program("/nonexistent/program")).read().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("/nonexistent/program"), "{error}");
    // If it came so far as to write its number, it is gone now.
    if let Ok(pid) = fs::read_to_string(&path).unwrap_or_default().trim().parse() {
        assert!(!exists(pid));
    }
}

#[test]
fn the_end_arrives_though_other_commands_run() {
    let _test = test!();
    // Each has pipes that the others, started later, must not hold copies of.
    let mut first = Command::program("cat").duplex().unwrap();
    let second = Command::program("cat").duplex().unwrap();
    let third = Child::start(std::process::Command::new("cat"));
    first.close_input();
    assert_eq!(first.read(&mut [0; 8]).unwrap(), 0);
    assert!(first.close().unwrap().success());
    third.succeed();
    drop(second);
}

#[test]
fn closing_has_a_deadline() {
    let _test = test!();
    let mut sleep = Command::program("sleep").arg("1000").read().unwrap();
    assert_eq!(sleep.try_close().unwrap_err().kind(), ErrorKind::WouldBlock);
    for deadline in [Deadline::now(), soon()] {
        let error = sleep.close_deadline(deadline).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert_eq!(error.to_string(), "cannot wait for command sleep: connection timed out (ETIMEDOUT)");
    }
    sleep.job().kill().unwrap();
    assert_eq!(sleep.close_deadline(later()).unwrap().signal(), Some(9));
    assert_eq!(sleep.try_close().unwrap().signal(), Some(9));

    let mut cat = Command::program("cat").write().unwrap();
    assert!(cat.close_deadline(later()).unwrap().success());
}

/// Commands that wait for their input, and are ended under a storm in every form that waits for them.
#[test]
fn closing_weathers_a_storm_of_signals() {
    let test = test!();
    test.role("close", |peer| {
        let (held, release) = pipe::create().unwrap();
        let cat = || {
            let cat = Command::shell("cat <&9 >/dev/null");
            cat.pass_descriptors([(held.try_clone().unwrap(), 9)]).unwrap()
        };
        let (kind, form) = (peer.arg(0), peer.arg(1));
        let mut command = match kind.as_str() {
            "output" => Waiting::Output(cat().read().unwrap()),
            "input" => Waiting::Input(cat().write().unwrap()),
            "duplex" => Waiting::Duplex(cat().duplex().unwrap()),
            _ => Waiting::Job(cat().run().unwrap()),
        };
        let storm = Storm::on_this_thread();
        let interrupted = command.end(Wait::forever().interruptible()).unwrap_err();
        assert_eq!(interrupted.kind(), ErrorKind::Interrupted);
        drop(storm);
        let status = std::thread::scope(|scope| {
            scope.spawn(|| {
                peer.wait_for("release");
                drop(release);
            });
            under_storm(peer, || match form.as_str() {
                "block" => command.end(Wait::forever()),
                _ => command.end(Wait::until(later())),
            })
        });
        assert!(status.unwrap().success());
    });
    for kind in ["output", "input", "duplex", "job"] {
        for (form, blocked) in [("block", &[call::WAITID][..]), ("deadline", call::POLLING)] {
            let mut child = test.child("close").arg(kind).arg(form).spawn();
            child.expect("stormed");
            child.wait_until_blocked_in(blocked);
            child.tell("release");
            child.succeed();
        }
    }
}

/// What there is to wait for of a command.
enum Waiting {
    Output(Output),
    Input(Input),
    Duplex(Duplex),
    Job(Job),
}

impl Waiting {
    fn end(&mut self, wait: Wait) -> twixt_os::Result<ExitStatus> {
        match self {
            Self::Output(output) => output.close_wait(wait),
            Self::Input(input) => input.close_wait(wait),
            Self::Duplex(duplex) => duplex.close_wait(wait),
            Self::Job(job) => job.wait_with(wait),
        }
    }
}

#[test]
fn communicating_can_be_interrupted() {
    let test = test!();
    test.role("talk", |_| {
        let mut command = Command::program("sleep").arg("1000").kill_on_drop().duplex().unwrap();
        let _storm = Storm::on_this_thread();
        let error = command.communicate_interruptible(b"x", &mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Interrupted);
    });
    test.child("talk").spawn().succeed();
}

#[test]
fn communicating_weathers_a_storm_of_signals() {
    let test = test!();
    test.role("talk", |peer| {
        // It gives nothing back until it is let go on.
        let (held, release) = pipe::create().unwrap();
        let command = Command::shell("cat <&9 >/dev/null; exec cat");
        let mut command = command.pass_descriptors([(held, 9)]).unwrap().duplex().unwrap();
        // More than the pipes hold, so that it waits to write, to read and for the end.
        let (input, mut output) = (vec![b'x'; 500_000], Vec::new());
        let form = peer.arg(0);
        let read = std::thread::scope(|scope| {
            scope.spawn(|| {
                peer.wait_for("release");
                drop(release);
            });
            under_storm(peer, || match form.as_str() {
                "block" => command.communicate(&input, &mut output),
                _ => command.communicate_deadline(&input, &mut output, later()),
            })
        });
        assert_eq!(read.unwrap(), input.len());
        assert_eq!(output, input);
        assert!(command.close().unwrap().success());
    });
    for form in ["block", "deadline"] {
        let mut child = test.child("talk").arg(form).spawn();
        child.expect("stormed");
        child.tell("release");
        child.succeed();
    }
}

#[test]
fn a_dropped_command_finishes_its_work_and_is_reaped() {
    let test = test!();
    test.role("drop", |peer| {
        let path = peer.arg(0);
        let line = format!("cat > {path}.part; mv {path}.part {path}");
        let mut command = Command::shell(line).write().unwrap();
        command.write_all(b"all of it").unwrap();
        let pid = command.job().pids().next().unwrap();
        drop(command);
        wait_until_ended(pid);
        assert_eq!(fs::read_to_string(&path).unwrap(), "all of it");
        // The next call into the module reaps it.
        Command::program("true").run().unwrap().wait().unwrap();
        assert!(!exists(pid));

        // One that has ended before is reaped by the drop itself.
        let mut ended = Command::program("true").read().unwrap();
        let pid = ended.job().pids().next().unwrap();
        wait_until_ended(pid);
        assert!(exists(pid));
        drop(ended);
        assert!(!exists(pid));
    });
    let directory = scratch();
    test.child("drop").arg(directory.path().join("work").display()).spawn().succeed();
}

#[test]
fn a_dropped_command_does_not_hold_up_the_drop() {
    let _test = test!();
    let mut sleep = Command::program("sleep").arg("1000").read().unwrap();
    let pid = sleep.job().pids().next().unwrap();
    drop(sleep);
    assert!(exists(pid), "it runs on");
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(pid).unwrap(),
        rustix::process::Signal::KILL,
    )
    .unwrap();
}

#[test]
fn a_command_can_be_killed_by_the_drop() {
    let _test = test!();
    let mut sleep = Command::program("sleep").arg("1000").kill_on_drop().read().unwrap();
    let pid = sleep.job().pids().next().unwrap();
    drop(sleep);
    assert!(!exists(pid));
}

#[test]
fn writing_to_a_command_that_has_gone_is_an_error() {
    let _test = test!();
    let mut command = Command::program("true").write().unwrap();
    command.job().wait().unwrap();
    let error = command.write_all(&[0; 100_000]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
    assert!(command.close().unwrap().success());
}

#[test]
fn a_lost_status_says_why() {
    let test = test!();
    test.role("lose", |_| {
        let mut command = Command::program("true").read().unwrap();
        let pid = command.job().pids().next().unwrap();
        // Somebody else has waited for it.
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty()).unwrap();
        let error = command.close().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.to_string().contains("SIGCHLD is ignored"), "{error}");
    });
    test.child("lose").spawn().succeed();
}
