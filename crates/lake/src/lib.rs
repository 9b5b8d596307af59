//! Charges as Parquet.
