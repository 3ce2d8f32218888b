//! Records put together: a block for each workload, a row for each transport.

use core::cmp::Ordering;

use crate::{Family, Pattern, Record, Spread, Status, Summary, Workload};

/// A workload, and what every transport made of it.
#[derive(Clone, Debug)]
pub struct Block {
    /// What was to be done.
    pub workload: Workload,
    /// Those of which there are figures, best first; the floor before the others.
    pub rows: Vec<Row>,
    /// Those that cannot do it, and why.
    pub unsupported: Vec<(String, String)>,
    /// Those that failed, and how; a row has what they did before.
    pub failed: Vec<(String, String)>,
    /// What makes the figures doubtful.
    pub doubts: Vec<String>,
}

/// A transport in a workload, all repeats together.
#[derive(Clone, Debug)]
pub struct Row {
    /// Of which family it is.
    pub family: Family,
    /// What it did.
    pub summary: Summary,
}

impl Block {
    /// One for each workload of the records, in their order.
    pub fn all(records: &[Record], family: &dyn Fn(&str) -> Family) -> Vec<Self> {
        let mut workloads: Vec<(Workload, Vec<&Record>)> = Vec::new();
        for record in records {
            let workload = record.workload();
            match workloads.iter_mut().find(|(known, _)| *known == workload) {
                Some((_, records)) => records.push(record),
                None => workloads.push((workload, vec![record])),
            }
        }
        workloads.into_iter().map(|(workload, records)| Self::one(workload, &records, family)).collect()
    }

    fn one(workload: Workload, records: &[&Record], family: &dyn Fn(&str) -> Family) -> Self {
        let mut names: Vec<&str> = Vec::new();
        for record in records {
            if !names.contains(&record.transport.as_str()) {
                names.push(&record.transport);
            }
        }
        let (mut rows, mut unsupported, mut failed) = (Vec::new(), Vec::new(), Vec::new());
        for name in names {
            let own: Vec<&Record> =
                records.iter().copied().filter(|record| record.transport == name).collect();
            let trouble = own.iter().map(|record| &record.status).find(|&status| *status != Status::Ok);
            match trouble {
                Some(Status::Unsupported(why)) => unsupported.push((name.to_owned(), why.clone())),
                Some(Status::Failed(how)) => failed.push((name.to_owned(), how.clone())),
                _ => {}
            }
            let good: Vec<Record> = own.into_iter().filter(|record| record.is_ok()).cloned().collect();
            let summaries = Summary::of(&good).into_iter();
            rows.extend(summaries.map(|summary| Row { family: family(name), summary }));
        }
        rows.sort_by(|one, other| {
            let is_no_floor = |row: &Row| row.family != Family::Floor;
            is_no_floor(one).cmp(&is_no_floor(other)).then_with(|| one.compare(other, workload.pattern))
        });
        // Of the floor nobody asked for all; but without any of it, it is to be seen why.
        if rows.iter().any(|row: &Row| row.family == Family::Floor) {
            unsupported.retain(|(name, _)| family(name) != Family::Floor);
        }
        Self { workload, rows, unsupported, failed, doubts: Vec::new() }
    }

    /// The least of all round trips' medians, or the greatest of the rates, and the other end: what bars lie between.
    pub fn range(&self) -> Option<(f64, f64)> {
        let values = || self.rows.iter().filter_map(|row| row.summary.figure()).map(|it| it.median);
        values().reduce(f64::min).zip(values().reduce(f64::max))
    }
}

impl Row {
    /// The better first; what cannot be told apart by its median, by the round trips that took long.
    pub(crate) fn compare(&self, other: &Self, pattern: Pattern) -> Ordering {
        let median = |figure: Option<Spread>, none: f64| figure.map_or(none, |figure| figure.median);
        let figures = |row: &Self| (row.summary.figure(), row.summary.p99_ns);
        let ((own, own_long), (others, others_long)) = (figures(self), figures(other));
        if pattern == Pattern::Rtt {
            let best = median(own, f64::INFINITY).total_cmp(&median(others, f64::INFINITY));
            let long = || median(own_long, f64::INFINITY).total_cmp(&median(others_long, f64::INFINITY));
            best.then_with(long)
        } else {
            median(others, 0.0).total_cmp(&median(own, 0.0))
        }
    }
}
