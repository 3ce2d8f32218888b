//! Figures beside what strace counts of the same parties.

use std::fs;
use std::path::Path;

use twixt_bench::{Pattern, Plan, Program, Record, Status, Waiting};
use twixt_testkit::{Missing, command, scratch};

use crate::transports::{CALLS, bare};
use crate::{Case, plan, run, well};

pub const TESTS: &[Case] = &[
    ("counts::system_calls_are_those_that_strace_counts", system_calls_are_those_that_strace_counts),
    ("counts::calls_that_were_added_are_counted", calls_that_were_added_are_counted),
    ("counts::whoever_is_traced_already_is_not_counted", whoever_is_traced_already_is_not_counted),
    ("counts::those_who_spin_are_not_counted", those_who_spin_are_not_counted),
    ("counts::the_bytes_at_the_receiver_are_those_of_the_messages", bytes_at_the_receiver),
];

/// This program under strace, which writes a file for each process.
fn under_strace(directory: &Path, calls: &str) -> Result<Program, Missing> {
    command("strace")?;
    let log = directory.join("log").into_os_string();
    let words = ["strace", "-f", "-ff", "-qq", "-e", calls, "-o"].map(Into::into);
    Ok(Program { before: words.into_iter().chain([log]).collect(), ..Program::this().unwrap() })
}

/// The lines of all logs.
fn lines(directory: &Path) -> Vec<String> {
    let logs = fs::read_dir(directory).unwrap().map(|log| fs::read_to_string(log.unwrap().path()).unwrap());
    logs.flat_map(|log| log.lines().map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// The one record of a run over one transport, and nothing else.
fn alone(plan: &Plan, program: &Program) -> Result<Record, Missing> {
    let report = run(plan, &bare(), program);
    let [record] = &report.records[..] else { panic!("one record: {report:?}") };
    match &record.status {
        Status::Failed(why) | Status::Unsupported(why) if why.contains("RLIMIT_") => {
            Err(Missing(why.clone()))
        }
        _ => Ok(well(record).clone()),
    }
}

/// What our tracer says; nothing where it may not trace.
fn counted(transport: &str, pattern: Pattern) -> Result<f64, Missing> {
    let plan = Plan { counts_calls: true, ..plan(&[transport], pattern, 64, 40) };
    let counted = alone(&plan, &Program::this().unwrap())?.syscalls_per_msg;
    counted.ok_or_else(|| Missing("permission to trace a process (ptrace)".into()))
}

/// What strace says, of two runs whose warm-up is as long.
fn traced(transport: &str, pattern: Pattern) -> Result<f64, Missing> {
    const COUNTS: [u64; 2] = [40, 160];
    let mut calls = [0, 0];
    for (count, calls) in COUNTS.into_iter().zip(&mut calls) {
        let directory = scratch();
        let program = under_strace(directory.path(), "trace=all")?;
        alone(&plan(&[transport], pattern, 64, count), &program)?;
        *calls = lines(directory.path()).iter().filter(|line| line.contains('(')).count();
    }
    Ok((calls[1] as f64 - calls[0] as f64) / (COUNTS[1] - COUNTS[0]) as f64)
}

/// A few calls of a process's life come and go.
const NEAR: f64 = 0.15;

fn system_calls_are_those_that_strace_counts() -> Result<(), Missing> {
    for (transport, pattern, expected) in [
        ("wire", Pattern::Rtt, 4.0),
        ("pipe", Pattern::Rtt, 4.0),
        ("wire", Pattern::Throughput, 2.0),
        ("unix", Pattern::Rtt, 4.0),
        ("unix-dgram", Pattern::Rtt, 4.0),
        ("unix-dgram", Pattern::Throughput, 2.0),
        ("posix-mq", Pattern::Rtt, 4.0),
    ] {
        // One that cannot be had here says so, and the others are counted nevertheless.
        let both = counted(transport, pattern).and_then(|own| Ok((own, traced(transport, pattern)?)));
        let (own, other) = match both {
            Ok(both) => both,
            Err(missing) if missing.0.contains("RLIMIT_") => {
                eprintln!("SKIP {transport}: {missing}");
                continue;
            }
            Err(missing) => return Err(missing),
        };
        let what = format!("{transport} {pattern}: {own}, and {other} as strace has it");
        assert!((own - other).abs() <= NEAR && (own - expected).abs() <= NEAR, "{what}");
    }
    Ok(())
}

fn calls_that_were_added_are_counted() -> Result<(), Missing> {
    let (plain, more) = (counted("wire", Pattern::Throughput)?, counted("calls", Pattern::Throughput)?);
    assert!((more - plain - CALLS as f64).abs() <= NEAR, "{plain} and {more}");
    Ok(())
}

fn whoever_is_traced_already_is_not_counted() -> Result<(), Missing> {
    let directory = scratch();
    let program = under_strace(directory.path(), "trace=read")?;
    let plan = Plan { counts_calls: true, ..plan(&["wire"], Pattern::Rtt, 64, 20) };
    assert_eq!(alone(&plan, &program)?.syscalls_per_msg, None);
    Ok(())
}

fn those_who_spin_are_not_counted() -> Result<(), Missing> {
    for waiting in [Waiting::Spin, Waiting::Adaptive] {
        let plan = Plan { counts_calls: true, waits: vec![waiting], ..plan(&["unix"], Pattern::Rtt, 64, 20) };
        let report = run(&plan, &bare(), &Program::this().unwrap());
        assert_eq!(report.records[0].syscalls_per_msg, None, "{report:?}");
    }
    Ok(())
}

fn bytes_at_the_receiver() -> Result<(), Missing> {
    const COUNT: u64 = 100;
    for size in [64, 5000] {
        for transport in ["wire", "pipe", "unix", "unix-dgram", "posix-mq"] {
            let directory = scratch();
            let calls = "trace=read,readv,recvfrom,recvmsg,recvmmsg,mq_timedreceive";
            let program = under_strace(directory.path(), calls)?;
            let record = match alone(&plan(&[transport], Pattern::Throughput, size, COUNT), &program) {
                Err(missing) => {
                    eprintln!("SKIP {transport}: {missing}");
                    continue;
                }
                Ok(record) => record,
            };
            // The warm-up's messages and the one that ends the run are received as well, and a process reads besides what
            // it is made of.
            let bytes: u64 = lines(directory.path()).iter().filter_map(|line| returned(line)).sum();
            let (least, messages) = (COUNT * size as u64, record.n);
            assert_eq!(messages, COUNT);
            assert!(bytes >= least, "{transport}: {bytes} were read of {least}");
        }
    }
    Ok(())
}

/// What a call has returned, unless it failed: `read(3, ""..., 64) = 64`.
fn returned(line: &str) -> Option<u64> {
    line.rsplit_once(" = ")?.1.split(' ').next()?.parse().ok()
}
