//! Amounts of CPUs and resources, in thousandths: exact, so that what was taken and given back adds up.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::{AddAssign, SubAssign};

/// Amounts of named resources.
pub(crate) type Amounts = BTreeMap<String, Millis>;

/// A number of thousandths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Millis(u64);

impl Millis {
    pub(crate) const ONE: Self = Self(1000);

    pub(crate) fn whole(count: usize) -> Self {
        Self(count as u64 * 1000)
    }

    /// None: not a number of thousandths from 0 to 1e9.
    pub(crate) fn from_f64(amount: f64) -> Option<Self> {
        let millis = (amount * 1000.0).round();
        let exact = (millis - amount * 1000.0).abs() < 1e-6;
        ((0.0..=1e12).contains(&millis) && exact).then_some(Self(millis as u64))
    }

    pub(crate) fn thousandths(self) -> u64 {
        self.0
    }

    pub(crate) fn as_f64(self) -> f64 {
        self.0 as f64 / 1000.0
    }

    pub(crate) fn whole_part(self) -> usize {
        (self.0 / 1000) as usize
    }

    pub(crate) fn is_whole(self) -> bool {
        self.0.is_multiple_of(1000)
    }
}

impl AddAssign for Millis {
    fn add_assign(&mut self, other: Self) {
        self.0 += other.0;
    }
}

impl SubAssign for Millis {
    fn sub_assign(&mut self, other: Self) {
        self.0 -= other.0;
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_f64().fmt(f)
    }
}
