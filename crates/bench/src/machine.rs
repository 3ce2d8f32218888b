//! On which machine something was measured.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// On which machine something was measured: what figures depend on and cannot be seen in them. What the machine does not
/// tell is null.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// The processor's name.
    pub cpu: Option<String>,
    /// CPUs that this process may use.
    pub cpus: usize,
    /// Those that share a core with the first of them, itself included: `0` or `0,4`.
    pub siblings: Option<String>,
    /// The caches of the first.
    pub caches: Vec<Cache>,
    /// How its frequency is governed.
    pub governor: Option<String>,
    /// Whether a hypervisor has it, which may take its time away.
    pub is_virtual: Option<bool>,
    /// Bytes of memory.
    pub memory: Option<u64>,
    /// The kernel's release.
    pub kernel: String,
    /// The architecture.
    pub architecture: String,
}

/// A cache.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cache {
    /// 1 is the nearest.
    pub level: u32,
    /// `Data`, `Instruction` or `Unified`.
    pub kind: String,
    /// As the kernel writes it: `2048K`.
    pub size: String,
    /// The bytes of a line.
    pub line: Option<u32>,
}

impl Machine {
    /// This one.
    pub fn this() -> Self {
        let cpu = Path::new("/sys/devices/system/cpu/cpu0");
        let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let field = |name: &str| {
            info.lines().find_map(|line| {
                let (key, value) = line.split_once(':')?;
                (key.trim() == name).then(|| value.trim().to_owned())
            })
        };
        let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let memory =
            memory.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix("kB"));
        let name = rustix::system::uname();
        Self {
            cpu: field("model name"),
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            siblings: word(&cpu.join("topology/thread_siblings_list")),
            caches: caches(&cpu.join("cache")),
            governor: word(&cpu.join("cpufreq/scaling_governor")),
            is_virtual: field("flags").map(|flags| flags.split(' ').any(|flag| flag == "hypervisor")),
            memory: memory.and_then(|kib| kib.trim().parse::<u64>().ok()).map(|kib| kib << 10),
            kernel: name.release().to_string_lossy().into_owned(),
            architecture: name.machine().to_string_lossy().into_owned(),
        }
    }
}

fn caches(directory: &Path) -> Vec<Cache> {
    let cache = |index: usize| {
        let directory = directory.join(format!("index{index}"));
        Some(Cache {
            level: word(&directory.join("level"))?.parse().ok()?,
            kind: word(&directory.join("type"))?,
            size: word(&directory.join("size"))?,
            line: word(&directory.join("coherency_line_size")).and_then(|line| line.parse().ok()),
        })
    };
    (0..).map_while(cache).collect()
}

fn word(path: &Path) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim().to_owned()).filter(|word| !word.is_empty())
}
