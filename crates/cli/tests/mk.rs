//! `twixt mk`: what it makes is what other tools see, and what fails leaves nothing.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use serde_json::Value;
use twixt_testkit::{command, root, scratch, test, unique_key, unique_name};

#[path = "support/tool.rs"]
mod tool;
use tool::{as_nobody, end, remove_at_end, run, twixt};

fn says(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn addresses_are_printed_in_their_canonical_form() {
    let _test = test!();
    let scratch = scratch();
    let directory = scratch.path().display();
    let (name, key) = (unique_name(), unique_key());
    let addresses =
        [format!("fifo:{directory}/a"), format!("posix-sem:/{name}"), format!("file:{directory}/b")];
    let _remove = remove_at_end(&addresses[1]);
    let printed =
        run(&format!("mk {}?mode=600 {}?value=1&create {}", addresses[0], addresses[1], addresses[2])).well();
    assert_eq!(printed.lines().collect::<Vec<_>>(), addresses);

    let _remove = remove_at_end(&format!("sysv-sem:{key}"));
    let printed = run(&format!("mk sysv-sem:{key}")).well();
    let (address, id) = printed.trim_end().split_once(" id=").unwrap();
    assert_eq!(address, format!("sysv-sem:{key:#x}"));
    assert!(id.parse::<i32>().is_ok());
}

#[test]
fn a_private_object_is_printed_as_the_shell_can_use_it() {
    let _test = test!();
    let printed = run("mk sysv-msg:private").well();
    let address = printed.trim_end();
    assert!(address.starts_with("sysv-msg:id="), "{address}");
    assert_eq!(run(&format!("rm --yes {address}")).well(), "");
    run(&format!("rm --yes {address}")).fails(1, "cannot open System V message queue");
}

#[test]
fn json_lines_have_stable_fields() {
    let _test = test!();
    let (name, key) = (unique_name(), unique_key());
    let _queue = remove_at_end(&format!("posix-mq:/{name}"));
    let _segment = remove_at_end(&format!("sysv-shm:{key}"));
    let printed = run(&format!("mk posix-mq:/{name} sysv-shm:{key}?size=1 --json")).well();
    let lines: Vec<Value> = printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let expected = serde_json::json!({
        "schema": 1, "address": format!("posix-mq:/{name}"), "mechanism": "posix-mq", "id": null, "key": null,
    });
    assert_eq!(lines[0], expected);
    assert_eq!(lines[1]["key"], format!("{key:#010x}"));
    assert!(lines[1]["id"].is_i64());
}

#[test]
fn util_linux_sees_what_was_made() {
    let test = test!();
    if let Err(missing) = command("ipcs") {
        return test.skip(&missing);
    }
    let key = unique_key();
    let _all = ["sysv-msg", "sysv-sem", "sysv-shm"].map(|scheme| remove_at_end(&format!("{scheme}:{key}")));
    let made = run(&format!(
        "mk --mode 0640 sysv-msg:{key}?capacity=1000 sysv-sem:{key}?count=3&value=7 sysv-shm:{key}?size=5000"
    ))
    .well();
    let ids: Vec<&str> = made.lines().map(|line| line.split_once(" id=").unwrap().1).collect();
    let queue = says("ipcs", &["-q", "-i", ids[0]]);
    assert!(queue.contains("mode=0640") && queue.contains("qbytes=1000"), "{queue}");
    let set = says("ipcs", &["-s", "-i", ids[1]]);
    assert!(set.contains("mode=0640") && set.contains("nsems = 3"), "{set}");
    let values = set.lines().filter(|line| line.split_whitespace().nth(1) == Some("7")).count();
    assert_eq!(values, 3, "{set}");
    let segment = says("ipcs", &["-m", "-i", ids[2]]);
    assert!(segment.contains("mode=0640") && segment.contains("bytes=5000"), "{segment}");
    if command("lsipc").is_ok() {
        let table = says("lsipc", &["-q", "-i", ids[0]]);
        assert!(table.contains(&format!("{key:#010x}")), "{table}");
    }
}

#[test]
fn the_mode_is_the_one_asked_for() {
    let _test = test!();
    let scratch = scratch();
    let name = unique_name();
    let _remove =
        [remove_at_end(&format!("posix-sem:/{name}")), remove_at_end(&format!("posix-shm:/{name}"))];
    let fifo = scratch.path().join("fifo");
    let mut shell = Command::new("sh");
    shell.args(["-c", "umask 077 && exec \"$@\"", "sh", env!("CARGO_BIN_EXE_twixt"), "mk", "--mode", "0666"]);
    shell.args([
        &format!("fifo:{}", fifo.display()),
        &format!("posix-sem:/{name}"),
        &format!("posix-shm:/{name}?size=1&mode=0640"),
    ]);
    end(shell).well();
    let mode = |path: &str| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(fifo.to_str().unwrap()), 0o666);
    assert_eq!(mode(&format!("/dev/shm/sem.{name}")), 0o666);
    assert_eq!(mode(&format!("/dev/shm/{name}")), 0o640, "what the address says counts more");
}

