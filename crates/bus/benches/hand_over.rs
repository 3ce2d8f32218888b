//! What handing a message over costs: in one thread, and from one processor to another; what the barest ring does there; and what
//! publishing costs by how many subscribe.
//!
//! `cargo bench -p twixt-bus --bench hand_over [-- alone|together|publish|fan|stream|batch|run|both|flow|bare|pingpong [MESSAGES [BYTES]]]`; alone under
//! `valgrind --tool=callgrind` it counts instructions: for `fan` with `--toggle-collect='*publish_some*'`, and the number of
//! subscribers and `kept` or `slow` behind the bytes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use twixt_address::BusName;
use twixt_bus::{Options, Place, Publisher, Slow, Subscriber, SubscriberOptions, Visit, Waiting};
use twixt_os::Wait;
use twixt_sys::words::fill;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|it| it != "--bench").collect();
    let which = arguments.first().map_or("all", String::as_str);
    let count = arguments.get(1).map_or(Ok(5_000_000), |it| it.parse())?;
    let size = arguments.get(2).map_or(Ok(64), |it| it.parse())?;
    let scratch = tempfile::tempdir_in("/dev/shm")?;
    let options = Options::new().create(true).place(Place::at(scratch.path())?);
    if matches!(which, "all" | "alone") {
        alone(&options, count, size)?;
    }
    if matches!(which, "all" | "together") {
        together(&options, count, size)?;
    }
    if matches!(which, "all" | "publish") {
        publish(&options, count, size)?;
    }
    if matches!(which, "all" | "fan") {
        let subscribers = match arguments.get(3) {
            Some(number) => vec![number.parse()?],
            None => vec![0, 1, 4, 16, 64],
        };
        for slow in [Slow::Block, Slow::DropOldest] {
            let what = if slow == Slow::Block { "kept" } else { "slow" };
            for number in &subscribers {
                if arguments.get(4).is_none_or(|it| it == what) {
                    fan(&options, count / 5, size, *number, slow)?;
                }
            }
        }
    }
    if matches!(which, "all" | "stream" | "batch" | "run" | "both" | "flow") {
        for _ in 0..5 {
            stream(&options, count, size, which)?;
        }
    }
    if matches!(which, "all" | "bare") {
        for _ in 0..5 {
            bare(count, size);
        }
    }
    if matches!(which, "all" | "pingpong") {
        for _ in 0..3 {
            pingpong(&options, count / 10, size)?;
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

/// What the words of a message have that is not its number.
struct Differences {
    number: u64,
    lines: [u64; 8],
    rest: u64,
}

impl Differences {
    #[inline(always)]
    fn to(number: u64) -> Self {
        Self { number, lines: [0; 8], rest: 0 }
    }

    #[inline(always)]
    fn expect_none(&self) {
        // Not a comparison of arrays: that would be a call, which waits for all of them to be stored.
        assert_eq!(self.lines.iter().fold(self.rest, |all, it| all | it), 0);
    }
}

impl Visit for Differences {
    #[inline(always)]
    fn line(&mut self, line: &[u64; 8]) {
        for (difference, word) in self.lines.iter_mut().zip(line) {
            *difference |= word ^ self.number;
        }
    }

    #[inline(always)]
    fn rest(&mut self, words: &[u64]) {
        self.rest |= words.iter().fold(0, |all, word| all | (word ^ self.number));
    }
}

/// Whether all words are the number.
fn check(subscriber: &mut Subscriber, number: u64) -> twixt_os::Result<()> {
    let mut differences = Differences::to(number);
    subscriber.receive()?.visit(&mut differences)?;
    differences.expect_none();
    Ok(())
}

/// Receives up to so many together, from that number on, and says which comes next.
fn check_some(subscriber: &mut Subscriber, first: u64, most: u64) -> twixt_os::Result<u64> {
    let mut number = first;
    subscriber.receive_batch(most as usize, Wait::forever(), |message| {
        let mut differences = Differences::to(number);
        assert!(message.visit(&mut differences).is_ok());
        differences.expect_none();
        number += 1;
    })?;
    Ok(number)
}

/// Both sides with so many messages at a time.
fn together(options: &Options, count: u64, size: usize) -> Result<(), Box<dyn std::error::Error>> {
    const SOME: u64 = 64;
    let name = BusName::new("together")?;
    let mut subscriber = Subscriber::open(&name, options)?;
    let publisher = Publisher::open(&name, options)?;
    let begin = Instant::now();
    for first in (0..count).step_by(SOME as usize) {
        let end = count.min(first + SOME);
        let mut number = first;
        publish_many(&publisher, first..end, size)?;
        while number < end {
            number = check_some(&mut subscriber, number, end - number)?;
        }
    }
    println!("together: {:.1} ns for both sides", begin.elapsed().as_nanos() as f64 / count as f64);
    Ok(())
}

fn alone(options: &Options, count: u64, size: usize) -> Result<(), Box<dyn std::error::Error>> {
    let name = BusName::new("alone")?;
    let mut subscriber = Subscriber::open(&name, options)?;
    let publisher = Publisher::open(&name, options)?;
    let begin = Instant::now();
    for number in 0..count {
        publisher.publish_with(size, Wait::never(), |words| fill(words, number))?;
        check(&mut subscriber, number)?;
    }
    println!("alone: {:.1} ns for both sides", begin.elapsed().as_nanos() as f64 / count as f64);
    Ok(())
}

/// What it costs to publish to nobody: no line has to come from elsewhere.
fn publish(options: &Options, count: u64, size: usize) -> Result<(), Box<dyn std::error::Error>> {
    let publisher = Publisher::open(&BusName::new("nobody")?, options)?;
    let begin = Instant::now();
    for number in 0..count {
        publisher.publish_with(size, Wait::never(), |words| fill(words, number))?;
    }
    println!("publish: {:.1} ns", begin.elapsed().as_nanos() as f64 / count as f64);
    Ok(())
}

/// What it costs to publish to so many: those that are waited for receive in between, the others never do. Only publishing is
/// timed.
fn fan(
    options: &Options,
    count: u64,
    size: usize,
    subscribers: usize,
    slow: Slow,
) -> Result<(), Box<dyn std::error::Error>> {
    const SOME: u64 = 1000;
    let name = BusName::new(format!("fan-{subscribers}-{}", slow.as_str()))?;
    let how = SubscriberOptions::new().slow(slow);
    let mut all = Vec::new();
    for _ in 0..subscribers {
        all.push(Subscriber::open_with(&name, options, how)?);
    }
    let publisher = Publisher::open(&name, options)?;
    let mut time = std::time::Duration::ZERO;
    for first in (0..count).step_by(SOME as usize) {
        let numbers = first..count.min(first + SOME);
        let begin = Instant::now();
        publish_some(&publisher, numbers.clone(), size)?;
        time += begin.elapsed();
        if slow == Slow::Block {
            for subscriber in &mut all {
                for number in numbers.clone() {
                    check(subscriber, number)?;
                }
            }
        }
    }
    println!(
        "fan: {:.1} ns to publish to {subscribers} ({})",
        time.as_nanos() as f64 / count as f64,
        slow.as_str()
    );
    Ok(())
}

/// Publishes all of them, as many at a time as there is room for.
#[inline(never)]
fn publish_many(publisher: &Publisher, numbers: std::ops::Range<u64>, size: usize) -> twixt_os::Result<()> {
    let mut number = numbers.start;
    while number < numbers.end {
        publisher.publish_batch((numbers.end - number) as usize, size, Wait::forever(), |words| {
            fill(words, number);
            number += 1;
        })?;
    }
    Ok(())
}

/// To be told from all else where instructions are counted.
#[inline(never)]
fn publish_some(publisher: &Publisher, numbers: std::ops::Range<u64>, size: usize) -> twixt_os::Result<()> {
    for number in numbers {
        publisher.publish_with(size, Wait::never(), |words| fill(words, number))?;
    }
    Ok(())
}

fn stream(options: &Options, count: u64, size: usize, which: &str) -> Result<(), Box<dyn std::error::Error>> {
    let name = BusName::new("stream")?;
    let how = SubscriberOptions::new().waiting(Waiting::Spin);
    pin(0);
    let mut subscriber = Subscriber::open_with(&name, options, how)?;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            pin(1);
            let publisher = Publisher::open_waiting(&name, options, Waiting::Spin).unwrap();
            let mut number = 0;
            while number < count {
                if which == "flow" {
                    let mut flow = publisher.flow(size).unwrap();
                    while flow.remaining() > 0 {
                        let piece = flow.remaining().min(16 << 10);
                        fill(flow.next(piece), number);
                        flow.show(piece);
                    }
                    flow.finish().unwrap();
                    number += 1;
                    continue;
                }
                if !matches!(which, "batch" | "both") {
                    publisher.publish_with(size, Wait::forever(), |words| fill(words, number)).unwrap();
                    number += 1;
                    continue;
                }
                let end = count.min(number + 64);
                publish_many(&publisher, number..end, size).unwrap();
                number = end;
            }
        });
        check(&mut subscriber, 0)?;
        let begin = Instant::now();
        let mut number = 1;
        while number < count {
            if matches!(which, "run" | "both") {
                number = check_some(&mut subscriber, number, 64)?;
            } else {
                check(&mut subscriber, number)?;
                number += 1;
            }
        }
        println!("{which}: {:.3} M/s", count as f64 / begin.elapsed().as_secs_f64() / 1e6);
        Ok(())
    })
}

