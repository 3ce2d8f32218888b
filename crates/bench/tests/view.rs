//! What people see of records, with records that nobody measured: the text is the same on every machine.

use std::fs;
use std::path::Path;
use std::process::Command;

use twixt_bench::recommend::{Need, recommend};
use twixt_bench::view::{Block, Look, Page, Units, html, table};
use twixt_bench::{
    Entry, Failure, Family, Need as Capability, Pattern, Record, Registry, Spread, Status, Touch, Waiting,
};
use twixt_testkit::{command, scratch, test};

/// A round trip's record: its times follow from its median.
fn round_trip(transport: &str, size: usize, repeat: usize, p50_ns: f64) -> Record {
    let time = |share: f64| (p50_ns * share) as u64;
    Record {
        transport: transport.to_owned(),
        pattern: Pattern::Rtt,
        size,
        wait: Waiting::Block,
        touch: Touch::All,
        pubs: 1,
        subs: 1,
        repeat,
        status: Status::Ok,
        n: 10_000,
        p50_ns: Some(p50_ns),
        p99_ns: Some(p50_ns * 3.0),
        p999_ns: Some(p50_ns * 10.0),
        max_ns: Some(p50_ns * 50.0 + repeat as f64),
        msgs_per_s: Some(1e9 / p50_ns),
        bytes_per_s: Some(1e9 / p50_ns * size as f64),
        floor_ratio: Some(p50_ns / 100.0),
        cpu_ns_per_msg: Some(p50_ns * 1.5),
        switches_per_msg: Some(2.0),
        syscalls_per_msg: Some(4.0),
        lost: 0,
        capacity: None,
        histogram: vec![
            (time(0.9), 3000),
            (time(1.0), 4000),
            (time(1.5), 2500),
            (time(3.0), 490),
            (time(10.0), 10),
        ],
    }
}

fn one_way(transport: &str, size: usize, repeat: usize, msgs_per_s: f64) -> Record {
    Record {
        pattern: Pattern::Throughput,
        p50_ns: None,
        p99_ns: None,
        p999_ns: None,
        max_ns: None,
        msgs_per_s: Some(msgs_per_s),
        bytes_per_s: Some(msgs_per_s * size as f64),
        floor_ratio: Some(1e8 / msgs_per_s),
        histogram: Vec::new(),
        ..round_trip(transport, size, repeat, 1e9 / msgs_per_s)
    }
}

fn with(record: Record, status: Status) -> Record {
    Record { status, ..record }
}

fn blocks(records: &[Record]) -> Vec<Block> {
    let family = |name: &str| if name.starts_with("floor") { Family::Floor } else { Family::Channel };
    Block::all(records, &family)
}

/// Without colours.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter == '\u{1b}' {
            letters.by_ref().find(|&it| it == 'm');
        } else {
            plain.push(letter);
        }
    }
    plain
}

const LOOK: Look = Look { width: Some(120), is_utf8: true, headings: true };

fn some() -> Vec<Record> {
    vec![
        round_trip("unix", 64, 0, 7000.0),
        round_trip("floor-line", 64, 0, 100.0),
        round_trip("posix-mq", 64, 0, 5000.0),
        with(round_trip("udp", 64, 0, 1.0), Status::Unsupported("a reason".to_owned())),
        with(round_trip("fifo", 64, 0, 1.0), Status::Failed("messages came wrong".to_owned())),
        round_trip("unix", 64, 1, 8000.0),
        round_trip("floor-line", 64, 1, 100.0),
        round_trip("posix-mq", 64, 1, 5000.0),
        round_trip("unix", 64, 2, 7400.0),
        round_trip("floor-line", 64, 2, 100.0),
        round_trip("posix-mq", 64, 2, 5000.0),
    ]
}

