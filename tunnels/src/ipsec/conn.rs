//! A specification in the words of strongSwan: pure.

use std::time::Duration;

use super::vici::Message;
use crate::spec::{Auth, IkeVersion, IpsecSpec, NatTraversal};

/// What the names of our connections, their children and their secrets begin with.
pub const PREFIX: &str = "skybridge-";
/// Packets that come this much out of order are no replays. strongSwan's own 32 is little for
/// several queues of one NIC.
const REPLAY_WINDOW: &str = "1024";
/// DPD of IKEv1 has a timeout of its own; IKEv2's is that of any other message.
const DPD_PATIENCE: u32 = 4;

/// The name of a link's connection, and of its one child.
#[must_use]
pub fn name(link: &str) -> String {
    format!("{PREFIX}{link}")
}

/// The link that a connection is for, if it is ours.
#[must_use]
pub fn link(name: &str) -> Option<&str> {
    name.strip_prefix(PREFIX)
}

/// Arguments of `load-conn`.
#[must_use]
pub fn load_conn(link: &str, spec: &IpsecSpec) -> Message {
    let name = name(link);
    let (rekey, over) = rekey(spec.ike_lifetime);
    let conn = Message::new()
        .with("version", version(spec))
        .with_list("local_addrs", spec.local.map(|local| local.to_string()))
        .with_list("remote_addrs", [spec.remote.to_string()])
        .with_list("proposals", &spec.ike)
        .with("encap", yes(spec.nat_traversal == NatTraversal::Forced))
        .with("fragmentation", "yes")
        // The two addresses are the tunnel's; a move would be another tunnel.
        .with("mobike", "no")
        // One attempt after the other is our business.
        .with("keyingtries", "1")
        // Two tunnels to one gateway may have the same identities.
        .with("unique", "no")
        .with("dpd_delay", seconds(spec.dpd))
        .with("dpd_timeout", seconds(spec.dpd * DPD_PATIENCE))
        .with("rekey_time", seconds(rekey))
        .with("over_time", seconds(over))
        .with("rand_time", seconds(over))
        .with("reauth_time", "0")
        .with_section("local", local(spec))
        .with_section("remote", remote(spec))
        .with_section("children", Message::new().with_section(&name, child(spec)));
    Message::new().with_section(&name, conn)
}

fn version(spec: &IpsecSpec) -> &'static str {
    match spec.version {
        IkeVersion::V1 => "1",
        IkeVersion::V2 => "2",
    }
}

fn local(spec: &IpsecSpec) -> Message {
    let id = spec.local_id.clone();
    let id = id.or_else(|| Some(spec.local?.to_string()));
    let local = Message::new().with_some("id", id);
    match &spec.auth {
        Auth::Psk(_) => local.with("auth", "psk"),
        Auth::Certificate { certificate, .. } => local
            .with("auth", "pubkey")
            .with_list("certs", [certificate]),
    }
}

fn remote(spec: &IpsecSpec) -> Message {
    let remote = Message::new().with("id", spec.remote_identity());
    match &spec.auth {
        Auth::Psk(_) => remote.with("auth", "psk"),
        Auth::Certificate { ca, .. } => remote.with("auth", "pubkey").with_list("cacerts", [ca]),
    }
}

fn child(spec: &IpsecSpec) -> Message {
    let (rekey, over) = rekey(spec.esp_lifetime);
    let if_id = spec.if_id.to_string();
    let selectors = spec.selectors.prefixes();
    Message::new()
        .with("mode", "tunnel")
        .with_list("local_ts", selectors)
        .with_list("remote_ts", selectors)
        .with_list("esp_proposals", &spec.esp)
        .with("if_id_in", &if_id)
        .with("if_id_out", &if_id)
        .with("rekey_time", seconds(rekey))
        .with("life_time", seconds(spec.esp_lifetime))
        .with("rand_time", seconds(over))
        .with("replay_window", REPLAY_WINDOW)
        // Whether to call, and when again, is for the machine to say.
        .with("start_action", "none")
        .with("close_action", "none")
        .with("dpd_action", "clear")
}

/// Arguments of the commands that load the secrets and certificates of a link, before its connection.
#[must_use]
pub fn secrets(link: &str, spec: &IpsecSpec) -> Vec<(&'static str, Message)> {
    match &spec.auth {
        Auth::Psk(psk) => {
            // IKEv1's main mode looks for it by address, before anybody has said who they are.
            let addresses = spec.local.into_iter().chain([spec.remote]);
            let addresses = addresses.map(|address| address.to_string());
            let ids = spec
                .local_id
                .clone()
                .into_iter()
                .chain(spec.remote_id.clone());
            let mut owners: Vec<String> = ids.chain(addresses).collect();
            owners.dedup();
            let shared = Message::new()
                .with("id", name(link))
                .with("type", "IKE")
                .with("data", psk.expose())
                .with_list("owners", owners);
            vec![("load-shared", shared)]
        }
        Auth::Certificate {
            certificate,
            key,
            ca,
        } => {
            let of = |flag: &str, data: &[u8]| {
                let cert = Message::new().with("type", "X509");
                cert.with("flag", flag).with("data", data)
            };
            let key = Message::new()
                .with("type", "any")
                .with("data", key.expose());
            vec![
                ("load-cert", of("CA", ca)),
                ("load-cert", of("NONE", certificate)),
                ("load-key", key),
            ]
        }
    }
}

