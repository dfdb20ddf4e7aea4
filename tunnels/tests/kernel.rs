//! The kernel's WireGuard where there is one; where there is none, that `auto` falls back.

mod common;

use std::time::Duration;

use common::{End, Netns, Words, cabled, eventually};

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
        end.says(&format!("backend={expected} up=true"), SOON),
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
