use super::with_database;

#[test]
fn a_database_takes_the_place_of_another_and_parameters_stay() {
    for (url, expected) in [
        ("postgres://postgres@127.0.0.1:5432", "postgres://postgres@127.0.0.1:5432/mine"),
        ("postgres://a:b@host/theirs", "postgres://a:b@host/mine"),
        ("postgres://a@host/theirs?sslmode=require", "postgres://a@host/mine?sslmode=require"),
        ("postgres://a@host?sslmode=require", "postgres://a@host/mine?sslmode=require"),
    ] {
        assert_eq!(with_database(url, "mine"), expected);
    }
}