#[test]
fn a_table_has_the_floor_on_top_and_the_best_first() {
    let _test = test!();
    let expected = "\
rtt: there and back · 64 B · block
TRANSPORT       P50      P99    P99.9      MAX  × FLOOR  SPREAD  CPU/MSG  SWITCHES  SYSCALLS  (logarithmic)
floor-line   100 ns   300 ns  1.00 µs  5.00 µs    1.00×   ±0.0%   150 ns      2.00      4.00  ███▋

posix-mq    5.00 µs  15.0 µs  50.0 µs   250 µs    50.0×   ±0.0%  7.50 µs      2.00      4.00  ████████████████████████
unix        7.40 µs  22.2 µs  74.0 µs   400 µs    74.0×    ±14%  11.1 µs      2.00      4.00  ██████████████████████████
  udp: not measured: a reason
  fifo: FAILED: messages came wrong
";
    let blocks = blocks(&some());
    assert_eq!(blocks.len(), 1);
    let text = plain(&table(&blocks[0], &LOOK));
    assert_eq!(text, expected, "\n{text}");
}

#[test]
fn a_narrow_terminal_has_fewer_columns_and_no_line_is_longer() {
    let _test = test!();
    let blocks = blocks(&some()[..3]);
    for width in 40..140 {
        let text = plain(&table(&blocks[0], &Look { width: Some(width), ..LOOK }));
        for line in text.lines() {
            assert!(line.chars().count() <= width, "{width}: {line}");
        }
        assert!(text.contains("P50") && text.contains("5.00 µs"), "{width}:\n{text}");
    }
    let all = plain(&table(&blocks[0], &Look { width: None, ..LOOK }));
    assert!(all.contains("MAX") && all.contains("SYSCALLS"), "{all}");
}

#[test]
fn ascii_is_enough_where_there_is_no_more() {
    let _test = test!();
    for records in [some(), vec![one_way("unix", 1000, 0, 123_456.0)]] {
        let blocks = blocks(&records);
        let text = plain(&table(&blocks[0], &Look { is_utf8: false, headings: false, ..LOOK }));
        assert!(text.is_ascii(), "{text}");
        assert!(text.contains('#') && !text.contains("TRANSPORT"), "{text}");
    }
}

#[test]
fn rates_are_sorted_the_other_way_and_losses_are_told() {
    let _test = test!();
    let mut slow = one_way("udp", 1024, 0, 1000.0);
    slow.lost = 17;
    let blocks = blocks(&[slow, one_way("unix", 1024, 0, 2_000_000.0)]);
    let text = plain(&table(&blocks[0], &LOOK));
    let expected = "\
throughput: one to one · 1 KiB · block
TRANSPORT  MSGS/S     BYTES/S  × FLOOR  CPU/MSG  SWITCHES  SYSCALLS  LOST  (logarithmic)
unix        2.00M  1.91 GiB/s    50.0×   750 ns      2.00      4.00     0  ████████████████████████████████
udp         1.00k  0.98 MiB/s  100000×  1.50 ms      2.00      4.00    17  ██▋
";
    assert_eq!(text, expected, "\n{text}");
}

#[test]
fn figures_are_of_all_repeats() {
    let _test = test!();
    assert_eq!(Spread::of([]), None);
    assert_eq!(Spread::of([f64::NAN]), None);
    let figure = Spread::of([3.0, 1.0, 2.0]).unwrap();
    assert_eq!(
        (figure.least, figure.median, figure.greatest, figure.relative().unwrap()),
        (1.0, 2.0, 3.0, 1.0)
    );
    assert_eq!(Spread::of([1.0, 2.0]).unwrap().median, 1.5);
    let (low, high) = (Spread::of([1.0, 2.0]).unwrap(), Spread::of([2.1, 3.0]).unwrap());
    assert!(figure.overlaps(&low) && low.overlaps(&figure) && !low.overlaps(&high));
    let merged = &blocks(&some())[0].rows[1];
    assert_eq!((merged.summary.repeats(), merged.summary.n), (3, 30_000));
    assert_eq!(merged.summary.histogram.iter().map(|(_, count)| count).sum::<u64>(), 30_000);
}

