//! The published `.proto` files and the code compiled into the core say the same.
//!
//! The generated code is committed, so that building needs neither protoc nor a build script. This
//! test generates it again and compares. After a change to a `.proto` file:
//! `THALLUS_BLESS=1 cargo test -p tests --test proto`, and read the difference before committing it.

use std::fs;
use std::path::{Path, PathBuf};

/// Messages that carry secrets: erased when dropped, never printed.
const SECRET: [&str; 3] =
    [".thallus.identity.KeyFileBody", ".thallus.identity.HeldNetworkKey", ".thallus.identity.NetworkKeyBody"];

fn core_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../proto-core")
}

fn generate(proto: &str, package: &str) -> String {
    let folder = core_dir().join("proto");
    let descriptors = protox::compile([proto], [&folder]).expect("the .proto file compiles");
    let out = std::env::temp_dir().join(format!("thallus-proto-{package}-{}", std::process::id()));
    fs::create_dir_all(&out).expect("a folder for generated code");
    let mut config = prost_build::Config::new();
    config.out_dir(&out);
    config.bytes([".thallus.store", ".thallus.routing", ".thallus.bundle"]);
    config.skip_debug(SECRET);
    for message in SECRET {
        config.type_attribute(message, "#[derive(::zeroize::Zeroize, ::zeroize::ZeroizeOnDrop)]");
    }
    config.compile_fds(descriptors).expect("code generation");
    let code = fs::read_to_string(out.join(format!("{package}.rs"))).expect("the generated file");
    fs::remove_dir_all(&out).expect("the folder can be removed");
    code
}

fn check(proto: &str, package: &str, committed: &str) {
    let path = core_dir().join("src").join(committed);
    let code = generate(proto, package);
    if std::env::var_os("THALLUS_BLESS").is_some() {
        fs::write(&path, &code).expect("the committed file can be written");
    }
    let present = fs::read_to_string(&path).expect("the committed file");
    assert!(
        present == code,
        "{committed} does not follow from {proto}; run THALLUS_BLESS=1 cargo test -p tests --test proto"
    );
}

#[test]
fn identity_code_follows_from_its_proto() {
    check("identity.proto", "thallus.identity", "identity/wire.rs");
}

#[test]
fn record_code_follows_from_its_proto() {
    check("record.proto", "thallus.store", "store/wire.rs");
}

#[test]
fn routing_code_follows_from_its_proto() {
    check("routing.proto", "thallus.routing", "routing/wire.rs");
}

#[test]
fn bundle_code_follows_from_its_proto() {
    check("bundle.proto", "thallus.bundle", "bundle/wire.rs");
}
