//! What the bus takes while it waits, and before anything is sent.
//!
//! `cargo bench -p twixt-bus --bench resources [-- open|memory|steady|idle|asleep|think]`
//!
//! | | what is told |
//! |---|---|
//! | `open` | from before a new topic is opened by both sides until the first message has been received |
//! | `memory` | what a topic's files take, and how much of them is resident in a process that has both ends of an idle one |
//! | `steady` | page faults of a million messages, after the ring has gone round |
//! | `idle` | the processor that a subscriber takes that waits for nothing |
//! | `asleep` | there and back, both sides sleeping, on two processors and on one, beside a bare futex |
//! | `think` | there and back where the other side takes so long to answer: what comes on top, and the processor time of whoever waits |

use std::error::Error;
use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::thread::{ClockId, futex};
use twixt_address::BusName;
use twixt_bus::{Kind, Options, Place, Publisher, Subscriber, SubscriberOptions, Waiting};
use twixt_os::{Deadline, Wait};

type Outcome<T = ()> = Result<T, Box<dyn Error>>;
type Part<'a> = (&'a str, &'a dyn Fn(&Options) -> Outcome);

fn main() -> Outcome {
    let which = std::env::args().skip(1).find(|it| it != "--bench");
    let scratch = tempfile::tempdir_in("/dev/shm")?;
    let options = Options::new().create(true).place(Place::at(scratch.path())?);
    let parts: [Part<'_>; 6] = [
        ("open", &open),
        ("memory", &|options| memory(options, scratch.path())),
        ("steady", &steady),
        ("idle", &idle),
        ("asleep", &asleep),
        ("think", &think),
    ];
    for (name, part) in parts {
        if which.as_deref().is_none_or(|which| which == name) {
            part(&options)?;
        }
    }
    Ok(())
}

fn median<T: Copy + PartialOrd>(values: &mut [T]) -> T {
    values.sort_by(|a, b| a.partial_cmp(b).unwrap_or(core::cmp::Ordering::Equal));
    values[values.len() / 2]
}

fn micros(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e3
}

fn thread_ns() -> u64 {
    let time = rustix::time::clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec.cast_unsigned() * 1_000_000_000 + time.tv_nsec.cast_unsigned()
}

fn pin(cpu: usize) {
    let mut set = rustix::thread::CpuSet::new();
    set.set(cpu);
    // Where there is only one, it is as it is.
    let _ = rustix::thread::sched_setaffinity(None, &set);
}

fn open(options: &Options) -> Outcome {
    let mut times = Vec::new();
    for round in 0..101 {
        let name = BusName::new(format!("open-{round}"))?;
        let begin = Instant::now();
        let mut subscriber = Subscriber::open(&name, options)?;
        let publisher = Publisher::open(&name, options)?;
        publisher.publish(b"first")?;
        assert_eq!(subscriber.receive()?.to_vec()?, b"first");
        times.push(begin.elapsed().as_nanos() as u64);
    }
    let middle = median(&mut times);
    println!("open to first message: {:.0} µs, at the most {:.0} µs", micros(middle), micros(times[100]));
    Ok(())
}

fn memory(options: &Options, place: &std::path::Path) -> Outcome {
    let name = BusName::new("memory")?;
    let _ends = (Subscriber::open(&name, options)?, Publisher::open(&name, options)?);
    let mut bytes = 0;
    let directory = Place::at(place)?.directory(Kind::Topic, &name);
    for entry in fs::read_dir(&directory)? {
        bytes += entry?.metadata()?.blocks() * 512;
    }
    let (mut resident, mut is_ours) = (0, false);
    for line in fs::read_to_string("/proc/self/smaps")?.lines() {
        let mut words = line.split_whitespace();
        let first = words.next().unwrap_or_default();
        if !first.ends_with(':') {
            is_ours = line.contains(&directory.display().to_string());
        } else if is_ours && first == "Rss:" {
            resident += words.next().map_or(Ok(0), str::parse::<u64>)?;
        }
    }
    println!("a default topic with both ends: {} KiB of memory, {resident} KiB resident", bytes >> 10);
    Ok(())
}

