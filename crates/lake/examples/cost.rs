//! The whole path without a server: bills in, questions answered.
//!
//! ```console
//! $ cargo run -p lake --example cost -- /tmp/lake ingest bill.csv aws
//! $ cargo run -p lake --example cost -- /tmp/lake report service,region 2026-10
//! $ cargo run -p lake --example cost -- /tmp/lake sql 'select count(*) from focus_data_table'
//! $ cargo run -p lake --example cost -- /tmp/lake answer < questions.jsonl
//! ```
//!
//! `answer` reads a question a line, `{"sql": …, "params": […]}`, and writes an answer a line.

use std::{
    error::Error,
    io::{BufRead, Write},
    path::Path,
    sync::Arc,
    time::Instant,
};

use lake::{Asked, Format, Lake, LakeOptions, Month, Options, Progress, Table, Value};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let [url, command, rest @ ..] = arguments.as_slice() else {
        return Err("LAKE ingest|report|sql|answer|export|compact …".into());
    };
    let lake = Lake::open(url, LakeOptions::default()).await?;
    let started = Instant::now();
    match (*command, rest) {
        ("ingest", [path, source @ ..]) => {
            let options = Options {
                source: source.first().map(|source| (*source).to_owned()),
                lacking: true,
                progress: Some(Arc::new(tell)),
                ..Options::default()
            };
            println!("{:#?}", lake.ingest(Path::new(path), &options).await?);
        }
        ("report", [by, months @ ..]) => {
            let by = by.split(',').map(str::parse).collect::<Result<Vec<_>, _>>()?;
            let month: Option<Month> = months.first().map(|month| month.parse()).transpose()?;
            let asked = Asked { by, months: month.map(|month| (month, month)), ..Asked::default() };
            let report = lake.report(&asked).await?;
            print(&report.table)?;
            println!("{:?}", report.totals);
        }
        ("sql", [sql, params @ ..]) => {
            let params: Vec<Value> =
                params.iter().map(|param| Value::Text((*param).to_owned())).collect();
            print(&lake.sql(sql, &params, None).await?)?;
        }
        ("answer", []) => answer(&lake).await?,
        ("export", [file, sql]) => {
            let rows = lake.export(sql, &[], None, Format::Parquet, Path::new(file)).await?;
            println!("{rows} rows");
        }
        ("compact", []) => println!("{:?}", lake.compact().await?),
        _ => return Err("LAKE ingest|report|sql|answer|export|compact …".into()),
    }
    eprintln!("{:.3} s", started.elapsed().as_secs_f64());
    Ok(())
}

fn tell(progress: Progress) {
    let Progress { bytes, bytes_total, rows } = progress;
    eprint!("\r{rows} rows, {} of {} MB", bytes >> 20, bytes_total >> 20);
}

fn print(table: &Table) -> Result<(), Box<dyn Error>> {
    std::io::stdout().write_all(&table.to_csv()?)?;
    Ok(())
}

async fn answer(lake: &Lake) -> Result<(), Box<dyn Error>> {
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let question: serde_json::Value = serde_json::from_str(&line?)?;
        let params = question["params"].as_array().into_iter().flatten();
        let params: Vec<Value> = params
            .map(|param| param.as_str().map_or(Value::Null, |text| Value::Text(text.to_owned())))
            .collect();
        let started = Instant::now();
        let answer = lake.sql(question["sql"].as_str().unwrap_or_default(), &params, None).await;
        let seconds = started.elapsed().as_secs_f64();
        let told = match answer {
            Ok(table) => serde_json::json!({
                "columns": table.columns, "rows": table.rows, "seconds": seconds,
            }),
            Err(error) => serde_json::json!({ "error": error.to_string() }),
        };
        writeln!(out, "{told}")?;
    }
    Ok(())
}