/// A ring of slots with their sequence word in front, 256 KiB of them or eight, which trusts everybody.
fn bare(count: u64, size: usize) {
    let stride = 1 + size.div_ceil(8);
    let slots = ((256 << 10) / (8 * stride)).max(8);
    let ring: Vec<AtomicU64> = (0..slots * stride).map(|_| AtomicU64::new(0)).collect();
    let cursors: Vec<AtomicU64> = (0..64).map(|_| AtomicU64::new(0)).collect();
    let (ring, cursor) = (&ring[..], &cursors[32]);
    let next = |at: usize| if at + stride == ring.len() { 0 } else { at + stride };
    pin(0);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            pin(1);
            let (mut at, mut limit) = (0, slots as u64);
            for number in 0..count {
                while number == limit {
                    limit = cursor.load(Ordering::Acquire) + slots as u64;
                }
                fill(&ring[at + 1..at + stride], number);
                ring[at].store(number + 1, Ordering::Release);
                at = next(at);
            }
        });
        let (mut at, ahead) = (0, (slots / 8).min(4096 / stride) * stride);
        let begin = Instant::now();
        for number in 0..count {
            if ring[at].load(Ordering::Acquire) != number + 1 {
                let further = &ring[(at + ahead) % ring.len()];
                for _ in 0..512 {
                    if further.load(Ordering::Relaxed) > number {
                        break;
                    }
                    std::hint::spin_loop();
                }
                while ring[at].load(Ordering::Acquire) != number + 1 {}
            }
            assert!(twixt_sys::words::are_all(&ring[at + 1..at + stride], number));
            at = next(at);
            if number % (slots as u64 / 4).max(1) == 0 {
                cursor.store(number + 1, Ordering::Release);
            }
        }
        println!("bare: {:.3} M/s", count as f64 / begin.elapsed().as_secs_f64() / 1e6);
    });
}

fn pingpong(options: &Options, count: u64, size: usize) -> Result<(), Box<dyn std::error::Error>> {
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
                echo.publish_with(size, Wait::forever(), |words| fill(words, number)).unwrap();
            }
        });
        is_ready.recv()?;
        let begin = Instant::now();
        for number in 0..count {
            asks.publish_with(size, Wait::forever(), |words| fill(words, number))?;
            answers.receive()?.read_words(|word| assert_eq!(word, number))?;
        }
        println!("pingpong: {:.0} ns there and back", begin.elapsed().as_nanos() as f64 / count as f64);
        Ok(())
    })
}
