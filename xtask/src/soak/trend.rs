//! Whether a line is flat.

/// What a line does over a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Trend {
    /// Of the floor, at the beginning and at the end of the straight line through it.
    pub(super) begin: f64,
    pub(super) end: f64,
    /// Of all that was seen.
    pub(super) most: f64,
    /// Of the floor, a minute.
    pub(super) per_minute: f64,
}

/// The straight line (least squares) through the lowest value of each bucket of so many seconds. What is
/// leaked never goes away, so it lifts the floor; what comes and goes with the calls of a moment does not. A last
/// bucket that is not half full has no floor yet.
pub(super) fn trend(points: &[(f64, f64)], bucket: f64) -> Option<Trend> {
    let mut floor: Vec<(f64, f64)> = Vec::new();
    let mut until = f64::NEG_INFINITY;
    for &(at, value) in points {
        match floor.last_mut() {
            Some(low) if at < until => {
                if value < low.1 {
                    low.1 = value;
                }
            }
            _ => {
                floor.push((at, value));
                until = at + bucket;
            }
        }
    }
    let is_short = points.last().is_some_and(|(at, _)| until - at > bucket / 2.0);
    if is_short && floor.len() > 1 {
        floor.pop();
    }
    let count = floor.len() as f64;
    let (first, last) = (floor.first()?.0, floor.last()?.0);
    let mean = |of: fn(&(f64, f64)) -> f64| floor.iter().map(of).sum::<f64>() / count;
    let (mean_at, mean_value) = (mean(|point| point.0), mean(|point| point.1));
    let spread: f64 = floor.iter().map(|(at, _)| (at - mean_at).powi(2)).sum();
    let common: f64 = floor.iter().map(|(at, value)| (at - mean_at) * (value - mean_value)).sum();
    let slope = if spread > 0.0 { common / spread } else { 0.0 };
    let on_line = |at: f64| mean_value + slope * (at - mean_at);
    Some(Trend {
        begin: on_line(first),
        end: on_line(last),
        most: points.iter().map(|point| point.1).fold(f64::NEG_INFINITY, f64::max),
        per_minute: slope * 60.0,
    })
}
