//! What handing a message over costs: in one thread, and from one processor to another.
//!
//! `cargo bench -p twixt-bus --bench hand_over [-- alone|stream|pingpong [MESSAGES]]`; alone under
//! `valgrind --tool=callgrind` it counts instructions.

use std::sync::atomic::Ordering;
use std::time::Instant;

use twixt_address::BusName;
use twixt_bus::{Options, Place, Publisher, Subscriber, SubscriberOptions, Waiting};
use twixt_os::Wait;

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
    Ok(())
}

fn pin(cpu: usize) {
    let mut set = rustix::thread::CpuSet::new();
    set.set(cpu);
    // Where there is only one, it is as it is.
    let _ = rustix::thread::sched_setaffinity(None, &set);
}

fn fill(words: &[std::sync::atomic::AtomicU64], number: u64) {
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
