use super::*;

fn names() -> BTreeMap<String, String> {
    ["ServiceName", "Tags"].map(|name| (name.to_lowercase(), name.to_owned())).into()
}

fn read_text(sql: &str, params: &[Value]) -> Result<String, QueryError> {
    read(sql, params, &names()).map(|question| question.statement.to_string())
}

#[test]
fn names_of_columns_are_known_in_any_case() {
    let text = read_text("select SERVICENAME, servicename(1) as Total from T", &[]).unwrap();
    assert_eq!(text, r#"SELECT "ServiceName", servicename(1) AS Total FROM T"#);
}

#[test]
fn a_parameter_is_one_literal_whatever_is_in_it() {
    let evil = Value::Text("x' or '1'='1".into());
    let text = read_text("select 1 from t where a = ? and b > ?", &[evil, Value::Int(-5)]).unwrap();
    assert_eq!(text, "SELECT 1 FROM t WHERE a = 'x'' or ''1''=''1' AND b > (-5)");
    let error = read_text("select ?", &[]).unwrap_err().to_string();
    assert_eq!(error, "0 parameters for 1 places (`?`)");
    let error = read_text("select 1", &[Value::Null]).unwrap_err().to_string();
    assert_eq!(error, "1 parameters for 0 places (`?`)");
}

#[test]
fn whatever_is_no_question_is_refused() {
    for sql in [
        "drop table focus_data_table",
        "insert into t values (1)",
        "update t set a = 1",
        "delete from t",
        "create table t as select 1",
        "create external table t stored as csv location '/etc/passwd'",
        "copy (select 1) to '/tmp/x.csv'",
        "set datafusion.execution.batch_size = 1",
        "select 1; select 2",
        "select 1 into t",
        "explain drop table t",
        "show tables",
        "prepare p as select 1",
        "with x as (insert into t values (1) returning 1) select * from x",
        "",
        "selec 1",
    ] {
        let error = read_text(sql, &[]).expect_err(sql);
        assert!(matches!(error, QueryError::Refused(_) | QueryError::Syntax(_)), "{sql}: {error}");
    }
    let deep = format!("select {}1{}", "(".repeat(5_000), ")".repeat(5_000));
    assert!(read_text(&deep, &[]).unwrap_err().to_string().contains("nested too deep"));
}

#[test]
fn a_rows_own_list_is_unnested() {
    let text = read_text(
        "select x from t a cross join unnest(f(a.Tags, '$[*]')) as _u(X) where x = ?",
        &[Value::Int(1)],
    )
    .unwrap();
    assert!(text.contains(r#"unnest(f(a."Tags", '$[*]')) AS X FROM t"#), "{text}");
}
