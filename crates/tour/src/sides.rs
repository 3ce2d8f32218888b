//! Two terminals, or a terminal and somebody's program: one side played here, the other elsewhere.

use std::path::PathBuf;
use std::time::Duration;

use twixt_os::Deadline;
use twixt_os::lock;

use crate::claim::Claim;
use crate::demonstration::{Demonstration, Side};
use crate::failure::Failure;
use crate::names::Names;
use crate::row::Row;
use crate::run::Run;
use crate::tour::{Settings, row};

/// How long a terminal waits for the other.
const A_DAY: Duration = Duration::from_secs(24 * 3600);

/// Plays one side of a demonstration, in a process of its own, with a peer that somebody else starts.
///
/// The server makes the objects, and they are removed when it ends, however that happens; the client only visits.
///
/// # Errors
/// What went wrong: [`Failure::Absent`] if there is no server yet, [`Failure::Gone`] if the other side ended in the
/// middle of it, [`Failure::Stopped`] if the user stopped it, [`Failure::Missing`] if the demonstration has no name by
/// which two terminals could meet.
pub fn play_side(
    settings: &Settings<'_>,
    demonstration: &'static Demonstration,
    side: Side,
    names: &Names,
) -> Result<Row, Failure> {
    let name = demonstration.name;
    if !demonstration.has_sides() {
        let why = format!(
            "{name} has no name by which two terminals could meet; `twixt tour {name}` plays both sides"
        );
        return Err(Failure::Missing(why));
    }
    let claim_of = |side: Side| names.path(&format!("{name}.{}", side.as_str()));
    let claim = Claim::take(&claim_of(side))?.ok_or_else(|| {
        Failure::wrong(format_args!(
            "cannot play the {} of {name}: another one of it is running",
            side.as_str()
        ))
    })?;
    let peer = Peer::new(side.other(), claim_of(side.other()));
    let outcome = if side == Side::Client && peer.was_killed() {
        // A program of the user's may serve in its place; nobody but the user knows.
        let claim = claim_of(Side::Server);
        let why = format!(
            "the last server of {name} was killed (a program of yours that serves? remove {})",
            claim.display()
        );
        Err(Failure::Absent(why))
    } else {
        if side == Side::Server && claim.inherited {
            demonstration.remove(names);
        }
        let outcome = converse(settings, demonstration, side, names, peer);
        if side == Side::Server {
            demonstration.remove(names);
        }
        outcome
    };
    claim.release();
    match outcome {
        Err(Failure::Absent(what)) if side == Side::Client => {
            // In place of the advice that a program would get.
            let what = what.split("; ").next().unwrap_or_default();
            Err(Failure::Absent(format!("{what}; start the server first")))
        }
        outcome => outcome,
    }
}

fn converse(
    settings: &Settings<'_>,
    demonstration: &'static Demonstration,
    side: Side,
    names: &Names,
    peer: Peer,
) -> Result<Row, Failure> {
    let mut run = Run::new(demonstration, settings, names.clone(), A_DAY, Some(peer));
    let argument = demonstration.address(names).unwrap_or_default();
    run.start_with(side.as_str(), &[argument], None)?;
    run.finish()?;
    let measured = run.measured().or(Some((run.count("pings"), 0)));
    Ok(row(demonstration, Ok(()), measured))
}

/// The other side, if it is one of ours: its conductor holds a claim, and the kernel tells whether it still does. Many
/// mechanisms would never tell.
#[derive(Debug)]
pub(crate) struct Peer {
    side: Side,
    claim: PathBuf,
    /// When to look again.
    next: Deadline,
    seen: bool,
    /// Once its claim is free: until when this side may still come to an end by itself.
    grace: Option<Deadline>,
}

/// How often to look.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(200);

/// A side that has ended well has said so, and what it said may be under way.
const GRACE: Duration = Duration::from_secs(1);

impl Peer {
    fn new(side: Side, claim: PathBuf) -> Self {
        Self { side, claim, next: Deadline::now(), seen: false, grace: None }
    }

    fn is_there(&self) -> bool {
        lock::holders(&self.claim).is_ok_and(|found| !found.holders.is_empty())
    }

    /// Whether the other side left its claim behind without giving it back.
    fn was_killed(&self) -> bool {
        self.claim.exists() && !self.is_there()
    }

    /// Looks after the other side, if it is time to. Gives its name when it is seen for the first time.
    ///
    /// # Errors
    /// [`Failure::Gone`] if it was there, is no longer, and this side has not come to an end either.
    pub(crate) fn look(&mut self) -> Result<Option<&'static str>, Failure> {
        if !self.next.has_passed() {
            return Ok(None);
        }
        self.next = Deadline::after(LOOK_EVERY);
        if self.is_there() {
            let is_new = !self.seen;
            (self.seen, self.grace) = (true, None);
            return Ok(is_new.then_some(self.side.as_str()));
        } else if self.seen {
            let grace = *self.grace.get_or_insert_with(|| Deadline::after(GRACE));
            if grace.has_passed() {
                return Err(Failure::Gone(format!("the {} has gone", self.side.as_str())));
            }
        }
        Ok(None)
    }
}
