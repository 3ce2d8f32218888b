//! `twixt mk`.

use std::io;

use anyhow::anyhow;
use serde::Serialize;
use twixt::address::{Address, Options, ValueError};
use twixt::object::{Made, Plan};

use crate::args::Mk;
use crate::exit::Exit;
use crate::output;

/// Makes all of the objects, or none.
pub fn run(arguments: &Mk) -> anyhow::Result<Exit> {
    let plans = arguments.addresses.iter().map(|address| plan(address, arguments));
    let plans = plans.collect::<anyhow::Result<Vec<Plan>>>()?;
    // A mode that is asked for is the mode that is given, as with mkfifo -m; the default has nothing to take away.
    rustix::process::umask(rustix::fs::Mode::empty());
    let mut made = Vec::new();
    for plan in &plans {
        match plan.make() {
            Ok(one) => made.push(one),
            Err(error) => {
                // Whatever is missing, it is not what was asked for.
                output::complain(&undo(made, error.into()))?;
                return Ok(Exit::Refused);
            }
        }
    }
    match print(&made, arguments.json) {
        Ok(()) => Ok(Exit::Success),
        // Whoever closes the pipe knows enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(error.into()),
        // Without its number nobody would find a private object again.
        Err(error) => Err(undo(made, anyhow::Error::new(error).context("cannot print what was made"))),
    }
}

fn plan(address: &Address, arguments: &Mk) -> anyhow::Result<Plan> {
    let endpoint = address.endpoint();
    let options = merge(address.options().clone(), arguments);
    let options = options.map_err(|error| anyhow!("cannot make {endpoint}: {error}"))?;
    Ok(Plan::with_options(endpoint.clone(), options)?)
}

/// The options of the address, and from the command line those that it does not have.
fn merge(mut options: Options, arguments: &Mk) -> Result<Options, ValueError> {
    if let (None, Some(mode)) = (options.mode(), arguments.mode) {
        options = options.with_mode(mode.bits())?;
    }
    if let (None, Some(size)) = (options.size(), arguments.size) {
        options = options.with_size(size)?;
    }
    if let (None, Some(count)) = (options.count(), arguments.count) {
        options = options.with_count(count)?;
    }
    if let (None, Some(value)) = (options.value(), arguments.value) {
        options = options.with_value(value.into());
    }
    if let (None, Some(capacity)) = (options.capacity(), arguments.capacity) {
        options = options.with_capacity(capacity)?;
    }
    if let (None, Some(size)) = (options.message_size(), arguments.message_size) {
        options = options.with_message_size(size)?;
    }
    Ok(options)
}

/// Removes again what was made before the error came, the last first.
fn undo(made: Vec<Made>, error: anyhow::Error) -> anyhow::Error {
    let mut left = Vec::new();
    for one in made.into_iter().rev() {
        let address = one.address().to_string();
        if let Err(error) = one.undo() {
            left.push(format!("{address} was made and stays: {error}"));
        }
    }
    if left.is_empty() { error } else { error.context(left.join("; ")) }
}

/// An object that was made; the fields are stable.
#[derive(Serialize)]
struct Line {
    schema: u32,
    address: String,
    mechanism: &'static str,
    /// Of System V objects.
    id: Option<i32>,
    /// Of System V objects that have one, as `ipcs` prints it.
    key: Option<String>,
}

fn print(made: &[Made], json: bool) -> io::Result<()> {
    for one in made {
        let id = one.id().map(|id| id.get());
        let key = one.key().map(|key| key.to_string());
        let address = one.address().to_string();
        if json {
            let mechanism = one.address().endpoint().scheme();
            output::json(&Line { schema: 1, address, mechanism, id, key })?;
        } else {
            // What has no key is found by its number, which the address has already.
            match id.filter(|_| key.is_some()) {
                Some(id) => output::line(&format!("{address} id={id}"))?,
                None => output::line(&address)?,
            }
        }
    }
    Ok(())
}
