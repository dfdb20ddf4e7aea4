//! IPsec tunnels by strongSwan.
//!
//! strongSwan speaks IKE and puts the keys into the kernel; we tell it what to speak about, over
//! [`vici`]. [`conn`] turns a specification into its words, [`event`] its events into ours, [`failure`]
//! its log into a cause with a remedy, `callers` into one of who calls us. [`machine`] says what to load, whom to call and
//! when again; [`driver`] the task between the machine and the socket.
//!
//! Only connections whose names begin with [`conn::PREFIX`] are ever looked at or changed.

mod callers;
pub mod conn;
pub mod driver;
pub mod event;
pub mod failure;
pub mod machine;
pub mod vici;

/// A tunnel to an imagined gateway, for tests.
#[cfg(test)]
pub(crate) fn example() -> crate::spec::IpsecSpec {
    use crate::spec::{Auth, Hidden, IkeVersion, Initiator, IpsecSpec, NatTraversal, Selectors};
    use std::time::Duration;
    IpsecSpec {
        if_id: 7.try_into().expect("not zero"),
        local: Some("203.0.113.10".parse().expect("an address")),
        remote: "198.51.100.1".parse().expect("an address"),
        local_id: None,
        remote_id: None,
        auth: Auth::Psk(Hidden::new(b"secret".to_vec().into())),
        version: IkeVersion::V2,
        ike: vec!["aes256-sha256-modp2048".to_owned()],
        esp: vec!["aes256gcm16-modp2048".to_owned()],
        ike_lifetime: Duration::from_secs(28_800),
        esp_lifetime: Duration::from_secs(3600),
        dpd: Duration::from_secs(10),
        initiator: Initiator::Us,
        nat_traversal: NatTraversal::Auto,
        selectors: Selectors::Both,
    }
}
