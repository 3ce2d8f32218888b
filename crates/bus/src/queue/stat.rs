//! What a queue holds, and what was done with it, as anybody can see it.

use twixt_address::BusName;
use twixt_os::Result;

use crate::place::Kind;
use crate::segment::{Peer, What};
use crate::site::{Options, Site};

use super::consumer::source;
use super::{MOST_CONSUMERS, MOST_PRODUCERS, page, segment};

/// A queue's figures. Counts are of all who ever took part; a process that died may have done one thing more than it counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stat {
    /// Messages that nobody has in hand.
    pub waiting: u64,
    /// Messages that a consumer has in hand, or has taken in advance.
    pub in_hand: u64,
    /// Producers that live.
    pub producers: u64,
    /// Consumers that live.
    pub consumers: u64,
    /// Messages that were sent, those included that a sender of a queue of capacity zero has withdrawn.
    pub sent: u64,
    /// Their bytes.
    pub sent_bytes: u64,
    /// Messages that were handed out, each time.
    pub received: u64,
    /// Messages that were acknowledged.
    pub acknowledged: u64,
    /// Messages that were given back, each time: dropped, or taken from the dead and the slow.
    pub redelivered: u64,
    /// Messages that were put aside.
    pub dead: u64,
    /// How often producers slept, waiting for room.
    pub producer_parks: u64,
    /// How often consumers slept, waiting for messages.
    pub consumer_parks: u64,
}

/// Looks at a queue, without taking part. It looks at each message that waits.
///
/// # Errors
/// [`NotFound`](twixt_os::ErrorKind::NotFound), and what the kernel says of its files.
pub fn stat(name: &BusName, options: &Options) -> Result<Stat> {
    census(&Site::open(Kind::Queue, name, &options.clone().create(false))?)
}

pub(super) fn census(site: &Site) -> Result<Stat> {
    let mut stat = Stat::default();
    for index in site.list('p', MOST_PRODUCERS)? {
        // What makes no sense, or is not complete, has no messages.
        let Ok(Some(source)) = source(site, index) else { continue };
        let (waiting, in_hand) = source.picker.count();
        stat.waiting += waiting;
        stat.in_hand += in_hand;
        let Ok(Some(peer)) = Peer::open(&site.path('p', index), What::Publisher, Some(site.number)) else {
            continue;
        };
        let (messages, bytes) = source.picker.published();
        stat.sent = stat.sent.wrapping_add(messages);
        stat.sent_bytes = stat.sent_bytes.wrapping_add(bytes);
        let own = peer.foreign(segment::TAIL_AT, segment::TAIL_WORDS)?;
        stat.producer_parks = stat.producer_parks.wrapping_add(own.load(segment::PARKS));
        stat.producers += u64::from(peer.is_alive());
    }
    for index in site.list('c', MOST_CONSUMERS)? {
        let Ok(Some(peer)) = Peer::open(&site.path('c', index), What::Consumer, Some(site.number)) else {
            continue;
        };
        let words = peer.foreign(page::COUNTERS, page::COUNTED)?;
        for (sum, counter) in [
            (&mut stat.received, page::RECEIVED),
            (&mut stat.acknowledged, page::ACKNOWLEDGED),
            (&mut stat.redelivered, page::REDELIVERED),
            (&mut stat.dead, page::DEAD),
            (&mut stat.consumer_parks, page::PARKS),
        ] {
            *sum = sum.wrapping_add(words.load(counter));
        }
        stat.consumers += u64::from(peer.is_alive());
    }
    Ok(stat)
}
