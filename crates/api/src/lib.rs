//! The wire: what requests and answers look like as JSON.
//!
//! Owns the shapes, how domain values are written in them, and their schemas in the OpenAPI
//! document. Knows nothing of HTTP, storage or which request is allowed. Invariant: money is a JSON
//! number of exact decimal digits; no amount passes through a float.
#![deny(clippy::float_arithmetic)]

mod ai_budget;
mod alert;
mod answered;
mod budgets;
mod cloud_budget;
mod cost;
mod cursor;
mod event;
mod instant;
mod ledger;
mod number;
mod price;
mod problem;
mod reservation;
mod schema;
mod tenant;
mod usage;

pub use ai_budget::{
    BudgetLine, CheckRequest, CheckResponse, Consumer, Done, Health, SetRequest, TenantStatus,
    TopConsumers, TrackRequest, TrackResponse,
};
pub use alert::{AlertRequest, AlertsNoted, AlertsRequest};
pub use answered::{Unreadable, moment};
pub use budgets::{
    BudgetHistory, BudgetList, BudgetQuery, BudgetRequest, BudgetUpdate, BudgetView, PeriodView,
};
pub use cloud_budget::{
    CloudBudgetList, CloudBudgetRequest, CloudBudgetUpdate, CloudBudgetView, CloudPeriodView,
};
pub use cost::{
    CostColumn, CostDiffQuery, CostImport, CostImportQuery, CostImports, CostInvoiceLine,
    CostInvoices, CostQuery, CostStatement, CostTable, CostTagQuery,
};
pub use cursor::Cursor;
pub use event::{CloudEventView, EventView};
pub use instant::Instant;
pub use ledger::{EntryView, EventList, EventQuery, Ledger, LedgerQuery, PostingView};
pub use number::{Amount, Percent, Tokens, Usd};
pub use price::{PriceList, PriceQuery, PriceView, Prices, PricesStored};
pub use problem::{BudgetScope, Problem};
pub use reservation::{
    AccountName, Amounts, ReservationList, ReservationQuery, ReservationRequest, ReservationView,
    ResolveRequest, SettleRequest, StandingView,
};
pub use schema::ModelOrAll;
pub use tenant::{
    KeyCreated, KeyList, KeyQuery, KeyRequest, KeyView, RotateQuery, TenantList, TenantQuery,
    TenantRequest, TenantView,
};
pub use usage::{ExportQuery, UsageLine, UsageQuery, UsageReport};
