//! The lake's columns as arrow types: FOCUS 1.4, then custom columns; and the sums of a day.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use focus::{
    Column, Kind,
    decimal::{PRECISION, SCALE},
};

/// How instants are kept: microseconds of UTC.
pub(crate) fn instant() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// How amounts are kept.
pub(crate) const AMOUNT: DataType = DataType::Decimal128(PRECISION, SCALE);

/// How a kind of column is kept in files.
pub(crate) fn stored(kind: Kind) -> DataType {
    match kind {
        Kind::Text | Kind::Json => DataType::Utf8,
        Kind::Instant => instant(),
        Kind::Decimal => AMOUNT,
    }
}

/// The 65 columns and custom ones behind them. All may be null: what a version does not have, its
/// charges do not have.
pub(crate) fn charges<'a>(custom: impl IntoIterator<Item = &'a str>) -> SchemaRef {
    let focus = Column::ALL.iter().map(|c| Field::new(c.name(), stored(c.kind()), true));
    let custom = custom.into_iter().map(|name| Field::new(name, DataType::Utf8, true));
    Arc::new(Schema::new(focus.chain(custom).collect::<Vec<_>>()))
}

/// Columns by which a day's charges are summed, beside the billing period and the day.
pub(crate) const DAY_KEYS: [Column; 8] = [
    Column::ServiceProviderName,
    Column::BillingAccountId,
    Column::SubAccountId,
    Column::ServiceCategory,
    Column::ServiceName,
    Column::RegionId,
    Column::ChargeCategory,
    Column::BillingCurrency,
];

/// What is summed.
pub(crate) const DAY_SUMS: [Column; 4] =
    [Column::BilledCost, Column::EffectiveCost, Column::ListCost, Column::ContractedCost];

/// The day that a charge began on, in UTC.
pub(crate) const DAY: &str = "ChargeDay";
/// How many charges were summed.
pub(crate) const CHARGE_COUNT: &str = "ChargeCount";

/// Sums of a day.
pub(crate) fn days() -> SchemaRef {
    let mut fields = vec![
        Field::new(Column::BillingPeriodStart.name(), instant(), true),
        Field::new(DAY, DataType::Date32, true),
    ];
    fields.extend(DAY_KEYS.iter().map(|column| Field::new(column.name(), DataType::Utf8, true)));
    fields.extend(DAY_SUMS.iter().map(|column| Field::new(column.name(), AMOUNT, true)));
    fields.push(Field::new(CHARGE_COUNT, DataType::Int64, false));
    Arc::new(Schema::new(fields))
}
