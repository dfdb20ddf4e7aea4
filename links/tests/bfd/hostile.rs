//! What strangers send changes nothing.

use links::bfd::{Config, Diagnostic, Input, Packet, Path, State};

use super::pair::{End, ID, Pair, config, every, ms};
use super::wire::encode;

fn forged(pair: &mut Pair, state: State) -> Packet {
    let status = pair.status(End::A);
    Packet {
        diagnostic: Diagnostic::None,
        state,
        poll: false,
        is_final: false,
        control_plane_independent: false,
        authenticated: false,
        demand: false,
        multiplier: 3,
        my_discriminator: status.remote_discriminator,
        your_discriminator: status.local_discriminator,
        desired_min_tx: 50_000,
        required_min_rx: 50_000,
        required_min_echo_rx: 0,
    }
}

#[test]
fn a_packet_from_behind_a_router_is_dropped() {
    let mut pair = Pair::up(config(), config());
    let down = encode(&forged(&mut pair, State::Down));
    for hop_limit in [0, 1, 64, 254] {
        pair.inject(End::A, &down, hop_limit);
    }
    assert_eq!(pair.states(), (State::Up, State::Up));
    assert_eq!(pair.status(End::A).dropped, 4);
    pair.inject(End::A, &down, 255);
    assert_eq!(pair.status(End::A).state, State::Down);
}

#[test]
fn a_way_that_lowers_the_hop_limit_never_comes_up() {
    let mut pair = Pair::new(config(), config());
    pair.hop_limit(254);
    pair.run(ms(10_000));
    assert_eq!(pair.states(), (State::Down, State::Down));
}

#[test]
fn our_discriminator_from_another_address_or_interface_is_not_enough() {
    let mut pair = Pair::up(config(), config());
    let down = encode(&forged(&mut pair, State::Down));
    let ours = End::A.path();
    let stranger = "203.0.113.9".parse().unwrap();
    for path in [
        Path {
            remote: stranger,
            ..ours
        },
        Path {
            local: stranger,
            ..ours
        },
        Path {
            interface: Some(99),
            ..ours
        },
    ] {
        pair.inject_on(End::A, path, &down, 255);
    }
    assert_eq!(pair.states(), (State::Up, State::Up));
    assert_eq!(pair.end(End::A).unknown(), 3);
}

#[test]
fn a_discriminator_that_is_not_ours_is_for_nobody() {
    let mut pair = Pair::up(config(), config());
    let mut packet = forged(&mut pair, State::Down);
    packet.your_discriminator ^= 1;
    pair.inject(End::A, &encode(&packet), 255);
    assert_eq!(pair.states(), (State::Up, State::Up));
    assert_eq!(pair.end(End::A).unknown(), 1);
}

#[test]
fn a_neighbour_that_asks_for_demand_mode_or_silence_is_sent_nothing_periodic() {
    for silence in [true, false] {
        let mut pair = Pair::up(config(), config());
        pair.cut();
        let mut packet = forged(&mut pair, State::Up);
        packet.demand = !silence;
        packet.required_min_rx = if silence { 0 } else { 50_000 };
        for _ in 0..20 {
            pair.inject(End::A, &encode(&packet), 255);
            pair.run(ms(40));
        }
        let sent = pair.log.iter().filter(|sent| sent.from == End::A).count();
        assert!(sent <= 1, "{sent}");
        assert_eq!(pair.status(End::A).state, State::Up);
        // And one poll is answered with one final.
        packet.poll = true;
        pair.forget();
        pair.inject(End::A, &encode(&packet), 255);
        assert_eq!(pair.log.len(), 1);
        assert!(pair.log[0].packet().is_final);
    }
}

#[test]
fn extreme_intervals_neither_overflow_nor_spin() {
    let mut pair = Pair::up(config(), config());
    pair.cut();
    let mut packet = forged(&mut pair, State::Up);
    packet.desired_min_tx = u32::MAX;
    packet.required_min_rx = 1;
    packet.multiplier = 255;
    pair.inject(End::A, &encode(&packet), 255);
    let detection = pair.status(End::A).detection_time.unwrap();
    assert_eq!(detection.as_micros(), u128::from(u32::MAX) * 255);
    pair.forget();
    pair.run(ms(1000));
    // Our own pace holds however often the neighbour would like to hear us.
    let sent = pair.log.iter().filter(|sent| sent.from == End::A).count();
    assert!(sent <= 28, "{sent}");
}

/// SplitMix64, so that the run can be told again.
fn next(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *seed;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[test]
fn any_octets_at_any_time_leave_a_session_that_comes_up_again() {
    let mut seed = 0x5eed;
    println!("seed {seed:#x}");
    let mut pair = Pair::up(config(), config());
    for round in 0..200_000_u32 {
        let mut bytes = encode(&forged(&mut pair, State::Up));
        for _ in 0..next(&mut seed) % 4 {
            let at = (next(&mut seed) % 24) as usize;
            bytes[at] = next(&mut seed) as u8;
        }
        bytes.truncate((next(&mut seed) % 40) as usize);
        pair.inject(End::A, &bytes, 255);
        if round % 64 == 0 {
            pair.run(ms(next(&mut seed) % 30));
        }
        if round % 1000 == 0 {
            pair.forget();
        }
        match next(&mut seed) % 5000 {
            0 => pair.tell(End::A, Input::Disable(ID)),
            1 => pair.tell(End::A, Input::Enable(ID)),
            2 => pair.set(
                End::A,
                Config {
                    multiplier: 2,
                    ..every(30)
                },
            ),
            3 => pair.set(End::A, config()),
            _ => {}
        }
    }
    pair.tell(End::A, Input::Enable(ID));
    // The longest interval that a neighbour can have asked for must pass first.
    pair.restart(End::A, config(), 5);
    pair.run(ms(20_000));
    assert_eq!(pair.states(), (State::Up, State::Up));
}
