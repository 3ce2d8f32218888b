//! What is no address, and what the error says.

use std::time::Duration;

use twixt_address::{
    AbstractName, Address, BusName, Command, Descriptor, Endpoint, FilePath, Host, Options, Pid, PosixName,
    ProcessGroup, Protocol, SemName, SignalName, SocketPath, SysvId, SysvKey,
};

/// The whole message, as a user reads it, and the part it is about.
#[test]
fn refused() {
    for (text, part, message) in [
        ("", "", "the address is empty; an address begins with a scheme and a colon, like fifo:/run/jobs"),
        // The scheme.
        ("fifi:/x", "fifi", "scheme fifi is unknown; did you mean fifo:, like fifo:/run/jobs"),
        (
            "sysv-mgs:1",
            "sysv-mgs",
            "scheme sysv-mgs is unknown; did you mean sysv-msg:, like sysv-msg:0x7477",
        ),
        ("TCP:h:1", "TCP", "scheme TCP is unknown; did you mean tcp:, like tcp:localhost:7000"),
        ("mq:/x", "mq", "scheme mq is unknown; did you mean posix-mq:, like posix-mq:/jobs"),
        ("stdin", "stdin", "scheme stdin is unknown; did you mean -, like -"),
        (
            "zebra:x",
            "zebra",
            "scheme zebra is unknown; the schemes are pipe: exec: fd: - fifo: file: mmap: lock: unix: unix-dgram: \
             unix-seqpacket: tcp: udp: raw: sysv-msg: sysv-sem: sysv-shm: posix-mq: posix-sem: posix-shm: signal: \
             eventfd: memfd: topic: queue: latest: rpc:, like fifo:/run/jobs",
        ),
        (
            "pipe",
            "",
            "scheme pipe has no colon after it; an address begins with a scheme and a colon, like pipe:",
        ),
        ("jobs", "jobs", "jobs has no scheme; an address begins with a scheme and a colon, like queue:jobs"),
        (":x", "", "the scheme is missing; an address begins with a scheme and a colon, like fifo:/run/jobs"),
        (
            "/tmp/x",
            "/tmp/x",
            "/tmp/x has no scheme; a path follows one of fifo: file: mmap: lock: unix:, like fifo:/tmp/x",
        ),
        (
            "localhost:80",
            "localhost:80",
            "\"localhost:80\" has no scheme; a host and a port follow tcp: or udp:, like tcp:localhost:80",
        ),
        ("-:", "-:", "a colon follows -; standard input and output are - alone, or - and options, like -"),
        (
            "pipe:x",
            "x",
            "pipe: takes no name, but x follows it; the address is pipe: and options, like pipe:",
        ),
        // Commands, descriptors and paths.
        ("exec: ", " ", "command is blank; a command is a line for the shell, like exec:sort -n"),
        (
            "exec:date +%s",
            "%s",
            "\"%s\" is no byte in hexadecimal; % begins two hexadecimal digits, and a percent sign is %25, like \
             exec:date +%25s",
        ),
        (
            "exec:ls ?.c",
            ".c",
            "option .c is unknown; exec takes framing and timeout; a question mark in the command is %3F, like \
             exec:ls ?framing=lines",
        ),
        ("fd:-1", "-1", "descriptor -1 is too small; a descriptor is 0 to 2147483647, like fd:3"),
        ("fd:+1", "+1", "descriptor +1 is not a whole number; a descriptor is 0 to 2147483647, like fd:3"),
        ("fifo:", "", "path is missing; a path has at least one byte, like fifo:/run/jobs"),
        ("fifo:a%00b", "a%00b", "path \"a\\0b\" has a NUL byte; a path has none, like fifo:/run/jobs"),
        // Unix sockets.
        (
            "unix:@",
            "",
            "abstract name is missing after @; an abstract name has 1 to 107 bytes, like unix:@jobs",
        ),
        (
            "unix:@100%",
            "%",
            "\"%\" is no byte in hexadecimal; % begins two hexadecimal digits, and a percent sign is %25, like \
             unix:@100%25",
        ),
        (
            "unix:@x?mode=0600",
            "mode",
            "option mode does not apply to an abstract name, which has no file; unix takes capacity, framing and \
             timeout, like unix:@x?capacity=64",
        ),
        // The Internet.
        ("tcp:", "", "host and port are missing; the address is tcp:host:port, like tcp:localhost:7000"),
        (
            "tcp:80",
            "80",
            "host is missing before port 80; the address is tcp:host:port, like tcp:localhost:80",
        ),
        (
            "tcp:h",
            "",
            "port is missing after host h; a colon and a port, 0 to 65535, follow the host, like tcp:h:7000",
        ),
        (
            "tcp:::1:80",
            "::1",
            "host \"::1\" has a colon; an IPv6 address stands in brackets, like tcp:[::1]:80",
        ),
        (
            "tcp://h:80/",
            "//",
            "two slashes stand before the host; the address is tcp:host:port, like tcp:h:80",
        ),
        ("tcp:h:65536", "65536", "port 65536 is too large; a port is 0 to 65535, like tcp:h:7000"),
        ("tcp:h:http", "http", "port http is not a whole number; a port is 0 to 65535, like tcp:h:7000"),
        ("udp:[h]:80", "h", "h stands in brackets; only an IPv6 address stands in brackets, like udp:h:80"),
        (
            "udp:[::1",
            "[::1",
            "the bracket is not closed; only an IPv6 address stands in brackets, like udp:[::1]:7000",
        ),
        (
            "tcp:256.1.1.1:80",
            "256.1.1.1",
            "host 256.1.1.1 is not an IPv4 address; a host is a name, an IPv4 address or an IPv6 address in brackets, \
             like tcp:localhost:7000",
        ),
        (
            "tcp:[fe80::1%eth0]:80",
            "%et",
            "\"%et\" is no byte in hexadecimal; % begins two hexadecimal digits, and a percent sign is %25, like \
             tcp:[fe80::1%25eth0]:80",
        ),
        (
            "raw:icmp",
            "icmp",
            "icmp has no @; a protocol, an @ and a host follow raw:, like raw:icmp@localhost",
        ),
        ("raw:0@h", "0", "protocol 0 is too small; a protocol is 1 to 255, like raw:icmp@127.0.0.1"),
        ("raw:256@h", "256", "protocol 256 is too large; a protocol is 1 to 255, like raw:icmp@127.0.0.1"),
        (
            "raw:pong@h",
            "pong",
            "protocol pong is unknown; a protocol is a name of /etc/protocols, such as icmp, or 1 to 255, like \
             raw:icmp@127.0.0.1",
        ),
        ("raw:icmp@[::1]:9", ":9", "\":9\" follows the host; a raw socket has no port, like raw:icmp@[::1]"),
        // System V.
        (
            "sysv-msg:0x1ffffffff",
            "0x1ffffffff",
            "key 0x1ffffffff has more than 32 bits; a key is 0x1 to 0xffffffff, like sysv-msg:0x7477",
        ),
        (
            "sysv-shm:0",
            "0",
            "key 0 is IPC_PRIVATE, by which no other process can find the object; a new object without a key is called \
             private, like sysv-shm:private",
        ),
        (
            "sysv-msg:4294967295",
            "4294967295",
            "key 4294967295 is outside the 32 bits of a signed number; a key is 0x1 to 0xffffffff, or -2147483648 to \
             2147483647, like sysv-msg:0xffffffff",
        ),
        (
            "sysv-msg:-2147483649",
            "-2147483649",
            "key -2147483649 is outside the 32 bits of a signed number; a key is 0x1 to 0xffffffff, or -2147483648 to \
             2147483647, like sysv-msg:0x7477",
        ),
        (
            "sysv-sem:010",
            "010",
            "key 010 has a leading zero, which C and ipcrm read as octal; a key is hexadecimal with 0x, or decimal \
             without a leading zero, like sysv-sem:0x7477",
        ),
        (
            "sysv-msg:beef",
            "beef",
            "key beef is not a number; a key is a number, id=N, ftok=/path,N or private, like sysv-msg:0xbeef",
        ),
        (
            "sysv-msg:id=-1",
            "-1",
            "identifier -1 is too small; an identifier is 0 to 2147483647, like sysv-msg:id=3",
        ),
        (
            "sysv-msg:id=3?create",
            "create",
            "option create does not apply to id=3, an object that is there already; sysv-msg takes type and timeout, \
             like sysv-msg:id=3?type=10",
        ),
        (
            "sysv-shm:ftok=/a",
            "",
            "project number is missing after /a; a comma and a number from 1 to 255 follow the path, like \
             sysv-shm:ftok=/a,7",
        ),
        (
            "sysv-shm:ftok=/a,A",
            "A",
            "project number A is not a whole number; a project number is 1 to 255, and the character is 65, like \
             sysv-shm:ftok=/a,65",
        ),
        (
            "sysv-shm:ftok=/a,256",
            "256",
            "project number 256 is too large; a project number is 1 to 255, like sysv-shm:ftok=/a,7",
        ),
        ("sysv-msg:1/2", "2", "/2 follows the key; only sysv-sem: takes an index, like sysv-sem:0x1/2"),
        (
            "sysv-sem:1/65536",
            "65536",
            "semaphore index 65536 is too large; a semaphore index is 0 to 65535, like sysv-sem:0x1/0",
        ),
        // POSIX.
        (
            "posix-mq:jobs",
            "jobs",
            "name jobs does not begin with a slash; a name is a slash and 1 to 255 bytes without another, like \
             posix-mq:/jobs",
        ),
        (
            "posix-shm:/a/b",
            "/a/b",
            "name /a/b has a second slash; a name is a slash and 1 to 255 bytes without another, like posix-shm:/a-b",
        ),
        (
            "posix-sem:/",
            "/",
            "name is missing after its slash; a name is a slash and 1 to 251 bytes without another, like \
             posix-sem:/turn",
        ),
        (
            "posix-mq:/..",
            "/..",
            "name /.. is that of a directory; a name is a slash and 1 to 255 bytes without another, like \
             posix-mq:/jobs",
        ),
        (
            "posix-mq:/a%00",
            "/a%00",
            "name \"/a\\0\" has a NUL byte; a name is a slash and 1 to 255 bytes without another, like posix-mq:/jobs",
        ),
        // Signals.
        (
            "signal:-1",
            "-1",
            "process group 1 cannot be named: to kill(2), -1 is every process there is; a process group is 2 to \
             2147483647, like signal:4711/USR1",
        ),
        (
            "signal:5/URS1",
            "URS1",
            "signal URS1 is unknown; a signal is a name, such as USR1 or RTMIN+3, or a number from 1 to 64, like \
             signal:4711/USR1",
        ),
        // The bus.
        (
            "topic:a b",
            "a b",
            "name \"a b\" has the character ' '; a bus name has 1 to 200 letters, digits, `.`, `_`, `-`, in parts \
             joined by `/`, like topic:prices",
        ),
        (
            "queue:../a",
            "../a",
            "name ../a has the part \"..\"; a bus name has 1 to 200 letters, digits, `.`, `_`, `-`, in parts joined by \
             `/`, like queue:jobs",
        ),
        // Options.
        (
            "fifo:/x?",
            "",
            "an option is missing; fifo takes create, mode, capacity, framing and timeout; a question mark in the path is %3F, \
             like fifo:/x?create",
        ),
        (
            "tcp:h:1?timout=2s",
            "timout",
            "option timout is unknown; did you mean timeout? tcp takes capacity, framing and timeout, like \
             tcp:h:1?timeout=2s",
        ),
        (
            "fifo:/x?size=1M",
            "size",
            "option size does not apply to fifo; fifo takes create, mode, capacity, framing and timeout, like fifo:/x?create",
        ),
        (
            "fd:3?create",
            "create",
            "option create does not apply to fd; fd takes framing and timeout, like fd:3?framing=lines",
        ),
        (
            "fifo:/x?mode=0600&create&mode=0640",
            "mode",
            "option mode is given twice; each option is given once, like fifo:/x?mode=0600",
        ),
        (
            "fifo:/x?create=yes",
            "create=yes",
            "option create has the value yes; create stands alone, or is left out, like fifo:/x?create",
        ),
        (
            "fifo:/x?mode",
            "",
            "option mode has no value; an equals sign and a value follow its name, like fifo:/x?mode=0600",
        ),
        ("fifo:/x?mode=", "", "mode is missing; a mode is 0 to 0777 in octal, like fifo:/x?mode=0600"),
        (
            "fifo:/x?mode=0888",
            "0888",
            "mode 0888 is not an octal number; a mode is 0 to 0777 in octal, like fifo:/x?mode=0600",
        ),
        (
            "fifo:/x?mode=1777",
            "1777",
            "mode 1777 has more than the permission bits; a mode is 0 to 0777 in octal, like fifo:/x?mode=0600",
        ),
        (
            "memfd:?size=1MB",
            "1MB",
            "size 1MB is not a whole number; a size is 1 to 9223372036854775807, and may end in k (1024), M or G, \
             like memfd:?size=1M",
        ),
        (
            "memfd:?size=8589934592G",
            "8589934592G",
            "size 8589934592G is too large; a size is 1 to 9223372036854775807, and may end in k (1024), M or G, \
             like memfd:?size=1M",
        ),
        (
            "memfd:?size=0k",
            "0k",
            "size 0k is too small; a size is 1 to 9223372036854775807, and may end in k (1024), M or G, like \
             memfd:?size=1M",
        ),
        (
            "file:/log?budget=0",
            "0",
            "budget 0 is too small; a budget is 1 to 9223372036854775807, and may end in k (1024), M or G, like \
             file:/log?budget=64M",
        ),
        (
            "tcp:h:1?budget=1M",
            "budget",
            "option budget does not apply to tcp; tcp takes capacity, framing and timeout, like tcp:h:1?capacity=64",
        ),
        (
            "unix-dgram:@x?framing=lines",
            "framing",
            "option framing does not apply to unix-dgram; unix-dgram takes capacity and timeout, like \
             unix-dgram:@x?capacity=64",
        ),
        (
            "exec:cat?framing=line",
            "line",
            "framing line is unknown; a framing is frame, lines, nul, len or raw, like exec:cat?framing=lines",
        ),
        (
            "-?framing=",
            "",
            "framing is missing; a framing is frame, lines, nul, len or raw, like -?framing=lines",
        ),
        (
            "-?timeout=2",
            "2",
            "timeout 2 has no unit; a timeout is a whole number and ns, us, ms, s or m, like -?timeout=2s",
        ),
        (
            "-?timeout=1.5s",
            "1.5s",
            "timeout 1.5s is not a whole number; a timeout is a whole number and ns, us, ms, s or m, like \
             -?timeout=2s",
        ),
        (
            "-?timeout=2h",
            "2h",
            "timeout 2h has h for a unit; a timeout is a whole number and ns, us, ms, s or m, like -?timeout=2s",
        ),
        (
            "posix-mq:/x?prio=32768",
            "32768",
            "prio 32768 is too large; a prio is 0 to 32767, like posix-mq:/x?prio=5",
        ),
        (
            "sysv-msg:1?type=0",
            "0",
            "type 0 is too small; a type is 1 to 9223372036854775807, like sysv-msg:0x1?type=10",
        ),
        (
            "sysv-msg:1?type=9223372036854775808",
            "9223372036854775808",
            "type 9223372036854775808 is too large; a type is 1 to 9223372036854775807, like sysv-msg:0x1?type=10",
        ),
        (
            "sysv-sem:1?count=65537",
            "65537",
            "count 65537 is too large; a count is 1 to 65536, like sysv-sem:0x1?count=4",
        ),
        (
            "sysv-sem:1?value=32768",
            "32768",
            "value 32768 is too large; a value of sysv-sem is 0 to 32767, like sysv-sem:0x1?value=1",
        ),
        (
            "eventfd:?value=-1",
            "-1",
            "value -1 is too small; a value of eventfd is 0 to 4294967295, like eventfd:?value=1",
        ),
        // Options of the bus.
        (
            "topic:x?slow=drop",
            "drop",
            "slow drop is unknown; slow is block, drop-oldest, drop-newest or disconnect, like topic:x?slow=drop-oldest",
        ),
        (
            "topic:x?slow=",
            "",
            "slow is missing; slow is block, drop-oldest, drop-newest or disconnect, like topic:x?slow=drop-oldest",
        ),
        (
            "topic:x?history=-1",
            "-1",
            "history -1 is too small; a history is 0 to 18446744073709551615, like topic:x?history=10",
        ),
        (
            "topic:x?histroy=1",
            "histroy",
            "option histroy is unknown; did you mean history? topic takes create, mode, capacity, budget, history, slow \
             and timeout, like topic:x?history=10",
        ),
        (
            "topic:x?retries=1",
            "retries",
            "option retries does not apply to topic; topic takes create, mode, capacity, budget, history, slow and \
             timeout, like topic:x?create",
        ),
        (
            "queue:x?retries=4294967296",
            "4294967296",
            "number of retries 4294967296 is too large; a number of retries is 0 to 4294967295, like queue:x?retries=5",
        ),
        (
            "queue:x?visibility=30",
            "30",
            "visibility 30 has no unit; a visibility is a whole number and ns, us, ms, s or m, like \
             queue:x?visibility=30s",
        ),
        (
            "queue:x?visibility=0s",
            "0s",
            "visibility 0 leaves no time to work; a visibility is longer than 0; without one it has no end, like \
             queue:x?visibility=30s",
        ),
        (
            "queue:x?history=1",
            "history",
            "option history does not apply to queue; queue takes create, mode, capacity, budget, retries, visibility \
             and timeout, like queue:x?create",
        ),
        (
            "latest:x?capacity=1k",
            "capacity",
            "option capacity does not apply to latest; latest takes create, mode, message-size and timeout, like \
             latest:x?create",
        ),
        (
            "rpc:x?budget=1k",
            "budget",
            "option budget does not apply to rpc; rpc takes create, mode, capacity and timeout, like rpc:x?create",
        ),
    ] {
        let error = text.parse::<Address>().expect_err(text);
        assert_eq!(error.to_string(), format!("bad address \"{text}\": {message}"));
        assert_eq!(error.part(), part, "{error}");
        assert_eq!(error.input(), text);
        assert!(error.example().parse::<Address>().is_ok(), "{error}");
    }
}

