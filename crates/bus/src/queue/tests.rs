//! Rings and ledgers within a process, against a model, with participants that die between any two steps.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use twixt_os::{ErrorKind, Maker, Wait};

use crate::ring::consumer::Consumer as Follower;
use crate::ring::frame::Flags;
use crate::ring::producer::Producer as Ring;
use crate::ring::{CONTROL, Geometry, control};
use crate::sync::Ordering;
use crate::words::{Words, copy_in};

use super::claim::{Claim, State};
use super::ledger::Ledger;
use super::picker::{Held, Picker};
use super::room::Room;

/// What several processes would share.
struct Shared {
    geometry: Geometry,
    ring: Words,
    control: Words,
    tail: Words,
    ledger: Ledger,
}

impl Shared {
    fn new(lines: u64, start: u64) -> Self {
        let geometry = Geometry::new(lines).unwrap();
        let shared = Self {
            geometry,
            ring: Words::heap(geometry.words()),
            control: Words::heap(CONTROL),
            tail: Words::heap(1),
            ledger: Ledger::heap(geometry),
        };
        // As if so many lines had gone through it before.
        for at in [control::CHECKPOINT, control::CHECKPOINT + 1, control::CLAIM] {
            shared.control[at].store(start, Ordering::Relaxed);
        }
        shared.tail[0].store(start, Ordering::Relaxed);
        shared.ledger.correct(shared.ledger.next(), start);
        shared
    }

    fn producer(&self) -> (Ring, Room) {
        let ring = Ring::adopt(self.geometry, self.ring.clone(), self.control.clone()).unwrap();
        let room =
            Room::adopt(self.geometry, self.ring.clone(), self.tail.clone(), self.ledger.clone(), &ring)
                .unwrap();
        (ring, room)
    }

    fn picker(&self) -> Picker {
        let follower = Follower::new(self.geometry, self.ring.foreign(), self.control.foreign(), 0).unwrap();
        Picker::new(follower, self.control.foreign(), self.tail.foreign(), self.ledger.clone())
    }
}

fn bytes(number: u64, len: usize) -> Vec<u8> {
    (0..len).map(|at| (number as usize * 31 + at) as u8).collect()
}

fn send(ring: &Ring, room: &Room, number: u64, len: usize) -> bool {
    let flags = if len > 256 { Flags::BELOW } else { Flags::empty() };
    let slot =
        ring.reserve(len, flags).or_else(|| if room.reclaim(ring) { ring.reserve(len, flags) } else { None });
    let Some(slot) = slot else { return false };
    copy_in(ring.payload(slot), &bytes(number, len));
    ring.publish(slot);
    true
}

fn read(picker: &Picker, held: &Held) -> Vec<u8> {
    let mut read = vec![0; held.frame.len];
    picker.reader.payload(held.frame).copy_to(0, &mut read);
    assert!(picker.reader.is_intact(held.frame.position));
    read
}

#[derive(Clone, Debug)]
enum Step {
    Send(usize),
    Pick(usize, usize),
    /// Acknowledge, or give back, the so-manieth that a consumer has in hand.
    Acknowledge(usize, usize),
    GiveBack(usize, usize),
    /// A consumer dies, after it has given back and before it says where: so a message hides before `next`.
    Hide(usize, usize),
    /// A consumer dies, and another looks after it.
    Die(usize, usize),
    /// The producer dies and another adopts the ring, or dies while it reclaims so many lines.
    DieSending(Option<u64>),
    Mend(usize),
}

const CONSUMERS: usize = 3;

fn step() -> impl Strategy<Value = Step> {
    let who = 0..CONSUMERS;
    let which = 0..8_usize;
    prop_oneof![
        6 => prop_oneof![0..=100_usize, 0..=448_usize].prop_map(Step::Send),
        6 => (who.clone(), 1..5_usize).prop_map(|(who, most)| Step::Pick(who, most)),
        6 => (who.clone(), which.clone()).prop_map(|(who, which)| Step::Acknowledge(who, which)),
        2 => (who.clone(), which.clone()).prop_map(|(who, which)| Step::GiveBack(who, which)),
        1 => (who.clone(), which).prop_map(|(who, which)| Step::Hide(who, which)),
        1 => (who.clone(), 1..CONSUMERS).prop_map(|(who, by)| Step::Die(who, (who + by) % CONSUMERS)),
        1 => prop::option::of(0..64_u64).prop_map(Step::DieSending),
        1 => who.prop_map(Step::Mend),
    ]
}

