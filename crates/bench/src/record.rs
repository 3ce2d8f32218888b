//! What was measured, as a line of JSON says it.

use serde::{Deserialize, Serialize};

use crate::{Pattern, Touch, Waiting, Workload};

/// One repeat of one workload over one transport: a line of `--json`. Fields that a pattern does not have are null.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The transport's name or address.
    pub transport: String,
    /// The pattern.
    pub pattern: Pattern,
    /// Bytes of a message.
    pub size: usize,
    /// How the parties waited.
    pub wait: Waiting,
    /// How much of each message was touched.
    pub touch: Touch,
    /// Parties that sent.
    pub pubs: usize,
    /// Parties that received.
    pub subs: usize,
    /// Which repeat, from 0.
    pub repeat: usize,
    /// What came of it.
    pub status: Status,
    /// Messages, or round trips, in the measured part.
    pub n: u64,
    /// Half of the round trips took no longer, in nanoseconds.
    pub p50_ns: Option<f64>,
    /// 99 of 100 took no longer.
    pub p99_ns: Option<f64>,
    /// 999 of 1000 took no longer.
    pub p999_ns: Option<f64>,
    /// The longest.
    pub max_ns: Option<f64>,
    /// Messages per second; with fan-out, to each receiver; round trips per second.
    pub msgs_per_s: Option<f64>,
    /// Bytes of messages per second, counted likewise.
    pub bytes_per_s: Option<f64>,
    /// How far it is from the floor, in the same repeat: its time divided by the floor's, or the floor's rate by its.
    /// 1 is the floor; larger is slower.
    pub floor_ratio: Option<f64>,
    /// Processor time of all parties, for each message that a publisher sends, in nanoseconds. A process besides the parties,
    /// such as a driver, is not in it.
    pub cpu_ns_per_msg: Option<f64>,
    /// Context switches of all parties, for each message that a publisher sends.
    pub switches_per_msg: Option<f64>,
    /// System calls of all parties, for each message that a publisher sends, counted in short runs of their own. Only where
    /// the parties block: a traced party that spins spins longer. To a tenth. Threads of a library that do something of their
    /// own meanwhile count as well, and where one call takes several messages, those of the slow run that is counted do.
    pub syscalls_per_msg: Option<f64>,
    /// Messages that were lost on the way.
    pub lost: u64,
    /// How much had room in it, in bytes, if that was chosen.
    pub capacity: Option<u64>,
    /// Round trips: how many (second) took so many nanoseconds (first).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub histogram: Vec<(u64, u64)>,
}

/// What came of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// All went well.
    Ok,
    /// The transport cannot do it; why.
    Unsupported(String),
    /// It failed; how.
    Failed(String),
}

impl Record {
    /// Whether there is a measurement.
    pub fn is_ok(&self) -> bool {
        self.status == Status::Ok
    }

    /// What was measured.
    pub fn workload(&self) -> Workload {
        Workload {
            pattern: self.pattern,
            size: self.size,
            waiting: self.wait,
            touch: self.touch,
            publishers: self.pubs,
            subscribers: self.subs,
        }
    }
}
