//! The machine in words.

use crate::Machine;

/// What figures depend on, as far as the machine tells it.
pub(super) fn facts(machine: &Machine) -> Vec<(String, String)> {
    let caches = machine
        .caches
        .iter()
        .map(|cache| format!("L{} {} {}", cache.level, cache.kind.to_lowercase(), cache.size));
    let caches = caches.collect::<Vec<_>>().join(", ");
    let facts = [
        ("Processor", machine.cpu.clone()),
        ("CPUs", Some(machine.cpus.to_string())),
        ("Caches", Some(caches).filter(|caches| !caches.is_empty())),
        ("Governor", machine.governor.clone()),
        ("Virtual machine", machine.is_virtual.map(|it| if it { "yes" } else { "no" }.to_owned())),
        ("Memory", machine.memory.map(|bytes| format!("{:.1} GiB", bytes as f64 / (1u64 << 30) as f64))),
        ("Kernel", Some(format!("Linux {}, {}", machine.kernel, machine.architecture))),
    ];
    facts.into_iter().filter_map(|(what, said)| Some((what.to_owned(), said?))).collect()
}
