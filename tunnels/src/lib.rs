//! Tunnels: specification, plan, supervision, backends.
