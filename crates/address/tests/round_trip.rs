//! Printing and parsing are each other's inverse, and no text whatever makes the parser panic.

use std::ffi::{OsStr, OsString};
use std::num::{NonZeroI32, NonZeroU8};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::time::Duration;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use twixt_address::{
    AbstractName, Address, BusName, Command, Descriptor, Endpoint, FilePath, Framing, Host, HostPort,
    OptionName, Options, ParseError, Pid, PosixName, ProcessGroup, Protocol, SemName, SignalName,
    SignalTarget, Slow, SocketPath, SysvId, SysvKey, UnixKind, UnixName,
};

/// Bytes with more than their share of what the grammar itself uses.
fn bytes(longest: usize) -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        4 => select(b"%?&=:/,@[]-+.0123456789aFx ~\n\x7f\xff\xc3\xa9".to_vec()),
        1 => any::<u8>(),
    ];
    vec(byte, 1..=longest)
}

/// Made by the constructor, from what it does not refuse.
fn built<T: std::fmt::Debug, E>(
    longest: usize,
    new: impl Fn(OsString) -> Result<T, E>,
) -> impl Strategy<Value = T> {
    bytes(longest).prop_filter_map("refused", move |mut bytes| {
        bytes.retain(|&byte| byte != 0);
        new(OsString::from_vec(bytes)).ok()
    })
}

fn path() -> impl Strategy<Value = FilePath> {
    built(40, FilePath::new)
}

fn slashed<T: std::fmt::Debug, E>(
    longest: usize,
    new: impl Fn(OsString) -> Result<T, E>,
) -> impl Strategy<Value = T> {
    built(longest, move |name| {
        let mut bytes = vec![b'/'];
        bytes.extend(name.into_vec().into_iter().filter(|&byte| byte != b'/'));
        new(OsString::from_vec(bytes))
    })
}

fn host() -> impl Strategy<Value = Host> {
    let word = |longest| vec(select(b"abcXYZ019._-".to_vec()), 1..=longest);
    let text = move |longest| word(longest).prop_map(|bytes| String::from_utf8(bytes).unwrap());
    prop_oneof![
        any::<[u8; 4]>().prop_map(|octets| std::net::Ipv4Addr::from(octets).to_string()),
        any::<[u16; 8]>().prop_map(|groups| std::net::Ipv6Addr::from(groups).to_string()),
        (any::<[u16; 8]>(), text(15))
            .prop_map(|(groups, zone)| format!("{}%{zone}", std::net::Ipv6Addr::from(groups))),
        text(60),
    ]
    .prop_filter_map("refused", |host| Host::new(host).ok())
}

fn host_port() -> impl Strategy<Value = HostPort> {
    (host(), any::<u16>()).prop_map(|(host, port)| HostPort { host, port })
}

fn key() -> impl Strategy<Value = SysvKey> {
    prop_oneof![
        any::<NonZeroI32>().prop_map(SysvKey::Key),
        (0..=i32::MAX).prop_map(|id| SysvKey::Id(SysvId::new(id).unwrap())),
        (path(), any::<NonZeroU8>()).prop_map(|(path, project)| SysvKey::Ftok { path, project }),
        Just(SysvKey::Private),
    ]
}

fn bus_name() -> impl Strategy<Value = BusName> {
    vec(select(b"abcXYZ019._-/".to_vec()), 1..=200)
        .prop_filter_map("refused", |bytes| BusName::new(String::from_utf8(bytes).unwrap()).ok())
}

fn target() -> impl Strategy<Value = SignalTarget> {
    prop_oneof![
        (1..=i32::MAX).prop_map(|pid| SignalTarget::Process(Pid::new(pid).unwrap())),
        (2..=i32::MAX).prop_map(|group| SignalTarget::Group(ProcessGroup::new(group).unwrap())),
        Just(SignalTarget::OwnGroup),
    ]
}

fn unix_name() -> impl Strategy<Value = UnixName> {
    prop_oneof![
        built(107, SocketPath::new).prop_map(UnixName::Path),
        built(106, |name| SocketPath::new(OsString::from_vec([b"@", name.as_bytes()].concat())))
            .prop_map(UnixName::Path),
        bytes(107).prop_map(|name| UnixName::Abstract(AbstractName::new(name).unwrap())),
    ]
}

