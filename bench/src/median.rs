//! The few statistics that the tables have.
//!
//! Invariant: every figure is one of the measured values, or the mean of the two in the middle.

/// Measured values of one quantity, in ascending order; never empty.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sorted(Vec<f64>);

impl Sorted {
    /// Sorts the values.
    ///
    /// # Panics
    /// When there is none: every campaign measures something at least once.
    pub(crate) fn new(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        assert!(!values.is_empty(), "a statistic of no values");
        values.sort_by(f64::total_cmp);
        Self(values)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn median(&self) -> f64 {
        let middle = self.0.len() / 2;
        if self.0.len() % 2 == 1 {
            self.0[middle]
        } else {
            f64::midpoint(self.0[middle - 1], self.0[middle])
        }
    }

    /// The smallest value that 99 % of all do not exceed.
    pub(crate) fn p99(&self) -> f64 {
        let rank = (self.0.len() * 99).div_ceil(100);
        self.0[rank - 1]
    }

    pub(crate) fn min(&self) -> f64 {
        self.0[0]
    }

    pub(crate) fn max(&self) -> f64 {
        self.0[self.0.len() - 1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_odd_number_is_the_one_in_the_middle() {
        assert_eq!(Sorted::new([9.0, 1.0, 5.0]).median(), 5.0);
    }

    #[test]
    fn the_median_of_an_even_number_lies_between_two() {
        assert_eq!(Sorted::new([4.0, 1.0, 2.0, 9.0]).median(), 3.0);
    }

    #[test]
    fn one_of_two_hundred_outliers_does_not_move_p99() {
        let values = (0..200).map(|n| if n == 0 { 1e9 } else { 1.0 });

        let sorted = Sorted::new(values);

        assert_eq!((sorted.p99(), sorted.min(), sorted.max()), (1.0, 1.0, 1e9));
    }

    #[test]
    fn p99_of_few_values_is_the_greatest() {
        assert_eq!(Sorted::new([1.0, 2.0, 3.0]).p99(), 3.0);
    }
}
