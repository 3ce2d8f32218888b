//! `twixt with` in a terminal: Ctrl-C, Ctrl-Z and what shells make of it.

use std::fs;
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;
use twixt::os::Mode;
use twixt::os::posix::sem::Semaphore;
use twixt_testkit::call::NANOSLEEP;
use twixt_testkit::{TempDir, command, scratch, test, unique_name, wait_until_blocked_in};

#[path = "support/process.rs"]
mod process;
use process::{signal, state, until};

/// An interactive shell in a terminal of its own.
struct Shell {
    directory: TempDir,
}

impl Shell {
    fn start() -> Self {
        let shell = Self { directory: scratch() };
        let path = shell.directory.path().display().to_string();
        shell.tmux(&[
            "-f",
            "/dev/null",
            "new-session",
            "-d",
            "-x",
            "100",
            "-y",
            "30",
            "-c",
            &path,
            "bash --norc --noprofile",
        ]);
        shell
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(name)
    }

    fn tmux(&self, arguments: &[&str]) {
        let mut tmux = Command::new("tmux");
        tmux.arg("-S").arg(self.path("tmux")).args(arguments).env_remove("TMUX");
        let output = tmux.output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }

    fn types(&self, line: &str) {
        self.tmux(&["send-keys", "-l", line]);
        self.tmux(&["send-keys", "Enter"]);
    }

    fn presses(&self, key: &str) {
        self.tmux(&["send-keys", key]);
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let mut screen = Command::new("tmux");
            let screen = screen.arg("-S").arg(self.path("tmux")).args(["capture-pane", "-p"]).output();
            eprintln!("on the screen: {}", String::from_utf8_lossy(&screen.unwrap().stdout));
        }
        let _ = Command::new("tmux").arg("-S").arg(self.path("tmux")).arg("kill-server").output();
    }
}

/// What a file says once it is whole.
fn contents(path: &Path) -> String {
    until("written", || fs::read_to_string(path).is_ok_and(|text| text.ends_with('\n')));
    fs::read_to_string(path).unwrap().trim().to_owned()
}

fn number(path: &Path) -> i32 {
    contents(path).parse().unwrap()
}

const TWIXT: &str = env!("CARGO_BIN_EXE_twixt");

fn semaphore() -> (String, Semaphore, impl Drop) {
    let name = format!("/{}", unique_name());
    let semaphore = Semaphore::create(&name, 1, Mode::OWNER).unwrap();
    let guard = semaphore.unlink_on_drop().unwrap();
    (format!("posix-sem:{name}"), semaphore, guard)
}

#[test]
fn ctrl_c_reaches_the_command_once() {
    let test = test!();
    if let Err(missing) = command("tmux") {
        return test.skip(&missing);
    }
    let (address, semaphore, _guard) = semaphore();
    for address in [address, "lock:lock?create".into()] {
        let shell = Shell::start();
        fs::write(
            shell.path("command"),
            "trap 'echo int >> ints' INT; trap 'exit 5' TERM; echo $$ > pid; while :; do sleep 0.01; done\n",
        )
        .unwrap();
        shell.types(&format!(
            "{TWIXT} with '{}' -- bash command; echo $? > status",
            address.replace("lock:lock", &format!("lock:{}", shell.path("lock").display()))
        ));
        let pid = number(&shell.path("pid"));
        shell.presses("C-c");
        until("interrupted", || fs::read_to_string(shell.path("ints")).is_ok_and(|text| !text.is_empty()));
        // It goes on after that, and ends when told to.
        assert!(signal(pid, Signal::TERM));
        assert_eq!(number(&shell.path("status")), 5);
        assert_eq!(contents(&shell.path("ints")), "int", "once");
    }
    assert_eq!(semaphore.value().unwrap(), 1);
}

#[test]
fn ctrl_c_ends_both() {
    let test = test!();
    if let Err(missing) = command("tmux") {
        return test.skip(&missing);
    }
    let (address, semaphore, _guard) = semaphore();
    let shell = Shell::start();
    shell.types("PROMPT_COMMAND='x=$?; [ $x = 130 ] && echo $x > status'");
    // Whether the shell goes on depends on what killed the program: by SIGINT it does not.
    shell.types(&format!(
        "sh -c '{TWIXT} with {address} -- sh -c \"echo \\$\\$ > on; exec sleep 1000\"; echo went on > wrong'"
    ));
    // Between two commands a shell may keep an interrupt for itself.
    let pid = number(&shell.path("on"));
    wait_until_blocked_in(pid.cast_unsigned(), &[NANOSLEEP]);
    shell.presses("C-c");
    // The shell does not go on with a line that was interrupted, and says so before the next prompt.
    assert_eq!(number(&shell.path("status")), 130);
    fs::remove_file(shell.path("status")).unwrap();
    assert!(!shell.path("wrong").exists());
    assert_eq!(semaphore.value().unwrap(), 1);
    // While it waits as well.
    semaphore.acquire().unwrap();
    shell.types(&format!("echo $$ > shell; {TWIXT} with {address} -- true"));
    let pid = number(&shell.path("shell"));
    until("waiting", || {
        let children = process::children(pid);
        children.iter().any(|child| !process::children(*child).is_empty())
    });
    shell.presses("C-c");
    assert_eq!(number(&shell.path("status")), 130);
    assert_eq!(semaphore.value().unwrap(), 0);
}

#[test]
fn ctrl_z_stops_and_fg_goes_on() {
    let test = test!();
    if let Err(missing) = command("tmux") {
        return test.skip(&missing);
    }
    let (address, semaphore, _guard) = semaphore();
    let shell = Shell::start();
    for round in 0..2 {
        let path = |name: &str| shell.path(&format!("{name}{round}"));
        let script = format!(
            "echo $PPID > us{round}; echo $$ > pid{round}; read line; echo $line > said{round}; exit 6"
        );
        fs::write(path("command"), &script).unwrap();
        shell.types(&format!("{TWIXT} with {address} -- bash command{round}"));
        let (command, us) = (number(&path("pid")), number(&path("us")));
        until("reading", || state(command) == Some('S'));
        if round == 0 {
            shell.presses("C-z");
        } else {
            // The command stops by itself, as an editor does: the shell must see its own child stop.
            assert!(signal(command, Signal::TSTP));
        }
        until("stopped", || state(command) == Some('T') && state(us) == Some('T'));
        assert_eq!(semaphore.value().unwrap(), 0, "a stopped command keeps its permit");
        shell.types("echo ok > shell; jobs > jobs; echo >> jobs");
        assert_eq!(contents(&shell.path("shell")), "ok");
        assert!(contents(&shell.path("jobs")).contains("Stopped"));
        shell.types("fg; echo $? > status");
        until("going on", || state(command) == Some('S') && state(us) == Some('S'));
        shell.types("hello");
        assert_eq!(contents(&path("said")), "hello");
        assert_eq!(number(&shell.path("status")), 6);
        fs::remove_file(shell.path("status")).unwrap();
        fs::remove_file(shell.path("shell")).unwrap();
        until("given back", || semaphore.value().unwrap() == 1);
    }
}
