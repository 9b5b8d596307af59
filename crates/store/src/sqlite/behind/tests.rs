use std::time::Duration;

use super::{FEW, Turn, place::Task};

#[test]
fn little_traffic_is_not_waited_for() {
    let (turn, hour) = (Turn::default(), Duration::from_secs(3_600));
    assert_eq!(turn.least(131_072, hour), 131_072);
    assert_eq!(turn.least(131_072, Duration::ZERO), FEW);
    assert_eq!(turn.least(20, Duration::ZERO), 20, "never more than are asked for");
}

#[test]
fn what_has_been_dropped_is_not_dropped_again() {
    let last = |first, upto| match Task::drops(first, upto).last() {
        Some(Task::Drop(row)) => row,
        other => panic!("{other:?}"),
    };
    assert_eq!(Task::drops(1, 130).count(), 4);
    assert_eq!(Task::drops(1_000_000_001, 1_000_000_130).count(), 4);
    assert_eq!(last(1_000_000_001, 1_000_000_130), 1_000_000_130);
    assert_eq!(last(131, 130), 130, "of none that are left");
}
