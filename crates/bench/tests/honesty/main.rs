//! That figures can be trusted: against independent counts, with transports that are slower by what is known, and with
//! transports that lie, stop and die.
//!
//! This program is its own harness, since it is also what plays the parties, with the transports of `transports`.

mod counts;
mod lies;
mod slowness;
mod transports;

use std::process::ExitCode;
use std::time::Duration;

use libtest_mimic::{Arguments, Trial};
use twixt_bench::{Pattern, Plan, Program, Record, Registry, Report, Status, Touch, Waiting, measure, party};
use twixt_testkit::{Missing, Test};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some(party::PLAY) {
        return party::play(&transports::registry(), &arguments.next().unwrap_or_default());
    }
    let tests = [counts::TESTS, lies::TESTS, slowness::TESTS].concat();
    let ignored = slowness::IGNORED.iter().map(|&test| trial(test).with_ignored_flag(true));
    let trials = tests.into_iter().map(trial).chain(ignored).collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// A test by its name; it may say what is missing.
type Case = (&'static str, fn() -> Result<(), Missing>);

fn trial((name, test): Case) -> Trial {
    Trial::test(name, move || {
        let watched = Test::named(name);
        test().unwrap_or_else(|missing| watched.skip(&missing));
        Ok(())
    })
}

/// So many messages over these, once, without system calls being counted.
fn plan(transports: &[&str], pattern: Pattern, size: usize, count: u64) -> Plan {
    Plan {
        transports: transports.iter().map(|&name| name.to_owned()).collect(),
        patterns: vec![pattern],
        sizes: vec![size],
        waits: vec![Waiting::Block],
        touch: Touch::All,
        publishers: 1,
        subscribers: 1,
        repeats: 1,
        pins: false,
        time: Duration::from_millis(1),
        capacity: None,
        count: Some(count),
        counts_calls: false,
        patience: Duration::from_secs(60),
    }
}

struct Silent;

impl twixt_bench::Observer for Silent {}

fn run(plan: &Plan, registry: &Registry, program: &Program) -> Report {
    measure(plan, registry, program, &Silent).expect("a plan of known transports")
}

/// Runs it with this test's own transports.
fn records(plan: &Plan) -> Vec<Record> {
    run(plan, &transports::registry(), &Program::this().unwrap()).records
}

fn well(record: &Record) -> &Record {
    assert_eq!(record.status, Status::Ok, "{record:?}");
    record
}

fn of<'a>(records: &'a [Record], transport: &str) -> &'a Record {
    records.iter().find(|record| record.transport == transport).expect("a record of each transport")
}
