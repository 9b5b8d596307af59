use std::time::Duration;

use jiff::Timestamp;
use rusqlite::Connection;
use uuid::Uuid;

use super::{
    super::{load, migrations, row},
    FEW, Named, Turn,
    place::{AT_ONCE, Task},
};

#[test]
fn little_traffic_is_not_waited_for() {
    let (turn, hour) = (Turn::default(), Duration::from_secs(3_600));
    assert_eq!(turn.least(131_072, hour), 131_072);
    assert_eq!(turn.least(131_072, Duration::ZERO), FEW);
    assert_eq!(turn.least(20, Duration::ZERO), 20, "never more than are asked for");
}

#[test]
fn what_has_been_dropped_is_not_dropped_again() {
    let drops = |first, upto| Task::drops(Some((first, upto)));
    let last = |first, upto| match drops(first, upto).last() {
        Some(Task::Drop(row)) => row,
        other => panic!("{other:?}"),
    };
    assert_eq!(drops(1, 130).count(), 4);
    assert_eq!(drops(1_000_000_001, 1_000_000_130).count(), 4);
    assert_eq!(last(1_000_000_001, 1_000_000_130), 1_000_000_130);
    assert_eq!(last(131, 130), 130, "of none that are left");
    assert_eq!(Task::drops(None).count(), 0, "no account is put in its place");
}

#[test]
fn rows_of_an_index_are_the_same_alone_and_together() {
    let mut db = Connection::open_in_memory().expect("a database");
    migrations::run(&mut db).expect("its schema");
    let named = |row: i64| Named {
        tenant: "acme".parse().expect("a tenant"),
        created_at: Timestamp::from_second(row).expect("a time"),
        key: Uuid::from_u128(row.unsigned_abs().into()),
        row,
    };
    let kinds: [(&str, &dyn Fn(i64) -> Task); 4] = [
        ("entry_by_tenant", &|row| Task::Entry(named(row).tenant, row.unsigned_abs(), row)),
        ("reservation_by_key", &|row| Task::Key(named(row).key, row)),
        ("reservation_by_time", &|row| Task::Time(named(row))),
        ("reservation_by_tenant", &|row| Task::Tenant(named(row))),
    ];
    let at_once = i64::try_from(AT_ONCE).expect("few");
    for (table, task) in kinds {
        // Some of those that come together are there already.
        for rows in [0..3, 0..at_once, at_once..at_once + 5] {
            let tasks: Vec<_> = rows.map(task).collect();
            Task::run(&tasks, &db).expect("rows");
        }
        let sql = format!("select row_number from {table} order by row_number");
        let read = |found: &rusqlite::Row<'_>| row::column::<i64>(found, "row_number");
        let found = load::rows(&db, &sql, &[], read).expect("rows");
        assert_eq!(found, (0..at_once + 5).collect::<Vec<_>>(), "{table}");
    }
}
