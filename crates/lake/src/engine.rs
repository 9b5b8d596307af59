//! What queries run on: one pool of memory, one cache of file ends, for all of them.
//!
//! Owns the engine's settings and the tables that a state of the lake is seen as. Invariant: a
//! session sees one state, and nothing in it can change or write anything.

use std::{collections::BTreeMap, fmt, sync::Arc};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::{
    catalog::{MemoryCatalogProviderList, Session, TableProvider},
    common::{ColumnStatistics, DFSchema, Result, ScalarValue, Statistics, stats::Precision},
    datasource::{
        TableType,
        listing::PartitionedFile,
        physical_plan::{
            FileGroup, FileScanConfigBuilder, ParquetSource,
            parquet::CachedParquetFileReaderFactory,
        },
        source::DataSourceExec,
    },
    execution::{
        SessionStateBuilder,
        object_store::ObjectStoreUrl,
        runtime_env::{RuntimeEnv, RuntimeEnvBuilder},
    },
    logical_expr::{Expr, TableProviderFilterPushDown, utils::conjunction},
    physical_plan::{ExecutionPlan, empty::EmptyExec},
    prelude::{SessionConfig, SessionContext},
};
use focus::cost::Month;
use focus::{Column, Former};
use jiff::Timestamp;
use object_store::ObjectStore;

use crate::{
    functions,
    import::threads,
    lake::LakeOptions,
    manifest::{DataFile, Dataset, State},
    schema,
};

/// How the engine calls the lake's store.
const STORE: &str = "lake://charges";
/// Bytes of file ends that stay in memory.
const ENDS_MAX: usize = 64 << 20;

/// The table of charges, as the official queries name it.
pub(crate) const CHARGES: &str = "focus_data_table";

/// Runs queries.
pub(crate) struct Engine {
    runtime: Option<Arc<RuntimeEnv>>,
    config: SessionConfig,
    pub(crate) options: LakeOptions,
}

impl Engine {
    pub(crate) fn new(store: Arc<dyn ObjectStore>, options: LakeOptions) -> Self {
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_limit(options.memory_max, 1.0)
            .with_metadata_cache_limit(ENDS_MAX)
            .build_arc()
            .ok();
        if let (Some(runtime), Ok(url)) = (&runtime, url::Url::parse(STORE)) {
            runtime.register_object_store(&url, store);
        }
        let mut config = SessionConfig::new()
            .with_target_partitions(threads(options.threads))
            .with_information_schema(false)
            .with_batch_size(8_192);
        let settings = config.options_mut();
        settings.execution.parquet.pushdown_filters = true;
        settings.execution.parquet.reorder_filters = true;
        settings.execution.parquet.schema_force_view_types = true;
        settings.execution.time_zone = Some("UTC".into());
        // `0.1` is a tenth, not the float next to it.
        settings.sql_parser.parse_float_as_decimal = true;
        settings.sql_parser.map_string_types_to_utf8view = true;
        Self { runtime, config, options }
    }

    /// A session that sees this state, with the former columns if the question names them.
    pub(crate) async fn session(&self, state: &State, former: bool) -> Result<SessionContext> {
        let mut builder = SessionStateBuilder::new()
            .with_config(self.config.clone())
            .with_catalog_list(Arc::new(MemoryCatalogProviderList::new()))
            .with_default_features();
        if let Some(runtime) = &self.runtime {
            builder = builder.with_runtime_env(Arc::clone(runtime));
        }
        let mut context = SessionContext::new_with_state(builder.build());
        functions::register(&mut context)?;
        let custom = state.custom_columns();
        let charges = Files::new(
            schema::charges(custom.iter().copied()),
            state.files(Dataset::Charges).map(|(month, file)| (month, file.clone())).collect(),
        );
        let days = Files::new(
            schema::days(),
            state.files(Dataset::Days).map(|(month, file)| (month, file.clone())).collect(),
        );
        let base = if former { "charges_of_1_4" } else { CHARGES };
        context.register_table(base, Arc::new(charges))?;
        if former {
            let view = context.sql(&former_view(base, &custom)).await?.into_view();
            context.register_table(CHARGES, view)?;
        }
        context.register_table("charges_by_day", Arc::new(days))?;
        let charges = context.table(CHARGES).await?.into_view();
        context.register_table("charges", charges)?;
        let months = context.sql(MONTHS).await?.into_view();
        context.register_table("charges_by_month", months)?;
        Ok(context)
    }
}

/// The year stays in the month: two Octobers are two.
const MONTHS: &str = r#"
select date_trunc('month', "BillingPeriodStart") as "BillingMonth",
       "ServiceProviderName", "BillingAccountId", "SubAccountId", "ServiceCategory",
       "ServiceName", "RegionId", "ChargeCategory", "BillingCurrency",
       sum("BilledCost") as "BilledCost", sum("EffectiveCost") as "EffectiveCost",
       sum("ListCost") as "ListCost", sum("ContractedCost") as "ContractedCost",
       sum("ChargeCount") as "ChargeCount"
from charges_by_day
group by 1, 2, 3, 4, 5, 6, 7, 8, 9
"#;

