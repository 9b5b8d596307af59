//! `/api/v1/cost`: what was charged. Costs of all tenants are for administrators alone; a tenant's
//! key sees sums of the charges that are tagged with its tenant.

use std::{fmt::Display, str::FromStr, sync::Arc};

use api::{
    CostDiffQuery, CostImportQuery, CostImports, CostInvoices, CostQuery, CostStatement, CostTable,
    CostTagQuery, Problem,
};
use axum::{Json as Answer, extract::State};
use focus::{
    Decimal,
    cost::{
        AsOf, Asked, Basis, Compared, Costs, Dimension, InvoiceLine, Invoices, Month, Months,
        Question, Statement, Table, Tagged, Value,
    },
};

use super::page;
use crate::{
    auth::Caller,
    clouds::TENANT,
    extract::{Json, Query},
    fault::Fault,
    service::{Shared, State as Service},
};

/// Dimensions and conditions of one question.
const WORDS_MOST: usize = 20;
/// Lines of invoices in one request.
const LINES_MOST: usize = 10_000;

/// Who answers, and leave to ask: a few questions at a time, so that they share memory and time.
async fn ask<'a>(
    state: &'a Service,
) -> Result<(&'a Arc<dyn Costs>, tokio::sync::SemaphorePermit<'a>), Fault> {
    let costs = state.costs.as_ref();
    let costs = costs.ok_or_else(|| Fault::not_found("this service has no lake of charges"))?;
    let permit = state.questions.acquire().await.map_err(|_| Fault::draining())?;
    Ok((costs, permit))
}

fn word<T: FromStr<Err: Display>>(field: &str, text: &str) -> Result<T, Fault> {
    text.trim().parse().map_err(|error| Fault::invalid(field, format!("is wrong: {error}")))
}

fn optional<T: FromStr<Err: Display>>(field: &str, text: Option<&str>) -> Result<Option<T>, Fault> {
    text.map(|text| word(field, text)).transpose()
}

fn few<T>(field: &str, words: Vec<T>) -> Result<Vec<T>, Fault> {
    if words.len() > WORDS_MOST {
        return Err(Fault::invalid(field, format!("has more than {WORDS_MOST} parts")));
    }
    Ok(words)
}

fn dimensions(by: Option<&str>) -> Result<Vec<Dimension>, Fault> {
    let words = by.unwrap_or("service").split(',').filter(|word| !word.trim().is_empty());
    few("by", words.map(|text| word("by", text)).collect::<Result<_, _>>()?)
}

fn only(text: Option<&str>) -> Result<Vec<(Dimension, String)>, Fault> {
    let conditions = text.unwrap_or_default().split(';').filter(|one| !one.trim().is_empty());
    let conditions = conditions.map(|condition| {
        let (dimension, value) = condition
            .split_once('=')
            .ok_or_else(|| Fault::invalid("only", "must be like service=AmazonEC2"))?;
        Ok((word("only", dimension)?, value.to_owned()))
    });
    few("only", conditions.collect::<Result<_, Fault>>()?)
}

/// Which charges a caller may add up: an administrator those that were asked for, a tenant those
/// among them that are its own.
fn own(caller: &Caller, mut only: Vec<(Dimension, String)>) -> Vec<(Dimension, String)> {
    if let Caller::Tenant(tenant) = caller {
        only.push((Dimension::Tag(TENANT.to_owned()), tenant.as_str().to_owned()));
    }
    only
}

/// A code, as `EUR`: whether there are rates for it shows when it is needed.
fn currency(text: Option<String>) -> Result<Option<String>, Fault> {
    let is_code = |text: &str| text.len() == 3 && text.bytes().all(|b| b.is_ascii_uppercase());
    match text {
        Some(text) if !is_code(&text) => Err(Fault::invalid("currency", "must be like EUR")),
        text => Ok(text),
    }
}