/// Arguments of `initiate`.
///
/// - `patience`: after which strongSwan gives its answer, whatever it is
#[must_use]
pub fn initiate(link: &str, patience: Duration) -> Message {
    Message::new()
        .with("child", name(link))
        .with("ike", name(link))
        .with("timeout", patience.as_millis().to_string())
        .with("loglevel", "1")
}

/// Arguments of `terminate` for all that a connection has.
#[must_use]
pub fn terminate(name: &str) -> Message {
    // Without `force` one that is not there any more is waited for.
    Message::new()
        .with("ike", name)
        .with("force", "yes")
        .with("timeout", "-1")
}

/// When to replace an association at the latest, and how much of its life is left then. With the random
/// part the two ends and all tunnels rarely rekey at one moment.
fn rekey(lifetime: Duration) -> (Duration, Duration) {
    let margin = lifetime / 10;
    (lifetime - margin, margin)
}

fn seconds(duration: Duration) -> String {
    duration.as_secs().to_string()
}

fn yes(is: bool) -> &'static str {
    if is { "yes" } else { "no" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipsec::example as spec;
    use crate::spec::{Hidden, Selectors};

    #[test]
    fn a_connection_has_any_to_any_selectors_and_the_interface_s_number() {
        let message = load_conn("aws-1", &spec());
        let conn = message.section("skybridge-aws-1").expect("by its name");
        assert_eq!(conn.text("version"), Some("2"));
        assert_eq!(conn.list("remote_addrs"), ["198.51.100.1"]);
        assert_eq!(conn.text("unique"), Some("no"));
        let children = conn.section("children").expect("children");
        let child = children.section("skybridge-aws-1").expect("a child");
        assert_eq!(child.list("local_ts"), ["0.0.0.0/0", "::/0"]);
        assert_eq!(child.list("remote_ts"), ["0.0.0.0/0", "::/0"]);
        assert_eq!(
            (child.text("if_id_in"), child.text("if_id_out")),
            (Some("7"), Some("7"))
        );
        assert_eq!(child.text("start_action"), Some("none"));
    }

    #[test]
    fn associations_are_replaced_before_they_end_and_not_all_at_once() {
        let message = load_conn("a", &spec());
        let conn = message.section("skybridge-a").expect("by its name");
        // Between 0.8 and 0.9 of 28800 s.
        assert_eq!(conn.text("rekey_time"), Some("25920"));
        assert_eq!(conn.text("rand_time"), Some("2880"));
        assert_eq!(conn.text("reauth_time"), Some("0"));
        let child = conn
            .section("children")
            .and_then(|c| c.section("skybridge-a"));
        let child = child.expect("a child");
        assert_eq!(child.text("rekey_time"), Some("3240"));
        assert_eq!(child.text("life_time"), Some("3600"));
    }

    #[test]
    fn a_shared_secret_is_for_its_two_ends() {
        let commands = secrets("a", &spec());
        let [("load-shared", message)] = commands.as_slice() else {
            panic!("{commands:?}")
        };
        assert_eq!(message.text("data"), Some("secret"));
        assert_eq!(message.list("owners"), ["203.0.113.10", "198.51.100.1"]);
    }

    #[test]
    fn certificates_are_loaded_before_they_are_asked_for() {
        let auth = Auth::Certificate {
            certificate: b"cert".to_vec(),
            key: Hidden::new(b"key".to_vec().into()),
            ca: b"ca".to_vec(),
        };
        let spec = IpsecSpec { auth, ..spec() };
        let loaded: Vec<_> = secrets("a", &spec)
            .iter()
            .map(|(command, _)| *command)
            .collect();
        assert_eq!(loaded, ["load-cert", "load-cert", "load-key"]);
        let message = load_conn("a", &spec);
        let conn = message.section("skybridge-a").expect("by its name");
        let part = |name| conn.section(name).expect("both ends");
        assert_eq!(part("local").list("certs"), ["cert"]);
        assert_eq!(part("remote").list("cacerts"), ["ca"]);
    }

    #[test]
    fn ikev1_has_one_selector() {
        let spec = IpsecSpec {
            version: IkeVersion::V1,
            selectors: Selectors::V4,
            ..spec()
        };
        let message = load_conn("a", &spec);
        let conn = message.section("skybridge-a").expect("by its name");
        assert_eq!(conn.text("version"), Some("1"));
        let child = conn
            .section("children")
            .and_then(|c| c.section("skybridge-a"));
        assert_eq!(child.expect("a child").list("local_ts"), ["0.0.0.0/0"]);
    }

    #[test]
    fn only_names_with_our_prefix_are_ours() {
        assert_eq!(link(&name("a")), Some("a"));
        assert_eq!(link("office"), None);
    }
}
