//! Texts that users write: signal names, modes, keys. What is accepted prints to a text that means the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use twixt_os::Mode;
use twixt_os::signal::Signal;
use twixt_os::sysv::Key;

fuzz_target!(|text: &str| {
    if let Ok(signal) = text.parse::<Signal>() {
        assert_eq!(signal.to_string().parse(), Ok(signal));
    }
    if let Ok(mode) = text.parse::<Mode>() {
        assert_eq!(mode.to_string().parse(), Ok(mode));
    }
    if let Ok(key) = text.parse::<Key>() {
        assert_eq!(key.to_string().parse(), Ok(key));
    }
});
