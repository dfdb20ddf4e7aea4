//! The kernel's WireGuard where there is one; where there is none, that `auto` falls back.

mod common;

use std::time::Duration;

use common::{End, Netns, Pings, Words, cabled, eventually, public};

const SOON: Duration = Duration::from_secs(60);

fn has_wireguard() -> bool {
    let netns = Netns::new();
    netns
        .output("ip", &["link", "add", "probe", "type", "wireguard"])
        .status
        .success()
}

fn words(backend: &'static str) -> (Words, Words) {
    let mut a = Words::new(1, 2, "10.99.0.1/24", Some("172.31.0.2:51820"));
    let mut b = Words::new(2, 1, "10.99.0.2/24", None);
    (a.psk, b.psk) = (Some([7; 32]), Some([7; 32]));
    (a.backend, a.keepalive) = (backend, 1);
    b.backend = "userspace";
    (a, b)
}

#[test]
fn auto_takes_the_kernel_where_it_has_wireguard_and_userspace_elsewhere() {
    let (a, _b) = cabled();
    let end = End::start(&a, &words("auto").0);
    let expected = if has_wireguard() {
        "kernel"
    } else {
        "userspace"
    };
    assert!(
        end.says(&format!("backend={expected} up="), SOON),
        "{}",
        end.status()
    );
}

#[test]
fn a_kernel_without_wireguard_is_said_with_its_remedy() {
    if has_wireguard() {
        println!("THIS KERNEL HAS WIREGUARD. NOT TESTED: what is said when it has none");
        return;
    }
    let (a, _b) = cabled();
    let end = End::start(&a, &words("kernel").0);
    assert!(
        end.says(
            "this kernel has no WireGuard; load the wireguard module",
            SOON
        ),
        "{}",
        end.status()
    );
}

#[test]
fn the_kernel_talks_to_userspace_and_survives_a_restart_and_a_change() {
    if !has_wireguard() {
        println!(
            "THIS KERNEL HAS NO WIREGUARD. NOT TESTED: kernel tunnels: bring-up, status, take-over, change of spec, removal"
        );
        return;
    }
    let (a, b) = cabled();
    let (mut words_a, words_b) = words("kernel");
    let (end_a, end_b) = (End::start(&a, &words_a), End::start(&b, &words_b));
    assert!(
        end_a.says("backend=kernel up=true fresh=true", SOON),
        "{}",
        end_a.status()
    );
    assert!(
        a.reaches("10.99.0.2", SOON),
        "{} / {}",
        end_a.status(),
        end_b.status()
    );
    assert!(!end_a.status().contains("rx=0 "), "{}", end_a.status());

    let before = a.ip(&["-o", "addr", "show", "sb-test"]);
    end_a.kill();
    assert!(
        a.reaches("10.99.0.2", SOON),
        "the kernel carries on without a daemon"
    );
    let mut end_a = End::start(&a, &words_a);
    assert!(
        end_a.says("backend=kernel up=true fresh=true", SOON),
        "{}",
        end_a.status()
    );
    assert_eq!(end_a.steps(), [""; 0], "a take-over has nothing to do");

    words_a.keepalive = 5;
    words_a.mtu = 1380;
    end_a.reconfigure(Some(&words_a));
    assert!(eventually(SOON, || a
        .ip(&["link", "show", "sb-test"])
        .contains("mtu 1380")));
    assert!(a.reaches("10.99.0.2", SOON), "{}", end_a.status());
    assert_eq!(a.ip(&["-o", "addr", "show", "sb-test"]), before);

    end_a.reconfigure(None);
    let gone = || {
        !a.output("ip", &["link", "show", "sb-test"])
            .status
            .success()
    };
    assert!(eventually(SOON, gone), "still there");
}

