//! The routing tables.

mod interface;

pub use interface::{
    ExportBatch, Input, NexthopState, Output, PathView, PeerCounts, RibConfig, RibPeer,
    RouteChange, RouteHop, RouteView, Standing, Step,
};
