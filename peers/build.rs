//! Compiles what has no crate.

fn main() {
    println!("cargo:rerun-if-changed=boost/boost.cpp");
    #[cfg(feature = "boost")]
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .file("boost/boost.cpp")
        // Slow without, even while everything else is built to be looked at.
        .opt_level(3)
        .warnings(false)
        .compile("peers_boost");
}
