//! `twixt rm`.

use std::io;

use twixt::address::{Address, Endpoint};
use twixt::channel::companions;
use twixt::object::{self, Found, User, Users};
use twixt::os::ErrorKind;

use crate::args::Rm;
use crate::confirm::confirm;
use crate::exit::Exit;
use crate::output;

/// Removes the objects, if all are there and may be removed.
pub fn run(arguments: &Rm) -> anyhow::Result<Exit> {
    let found = match find(&arguments.addresses)? {
        Ok(found) => found,
        Err(exit) => return Ok(exit),
    };
    let mut chosen = Vec::new();
    let mut exit = Exit::Success;
    let mut unreadable = 0;
    for one in found {
        match one.users() {
            Ok(users) => {
                tell(&one, &users, arguments.yes)?;
                if !arguments.yes && users.unreadable > unreadable {
                    unreadable = users.unreadable;
                    let processes = if unreadable == 1 { "process" } else { "processes" };
                    output::note(&format!(
                        "{unreadable} {processes} may not be looked at, and may use it too"
                    ))?;
                }
            }
            // Whoever has decided may know; whoever is asked should.
            Err(error) => output::note(&format!("cannot tell who uses {}: {error}", one.address()))?,
        }
        if arguments.yes || confirm(&format!("Remove {}?", one.address()))? {
            chosen.push(one);
        } else {
            exit = Exit::Nothing;
        }
    }
    for one in chosen {
        if let Err(error) = one.remove() {
            exit = complain(error)?;
        }
    }
    Ok(exit)
}

/// The objects, each once; or, when one cannot be removed, how the program ends. All reasons are told.
fn find(addresses: &[Address]) -> anyhow::Result<Result<Vec<Found>, Exit>> {
    let mut found: Vec<Found> = Vec::new();
    let mut refused = None;
    for address in &with_companions(addresses)? {
        match find_removable(address)? {
            Ok(one) if found.contains(&one) => {}
            Ok(one) => found.push(one),
            Err(error) => {
                let exit = complain(error)?;
                // That one is missing is the lesser fault.
                refused = if refused == Some(Exit::Refused) { refused } else { Some(exit) };
            }
        }
    }
    if refused.is_some() && addresses.len() > 1 {
        output::note("nothing was removed")?;
    }
    Ok(refused.map_or(Ok(found), Err))
}

/// The addresses, each with what goes with it: a ring in System V memory has semaphores.
fn with_companions(addresses: &[Address]) -> anyhow::Result<Vec<Address>> {
    let mut all = Vec::with_capacity(addresses.len());
    for address in addresses {
        all.push(address.clone());
        match companions(address) {
            Ok(companions) => all.extend(companions),
            // Whoever may remove it need not be able to read it.
            Err(error) => output::note(&format!("cannot tell what goes with {address}: {error}"))?,
        }
    }
    Ok(all)
}

/// The object, if it may be removed. Of one that is in use it is told by whom.
fn find_removable(address: &Address) -> io::Result<object::Result<Found>> {
    let found = match object::find(address) {
        Ok(found) => found,
        Err(error) => return Ok(Err(error)),
    };
    let Err(error) = found.check_removable() else { return Ok(Ok(found)) };
    if let (ErrorKind::Busy, Ok(users)) = (error.kind(), found.users()) {
        tell(&found, &users, false)?;
    }
    Ok(Err(error))
}

fn complain(error: object::Error) -> io::Result<Exit> {
    let error = anyhow::Error::new(error);
    output::complain(&error)?;
    Ok(Exit::of(&error))
}

/// Tells who uses an object; nothing if nobody does. Those who have ended are of interest to whoever decides only.
fn tell(found: &Found, users: &Users, decided: bool) -> io::Result<()> {
    let address = found.address();
    let has_ended = |user: &User| user.pid.is_some() && user.command.is_none();
    let users_now: Vec<&User> = users.users.iter().filter(|user| !decided || !has_ended(user)).collect();
    if !users_now.is_empty() {
        output::note(&format!("{address} is used by"))?;
    }
    for user in users_now {
        output::note(&format!("  {user}"))?;
    }
    if let Some(count @ 1..) = users.counted {
        let times = if count == 1 { "once".to_owned() } else { format!("{count} times") };
        match address.endpoint() {
            Endpoint::SysvShm(_) => {
                output::note(&format!(
                    "{address} is attached {times}, and goes when nobody has it attached"
                ))?;
            }
            _ => output::note(&format!("{address} is waited for {times}"))?,
        }
    }
    match &users.hidden {
        Some(error) if !decided => output::note(&format!("{address} does not tell all: {error}")),
        _ => Ok(()),
    }
}
