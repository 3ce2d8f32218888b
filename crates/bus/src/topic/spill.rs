//! What a subscriber keeps that would rather miss new messages than old ones.
//!
//! Everybody reads the same ring, so that a publisher cannot hold back new messages for one subscriber alone. Instead, when there
//! is no room but for what such a subscriber has not received, the publisher copies that into a file beside the subscriber's, and
//! goes on without it. The subscriber reads the copy to its end, removes it, and goes on with what comes next: what came in between
//! it has missed. A publisher makes one copy at a time for a subscriber.
//!
//! ```text
//! s3.p0    as a publisher's segment: header, control block, ring; the ring has what lay between the cursor of subscriber 3
//!          and the head of publisher 0, each line in its slot; `claim` and the checkpoint say that head
//! ```

use std::fs;
use std::path::PathBuf;

use twixt_os::{Errno, Result};

use crate::error::kernel;
use crate::ring::consumer::Consumer;
use crate::ring::{CONTROL, Geometry, Life, control, distance};
use crate::segment::{Making, Own, Peer, What, draw, header};
use crate::site::Site;
use crate::sync::Ordering;
use crate::words::Words;

use super::segment;

/// Where the copy for a subscriber stands.
fn path(site: &Site, subscriber: usize, publisher: usize) -> PathBuf {
    site.directory.join(format!("s{subscriber}.p{publisher}"))
}

/// Removes the copies for a subscriber that has gone.
pub(super) fn remove_all(site: &Site, subscriber: usize) {
    let prefix = format!("s{subscriber}.p");
    let Ok(entries) = fs::read_dir(&site.directory) else { return };
    for entry in entries.flatten() {
        if entry.file_name().as_encoded_bytes().starts_with(prefix.as_bytes()) {
            // Somebody may have been faster.
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Copies what lies between two positions of a ring.
///
/// # Errors
/// Those of making a file: then there is no copy, and the subscriber will have missed what is overwritten.
pub(super) fn copy(
    site: &Site,
    subscriber: usize,
    publisher: usize,
    memory: (&Words, &Words),
    from: u64,
    to: u64,
) -> Result<()> {
    let geometry = site.charter.geometry;
    let len = segment::bytes(geometry);
    let making = Making { reserved: len, ..site.making(What::Spill, len) };
    let temporary = site.directory.join(format!(".spill-{:016x}", draw()?));
    let own = Own::create(&temporary, making, |words| {
        words[header::LINES].store(geometry.lines(), Ordering::Relaxed);
    })?;
    let Some(own) = own else { return Err(site.removed("publish to")) };
    let outcome = fill(&own, geometry, memory, from, to).and_then(|()| {
        let named = path(site, subscriber, publisher);
        // Released by the name: whoever opens it sees what was copied.
        fs::rename(&temporary, &named).map_err(|error| {
            kernel("keep messages beside the", &named, Errno::from_io_error(&error).unwrap_or(Errno::IO))
        })
    });
    if outcome.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    outcome
}

fn fill(
    own: &Own,
    geometry: Geometry,
    (ring, control_block): (&Words, &Words),
    from: u64,
    to: u64,
) -> Result<()> {
    let (copied, words) =
        (own.words(segment::RING, geometry.words())?, own.words(segment::CONTROL_AT, CONTROL)?);
    let mut position = from;
    while position != to {
        let at = geometry.word(position);
        for index in at..at + crate::ring::LINE as usize {
            copied[index].store(ring[index].load(Ordering::Relaxed), Ordering::Relaxed);
        }
        position = position.wrapping_add(1);
    }
    // Where the next frame would begin there is none.
    copied[geometry.word(to)].store(0, Ordering::Relaxed);
    for (copied, word) in words.iter().zip(control_block.iter()) {
        copied.store(word.load(Ordering::Relaxed), Ordering::Relaxed);
    }
    words[control::TURN].store(0, Ordering::Relaxed);
    for at in [control::CHECKPOINT, control::CLAIM] {
        words[at].store(to, Ordering::Relaxed);
    }
    // What has become of the publisher stands in its own.
    words[control::STATE].store(Life::Active.word(), Ordering::Relaxed);
    Ok(())
}

/// A copy that is being read.
pub(super) struct Spilled {
    /// Behind its last message.
    pub(super) end: u64,
    path: PathBuf,
}

/// Opens the copy of what a subscriber has not received, if there is one, to go on at a position.
///
/// # Errors
/// Those of opening a file that is not what it should be.
pub(super) fn open(
    site: &Site,
    subscriber: usize,
    publisher: usize,
    position: u64,
) -> Result<Option<(Consumer, Spilled)>> {
    let path = path(site, subscriber, publisher);
    let geometry = site.charter.geometry;
    let len = segment::bytes(geometry);
    let Some(peer) = Peer::open_of(&path, What::Spill, site.number, len)? else { return Ok(None) };
    let (ring, words) =
        (peer.foreign(segment::RING, geometry.words())?, peer.foreign(segment::CONTROL_AT, CONTROL)?);
    let end = words.load(control::CLAIM);
    let reach = distance(position, end);
    if reach <= 0 || reach > geometry.lines().cast_signed() {
        return Ok(None);
    }
    Ok(Consumer::new(geometry, ring, words, position).map(|consumer| (consumer, Spilled { end, path })))
}

impl Spilled {
    /// It was read to its end.
    pub(super) fn done(self) {
        let _ = fs::remove_file(self.path);
    }
}
