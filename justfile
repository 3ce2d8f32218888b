# What continuous integration runs, all of it.
check:
    bash .ci/run

# The main job.
tour *ARGUMENTS:
    cargo run --release -- tour {{ARGUMENTS}}

# All tests.
test:
    cargo test --workspace

# Formats every file.
format:
    cargo fmt --all