#[test]
fn units_are_readable() {
    let _test = test!();
    let units = Units { is_utf8: true };
    let times = [0.3, 9.994, 99.4, 999.4, 999.6, 12_345.0, 999_600.0, 1.5e9].map(|ns| units.time(ns));
    assert_eq!(times, ["0.30 ns", "9.99 ns", "99 ns", "999 ns", "1.00 µs", "12.3 µs", "1.00 ms", "1.50 s"]);
    let rates = [0.0, 12.0, 1234.0, 2.5e6, 1e9].map(|rate| units.rate(rate));
    assert_eq!(rates, ["0", "12.0", "1.23k", "2.50M", "1.00G"]);
    let bytes = [10.0, 2048.0, 3.0 * 1_048_576.0, 2e12].map(|rate| units.bytes_rate(rate));
    assert_eq!(bytes, ["10.0 B/s", "2.00 KiB/s", "3.00 MiB/s", "1863 GiB/s"]);
    let sizes = [1, 1000, 1024, 65536, 1 << 20, 1 << 30].map(|size| units.size(size));
    assert_eq!(sizes, ["1 B", "1000 B", "1 KiB", "64 KiB", "1 MiB", "1 GiB"]);
    assert_eq!(Units { is_utf8: false }.time(1e4), "10.0 us");
    assert_eq!(Units { is_utf8: false }.spread(0.123), "+-12%");
}

fn needs(words: &[&str]) -> Vec<Need> {
    words.iter().map(|word| word.parse().unwrap()).collect()
}

#[test]
fn the_best_is_recommended_and_the_others_told() {
    let _test = test!();
    let advice = recommend(&blocks(&some()), &[], &registry());
    assert_eq!(advice.len(), 1);
    let expected = "\
rtt, 64 B
  Use posix-mq (block): median 5.00 µs, p99 15.0 µs, 50.0× the floor, 7.50 µs CPU/message, ±0.0%
  After it:
    unix (block): median 7.40 µs, p99 22.2 µs, 74.0× the floor, 11.1 µs CPU/message, ±14%
  Its address: posix-mq:/jobs
  Try it:      twixt recv --create posix-mq:/jobs
               twixt send posix-mq:/jobs hello
  Left out:
    udp: a reason
    fifo: it failed: messages came wrong
";
    let text = advice[0].text(true);
    assert_eq!(text, expected, "\n{text}");
    assert_eq!(advice[0].decided_by, Some("p50_ns"));
}

#[test]
fn what_lacks_a_need_is_left_out() {
    let _test = test!();
    let advice = recommend(&blocks(&some()), &needs(&["fd-passing", "sees-end"]), &registry());
    assert_eq!(advice[0].winner.as_ref().unwrap().transport, "unix");
    let why = |name: &str| advice[0].left_out.iter().find(|one| one.transport == name).unwrap().why.clone();
    assert_eq!(why("posix-mq"), "lacks fd-passing, sees-end");
    let none = recommend(&blocks(&some()), &needs(&["fd-passing", "priority"]), &registry());
    assert_eq!(none[0].winner, None);
    assert!(none[0].text(true).contains("Nothing that was measured does it."));
    // Of somebody else's library nobody here knows it.
    let other = recommend(&blocks(&[round_trip("theirs", 64, 0, 1.0)]), &needs(&["reliable"]), &registry());
    assert_eq!((&other[0].winner, other[0].left_out.len()), (&None, 1));
}

/// With a library of which it is known what it can do.
fn registry() -> Registry {
    let not_here = |_: &_| Err(Failure::Unsupported("it is only a name".into()));
    let known = Entry::foreign("known", not_here, not_here);
    Registry::own().with([known.capable_of(&[Capability::FanOut, Capability::CrashSafe])])
}

#[test]
fn what_a_library_is_capable_of_is_what_its_entry_says() {
    let _test = test!();
    let records = [round_trip("known", 64, 0, 1.0), round_trip("unix", 64, 0, 2.0)];
    let winner = |words: &[&str]| {
        let advice = recommend(&blocks(&records), &needs(words), &registry()).remove(0);
        advice.winner.map(|winner| winner.transport)
    };
    assert_eq!(winner(&[]).as_deref(), Some("known"));
    assert_eq!(winner(&["fan-out", "crash-safe"]).as_deref(), Some("known"));
    assert_eq!(winner(&["crash-safe", "fd-passing"]).as_deref(), Some("unix"));
    assert_eq!(winner(&["fan-out", "fd-passing"]), None);
}

