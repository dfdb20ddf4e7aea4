//! The contract of Skybridge: the gRPC services of `proto/skybridge/v1/` and their generated
//! types. Depends on nothing of ours; meaning and conversion live in the daemon.

/// The messages, clients and servers of version 1.
#[allow(missing_docs, reason = "documented in the .proto files")]
#[allow(
    clippy::all,
    unused_qualifications,
    elided_lifetimes_in_paths,
    unnameable_types,
    clippy::allow_attributes_without_reason,
    clippy::use_self,
    clippy::wildcard_enum_match_arm,
    reason = "generated code"
)]
pub mod v1 {
    tonic::include_proto!("skybridge.v1");
}

/// The compiled descriptors of all services, for reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// Where the daemon listens unless told otherwise.
pub const DEFAULT_SOCKET: &str = "/run/skybridge/skybridge.sock";
