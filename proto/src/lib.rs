//! The wire: rounds.v1, its generated code, and the only conversions between wire and domain.
//!
//! `*_from_wire` reads what others sent and refuses what it cannot read; it checks form only, the rules are the
//! domain's ([`rounds_domain::Op::check`]). `*_to_wire` writes what this program holds.

mod body;
mod op;
mod record;
mod summary;
mod verdict;
mod word;

pub use body::{body_from_wire, body_to_wire};
pub use op::{decode_op, encode_op, op_from_wire, op_to_wire};
/// The well-known types that messages use.
pub use prost_types;
pub use record::{record_from_wire, record_to_wire};
pub use summary::{report_from_wire, report_to_wire};
pub use verdict::{verdict_from_wire, verdict_to_wire};
pub use word::{
    clock_from_wire, clock_to_wire, id_from_wire, kind_from_wire, kind_to_wire, role_from_wire, role_to_wire,
    timestamp_to_wire,
};

/// The generated messages, clients and servers.
#[allow(missing_docs)] // the protos say it; the generator does not carry every comment over
pub mod v1 {
    #![allow(clippy::all, unreachable_pub)] // generated
    tonic::include_proto!("rounds.v1");
}

/// Every proto of `rounds.v1` and what it imports, as others see it: an encoded `google.protobuf.FileDescriptorSet`.
pub const FILE_DESCRIPTOR_SET: &[u8] = tonic::include_file_descriptor_set!("rounds.v1");
