//! What a user of `twixt bench` sees: what there is to measure, figures as tables, lines and pages, and what is wrong with a
//! command line. No figure is judged here.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use twixt_testkit::{scratch, test};

#[path = "support/tool.rs"]
mod tool;
use tool::{Ended, end, printed_on_terminal, run, twixt};

/// As little as there is to measure: one kind, one size, a few milliseconds.
const TINY: &str = "bench unix --size 64 --time 5 --repeat 1";

fn lines(ended: Ended) -> Vec<Value> {
    ended.well().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn help_has_examples_and_names_what_there_is() {
    let _test = test!();
    let help = run("bench --help").well();
    for part in [
        "Examples:\n  twixt bench\n",
        "Transports",
        "unix-dgram",
        "POSIX message queue",
        "floor-line",
        "fd-passing",
    ] {
        assert!(help.contains(part), "{part:?}: {help}");
    }
    let completions = run("completions bash").well();
    assert!(completions.contains("--recommend") && completions.contains("--noheadings"));
}

#[test]
fn a_list_says_what_each_is_and_can() {
    let _test = test!();
    let list = run("bench --list").well();
    assert!(list.starts_with("TRANSPORT"), "{list}");
    let unix = list.lines().find(|line| line.starts_with("unix ")).unwrap();
    for part in ["channel", "rtt,", "throughput", "block", "Unix stream socket"] {
        assert!(unix.contains(part), "{unix}");
    }
    assert!(list.lines().any(|line| line.starts_with("floor-") && line.contains(" floor ")), "{list}");
    assert!(list.lines().all(|line| !line.ends_with(' ')));
    assert_eq!(run("bench --list --noheadings unix").well().lines().count(), 1);
    let rows = lines(run("bench --list --json unix posix-mq"));
    let names: Vec<&str> = rows.iter().map(|row| row["transport"].as_str().unwrap()).collect();
    assert_eq!(names, ["unix", "posix-mq"]);
    assert!(rows.iter().all(|row| row["schema"] == 1 && row["kind"] == "transport"));
    assert!(rows[0]["patterns"].as_array().unwrap().contains(&"rtt".into()));
    let bus = lines(run("bench --list --json bus-topic bus-queue bus-latest bus-rpc"));
    let patterns: Vec<_> = bus.iter().map(|row| row["patterns"].to_string()).collect();
    let wanted = [
        r#"["rtt","throughput","batch","fanout"]"#,
        r#"["rtt","throughput","batch","work"]"#,
        r#"["rtt"]"#,
        r#"["rtt","throughput"]"#,
    ];
    assert_eq!(patterns, wanted);
    let all = lines(run("bench --list --json"));
    assert!(all.iter().all(|row| row["about"].as_str().is_some_and(|about| !about.is_empty())), "{list}");
}

#[test]
fn wrong_command_lines_are_told() {
    let _test = test!();
    for (line, part) in [
        ("bench unx", "did you mean \"unix\"?"),
        ("bench posix_mq", "did you mean \"posix-mq\"?"),
        ("bench carrier-pigeon", "--list shows all"),
        ("bench --list nothing-of-the-kind", "no transport of that name"),
        ("bench tcp:localhost", "port is missing"),
        ("bench quux:x", "cannot measure \"quux:x\""),
        ("bench --size 0", "is no size"),
        ("bench --size 1q", "is no size"),
        ("bench --size 99999999999g", "is no size"),
        ("bench --size=", "is no size"),
        ("bench --pattern rtt,walk", "is none of rtt, throughput"),
        ("bench --wait never", "is none of spin, block, adaptive"),
        ("bench --touch some", "is none of all, header"),
        ("bench --subs 0", "--subs"),
        ("bench --repeat 0", "--repeat"),
        ("bench --time 0", "--time"),
        ("bench --need reliable", "--recommend"),
        ("bench --recommend --need speed", "is none of boundaries"),
        ("bench --json --noheadings", "cannot be used with"),
        ("bench --list --recommend", "cannot be used with"),
    ] {
        run(line).fails(2, part);
    }
}

#[test]
fn a_table_has_figures_and_no_colours_in_a_file() {
    let _test = test!();
    let table = run(TINY).well();
    assert!(table.contains("rtt: there and back") && table.contains("throughput: one to one"), "{table}");
    assert!(table.contains("TRANSPORT") && table.contains("P99.9") && table.contains("MSGS/S"), "{table}");
    assert_eq!(table.lines().filter(|line| line.starts_with("unix ")).count(), 2, "{table}");
    assert!(!table.contains('\x1b'));
    let bare = run(&format!("{TINY} --noheadings --pattern rtt")).well();
    assert!(bare.contains("there and back") && !bare.contains("TRANSPORT"), "{bare}");
}

#[test]
fn a_terminal_has_colours_and_as_many_columns_as_it_has() {
    let _test = test!();
    let mut command = twixt(TINY.split(' '));
    command.env("TERM", "xterm").env("LC_ALL", "C");
    let shown = printed_on_terminal(command);
    assert!(shown.contains("\x1b["), "{shown}");
    // A locale without other letters has none of them here.
    assert!(shown.is_ascii(), "{shown}");
    let mut narrow = twixt(TINY.split(' '));
    narrow.env("COLUMNS", "60").env("LC_ALL", "C");
    let shown = end(narrow).well();
    // What is said in words is as long as it is.
    let is_said = |line: &str| line.contains("not measured") || line.contains("too noisy");
    let tabled = shown.lines().filter(|line| !is_said(line));
    tabled.for_each(|line| assert!(line.len() <= 60, "{line}"));
}

#[test]
fn lines_are_for_programs() {
    let _test = test!();
    let rows = lines(run(&format!("{TINY} --json")));
    let (run, rest) = rows.split_first().unwrap();
    assert_eq!((&run["schema"], &run["kind"]), (&1.into(), &"run".into()));
    assert_eq!((&run["transports"], &run["sizes"]), (&serde_json::json!(["unix"]), &serde_json::json!([64])));
    assert!(run["machine"]["kernel"].is_string() && run["machine"]["cpus"].is_u64());
    let measured: Vec<&Value> = rest.iter().filter(|row| row["kind"] == "measurement").collect();
    for row in &measured {
        for field in [
            "schema",
            "transport",
            "pattern",
            "size",
            "wait",
            "subs",
            "repeat",
            "n",
            "p50_ns",
            "p99_ns",
            "p999_ns",
            "max_ns",
            "msgs_per_s",
            "bytes_per_s",
            "floor_ratio",
            "cpu_ns_per_msg",
            "status",
            "lost",
        ] {
            assert!(row.get(field).is_some(), "{field} is not in {row}");
        }
    }
    let unix = measured.iter().find(|row| row["transport"] == "unix" && row["pattern"] == "rtt").unwrap();
    assert_eq!((&unix["status"], &unix["size"]), (&"ok".into(), &64.into()));
    assert!(unix["p50_ns"].as_f64().unwrap() > 0.0 && unix["n"].as_u64().unwrap() > 0);
    let total: u64 =
        unix["histogram"].as_array().unwrap().iter().map(|bucket| bucket[1].as_u64().unwrap()).sum();
    assert_eq!(total, unix["n"].as_u64().unwrap());
}

#[test]
fn a_reader_that_goes_ends_it() {
    let _test = test!();
    let mut shell = Command::new("bash");
    // Long enough that it must end because nobody reads.
    let line = "set -o pipefail; \"$0\" bench unix --size 64 --time 5 --repeat 2000 --json | head -1";
    shell.args(["-c", line, env!("CARGO_BIN_EXE_twixt")]).stdin(Stdio::null());
    let line = end(shell).well();
    assert_eq!(serde_json::from_str::<Value>(&line).unwrap()["kind"], "run");
}

#[test]
fn what_was_measured_is_not_lost_when_it_is_stopped() {
    let _test = test!();
    let scratch = scratch();
    let page = scratch.path().join("page.html");
    let mut command = twixt(["bench", "unix", "--size", "64", "--time", "5", "--repeat", "60000", "--json"]);
    command.arg("--html").arg(&page).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("\"measurement\"") {
        line.clear();
        assert!(stdout.read_line(&mut line).unwrap() > 0, "it has ended");
    }
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    stdout.read_to_string(&mut String::new()).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let page = fs::read_to_string(page).unwrap();
    assert!(page.contains("<td>unix</td>") && page.contains("It was stopped before"), "{page}");
}

#[test]
fn a_stopped_table_has_what_there_is() {
    let _test = test!();
    // The first table comes soon, and the last one never.
    let sizes: Vec<String> = (64..2000).map(|size| size.to_string()).collect();
    let mut command = twixt(["bench", "unix", "--time", "5", "--repeat", "2", "--pattern", "rtt", "--size"]);
    command.arg(sizes.join(","));
    command.stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    // The first table is complete when it is printed; the second is not.
    let mut text = String::new();
    stdout.read_line(&mut text).unwrap();
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    stdout.read_to_string(&mut text).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(text.lines().any(|line| line.starts_with("unix ")), "{text}");
}

#[test]
fn a_page_is_written_whole_or_not_at_all() {
    let _test = test!();
    let scratch = scratch();
    let directory = scratch.path().display();
    let ended = run(&format!("{TINY} --pattern rtt --html {directory}/page.html"));
    assert!(ended.well().contains("there and back"));
    let page = fs::read_to_string(scratch.path().join("page.html")).unwrap();
    assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"));
    assert!(
        page.contains("<td>unix</td>") && page.contains("--html") && page.contains("data-series=\"unix\"")
    );
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 1, "nothing else is left there");
    for place in [format!("{directory}/nowhere/page.html"), directory.to_string(), "/dev/full".to_owned()] {
        run(&format!("{TINY} --html {place}")).fails(2, &format!("cannot write the page {place}"));
    }
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 1);
}