fn months(
    month: Option<&str>,
    from: Option<&str>,
    to: Option<&str>,
) -> Result<Option<Months>, Fault> {
    let months: (Option<Month>, Option<Month>) = (optional("from", from)?, optional("to", to)?);
    match (optional::<Month>("month", month)?, months) {
        (None, (None, None)) => Ok(None),
        (Some(month), (None, None)) => Ok(Some((month, month))),
        (None, (Some(from), Some(to))) if from <= to => Ok(Some((from, to))),
        (None, (Some(_), Some(_))) => Err(Fault::invalid("from", "must not be after to")),
        (Some(_), _) => Err(Fault::invalid("month", "can't be given with from and to")),
        (None, _) => Err(Fault::invalid("from", "and to are given together")),
    }
}

/// A page of a table, and how to ask for it.
struct Part {
    cursor: Option<(u64, usize)>,
    limit: usize,
    as_of: Option<AsOf>,
}

impl Part {
    fn new(cursor: Option<&str>, limit: Option<u16>, as_of: Option<&str>) -> Result<Self, Fault> {
        let page = page::<(u64, usize)>(cursor, limit)?;
        let asked = optional("as_of", as_of)?;
        // Further pages are of the version that the first one was of.
        let as_of = page.after.map(|(version, _)| AsOf::Version(version)).or(asked);
        Ok(Self { cursor: page.after, limit: page.limit, as_of })
    }

    fn of(&self, table: Table) -> CostTable {
        CostTable::page(table, self.cursor.map_or(0, |(_, row)| row), self.limit)
    }
}

/// Costs added up by dimensions, the most costly first; what they add up to is what came in.
/// A tenant's key asks about the charges that are tagged with its tenant.
#[utoipa::path(get, path = "/api/v1/cost/report", tag = "cost", operation_id = "costReport",
    params(CostQuery), responses((status = 200, description = "A page", body = CostTable),
        (status = 404, description = "This service has no lake", body = Problem)))]
pub(crate) async fn report(
    State(state): State<Shared>,
    caller: Caller,
    Query(query): Query<CostQuery>,
) -> Result<Answer<CostTable>, Fault> {
    let (costs, _permit) = ask(&state).await?;
    let part = Part::new(query.cursor.as_deref(), query.limit, query.as_of.as_deref())?;
    let (month, from, to) = (&query.month, &query.from, &query.to);
    let asked = Asked {
        by: dimensions(query.by.as_deref())?,
        months: months(month.as_deref(), from.as_deref(), to.as_deref())?,
        basis: optional("basis", query.basis.as_deref())?.unwrap_or_default(),
        only: own(&caller, only(query.only.as_deref())?),
        top: query.top.map(usize::from),
        currency: currency(query.currency)?,
        as_of: part.as_of,
    };
    let report = costs.report(&asked).await?;
    Ok(Answer(CostTable { totals: Some(report.totals), ..part.of(report.table) }))
}

/// What drove the change between two months: price, usage, new, gone, discount. A tenant's key asks
/// about the charges that are tagged with its tenant.
#[utoipa::path(get, path = "/api/v1/cost/diff", tag = "cost", operation_id = "costDiff",
    params(CostDiffQuery), responses((status = 200, description = "A page", body = CostTable),
        (status = 404, description = "This service has no lake", body = Problem)))]
pub(crate) async fn diff(
    State(state): State<Shared>,
    caller: Caller,
    Query(query): Query<CostDiffQuery>,
) -> Result<Answer<CostTable>, Fault> {
    let (costs, _permit) = ask(&state).await?;
    let part = Part::new(query.cursor.as_deref(), query.limit, query.as_of.as_deref())?;
    let compared = Compared {
        before: word("before", &query.before)?,
        after: word("after", &query.after)?,
        basis: optional("basis", query.basis.as_deref())?.unwrap_or_default(),
        by: dimensions(query.by.as_deref())?,
        only: own(&caller, only(query.only.as_deref())?),
        currency: currency(query.currency)?,
        as_of: part.as_of,
    };
    Ok(Answer(part.of(costs.answer(&Question::Diff(compared)).await?)))
}

/// How much of the cost has tags. A tenant's key asks about the charges that are tagged with its
/// tenant.
#[utoipa::path(get, path = "/api/v1/cost/tags", tag = "cost", operation_id = "costTags",
    params(CostTagQuery),
    responses((status = 200, description = "A row a tag and currency", body = CostTable),
        (status = 404, description = "This service has no lake", body = Problem)))]