fn endpoint() -> impl Strategy<Value = Endpoint> {
    let kind = select(vec![UnixKind::Stream, UnixKind::Datagram, UnixKind::Seqpacket]);
    let signal = (1..=64_u8).prop_map(|number| SignalName::new(number).unwrap());
    let protocol = (1..=255_u8).prop_map(|number| Protocol::new(number).unwrap());
    let plain = select(vec![Endpoint::Pipe, Endpoint::Stdio, Endpoint::Eventfd, Endpoint::Memfd]);
    let named = prop_oneof![
        plain,
        built(40, Command::new).prop_map(Endpoint::Exec),
        (0..=i32::MAX).prop_map(|number| Endpoint::Fd(Descriptor::new(number).unwrap())),
        path().prop_map(Endpoint::Fifo),
        path().prop_map(Endpoint::File),
        path().prop_map(Endpoint::Mmap),
        path().prop_map(Endpoint::Lock),
        (kind, unix_name()).prop_map(|(kind, name)| Endpoint::Unix { kind, name }),
        host_port().prop_map(Endpoint::Tcp),
        host_port().prop_map(Endpoint::Udp),
        (protocol, host()).prop_map(|(protocol, host)| Endpoint::Raw { protocol, host }),
    ];
    prop_oneof![
        named,
        prop_oneof![
            key().prop_map(Endpoint::SysvMsg),
            (key(), option::of(any::<u16>())).prop_map(|(key, index)| Endpoint::SysvSem { key, index }),
            key().prop_map(Endpoint::SysvShm),
            slashed(255, PosixName::new).prop_map(Endpoint::PosixMq),
            slashed(251, SemName::new).prop_map(Endpoint::PosixSem),
            slashed(255, PosixName::new).prop_map(Endpoint::PosixShm),
            (target(), option::of(signal)).prop_map(|(target, signal)| Endpoint::Signal { target, signal }),
            bus_name().prop_map(Endpoint::Topic),
            bus_name().prop_map(Endpoint::Queue),
            bus_name().prop_map(Endpoint::Latest),
            bus_name().prop_map(Endpoint::Rpc),
        ],
    ]
}

/// Any quantity, round ones more often than chance has them.
fn quantity(least: u64) -> impl Strategy<Value = u64> {
    let round = (0..64_u32, 1..4_u64).prop_map(|(shift, factor)| factor << (shift % 61));
    prop_oneof![0..10_u64, round, any::<u64>()]
        .prop_map(move |number| number.clamp(least, Options::MOST_BYTES))
}

fn timeout() -> impl Strategy<Value = Duration> {
    let unit = select(vec![1_u64, 1_000, 1_000_000, 1_000_000_000, 60_000_000_000]);
    prop_oneof![
        (0..1000_u64, unit).prop_map(|(number, unit)| Duration::from_nanos(number * unit)),
        (any::<u64>(), 0..1_000_000_000_u32)
            .prop_map(|(seconds, nanoseconds)| Duration::new(seconds, nanoseconds)),
        Just(Duration::MAX),
    ]
}