#[test]
fn a_change_of_backend_replaces_the_interface() {
    if !has_wireguard() {
        println!("THIS KERNEL HAS NO WIREGUARD. NOT TESTED: from userspace to kernel and back");
        return;
    }
    let (a, b) = cabled();
    let (mut words_a, words_b) = words("userspace");
    let (mut end_a, _end_b) = (End::start(&a, &words_a), End::start(&b, &words_b));
    assert!(
        end_a.says("backend=userspace up=true fresh=true", SOON),
        "{}",
        end_a.status()
    );
    for backend in ["kernel", "userspace"] {
        words_a.backend = backend;
        end_a.reconfigure(Some(&words_a));
        let expected = format!("backend={backend} up=true fresh=true");
        assert!(end_a.says(&expected, SOON), "{}", end_a.status());
        assert!(a.reaches("10.99.0.2", SOON), "{}", end_a.status());
    }
}

#[test]
fn a_kernel_tunnel_that_nobody_answers_is_dormant_and_ready_with_its_first_session() {
    if !has_wireguard() {
        println!("THIS KERNEL HAS NO WIREGUARD. NOT TESTED: the operational state of its tunnels");
        return;
    }
    let (a, b) = cabled();
    let (words_a, words_b) = words("kernel");
    let end_a = End::start(&a, &words_a);
    let shows = |state: &str| {
        let shown = || a.ip(&["link", "show", "sb-test"]);
        assert!(
            eventually(SOON, || a
                .output("ip", &["link", "show", "sb-test"])
                .status
                .success()),
            "no interface"
        );
        assert!(eventually(SOON, || shown().contains(state)), "{}", shown());
        shown()
    };
    let flags = shows("state DORMANT");
    assert!(
        flags.contains(",UP,LOWER_UP"),
        "its handshakes need it: {flags}"
    );
    assert!(
        end_a.says("up=true fresh=false", SOON),
        "{}",
        end_a.status()
    );
    let _end_b = End::start(&b, &words_b);
    assert!(a.reaches("10.99.0.2", SOON), "{}", end_a.status());
    shows("state UP");
}

/// The kernel forgets sessions when its own private key or the peer changes. So that end goes last, and what
/// it has to send waits for one round trip.
#[test]
fn keys_change_with_the_kernel_s_end_last() {
    if !has_wireguard() {
        println!("THIS KERNEL HAS NO WIREGUARD. NOT TESTED: keys of its tunnels under traffic");
        return;
    }
    let (a, b) = cabled();
    let (mut words_a, mut words_b) = words("kernel");
    words_b.endpoint = Some("172.31.0.1:51820".to_owned());
    let (mut end_a, mut end_b) = (End::start(&a, &words_a), End::start(&b, &words_b));
    assert!(a.reaches("10.99.0.2", SOON), "{}", end_a.status());
    let mut rotate = |what: &str, words_a: &Words, words_b: &Words| {
        let pings = Pings::start(&a, "10.99.0.2");
        let pause = || std::thread::sleep(Duration::from_secs(2));
        pause();
        end_b.reconfigure(Some(words_b));
        pause();
        end_a.reconfigure(Some(words_a));
        pause();
        pause();
        let (sent, lost) = pings.stop();
        println!("{what}: {sent} pings, 2 ms apart, {lost} lost");
        assert!(sent > 100, "{sent}");
        assert!(a.reaches("10.99.0.2", SOON), "{}", end_a.status());
        lost
    };
    (words_a.psk, words_b.psk) = (Some([9; 32]), Some([9; 32]));
    assert_eq!(rotate("preshared key", &words_a, &words_b), 0);
    (words_a.private, words_b.peer) = ([5; 32], public([5; 32]));
    assert_eq!(
        rotate("private key of the kernel's end", &words_a, &words_b),
        0
    );
    // What comes in the old session after its peer is gone is nobody's.
    (words_b.private, words_a.peer) = ([6; 32], public([6; 32]));
    let lost = rotate("private key of the far end", &words_a, &words_b);
    assert!(lost < 500, "{lost} lost: a second is no round trip");
}
