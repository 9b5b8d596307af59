//! Which cost of a charge is meant.

use std::{fmt, str::FromStr};

use thiserror::Error;

use crate::Column;

/// No such basis.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is no basis of cost; use billed, effective, list or contracted")]
pub struct UnknownBasis(String);

/// Which cost is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Basis {
    /// What was invoiced.
    #[default]
    Billed,
    /// With prepaid amounts spread over their use.
    Effective,
    /// At list prices.
    List,
    /// At negotiated prices.
    Contracted,
}

impl Basis {
    /// The column of FOCUS.
    pub const fn column(self) -> Column {
        match self {
            Self::Billed => Column::BilledCost,
            Self::Effective => Column::EffectiveCost,
            Self::List => Column::ListCost,
            Self::Contracted => Column::ContractedCost,
        }
    }
}

impl FromStr for Basis {
    type Err = UnknownBasis;

    fn from_str(text: &str) -> Result<Self, UnknownBasis> {
        Ok(match text {
            "billed" => Self::Billed,
            "effective" => Self::Effective,
            "list" => Self::List,
            "contracted" => Self::Contracted,
            _ => return Err(UnknownBasis(text.to_owned())),
        })
    }
}

impl fmt::Display for Basis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Billed => "billed",
            Self::Effective => "effective",
            Self::List => "list",
            Self::Contracted => "contracted",
        })
    }
}
