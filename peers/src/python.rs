//! Python's multiprocessing, played by a script in Python: see `python/party.py`.

use std::io::ErrorKind;
use std::os::unix::process::CommandExt;
use std::process::Command;

use twixt::bench::{Entry, Failure, Need, Pattern, Result, Setup, Touch, Waiting};

pub(crate) const fn connection() -> Entry {
    Entry::foreign("python", connection_supports, play)
        .described("Python's multiprocessing.connection")
        .capable_of(&[
            Need::Boundaries,
            Need::Bytes,
            Need::Reliable,
            Need::AnyLength,
            Need::EmptyMessages,
            Need::BothWays,
            Need::ManySenders,
            Need::CrashSafe,
            Need::SeesEnd,
            Need::Pollable,
        ])
}

pub(crate) const fn shared_memory() -> Entry {
    Entry::foreign("python-shm", memory_supports, play)
        .described("a ring in Python's multiprocessing.shared_memory")
        .capable_of(&[Need::Bytes, Need::Persistence])
}

/// It goes with the program, wherever that is.
const SCRIPT: &str = include_str!("../python/party.py");

fn connection_supports(setup: &Setup) -> Result<()> {
    if setup.workload.size < 8 {
        return unsupported("the script's messages begin with a number of eight bytes");
    }
    Ok(())
}

fn memory_supports(setup: &Setup) -> Result<()> {
    connection_supports(setup)?;
    let workload = &setup.workload;
    if workload.waiting != Waiting::Spin {
        return unsupported("it has nothing to sleep on in shared memory between unrelated processes");
    }
    if workload.pattern == Pattern::Work {
        return unsupported("it has nothing that several could take messages from in shared memory");
    }
    if workload.touch == Touch::Header {
        return unsupported("Python copies whole messages");
    }
    Ok(())
}

fn unsupported(why: &str) -> Result<()> {
    Err(Failure::Unsupported(why.into()))
}

/// Becomes the script.
fn play(setup: &Setup) -> Result<()> {
    let setup = serde_json::to_string(setup).map_err(Failure::failed)?;
    let error = Command::new("python3").args(["-I", "-c", SCRIPT, &setup]).exec();
    Err(match error.kind() {
        ErrorKind::NotFound => Failure::Unsupported("python3 is not installed".into()),
        _ => error.into(),
    })
}
