use super::*;
use arrow::array::AsArray;

type Cut = (Vec<String>, Vec<Vec<Option<String>>>);

fn cut(text: &[u8], limits: Limits) -> Result<Cut, Refusal> {
    let mut cutter = Cutter::new(text, limits);
    let header = cutter.header()?;
    let mut rows = Vec::new();
    while let Some(block) = cutter.block()? {
        let mut findings = Findings::default();
        let columns = columns(&block, header.len(), &mut findings);
        let count = columns.first().map_or(0, |column| column.len());
        assert_eq!(count as u64, block.rows, "records are counted as they are read");
        for row in 0..count {
            let value = |column: &ArrayRef| {
                let column = column.as_string::<i32>();
                (!arrow::array::Array::is_null(column, row)).then(|| column.value(row).to_owned())
            };
            rows.push(columns.iter().map(value).collect());
        }
    }
    Ok((header, rows))
}

#[test]
fn records_are_cut_where_csv_ends_them() {
    let cases: [(&str, &[&[&str]]); 8] = [
        ("a,b\n1,2\n", &[&["1", "2"]]),
        ("a,b\n1,2", &[&["1", "2"]]),
        ("a,b\r\n1,2\r\n3,4\r\n", &[&["1", "2"], &["3", "4"]]),
        ("a,b\n\"x\ny\",2\n", &[&["x\ny", "2"]]),
        ("a,b\n\"say \"\"hi\"\"\n\",2\n", &[&["say \"hi\"\n", "2"]]),
        ("a,b\n5\" disk,2\n6\" disk,3\n", &[&["5\" disk", "2"], &["6\" disk", "3"]]),
        ("a,b\nx\"\"y,2\n\"\",3\n", &[&["x\"\"y", "2"], &["", "3"]]),
        ("\u{feff}\"a\",b\nNULL,2\n", &[&["", "2"]]),
    ];
    for (text, want) in cases {
        let (header, rows) = cut(text.as_bytes(), Limits::default()).unwrap();
        assert_eq!(header, ["a", "b"], "{text:?}");
        let rows: Vec<Vec<String>> = rows
            .into_iter()
            .map(|row| row.into_iter().map(Option::unwrap_or_default).collect())
            .collect();
        assert_eq!(rows, want, "{text:?}");
    }
}

#[test]
fn empty_lines_are_no_records_and_a_bare_return_ends_one() {
    let text = "a,b\r\n\r\n1,2\r\n\r\n\n3,\"4\r\n5\"\r\"6\",7\r\n\r\n";
    let (_, rows) = cut(text.as_bytes(), Limits::default()).unwrap();
    let rows: Vec<Vec<&str>> = rows
        .iter()
        .map(|row| row.iter().map(|value| value.as_deref().unwrap_or_default()).collect())
        .collect();
    assert_eq!(rows, [["1", "2"], ["3", "4\r\n5"], ["6", "7"]]);
    let (_, rows) = cut(b"a,b\n\n\r\n\n", Limits::default()).unwrap();
    assert!(rows.is_empty(), "{rows:?}");
}

#[test]
fn a_mark_of_utf_8_below_the_header_is_text() {
    let text = "\u{feff}a,b\n\u{feff}1,2\n\u{feff},\u{feff}\n";
    let (header, rows) = cut(text.as_bytes(), Limits::default()).unwrap();
    assert_eq!(header, ["a", "b"]);
    let rows: Vec<Vec<&str>> = rows
        .iter()
        .map(|row| row.iter().map(|value| value.as_deref().unwrap()).collect())
        .collect();
    assert_eq!(rows, [["\u{feff}1", "2"], ["\u{feff}", "\u{feff}"]]);
    // Nor does it open a quote there.
    let (_, rows) = cut("a,b\n\u{feff}\"x,2\ny,3\n".as_bytes(), Limits::default()).unwrap();
    assert_eq!(rows.len(), 2, "{rows:?}");
}

#[test]
fn a_file_of_many_blocks_loses_no_record() {
    let mut text = String::from("a,b\n");
    let rows = 400_000;
    for row in 0..rows {
        text.push_str(&format!("{row},\"line\n{row}\"\n"));
    }
    let (_, read) = cut(text.as_bytes(), Limits::default()).unwrap();
    assert_eq!(read.len(), rows);
    for (row, values) in read.iter().enumerate() {
        assert_eq!(values[0].as_deref(), Some(row.to_string().as_str()));
    }
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    let short = Limits { record_bytes: 100, ..Limits::default() };
    let long = format!("a,b\n1,2\n{}\n", "x".repeat(200));
    let cases: [(&str, Limits, u64, &str); 5] = [
        ("a;b\n", Limits::default(), 1, "parted by ';'"),
        ("a,A\n", Limits::default(), 1, "both named"),
        ("a,,b\n", Limits::default(), 1, "column 2 has no name"),
        (&long, short, 3, "over 100 bytes"),
        ("a,b\n1,2\n3,\"4\n", Limits::default(), 3, "never closes"),
    ];
    for (text, limits, line, say) in cases {
        let refusal = cut(text.as_bytes(), limits).unwrap_err();
        assert_eq!(refusal.line, line, "{refusal:?}");
        assert!(refusal.say.contains(say), "{refusal:?}");
    }
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(
        proptest::sample::select(b"a,\"\n\r;1\xff\xef".to_vec()), 0..300)) {
        let mut text = b"a,b\n".to_vec();
        text.extend(bytes);
        let limits = Limits { record_bytes: 64, ..Limits::default() };
        let mut cutter = Cutter::new(text.as_slice(), limits);
        if let Ok(header) = cutter.header() {
            while let Ok(Some(block)) = cutter.block() {
                let mut findings = Findings::default();
                let columns = columns(&block, header.len(), &mut findings);
                let rows = columns.first().map_or(0, |column| column.len());
                proptest::prop_assert_eq!(rows as u64, block.rows);
            }
        }
    }
}