/// How many page faults the process has had. Without memory from the heap, which would fault by itself.
fn faults() -> Outcome<u64> {
    let mut room = [0; 1024];
    let len = fs::File::open("/proc/self/stat")?.read(&mut room)?;
    let usage = str::from_utf8(&room[..len])?;
    // Behind the name, which may have spaces: the eighth is minflt.
    let after = usage.rsplit(')').next().unwrap_or_default();
    Ok(after.split_whitespace().nth(7).ok_or("no count of page faults")?.parse()?)
}

fn steady(options: &Options) -> Outcome {
    let name = BusName::new("steady")?;
    let mut subscriber = Subscriber::open(&name, options)?;
    let publisher = Publisher::open(&name, options)?;
    let mut pass = |count: u32| -> Outcome {
        for _ in 0..count {
            publisher.publish(&[7; 64])?;
            subscriber.try_receive()?.read_words(|_| ())?;
        }
        Ok(())
    };
    pass(50_000)?;
    // Reading the file faults by itself, the first time.
    faults()?;
    let before = faults()?;
    pass(1_000_000)?;
    println!("page faults of a million messages: {}", faults()? - before);
    Ok(())
}

fn idle(options: &Options) -> Outcome {
    for waiting in [Waiting::Block, Waiting::Adaptive] {
        let name = BusName::new("idle")?;
        let how = SubscriberOptions::new().waiting(waiting);
        let mut subscriber = Subscriber::open_with(&name, options, how)?;
        let (begin, cpu) = (Instant::now(), thread_ns());
        let _ = subscriber.receive_deadline(Deadline::after(Duration::from_secs(2)));
        let share = (thread_ns() - cpu) as f64 / begin.elapsed().as_nanos() as f64;
        println!("waits for nothing, {waiting:?}: {:.3} % of a processor", 100.0 * share);
    }
    Ok(())
}

/// What came of going there and back.
#[derive(Clone, Copy)]
struct Trip {
    /// The median, in nanoseconds.
    ns: u64,
    /// Of the processor of whoever asks, for each.
    cpu_ns: u64,
    /// How often whoever asks slept for each.
    sleeps: f64,
}

/// Asks `count` times, answered after `think`, on the processors `cpus`.
fn trips(
    options: &Options,
    waiting: Waiting,
    think: Duration,
    cpus: [usize; 2],
    count: u64,
) -> Result<Trip, Box<dyn Error>> {
    static ROUND: AtomicU64 = AtomicU64::new(0);
    let round = ROUND.fetch_add(1, Ordering::Relaxed);
    let names = [BusName::new(format!("there-{round}"))?, BusName::new(format!("back-{round}"))?];
    let how = SubscriberOptions::new().waiting(waiting);
    // Before the processor is chosen, so that both sides find the other's choice.
    let (ready, is_ready) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let answering = &names;
        scope.spawn(move || {
            pin(cpus[1]);
            let mut heard = Subscriber::open_with(&answering[0], options, how).unwrap();
            let answer = Publisher::open_waiting(&answering[1], options, waiting).unwrap();
            ready.send(()).unwrap();
            for _ in 0..count {
                heard.receive().unwrap();
                let begin = Instant::now();
                while begin.elapsed() < think {
                    std::hint::spin_loop();
                }
                answer.publish(b"answer").unwrap();
            }
        });
        let asking = &names;
        scope
            .spawn(move || {
                pin(cpus[0]);
                let mut answers = Subscriber::open_with(&asking[1], options, how).unwrap();
                let ask = Publisher::open_waiting(&asking[0], options, waiting).unwrap();
                is_ready.recv().unwrap();
                let warm = count / 5;
                let (mut times, mut cpu) = (Vec::new(), 0);
                for number in 0..count {
                    if number == warm {
                        cpu = thread_ns();
                    }
                    let begin = Instant::now();
                    ask.publish_wait(b"ask", Wait::forever()).unwrap();
                    answers.receive().unwrap();
                    if number >= warm {
                        times.push(begin.elapsed().as_nanos() as u64);
                    }
                }
                let cpu_ns = (thread_ns() - cpu) / (count - warm);
                let sleeps = answers.parks() as f64 / count as f64;
                Trip { ns: median(&mut times), cpu_ns, sleeps }
            })
            .join()
            .map_err(|_| "whoever asks has panicked".into())
    })
}

