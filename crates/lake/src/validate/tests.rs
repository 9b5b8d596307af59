use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};

use super::*;
use crate::{bill, schema, testing::sample, upgrade::Delivered};

/// Every requirement on real charges and on charges that were spoilt: the whole-column masks and
/// the row-wise evaluation agree.
#[test]
fn masks_say_of_each_row_what_the_requirement_says_of_it() {
    let text = std::fs::read(sample()).unwrap();
    let mut reader = csv::Reader::from_reader(text.as_slice());
    let names: Vec<String> = reader.headers().unwrap().iter().map(str::to_owned).collect();
    let mut rows: Vec<Vec<String>> =
        reader.records().map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect();
    let seed = 20_261_125;
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let spoilt = ["", "NULL", "Usage", "Tax", "-1", "0", "1.5", "usd", "{}", "{\"a\":[1]}", "Used"];
    for row in rows.iter_mut().skip(200) {
        for _ in 0..4 {
            let at = random.usize(..row.len());
            let donor = random.choice(spoilt).unwrap();
            row[at] = donor.to_owned();
        }
    }
    let columns: Vec<ArrayRef> = (0..names.len())
        .map(|at| {
            let values =
                rows.iter().map(|row| Some(&row[at]).filter(|v| !focus::value::is_null(v)));
            Arc::new(values.collect::<StringArray>()) as ArrayRef
        })
        .collect();
    let limits = crate::Limits::default();
    let path = std::path::Path::new("sample.csv");
    let layout =
        bill::of_header(path, names.clone(), &[], bill::Reading::default(), limits).unwrap();
    let mut findings = Findings::default();
    let schema = schema::charges([]);
    let delivered = Delivered::new(&names, &layout.plan.places, &columns);
    let expressions = &layout.plan.parts[0].columns;
    let charges = delivered.charges(expressions, &[], &schema, &mut findings).unwrap();
    let (lookup, formats) = (Charges(&charges), Formats::default());
    let mut broken = 0;
    for requirement in requirement::all() {
        let when = condition::mask(&requirement.when, &lookup, &formats);
        let then = condition::mask(&requirement.then, &lookup, &formats);
        for row in 0..charges.num_rows() {
            let mask = !when.value(row) || then.value(row);
            let says = requirement::check(&TextRow::new(&charges, row, requirement), requirement);
            let explained = requirement.explain(&TextRow::new(&charges, row, requirement));
            assert_eq!(mask, says, "{} of row {row}: {explained}", requirement.id);
            broken += usize::from(!says);
        }
    }
    assert!(broken > 1_000, "spoilt rows break rules: {broken}");
}