#[test]
fn nothing_is_decided_on_a_noisy_machine() {
    let _test = test!();
    let records: Vec<Record> = (0..3).map(|repeat| round_trip("unix", 64, repeat, 100.0)).collect();
    let advise = |noisy: usize| {
        let mut blocks = blocks(&records);
        blocks[0].doubts =
            (0..noisy).map(|repeat| format!("too noisy to tell, repeat {repeat}: a reason")).collect();
        recommend(&blocks, &[], &registry()).remove(0)
    };
    let quiet = advise(0);
    assert_eq!((&quiet.noise, quiet.decided_by), (&None, Some("p50_ns")));
    let one = advise(1);
    assert_eq!(one.decided_by, Some("p50_ns"), "the median is that of a quiet repeat");
    assert!(one.text(true).contains("The machine was noisy, in 1 of 3 repeats:"), "{}", one.text(true));
    let two = advise(2);
    assert_eq!(two.decided_by, None);
    let text = two.text(true);
    assert!(text.contains("The machine was too noisy to tell, in 2 of 3 repeats:"), "{text}");
    assert!(text.contains("Perhaps unix (block)") && !text.contains("Use unix"), "{text}");
    assert_eq!(serde_json::to_value(&two).unwrap()["noise"]["noisy"], 2);
}

#[test]
fn what_cannot_be_told_apart_is_said_to_be_even() {
    let _test = test!();
    let mut records = vec![
        round_trip("unix", 64, 0, 100.0),
        round_trip("unix", 64, 1, 120.0),
        round_trip("unix-dgram", 64, 0, 110.0),
        round_trip("unix-dgram", 64, 1, 125.0),
        round_trip("posix-mq", 64, 0, 200.0),
        round_trip("posix-mq", 64, 1, 210.0),
    ];
    let advice = recommend(&blocks(&records), &[], &registry()).remove(0);
    assert_eq!((advice.winner.as_ref().unwrap().transport.as_str(), advice.decided_by), ("unix", None));
    assert_eq!((advice.even.len(), advice.runners_up.len()), (1, 1));
    assert!(advice.text(true).contains("No difference that this run can tell:\n    unix-dgram"));
    // The same medians, but one has far longer round trips now and then.
    records[0].p99_ns = Some(9000.0);
    records[1].p99_ns = Some(9100.0);
    let advice = recommend(&blocks(&records), &[], &registry()).remove(0);
    let winner = advice.winner.unwrap();
    assert_eq!((winner.transport.as_str(), advice.decided_by), ("unix-dgram", Some("p99_ns")));
    assert_eq!((advice.even.len(), advice.runners_up.len()), (0, 2));
}

#[test]
fn waiting_is_part_of_the_choice_and_losses_are_none() {
    let _test = test!();
    let spinning = Record { wait: Waiting::Spin, ..one_way("unix", 64, 0, 3e6) };
    let losing = Record { lost: 3, ..one_way("udp", 64, 0, 9e6) };
    let advice = recommend(&blocks(&[one_way("unix", 64, 0, 1e6), spinning, losing]), &[], &registry());
    assert_eq!(advice.len(), 1);
    assert_eq!(advice[0].winner.as_ref().unwrap().wait, Waiting::Spin);
    assert_eq!(advice[0].runners_up[0].wait, Waiting::Block);
    assert_eq!(advice[0].left_out[0].why, "it lost 3 messages and delivered 10000");
    let line = serde_json::to_value(&advice[0]).unwrap();
    assert_eq!((&line["winner"]["transport"], &line["winner"]["wait"]), (&"unix".into(), &"spin".into()));
}

#[test]
fn every_capability_is_a_word_that_is_understood() {
    let _test = test!();
    for need in Need::all() {
        assert_eq!(need.as_str().parse(), Ok(need));
        assert!(!need.means().is_empty());
    }
    assert!("speed".parse::<Need>().unwrap_err().contains("fd-passing"));
}

