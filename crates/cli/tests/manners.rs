//! What holds for every command: closed pipes, colour, help, and what is made of the definition.

use std::fs;
use std::process::{Command, Stdio};

use twixt_testkit::{command as command_of, scratch, test, unique_name};

#[path = "support/tool.rs"]
mod tool;
use tool::{end, printed_on_terminal, remove_at_end, run, twixt};

#[test]
fn a_reader_that_goes_is_no_error() {
    let _test = test!();
    let name = unique_name();
    let _remove = remove_at_end(&format!("posix-sem:/{name}"));
    let make = format!("mk posix-sem:/{name}");
    for line in
        ["signal list", "signal list --json", "--help", "mk --help", "completions bash", "tour --list", &make]
    {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = twixt(line.split(' '));
        command.stdout(writer);
        let ended = end(command);
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{line}");
    }
}

#[test]
fn head_has_what_it_wants() {
    let _test = test!();
    let mut shell = Command::new("bash");
    let line = "set -o pipefail; \"$0\" signal list | head -1";
    shell.args(["-c", line, env!("CARGO_BIN_EXE_twixt")]).stdin(Stdio::null());
    assert!(end(shell).well().starts_with("NUMBER"));
}

#[test]
fn what_a_closed_stream_would_lose_is_refused_before_it_is_taken() {
    let _test = test!();
    let address = format!("posix-mq:/{}", unique_name());
    let _remove = remove_at_end(&address);
    run(&format!("send {address}?create kept")).well();
    let shell = |line: &str| {
        let mut shell = Command::new("sh");
        shell.args(["-c", line, env!("CARGO_BIN_EXE_twixt"), &address]).stdin(Stdio::null());
        end(shell)
    };
    shell(r#""$0" recv "$1" -n 1 >&-"#).fails(2, "standard output: it was closed");
    shell(r#""$0" recv "$1" --json -n 1 >&-"#).fails(2, "standard output: it was closed");
    shell(r#""$0" call unix:@nobody hello >&-"#).fails(2, "standard output: it was closed");
    shell(r#""$0" send "$1" <&-"#).fails(2, "standard input: it was closed");
    shell(r#""$0" send "$1" 'from an argument' <&-"#).well();
    assert_eq!(run(&format!("recv {address} -n 1")).well(), "kept\n");
    // What the user throws away, also through a descriptor such as the runtime would open, is thrown away.
    shell(r#"exec 3<>/dev/null; "$0" recv "$1" -n 1 >&3"#).well();
}

#[test]
fn colour_is_for_terminals() {
    let _test = test!();
    let mut command = twixt(["signal", "list"]);
    command.env("TERM", "xterm");
    assert!(printed_on_terminal(command).contains("\x1b["));
    let mut command = twixt(["signal", "list"]);
    command.env("TERM", "xterm").env("NO_COLOR", "1");
    assert!(!printed_on_terminal(command).contains('\x1b'));
    assert!(!run("signal list").well().contains('\x1b'));
}

#[test]
fn a_command_line_without_a_command_is_wrong() {
    let _test = test!();
    run("").fails(2, "Usage: twixt <COMMAND>");
    run("nonsense").fails(2, "nonsense");
}

#[test]
fn help_tells_the_units() {
    let _test = test!();
    for (line, parts) in [
        ("--help", &["mk", "rm", "signal", "tour", "Exit status"][..]),
        (
            "mk --help",
            &[
                "in octal",
                "Bytes of shared memory",
                "powers of 1024",
                "1 to 65536",
                "System V to 32767, POSIX to 2147483647",
                "How many messages a POSIX queue holds, or how many bytes a System V queue",
                "Bytes of the longest message",
                "Examples:",
            ],
        ),
        ("rm --help", &["Do not ask", "unix:/path", "exit status 1", "Examples:"]),
        ("signal list --help", &["by name or number"]),
        ("signal send --help", &["process group", "32-bit number"]),
        ("signal wait --help", &["ns, us, ms, s or m", "exit status 4"]),
    ] {
        let help = run(line).well().split_whitespace().collect::<Vec<_>>().join(" ");
        for part in parts {
            assert!(help.contains(part), "{line} does not say {part:?}: {help}");
        }
    }
}

#[test]
fn completions_know_the_commands() {
    let _test = test!();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = run(&format!("completions {shell}")).well();
        for word in ["mk", "message-size", "signal", "timeout"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    run("completions tcsh").fails(2, "tcsh");
    let mut bash = Command::new("bash");
    bash.args(["-n", "/dev/stdin"]);
    let script = scratch();
    let path = script.path().join("twixt.bash");
    fs::write(&path, run("completions bash").well()).unwrap();
    bash.stdin(fs::File::open(&path).unwrap());
    end(bash).well();
}

#[test]
fn manual_pages_are_written() {
    let _test = test!();
    let scratch = scratch();
    run(&format!("man {}", scratch.path().display())).well();
    let mut pages: Vec<String> = fs::read_dir(scratch.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    pages.sort();
    for page in ["twixt.1", "twixt-mk.1", "twixt-rm.1", "twixt-signal-send.1", "twixt-tour.1"] {
        assert!(pages.iter().any(|one| one == page), "{pages:?}");
    }
    let page = fs::read_to_string(scratch.path().join("twixt-mk.1")).unwrap();
    assert!(page.contains("message\\-size") && page.contains("EXAMPLES"), "{page}");
    let page = fs::read_to_string(scratch.path().join("twixt-recv.1")).unwrap();
    let row = page.lines().find(|line| line.trim_start().starts_with("sysv\\-msg "));
    assert!(row.is_some_and(|row| row.contains("yes")), "{page}");
    run("man /nowhere").fails(2, "cannot write the manual pages into /nowhere");
}

/// Every command, as its page is called.
const COMMANDS: &[&str] = &[
    "send",
    "recv",
    "relay",
    "serve",
    "call",
    "with",
    "work",
    "stat",
    "bench",
    "tour",
    "mk",
    "rm",
    "signal",
    "completions",
    "man",
];

#[test]
fn pages_show_the_usage_and_keep_their_columns() {
    let test = test!();
    let scratch = scratch();
    run(&format!("man {}", scratch.path().display())).well();
    for command in COMMANDS {
        let path = scratch.path().join(format!("twixt-{command}.1"));
        let page = fs::read_to_string(&path).unwrap();
        let help = run(&format!("{command} --help")).well();
        let usage = help.lines().find_map(|line| line.strip_prefix("Usage: ")).unwrap();
        assert!(page.contains(&format!(".SH \"SYNOPSIS\"\n{}\n", usage.replace('-', "\\-"))), "{page}");
        assert!(!page.contains("Examples:") && !page.contains("EXTRA"), "{page}");
        // The notes fit into a terminal of 80 columns, of which a page takes 7 for its margin.
        let notes = help.split_once("Print help").unwrap().1;
        for line in notes.lines().skip_while(|line| !line.is_empty()) {
            assert!(line.len() <= if line.starts_with(' ') { 73 } else { 78 }, "{command}: {line}");
        }
        if let Err(missing) = command_of("man") {
            test.skip(&missing);
            continue;
        }
        let mut man = Command::new("man");
        man.args(["-l", "--warnings"]).arg(&path).env("MANWIDTH", "80").env("MANPAGER", "cat");
        let ended = end(man);
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{command}");
    }
}

#[test]
fn what_the_tour_calls_is_not_shown() {
    let _test = test!();
    let help = run("--help").well();
    let scratch = scratch();
    run(&format!("man {}", scratch.path().display())).well();
    assert!(!help.contains("Play one party") && !help.contains("hold-permits"), "{help}");
    let pages = fs::read_dir(scratch.path()).unwrap().count();
    // twixt itself, and what signal can do.
    assert_eq!(pages, 1 + COMMANDS.len() + 3);
}