/// The same over two words and nothing else, sleeping for no longer than `limit` at a time.
fn futex_trips(cpus: [usize; 2], count: u32, limit: Option<Duration>) -> u64 {
    let limit = limit.map(twixt_os::timespec);
    let words = [AtomicU32::new(0), AtomicU32::new(0)];
    let flags = futex::Flags::empty();
    let wait_for = |word: &AtomicU32, value: u32| {
        loop {
            let seen = word.load(Ordering::SeqCst);
            if seen == value {
                return;
            }
            let _ = futex::wait(word, flags, seen, limit.as_ref());
        }
    };
    let tell = |word: &AtomicU32, value: u32| {
        word.store(value, Ordering::SeqCst);
        let _ = futex::wake(word, flags, 1);
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            pin(cpus[1]);
            for number in 1..=count {
                wait_for(&words[0], number);
                tell(&words[1], number);
            }
        });
        let asking = scope.spawn(|| {
            pin(cpus[0]);
            let mut times = Vec::new();
            for number in 1..=count {
                let begin = Instant::now();
                tell(&words[0], number);
                wait_for(&words[1], number);
                times.push(begin.elapsed().as_nanos() as u64);
            }
            median(&mut times)
        });
        asking.join().unwrap_or(0)
    })
}

fn asleep(options: &Options) -> Outcome {
    for (what, cpus) in [("two processors", [0, 1]), ("one processor", [0, 0])] {
        let (mut bus, mut bare, mut limited) = (Vec::new(), Vec::new(), Vec::new());
        let (mut ratios, mut sleeps) = (Vec::new(), Vec::new());
        for _ in 0..7 {
            let trip = trips(options, Waiting::Block, Duration::ZERO, cpus, 5_000)?;
            let floor = futex_trips(cpus, 5_000, None);
            // The bus looks each 50 ms who has died: what the kernel's timer costs.
            limited.push(futex_trips(cpus, 5_000, Some(Duration::from_millis(50))));
            bus.push(trip.ns);
            bare.push(floor);
            ratios.push(trip.ns as f64 / floor as f64);
            sleeps.push(trip.sleeps);
        }
        println!(
            "asleep on {what}: {:.2} µs there and back and {:.2} sleeps, a bare futex {:.2} µs, with a time limit {:.2} µs, \
             ratio to the bare one {:.2} ({:.2} to {:.2})",
            micros(median(&mut bus)),
            median(&mut sleeps),
            micros(median(&mut bare)),
            micros(median(&mut limited)),
            median(&mut ratios),
            ratios[0],
            ratios[6],
        );
    }
    Ok(())
}

fn think(options: &Options) -> Outcome {
    const TURNS: usize = 5;
    println!("thinks      waiting     on top      processor   both");
    for think in [0, 10, 100, 1000] {
        let time = Duration::from_micros(think);
        let count = (300_000 / (think + 40)).max(200);
        let ways = [Waiting::Spin, Waiting::Block, Waiting::Adaptive];
        // In turns: what a machine does to one of them it does to all.
        let mut turns = [[(0.0, 0.0); 3]; TURNS];
        for turn in &mut turns {
            for (way, waiting) in turn.iter_mut().zip(ways) {
                let trip = trips(options, waiting, time, [0, 1], count)?;
                *way = (micros(trip.ns) - think as f64, micros(trip.cpu_ns));
            }
        }
        for (at, waiting) in ways.into_iter().enumerate() {
            let top = median(&mut turns.map(|turn| turn[at].0));
            let cpu = median(&mut turns.map(|turn| turn[at].1));
            println!("{think:>4} µs     {waiting:<9?}  {top:>6.1} µs   {cpu:>6.1} µs  {:>6.1} µs", top + cpu);
        }
        let mut ratios = turns.map(|turn| {
            let [spin, block, adaptive] = turn.map(|(top, cpu)| top + cpu);
            adaptive / f64::min(spin, block)
        });
        let middle = median(&mut ratios);
        println!(
            "            adaptive: {middle:.2} times the better of the same turn ({:.2} to {:.2})",
            ratios[0],
            ratios[TURNS - 1]
        );
    }
    Ok(())
}
