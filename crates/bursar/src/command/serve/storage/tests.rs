use super::*;

#[test]
fn of_many_buckets_the_largest_are_named_and_the_sum_stays() {
    let sizes: BTreeMap<String, f64> =
        (0..700_u32).map(|number| (format!("bucket-{number}"), f64::from(number))).collect();
    let named = named(sizes);
    assert_eq!(named.len(), BUCKETS_NAMED + 1);
    assert!(named.contains_key("bucket-699") && !named.contains_key("bucket-199"));
    assert_eq!(named[OTHER], (0..200).map(f64::from).sum::<f64>());
    assert_eq!(named.values().sum::<f64>(), (0..700).map(f64::from).sum::<f64>());
}
