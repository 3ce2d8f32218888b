//! What a message through a FIFO costs: system calls, also where it has to be waited for, and allocations.

#[path = "support/pipes.rs"]
mod support;
#[path = "support/waiting.rs"]
mod waiting;

use std::sync::Arc;

use support::{later, past};
use twixt_os::Mode;
use twixt_os::fifo::Fifo;
use twixt_testkit::strace::{ROUNDS, cost, expected};
use twixt_testkit::{Missing, call, scratch, test};
use waiting::Turns;

#[test]
fn a_message_costs_one_system_call_per_end() {
    let test = test!();
    test.role("talk", |peer| {
        let fifo = Fifo::open(peer.arg(0)).unwrap();
        let (reader, writer) = (fifo.open_read_now().unwrap(), fifo.open_write().unwrap());
        let mut buffer = [0; 8];
        for _ in 0..peer.arg(1).parse::<u64>().unwrap() {
            let read = match peer.arg(2).as_str() {
                "block" => {
                    writer.write(b"ping").unwrap();
                    reader.read(&mut buffer)
                }
                "try" => {
                    writer.try_write(b"ping").unwrap();
                    reader.try_read(&mut buffer)
                }
                _ => {
                    writer.write_all_deadline(b"ping", later()).unwrap();
                    reader.read_deadline(&mut buffer, later())
                }
            };
            assert_eq!(read.unwrap(), 4);
        }
    });
    let directory = scratch();
    let path = directory.path().join("fifo");
    let _fifo = Fifo::create(&path, Mode::OWNER).unwrap();
    for form in ["block", "try", "deadline"] {
        let cost = match cost(|rounds| test.child("talk").arg(path.display()).arg(rounds).arg(form)) {
            Ok(cost) => cost,
            Err(missing) => return test.skip(&missing),
        };
        if cost.contains_key("rt_sigaction") {
            return test.skip(&Missing("RWF_NOSIGNAL (Linux 6.18)".into()));
        }
        assert_eq!(cost, expected(&[("pwritev2", ROUNDS), ("read", ROUNDS)]), "{form}");
    }
}

#[test]
fn waiting_for_data_costs_no_call_more() {
    let test = test!();
    test.role("read", |peer| {
        let reader = Fifo::open(peer.arg(0)).unwrap().open_read().unwrap();
        let (rounds, mut turns) = (peer.arg(1).parse::<u64>().unwrap(), Turns::begin());
        let mut buffer = [0; 8];
        for _ in 0..rounds {
            let read = match peer.arg(2).as_str() {
                "block" => reader.read(&mut buffer),
                _ => reader.read_deadline(&mut buffer, later()),
            };
            assert_eq!(read.unwrap(), 4);
            turns.done();
        }
    });
    let directory = scratch();
    let path = directory.path().join("fifo");
    let fifo = Fifo::create(&path, Mode::OWNER).unwrap();
    // The end that reads here keeps the FIFO from losing its reader between two children.
    let (_reader, writer) = fifo.open_read_write().unwrap();
    let writer = Arc::new(writer);
    const READING: &[i64] = &[call::READ, call::POLL, call::PPOLL];
    let told = ("write", ROUNDS);
    for (form, calls) in [
        ("block", &[("read", ROUNDS), told][..]),
        // The second description, which does not block, is read.
        ("deadline", &[("read", 2 * ROUNDS), ("poll", ROUNDS), told]),
    ] {
        let role = |rounds| test.child("read").arg(path.display()).arg(rounds).arg(form);
        let writer = Arc::clone(&writer);
        match waiting::cost(role, READING, move |_| writer.write_all(b"ping").unwrap()) {
            Ok(cost) => assert_eq!(cost, expected(calls), "{form}"),
            Err(missing) => return test.skip(&missing),
        }
    }
}

#[test]
fn a_message_allocates_nothing() {
    let _test = test!();
    let directory = scratch();
    let fifo = Fifo::create(directory.path().join("fifo"), Mode::OWNER).unwrap();
    let (reader, writer) = (fifo.open_read_now().unwrap(), fifo.open_write().unwrap());
    let mut buffer = [0; 8];
    // Each end opens the FIFO a second time, once.
    writer.try_write(b"ping").unwrap();
    reader.try_read(&mut buffer).unwrap();
    let measured = allocation_counter::measure(|| {
        for _ in 0..100 {
            writer.write(b"ping").unwrap();
            reader.read(&mut buffer).unwrap();
            writer.write_all_deadline(b"ping", later()).unwrap();
            reader.read_deadline(&mut buffer, later()).unwrap();
            writer.try_write(b"ping").unwrap();
            reader.try_read(&mut buffer).unwrap();
            reader.try_read(&mut buffer).unwrap_err();
            reader.read_deadline(&mut buffer, past()).unwrap_err();
        }
    });
    assert_eq!(measured.count_total, 0);
}
