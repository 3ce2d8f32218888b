//! The examples of commands as streams run as their first lines say.

use std::process::Command;

use twixt_testkit::test;

#[test]
fn a_command_is_read() {
    let _test = test!();
    let output = Command::new(env!("CARGO_BIN_EXE_popen-reader")).arg("echo read; exit 3").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text, "output was:-\nread\n\nexit status: 3\n");
    let output = Command::new(env!("CARGO_BIN_EXE_popen-reader")).output().unwrap();
    assert!(String::from_utf8(output.stdout).unwrap().starts_with("output was:-\nLinux "));
}

#[test]
fn a_command_is_written() {
    let _test = test!();
    let output = Command::new(env!("CARGO_BIN_EXE_popen-writer")).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("0000000   O   n   c   e       u   p   o   n"), "{text}");
    assert!(text.ends_with("exit status: 0\n"), "{text}");
}
