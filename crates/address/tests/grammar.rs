//! What is an address, and what it means.

use std::ffi::OsStr;
use std::num::NonZero;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use twixt_address::{
    AbstractName, Address, BusName, Command, Descriptor, Endpoint, FilePath, Framing, Host, HostPort,
    OptionName, Options, PosixName, Protocol, Scheme, SemName, SignalName, SignalTarget, Slow, SocketPath,
    SysvId, SysvKey, UnixKind, UnixName,
};

fn endpoint(text: &str) -> Endpoint {
    text.parse::<Address>().unwrap_or_else(|error| panic!("{error}")).into_parts().0
}

fn options(text: &str) -> Options {
    text.parse::<Address>().unwrap_or_else(|error| panic!("{error}")).into_parts().1
}

/// What an address prints as, if not as itself.
#[test]
fn accepted() {
    for text in [
        "pipe:",
        "pipe:?capacity=1M&timeout=2s",
        "exec:ls -t /tmp | head -1 && echo 'a:b=c'",
        "exec:date +%25s",
        "exec:jq .?framing=frame",
        "fd:0",
        "fd:2147483647?timeout=0s",
        "-",
        "-?timeout=10ms",
        "-?framing=raw",
        "fifo:/run/jobs?create&mode=0640&capacity=64k&timeout=2m",
        "fifo:./x",
        "fifo:-",
        "file:log",
        "file:/var/log/jobs?create&mode=0640&budget=64M&framing=nul&timeout=1s",
        "file:/a b/ç,@:&=#",
        "file:/%FF",
        "mmap:/run/ring?create&size=1G",
        "mmap:/run/ring?create&capacity=0",
        "lock:/run/jobs.lock?timeout=1ns",
        "unix:/run/jobs.sock?create&mode=0666",
        "unix:jobs.sock",
        "unix:%40jobs",
        "unix:a@b",
        "unix:@jobs",
        "unix:@@jobs",
        "unix:@a%00b",
        "unix-dgram:/run/log",
        "unix-seqpacket:@jobs?timeout=2s",
        "unix-seqpacket:/run/jobs?capacity=0",
        "unix-dgram:@log?capacity=64k",
        "tcp:localhost:7000",
        "tcp:127.0.0.1:0",
        "tcp:localhost:7000?capacity=64k&framing=len&timeout=1s",
        "tcp:[::1]:80",
        "tcp:[fe80::1%25eth0]:80",
        "udp:a-b_c.example.org.:65535",
        "udp:[::1]:7?capacity=1M",
        "raw:icmp@127.0.0.1",
        "raw:253@[::1]",
        "sysv-msg:0x7477?create&mode=0600&capacity=16k&type=9223372036854775807",
        "sysv-msg:id=0?type=1&timeout=2s",
        "sysv-sem:0x80000000/65535?create&count=65536&value=32767",
        "sysv-sem:ftok=/a,b/c,255/3",
        "sysv-sem:id=2147483647/0",
        "sysv-shm:ftok=./x,1",
        "sysv-shm:private?size=1",
        "sysv-shm:0x1?create&mode=0660&budget=1G",
        "posix-shm:/ring?capacity=4k",
        "posix-mq:/jobs?create&capacity=10&message-size=8k&prio=32767",
        "posix-mq:/...",
        "posix-sem:/turn?value=2147483647",
        "posix-sem:/..",
        "posix-mq:/%FFodd",
        "posix-shm:/frame?create&mode=0000&size=9223372036854775807",
        "signal:4711",
        "signal:4711/USR1?value=-2147483648",
        "signal:-4711/RTMIN+3",
        "signal:0/RTMAX",
        "signal:1/33",
        "eventfd:?value=4294967295",
        "memfd:?size=4k",
        "topic:plant/line-2/speed?create&mode=0660&capacity=0&history=18446744073709551615&slow=block&timeout=1s",
        "topic:plant?budget=64M&history=0&slow=drop-oldest",
        "queue:a.b_c-D.9",
        "queue:jobs?create&capacity=1M&retries=5&visibility=30s&timeout=1s",
        "queue:jobs?budget=1G&retries=0&visibility=1ns",
        "latest:x?message-size=1",
        "rpc:resize?create&mode=0600&capacity=64k&timeout=1500ms",
    ] {
        let address: Address = text.parse().unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(address.to_string(), text);
    }
}