/// The option set, if the endpoint takes it, to one of its values.
fn with_option(endpoint: Endpoint, options: Options, name: OptionName) -> BoxedStrategy<Options> {
    let set = move |new: Result<Options, _>| new.unwrap();
    match name {
        OptionName::Create => Just(options.with_create()).boxed(),
        OptionName::Mode => (0..=0o777_u32).prop_map(move |it| set(options.clone().with_mode(it))).boxed(),
        OptionName::Capacity => {
            quantity(0).prop_map(move |it| set(options.clone().with_capacity(it))).boxed()
        }
        OptionName::Budget => quantity(1).prop_map(move |it| set(options.clone().with_budget(it))).boxed(),
        OptionName::Framing => {
            select(Framing::ALL.to_vec()).prop_map(move |it| options.clone().with_framing(it)).boxed()
        }
        OptionName::Size => quantity(1).prop_map(move |it| set(options.clone().with_size(it))).boxed(),
        OptionName::MessageSize => {
            quantity(1).prop_map(move |it| set(options.clone().with_message_size(it))).boxed()
        }
        OptionName::Count => (1..=65_536_u32).prop_map(move |it| set(options.clone().with_count(it))).boxed(),
        OptionName::Type => {
            (1..=i64::MAX).prop_map(move |it| set(options.clone().with_message_type(it))).boxed()
        }
        OptionName::Prio => {
            (0..=32_767_u32).prop_map(move |it| set(options.clone().with_priority(it))).boxed()
        }
        OptionName::History => any::<u64>().prop_map(move |it| options.clone().with_history(it)).boxed(),
        OptionName::Slow => {
            select(Slow::ALL.to_vec()).prop_map(move |it| options.clone().with_slow(it)).boxed()
        }
        OptionName::Retries => any::<u32>().prop_map(move |it| options.clone().with_retries(it)).boxed(),
        OptionName::Visibility => timeout()
            .prop_map(move |it| set(options.clone().with_visibility(it.max(Duration::from_nanos(1)))))
            .boxed(),
        OptionName::Timeout => timeout().prop_map(move |it| options.clone().with_timeout(it)).boxed(),
        OptionName::Value => {
            let range = match endpoint {
                Endpoint::SysvSem { .. } => 0..=32_767,
                Endpoint::PosixSem(_) => 0..=i64::from(i32::MAX),
                Endpoint::Eventfd => 0..=i64::from(u32::MAX),
                _ => i64::from(i32::MIN)..=i64::from(i32::MAX),
            };
            range.prop_map(move |it| options.clone().with_value(it)).boxed()
        }
    }
}

fn address() -> impl Strategy<Value = Address> {
    (endpoint(), any::<u16>()).prop_flat_map(|(endpoint, chosen)| {
        let mut options = Just(Options::new()).boxed();
        for (bit, name) in endpoint.options().enumerate() {
            if chosen & 1 << bit != 0 {
                let endpoint = endpoint.clone();
                options = options
                    .prop_flat_map(move |options| with_option(endpoint.clone(), options, name))
                    .boxed();
            }
        }
        options.prop_map(move |options| Address::new(endpoint.clone(), options).unwrap())
    })
}

/// Texts that get past the scheme.
fn nearly() -> impl Strategy<Value = String> {
    let schemes: Vec<_> = Address::schemes().iter().map(|scheme| scheme.name).collect();
    let pieces =
        "0x7477 id= ftok= private / , @ [::1] : localhost 80 -1 0 007 %3F %zz %00 % ? & = create mode=0600 \
                  capacity=64k budget=1M framing=lines timeout=2s size= value=-1 type=1 prio=5 count=4 history=1 slow=block retries=3 visibility=1s icmp /USR1 /a .. é \u{202e}"
            .split(' ')
            .collect::<Vec<_>>();
    let piece = prop_oneof![9 => select(pieces).prop_map(str::to_owned), 1 => any::<String>()];
    (select(schemes), select(vec![":", ":", ":", ""]), vec(piece, 0..6))
        .prop_map(|(scheme, colon, pieces)| format!("{scheme}{colon}{}", pieces.concat()))
}

/// An address that was right, with one character gone, doubled or another.
fn spoiled() -> impl Strategy<Value = String> {
    (address(), any::<prop::sample::Index>(), option::of(any::<char>())).prop_map(
        |(address, index, other)| {
            let mut text: Vec<char> = address.to_string().chars().collect();
            let at = index.index(text.len());
            match other {
                None => drop(text.remove(at)),
                Some(other) if (other as u32).is_multiple_of(2) => text.insert(at, text[at]),
                Some(other) => text[at] = other,
            }
            text.into_iter().collect()
        },
    )
}

/// What holds for every text: if it is an address, what it prints as is the same address and prints the same; if not,
/// the error is fit to be shown.
fn check(text: &str) -> Result<(), TestCaseError> {
    match text.parse::<Address>() {
        Ok(address) => {
            let printed = address.to_string();
            prop_assert_eq!(&printed.parse::<Address>(), &Ok(address));
            prop_assert_eq!(printed.parse::<Address>().unwrap().to_string(), printed);
        }
        Err(error) => check_error(text, &error)?,
    }
    Ok(())
}

