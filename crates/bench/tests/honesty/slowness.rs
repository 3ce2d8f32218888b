//! What is slower by a known amount is measured to be so. The bounds are certain ones: no message is faster than what is
//! done to it.

use std::time::Duration;

use twixt_bench::{Comparison, Pattern, Plan, Program, Summary, Waiting, compare};
use twixt_testkit::Missing;

use crate::transports::{SLEEP, WORK_NS, registry};
use crate::{Case, of, plan, records, run, well};

pub const TESTS: &[Case] = &[
    ("slowness::a_sleep_shows_in_the_rate", a_sleep_shows_in_the_rate),
    ("slowness::a_sleep_shows_in_the_round_trip", a_sleep_shows_in_the_round_trip),
    ("slowness::work_shows_in_processor_time", work_shows_in_processor_time),
    ("slowness::ratios_are_to_the_floor_of_the_same_repeat", ratios_are_to_the_floor_of_the_same_repeat),
    ("slowness::noise_is_told_of_each_repeat", noise_is_told_of_each_repeat),
];

/// What takes time and an idle machine: `cargo test --release -p twixt-bench --test honesty -- --ignored`
pub const IGNORED: &[Case] = &[("slowness::two_runs_agree", two_runs_agree)];

fn a_sleep_shows_in_the_rate() -> Result<(), Missing> {
    let records = records(&plan(&["wire", "sleeps"], Pattern::Throughput, 64, 100));
    let slow = well(of(&records, "sleeps"));
    assert!(slow.msgs_per_s.unwrap() < 1.0 / SLEEP.as_secs_f64(), "{slow:?}");
    assert!(slow.bytes_per_s.unwrap() < 64.0 / SLEEP.as_secs_f64(), "{slow:?}");
    // It sleeps and does not compute: that each sleep is a switch is what it is.
    assert!(slow.switches_per_msg.unwrap() >= 0.9, "{slow:?}");
    well(of(&records, "wire"));
    Ok(())
}

fn a_sleep_shows_in_the_round_trip() -> Result<(), Missing> {
    let records = records(&plan(&["sleeps"], Pattern::Rtt, 64, 50));
    let slow = well(of(&records, "sleeps"));
    // A thousandth is what the histogram may be off by.
    let least = SLEEP.as_nanos() as f64 * 0.998;
    assert!(slow.histogram.iter().all(|&(took, _)| took as f64 >= least), "{slow:?}");
    assert!(slow.p50_ns.unwrap() >= least && slow.max_ns >= slow.p999_ns && slow.p99_ns >= slow.p50_ns);
    assert_eq!(slow.histogram.iter().map(|(_, count)| count).sum::<u64>(), 50);
    Ok(())
}

fn work_shows_in_processor_time() -> Result<(), Missing> {
    for pattern in [Pattern::Throughput, Pattern::Rtt] {
        let records = records(&plan(&["computes"], pattern, 64, 100));
        let slow = well(of(&records, "computes"));
        assert!(slow.cpu_ns_per_msg.unwrap() >= WORK_NS as f64, "{slow:?}");
        assert!(slow.msgs_per_s.unwrap() <= 1e9 / WORK_NS as f64, "{slow:?}");
    }
    Ok(())
}

fn ratios_are_to_the_floor_of_the_same_repeat() -> Result<(), Missing> {
    let plan = Plan { repeats: 2, ..plan(&["sleeps", "wire"], Pattern::Throughput, 64, 50) };
    let records = records(&plan);
    for repeat in 0..2 {
        let of_repeat: Vec<_> = records.iter().filter(|record| record.repeat == repeat).cloned().collect();
        let floor = of_repeat
            .iter()
            .filter(|record| record.transport != "sleeps" && record.transport != "wire" && record.is_ok())
            .filter_map(|record| record.msgs_per_s)
            .reduce(f64::max)
            .expect("a floor");
        for name in ["sleeps", "wire"] {
            let record = well(of(&of_repeat, name));
            let expected = floor / record.msgs_per_s.unwrap();
            assert!((record.floor_ratio.unwrap() / expected - 1.0).abs() < 1e-9, "{record:?}");
        }
    }
    Ok(())
}

fn noise_is_told_of_each_repeat() -> Result<(), Missing> {
    let plan = Plan { repeats: 2, sizes: vec![64, 128], ..plan(&["wire"], Pattern::Rtt, 0, 50) };
    let report = run(&plan, &registry(), &Program::this().unwrap());
    assert_eq!(report.noise.len(), 4, "{:?}", report.noise);
    for record in &report.records {
        let [noise] = report.noise.iter().filter(|noise| noise.is_of(record)).collect::<Vec<_>>()[..] else {
            panic!("one for each repeat of each workload");
        };
        assert!((0.0..1.0).contains(&noise.stolen), "{noise:?}");
        assert_eq!(report.too_noisy(record), noise.too_noisy.as_deref());
    }
    assert!(report.machine.cpus > 0 && !report.machine.kernel.is_empty());
    Ok(())
}

fn two_runs_agree() -> Result<(), Missing> {
    let plan = Plan {
        transports: ["unix", "unix-dgram"].map(str::to_owned).to_vec(),
        patterns: vec![Pattern::Rtt, Pattern::Throughput],
        sizes: vec![64, 4096],
        waits: vec![Waiting::Block],
        repeats: 7,
        time: Duration::from_millis(200),
        count: None,
        ..plan(&[], Pattern::Rtt, 64, 1)
    };
    let once = || {
        let report = run(&plan, &registry(), &Program::this().unwrap());
        for noise in &report.noise {
            if let Some(why) = &noise.too_noisy {
                println!("too noisy to tell: {why}");
            }
        }
        report.summaries()
    };
    let (first, second) = (once(), once());
    let mut differing = Vec::new();
    for (one, other) in first.iter().zip(&second) {
        let what = |it: &Summary| format!("{} {} {}: {:?}", it.transport, it.pattern, it.size, it.figure());
        let outcome = compare(one.figure(), other.figure());
        println!("{}\n{}\n{outcome:?}", what(one), what(other));
        if outcome == Comparison::Differs {
            differing.push(what(one));
        }
    }
    assert!(differing.is_empty(), "{differing:#?}");
    Ok(())
}
