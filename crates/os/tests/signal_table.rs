//! The table of signals, against bash's.

use std::process::Command;

use twixt_os::signal::{DefaultAction, Signal, SignalSet};

/// `kill -l` as pairs of number and name.
fn bash_table() -> Vec<(i32, String)> {
    let output = Command::new("bash").args(["-c", "kill -l"]).output().expect("bash");
    let text = String::from_utf8(output.stdout).unwrap();
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    words.chunks(2).map(|pair| (pair[0].trim_end_matches(')').parse().unwrap(), pair[1].to_owned())).collect()
}

#[test]
fn the_names_are_those_of_kill_l() {
    let bash = bash_table();
    let ours: Vec<_> = Signal::all().map(|signal| (signal.as_raw(), signal.name().to_owned())).collect();
    assert_eq!(ours.len(), 62);
    assert_eq!(ours, bash);
}

#[test]
fn every_form_of_a_name_is_parsed() {
    for signal in Signal::all() {
        for text in [
            signal.name().to_owned(),
            signal.short_name().to_owned(),
            signal.name().to_ascii_lowercase(),
            signal.as_raw().to_string(),
            signal.to_string(),
        ] {
            assert_eq!(text.parse(), Ok(signal), "{text}");
        }
        assert!(!signal.description().is_empty());
        assert_eq!(Signal::try_from(signal.as_raw()), Ok(signal));
    }
    for (text, number) in [
        ("SigIot", 6),
        ("poll", 29),
        ("CLD", 17),
        ("RTMIN+0", 34),
        ("rtmin+30", 64),
        ("RTMAX-30", 34),
        ("SIGRTMAX-0", 64),
    ] {
        assert_eq!(text.parse::<Signal>().unwrap().as_raw(), number, "{text}");
    }
}

#[test]
fn what_is_no_signal_is_refused_with_a_reason() {
    for (text, reason) in [
        ("0", "only asks"),
        ("32", "C library"),
        ("33", "C library"),
        ("65", "1 to 64"),
        ("-1", "1 to 64"),
        ("99999999999", "1 to 64"),
        ("", "no signal has this name"),
        ("SIG", "no signal has this name"),
        ("SIGSIGINT", "no signal has this name"),
        ("RTMIN+31", "no signal has this name"),
        ("RTMIN+-1", "no signal has this name"),
        ("RTMIN++1", "no signal has this name"),
        ("RTMAX+1", "no signal has this name"),
        ("RTMAX-", "no signal has this name"),
        ("RTMAX-31", "no signal has this name"),
        ("USR3\u{1b}[2J", "\\u{1b}"),
    ] {
        let error = text.parse::<Signal>().unwrap_err().to_string();
        assert!(error.contains(reason), "{text}: {error}");
    }
    assert_eq!(Signal::new(i32::MIN), None);
    assert_eq!(Signal::new(256 + 10), None);
    assert_eq!(Signal::real_time(31), None);
    assert!(Signal::try_from(32).unwrap_err().to_string().contains("C library"));
}

#[test]
fn default_actions_are_what_the_kernel_does() {
    // A shell would pass on what whoever started the tests ignores.
    let _test = twixt_testkit::test!();
    let of = |action| Signal::all().filter(|signal| signal.default_action() == action).collect::<SignalSet>();
    use Signal as S;
    assert_eq!(of(DefaultAction::Ignore), SignalSet::from([S::CHLD, S::URG, S::WINCH]));
    assert_eq!(of(DefaultAction::Stop), SignalSet::from([S::STOP, S::TSTP, S::TTIN, S::TTOU]));
    assert_eq!(of(DefaultAction::Continue), SignalSet::from(S::CONT));
    // The others end a process: let each end a shell, and see whether it would have dumped core.
    let deadly = of(DefaultAction::Terminate) | of(DefaultAction::DumpCore);
    assert_eq!(deadly.len(), 62 - 8);
    for signal in deadly.iter() {
        use std::os::unix::process::ExitStatusExt;
        // Without a core limit the kernel says that it dumped core only if it did; so look at the signal alone.
        let script = format!("ulimit -c 0; kill -{} $$; sleep 100", signal.as_raw());
        let status = Command::new("sh").args(["-c", &script]).status().unwrap();
        assert_eq!(status.signal(), Some(signal.as_raw()), "{signal}");
    }
    assert!(!S::KILL.is_catchable() && !S::STOP.is_catchable());
    assert_eq!(Signal::all().filter(|signal| signal.is_catchable()).count(), 60);
    assert_eq!(DefaultAction::DumpCore.to_string(), "core");
}

#[test]
fn sets_are_sets() {
    let set = SignalSet::from([Signal::INT, Signal::RTMAX]);
    assert_eq!(set.to_string(), "{SIGINT SIGRTMAX}");
    assert_eq!(format!("{:?}", SignalSet::EMPTY), "SignalSet{}");
    assert_eq!(set.len(), 2);
    assert_eq!(set.bits(), 1 << 1 | 1 << 63);
    assert_eq!(set.iter().collect::<SignalSet>(), set);
    assert_eq!(set.without(Signal::INT), Signal::RTMAX.into());
    assert_eq!(!!set, set);
    assert_eq!((!set & set), SignalSet::EMPTY);
    assert_eq!(!set | set, SignalSet::ALL);
    assert_eq!(SignalSet::from_bits(u64::MAX), SignalSet::ALL);
    assert_eq!(SignalSet::ALL.iter().count(), 62);
    let mut grown = SignalSet::default();
    assert!(grown.is_empty());
    grown.extend([Signal::HUP]);
    assert!(grown.contains(Signal::HUP));
}