/// Twenty transports and three of the floor, at four sizes, one of them with a name that has to be escaped.
fn many() -> Vec<Record> {
    let mut records = Vec::new();
    for size in [64, 1 << 10, 1 << 16, 1 << 20] {
        for repeat in 0..3 {
            for index in 0..23 {
                let name = match index {
                    0..3 => format!("floor-{}", ["line", "ring", "futex"][index]),
                    3 => "exec:sort <\"in\" & 'out'>".to_owned(),
                    _ => format!("transport-{index}"),
                };
                let own = (120.0 * 1.28f64.powi(index as i32)) * (1.0 + repeat as f64 * 0.03);
                let copied = size as f64 * (0.1 + 0.02 * (index % 5) as f64);
                if index == 8 && size > 8192 {
                    let why = "its messages have at most 8192 bytes".to_owned();
                    records.push(with(round_trip(&name, size, repeat, 1.0), Status::Unsupported(why)));
                    continue;
                }
                records.push(round_trip(&name, size, repeat, own + copied));
            }
        }
    }
    let ways = records.iter().map(|it| Record {
        status: it.status.clone(),
        ..one_way(&it.transport, it.size, it.repeat, 3e9 / it.p50_ns.unwrap_or(1.0))
    });
    let ways: Vec<Record> = ways.collect();
    records.extend(ways);
    records
}

fn page() -> String {
    let page = Page {
        facts: vec![
            ("Command".to_owned(), "twixt bench --html bench.html".to_owned()),
            ("Processor".to_owned(), "An <imagined> one & only".to_owned()),
        ],
        doubts: vec!["Too noisy to tell: <nothing>".to_owned()],
    };
    html(&page, &blocks(&many()))
}

#[test]
fn a_page_is_complete_in_itself_and_escapes_what_it_is_given() {
    let _test = test!();
    let page = page();
    for foreign in
        ["<script", "http://", "https://", "<img", "@import", "url(", "<in", "<imagined", "<nothing"]
    {
        assert!(!page.contains(foreign), "{foreign}");
    }
    for safe in ["An &lt;imagined&gt; one &amp; only", "exec:sort &lt;&quot;in&quot; &amp; &#39;out&#39;&gt;"]
    {
        assert!(page.contains(safe), "{safe}");
    }
    assert!(!page.contains("NaN") && !page.contains(">inf"), "a figure is none");
    // Latency by size, throughput by size, and a curve for each size: every transport in each where it has figures.
    assert_eq!(page.matches("<svg").count(), 2 + 4);
    assert_eq!(page.matches("data-series=").count(), 2 * 23 + 2 * 23 + 2 * 22);
    let empty = html(&Page::default(), &[]);
    assert!(empty.contains("Nothing was measured") && !empty.contains("<svg"), "{empty}");
}

/// Chromium as it behaves without a network.
fn chromium(directory: &Path) -> Command {
    let mut chromium = Command::new("chromium");
    chromium.args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-dev-shm-usage",
        "--enable-logging=stderr",
    ]);
    chromium.arg(format!("--user-data-dir={}", directory.join("profile").display()));
    chromium
}

#[test]
fn a_browser_shows_the_page() {
    let test = test!();
    if let Err(missing) = command("chromium") {
        test.skip(&missing);
        return;
    }
    let scratch = scratch();
    let path = scratch.path().join("page.html");
    fs::write(&path, page()).unwrap();
    let picture = scratch.path().join("page.png");
    let mut dump = chromium(scratch.path());
    let output = dump.arg("--dump-dom").arg(format!("file://{}", path.display())).output().unwrap();
    let (dom, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
    // What a page has to complain of goes to its console.
    let complaints: Vec<&str> = said.lines().filter(|line| line.contains("CONSOLE")).collect();
    assert!(complaints.is_empty(), "{complaints:?}");
    assert_eq!(dom.matches("<svg").count(), 2 + 4);
    assert_eq!(dom.matches("class=\"series").count(), 2 * 23 + 2 * 23 + 2 * 22);
    assert!(dom.contains("An &lt;imagined&gt; one &amp; only"), "{dom}");
    let mut shot = chromium(scratch.path());
    shot.arg(format!("--screenshot={}", picture.display())).arg("--window-size=1440,2600");
    let output = shot.arg(format!("file://{}", path.display())).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(fs::read(&picture).unwrap().starts_with(b"\x89PNG"));
    // To look at it.
    if let Some(kept) = std::env::var_os("TWIXT_PAGE") {
        fs::copy(&path, Path::new(&kept).join("page.html")).unwrap();
        fs::copy(&picture, Path::new(&kept).join("page.png")).unwrap();
    }
}
