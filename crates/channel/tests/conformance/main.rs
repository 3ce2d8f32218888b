//! The one conformance suite: every case on every backend.
//!
//! What is expected of a backend follows from what it claims ([`Capabilities`](twixt_channel::Capabilities)) and from
//! nothing else. A new mechanism is a line in `backends.rs`, a new expectation a function in `cases/` and a line in
//! `cases.rs`.
//!
//! Each case is told by a *stage*, which directs *parties*: processes of their own that open one end each and do what
//! they are ordered to (threads of one process, for channels that do not leave a process).

mod backends;
mod body;
mod cases;
mod ledger;
mod party;
mod protocol;
mod stage;

use std::process::{Command, ExitCode};
use std::sync::{Mutex, PoisonError};

use libtest_mimic::{Arguments, Completion, Trial};
use twixt_testkit::Test;

use crate::backends::{BACKENDS, Backend};
use crate::cases::{CASES, Case};
use crate::stage::Stage;

fn main() -> ExitCode {
    if let Some(name) = std::env::args().nth(1).filter(|name| name.contains("::")) {
        // In a child process this does not return.
        Test::named(&name).role(party::ROLE, party::play);
    }
    if std::env::var_os("TWIXT_BUS").is_none() {
        return on_a_bus_of_its_own();
    }
    let trials = BACKENDS.iter().flat_map(|backend| CASES.iter().map(move |case| trial(backend, case)));
    let mut arguments = Arguments::from_args();
    // Most of a case's time is waited.
    arguments.test_threads.get_or_insert(8);
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

/// Runs the suite once more, with a bus that nobody else uses and that goes with it.
fn on_a_bus_of_its_own() -> ExitCode {
    let bus = twixt_testkit::bus();
    let this = std::env::current_exe().expect("this very program");
    let status = Command::new(this).args(std::env::args_os().skip(1)).env("TWIXT_BUS", bus.path()).status();
    let code = status.expect("the suite runs").code();
    ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

/// Held by the one heavy case that runs.
static HEAVY: Mutex<()> = Mutex::new(());

fn trial(backend: &'static Backend, case: &'static Case) -> Trial {
    let name = format!("{}::{}", backend.name, case.name);
    Trial::ignorable_test(name.clone(), move || {
        let _alone = case.is_heavy.then(|| HEAVY.lock().unwrap_or_else(PoisonError::into_inner));
        let stage = Stage::new(Test::named(&name), backend);
        Ok(match (case.play)(&stage) {
            Ok(()) => Completion::Completed,
            Err(not_claimed) => Completion::ignored_with(not_claimed.0),
        })
    })
}