pub(crate) async fn tags(
    State(state): State<Shared>,
    caller: Caller,
    Query(query): Query<CostTagQuery>,
) -> Result<Answer<CostTable>, Fault> {
    let (costs, _permit) = ask(&state).await?;
    let names = query.tags.as_deref().unwrap_or_default().split(',').map(str::trim);
    let names = names.filter(|name| !name.is_empty()).map(str::to_owned).collect();
    let tagged = Tagged {
        tags: few("tags", names)?,
        months: months(query.month.as_deref(), None, None)?,
        basis: optional::<Basis>("basis", query.basis.as_deref())?.unwrap_or_default(),
        only: own(&caller, Vec::new()),
        as_of: optional("as_of", query.as_of.as_deref())?,
    };
    let table = costs.answer(&Question::Tags(tagged)).await?;
    let rows = table.rows.len();
    Ok(Answer(CostTable::page(table, 0, rows)))
}

/// Compares invoices with what came in, to the cent. Administrators only.
#[utoipa::path(post, path = "/api/v1/cost/reconcile", tag = "cost", operation_id = "costReconcile",
    request_body = CostInvoices,
    responses((status = 200, description = "A row an invoice", body = CostTable),
        (status = 404, description = "This service has no lake", body = Problem)))]
pub(crate) async fn reconcile(
    State(state): State<Shared>,
    caller: Caller,
    Json(request): Json<CostInvoices>,
) -> Result<Answer<CostTable>, Fault> {
    caller.admin()?;
    let (costs, _permit) = ask(&state).await?;
    if request.lines.len() > LINES_MOST {
        return Err(Fault::invalid("lines", format!("has more than {LINES_MOST} lines")));
    }
    let lines = request.lines.into_iter().enumerate().map(|(at, line)| {
        let amount = Decimal::parse(&line.amount)
            .ok_or_else(|| Fault::invalid(&format!("lines[{at}].amount"), "is no amount"))?;
        Ok(InvoiceLine { invoice: line.invoice_id, currency: line.currency, amount })
    });
    let invoices = Invoices {
        lines: lines.collect::<Result<_, Fault>>()?,
        issuer: request.issuer,
        as_of: optional("as_of", request.as_of.as_deref())?,
    };
    let table = costs.answer(&Question::Reconcile(invoices)).await?;
    let rows = table.rows.len();
    Ok(Answer(CostTable::page(table, 0, rows)))
}

/// Answers SQL over the charges. Administrators only.
#[utoipa::path(post, path = "/api/v1/cost/query", tag = "cost", operation_id = "costQuery",
    request_body = CostStatement,
    responses((status = 200, description = "A page", body = CostTable),
        (status = 404, description = "This service has no lake", body = Problem)))]
pub(crate) async fn query(
    State(state): State<Shared>,
    caller: Caller,
    Json(request): Json<CostStatement>,
) -> Result<Answer<CostTable>, Fault> {
    caller.admin()?;
    let (costs, _permit) = ask(&state).await?;
    let part = Part::new(request.cursor.as_deref(), request.limit, request.as_of.as_deref())?;
    let params = request.params.into_iter().map(|param| param.map_or(Value::Null, Value::Text));
    let statement = Statement { text: request.sql, params: params.collect(), as_of: part.as_of };
    Ok(Answer(part.of(costs.answer(&Question::Sql(statement)).await?)))
}

/// What came in, by billing period and source. Administrators only.
#[utoipa::path(get, path = "/api/v1/cost/imports", tag = "cost", operation_id = "costImports",
    params(CostImportQuery),
    responses((status = 200, description = "All of them", body = CostImports),
        (status = 404, description = "This service has no lake", body = Problem)))]
pub(crate) async fn imports(
    State(state): State<Shared>,
    caller: Caller,
    Query(query): Query<CostImportQuery>,
) -> Result<Answer<CostImports>, Fault> {
    caller.admin()?;
    let (costs, _permit) = ask(&state).await?;
    let imports = costs.imports(optional("as_of", query.as_of.as_deref())?).await?;
    Ok(Answer(CostImports { imports: imports.into_iter().map(Into::into).collect() }))
}
