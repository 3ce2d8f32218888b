//! What `rpc-server` serves and `rpc-client` calls.

twixt::channel::service! {
    /// Calculates.
    pub trait Calculator {
        /// One number by another, or why not.
        fn divide(a: i64, b: i64) -> Result<i64, String>;
        /// All prime numbers from here on.
        fn primes(from: u64) -> stream u64;
    }
    /// Calls a [`Calculator`].
    pub struct CalculatorClient;
}
