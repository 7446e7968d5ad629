//! Latencies in a few hundred counters, without a float.
//!
//! Buckets grow with the value (HdrHistogram's idea): 32 to each power of two, so any answer is right
//! to one part in 32, from a microsecond to centuries, in bounded memory.

/// Counts of microseconds.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    max: u64,
}

const SUB: u32 = 5;

fn bucket_of(value: u64) -> usize {
    let bits = 64 - value.leading_zeros();
    if bits <= SUB + 1 {
        return value as usize;
    }
    let shift = bits - SUB - 1;
    ((u64::from(shift) << SUB) + (value >> shift)) as usize
}

/// The largest value of a bucket.
fn top_of(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < 2 << SUB {
        return bucket;
    }
    let shift = (bucket >> SUB) - 1;
    let low = bucket - (shift << SUB);
    ((u128::from(low + 1) << shift) - 1).min(u128::from(u64::MAX)) as u64
}

impl Histogram {
    /// Counts one value.
    pub fn add(&mut self, value: u64) {
        let bucket = bucket_of(value);
        if self.buckets.len() <= bucket {
            self.buckets.resize(bucket + 1, 0);
        }
        self.buckets[bucket] += 1;
        self.count += 1;
        self.max = self.max.max(value);
    }

    /// Adds all of `other`.
    pub fn merge(&mut self, other: &Histogram) {
        if self.buckets.len() < other.buckets.len() {
            self.buckets.resize(other.buckets.len(), 0);
        }
        for (mine, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
            *mine += theirs;
        }
        self.count += other.count;
        self.max = self.max.max(other.max);
    }

    /// How many values.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// How many values are surely at most `value`: those in the bucket that `value` cuts are left out.
    #[must_use]
    pub fn count_up_to(&self, value: u64) -> u64 {
        let below = self.buckets.iter().enumerate().take_while(|(bucket, _)| top_of(*bucket) <= value);
        below.map(|(_, count)| count).sum()
    }

    /// The largest value; 0 when there is none.
    #[must_use]
    pub fn max(&self) -> u64 {
        self.max
    }

    /// The value that `per_mille` of a thousand do not exceed, to one part in 32; 0 when there is none.
    #[must_use]
    pub fn quantile(&self, per_mille: u64) -> u64 {
        let rank = (u128::from(self.count) * u128::from(per_mille.min(1_000))).div_ceil(1_000).max(1) as u64;
        let mut seen = 0;
        for (bucket, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return top_of(bucket).min(self.max);
            }
        }
        self.max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_contiguous_and_tight() {
        let mut value = 0_u64;
        let mut last = 0;
        while value < 1 << 40 {
            let bucket = bucket_of(value);
            assert!(bucket == last || bucket == last + 1, "{value}");
            assert!(top_of(bucket) >= value && top_of(bucket) - value <= value / 32, "{value}");
            last = bucket;
            value = top_of(bucket) + 1;
        }
        assert!(top_of(bucket_of(u64::MAX)) == u64::MAX);
    }

    #[test]
    fn quantiles_of_a_thousand_numbers() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile(500), 0);
        for value in 1..=1_000 {
            histogram.add(value);
        }
        assert!((500..=515).contains(&histogram.quantile(500)));
        assert!((990..=1_000).contains(&histogram.quantile(990)));
        assert_eq!(histogram.quantile(1_000), 1_000);
        assert_eq!(histogram.quantile(0), 1);
        assert_eq!(histogram.count_up_to(63), 63);
        assert!((485..=500).contains(&histogram.count_up_to(500)));
        assert_eq!((histogram.count_up_to(0), histogram.count_up_to(u64::MAX)), (0, 1_000));
        let mut twice = histogram.clone();
        twice.merge(&histogram);
        assert_eq!(twice.count(), 2_000);
        assert_eq!(twice.quantile(500), histogram.quantile(500));
    }
}
