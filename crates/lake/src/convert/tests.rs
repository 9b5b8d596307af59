use super::*;
use arrow::array::{
    Date32Array, Decimal128Array, DictionaryArray, Float64Array, Int64Array, MapBuilder,
    TimestampNanosecondArray, types::Int32Type,
};

fn amounts_of(array: ArrayRef) -> (Vec<Option<String>>, Findings) {
    let mut findings = Findings::default();
    let read = column(&array, Column::BilledCost, &mut findings).unwrap();
    let read = read.as_primitive::<Decimal128Type>();
    let texts = read.iter().map(|digits| Some(Decimal::amount(digits?).to_string())).collect();
    (texts, findings)
}

#[test]
fn amounts_come_exactly_from_any_type() {
    let ten = |text: &str| Some(text.to_owned());
    let floats: ArrayRef = Arc::new(Float64Array::from(vec![Some(0.1), None, Some(1e-7)]));
    assert_eq!(amounts_of(floats).0, [ten("0.1"), None, ten("0.0000001")]);
    let whole: ArrayRef = Arc::new(Int64Array::from(vec![Some(-3), None]));
    assert_eq!(amounts_of(whole).0, [ten("-3"), None]);
    let decimals = Decimal128Array::from(vec![12_345]).with_precision_and_scale(10, 3).unwrap();
    assert_eq!(amounts_of(Arc::new(decimals)).0, [ten("12.345")]);
    let dictionary: DictionaryArray<Int32Type> = ["1.5", "2", "1.5"].into_iter().collect();
    assert_eq!(amounts_of(Arc::new(dictionary)).0, [ten("1.5"), ten("2"), ten("1.5")]);
    let (read, findings) = amounts_of(Arc::new(Float64Array::from(vec![f64::NAN, f64::MAX])));
    assert_eq!(read, [None, None]);
    assert!(findings.is_broken(0) && findings.is_broken(1));
}

#[test]
fn instants_come_from_any_type() {
    let nanos = TimestampNanosecondArray::from(vec![1_726_696_800_000_000_000]);
    let days = Date32Array::from(vec![19_984]);
    let texts = StringArray::from(vec!["2024-09-18T22:00:00Z"]);
    let arrays: [(ArrayRef, &str); 3] = [
        (Arc::new(nanos), "2024-09-18T22:00:00Z"),
        (Arc::new(days), "2024-09-18T00:00:00Z"),
        (Arc::new(texts), "2024-09-18T22:00:00Z"),
    ];
    for (array, want) in arrays {
        let read = column(&array, Column::ChargePeriodStart, &mut Findings::default()).unwrap();
        let micros = read.as_primitive::<arrow::datatypes::TimestampMicrosecondType>().value(0);
        assert_eq!(jiff::Timestamp::from_microsecond(micros).unwrap().to_string(), want);
    }
}

#[test]
fn a_map_of_tags_becomes_json() {
    let mut map = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
    map.keys().append_value("a\"b");
    map.values().append_value("x");
    map.keys().append_value("n");
    map.values().append_null();
    map.append(true).unwrap();
    map.append(false).unwrap();
    let array: ArrayRef = Arc::new(map.finish());
    let read = column(&array, Column::Tags, &mut Findings::default()).unwrap();
    let read = read.as_string::<i32>();
    assert_eq!(read.value(0), r#"{"a\"b":"x","n":null}"#);
    assert!(read.is_null(1));
}
