//! The intent of Skybridge: a TOML file becomes a [`Config`], or all that is wrong with it.
//!
//! A `Config` that exists is legal: it is parsed, never validated later. Pure: reading files,
//! secrets and the clock is the caller's business.

pub mod model;

pub use model::Config;
