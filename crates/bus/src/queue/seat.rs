//! The places of those who take part: their files, taken over from those who have gone, or made.

use rustix::fs::unlink;
use twixt_os::{ErrorKind, Limit, Result};

use crate::error::{malformed, refused};
use crate::ring::Geometry;
use crate::segment::{Making, Own, Peer, What, header, pinned, sweep_with};
use crate::site::Site;
use crate::sync::Ordering;

use super::ledger::{Ledger, file};
use super::{MOST_CONSUMERS, MOST_PRODUCERS, page, segment};

/// Takes a producer's place: one whose holder has gone, with what nobody has acknowledged, or a fresh one.
pub(super) fn producer(site: &Site) -> Result<(Own, usize)> {
    let making = site.making_ring(What::Publisher, segment::bytes(site.charter.geometry), 8 * segment::RING);
    take(site, 'p', making, MOST_PRODUCERS, "send to", "producers of a queue")
}

/// Takes a consumer's place: one whose holder has gone, whose messages are to be given back, or a fresh one.
pub(super) fn consumer(site: &Site) -> Result<(Own, usize)> {
    let making = site.making(What::Consumer, page::BYTES);
    take(site, 'c', making, MOST_CONSUMERS, "receive from", "consumers of a queue")
}

fn take(
    site: &Site,
    prefix: char,
    making: Making,
    most: usize,
    operation: &'static str,
    of: &'static str,
) -> Result<(Own, usize)> {
    for index in 0..most {
        let path = site.path(prefix, index);
        // Whoever made it may have gone between the two.
        for _ in 0..4 {
            match Own::adopt(&path, making.what, site.number) {
                Ok(Some(own)) if own.mapping().len() == making.len => return Ok((own, index)),
                Ok(_) => {}
                // What makes no sense and belongs to nobody is in the way, and goes.
                Err(error) if error.kind() == ErrorKind::Malformed => {
                    let ledger = (prefix == 'p').then(|| site.path('l', index));
                    if !sweep_with(&path, ledger.as_deref()) {
                        break;
                    }
                }
                Err(error) => return Err(error),
            }
            if path.exists() {
                break;
            }
            let lines = site.charter.geometry.lines();
            let made =
                Own::create(&path, making, |words| words[header::LINES].store(lines, Ordering::Relaxed))?;
            if let Some(own) = made {
                return Ok((own, index));
            }
        }
        if !site.has_name() {
            return Err(site.removed(operation));
        }
    }
    let why = format!("all its {most} places are taken");
    Err(refused(operation, &site.object, ErrorKind::LimitReached, why).with_limit(Limit {
        name: of,
        current: Some(most as u64),
        needed: None,
    }))
}

/// Removes a producer's place that is of no use, with its ledger: consumers that have the old ring still would take from the new
/// one what they see in theirs.
pub(super) fn clear(site: &Site, own: &Own, index: usize) {
    // First the ledger: once the place is free, it may be a successor's.
    let _ = unlink(site.path('l', index));
    own.remove();
}

/// The ledger of a producer's place, made if there is none, or none that makes sense. For whoever holds that place.
pub(super) fn ledger_of(site: &Site, index: usize) -> Result<Ledger> {
    let path = site.path('l', index);
    for _ in 0..4 {
        match ledger(site, index) {
            Ok(Some(ledger)) => return Ok(ledger),
            Ok(None) => {}
            Err(error) if error.kind() == ErrorKind::Malformed => {
                let _ = unlink(&path);
            }
            Err(error) => return Err(error),
        }
        let len = file::bytes(site.charter.geometry);
        let making = Making { mode: site.charter.mode, ..site.making(What::Ledger, len) };
        Own::create(&path, making, |_| ())?;
    }
    Err(malformed("send to", &site.object, "others spoil its ledgers all the time"))
}

/// The ledger beside a producer's ring, if it is there.
pub(super) fn ledger(site: &Site, index: usize) -> Result<Option<Ledger>> {
    let Some(peer) = Peer::open_shared(&site.path('l', index), What::Ledger, Some(site.number))? else {
        return Ok(None);
    };
    let geometry: Geometry = site.charter.geometry;
    let wrong = || malformed("open", &site.object, "a ledger is too short for its ring");
    if peer.mapping().len() != file::bytes(geometry) {
        return Err(wrong());
    }
    let hints = peer.words(file::HINTS_AT, file::HINTS)?;
    let claims = peer.words(file::CLAIMS_AT, geometry.lines() as usize)?;
    Ledger::new(geometry, hints, claims).ok_or_else(wrong).map(Some)
}

/// Whether this process may run on one CPU only, and a consumer on the same.
pub(super) fn is_pinned_with_a_consumer(site: &Site) -> bool {
    let own = pinned();
    own != 0
        && site.list('c', MOST_CONSUMERS).is_ok_and(|consumers| {
            consumers.into_iter().any(|index| {
                let page = Peer::open(&site.path('c', index), What::Consumer, Some(site.number));
                page.is_ok_and(|page| page.is_some_and(|page| page.header(header::PINNED) == own))
            })
        })
}

/// Wakes one of those that wait for messages, and whoever waits for a doorbell.
#[cold]
pub(super) fn ring_filled(site: &Site) {
    site.hints.set_rung();
    if site.hints.filled.ring_one().doorbells {
        site.ring_doorbells('c');
    }
}

/// Wakes all that wait for room, and whoever waits for a doorbell.
#[cold]
pub(super) fn ring_room(site: &Site) {
    site.hints.set_rung();
    if site.hints.room.ring().doorbells {
        site.ring_doorbells('p');
    }
}
