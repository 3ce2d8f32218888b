//! `twixt work`: a queue for the shell that loses no job, whatever dies.

use std::fs;

use rustix::process::Signal;
use serde_json::Value;
use twixt_testkit::{Child, scratch, test};

#[path = "support/bus.rs"]
mod bus;
#[path = "support/process.rs"]
mod process;
#[path = "support/tool.rs"]
mod tool;
use bus::{Bus, lines};
use process::until;
use tool::{end, twixt};

/// A worker whose command is a line of shell.
fn worker(bus: &Bus, options: &str, line: &str) -> std::process::Command {
    let arguments = ["work"].into_iter().chain(options.split_ascii_whitespace());
    bus.on_it(twixt(arguments.chain(["--", "sh", "-c", line])))
}

fn sorted(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn each_job_is_done_once_by_one_of_several_workers() {
    let _test = test!();
    let bus = Bus::new();
    bus.feed("send --create queue:x", &lines(1..=60)).well();
    let first = Child::start(worker(&bus, "queue:x -j 2 --timeout 500ms", "echo $(cat)"));
    let second = end(worker(&bus, "queue:x --timeout 500ms", "echo $(cat)"));
    let (mut first, second) = (first, second.stdout);
    let first = String::from_utf8(first.rest()).unwrap();
    let done: Vec<String> = sorted(&(first + &second)).into_iter().filter(|line| !line.is_empty()).collect();
    assert_eq!(done, sorted(&lines(1..=60)));
}

#[test]
fn a_job_is_on_standard_input_and_among_the_arguments() {
    let _test = test!();
    let bus = Bus::new();
    let mut command = bus.twixt("send --create queue:x");
    command.arg("a b;$(c)");
    end(command).well();
    let line = "echo \"$(cat)|$0|$1|$TWIXT_DELIVERIES|$TWIXT_LENGTH|$TWIXT_SEQUENCE\"";
    let mut command = worker(&bus, "queue:x -n 1", line);
    command.args(["{}", "<{}{}>"]);
    assert_eq!(end(command).well(), "a b;$(c)|a b;$(c)|<a b;$(c)a b;$(c)>|1|8|0\n");
}

#[test]
fn the_job_of_a_killed_worker_is_done_by_another() {
    let _test = test!();
    let bus = Bus::new();
    let scratch = scratch();
    let begun = scratch.path().join("begun");
    bus.run("send --create queue:x job").well();
    let line = format!("echo $$ > {0}.new; mv {0}.new {0}; exec sleep 1000", begun.display());
    let first = Child::start(worker(&bus, "queue:x", &line));
    until("the job has begun", || begun.exists());
    let command: i32 = fs::read_to_string(&begun).unwrap().trim().parse().unwrap();
    first.kill();
    assert_eq!(end(worker(&bus, "queue:x -n 1", "echo $(cat) $TWIXT_DELIVERIES")).well(), "job 2\n");
    until("its command has gone, too", || !process::lives(command));
    bus.run("recv queue:x --timeout 10ms").fails(4, "no message came");
}

#[test]
fn what_fails_too_often_is_put_aside() {
    let _test = test!();
    let bus = Bus::new();
    bus.run("send --create queue:x good bad").well();
    let ended = end(worker(&bus, "queue:x --retries 3 -n 4", "test $(cat) = good"));
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let told: Vec<&str> = ended.stderr.lines().collect();
    assert_eq!(
        told,
        [
            "twixt: job \"bad\": the command ended with status 1 (attempt 1 of 3); it is handed out again",
            "twixt: job \"bad\": the command ended with status 1 (attempt 2 of 3); it is handed out again",
            "twixt: job \"bad\": the command ended with status 1 (attempt 3 of 3); it is in queue:x.dead",
        ]
    );
    assert_eq!(bus.run("recv queue:x.dead").well(), "bad\n");
    bus.run("recv queue:x --timeout 10ms").fails(4, "no message came");
}

#[test]
fn a_queue_that_was_made_with_retries_puts_aside_by_itself() {
    let _test = test!();
    let bus = Bus::new();
    bus.run("mk queue:x?retries=2").well();
    bus.run("send queue:x bad").well();
    end(worker(&bus, "queue:x --timeout 300ms", "exit 3")).fails(4, "ended with status 3 (attempt 2)");
    assert_eq!(bus.run("recv queue:x.dead").well(), "bad\n");
}

#[test]
fn ctrl_c_lets_finish_what_runs_and_a_second_one_does_not() {
    let _test = test!();
    let bus = Bus::new();
    let scratch = scratch();
    let (begun, go) = (scratch.path().join("begun"), scratch.path().join("go"));
    let line = format!(
        "touch {}; until test -e {}; do sleep 0.01; done; echo done $(cat)",
        begun.display(),
        go.display()
    );
    bus.run("send --create queue:x one two").well();
    let mut first = Child::start(worker(&bus, "queue:x", &line));
    until("the job has begun", || begun.exists());
    first.signal(Signal::INT);
    fs::write(&go, "").unwrap();
    assert_eq!(String::from_utf8(first.rest()).unwrap(), "done one\n");
    assert_eq!(first.wait().code(), Some(130));
    fs::remove_file(&begun).unwrap();
    fs::remove_file(&go).unwrap();
    let mut second = Child::start(worker(&bus, "queue:x", &line));
    until("the other job has begun", || begun.exists());
    second.signal(Signal::INT);
    // Two that come at once are one.
    std::thread::sleep(std::time::Duration::from_millis(100));
    second.signal(Signal::INT);
    assert_eq!(second.wait().code(), Some(130));
    assert_eq!(String::from_utf8(second.rest()).unwrap(), "");
    assert_eq!(bus.run("recv queue:x").well(), "two\n");
}

#[test]
fn a_command_that_cannot_be_run_costs_no_job() {
    let _test = test!();
    let bus = Bus::new();
    bus.run("send --create queue:x job").well();
    bus.run("work queue:x -- /no/such").fails(127, "cannot run /no/such");
    let scratch = scratch();
    let plain = scratch.path().join("plain");
    fs::write(&plain, "no program").unwrap();
    bus.run(&format!("work queue:x -- {}", plain.display())).fails(126, "cannot run ");
    assert_eq!(bus.run("recv queue:x").well(), "job\n");
}

#[test]
fn queues_are_channels_like_all_others() {
    let _test = test!();
    let bus = Bus::new();
    bus.run("mk queue:a queue:b").well();
    bus.feed("send queue:a", &lines(1..=100)).well();
    let mut relay = bus.start("relay queue:a queue:b");
    assert_eq!(bus.run("recv queue:b -n 100").well(), lines(1..=100));
    relay.signal(Signal::INT);
    assert_eq!(relay.wait().code(), Some(130));
    bus.run("send queue:a hello").well();
    let line: Value = serde_json::from_str(&bus.run("recv queue:a --json").well()).unwrap();
    assert_eq!((&line["text"], &line["deliveries"]), (&"hello".into(), &1.into()));
    let table = bus.run("stat queue:a -o role,state,messages --noheadings").well();
    assert!(table.starts_with("producer  left  101\n"), "{table}");
    bus.run("rm --yes queue:a queue:b").well();
}

#[test]
fn wrong_input_names_the_wrong_part() {
    let _test = test!();
    let bus = Bus::new();
    bus.run("mk queue:x?visibility=5s").well();
    for (code, line, part) in [
        (2, "work topic:x -- cat", "only queues on the bus hand a job out again"),
        (2, "work queue:x", "<COMMAND>"),
        (1, "work queue:none -- cat", "it does not exist"),
        (2, "work queue:x -j 0 -- cat", "0 is not in 1..=1000"),
        (2, "work queue:x --visibility 3s -- cat", "--create"),
        (2, "work queue:x --create --visibility 3s -- cat", "it was made with 5s"),
        (2, "work queue:x?retries=3 -- cat", "option retries: it says how a new object is made"),
        (4, "work queue:x --timeout 1ms -- cat", "no job came within 1ms"),
    ] {
        bus.run(line).fails(code, part);
    }
}