/// Charges with the columns that 1.4 has no more, for queries of older versions.
fn former_view(base: &str, custom: &std::collections::BTreeSet<&str>) -> String {
    let columns = Former::ALL.iter().map(|former| {
        let successor = successor(*former).name();
        let kept = former.kept_as();
        let found = custom.iter().find(|name| name.eq_ignore_ascii_case(kept));
        let name = former.name();
        match found {
            Some(kept) => format!(r#"coalesce("{kept}", "{successor}") as "{name}""#),
            None => format!(r#""{successor}" as "{name}""#),
        }
    });
    format!("select *, {} from {base}", columns.collect::<Vec<_>>().join(", "))
}

/// What stands for a former column in charges that never had it.
const fn successor(former: Former) -> Column {
    match former {
        Former::ProviderName => Column::ServiceProviderName,
        Former::PublisherName => Column::HostProviderName,
    }
}

/// Columns that a question may name, by their lower case.
pub(crate) fn names(state: &State) -> BTreeMap<String, String> {
    let focus = Column::ALL.iter().map(|column| column.name());
    let former = Former::ALL.iter().map(|former| former.name());
    let days = [schema::DAY, schema::CHARGE_COUNT, "BillingMonth"];
    let own = focus.chain(former).chain(days).chain(state.custom_columns());
    own.map(|name| (name.to_ascii_lowercase(), name.to_owned())).collect()
}

/// The files of a state as a table.
struct Files {
    /// As questions see it.
    schema: SchemaRef,
    files: Vec<(Month, DataFile)>,
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Files").field("files", &self.files.len()).finish_non_exhaustive()
    }
}

impl Files {
    fn new(stored: SchemaRef, files: Vec<(Month, DataFile)>) -> Self {
        let fields = stored.fields().iter().map(|field| match field.data_type() {
            DataType::Utf8 => Field::new(field.name(), DataType::Utf8View, true),
            other => Field::new(field.name(), other.clone(), field.is_nullable()),
        });
        Self { schema: Arc::new(Schema::new(fields.collect::<Vec<_>>())), files }
    }

    /// What is known of a file without opening it.
    fn statistics(&self, month: Month, file: &DataFile) -> Statistics {
        let mut statistics = Statistics::new_unknown(&self.schema);
        statistics.num_rows = Precision::Exact(usize::try_from(file.rows).unwrap_or(usize::MAX));
        let at = self.schema.index_of(Column::BillingPeriodStart.name());
        if let (Ok(at), Some((first, last))) = (at, bounds(month)) {
            let instant =
                |micros| ScalarValue::TimestampMicrosecond(Some(micros), Some("UTC".into()));
            statistics.column_statistics[at] = ColumnStatistics {
                min_value: Precision::Inexact(instant(first)),
                max_value: Precision::Inexact(instant(last)),
                null_count: Precision::Exact(0),
                ..ColumnStatistics::new_unknown()
            };
        }
        statistics
    }
}

/// The first and last microsecond of a month.
fn bounds(month: Month) -> Option<(i64, i64)> {
    let micros = |month: Month| Some(month.start().parse::<Timestamp>().ok()?.as_microsecond());
    Some((micros(month)?, micros(month.next())? - 1))
}

#[async_trait]
impl TableProvider for Files {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if self.files.is_empty() {
            let schema = match projection {
                Some(places) => Arc::new(self.schema.project(places)?),
                None => Arc::clone(&self.schema),
            };
            return Ok(Arc::new(EmptyExec::new(schema)));
        }
        let url = ObjectStoreUrl::parse(STORE)?;
        let options = state.config().options().execution.parquet.clone();
        let options =
            datafusion::config::TableParquetOptions { global: options, ..Default::default() };
        let cache = state.runtime_env().cache_manager.get_file_metadata_cache();
        let store = state.runtime_env().object_store(&url)?;
        let mut source = ParquetSource::new(Arc::clone(&self.schema))
            .with_table_parquet_options(options)
            .with_parquet_file_reader_factory(Arc::new(CachedParquetFileReaderFactory::new(
                store, cache,
            )));
        if let Some(filter) = conjunction(filters.to_vec()) {
            let schema = DFSchema::try_from(Arc::clone(&self.schema))?;
            source = source.with_predicate(state.create_physical_expr(filter, &schema)?);
        }
        let mut groups: Vec<Vec<PartitionedFile>> = Vec::new();
        let wanted = state.config().target_partitions().max(1);
        let mut rows = 0;
        for (at, (month, file)) in self.files.iter().enumerate() {
            let statistics = self.statistics(*month, file);
            rows += file.rows;
            let file = PartitionedFile::new(file.path.clone(), file.bytes);
            let file = file.with_statistics(Arc::new(statistics));
            if groups.len() < wanted {
                groups.push(Vec::new());
            }
            groups[at % wanted].push(file);
        }
        let mut statistics = Statistics::new_unknown(&self.schema);
        statistics.num_rows = Precision::Exact(usize::try_from(rows).unwrap_or(usize::MAX));
        let config = FileScanConfigBuilder::new(url, Arc::new(source))
            .with_file_groups(groups.into_iter().map(FileGroup::new).collect())
            .with_statistics(statistics)
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }
}
