//! Repeats taken together, and what two measurements say about each other.

use twixt_bench::{Comparison, Pattern, Record, Spread, Status, Summary, Touch, Waiting, compare};

fn record(transport: &str, pattern: Pattern, repeat: usize, figure: f64) -> Record {
    Record {
        transport: transport.to_owned(),
        pattern,
        size: 64,
        wait: Waiting::Block,
        touch: Touch::All,
        pubs: 1,
        subs: 1,
        repeat,
        status: Status::Ok,
        n: 100,
        p50_ns: (pattern == Pattern::Rtt).then_some(figure),
        p99_ns: None,
        p999_ns: None,
        max_ns: None,
        msgs_per_s: Some(if pattern == Pattern::Rtt { 1e9 / figure } else { figure }),
        bytes_per_s: None,
        floor_ratio: Some(figure / 10.0),
        cpu_ns_per_msg: None,
        switches_per_msg: None,
        syscalls_per_msg: Some(4.0),
        lost: 1,
        capacity: None,
        histogram: vec![(figure as u64, 100), (1000, 1)],
    }
}

#[test]
fn each_workload_of_each_transport_has_one() {
    let mut records = Vec::new();
    for repeat in 0..3 {
        records.push(record("unix", Pattern::Rtt, repeat, [30.0, 10.0, 20.0][repeat]));
        records.push(record("pipe", Pattern::Rtt, repeat, 5.0));
        records.push(record("unix", Pattern::Throughput, repeat, 7.0));
        records.push(Record { size: 1024, ..record("unix", Pattern::Rtt, repeat, 8.0) });
    }
    let summaries = Summary::of(&records);
    let names: Vec<_> = summaries.iter().map(|it| (it.transport.as_str(), it.pattern, it.size)).collect();
    let expected = [
        ("unix", Pattern::Rtt, 64),
        ("pipe", Pattern::Rtt, 64),
        ("unix", Pattern::Throughput, 64),
        ("unix", Pattern::Rtt, 1024),
    ];
    assert_eq!(names, expected, "in the order in which they come");
    let unix = &summaries[0];
    assert_eq!(unix.p50_ns, Some(Spread { least: 10.0, median: 20.0, greatest: 30.0, repeats: 3 }));
    assert_eq!(unix.figure(), unix.p50_ns);
    assert_eq!(unix.p50_ns.unwrap().relative(), Some(1.0));
    assert_eq!(unix.floor_ratio.unwrap().median, 2.0);
    assert_eq!((unix.syscalls_per_msg, unix.lost), (Some(4.0), 3));
    assert_eq!(unix.histogram, [(10, 100), (20, 100), (30, 100), (1000, 3)]);
    assert_eq!(summaries[2].figure(), summaries[2].msgs_per_s);
}

#[test]
fn what_failed_has_a_reason_and_no_figures() {
    let failed = |repeat| Record {
        status: Status::Failed("it broke".into()),
        p50_ns: None,
        histogram: Vec::new(),
        ..record("unix", Pattern::Rtt, repeat, 1.0)
    };
    let [all] = &Summary::of(&[failed(0), failed(1)])[..] else { panic!("one") };
    assert_eq!((all.status.clone(), all.p50_ns, all.repeats()), (Status::Failed("it broke".into()), None, 0));
    let [some] = &Summary::of(&[record("unix", Pattern::Rtt, 0, 9.0), failed(1)])[..] else { panic!("one") };
    assert_eq!(some.status, Status::Failed("it broke".into()));
    assert_eq!((some.p50_ns.unwrap().median, some.repeats()), (9.0, 1));
    assert!(Summary::of(&[]).is_empty());
}

#[test]
fn the_middle_is_between_two_of_an_even_number() {
    let four = Spread::of([4.0, 1.0, 3.0, 2.0]).unwrap();
    assert_eq!((four.least, four.median, four.greatest, four.repeats), (1.0, 2.5, 4.0, 4));
    assert_eq!(Spread::of([]), None);
    assert_eq!(Spread::of([f64::NAN, f64::INFINITY]), None);
    assert_eq!(Spread::of([3.0]).unwrap().relative(), None, "one alone has no spread");
}

#[test]
fn two_measurements_agree_within_what_they_state() {
    let spread = |figures: &[f64]| Spread::of(figures.iter().copied());
    // The medians are 10 apart, and the widths are 4 and 6.
    assert_eq!(compare(spread(&[98., 100., 102.]), spread(&[107., 110., 113.])), Comparison::Agrees);
    assert_eq!(compare(spread(&[98., 100., 102.]), spread(&[108., 111., 114.])), Comparison::Differs);
    assert_eq!(compare(spread(&[108., 111., 114.]), spread(&[98., 100., 102.])), Comparison::Differs);
    // A hundredth is no difference, however well the repeats agree.
    assert_eq!(compare(spread(&[100., 100.]), spread(&[100.9, 100.9])), Comparison::Agrees);
    assert_eq!(compare(spread(&[100., 100.]), spread(&[102., 102.])), Comparison::Differs);
    // Twice as slow is seen through 20 % of noise in both.
    assert_eq!(compare(spread(&[90., 100., 110.]), spread(&[180., 200., 220.])), Comparison::Differs);
    assert_eq!(compare(spread(&[100.]), spread(&[100., 100.])), Comparison::Unknown);
    assert_eq!(compare(None, spread(&[100., 100.])), Comparison::Unknown);
}
