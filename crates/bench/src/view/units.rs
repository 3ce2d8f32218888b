//! Figures for people: three digits, and a unit.

/// How figures are written.
#[derive(Clone, Copy, Debug)]
pub struct Units {
    /// Whether letters may be used that ASCII does not have.
    pub is_utf8: bool,
}

impl Units {
    /// Nanoseconds.
    pub fn time(self, ns: f64) -> String {
        let micro = if self.is_utf8 { "µs" } else { "us" };
        let (value, unit) = match ns {
            _ if ns < 999.5 => (ns, "ns"),
            _ if ns < 999.5e3 => (ns / 1e3, micro),
            _ if ns < 999.5e6 => (ns / 1e6, "ms"),
            _ => (ns / 1e9, "s"),
        };
        // Less than a nanosecond is nobody's time but that of processors.
        let digits = if unit == "ns" && value >= 10.0 { format!("{value:.0}") } else { three(value) };
        format!("{digits} {unit}")
    }

    /// A number of things each second, with k, M and G for powers of 1000.
    pub fn rate(self, rate: f64) -> String {
        match rate {
            _ if rate < 999.5 => three(rate),
            _ if rate < 999.5e3 => format!("{}k", three(rate / 1e3)),
            _ if rate < 999.5e6 => format!("{}M", three(rate / 1e6)),
            _ => format!("{}G", three(rate / 1e9)),
        }
    }

    /// Bytes each second, in powers of 1024.
    pub fn bytes_rate(self, rate: f64) -> String {
        let mut rest = rate;
        for unit in ["B/s", "KiB/s", "MiB/s"] {
            if rest < 1000.0 {
                return format!("{} {unit}", three(rest));
            }
            rest /= 1024.0;
        }
        format!("{} GiB/s", three(rest))
    }

    /// How many times.
    pub fn ratio(self, ratio: f64) -> String {
        let times = if self.is_utf8 { "×" } else { "x" };
        format!("{}{times}", three(ratio))
    }

    /// A share on both sides of something.
    pub fn spread(self, share: f64) -> String {
        let sign = if self.is_utf8 { "±" } else { "+-" };
        let percent = share * 100.0;
        if percent < 9.95 { format!("{sign}{percent:.1}%") } else { format!("{sign}{percent:.0}%") }
    }

    /// So many for each.
    pub fn each(self, count: f64) -> String {
        match count {
            0.0 => "0".to_owned(),
            _ if count < 0.005 => "<0.01".to_owned(),
            _ if count < 99.5 => format!("{count:.2}"),
            _ => format!("{count:.0}"),
        }
    }

    /// A size, as it is typed.
    pub fn size(self, bytes: usize) -> String {
        match bytes {
            0 => "0 B".to_owned(),
            _ if bytes.is_multiple_of(1 << 30) => format!("{} GiB", bytes >> 30),
            _ if bytes.is_multiple_of(1 << 20) => format!("{} MiB", bytes >> 20),
            _ if bytes.is_multiple_of(1 << 10) => format!("{} KiB", bytes >> 10),
            _ => format!("{bytes} B"),
        }
    }

    /// Seconds that somebody has to wait.
    pub fn wait(self, seconds: f64) -> String {
        let whole = seconds.ceil() as u64;
        match whole {
            0..=1 => "a second".to_owned(),
            2..=90 => format!("{whole} seconds"),
            91..=5400 => format!("{} minutes", (whole + 30) / 60),
            _ => format!("{:.1} hours", seconds / 3600.0),
        }
    }
}

/// Three digits that count.
fn three(value: f64) -> String {
    match value {
        0.0 => "0".to_owned(),
        _ if value < 9.995 => format!("{value:.2}"),
        _ if value < 99.95 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}