#[test]
fn wrong_input_names_the_wrong_part() {
    let _test = test!();
    for (line, part) in [
        ("mk", "<ADDRESS>"),
        ("mk jobs", "bad address \"jobs\""),
        ("mk fif:/tmp/x", "fif"),
        ("mk fifo:", "path is missing"),
        ("mk posix-mq:/a/b", "second slash"),
        ("mk sysv-msg:0x1ffffffff", "0x1ffffffff"),
        ("mk sysv-msg:", "key is missing"),
        ("mk fifo:/tmp/x?mode=0999", "0999"),
        ("mk fifo:/tmp/x?sise=4k", "sise"),
        ("mk --mode 999 fifo:/tmp/x", "'999' for '--mode <OCTAL>': a mode is an octal number"),
        ("mk --mode 01777 fifo:/tmp/x", "'01777' for '--mode <OCTAL>'"),
        ("mk --size 4x posix-shm:/x", "'4x' for '--size <BYTES>'"),
        ("mk --size -1 posix-shm:/x", "-1"),
        ("mk --size 0 posix-shm:/x", "size 0 is too small"),
        ("mk --size 99999999999G posix-shm:/x", "too large"),
        ("mk --count 0 sysv-sem:private", "count 0 is too small"),
        ("mk --count many sysv-sem:private", "'many' for '--count <N>'"),
        ("mk --value 40000 sysv-sem:private", "value of sysv-sem"),
        ("mk --value -1 posix-sem:/x", "-1"),
        ("mk --value 3000000000 posix-sem:/x", "value of posix-sem"),
        ("mk --size 4k fifo:/tmp/x", "option size does not apply to fifo"),
        ("mk --message-size 1k sysv-msg:private", "option message-size does not apply"),
        ("mk --capacity 0 posix-mq:/x", "fs.mqueue.msg_max"),
        ("mk posix-shm:/x", "cannot make posix-shm:/x: its size is missing; give size"),
        ("mk pipe:", "an anonymous pipe has no name"),
        ("mk unix:/tmp/x", "made by the process that serves it"),
        ("mk topic:x?history=3", "option history says nothing about an object that is made"),
        ("mk topic:x?capacity=1k&budget=1k", "capacity and budget exclude each other"),
        ("mk rpc:x?budget=1k", "option budget does not apply to rpc"),
        ("mk sysv-msg:id=1", "the kernel chooses the number"),
        ("mk --nonsense fifo:/tmp/x", "--nonsense"),
    ] {
        let stderr = run(line).fails(2, part);
        assert!(!stderr.contains('\x1b'), "no colour without a terminal: {stderr:?}");
    }
}

#[test]
fn nothing_is_made_when_one_of_several_is_wrong() {
    let _test = test!();
    let scratch = scratch();
    let directory = scratch.path().display();
    // Seen before anything is made.
    run(&format!("mk fifo:{directory}/a file:{directory}/b?mode=9")).fails(2, "mode 9");
    run(&format!("mk fifo:{directory}/a pipe:")).fails(2, "cannot make pipe:");
    // Seen when the others are made already.
    fs::write(scratch.path().join("c"), "mine").unwrap();
    let name = unique_name();
    let line = format!(
        "mk fifo:{directory}/a posix-sem:/{name} sysv-sem:private file:{directory}/c lock:{directory}/d"
    );
    run(&line).fails(2, "cannot create file");
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 1);
    assert_eq!(fs::read_to_string(scratch.path().join("c")).unwrap(), "mine");
    assert!(!fs::exists(format!("/dev/shm/sem.{name}")).unwrap());
}

#[test]
fn what_cannot_be_told_is_not_made() {
    let _test = test!();
    let name = unique_name();
    let mut command = twixt(["mk", &format!("posix-sem:/{name}")]);
    command.stdout(File::options().write(true).open("/dev/full").unwrap());
    end(command).fails(2, "cannot print what was made");
    assert!(!fs::exists(format!("/dev/shm/sem.{name}")).unwrap());
}

#[test]
fn what_the_kernel_refuses_is_refused() {
    let test = test!();
    let scratch = scratch();
    let directory = scratch.path().display();
    run(&format!("mk fifo:{directory}/a")).well();
    run(&format!("mk fifo:{directory}/a")).fails(2, "file exists (EEXIST)");
    run(&format!("mk fifo:{directory}/none/a")).fails(2, "no such file or directory (ENOENT)");
    if let Err(missing) = root() {
        return test.skip(&missing);
    }
    fs::set_permissions(scratch.path(), PermissionsExt::from_mode(0o755)).unwrap();
    end(as_nobody(twixt(["mk", &format!("fifo:{directory}/b")]))).fails(2, "permission denied (EACCES)");
    let stderr = end(as_nobody(twixt(["mk", "sysv-msg:private?capacity=1G"]))).fails(2, "kernel.msgmnb");
    assert!(stderr.contains("1073741824 is needed"), "{stderr}");
}

#[test]
fn an_address_may_have_any_bytes() {
    let _test = test!();
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let scratch = scratch();
    let mut address = OsStr::new("fifo:").to_owned();
    address.push(scratch.path());
    address.push(OsStr::from_bytes(b"/\xff\x1b[31m"));
    let printed = end(twixt([OsStr::new("mk"), &address])).well();
    assert_eq!(printed.trim_end(), format!("fifo:{}/%FF%1B[31m", scratch.path().display()));
    run(&format!("rm --yes {printed}")).well();
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0);
}
