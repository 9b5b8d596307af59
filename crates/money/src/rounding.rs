//! The one place where an amount is rounded.

/// How a quotient that is not whole becomes whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rounding {
    /// To the nearest; a tie goes to the even neighbour. For what is charged.
    HalfEven,
    /// Towards positive infinity. For what is held, so that a hold is never below its charge.
    Up,
}

/// `numerator / denominator`, rounded. The denominator must be positive.
pub(crate) fn divide(numerator: i128, denominator: i128, rounding: Rounding) -> i128 {
    let floor = numerator.div_euclid(denominator);
    let rest = numerator.rem_euclid(denominator);
    let up = match rounding {
        Rounding::Up => rest > 0,
        // `denominator - rest` and not `2 * rest`, which could overflow.
        Rounding::HalfEven => match rest.cmp(&(denominator - rest)) {
            std::cmp::Ordering::Less => false,
            std::cmp::Ordering::Greater => true,
            std::cmp::Ordering::Equal => floor % 2 != 0,
        },
    };
    floor + i128::from(up)
}
