//! The buffers under every interleaving and every order of memory that the language allows.

use loom::thread;

use super::state::{Cost, Glance, Keeper, Request, Shape, control};
use crate::barrier::Light;
use crate::futex::Futex;
use crate::sync::Ordering;
use crate::words::Words;

/// As few as there can be: the current one, one that is granted, and one to write.
const SHAPE: Shape = Shape { count: 3, size: 16 };

struct Memory {
    control: Words,
    grants: Words,
    buffers: Words,
    asked: Futex,
    request: Words,
}

fn memory() -> Memory {
    Memory {
        control: Words::heap(control::WORDS),
        grants: Words::heap(1),
        buffers: Words::heap(SHAPE.words()),
        asked: Futex::heap(),
        request: Words::heap(1),
    }
}

impl Memory {
    fn keeper(&self) -> Keeper {
        Keeper::adopt(SHAPE, self.control.clone(), self.grants.clone(), self.buffers.clone()).unwrap()
    }

    fn glance(&self) -> Glance {
        Glance::new(SHAPE, self.control.foreign(), self.grants.foreign(), self.buffers.foreign()).unwrap()
    }
}

/// A successor is not taken for one that has left, whatever its predecessor has said.
#[test]
fn a_good_bye_is_of_its_own_epoch() {
    loom::model(|| {
        let memory = memory();
        let glance = memory.glance();
        memory.keeper().close();
        let reader = thread::spawn(move || {
            let epoch = glance.epoch();
            assert!(epoch == 1 || !glance.is_closed(), "the successor has not left");
        });
        let successor = memory.keeper();
        reader.join().unwrap();
        drop(successor);
    });
}

/// Writes a value both of whose words are its version.
fn write(keeper: &mut Keeper, asked: &Futex, seen: &mut u32, request: &Words) {
    if keeper.has_granted() {
        keeper.release(|_| Some(request[0].load(Ordering::Acquire)));
    }
    let buffer = keeper.choose();
    let version = keeper.version() + 1;
    for word in keeper.begin(buffer, 16) {
        word.store(version, Ordering::Relaxed);
    }
    keeper.publish(buffer, 16);
    Light::register().fence(|| true);
    let now = asked.word().load(Ordering::Acquire);
    if *seen != now {
        *seen = now;
        keeper.grant(0, request[0].load(Ordering::Acquire));
    }
}

fn check(version: Option<u64>, first: u64, second: u64) {
    assert_eq!((Some(first), Some(second)), (version, version), "torn");
}

/// What is read is whole, and the version that it says.
#[test]
fn no_value_is_torn() {
    loom::model(|| {
        let memory = memory();
        let glance = memory.glance();
        let mut keeper = memory.keeper();
        let mut seen = 0;
        write(&mut keeper, &memory.asked, &mut seen, &memory.request);
        let writer = thread::spawn(move || {
            for _ in 0..3 {
                write(&mut keeper, &memory.asked, &mut seen, &memory.request);
            }
        });
        let (mut first, mut second) = (0, 0);
        let outcome = glance.read_current(&mut |view, _| (first, second) = (view.load(0), view.load(1)));
        if let Ok(version) = outcome {
            check(version, first, second);
        }
        writer.join().unwrap();
    });
}

/// Who asks has a value after one more try, whatever the writer does meanwhile, and none from before it asked.
#[test]
fn who_asks_is_served() {
    loom::model(|| {
        let memory = memory();
        let glance = memory.glance();
        let mut keeper = memory.keeper();
        let mut seen = 0;
        write(&mut keeper, &memory.asked, &mut seen, &memory.request);
        let (asked, request) = (memory.asked.clone(), memory.request.clone());
        let writer = thread::spawn(move || {
            for _ in 0..4 {
                write(&mut keeper, &memory.asked, &mut seen, &memory.request);
            }
        });
        let before = glance.version();
        let request = Request { word: &request[0], asked: &asked, ask_for_fences: &|| {} };
        let (mut cost, mut first, mut second) = (Cost::default(), 0, 0);
        let mut take = |view: crate::words::View<'_>, _| (first, second) = (view.load(0), view.load(1));
        let version = glance.read_asking(&request, &mut cost, &mut take).unwrap();
        check(version, first, second);
        assert!(version >= Some(before));
        assert_eq!(cost.requests, 1, "the first request was not enough");
        writer.join().unwrap();
    });
}
