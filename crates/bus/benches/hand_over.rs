//! What handing a message over costs: in one thread, and from one processor to another.
//!
//! `cargo bench -p twixt-bus --bench hand_over [-- alone|stream|pingpong|shared|work|sleepy [MESSAGES]]`; `alone`, and `shared`
//! which is the same through a queue, count instructions under `valgrind --tool=callgrind`. `work` has two producers and two
//! consumers of a queue, which give their processors up where they find nothing; `sleepy` has them wait adaptively.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use twixt_address::BusName;
use twixt_bus::{Options, Place, Publisher, Subscriber, SubscriberOptions, Waiting, queue};
use twixt_os::{ErrorKind, Wait};

const SIZE: usize = 64;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|it| it != "--bench").collect();
    let which = arguments.first().map_or("all", String::as_str);
    let count = arguments.get(1).map_or(Ok(5_000_000), |it| it.parse())?;
    let scratch = tempfile::tempdir_in("/dev/shm")?;
    let options = Options::new().create(true).place(Place::at(scratch.path())?);
    if matches!(which, "all" | "alone") {
        alone(&options, count)?;
    }
    if matches!(which, "all" | "stream") {
        for _ in 0..5 {
            stream(&options, count)?;
        }
    }
    if matches!(which, "all" | "pingpong") {
        for _ in 0..3 {
            pingpong(&options, count / 10)?;
        }
    }
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

fn pin(cpu: usize) {
    let mut set = rustix::thread::CpuSet::new();
    set.set(cpu);
    // Where there is only one, it is as it is.
    let _ = rustix::thread::sched_setaffinity(None, &set);
}

fn fill(words: &[AtomicU64], number: u64) {
    for word in words {
        word.store(number, Ordering::Relaxed);
    }
}

fn alone(options: &Options, count: u64) -> Result<(), Box<dyn std::error::Error>> {
    let name = BusName::new("alone")?;
    let mut subscriber = Subscriber::open(&name, options)?;
    let publisher = Publisher::open(&name, options)?;
    let begin = Instant::now();
    for number in 0..count {
        publisher.publish_with(SIZE, Wait::never(), |words| fill(words, number))?;
        let mut sample = subscriber.try_receive()?;
        let mut difference = 0;
        sample.read_words(|word| difference |= word ^ number)?;
        assert_eq!(difference, 0);
    }
    println!("alone: {:.1} ns for both sides", begin.elapsed().as_nanos() as f64 / count as f64);
    Ok(())
}

fn stream(options: &Options, count: u64) -> Result<(), Box<dyn std::error::Error>> {
    let name = BusName::new("stream")?;
    let how = SubscriberOptions::new().waiting(Waiting::Spin);
    pin(0);
    let mut subscriber = Subscriber::open_with(&name, options, how)?;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            pin(1);
            let publisher = Publisher::open_waiting(&name, options, Waiting::Spin).unwrap();
            for number in 0..count {
                publisher.publish_with(SIZE, Wait::forever(), |words| fill(words, number)).unwrap();
            }
        });
        subscriber.receive()?;
        let begin = Instant::now();
        for number in 1..count {
            let mut sample = subscriber.receive()?;
            let mut difference = 0;
            sample.read_words(|word| difference |= word ^ number)?;
            assert_eq!(difference, 0);
        }
        println!("stream: {:.1} M/s", count as f64 / begin.elapsed().as_secs_f64() / 1e6);
        Ok(())
    })
}

fn pingpong(options: &Options, count: u64) -> Result<(), Box<dyn std::error::Error>> {
    let how = SubscriberOptions::new().waiting(Waiting::Spin);
    let (there, back) = (BusName::new("there")?, BusName::new("back")?);
    pin(0);
    let mut answers = Subscriber::open_with(&back, options, how)?;
    let asks = Publisher::open_waiting(&there, options, Waiting::Spin)?;
    let (ready, is_ready) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            pin(1);
            let (there, back) = (BusName::new("there").unwrap(), BusName::new("back").unwrap());
            let mut heard = Subscriber::open_with(&there, options, how).unwrap();
            let echo = Publisher::open_waiting(&back, options, Waiting::Spin).unwrap();
            ready.send(()).unwrap();
            for _ in 0..count {
                let mut number = 0;
                heard.receive().unwrap().read_words(|word| number = word).unwrap();
                echo.publish_with(SIZE, Wait::forever(), |words| fill(words, number)).unwrap();
            }
        });
        is_ready.recv()?;
        let begin = Instant::now();
        for number in 0..count {
            asks.publish_with(SIZE, Wait::forever(), |words| fill(words, number))?;
            answers.receive()?.read_words(|word| assert_eq!(word, number))?;
        }
        println!("pingpong: {:.0} ns there and back", begin.elapsed().as_nanos() as f64 / count as f64);
        Ok(())
    })
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
