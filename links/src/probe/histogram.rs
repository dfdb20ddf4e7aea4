//! Counts of durations by size: what percentiles are read from without sorting anything.

use std::time::Duration;

/// Bins an octave: a duration is off by less than 1 % where it is read back.
const BINS: usize = 64;
/// Octaves: all up to a bit more than an hour.
const OCTAVES: usize = 31;
/// The width of the smallest bins, as a power of two, in nanoseconds.
const UNIT: u32 = 6;

/// Durations up to an hour; what is longer counts as that.
///
/// 64 bins for each doubling. Both the bins and their sums by 64 are kept, so that a percentile takes at
/// most 31 + 64 additions, however many durations there are. 4 KiB.
#[derive(Clone, Debug)]
pub(super) struct Histogram {
    bins: Box<[[u16; BINS]; OCTAVES]>,
    octaves: [u32; OCTAVES],
    total: u32,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            bins: Box::new([[0; BINS]; OCTAVES]),
            octaves: [0; OCTAVES],
            total: 0,
        }
    }
}

impl Histogram {
    /// At most 65,535 are counted at once.
    pub(super) fn add(&mut self, nanos: u64) {
        let (octave, bin) = place(nanos);
        self.bins[octave][bin] = self.bins[octave][bin].saturating_add(1);
        self.octaves[octave] += 1;
        self.total += 1;
    }

    /// Takes back what was added.
    pub(super) fn remove(&mut self, nanos: u64) {
        let (octave, bin) = place(nanos);
        self.bins[octave][bin] = self.bins[octave][bin].saturating_sub(1);
        self.octaves[octave] = self.octaves[octave].saturating_sub(1);
        self.total = self.total.saturating_sub(1);
    }

    /// About the smallest duration that at least `percent` of them do not exceed.
    pub(super) fn percentile(&self, percent: u32) -> Option<Duration> {
        let mut rank = (u64::from(self.total) * u64::from(percent)).div_ceil(100) as u32;
        if rank == 0 {
            return None;
        }
        let octave = self
            .octaves
            .iter()
            .position(|count| reached(&mut rank, *count))?;
        let bins = self.bins[octave].iter();
        let bin = bins
            .clone()
            .position(|count| reached(&mut rank, u32::from(*count)))?;
        Some(middle(octave, bin))
    }
}

/// Whether the one sought is among the next `count`; counts them off if not.
fn reached(rank: &mut u32, count: u32) -> bool {
    if *rank <= count {
        return true;
    }
    *rank -= count;
    false
}

/// The octave and the bin in it. The first octave is linear: from 0.
fn place(nanos: u64) -> (usize, usize) {
    let units = nanos >> UNIT;
    let doublings = units
        .checked_ilog2()
        .unwrap_or(0)
        .saturating_sub(BINS.ilog2());
    let index = doublings as usize * BINS + (units >> doublings) as usize;
    match (index / BINS, index % BINS) {
        (octave, bin) if octave < OCTAVES => (octave, bin),
        _ => (OCTAVES - 1, BINS - 1),
    }
}

fn middle(octave: usize, bin: usize) -> Duration {
    let doublings = octave.saturating_sub(1) as u32;
    let units = match octave {
        0 => bin,
        _ => BINS + bin,
    } as u64;
    let width = 1 << (doublings + UNIT);
    Duration::from_nanos(units * width + width / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_is_read_back_within_one_percent() {
        let mut nanos = 10_000_u64;
        while nanos < 3_600_000_000_000 {
            let (octave, bin) = place(nanos);
            let back = middle(octave, bin).as_nanos() as f64;
            let off = (back - nanos as f64).abs() / nanos as f64;
            assert!(off < 0.01, "{nanos} ns: {back}");
            nanos = nanos * 1009 / 1000;
        }
    }

    #[test]
    fn places_grow_with_durations_and_leave_no_gap() {
        let mut last = 0;
        for units in 0..1_u64 << 20 {
            let (octave, bin) = place(units << UNIT);
            let index = octave * BINS + bin;
            assert!(index == last || index == last + 1, "{units}");
            last = index;
        }
    }

    #[test]
    fn percentiles_are_those_of_the_sorted_values() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.percentile(50), None);
        for ms in 1..=200 {
            histogram.add(ms * 1_000_000);
        }
        for (percent, ms) in [(50, 100.0), (95, 190.0), (99, 198.0), (100, 200.0)] {
            let value = histogram.percentile(percent).unwrap().as_secs_f64() * 1e3;
            assert!((value - ms).abs() < ms * 0.01, "p{percent}: {value}");
        }
    }

    #[test]
    fn what_is_taken_back_is_forgotten() {
        let mut histogram = Histogram::default();
        for nanos in [0, 1, u64::MAX, 5_000_000] {
            histogram.add(nanos);
        }
        for nanos in [0, 1, u64::MAX] {
            histogram.remove(nanos);
        }
        let median = histogram.percentile(50).unwrap();
        assert!(median.abs_diff(Duration::from_millis(5)) < Duration::from_micros(50));
        histogram.remove(5_000_000);
        assert_eq!(histogram.percentile(100), None);
    }
}
