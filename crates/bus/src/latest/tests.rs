//! One writer and its readers within a process, against what must be true of them.

use proptest::prelude::*;

use super::state::{Cost, Failed, Glance, Keeper, Request, Shape, control};
use crate::futex::Futex;
use crate::sync::Ordering;
use crate::words::{View, Words, copy_in};

const READERS: usize = 4;

struct Memory {
    shape: Shape,
    control: Words,
    grants: Words,
    buffers: Words,
}

impl Memory {
    fn new(count: usize, size: usize) -> Self {
        let shape = Shape { count, size };
        let (control, grants) = (Words::heap(control::WORDS), Words::heap(READERS));
        Self { shape, control, grants, buffers: Words::heap(shape.words()) }
    }

    fn keeper(&self) -> Option<Keeper> {
        Keeper::adopt(self.shape, self.control.clone(), self.grants.clone(), self.buffers.clone())
    }

    fn glance(&self, reader: usize) -> Glance {
        let grant = self.grants.foreign().part(reader, 1).unwrap();
        Glance::new(self.shape, self.control.foreign(), grant, self.buffers.foreign()).unwrap()
    }
}

fn bytes(version: u64, len: usize) -> Vec<u8> {
    (0..len).map(|at| (version as usize * 31 + at) as u8).collect()
}

fn write(keeper: &mut Keeper, len: usize) {
    let buffer = keeper.choose();
    let value = bytes(keeper.version() + 1, len);
    copy_in(keeper.begin(buffer, len), &value);
    keeper.publish(buffer, len);
}

fn take(into: &mut Vec<u8>) -> impl FnMut(View<'_>, usize) {
    |view, len| {
        into.resize(len, 0);
        view.copy_to(0, into);
    }
}

/// How many buffers are granted.
fn different(granted: &[(usize, u64)]) -> usize {
    let mut versions: Vec<u64> = granted.iter().map(|&(_, version)| version).collect();
    versions.sort_unstable();
    versions.dedup();
    versions.len()
}

#[derive(Clone, Debug)]
enum Step {
    Write(usize),
    /// The writer dies before it has published, and another adopts.
    Die(usize),
    /// A reader asks, and the writer answers.
    Ask(usize),
    Withdraw(usize),
    Read(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..=100_usize).prop_map(Step::Write),
        1 => (0..=100_usize).prop_map(Step::Die),
        2 => (0..READERS).prop_map(Step::Ask),
        2 => (0..READERS).prop_map(Step::Withdraw),
        3 => (0..READERS).prop_map(Step::Read),
    ]
}

proptest! {
    /// What was granted last stays as it was, and the newest value is always there.
    #[test]
    fn what_is_granted_is_kept(count in 3..9_usize, steps in prop::collection::vec(step(), 1..200)) {
        let memory = Memory::new(count, 100);
        let mut keeper = memory.keeper().unwrap();
        let mut requests = [0_u64; READERS];
        // What was granted, and when.
        let mut granted: Vec<(usize, u64)> = Vec::new();
        let mut newest = None;
        for step in steps {
            match step {
                Step::Write(len) => {
                    keeper.release(|reader| Some(requests[reader]));
                    write(&mut keeper, len);
                    newest = Some((keeper.version(), bytes(keeper.version(), len)));
                }
                Step::Die(len) => {
                    let buffer = keeper.choose();
                    copy_in(keeper.begin(buffer, len), &bytes(99, len / 2));
                    keeper = memory.keeper().unwrap();
                    granted.clear();
                }
                Step::Ask(reader) => {
                    requests[reader] = requests[reader].wrapping_add(1) | 1;
                    granted.retain(|&(other, _)| other != reader);
                    if newest.is_some() {
                        granted.push((reader, keeper.version()));
                    }
                    keeper.release(|reader| Some(requests[reader]));
                    keeper.grant(reader, requests[reader]);
                }
                Step::Withdraw(reader) => {
                    requests[reader] = requests[reader].wrapping_add(1) & !1;
                    granted.retain(|&(other, _)| other != reader);
                }
                Step::Read(reader) => {
                    let mut read = Vec::new();
                    let version = memory.glance(reader).read_current(&mut take(&mut read)).unwrap();
                    prop_assert_eq!(version.map(|version| (version, read)), newest.clone());
                }
            }
            // The newest grants are kept, as many as there are buffers for.
            while different(&granted) > count - 2 {
                granted.remove(0);
            }
            for &(reader, version) in &granted {
                let mut read = Vec::new();
                let found = memory.glance(reader).read_granted(requests[reader], &mut take(&mut read));
                prop_assert_eq!(found, Ok(Some(version)));
                prop_assert_eq!(&read[..], &bytes(version, read.len())[..]);
            }
        }
    }

    /// Whatever stands there, reading ends, and within the memory.
    #[test]
    fn nonsense_is_survived(words in prop::collection::vec((any::<prop::sample::Index>(), any::<u64>(), 0..64_u32), 1..60)) {
        let memory = Memory::new(4, 100);
        let mut keeper = memory.keeper().unwrap();
        write(&mut keeper, 10);
        write(&mut keeper, 100);
        for (index, word, shift) in words {
            let all = [&memory.control, &memory.grants, &memory.buffers];
            let at = index.index(all.iter().map(|words| words.len()).sum());
            let (words, at) = match at.checked_sub(memory.control.len()) {
                None => (&memory.control, at),
                Some(at) => match at.checked_sub(READERS) {
                    None => (&memory.grants, at),
                    Some(at) => (&memory.buffers, at),
                },
            };
            words[at].store(word >> shift, Ordering::Relaxed);
        }
        let (asked, request) = (Futex::heap(), Words::heap(1));
        let request = Request { word: &request[0], asked: &asked, ask_for_fences: &|| {} };
        for reader in 0..READERS {
            let mut read = Vec::new();
            let _ = memory.glance(reader).read(&request, &mut Cost::default(), take(&mut read));
            prop_assert!(read.len() <= 100);
        }
        if let Some(mut keeper) = memory.keeper() {
            write(&mut keeper, 50);
        }
    }
}

