use std::time::Duration;

use super::{FEW, Turn};

#[test]
fn little_traffic_is_not_waited_for() {
    let (turn, hour) = (Turn::default(), Duration::from_secs(3_600));
    assert_eq!(turn.least(131_072, hour), 131_072);
    assert_eq!(turn.least(131_072, Duration::ZERO), FEW);
    assert_eq!(turn.least(20, Duration::ZERO), 20, "never more than are asked for");
}
