//! The smallest program that holds a tour: `cargo run -p twixt-tour --example tour -- [NAME...]`.

use std::ops::ControlFlow;
use std::process::ExitCode;

use twixt_tour::{Demonstration, Ended, Observer, PLAY, Program, Row, Settings};

struct Print;

impl Observer for Print {
    fn begins(&mut self, _demonstration: &'static Demonstration) {}

    fn ended(&mut self, row: Row) -> ControlFlow<()> {
        let median = row.p50_ns.unwrap_or(0);
        println!(
            "{} {:?} {} rounds, {median} ns {}",
            row.mechanism,
            row.status,
            row.rounds,
            row.reason.unwrap_or_default()
        );
        ControlFlow::Continue(())
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // Each party is this program again.
    if let [play, cue] = arguments.as_slice()
        && play == PLAY
    {
        return twixt_tour::play(cue);
    }
    let wanted = |one: &&&'static Demonstration| {
        arguments.is_empty() || arguments.iter().any(|name| name == one.name())
    };
    let selection: Vec<_> = twixt_tour::demonstrations().iter().filter(wanted).copied().collect();
    let path = std::env::current_exe().unwrap_or_default();
    let program = Program { path, arguments: vec![PLAY.into()] };
    let settings = Settings { program, rounds: 1000, dialogue: None, stop: None };
    match twixt_tour::tour(&settings, &selection, &mut Print) {
        Ended::Well => ExitCode::SUCCESS,
        Ended::WithFailures | Ended::Stopped => ExitCode::FAILURE,
    }
}
