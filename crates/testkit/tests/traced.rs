//! Children that are executed instruction by instruction.

use std::hint::black_box;

use rustix::thread::sched_getaffinity;
use twixt_testkit::{Step, test};

/// Which processor a child is kept to must not matter to what comes after it.
#[test]
fn stepping_keeps_this_thread_to_one_processor_until_the_child_ends() {
    let test = test!();
    test.role("victim", |peer| {
        peer.mark();
        for turn in 0..100 {
            black_box(turn);
        }
        peer.mark();
        std::thread::sleep(std::time::Duration::from_secs(60));
    });
    let before = sched_getaffinity(None).unwrap();
    let mut victim = match test.child("victim").traced() {
        Ok(victim) => victim,
        Err(missing) => return test.skip(&missing),
    };
    assert_eq!(sched_getaffinity(None).unwrap(), before);
    let mut steps = 0;
    while victim.step() == Step::Done {
        steps += 1;
        assert_eq!(sched_getaffinity(None).unwrap().count(), 1);
    }
    assert!(steps > 100, "{steps}");
    victim.kill();
    assert_eq!(sched_getaffinity(None).unwrap(), before);
}
