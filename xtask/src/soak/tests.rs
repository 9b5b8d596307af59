use super::cast::{ROLES, somebody};
use super::outage::by_way;
use super::trend::trend;

fn line(value: impl Fn(f64) -> f64) -> Vec<(f64, f64)> {
    (0..120).map(|turn| f64::from(turn) * 5.0).map(|at| (at, value(at))).collect()
}

#[test]
fn a_leak_lifts_the_floor_whatever_comes_and_goes() {
    // Two a minute below waves of thirty.
    let wave = |at: f64| 15.0 + 15.0 * (at * 0.7).sin();
    let leak = trend(&line(|at| 100.0 + at / 30.0 + wave(at)), 30.0).unwrap();
    assert!((leak.per_minute - 2.0).abs() < 0.5, "{leak:?}");
    let flat = trend(&line(|at| 100.0 + wave(at)), 30.0).unwrap();
    assert!(flat.per_minute.abs() < 0.3, "{flat:?}");
    assert!(flat.most > 125.0);
}

#[test]
fn a_last_bucket_of_one_moment_has_no_floor() {
    let mut points = line(|at| if at % 30.0 == 0.0 { 50.0 } else { 60.0 });
    points.push((601.0, 90.0));
    assert_eq!(trend(&points, 30.0).unwrap().per_minute, 0.0);
}

#[test]
fn nothing_seen_has_no_trend_and_one_point_is_flat() {
    assert_eq!(trend(&[], 30.0), None);
    assert_eq!(trend(&[(5.0, 7.0)], 30.0).unwrap().per_minute, 0.0);
}

#[test]
fn everybody_on_the_list_comes_to_call() {
    let mut came = vec![false; ROLES.len()];
    (0..2_000).for_each(|number| came[somebody(number)] = true);
    assert!(came.iter().all(|came| *came));
}

#[test]
fn a_databases_url_is_led_another_way_with_all_else_kept() {
    let way = "127.0.0.1:9".parse().unwrap();
    let (url, target) = by_way("postgres://me:pw@127.0.0.1:5433/db?sslmode=disable", way).unwrap();
    assert_eq!(url, "postgres://me:pw@127.0.0.1:9/db?sslmode=disable");
    assert_eq!(target.to_string(), "127.0.0.1:5433");
    assert_eq!(by_way("postgres://127.0.0.1/db", way).unwrap().1.port(), 5432);
    assert!(by_way("postgres://127.0.0.1", way).is_err());
}
