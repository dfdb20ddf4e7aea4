//! `skybridge show tunnels`.

use api::v1;
use api::v1::links_client::LinksClient;
use tonic::transport::Channel;

use crate::output::Output;
use crate::units::{age, bytes};
use crate::{Failure, Outcome, answer, client, json};

use super::table::{Table, cell, toned};
use super::{Screen, Tone, clean, or_dash};

pub(crate) async fn run(channel: Channel, output: &mut Output) -> Result<Outcome, Failure> {
    let response = LinksClient::new(channel)
        .list_tunnels(v1::ListTunnelsRequest {})
        .await;
    let tunnels = response
        .map_err(|status| client::refused(&status))?
        .into_inner()
        .tunnels;
    answer(
        output,
        || json::list::<_, json::Tunnel>("tunnels", &tunnels),
        |screen| render(&tunnels, screen),
    )
}

/// The tunnels, then in full what keeps any of them from being up, and the keys.
fn render(tunnels: &[v1::Tunnel], screen: &Screen) -> String {
    if tunnels.is_empty() {
        return "no tunnels\n".to_owned();
    }
    let mut table = Table::new(&[
        "TUNNEL",
        "STATE",
        "KIND",
        "BACKEND",
        "INTERFACE",
        ">PORT",
        ">HANDSHAKE",
        ">RX",
        ">TX",
        "ENDPOINT",
    ]);
    for tunnel in tunnels {
        let port = match tunnel.listen_port {
            0 => "-".to_owned(),
            port => port.to_string(),
        };
        let handshake = match tunnel.last_handshake {
            Some(_) => format!("{} ago", age(tunnel.last_handshake.as_ref(), screen.now)),
            None if is_wireguard(tunnel) => "never".to_owned(),
            None => "-".to_owned(),
        };
        let state = if tunnel.up {
            toned(Tone::Good, "up")
        } else {
            toned(Tone::Bad, "down")
        };
        table.row([
            cell(&tunnel.name),
            state,
            cell(or_dash(&tunnel.kind)),
            cell(or_dash(&tunnel.backend)),
            cell(&tunnel.interface),
            cell(port),
            cell(handshake),
            cell(bytes(tunnel.receive_bytes)),
            cell(bytes(tunnel.transmit_bytes)),
            cell(or_dash(&tunnel.endpoint)),
        ]);
    }
    let mut text = table.render(screen);
    for tunnel in tunnels.iter().filter(|tunnel| !tunnel.problem.is_empty()) {
        let problem = format!("\n{}: {}\n", clean(&tunnel.name), clean(&tunnel.problem));
        text.push_str(&screen.paint(Tone::Bad, &problem));
    }
    let details: String = tunnels.iter().filter_map(details).collect();
    if !details.is_empty() {
        text.push('\n');
        text.push_str(&details);
    }
    if !tunnels.iter().any(is_wireguard) {
        return text;
    }
    let mut keys = Table::new(&["TUNNEL", "OUR PUBLIC KEY", "THE PEER'S"]);
    for tunnel in tunnels.iter().filter(|tunnel| is_wireguard(tunnel)) {
        keys.row([
            cell(&tunnel.name),
            cell(or_dash(&tunnel.public_key)),
            cell(or_dash(&tunnel.peer_public_key)),
        ]);
    }
    text.push('\n');
    text.push_str(&keys.render(screen));
    text
}

/// What is peculiar to its kind, then its path.
fn details(tunnel: &v1::Tunnel) -> Option<String> {
    let mut parts = Vec::new();
    if !tunnel.detail.is_empty() {
        parts.push(clean(&tunnel.detail));
    }
    if !tunnel.path_mtu_note.is_empty() {
        parts.push(format!(
            "MTU {}, {}",
            tunnel.mtu,
            clean(&tunnel.path_mtu_note)
        ));
    }
    let name = clean(&tunnel.name);
    (!parts.is_empty()).then(|| format!("{name}: {}\n", parts.join("; ")))
}

fn is_wireguard(tunnel: &v1::Tunnel) -> bool {
    tunnel.kind == "wireguard"
}

#[cfg(test)]
mod tests {
    use super::super::tests::{ago, screen};
    use super::*;

    #[test]
    fn a_tunnel_that_is_not_up_says_why() {
        let up = v1::Tunnel {
            name: "wg-a".to_owned(),
            interface: "sb-wg-a".to_owned(),
            kind: "wireguard".to_owned(),
            backend: "userspace".to_owned(),
            up: true,
            endpoint: "192.0.2.1:51820".to_owned(),
            listen_port: 51820,
            public_key: "ours=".to_owned(),
            peer_public_key: "theirs=".to_owned(),
            last_handshake: ago(42),
            receive_bytes: 1_500,
            transmit_bytes: 2_500,
            mtu: 1420,
            ..v1::Tunnel::default()
        };
        let down = v1::Tunnel {
            name: "wg-b".to_owned(),
            interface: "sb-wg-b".to_owned(),
            kind: "wireguard".to_owned(),
            problem: "port 51820 is taken; choose another `listen`".to_owned(),
            listen_port: 51820,
            mtu: 1420,
            ..v1::Tunnel::default()
        };
        let gre = v1::Tunnel {
            name: "tgw".to_owned(),
            interface: "sb-tgw".to_owned(),
            kind: "gre".to_owned(),
            backend: "kernel".to_owned(),
            up: true,
            mtu: 1300,
            path_mtu: 1300,
            path_mtu_note: "the path takes 1300 of 1476".to_owned(),
            detail: "GRE from 10.0.0.4 to 10.0.1.9".to_owned(),
            ..v1::Tunnel::default()
        };
        let expected = "\
TUNNEL  STATE  KIND       BACKEND    INTERFACE   PORT  HANDSHAKE      RX      TX  ENDPOINT
wg-a    up     wireguard  userspace  sb-wg-a    51820    42s ago  1.5 kB  2.5 kB  192.0.2.1:51820
wg-b    down   wireguard  -          sb-wg-b    51820      never     0 B     0 B  -
tgw     up     gre        kernel     sb-tgw         -          -     0 B     0 B  -

wg-b: port 51820 is taken; choose another `listen`

tgw: GRE from 10.0.0.4 to 10.0.1.9; MTU 1300, the path takes 1300 of 1476

TUNNEL  OUR PUBLIC KEY  THE PEER'S
wg-a    ours=           theirs=
wg-b    -               -
";
        assert_eq!(render(&[up, down, gre], &screen()), expected);
    }
}