fn check_error(text: &str, error: &ParseError) -> Result<(), TestCaseError> {
    prop_assert_eq!(error.input(), text);
    prop_assert_eq!(text.get(error.span()), Some(error.part()), "{:?}", error);
    prop_assert!(error.example().parse::<Address>().is_ok(), "{}", error);
    let message = error.to_string();
    prop_assert!(!message.contains(char::is_control), "{:?}", message);
    // A short input, quoted, and a line or two about it; the worst character takes ten for its escape.
    prop_assert!(message.chars().count() < 4000, "{} characters", message.chars().count());
    prop_assert!(!error.why().is_empty() && !error.right().is_empty());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn what_prints_parses_back(address in address()) {
        let printed = address.to_string();
        let parsed: Address = printed.parse()?;
        prop_assert_eq!(&parsed, &address);
        prop_assert_eq!(Address::try_from(OsStr::new(&printed))?, address);
        prop_assert!(!printed.contains(char::is_control), "{:?}", printed);
    }

    #[test]
    fn bytes_survive(bytes in bytes(60)) {
        // Equality of addresses is that of bytes, but this does not rest on it.
        if let Ok(path) = FilePath::new(OsString::from_vec(bytes.clone())) {
            let address: Address = Address::from(Endpoint::File(path)).to_string().parse()?;
            let Endpoint::File(path) = address.endpoint() else { panic!("{address}") };
            prop_assert_eq!(path.as_os_str().as_bytes(), &bytes[..]);
        }
    }

    #[test]
    fn any_text_is_an_address_or_an_error(text in any::<String>()) {
        check(&text)?;
    }

    #[test]
    fn any_text_after_a_scheme_is_an_address_or_an_error(text in nearly()) {
        check(&text)?;
    }

    #[test]
    fn a_spoiled_address_is_an_address_or_an_error(text in spoiled()) {
        check(&text)?;
    }

    #[test]
    fn any_argument_is_an_address_or_an_error(bytes in bytes(60), scheme in 0..27_usize) {
        let head = format!("{}:", Address::schemes()[scheme].name);
        let argument = [head.as_bytes(), &bytes].concat();
        match Address::try_from(OsStr::from_bytes(&argument)) {
            Ok(address) => check(&address.to_string())?,
            Err(error) => check_error(error.input(), &error)?,
        }
    }
}

/// That the texts above are not all of one sort.
#[test]
fn the_strategies_reach_both_sides() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let mut schemes = std::collections::BTreeSet::new();
    let mut accepted = 0;
    for _ in 0..2000 {
        schemes.insert(address().new_tree(&mut runner).unwrap().current().endpoint().scheme());
        accepted += usize::from(nearly().new_tree(&mut runner).unwrap().current().parse::<Address>().is_ok());
    }
    assert_eq!(schemes.len(), Address::schemes().len(), "{schemes:?}");
    assert!((100..1900).contains(&accepted), "{accepted} of 2000 accepted");
}

#[test]
fn very_long_texts_take_no_time() {
    let many = 1 << 20;
    for text in [
        "%".repeat(many),
        format!("exec:{}", "%".repeat(many)),
        format!("fifo:/{}", "/".repeat(many)),
        format!("tcp:{}", ":".repeat(many)),
        format!("sysv-msg:{}", "9".repeat(many)),
        format!("sysv-msg:ftok={}", ",".repeat(many)),
        format!("fifo:/x?{}", "&".repeat(many)),
        format!("fifo:/x?mode={}", "7".repeat(many)),
        format!("{}:", "x".repeat(many)),
        format!("-?timeout={}s", "9".repeat(many)),
        "é".repeat(many),
    ] {
        let error = text.parse::<Address>().unwrap_err();
        assert!(error.to_string().len() < 1000, "{error}");
        assert!(error.example().parse::<Address>().is_ok(), "{error}");
    }
}
