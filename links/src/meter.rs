//! What the traffic of a link costs.

/// Octets in the gigabyte that clouds bill.
const GIGABYTE: f64 = 1e9;

/// Adds up what is sent, at the price of the moment.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Meter {
    /// As last read; `None` before.
    counter: Option<u64>,
    dollars: f64,
}

impl Meter {
    /// The interface has sent so many octets since it was made. What it had sent when it was read for
    /// the first time is not counted; a counter that went back is that of an interface made anew.
    ///
    /// - `price`: dollars a gigabyte
    pub fn read(&mut self, counter: u64, price: f64) {
        let sent = match self.counter.replace(counter) {
            Some(before) => counter.checked_sub(before).unwrap_or(counter),
            None => 0,
        };
        self.dollars += sent as f64 / GIGABYTE * price;
    }

    /// Since the first reading.
    pub fn dollars(&self) -> f64 {
        self.dollars
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_before_is_not_billed_and_each_octet_after_once() {
        let mut meter = Meter::default();
        for counter in [5_000_000_000, 6_000_000_000, 6_000_000_000, 8_000_000_000] {
            meter.read(counter, 0.02);
        }
        assert!((meter.dollars() - 0.06).abs() < 1e-9, "{meter:?}");
    }

    #[test]
    fn interface_made_anew_counts_from_nothing_and_takes_nothing_back() {
        let mut meter = Meter::default();
        for counter in [0, 4_000_000_000, 1_000_000_000] {
            meter.read(counter, 0.1);
        }
        assert!((meter.dollars() - 0.5).abs() < 1e-9, "{meter:?}");
    }

    #[test]
    fn new_price_holds_from_the_next_reading_on() {
        let mut meter = Meter::default();
        meter.read(0, 0.1);
        meter.read(1_000_000_000, 0.1);
        meter.read(2_000_000_000, 0.2);
        assert!((meter.dollars() - 0.3).abs() < 1e-9, "{meter:?}");
    }
}