/// A version that wraps would be one of those before: nobody of ours comes so far.
#[test]
fn a_version_that_nobody_has_reached_is_not_gone_on_with() {
    for (version, makes_sense) in [((1_u64 << 55) - 1, true), (1 << 55, false), ((1 << 56) - 1, false)] {
        let memory = Memory::new(4, 100);
        write(&mut memory.keeper().unwrap(), 10);
        let current = memory.control[control::CURRENT].load(Ordering::Relaxed) & 0xff;
        memory.control[control::CURRENT].store(version << 8 | current, Ordering::Relaxed);
        let stride = memory.shape.stride();
        memory.buffers[current as usize * stride].store(version << 1, Ordering::Relaxed);
        assert_eq!(memory.keeper().is_some(), makes_sense, "{version:#x}");
    }
}

/// A reader that is overtaken whenever it reads.
#[test]
fn who_is_overtaken_each_time_is_served_when_it_asks() {
    let memory = Memory::new(8, 64);
    let keeper = std::cell::RefCell::new(memory.keeper().unwrap());
    write(&mut keeper.borrow_mut(), 64);
    let (asked, word) = (Futex::heap(), Words::heap(1));
    let request = Request { word: &word[0], asked: &asked, ask_for_fences: &|| {} };
    let seen = std::cell::Cell::new(0);
    let (mut cost, mut copies, mut read) = (Cost::default(), 0, Vec::new());
    let version = memory.glance(2).read(&request, &mut cost, |view, len| {
        copies += 1;
        read.resize(len, 0);
        // In the middle of the copy, a whole round of values is written.
        for _ in 0..20 {
            let mut keeper = keeper.borrow_mut();
            keeper.release(|_| Some(word[0].load(Ordering::Relaxed)));
            write(&mut keeper, 64);
            let now = asked.word().load(Ordering::Relaxed);
            if seen.replace(now) != now {
                keeper.grant(2, word[0].load(Ordering::Relaxed));
            }
        }
        view.copy_to(0, &mut read);
    });
    let version = version.unwrap().unwrap();
    assert_eq!(read, bytes(version, 64));
    assert_eq!((copies, cost.retries, cost.requests), (5, 4, 1));
    assert_eq!(word[0].load(Ordering::Relaxed) & 1, 0, "it has withdrawn");
}

#[test]
fn a_writer_that_grants_nothing_keeps_nobody() {
    let memory = Memory::new(4, 64);
    let keeper = std::cell::RefCell::new(memory.keeper().unwrap());
    write(&mut keeper.borrow_mut(), 64);
    let (asked, word) = (Futex::heap(), Words::heap(1));
    let request = Request { word: &word[0], asked: &asked, ask_for_fences: &|| {} };
    let mut cost = Cost::default();
    let outcome = memory.glance(0).read(&request, &mut cost, |_, _| {
        for _ in 0..8 {
            write(&mut keeper.borrow_mut(), 64);
        }
    });
    assert_eq!(outcome, Err(Failed::Overwritten));
    assert_eq!(cost.requests, u64::from(super::ROUNDS));
}
