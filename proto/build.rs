//! Compiles `idl/` to Rust without a system `protoc`: protox parses, tonic-prost-build generates.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = ["idl/types.proto", "idl/jobs.proto", "idl/tasks.proto", "idl/leases.proto"];
    let descriptors = protox::compile(files, ["idl"])?;
    tonic_prost_build::configure().bytes(".brigade.v1.ManifestChunk").compile_fds(descriptors)?;
    for file in files {
        println!("cargo::rerun-if-changed={file}");
    }
    Ok(())
}
