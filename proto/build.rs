//! Compiles the `.proto` files with protox, so that no `protoc` is needed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = [
        "link",
        "provision",
        "cbr",
        "routing",
        "storage",
        "coder",
        "store",
        "backend",
    ]
    .map(|name| format!("securecloud/{name}.proto"));
    println!("cargo::rerun-if-changed=securecloud");
    let descriptors = protox::compile(files, ["."])?;
    prost_build::Config::new()
        .bytes(["."])
        .compile_fds(descriptors)?;
    Ok(())
}
