//! Generates the code of `rounds.v1` and the descriptor set that the server's reflection shows.

use prost::Message as _;
use prost_types::FileDescriptorSet;
use prost_types::field_descriptor_proto::Type;
use std::error::Error;
use std::path::PathBuf;

const PROTOS: [&str; 8] = [
    "rounds/v1/contact.proto",
    "rounds/v1/device.proto",
    "rounds/v1/directory.proto",
    "rounds/v1/history.proto",
    "rounds/v1/op.proto",
    "rounds/v1/record.proto",
    "rounds/v1/summary.proto",
    "rounds/v1/sync.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    for proto in PROTOS {
        println!("cargo::rerun-if-changed={proto}");
    }
    let mut descriptors = protox::compile(PROTOS, ["."])?;
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    std::fs::write(out.join("rounds.v1.bin"), descriptors.encode_to_vec())?;

    leave_ops_sealed(&mut descriptors)?;
    tonic_prost_build::configure().bytes(".rounds.v1.SealedOp.op").compile_fds(descriptors)?;
    Ok(())
}

/// Makes `SealedOp.op` bytes in the generated code, while the protos, and so everybody else, say `Op`.
///
/// A message and the bytes of its encoding are the same on the wire. Kept as bytes, each op is decoded by itself,
/// so one malformed op cannot spoil a batch; the hash is over the bytes as sent; and a device sends what it
/// recorded, byte for byte, also after it was upgraded.
fn leave_ops_sealed(descriptors: &mut FileDescriptorSet) -> Result<(), Box<dyn Error>> {
    let field = descriptors
        .file
        .iter_mut()
        .flat_map(|file| &mut file.message_type)
        .filter(|message| message.name() == "SealedOp")
        .flat_map(|message| &mut message.field)
        .find(|field| field.name() == "op" && field.type_name() == ".rounds.v1.Op")
        .ok_or("no message SealedOp with a field op of type Op")?;
    field.set_type(Type::Bytes);
    field.type_name = None;
    Ok(())
}