proptest! {
    #[test]
    fn every_message_is_handed_out_until_it_is_acknowledged_and_never_to_two(
        start in prop_oneof![Just(0), Just((1 << 37) - 64), Just((1 << 48) - 100), Just(u64::MAX - 77)],
        steps in prop::collection::vec(step(), 1..300),
    ) {
        let shared = Shared::new(32, start);
        let (mut ring, mut room) = shared.producer();
        let mut pickers: Vec<_> = (0..CONSUMERS).map(|_| shared.picker()).collect();
        let mut hands: Vec<Vec<Held>> = vec![Vec::new(); CONSUMERS];
        // By sequence: the bytes, and how often it was handed out.
        let mut waiting: BTreeMap<u64, (Vec<u8>, u64)> = BTreeMap::new();
        let mut in_hand: BTreeMap<u64, (Vec<u8>, u64)> = BTreeMap::new();
        let mut number = 0;
        let pick = |picker: &Picker, who: usize, most: usize, hand: &mut Vec<Held>| {
            let before = hand.len();
            picker.pick(who, 0, most, |held| hand.push(held)).unwrap();
            hand[before..].to_vec()
        };
        for step in steps {
            match step {
                Step::Send(len) => {
                    if send(&ring, &room, number, len) {
                        waiting.insert(number, (bytes(number, len), 0));
                        number += 1;
                    } else {
                        prop_assert!(waiting.len() + in_hand.len() > 0);
                    }
                }
                Step::Pick(who, most) => {
                    for held in pick(&pickers[who], who, most, &mut hands[who]) {
                        let (expected, count) = waiting.remove(&held.frame.sequence).unwrap();
                        prop_assert_eq!(&read(&pickers[who], &held), &expected);
                        prop_assert_eq!(held.claim.count(), count + 1);
                        prop_assert_eq!(held.claim.owner(), who);
                        in_hand.insert(held.frame.sequence, (expected, count + 1));
                    }
                }
                Step::Acknowledge(who, which) => {
                    if hands[who].len() > which {
                        let held = hands[who].remove(which);
                        let (expected, _) = in_hand.remove(&held.frame.sequence).unwrap();
                        prop_assert_eq!(read(&pickers[who], &held), expected);
                        prop_assert!(shared.ledger.change(held.frame.position, held.claim, held.claim.done()));
                        prop_assert!(!shared.ledger.change(held.frame.position, held.claim, held.claim.done()));
                    }
                }
                Step::GiveBack(who, which) | Step::Hide(who, which) => {
                    if hands[who].len() > which {
                        let held = hands[who].remove(which);
                        let (sequence, position) = (held.frame.sequence, held.frame.position);
                        let message = in_hand.remove(&sequence).unwrap();
                        waiting.insert(sequence, message);
                        let to = held.claim.returned();
                        if matches!(step, Step::Hide(..)) {
                            prop_assert!(shared.ledger.change(position, held.claim, to));
                        } else {
                            prop_assert!(shared.ledger.give_back(position, held.claim, to));
                        }
                    }
                }
                Step::Die(who, by) => {
                    let given = pickers[by].relieve(u64::MAX, |claim| claim.owner() == who);
                    prop_assert_eq!(given, hands[who].len() as u64);
                    for held in hands[who].drain(..) {
                        let message = in_hand.remove(&held.frame.sequence).unwrap();
                        waiting.insert(held.frame.sequence, message);
                        prop_assert!(!shared.ledger.change(held.frame.position, held.claim, held.claim.done()));
                    }
                    pickers[who] = shared.picker();
                }
                Step::DieSending(reclaimed) => {
                    if let Some(lines) = reclaimed {
                        // As in `reclaim`, up to there.
                        let tail = shared.tail[0].load(Ordering::Relaxed);
                        let mut over = tail;
                        while over != ring.head() && over.wrapping_sub(tail) < 32 {
                            let claim = shared.ledger.claim(over);
                            if claim.state() != State::Done || claim.lap() != shared.ledger.lap(over) {
                                break;
                            }
                            let at = shared.geometry.word(over);
                            let about = crate::ring::frame::About::of(shared.ring[at + 1].load(Ordering::Relaxed));
                            over = over.wrapping_add(about.lines());
                        }
                        let end = tail.wrapping_add(lines.min(over.wrapping_sub(tail)));
                        shared.ledger.reset(tail, end);
                    }
                    (ring, room) = shared.producer();
                }
                Step::Mend(who) => pickers[who].mend(),
            }
        }
        // Whoever has time finds all that is left.
        let who = 0;
        loop {
            pickers[who].mend();
            let picked = pick(&pickers[who], who, 1, &mut hands[who]);
            let Some(held) = picked.first() else { break };
            let (expected, _) = waiting.remove(&held.frame.sequence).unwrap();
            prop_assert_eq!(read(&pickers[who], held), expected);
            in_hand.insert(held.frame.sequence, (Vec::new(), 0));
        }
        prop_assert_eq!(waiting.keys().copied().collect::<Vec<_>>(), Vec::<u64>::new());
        prop_assert_eq!(pickers[1].count(), (0, in_hand.len() as u64));
        let held: BTreeSet<_> = hands.iter().flatten().map(|held| held.frame.sequence).collect();
        prop_assert_eq!(held.len(), in_hand.len());
        for held in hands.iter().flatten() {
            prop_assert!(shared.ledger.change(held.frame.position, held.claim, held.claim.done()));
        }
        room.reclaim(&ring);
        prop_assert_eq!(shared.tail[0].load(Ordering::Relaxed), ring.head());
    }

    /// Whatever stands in the ledger and in a producer's words, everything comes to an end.
    #[test]
    fn nonsense_is_survived(
        claims in prop::collection::vec(prop_oneof![0..256_u64, any::<u64>()], 32),
        next in prop_oneof![0..64_u64, any::<u64>()],
        tail in prop_oneof![0..64_u64, any::<u64>()],
        head in prop_oneof![0..64_u64, any::<u64>()],
        sent in prop::collection::vec(0..=448_usize, 0..10),
    ) {
        let shared = Shared::new(32, 0);
        let (ring, room) = shared.producer();
        for (number, len) in sent.into_iter().enumerate() {
            send(&ring, &room, number as u64, len);
        }
        let honest = shared.picker();
        let spoiled = Ledger::heap(shared.geometry);
        for (at, claim) in claims.iter().enumerate() {
            spoiled.change(at as u64, Claim::fresh(0), Claim::of(*claim));
        }
        spoiled.correct(spoiled.next(), next);
        shared.tail[0].store(tail, Ordering::Relaxed);
        shared.control[control::CHECKPOINT].store(head, Ordering::Relaxed);
        let follower = Follower::new(shared.geometry, shared.ring.foreign(), shared.control.foreign(), 0).unwrap();
        let picker = Picker::new(follower, shared.control.foreign(), shared.tail.foreign(), spoiled);
        for picker in [&picker, &honest] {
            for _ in 0..20 {
                let _ = picker.pick(1, 0, 3, |held| assert!(held.frame.len <= 2048));
                picker.relieve(7, |claim| claim.owner() % 2 == 0);
                picker.mend();
                picker.count();
            }
        }
        let _ = Room::adopt(shared.geometry, shared.ring.clone(), shared.tail.clone(), shared.ledger.clone(), &ring);
        room.reclaim(&ring);
        room.gate(&ring);
    }
}