#[test]
fn accepted_in_other_spellings() {
    for (text, printed) in [
        ("fifo:/x?timeout=2s&mode=640&create", "fifo:/x?create&mode=0640&timeout=2s"),
        ("fifo:/x?mode=0o640", "fifo:/x?mode=0640"),
        ("fifo:/x?capacity=65536", "fifo:/x?capacity=64k"),
        ("fifo:/x?capacity=1024K", "fifo:/x?capacity=1M"),
        ("fifo:/x?capacity=0G", "fifo:/x?capacity=0"),
        ("fifo:/x?timeout=60000ms", "fifo:/x?timeout=1m"),
        ("fifo:/x?timeout=0ns", "fifo:/x?timeout=0s"),
        ("fifo:%2fx%3f%41", "fifo:/x%3FA"),
        ("fifo:a\tb\u{202e}", "fifo:a%09b%E2%80%AE"),
        ("unix:@%61", "unix:@a"),
        ("raw:1@::1", "raw:icmp@[::1]"),
        ("raw:ICMP@[::1]", "raw:icmp@[::1]"),
        ("raw:icmp6@::1", "raw:ipv6-icmp@[::1]"),
        ("tcp:[fe80::1%251]:080", "tcp:[fe80::1%251]:80"),
        ("sysv-msg:29815", "sysv-msg:0x7477"),
        ("sysv-msg:0X0000007477", "sysv-msg:0x7477"),
        ("sysv-msg:0xFFFFFFFF", "sysv-msg:0xffffffff"),
        ("sysv-msg:-1", "sysv-msg:0xffffffff"),
        ("sysv-msg:-2147483648", "sysv-msg:0x80000000"),
        ("sysv-sem:ftok=/a%2C7,7", "sysv-sem:ftok=/a,7,7"),
        ("signal:5/sigusr1", "signal:5/USR1"),
        ("signal:5/9", "signal:5/KILL"),
        ("signal:5/IOT", "signal:5/ABRT"),
        ("signal:5/RTMAX-15", "signal:5/RTMIN+15"),
        ("signal:5/SIGRTMIN", "signal:5/RTMIN"),
        ("signal:5/rtmin+30", "signal:5/RTMAX"),
    ] {
        let address: Address = text.parse().unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(address.to_string(), printed);
        assert_eq!(printed.parse(), Ok(address));
    }
}

