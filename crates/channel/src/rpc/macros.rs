//! The macro that makes a trait and a client of a service's methods.

/// Declares a service: the trait that a server implements, and the client that calls it.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use twixt_channel::rpc::{self, Context, Items};
///
/// #[derive(Debug, PartialEq, Serialize, Deserialize)]
/// pub struct DivisionByZero;
///
/// twixt_channel::service! {
///     /// Calculates.
///     pub trait Calculator {
///         /// A method.
///         fn add(a: i32, b: i32) -> i32;
///         /// A method with an error of its own.
///         fn divide(a: i32, b: i32) -> Result<i32, DivisionByZero>;
///         /// A method whose result is a stream.
///         fn count(to: u64) -> stream u64;
///     }
///     /// Calls a [`Calculator`].
///     pub struct CalculatorClient;
/// }
///
/// struct Plain;
///
/// impl Calculator for Plain {
///     fn add(&self, _: &Context<'_>, a: i32, b: i32) -> i32 {
///         a.wrapping_add(b)
///     }
///     fn divide(&self, _: &Context<'_>, a: i32, b: i32) -> Result<i32, DivisionByZero> {
///         a.checked_div(b).ok_or(DivisionByZero)
///     }
///     fn count(&self, _: &Context<'_>, to: u64, items: &mut Items<'_, u64>) -> rpc::Result<()> {
///         (0..to).try_for_each(|number| items.send(&number))
///     }
/// }
/// # let address = "unix:@twixt-rpc-macro-doc".parse()?;
/// # let listener = twixt_channel::Listener::open(&address)?;
/// # let server = std::thread::spawn(move || Plain.into_server().serve(&mut listener.accept()?));
///
/// let client = CalculatorClient::connect(&address)?;
/// assert_eq!(client.add(1, 2).call()?, 3);
/// assert_eq!(client.divide(1, 0).call()?, Err(DivisionByZero));
/// let numbers: Vec<u64> = client.count(3).start()?.collect::<rpc::Result<_>>()?;
/// assert_eq!(numbers, [0, 1, 2]);
/// # drop(client);
/// # server.join().unwrap()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Arguments and results are of owned types that serde can write and read. A method has up to twelve arguments.
///
/// - The **trait** has the methods, each with a [`&Context`](crate::rpc::Context) before its own arguments, and
///   `into_server`, which makes a [`Server`](crate::rpc::Server) of an implementation. A method whose result is a stream
///   sends it into the [`&mut Items`](crate::rpc::Items) that is its last argument.
/// - The **client** has the methods too, each of which gives a [`Call`](crate::rpc::Call) or a
///   [`StreamCall`](crate::rpc::StreamCall) that is yet to be made, and the constructors `connect`, `open` and
///   `open_wait`. It dereferences to the [`Client`](crate::rpc::Client).
///
/// Both sides must have the same methods, of types that consist of the same: the conversation begins with a comparison. A
/// service with a type that cannot be [described](crate::typed::Schema::of) is refused when it is opened
/// ([`Error::Undescribable`](crate::rpc::Error::Undescribable)): take what such a type is made of as the argument, a
/// `String` say, and make the value in the handler.
///
/// A method can have any name but those that are taken, which do not compile: `connect`, `open`, `open_wait` and
/// `service` are the client's own, `into_server` is the trait's, `into` and `try_into` are every value's.
///
/// ```compile_fail
/// twixt_channel::service! {
///     pub trait Taken { fn connect(to: String); }
///     pub struct TakenClient;
/// }
/// ```
///
/// Two methods whose names have one hash do not compile:
///
/// ```compile_fail
/// twixt_channel::service! {
///     pub trait Twice { fn same(a: i32); fn same(a: i32, b: i32); }
///     pub struct TwiceClient;
/// }
/// ```
#[macro_export]
macro_rules! service {
    (
        $(#[$trait_attribute:meta])*
        $trait_visibility:vis trait $trait:ident { $($methods:tt)* }
        $(#[$client_attribute:meta])*
        $client_visibility:vis struct $client:ident;
    ) => {
        $crate::__rpc_service! {
            @parse
            [
                [$(#[$trait_attribute])*] [$trait_visibility] $trait
                [$(#[$client_attribute])*] [$client_visibility] $client
            ]
            []
            $($methods)*
        }
    };
}

/// Sorts the methods by kind, one after the other, and then makes the items.
#[doc(hidden)]
#[macro_export]
macro_rules! __rpc_service {
    (
        @parse $head:tt [$($done:tt)*]
        $(#[$attribute:meta])*
        fn $name:ident($($argument:ident: $type:ty),* $(,)?) -> stream $item:ty;
        $($rest:tt)*
    ) => {
        $crate::__rpc_service! {
            @parse $head
            [$($done)* { stream [$(#[$attribute])*] $name [$($argument: $type),*] [$item] }]
            $($rest)*
        }
    };
    (
        @parse $head:tt [$($done:tt)*]
        $(#[$attribute:meta])*
        fn $name:ident($($argument:ident: $type:ty),* $(,)?) -> $result:ty;
        $($rest:tt)*
    ) => {
        $crate::__rpc_service! {
            @parse $head
            [$($done)* { call [$(#[$attribute])*] $name [$($argument: $type),*] [$result] }]
            $($rest)*
        }
    };
    (
        @parse $head:tt [$($done:tt)*]
        $(#[$attribute:meta])*
        fn $name:ident($($argument:ident: $type:ty),* $(,)?);
        $($rest:tt)*
    ) => {
        $crate::__rpc_service! {
            @parse $head
            [$($done)* { call [$(#[$attribute])*] $name [$($argument: $type),*] [()] }]
            $($rest)*
        }
    };
    (
        @parse
        [
            [$(#[$trait_attribute:meta])*] [$trait_visibility:vis] $trait:ident
            [$(#[$client_attribute:meta])*] [$client_visibility:vis] $client:ident
        ]
        [$({
            $kind:ident [$(#[$attribute:meta])*] $name:ident [$($argument:ident: $type:ty),*] [$result:ty]
        })*]
    ) => {
        $($crate::__rpc_service! { @name $name })*

        $(#[$trait_attribute])*
        $trait_visibility trait $trait {
            $(
                $crate::__rpc_service! {
                    @handler $kind [$(#[$attribute])*] $name [$($argument: $type),*] [$result]
                }
            )*

            /// A server that answers with this.
            fn into_server(self) -> $crate::rpc::Server<Self>
            where
                Self: Sized + Sync,
            {
                $crate::rpc::Server::new(self, $client::service(), |handler: &Self, incoming| {
                    $(
                        if incoming.method() == const { $crate::rpc::method_id(stringify!($name)) } {
                            return $crate::__rpc_service! {
                                @dispatch $kind $trait handler incoming $name [$($argument: $type),*] [$result]
                            };
                        }
                    )*
                    incoming.unknown()
                })
            }
        }

        $(#[$client_attribute])*
        #[derive(Debug)]
        $client_visibility struct $client {
            client: $crate::rpc::Client,
        }

        #[allow(dead_code, reason = "a program need not call all that could be called")]
        impl $client {
            /// The service that it calls.
            pub fn service() -> &'static $crate::rpc::Service {
                static SERVICE: $crate::rpc::Service = $crate::rpc::Service::new(
                    stringify!($trait),
                    const {
                        &[$(
                            $crate::rpc::Method::new(
                                stringify!($name),
                                $crate::__rpc_service!(@streams $kind),
                                || $crate::rpc::Types::new::<($($type,)*)>(
                                    ::std::vec![$($crate::rpc::Type::of::<$type>()),*],
                                    $crate::rpc::Type::of::<$result>(),
                                ),
                            ),
                        )*]
                    },
                );
                &SERVICE
            }

            /// Connects to an address and begins a conversation there.
            ///
            /// # Errors
            /// Those of [`Client::connect`]($crate::rpc::Client::connect).
            pub fn connect(address: &$crate::rpc::Address) -> $crate::rpc::Result<Self> {
                $crate::rpc::Client::connect(address, Self::service()).map(|client| Self { client })
            }

            /// Begins a conversation over a connection.
            ///
            /// # Errors
            /// Those of [`Client::open`]($crate::rpc::Client::open).
            pub fn open(duplex: $crate::Duplex) -> $crate::rpc::Result<Self> {
                $crate::rpc::Client::open(duplex, Self::service()).map(|client| Self { client })
            }

            /// As [`open`](Self::open), with options, and waiting as `wait` says.
            ///
            /// # Errors
            /// Those of [`Client::open_wait`]($crate::rpc::Client::open_wait).
            pub fn open_wait(
                duplex: $crate::Duplex,
                options: $crate::rpc::Options,
                wait: $crate::rpc::Wait,
            ) -> $crate::rpc::Result<Self> {
                $crate::rpc::Client::open_wait(duplex, Self::service(), options, wait).map(|client| Self { client })
            }

            $(
                $crate::__rpc_service! {
                    @call $kind [$(#[$attribute])*] $name [$($argument: $type),*] [$result]
                }
            )*
        }

        impl ::core::ops::Deref for $client {
            type Target = $crate::rpc::Client;

            fn deref(&self) -> &$crate::rpc::Client {
                &self.client
            }
        }
    };

    // Names that the client or the trait has already. Without this the compiler would complain of a duplicate, and show code
    // that nobody wrote.
    (@name connect) => { $crate::__rpc_service! { @taken "connect" } };
    (@name open) => { $crate::__rpc_service! { @taken "open" } };
    (@name open_wait) => { $crate::__rpc_service! { @taken "open_wait" } };
    (@name service) => { $crate::__rpc_service! { @taken "service" } };
    // A value's own, which come before a method that borrows it.
    (@name into) => { $crate::__rpc_service! { @taken "into" } };
    (@name try_into) => { $crate::__rpc_service! { @taken "try_into" } };
    (@name into_server) => { $crate::__rpc_service! { @taken "into_server" } };
    (@name $name:ident) => {};
    (@taken $name:literal) => {
        ::core::compile_error! {
            ::core::concat!(
                "a method of a service cannot be called `", $name, "`: the generated trait or client has one of that \
                 name already (taken are connect, open, open_wait, service, into_server, into, try_into)"
            )
        }
    };

    (@streams call) => { false };
    (@streams stream) => { true };

    (@handler call [$(#[$attribute:meta])*] $name:ident [$($argument:ident: $type:ty),*] [$result:ty]) => {
        $(#[$attribute])*
        fn $name(&self, context: &$crate::rpc::Context<'_>, $($argument: $type),*) -> $result;
    };
    (@handler stream [$(#[$attribute:meta])*] $name:ident [$($argument:ident: $type:ty),*] [$item:ty]) => {
        $(#[$attribute])*
        fn $name(
            &self,
            context: &$crate::rpc::Context<'_>,
            $($argument: $type,)*
            items: &mut $crate::rpc::Items<'_, $item>,
        ) -> $crate::rpc::Result<()>;
    };

    (@dispatch call $trait:ident $handler:ident $incoming:ident $name:ident [$($argument:ident: $type:ty),*] [$result:ty]) => {
        $incoming.answer(|context, ($($argument,)*): ($($type,)*)| -> $result {
            <Self as $trait>::$name($handler, context, $($argument),*)
        })
    };
    (@dispatch stream $trait:ident $handler:ident $incoming:ident $name:ident [$($argument:ident: $type:ty),*] [$item:ty]) => {
        $incoming.stream(|context, ($($argument,)*): ($($type,)*), items: &mut $crate::rpc::Items<'_, $item>| {
            <Self as $trait>::$name($handler, context, $($argument,)* items)
        })
    };

    (@call call [$(#[$attribute:meta])*] $name:ident [$($argument:ident: $type:ty),*] [$result:ty]) => {
        $(#[$attribute])*
        pub fn $name(&self, $($argument: $type),*) -> $crate::rpc::Call<'_, ($($type,)*), $result> {
            self.client.prepare(const { $crate::rpc::method_id(stringify!($name)) }, ($($argument,)*))
        }
    };
    (@call stream [$(#[$attribute:meta])*] $name:ident [$($argument:ident: $type:ty),*] [$item:ty]) => {
        $(#[$attribute])*
        pub fn $name(&self, $($argument: $type),*) -> $crate::rpc::StreamCall<'_, ($($type,)*), $item> {
            self.client.prepare_stream(const { $crate::rpc::method_id(stringify!($name)) }, ($($argument,)*))
        }
    };
}
