//! What the traffic of each link costs: counters of the kernel in, dollars to the board.

use std::collections::BTreeMap;
use std::time::Duration;

use links::Meter;
use tracing::debug;

use crate::fib;
use crate::snapshot::Reader;

/// Between two looks at the counters: what an interface has sent since is not billed if it goes.
const LOOK: Duration = Duration::from_secs(5);

/// Runs until it is aborted.
pub(crate) async fn run(reader: Reader) {
    let mut meters: BTreeMap<String, Meter> = BTreeMap::new();
    let mut clock = tokio::time::interval(LOOK);
    loop {
        clock.tick().await;
        match tokio::task::spawn_blocking(fib::traffic).await {
            Ok(Ok(traffic)) => read(&reader, &mut meters, |interface| {
                traffic.get(interface).map(|bytes| bytes.sent)
            }),
            Ok(Err(error)) => debug!(%error, "cannot read the counters of the interfaces"),
            Err(error) => debug!(%error, "cannot read the counters of the interfaces"),
        }
    }
}

fn read(reader: &Reader, meters: &mut BTreeMap<String, Meter>, sent: impl Fn(&str) -> Option<u64>) {
    let applied = reader.applied();
    let links = &applied.config.links;
    meters.retain(|name, _| links.get(name).is_some_and(|link| link.cost.is_some()));
    for (name, link) in links {
        if let (Some(price), Some(sent)) = (link.cost, sent(&link.interface)) {
            let meter = meters.entry(name.clone()).or_default();
            meter.read(sent, price);
            reader.board.set_dollars(name, meter.dollars());
        }
    }
}
