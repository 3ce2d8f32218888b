//! The command line.

use std::fmt::Write;
use std::path::PathBuf;

use clap::Args;

use crate::recommend::Need;
use crate::{Pattern, Registry, Touch, Waiting};

const EXAMPLES: &str = "\
Examples:
  twixt bench
  twixt bench unix posix-mq --size 64,64k --wait spin,block --pin
  twixt bench unix tcp:127.0.0.1:7000 --pattern rtt --repeat 5 --json
  twixt bench --pattern fanout,work --pubs 2 --subs 4 --html bench.html
  twixt bench --recommend --pattern rtt --size 1k --need fd-passing
";

/// Measure what each way to talk costs on this machine, beside what the hardware allows
///
/// Every workload runs between two or more processes of its own; every byte is written and read, and order and loss are
/// checked. The floor (bare memory, a bare ring, a bare futex) is measured in the same run, and each figure is set beside it.
///
/// Without any option, round trips and throughput are measured over all kinds of address, with messages of 64 bytes to 1 MiB
/// and processes that sleep while they wait: an answer in about a minute. Ctrl-C prints what has been measured so far.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES, after_long_help = help())]
pub struct Arguments {
    /// What to measure: kinds of address (`unix`), addresses (`tcp:127.0.0.1:7000`), or other transports (--list); all
    /// without one
    #[arg(value_name = "KIND|ADDRESS")]
    pub transports: Vec<String>,
    /// What the processes do: rtt (there and back), throughput (one to one), batch (the same, many at a time), fanout (each
    /// message to all receivers), work (each message to one of them)
    #[arg(long, value_delimiter = ',', default_value = "rtt,throughput")]
    pub pattern: Vec<Pattern>,
    /// Bytes of a message; k, m and g after the number are powers of 1024
    #[arg(long, value_name = "BYTES", value_delimiter = ',', default_value = "64,1k,64k,1m", value_parser = size)]
    pub size: Vec<usize>,
    /// What a process does that has to wait: spin (tries again at once), block (sleeps in the kernel), adaptive (tries for a
    /// while, then sleeps)
    #[arg(long, value_delimiter = ',', default_value = "block")]
    pub wait: Vec<Waiting>,
    /// How much of each message is written and read: all, or the header as where a message is merely handed over
    #[arg(long, default_value = "all")]
    pub touch: Touch,
    /// How many processes send, with the pattern `work`
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u8).range(1..=64))]
    pub pubs: u8,
    /// How many processes receive, with the patterns `fanout` and `work`
    #[arg(long, value_name = "N", default_value = "4", value_parser = clap::value_parser!(u8).range(1..=64))]
    pub subs: u8,
    /// How often each is measured; repeats of one take turns with those of the others
    #[arg(long, value_name = "N", default_value = "3", value_parser = clap::value_parser!(u16).range(1..))]
    pub repeat: u16,
    /// Keep each process on a CPU of its own, as far as there are enough
    #[arg(long)]
    pub pin: bool,
    /// How long each measurement takes, in milliseconds [default: 200, or 50 where no transport is named]
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u32).range(1..=3_600_000))]
    pub time: Option<u32>,
    /// How many bytes are to find room in what is between the processes (k, m, g as for --size)
    #[arg(long, value_name = "BYTES", value_parser = size)]
    pub capacity: Option<usize>,
    /// Say what to use for each pattern and size, and why, rather than show tables
    #[arg(long)]
    pub recommend: bool,
    /// What it must be capable of besides, with --recommend; those that are not capable of it are told
    #[arg(long, value_name = "CAPABILITY", value_delimiter = ',', requires = "recommend")]
    pub need: Vec<Need>,
    /// Also write a page with tables and plots, complete in itself, into this file
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Print each measurement as a JSON object on a line of its own, after one that says what is measured and where
    #[arg(long)]
    pub json: bool,
    /// Leave out the headings of the tables
    #[arg(long, conflicts_with = "json")]
    pub noheadings: bool,
    /// List the transports, of which family each is, which patterns it has and what it is, and measure nothing
    #[arg(long, conflicts_with_all = ["recommend", "html"])]
    pub list: bool,
}

/// What no name says: the milliseconds that a measurement takes where everything is measured, and where a few things are.
const SHORT: u32 = 50;
const LONG: u32 = 200;

impl Arguments {
    /// How long a measurement takes, in milliseconds.
    pub fn time_ms(&self) -> u32 {
        self.time.unwrap_or(if self.transports.is_empty() { SHORT } else { LONG })
    }
}

/// The columns of a manual page on a narrow terminal.
const WIDTH: usize = 73;

/// What comes after the options: what there is, in lines that fit a manual page.
fn help() -> String {
    let mut text = "Transports (--list tells more):\n".to_owned();
    let registry = Registry::own();
    let width = registry.entries().iter().map(|entry| entry.name().len()).max().unwrap_or(0);
    for entry in registry.entries() {
        let about = entry.about();
        // The first words of a long one say enough.
        let short =
            if width + about.len() + 4 > WIDTH { about.split(',').next().unwrap_or(about) } else { about };
        let line = format!("  {:width$}  {short}", entry.name());
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text += "\nCapabilities that --need knows:\n";
    for need in Need::all() {
        let _ = writeln!(text, "  {need:14}  {}", need.means());
    }
    text + "\n" + EXAMPLES
}

/// A number of bytes, with `k`, `m` or `g` for powers of 1024.
fn size(word: &str) -> Result<usize, String> {
    let wrong =
        || format!("{word:?} is no size: a number from 1, with k, m or g behind it for powers of 1024");
    let lower = word.to_ascii_lowercase();
    let (digits, shift) = match lower.strip_suffix(['k', 'm', 'g']) {
        Some(digits) if lower.ends_with('k') => (digits, 10),
        Some(digits) if lower.ends_with('m') => (digits, 20),
        Some(digits) => (digits, 30),
        None => (lower.as_str(), 0),
    };
    let number: usize = digits.parse().map_err(|_| wrong())?;
    number.checked_mul(1 << shift).filter(|&bytes| bytes > 0).ok_or_else(wrong)
}