#[test]
fn a_full_disk_keeps_the_old_page() {
    let _test = test!();
    let scratch = scratch();
    let page = scratch.path().join("page.html");
    fs::write(&page, "old").unwrap();
    let mut shell = Command::new("bash");
    // A limit on files stands for the disk; the signal that goes with it is ignored.
    let line =
        "trap '' XFSZ; ulimit -f 1; exec \"$0\" bench unix --size 64 --time 5 --repeat 1 --html \"$1\"";
    shell.args(["-c", line, env!("CARGO_BIN_EXE_twixt")]).arg(&page).stdin(Stdio::null());
    let ended = end(shell);
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.stderr.contains("cannot write the page"), "{ended:?}");
    assert!(ended.stdout.contains("there and back"), "the tables are not lost: {ended:?}");
    assert_eq!(fs::read_to_string(&page).unwrap(), "old");
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 1);
}

#[test]
fn advice_names_a_winner_and_what_was_left_out() {
    let _test = test!();
    let tiny =
        "bench unix posix-mq --size 64 --time 5 --repeat 2 --pattern rtt --recommend --need fd-passing";
    let text = run(tiny).well();
    // On a noisy machine it says "Perhaps" rather than "Use", and why.
    for part in
        ["rtt, 64 B, with fd-passing", " unix (block): median", "posix-mq: lacks fd-passing", "twixt send"]
    {
        assert!(text.contains(part), "{part:?}: {text}");
    }
    let is_sure = text.contains("Use unix (block): median");
    let is_unsure = text.contains("Perhaps unix (block): median") && text.contains("too noisy to tell, in");
    assert!(is_sure != is_unsure, "{text}");
    let rows = lines(run(&format!("{tiny} --json")));
    let advice = rows.last().unwrap();
    assert_eq!((&advice["schema"], &advice["kind"]), (&1.into(), &"recommendation".into()));
    assert_eq!((&advice["winner"]["transport"], &advice["needs"][0]), (&"unix".into(), &"fd-passing".into()));
}

#[test]
fn progress_is_for_terminals_that_can_show_it() {
    let _test = test!();
    for (term, is_shown) in [("xterm", true), ("dumb", false)] {
        let (mut user, program) = tool::terminal();
        let mut command = twixt(TINY.split(' '));
        command.env("TERM", term).env("LC_ALL", "C").stderr(program).stdout(Stdio::piped());
        let child = command.spawn().unwrap();
        drop(command);
        let mut shown = Vec::new();
        // At the end a terminal gives EIO rather than nothing.
        let _ = user.read_to_end(&mut shown);
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        let stdout = String::from_utf8(output.stdout).unwrap();
        assert!(!stdout.contains('\x1b') && !stdout.contains('\r'), "{stdout}");
        assert_eq!(!shown.is_empty(), is_shown, "{term}: {}", String::from_utf8_lossy(&shown));
    }
}
