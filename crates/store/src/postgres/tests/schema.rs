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
    let taken = text(&hand, "select count(*) from bursar_migration").await;
    assert_eq!(taken, migrations::STEPS.len().to_string());
    database.drop().await;
}

#[tokio::test]
async fn a_newer_and_a_changed_schema_are_refused_in_words() {
    let database = Database::make().await;
    ::budget::Upkeep::close(&database.store(Options::default()).await).await;
    let hand = database.hand().await;
    let known = migrations::STEPS.len();
    let newer = known + 1;
    let later = format!(
        "insert into bursar_migration (version, name, sha256) values ({newer}, 'later', '')"
    );
    hand.execute(&later, &[]).await.unwrap();
    let error = Postgres::connect(&database.url(), Options::default()).await.unwrap_err();
    let told = format!(
        "the database has migration {newer} (later), this program knows {known}: use a newer Bursar"
    );
    assert_eq!(error.to_string(), told);
    let changed = format!(
        "delete from bursar_migration where version = {newer};
        update bursar_migration set sha256 = 'other' where version = 2"
    );
    hand.batch_execute(&changed).await.unwrap();
    let error = Postgres::connect(&database.url(), Options::default()).await.unwrap_err();
    assert!(error.to_string().starts_with("migration 2 (budgets) of the database is not"));
    database.drop().await;
}