#[test]
fn endpoints_mean_what_they_say() {
    let path = |path: &str| FilePath::new(path).unwrap();
    let bus = |name: &str| BusName::new(name).unwrap();
    let host = |host: &str| Host::new(host).unwrap();
    let key = |key: i32| SysvKey::Key(NonZero::new(key).unwrap());
    for (text, expected) in [
        ("pipe:", Endpoint::Pipe),
        ("exec:a && b", Endpoint::Exec(Command::new("a && b").unwrap())),
        ("fd:3", Endpoint::Fd(Descriptor::new(3).unwrap())),
        ("-", Endpoint::Stdio),
        ("fifo:/a?create", Endpoint::Fifo(path("/a"))),
        ("file:a%3Fb", Endpoint::File(path("a?b"))),
        ("mmap:/a", Endpoint::Mmap(path("/a"))),
        ("lock:/a", Endpoint::Lock(path("/a"))),
        (
            "unix:%40a",
            Endpoint::Unix { kind: UnixKind::Stream, name: UnixName::Path(SocketPath::new("@a").unwrap()) },
        ),
        (
            "unix-dgram:@a",
            Endpoint::Unix {
                kind: UnixKind::Datagram,
                name: UnixName::Abstract(AbstractName::new("a").unwrap()),
            },
        ),
        (
            "unix-seqpacket:/a",
            Endpoint::Unix {
                kind: UnixKind::Seqpacket,
                name: UnixName::Path(SocketPath::new("/a").unwrap()),
            },
        ),
        ("tcp:h:80", Endpoint::Tcp(HostPort { host: host("h"), port: 80 })),
        ("udp:[fe80::1%25lo]:80", Endpoint::Udp(HostPort { host: host("fe80::1%lo"), port: 80 })),
        ("raw:icmp@h", Endpoint::Raw { protocol: Protocol::new(1).unwrap(), host: host("h") }),
        ("sysv-msg:0xfffffffe", Endpoint::SysvMsg(key(-2))),
        ("sysv-msg:-2", Endpoint::SysvMsg(key(-2))),
        ("sysv-sem:7", Endpoint::SysvSem { key: key(7), index: None }),
        ("sysv-sem:7/0", Endpoint::SysvSem { key: key(7), index: Some(0) }),
        ("sysv-sem:id=7/1", Endpoint::SysvSem { key: SysvKey::Id(SysvId::new(7).unwrap()), index: Some(1) }),
        (
            "sysv-shm:ftok=/a,3,7",
            Endpoint::SysvShm(SysvKey::Ftok { path: path("/a,3"), project: NonZero::new(7).unwrap() }),
        ),
        ("sysv-shm:private", Endpoint::SysvShm(SysvKey::Private)),
        ("posix-mq:/a", Endpoint::PosixMq(PosixName::new("/a").unwrap())),
        ("posix-sem:/a", Endpoint::PosixSem(SemName::new("/a").unwrap())),
        ("posix-shm:/a", Endpoint::PosixShm(PosixName::new("/a").unwrap())),
        ("signal:7", Endpoint::Signal { target: "7".parse().unwrap(), signal: None }),
        (
            "signal:0/USR1",
            Endpoint::Signal { target: SignalTarget::OwnGroup, signal: Some(SignalName::new(10).unwrap()) },
        ),
        ("eventfd:", Endpoint::Eventfd),
        ("memfd:", Endpoint::Memfd),
        ("topic:a", Endpoint::Topic(bus("a"))),
        ("queue:a/b", Endpoint::Queue(bus("a/b"))),
        ("latest:a", Endpoint::Latest(bus("a"))),
        ("rpc:a", Endpoint::Rpc(bus("a"))),
    ] {
        assert_eq!(endpoint(text), expected, "{text}");
        assert_eq!(expected.scheme(), text.split(':').next().unwrap());
    }
    assert_eq!("-4711".parse::<SignalTarget>().unwrap().as_raw(), -4711);
}

#[test]
fn options_mean_what_they_say() {
    assert!(options("fifo:/x").is_empty());
    let fifo = options("fifo:/x?create&mode=640&capacity=3k&timeout=250us");
    assert!(fifo.create());
    assert_eq!(fifo.mode(), Some(0o640));
    assert_eq!(fifo.capacity(), Some(3072));
    assert_eq!(fifo.timeout(), Some(Duration::from_micros(250)));
    assert_eq!(fifo.size(), None);
    assert_eq!((fifo.budget(), fifo.framing()), (None, None));
    let file = options("file:/x?budget=1k&framing=nul");
    assert_eq!((file.budget(), file.framing()), (Some(1024), Some(Framing::Nul)));
    assert!(file.has(OptionName::Budget) && file.has(OptionName::Framing) && !file.has(OptionName::Capacity));
    assert_eq!(options("memfd:?size=1G").size(), Some(1 << 30));
    let queue = options("posix-mq:/x?message-size=8M&prio=0");
    assert_eq!((queue.message_size(), queue.priority(), queue.create()), (Some(8 << 20), Some(0), false));
    let set = options("sysv-sem:1?count=4&value=2");
    assert_eq!((set.count(), set.value()), (Some(4), Some(2)));
    assert_eq!(options("sysv-msg:1?type=10").message_type(), Some(10));
    assert_eq!(options("signal:1?value=-1").value(), Some(-1));
    let topic = options("topic:x?history=3&slow=disconnect");
    assert_eq!((topic.history(), topic.slow()), (Some(3), Some(Slow::Disconnect)));
    let queue = options("queue:x?retries=7&visibility=2m");
    assert_eq!((queue.retries(), queue.visibility()), (Some(7), Some(Duration::from_secs(120))));
    assert_eq!(
        (queue.history(), queue.slow(), topic.retries(), topic.visibility()),
        (None, None, None, None)
    );
    let longest = options(&format!("-?timeout={}ns", Duration::MAX.as_nanos()));
    assert_eq!(longest.timeout(), Some(Duration::MAX));
}

