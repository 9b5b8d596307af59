use std::collections::BTreeMap;

use arrow::array::{StringArray, new_null_array};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::*;
use crate::fault::Faults;

/// What a charge is added to: billing period, day, service.
type Key = (i64, i32, String);

/// Charges of ten services on three days of three months, in no order.
fn charges(random: &mut fastrand::Rng, sums: &mut BTreeMap<Key, (i128, i64)>) -> RecordBatch {
    const MONTH: i64 = 30 * MICROS_OF_DAY;
    let schema = schema::charges([]);
    let rows = 50;
    let (mut periods, mut starts, mut services, mut costs) = (vec![], vec![], vec![], vec![]);
    for _ in 0..rows {
        let (month, day) = (random.i64(0..3), random.i32(0..3));
        let (service, cost) = (format!("service-{}", random.u8(0..10)), random.i128(-5..9));
        let period = month * MONTH;
        let start = period + i64::from(day) * MICROS_OF_DAY;
        let key = (period, i32::try_from(start / MICROS_OF_DAY).unwrap(), service.clone());
        let sum = sums.entry(key).or_default();
        *sum = (sum.0 + cost, sum.1 + 1);
        periods.push(period);
        starts.push(start + random.i64(0..MICROS_OF_DAY));
        services.push(service);
        costs.push(cost);
    }
    let instants = |values| -> ArrayRef {
        let values: Vec<i64> = values;
        Arc::new(TimestampMicrosecondArray::from_iter_values(values).with_timezone("UTC"))
    };
    let costs = Decimal128Array::from_iter_values(costs);
    let columns: [(Column, ArrayRef); 4] = [
        (Column::BillingPeriodStart, instants(periods)),
        (Column::ChargePeriodStart, instants(starts)),
        (Column::ServiceName, Arc::new(StringArray::from_iter_values(services))),
        (Column::BilledCost, Arc::new(costs.with_precision_and_scale(PRECISION, SCALE).unwrap())),
    ];
    let mut all: Vec<ArrayRef> =
        schema.fields().iter().map(|field| new_null_array(field.data_type(), rows)).collect();
    for (column, array) in columns {
        all[column as usize] = array;
    }
    RecordBatch::try_new(schema, all).unwrap()
}

/// The rows of files, by what they are sums of; how many there are.
fn read(files: &[Finished]) -> (BTreeMap<Key, (i128, i64)>, usize) {
    let (mut sums, mut count) = (BTreeMap::<Key, (i128, i64)>::new(), 0);
    for file in files {
        let handle = file.file.reopen().unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(handle).unwrap().build().unwrap();
        let mut rows = 0;
        for batch in reader {
            let batch = batch.unwrap();
            let column = |name: &str| batch.column_by_name(name).unwrap();
            let periods = column("BillingPeriodStart").as_primitive::<TimestampMicrosecondType>();
            let days = column(schema::DAY).as_primitive::<Date32Type>();
            let services = column("ServiceName").as_string::<i32>();
            let costs = column("BilledCost").as_primitive::<Decimal128Type>();
            let charges = column(schema::CHARGE_COUNT).as_primitive::<Int64Type>();
            for row in 0..batch.num_rows() {
                let month = Month::of_micros(periods.value(row));
                assert_eq!(month, Some(file.period), "a file is of one billing period");
                let key = (periods.value(row), days.value(row), services.value(row).to_owned());
                let sum = sums.entry(key).or_default();
                *sum = (sum.0 + costs.value(row), sum.1 + charges.value(row));
            }
            rows += batch.num_rows() as u64;
        }
        assert_eq!(rows, file.rows);
        count += usize::try_from(rows).unwrap();
    }
    (sums, count)
}

/// What comes of charges that several workers have added up, with so much memory.
struct Merged {
    storage: Storage,
    files: Vec<Finished>,
    /// What has to come of them.
    sums: BTreeMap<Key, (i128, i64)>,
    /// Where the files are.
    _folder: tempfile::TempDir,
}

fn merged(groups_max: (usize, usize), seed: u64) -> Merged {
    let folder = tempfile::tempdir().unwrap();
    let url = folder.path().display().to_string();
    let storage = Storage::open(&url, &[], Faults::default()).unwrap();
    let (mut random, mut sums) = (fastrand::Rng::with_seed(seed), BTreeMap::new());
    let worker = |_| Aggregate { groups_max, ..Aggregate::new(storage.clone()) };
    let mut workers: Vec<_> = (0..3).map(worker).collect();
    for block in 0..30 {
        workers[block % 3].add(&charges(&mut random, &mut sums)).unwrap();
    }
    workers.iter_mut().for_each(Aggregate::close);
    let files = merge(&storage, workers, 2).unwrap();
    Merged { storage, files, sums, _folder: folder }
}

#[test]
fn with_room_for_all_groups_each_has_one_row() {
    let merged = merged(GROUPS_MAX, 1);
    let count = merged.sums.len();
    assert_eq!(read(&merged.files), (merged.sums, count));
    assert_eq!(merged.files.len(), 3, "one file a billing period");
}

#[test]
fn groups_that_find_no_room_are_written_early_and_nothing_is_lost() {
    for seed in 0..20 {
        let merged = merged((7, 40), seed);
        let (found, rows) = read(&merged.files);
        assert!(merged.files.len() > 3 && rows > merged.sums.len(), "some were written early");
        assert_eq!(found, merged.sums, "seed {seed}");
    }
}

#[test]
fn rows_of_one_group_become_one_again() {
    let merged = merged((7, 40), 5);
    let mut regrouped = Vec::new();
    let months: BTreeSet<Month> = merged.files.iter().map(|file| file.period).collect();
    for month in months {
        let of = merged.files.iter().filter(|file| file.period == month);
        let batches = of.flat_map(|file| {
            let handle = file.file.reopen().unwrap();
            let reader = ParquetRecordBatchReaderBuilder::try_new(handle).unwrap();
            reader.build().unwrap().map(Result::unwrap).collect::<Vec<_>>()
        });
        let batches: Vec<RecordBatch> = batches.collect();
        regrouped.extend(regroup(&merged.storage, &batches).unwrap());
    }
    let count = merged.sums.len();
    assert_eq!(read(&regrouped), (merged.sums, count));
}