/// Where the part stands, also if the same text stands elsewhere, and where something is missing.
#[test]
fn spans_point_at_the_part() {
    for (text, span) in [
        ("sysv-msg:0x1ffffffff", 9..20),
        ("fifo:mode?mode=0600&mode=1", 20..24),
        ("tcp:80:80:80", 4..9),
        ("tcp:h:", 6..6),
        ("exec:é%é", 7..10),
        ("fifo:/x?create&", 15..15),
        ("fifo:/x?mode&create", 12..12),
        ("signal:5/5x", 9..11),
        ("sysv-sem:ftok=/a,b,7/x", 21..22),
    ] {
        assert_eq!(text.parse::<Address>().expect_err(text).span(), span, "{text}");
    }
}

#[test]
fn lengths_have_limits() {
    let long = |count: usize| "x".repeat(count);
    for (head, longest) in [
        ("fifo:", 4095),
        ("unix:", 107),
        ("unix-dgram:@", 107),
        ("posix-mq:/", 255),
        ("posix-shm:/", 255),
        ("posix-sem:/", 251),
        ("queue:", 200),
    ] {
        let fits = format!("{head}{}", long(longest));
        assert_eq!(fits.parse::<Address>().map(|address| address.to_string()), Ok(fits));
        let error = format!("{head}{}", long(longest + 1)).parse::<Address>().expect_err(head);
        assert!(error.why().contains(&(longest + 1).to_string()), "{error}");
        assert!(error.right().contains(&longest.to_string()), "{error}");
        assert!(error.to_string().len() < 500, "{error}");
    }
    // An escape is one byte, however it is written.
    assert!(format!("unix:{}", "%20".repeat(107)).parse::<Address>().is_ok());
    let error = format!("unix:{}", long(120)).parse::<Address>().unwrap_err();
    assert_eq!(error.why(), "socket path has 120 bytes");
    assert_eq!(error.right(), "a socket path has at most 107 bytes");
}

