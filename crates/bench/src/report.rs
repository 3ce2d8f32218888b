//! All that a measurement gives.

use crate::{Machine, Noise, Record, Summary};

/// All that a measurement gives.
#[derive(Clone, Debug)]
pub struct Report {
    /// On which machine.
    pub machine: Machine,
    /// What was measured, in the order in which it was.
    pub records: Vec<Record>,
    /// How noisy it was meanwhile: one for each workload and repeat.
    pub noise: Vec<Noise>,
    /// What could not be done, said once.
    pub remarks: Vec<String>,
}

impl Report {
    /// The repeats of each taken together.
    pub fn summaries(&self) -> Vec<Summary> {
        Summary::of(&self.records)
    }

    /// Whether it was too noisy to tell, when this was measured; and why.
    pub fn too_noisy(&self, record: &Record) -> Option<&str> {
        self.noise.iter().find(|noise| noise.is_of(record))?.too_noisy.as_deref()
    }
}
