//! Any history, checked against what is wanted.

use super::*;

#[test]
fn whatever_happens_the_kernel_ends_as_wanted() {
    for seed in 1..300u64 {
        random_run(seed);
    }
}

fn random_run(seed: u64) {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut draw = |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let mut now = Instant::now();
    let (mut table, mut kernel) = (table(now), Kernel::with_interfaces([true, true]));
    let prefixes = prefixes(6);
    let lists: [&[(u32, u8)]; 8] = [
        &[],
        &[(1, 0)],
        &[(2, 0)],
        &[(1, 0), (2, 0)],
        &[(2, 0), (1, 0)],
        &[(1, 2), (2, 1)],
        &[(2, 1)],
        &[(1, 1), (2, 0)],
    ];
    let mut wanted = BTreeMap::new();
    let mut links = [Some(0), Some(1)];
    for _ in 0..120 {
        now += Duration::from_millis(draw(400));
        match draw(10) {
            0..=5 => {
                let prefix = prefixes[draw(6) as usize];
                let list = lists[draw(lists.len() as u64) as usize];
                let discards = list.is_empty() && draw(2) == 0;
                wanted.insert(prefix, (list, discards));
                let to = match list {
                    [] if discards => RouteTo::Discard,
                    [] => RouteTo::Nothing,
                    _ => RouteTo::Hops(shared(list)),
                };
                table.set_to(&[prefix], &to);
            }
            6 => {
                let link = draw(2) as usize;
                links[link] = if links[link].is_some() {
                    None
                } else {
                    Some(draw(3) as u32)
                };
                table.set_links(standing(links));
            }
            7 => {
                let link = draw(2) as usize;
                if kernel.observed.interfaces.0[link].up {
                    kernel.drop_interface(link as u32 + 1);
                } else {
                    kernel.observed.interfaces.0[link].up = true;
                }
                table.set_interfaces(kernel.observed.interfaces.clone(), now);
            }
            8 => {
                kernel.routes.remove(&prefixes[draw(6) as usize]);
                kernel.discards.remove(&prefixes[draw(6) as usize]);
                table.disturbed(now);
            }
            _ => table.sweep(),
        }
        // A step that meets an interface gone since fails in a real kernel; here everything
        // is told at once, so that no step may fail.
        table.set_interfaces(kernel.observed.interfaces.clone(), now);
        now += DEBOUNCE;
        run(&mut table, &mut kernel, now);
    }
    table.sweep();
    for _ in 0..4 {
        now += RESYNC;
        run(&mut table, &mut kernel, now);
    }
    for (prefix, (list, discards)) in &wanted {
        let state = format!("{list:?} over {links:?}, {:?}", kernel.observed.interfaces);
        assert_eq!(
            kernel.spread_of(prefix),
            expected(list, &links, &kernel),
            "seed {seed}: {prefix} {state}"
        );
        assert_eq!(
            kernel.discards.contains(prefix),
            *discards,
            "seed {seed}: {prefix} {state}"
        );
    }
    let used = kernel.routes.values().collect::<BTreeSet<_>>().len();
    assert_eq!(
        kernel.observed.groups.len(),
        used,
        "seed {seed}: idle groups remain"
    );
}

/// Where a list leads: of the ways that are up, those over live links; of these, those that share,
/// and otherwise the one of the best rank.
fn expected(list: &[(u32, u8)], links: &[Option<u32>; 2], kernel: &Kernel) -> Vec<(u32, u8)> {
    let rank = |link: u32| links[link as usize - 1];
    let up = |link: u32| kernel.observed.interfaces.0[link as usize - 1].up;
    let mut left: Vec<_> = list.iter().copied().filter(|it| up(it.0)).collect();
    if left.iter().any(|it| rank(it.0).is_some()) {
        left.retain(|it| rank(it.0).is_some());
    }
    let mut sharing: Vec<_> = left.iter().copied().filter(|it| it.1 > 0).collect();
    sharing.sort_unstable();
    match &sharing[..] {
        [] => {
            let best = left.iter().min_by_key(|it| rank(it.0));
            best.map(|it| (it.0, 1)).into_iter().collect()
        }
        [alone] => vec![(alone.0, 1)],
        _ => sharing,
    }
}
