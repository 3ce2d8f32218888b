//! The words by which a subscriber tells a publisher how far it is, and, with a capacity of zero, that it waits.

use crate::sync::Ordering;
use crate::words::{Foreign, Words};

use super::page;

/// Says that everything before a position was received; if it `invites`, also that it waits for the message there.
pub(super) fn say(cursors: &Words, publisher: usize, position: u64, invites: bool) {
    let Some(cursor) = cursors.get(page::STEP * publisher) else { return };
    // Release: pairs with the Acquire in `Followers::least`; all reads of what is before it are over.
    cursor.store(page::cursor(position), Ordering::Release);
    if invites && let Some(invitation) = cursors.get(page::STEP * publisher + page::INVITATION) {
        // Release: pairs with the Acquire in `is_invited`.
        invitation.store(page::cursor(position), Ordering::Release);
    }
}

/// Says that it does not listen to a publisher: it is not to be waited for.
pub(super) fn ignore(cursors: &Words, publisher: usize) {
    if let Some(cursor) = cursors.get(page::STEP * publisher) {
        // Release: pairs with the Acquire in `Follower::position`; nothing is read of it any more.
        cursor.store(page::IGNORED, Ordering::Release);
    }
    revoke(cursors, publisher);
}

/// Says that it listens to a publisher, and not yet from where on.
pub(super) fn listen(cursors: &Words, publisher: usize) {
    if let Some(cursor) = cursors.get(page::STEP * publisher) {
        // Relaxed: what says that somebody has come is changed with Release.
        cursor.store(0, Ordering::Relaxed);
    }
}

/// Says that it does not wait any more. A publisher that has seen the invitation meanwhile has published: the next receive
/// finds that.
pub(super) fn revoke(cursors: &Words, publisher: usize) {
    if let Some(invitation) = cursors.get(page::STEP * publisher + page::INVITATION) {
        invitation.store(0, Ordering::Release);
    }
}

/// Whether the subscriber with that cursor waits for the message at a position.
pub(super) fn is_invited(cursor: &Foreign, position: u64) -> bool {
    // Acquire: pairs with the Release of who waits.
    cursor.acquire(page::INVITATION) == page::cursor(position)
}

#[cfg(all(test, twixt_loom))]
mod models {
    use loom::thread;

    use super::*;
    use crate::barrier::{self, Light};
    use crate::bell::Bell;
    use crate::futex::Futex;
    use crate::ring::consumer::{Consumer, Look};
    use crate::ring::frame::Flags;
    use crate::ring::producer::Producer;
    use crate::ring::{CONTROL, FEWEST, Geometry};

    fn until(bell: &Bell, mut is_so: impl FnMut() -> bool) {
        while !is_so() {
            let announced = bell.announce();
            barrier::heavy();
            if is_so() {
                return;
            }
            bell.sleep(announced, u64::MAX).unwrap();
        }
    }

    fn ring(bell: &Bell) {
        Light::register().fence(|| true);
        if bell.is_awaited() {
            bell.ring();
        }
    }

    /// One waits for an invitation, publishes, and waits until the message was received; the other invites and receives, once
    /// it has given up before, as `gives_up` says. A wake that is lost is a deadlock here.
    fn meet(gives_up: bool) {
        loom::model(move || {
            let (room, filled) = (Bell::new(Futex::heap()), Bell::new(Futex::heap()));
            let geometry = Geometry::new(FEWEST).unwrap();
            let (memory, control) = (Words::heap(geometry.words()), Words::heap(CONTROL));
            let cursors = Words::heap(page::STEP);
            let cursor = cursors.foreign();
            let mut consumer = Consumer::new(geometry, memory.foreign(), control.foreign(), 0).unwrap();
            let producer = Producer::adopt(geometry, memory, control).unwrap();
            let publisher = thread::spawn({
                let (room, filled) = (room.clone(), filled.clone());
                move || {
                    producer.allow(0);
                    until(&room, || is_invited(&cursor, 0));
                    let slot = producer.reserve(8, Flags::empty()).unwrap();
                    producer.payload(slot)[0].store(7, Ordering::Relaxed);
                    producer.publish(slot);
                    ring(&filled);
                    let head = producer.head();
                    until(&room, || page::position(cursor.acquire(0), head) == Some(head));
                }
            });
            if gives_up {
                say(&cursors, 0, 0, true);
                ring(&room);
                revoke(&cursors, 0);
            }
            say(&cursors, 0, 0, true);
            ring(&room);
            let mut found = None;
            until(&filled, || {
                if let Look::Message(frame) = consumer.look() {
                    found = Some(frame);
                }
                found.is_some()
            });
            revoke(&cursors, 0);
            let frame = found.unwrap();
            assert_eq!(consumer.payload(frame).load(0), 7);
            consumer.advance(frame);
            say(&cursors, 0, consumer.position(), false);
            ring(&room);
            publisher.join().unwrap();
            assert!(matches!(consumer.look(), Look::Empty));
        });
    }

    /// A publisher whose only guest goes, so that it gives up, while somebody joins, looks what there is, and leaves. What was
    /// given up, that one has not received.
    #[test]
    fn what_was_given_up_nobody_has() {
        loom::model(|| {
            let roster = Words::heap(1);
            let geometry = Geometry::new(FEWEST).unwrap();
            let (memory, control) = (Words::heap(geometry.words()), Words::heap(CONTROL));
            let mut consumer = Consumer::new(geometry, memory.foreign(), control.foreign(), 0).unwrap();
            let producer = Producer::adopt(geometry, memory, control).unwrap();
            let publisher = thread::spawn({
                let roster = roster.clone();
                move || {
                    producer.allow(0);
                    let slot = producer.reserve(8, Flags::empty()).unwrap();
                    producer.lend(slot);
                    producer.offer();
                    let has_come = roster[0].load(Ordering::Acquire) != 0;
                    producer.publish_lent(slot, if has_come { Flags::SKIP } else { Flags::empty() });
                }
            });
            roster[0].fetch_add(1, Ordering::Release);
            barrier::heavy();
            consumer.at_met();
            assert!(!matches!(consumer.look(), Look::Message(_)));
            publisher.join().unwrap();
            assert!(!matches!(consumer.look(), Look::Message(_)));
        });
    }

    #[test]
    fn whoever_waits_for_a_meeting_has_it() {
        meet(false);
    }

    #[test]
    fn whoever_gives_up_and_waits_again_has_it() {
        meet(true);
    }
}
