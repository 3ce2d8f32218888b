//! Any text either is an address that prints to the same address, or has an error whose span lies in the text and
//! whose example is an address.

#![no_main]

use libfuzzer_sys::fuzz_target;
use twixt_address::Address;

fuzz_target!(|text: &str| {
    match text.parse::<Address>() {
        Ok(address) => {
            let printed = address.to_string();
            assert_eq!(printed.parse::<Address>().as_ref(), Ok(&address), "{printed}");
        }
        Err(error) => {
            let span = error.span();
            assert!(span.start <= span.end && span.end <= error.input().len());
            assert!(!error.to_string().contains(char::is_control));
            assert!(error.example().parse::<Address>().is_ok(), "{}", error.example());
        }
    }
});
