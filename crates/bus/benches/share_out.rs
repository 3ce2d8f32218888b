//! What a queue costs: in one thread, and with two producers and two consumers.
//!
//! `cargo bench -p twixt-bus --bench share_out [-- shared|work|sleepy [MESSAGES]]`; `shared` counts instructions under
//! `valgrind --tool=callgrind`. In `work` two producers and two consumers give their processors up where they find nothing; in
//! `sleepy` they wait adaptively.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use twixt_address::BusName;
use twixt_bus::{Options, Place, queue};
use twixt_os::{ErrorKind, Wait};
use twixt_sys::words::fill;

const SIZE: usize = 64;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|it| it != "--bench").collect();
    let which = arguments.first().map_or("all", String::as_str);
    let count = arguments.get(1).map_or(Ok(5_000_000), |it| it.parse())?;
    let scratch = tempfile::tempdir_in("/dev/shm")?;
    let options = Options::new().create(true).place(Place::at(scratch.path())?);
    if matches!(which, "all" | "shared") {
        shared(&options, count)?;
    }
    for (mode, yields) in [("work", true), ("sleepy", false)] {
        if which == "all" || which == mode {
            for _ in 0..5 {
                println!("{mode}: {:.1} M/s", work(&options, count / 2, yields)? / 1e6);
            }
        }
    }
    Ok(())
}

fn shared(options: &Options, count: u64) -> Result<(), Box<dyn std::error::Error>> {
    let name = BusName::new("shared")?;
    let producer = queue::Producer::open(&name, options)?;
    let how = queue::ConsumerOptions::new().prefetch(64);
    let consumer = queue::Consumer::open_with(&name, options, how)?;
    let begin = Instant::now();
    for start in (0..count).step_by(64) {
        for number in start..start + 64 {
            producer.send_with(SIZE, Wait::never(), |words| fill(words, number))?;
        }
        for number in start..start + 64 {
            finish(consumer.try_receive()?, number)?;
        }
    }
    println!("shared: {:.1} ns for both sides", begin.elapsed().as_nanos() as f64 / count as f64);
    Ok(())
}

fn finish(job: queue::Job<'_>, number: u64) -> Result<(), Box<dyn std::error::Error>> {
    let mut difference = 0;
    job.read_words(|word| difference |= word ^ number)?;
    assert_eq!(difference, 0);
    Ok(job.acknowledge()?)
}

/// How many messages a second go from two producers, which send `count` each, to two consumers.
fn work(options: &Options, count: u64, yields: bool) -> Result<f64, Box<dyn std::error::Error>> {
    let name = BusName::new("work")?;
    let how = queue::ConsumerOptions::new().prefetch(64);
    let wait = if yields { Wait::never() } else { Wait::forever() };
    let (received, ended) = (AtomicU64::new(0), AtomicU64::new(0));
    let all = 2 * count;
    let begin = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let producer = queue::Producer::open(&name, options).unwrap();
                for number in 0..count {
                    while let Err(error) = producer.send_with(SIZE, wait, |words| fill(words, number)) {
                        assert_eq!(error.kind(), ErrorKind::WouldBlock);
                        std::thread::yield_now();
                    }
                }
                // A consumer that sleeps does not know that another has received the last message.
                while ended.load(Ordering::Relaxed) < 2 {
                    producer.try_send(b"").unwrap();
                    std::thread::sleep(std::time::Duration::from_millis(1));
                }
            });
            scope.spawn(|| {
                let consumer = queue::Consumer::open_with(&name, options, how).unwrap();
                let mut mine = 0;
                while received.load(Ordering::Relaxed) < all {
                    match consumer.receive_wait(wait) {
                        Ok(job) if job.is_empty() => {
                            job.acknowledge().unwrap();
                            received.fetch_add(mine, Ordering::Relaxed);
                            mine = 0;
                        }
                        Ok(job) => {
                            let number = job.first_word().unwrap();
                            finish(job, number).unwrap();
                            mine += 1;
                        }
                        Err(error) => {
                            assert_eq!(error.kind(), ErrorKind::WouldBlock);
                            std::thread::yield_now();
                        }
                    }
                    if mine == 64 {
                        received.fetch_add(mine, Ordering::Relaxed);
                        mine = 0;
                    }
                }
                ended.fetch_add(1, Ordering::Relaxed);
            });
        }
    });
    Ok(all as f64 / begin.elapsed().as_secs_f64())
}