#[test]
fn errors_show_no_control_characters() {
    for text in ["\u{1b}[2J:x", "fifo:/x?\u{1b}", "queue:\u{1b}\u{202e}", "\u{9b}", "unix:@\u{7}%zz"] {
        let error = text.parse::<Address>().unwrap_err().to_string();
        assert!(!error.contains(|c: char| c.is_control() || c == '\u{202e}'), "{error:?}");
    }
}

#[test]
fn constructors_refuse_what_no_address_holds() {
    assert!(FilePath::new("").is_err());
    assert!(FilePath::new("a\0").is_err());
    assert!(Command::new("\t ").is_err());
    assert!(Descriptor::new(-1).is_err());
    assert!(SocketPath::new("x".repeat(108)).is_err());
    assert!(AbstractName::new([]).is_err());
    assert!(Host::new("").is_err());
    assert!(Host::new("[::1]").is_err());
    assert!(Host::new("::1%").is_err());
    assert!(Host::new("::1%eth0/x").is_err());
    assert!(Host::new("x".repeat(254)).is_err());
    assert!(Protocol::new(0).is_err());
    assert!(SysvId::new(-1).is_err());
    assert!(SysvKey::from_raw(0).is_none());
    assert!(PosixName::new("/").is_err());
    assert!(PosixName::new("/.").is_err());
    assert!(PosixName::new(format!("/{}", "x".repeat(256))).is_err());
    assert!(SemName::new(format!("/{}", "x".repeat(252))).is_err());
    assert!(SignalName::new(0).is_err());
    assert!(SignalName::new(65).is_err());
    assert!(Pid::new(0).is_err());
    assert!(ProcessGroup::new(1).is_err());
    assert!(ProcessGroup::new(-5).is_err());
    assert!(BusName::new("a/").is_err());
    let none = Options::new;
    assert!(none().with_mode(0o1000).is_err());
    assert!(none().with_capacity(u64::MAX).is_err());
    assert!(none().with_budget(0).is_err());
    assert!(none().with_budget(u64::MAX).is_err());
    assert!(none().with_size(0).is_err());
    assert!(none().with_message_size(0).is_err());
    assert!(none().with_count(0).is_err());
    assert!(none().with_message_type(-1).is_err());
    assert!(none().with_priority(32_768).is_err());
    let error = Address::new(Endpoint::Pipe, none().with_create()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "option create does not apply to pipe; pipe takes capacity, framing and timeout"
    );
    let error = Address::new(Endpoint::Eventfd, none().with_value(-1)).unwrap_err();
    assert_eq!(error.to_string(), "value -1 is too small; a value of eventfd is 0 to 4294967295");
    let address = Address::from(Endpoint::Pipe).with_options(none().with_timeout(Duration::ZERO)).unwrap();
    assert_eq!(address.to_string(), "pipe:?timeout=0s");
}