#[test]
fn whoever_comes_later_goes_on_behind_what_is_taken() {
    let shared = Shared::new(64, 0);
    let (ring, room) = shared.producer();
    for number in 0..20 {
        assert!(send(&ring, &room, number, 8));
    }
    let (one, other) = (shared.picker(), shared.picker());
    let mut taken = Vec::new();
    one.pick(0, 0, 5, |held| taken.push(held.frame.sequence)).unwrap();
    other.pick(1, 0, 5, |held| taken.push(held.frame.sequence)).unwrap();
    one.pick(0, 0, 20, |held| taken.push(held.frame.sequence)).unwrap();
    assert_eq!(taken, (0..20).collect::<Vec<_>>());
    assert_eq!(one.pick(0, 0, 20, |_| ()).unwrap().messages, 0);
    assert_eq!(shared.ledger.next().position(20), 20);
}

/// A frame of padding at the tail is reclaimed without anybody's doing, and may be overwritten where a consumer stands.
#[test]
fn a_consumer_whose_place_is_overwritten_finds_what_is_there() {
    let shared = Shared::new(32, 28);
    let (ring, room) = shared.producer();
    let picker = shared.picker();
    for (number, len) in [233, 321, 385, 41, 41, 169].into_iter().enumerate() {
        assert!(send(&ring, &room, number as u64, len));
    }
    let mut taken = Vec::new();
    picker.pick(0, 0, 10, |held| taken.push(held.frame.sequence)).unwrap();
    assert_eq!(taken, [0, 1, 2, 3, 4, 5]);
}