#[test]
fn arguments_may_be_any_bytes() {
    let address = Address::try_from(OsStr::from_bytes(b"fifo:/tmp/\xff\xfe?create")).unwrap();
    let Endpoint::Fifo(path) = address.endpoint() else { panic!("{address}") };
    assert_eq!(path.as_os_str().as_bytes(), b"/tmp/\xff\xfe");
    assert_eq!(address.to_string(), "fifo:/tmp/%FF%FE?create");
    let error = Address::try_from(OsStr::from_bytes(b"tcp:\xff:80")).unwrap_err();
    assert_eq!(error.input(), "tcp:%FF:80");
    assert_eq!(Address::try_from("pipe:"), Ok(Address::from(Endpoint::Pipe)));
    assert_eq!(Address::try_from("pipe:".to_owned()), Ok(Address::from(Endpoint::Pipe)));
}

#[test]
fn every_signal_prints_as_a_name_that_it_parses_from() {
    for number in 1..=64 {
        let signal = SignalName::new(number).unwrap();
        assert_eq!(signal.to_string().parse(), Ok(signal));
        assert_eq!(number.to_string().parse(), Ok(signal));
    }
    assert!("RTMIN-1".parse::<SignalName>().is_err());
    assert!("RTMIN+31".parse::<SignalName>().is_err());
    assert!("RTMAX+1".parse::<SignalName>().is_err());
    assert!("SIG".parse::<SignalName>().is_err());
}

/// The table is what help texts print, so it must be the grammar's own.
#[test]
fn the_table_of_schemes_is_true() {
    let page = include_str!("../src/lib.rs");
    assert_eq!(Address::schemes().len(), 27);
    for scheme in Address::schemes() {
        let address: Address = scheme.example.parse().unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(address.to_string(), scheme.example);
        assert_eq!(address.endpoint().scheme(), scheme.name);
        assert_eq!(Scheme::of(scheme.name), Some(scheme));
        assert!(scheme.options.is_sorted(), "{}", scheme.name);
        for form in scheme.form.split(" or ") {
            assert!(page.contains(&format!("`{form}`")), "the crate's page lacks {form}");
        }
        for option in OptionName::ALL {
            // A form that has the option right is accepted exactly if the table has the option.
            let endpoint =
                scheme.example.replace('@', if scheme.name == "unix-seqpacket" { "/" } else { "@" });
            let text = format!("{endpoint}?{}", option.example());
            assert_eq!(text.parse::<Address>().is_ok(), scheme.options.contains(&option), "{text}");
        }
    }
}

#[test]
fn the_page_lists_the_options_of_each_scheme() {
    let page = include_str!("../src/lib.rs");
    let mut above = Vec::new();
    for scheme in Address::schemes() {
        let first = format!("//! | `{}`", scheme.form.split(" or ").next().unwrap());
        let row = page.lines().find(|line| line.starts_with(&first)).expect(&first);
        let cell = row.split('|').nth(3).unwrap();
        if cell.trim() != "the same" {
            above = OptionName::ALL.into_iter().filter(|o| cell.contains(&format!("`{o}`"))).collect();
        }
        assert_eq!(above, scheme.options, "{row}");
    }
}
