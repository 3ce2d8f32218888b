//! The ledger under every interleaving and every order of memory that the language allows.

use loom::thread;

use crate::ring::consumer::Consumer as Follower;
use crate::ring::frame::Flags;
use crate::ring::producer::Producer as Ring;
use crate::ring::{CONTROL, FEWEST, Geometry};
use crate::sync::Ordering;
use crate::words::Words;

use super::ledger::Ledger;
use super::picker::{Held, Picker};
use super::room::Room;

struct Shared {
    geometry: Geometry,
    ring: Words,
    control: Words,
    tail: Words,
    ledger: Ledger,
}

impl Shared {
    fn new() -> Self {
        let geometry = Geometry::new(FEWEST).unwrap();
        Self {
            geometry,
            ring: Words::heap(geometry.words()),
            control: Words::heap(CONTROL),
            tail: Words::heap(1),
            ledger: Ledger::heap(geometry),
        }
    }

    fn producer(&self) -> (Ring, Room) {
        let ring = Ring::adopt(self.geometry, self.ring.clone(), self.control.clone()).unwrap();
        let (words, tail) = (self.ring.clone(), self.tail.clone());
        let room = Room::adopt(self.geometry, words, tail, self.ledger.clone(), &ring).unwrap();
        (ring, room)
    }

    fn picker(&self) -> Picker {
        let follower = Follower::new(self.geometry, self.ring.foreign(), self.control.foreign(), 0).unwrap();
        Picker::new(follower, self.control.foreign(), self.tail.foreign(), self.ledger.clone())
    }
}

fn try_send(ring: &Ring, number: u64) -> bool {
    let Some(slot) = ring.reserve(8, Flags::empty()) else { return false };
    ring.payload(slot)[0].store(number, Ordering::Relaxed);
    ring.publish(slot);
    true
}

fn pick(picker: &Picker, who: usize, most: usize) -> Vec<Held> {
    let mut taken = Vec::new();
    picker.pick(who, 0, most, |held| taken.push(held)).unwrap();
    taken
}

/// What a held message says, which must be what was sent.
fn read(picker: &Picker, held: &Held) -> u64 {
    let read = picker.reader.payload(held.frame).load(0);
    assert!(picker.reader.is_intact(held.frame.position));
    assert_eq!(held.frame.sequence, read);
    read
}

fn acknowledge(picker: &Picker, held: &Held) -> bool {
    picker.ledger.change(held.frame.position, held.claim, held.claim.done())
}

/// Two consumers and their producer: each message to one of them.
#[test]
fn each_message_has_one_taker() {
    loom::model(|| {
        let shared = Shared::new();
        let (ring, _room) = shared.producer();
        assert!(try_send(&ring, 0));
        let pickers = [shared.picker(), shared.picker()];
        let consumers: Vec<_> = pickers
            .into_iter()
            .enumerate()
            .map(|(who, picker)| {
                thread::spawn(move || {
                    pick(&picker, who, 1).iter().map(|held| read(&picker, held)).collect::<Vec<_>>()
                })
            })
            .collect();
        assert!(try_send(&ring, 1));
        let mut taken: Vec<_> = consumers.into_iter().flat_map(|it| it.join().unwrap()).collect();
        taken.extend(pick(&shared.picker(), 2, 2).iter().map(|held| held.frame.sequence));
        taken.sort_unstable();
        assert_eq!(taken, [0, 1]);
    });
}

/// A consumer that is slow and is taken for dead, a survivor that gives back what it has and takes it: one acknowledgement
/// counts.
#[test]
fn of_two_acknowledgements_one_counts() {
    loom::model(|| {
        let shared = Shared::new();
        let (ring, room) = shared.producer();
        assert!(try_send(&ring, 0));
        let slow = shared.picker();
        let held = pick(&slow, 0, 1)[0];
        let survivor = thread::spawn({
            let picker = shared.picker();
            move || {
                picker.relieve(u64::MAX, |claim| claim.owner() == 0);
                pick(&picker, 1, 1).iter().filter(|held| acknowledge(&picker, held)).count()
            }
        });
        let late = usize::from(acknowledge(&slow, &held));
        let early = survivor.join().unwrap();
        assert_eq!(late + early, 1);
        assert!(room.reclaim(&ring));
    });
}

/// The producer writes over a message only when whoever had it has read it, and what it writes there is found.
///
/// The consumer's steps come first here since loom, of the loads of a word, remembers the last one only: where two threads load
/// and then one stores, it does not know that the other's load could have come later. And no load of its sees a store that comes
/// later in another thread, so that it cannot miss the Release of an acknowledgement.
#[test]
fn room_is_used_again_when_all_was_read() {
    loom::model(|| {
        let shared = Shared::new();
        let (ring, room) = shared.producer();
        let mut sent = 0;
        while try_send(&ring, sent) {
            sent += 1;
        }
        let picker = shared.picker();
        let taken = pick(&picker, 0, 2);
        let producer = thread::spawn(move || {
            room.reclaim(&ring);
            // Over the end of the ring, if both were acknowledged.
            while try_send(&ring, sent) {
                sent += 1;
            }
            sent
        });
        for held in taken {
            read(&picker, &held);
            assert!(acknowledge(&picker, &held));
        }
        let sent = producer.join().unwrap();
        let rest: Vec<_> = pick(&picker, 1, 100).iter().map(|held| read(&picker, held)).collect();
        assert_eq!(rest, (2..sent).collect::<Vec<_>>());
    });
}

/// One that walks over a message while it is taken does not hide it when it is given back meanwhile.
#[test]
fn what_is_given_back_is_found() {
    loom::model(|| {
        let shared = Shared::new();
        let (ring, _room) = shared.producer();
        assert!(try_send(&ring, 0));
        assert!(try_send(&ring, 1));
        let owner = shared.picker();
        let held = pick(&owner, 0, 1)[0];
        let walker = thread::spawn({
            let picker = shared.picker();
            move || pick(&picker, 1, 2).len()
        });
        assert!(owner.ledger.give_back(held.frame.position, held.claim, held.claim.returned()));
        let walked = walker.join().unwrap();
        // Without anybody mending.
        assert_eq!(walked + pick(&shared.picker(), 2, 2).len(), 2);
    });
}

/// The sender of a queue without capacity withdraws a message while a consumer takes it.
#[test]
fn a_message_is_withdrawn_or_taken() {
    loom::model(|| {
        let shared = Shared::new();
        let (ring, room) = shared.producer();
        assert!(try_send(&ring, 0));
        let consumer = thread::spawn({
            let picker = shared.picker();
            move || pick(&picker, 0, 1).len()
        });
        let claim = room.ledger.claim(0);
        let is_withdrawn = claim.is_free(0) && room.ledger.change(0, claim, claim.done());
        assert_eq!(consumer.join().unwrap() + usize::from(is_withdrawn), 1);
    });
}
