//! The lake in the role of who knows what was charged.
//!
//! Owns which of its errors who asked may read. Invariant: what is told names no file of the lake.

use async_trait::async_trait;
use focus::cost::{AsOf, Asked, Costs, CostsError, Imported, Question, Report, Table};

use crate::{commit::LogError, lake::Lake, query::QueryError, report::ReportError};

#[async_trait]
impl Costs for Lake {
    async fn version(&self) -> Result<u64, CostsError> {
        Lake::version(self).await.map_err(|error| told(error.into()))
    }

    async fn imports(&self, as_of: Option<AsOf>) -> Result<Vec<Imported>, CostsError> {
        let imports = Lake::imports(self, as_of).await.map_err(|error| told(error.into()))?;
        let imported = imports.into_iter().map(|import| Imported {
            sums: import
                .sums
                .iter()
                .map(|(currency, sums)| (currency.clone(), (sums.billed, sums.effective)))
                .collect(),
            source: import.source,
            period: import.period,
            execution: import.execution,
            format: import.focus,
            at: import.at,
            rows: import.rows,
            notes: import.notes,
        });
        Ok(imported.collect())
    }

    async fn report(&self, asked: &Asked) -> Result<Report, CostsError> {
        Lake::report(self, asked).await.map_err(told)
    }

    async fn answer(&self, question: &Question) -> Result<Table, CostsError> {
        let answer = match question {
            Question::Diff(compared) => self.diff(compared).await,
            Question::Tags(tagged) => self.tags(tagged).await,
            Question::Reconcile(invoices) => self.reconcile(invoices).await,
            Question::Sql(statement) => {
                let params = &statement.params;
                self.sql(&statement.text, params, statement.as_of).await.map_err(Into::into)
            }
        };
        answer.map_err(told)
    }
}

fn told(error: ReportError) -> CostsError {
    let say = error.to_string();
    match error {
        ReportError::Query(
            QueryError::Syntax(_)
            | QueryError::Refused(_)
            | QueryError::Parameters { .. }
            | QueryError::Plan(_)
            | QueryError::Log(LogError::NoVersion { .. }),
        )
        | ReportError::Invoice { .. }
        | ReportError::NoRate(_)
        | ReportError::TooLarge => CostsError::Question(say),
        ReportError::Query(QueryError::Limit(_)) => CostsError::Limit(say),
        ReportError::Query(QueryError::Log(_) | QueryError::Read(_) | QueryError::Write(_))
        | ReportError::Unproven { .. }
        | ReportError::Rates { .. } => CostsError::Unavailable(Box::new(error)),
    }
}
