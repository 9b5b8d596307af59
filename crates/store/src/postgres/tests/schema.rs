//! Migrations: once each, and never over a schema that is not ours.

use super::*;

#[tokio::test]
async fn migrations_are_taken_once_also_by_replicas_that_start_together() {
    let database = Database::make().await;
    let url = database.url();
    let start = || Postgres::connect(&url, Options::default());
    let (one, two, three) = tokio::join!(start(), start(), start());
    for store in [one, two, three] {
        ::budget::Upkeep::close(&store.unwrap()).await;
    }
    let hand = database.hand().await;
    assert_eq!(text(&hand, "select count(*) from bursar_migration").await, "6");
    database.drop().await;
}

#[tokio::test]
async fn a_newer_and_a_changed_schema_are_refused_in_words() {
    let database = Database::make().await;
    ::budget::Upkeep::close(&database.store(Options::default()).await).await;
    let hand = database.hand().await;
    let newer = "insert into bursar_migration (version, name, sha256) values (7, 'later', '')";
    hand.execute(newer, &[]).await.unwrap();
    let error = Postgres::connect(&database.url(), Options::default()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the database has migration 7 (later), this program knows 6: use a newer Bursar"
    );
    let changed = "
        delete from bursar_migration where version = 7;
        update bursar_migration set sha256 = 'other' where version = 2";
    hand.batch_execute(changed).await.unwrap();
    let error = Postgres::connect(&database.url(), Options::default()).await.unwrap_err();
    assert!(error.to_string().starts_with("migration 2 (budgets) of the database is not"));
    database.drop().await;
}