/// What somebody has given back, and died before saying so, is found by one who is busy as well.
#[test]
fn what_hides_before_the_hint_is_found_by_whoever_looks() {
    let shared = Shared::new(32, 0);
    let (ring, room) = shared.producer();
    for number in 0..3 {
        assert!(send(&ring, &room, number, 8));
    }
    let picker = shared.picker();
    let mut taken = Vec::new();
    picker.pick(0, 0, 3, |held| taken.push(held)).unwrap();
    assert!(shared.ledger.change(1, taken[1].claim, taken[1].claim.returned()));
    assert_eq!(picker.pick(0, 0, 3, |_| ()).unwrap().messages, 0);
    assert_eq!(picker.relieve(100, |_| false), 0);
    let again = |held: Held| assert_eq!((held.frame.sequence, held.claim.count()), (1, 2));
    assert_eq!(picker.pick(0, 0, 3, again).unwrap().messages, 1);
    // Others are told when nothing more is found.
    assert_eq!(picker.pick(0, 0, 3, |_| ()).unwrap().messages, 0);
    assert_eq!(shared.ledger.next().position(3), 3);
}

#[test]
fn one_looks_after_the_dead_for_all() {
    let shared = Shared::new(32, 0);
    assert!(shared.ledger.is_due(1_000_000, 45));
    assert!(!shared.ledger.is_due(1_000_044, 45));
    assert!(shared.ledger.is_due(1_000_045, 45));
    // A time that is not yet was written by nobody of ours.
    assert!(shared.ledger.is_due(1_000_000, 45));
}

#[test]
#[cfg_attr(miri, ignore = "it maps files")]
fn a_forked_child_does_nothing_with_what_its_parent_has() {
    let scratch = twixt_testkit::scratch();
    let name = twixt_address::BusName::new("jobs").unwrap();
    let options = crate::Options::new().place(crate::Place::at(scratch.path()).unwrap()).create(true);
    let producer = super::Producer::open(&name, &options).unwrap();
    let consumer = super::Consumer::open(&name, &options).unwrap();
    producer.send(b"one").unwrap();
    producer.send(b"two").unwrap();
    let mut in_child = super::Consumer::open(&name, &options).unwrap();
    let job = in_child.receive().unwrap();
    let position_of_one = job.sequence();
    core::mem::forget(job);
    in_child.maker_is(Maker::another());
    assert_eq!(in_child.try_receive().unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(in_child.take(&mut Vec::new(), Wait::never()).unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(in_child.arm().unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(position_of_one, 0);
    let job = consumer.receive().unwrap();
    assert_eq!(job.to_vec().unwrap(), b"two");
    let mut consumer_in_child = super::Consumer::open(&name, &options).unwrap();
    consumer_in_child.maker_is(Maker::another());
    drop(consumer_in_child);
    job.acknowledge().unwrap();
    let mut producer_in_child = super::Producer::open(&name, &options).unwrap();
    producer_in_child.maker_is(Maker::another());
    assert_eq!(producer_in_child.try_send(b"three").unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(producer_in_child.arm().unwrap_err().kind(), ErrorKind::InvalidInput);
}
