//! What the crate's tests share: real data, small bills, lakes in a folder of their own.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use focus::{
    Decimal,
    cost::{Month, Value},
};

use crate::{Lake, LakeOptions, Options, fault::Faults};

/// A file of the real data: `BURSAR_TEST_DATA`, or the folder beside the workspace.
pub(crate) fn real(path: &str) -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folder = std::env::var_os("BURSAR_TEST_DATA")
        .map_or_else(|| workspace.join("../shared/data"), PathBuf::from);
    let file = folder.join(path);
    assert!(file.exists(), "{} is needed; set BURSAR_TEST_DATA to the data folder", file.display());
    file
}

/// The official sample: 1,000 charges of September and October 2024.
pub(crate) fn sample() -> PathBuf {
    real("focus/focus-1.0-sample.csv")
}

pub(crate) mod s3;

/// A folder for bills and a lake.
pub(crate) struct Place {
    pub(crate) folder: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn url(&self) -> String {
        self.folder.path().join("lake").display().to_string()
    }

    pub(crate) async fn lake(&self) -> Lake {
        Lake::open(&self.url(), LakeOptions::default()).await.unwrap()
    }

    /// A lake in a folder whose bills lie in a bucket.
    pub(crate) async fn lake_beside(&self, s3: &s3::S3) -> Lake {
        let options = LakeOptions { storage: s3.settings(), ..LakeOptions::default() };
        Lake::open(&self.url(), options).await.unwrap()
    }

    pub(crate) async fn lake_that_dies_after(&self, steps: i64) -> Lake {
        Lake::open_with(&self.url(), LakeOptions::default(), Faults::after(steps)).await.unwrap()
    }

    /// Writes a file beside the lake.
    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }
}

/// A charge of a small bill.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) month: &'static str,
    pub(crate) provider: &'static str,
    pub(crate) service: &'static str,
    pub(crate) currency: &'static str,
    pub(crate) billed: String,
    pub(crate) list: String,
    pub(crate) quantity: String,
    pub(crate) tags: &'static str,
    pub(crate) invoice: &'static str,
}

impl Row {
    pub(crate) fn of(month: &'static str, service: &'static str, billed: &str) -> Self {
        Self {
            month,
            provider: "AWS",
            service,
            currency: "USD",
            billed: billed.to_owned(),
            list: billed.to_owned(),
            quantity: "1".to_owned(),
            tags: "",
            invoice: "",
        }
    }
}

pub(crate) const HEADER: &str = "BilledCost,EffectiveCost,ListCost,ContractedCost,BillingCurrency,\
    BillingPeriodStart,BillingPeriodEnd,ChargePeriodStart,ChargePeriodEnd,ProviderName,\
    PublisherName,InvoiceIssuerName,ServiceName,ServiceCategory,RegionId,SubAccountId,\
    BillingAccountId,ChargeCategory,SkuId,PricingQuantity,PricingUnit,InvoiceId,Tags,x_Team";

/// A bill with these charges, of FOCUS 1.2.
pub(crate) fn bill(rows: &[Row]) -> String {
    let mut text = format!("{HEADER}\n");
    for row in rows {
        let month: Month = row.month.parse().unwrap();
        let (start, end) = (month.start(), month.next().start());
        let day = start.replace("-01T", "-02T");
        let Row { provider, service, currency, billed, list, quantity, tags, invoice, .. } = row;
        let tags = tags.replace('"', "\"\"");
        text.push_str(&format!(
            "{billed},{billed},{list},{billed},{currency},{start},{end},{start},{day},{provider},\
             {provider},{provider},{service},Compute,eu-central-1,tenant-1,account-1,Usage,\
             sku-{service},{quantity},Hours,{invoice},\"{tags}\",blue\n"
        ));
    }
    text
}

/// Small bills lack columns that their version must have.
pub(crate) fn lenient(source: &str) -> Options {
    Options {
        source: Some(source.to_owned()),
        lacking: true,
        version: Some(focus::Version::V1_2),
        threads: 2,
        ..Options::default()
    }
}

/// The only value of an answer.
pub(crate) async fn one(lake: &Lake, sql: &str) -> Value {
    let answer = lake.sql(sql, &[], None).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    answer.rows[0][0].clone()
}

pub(crate) async fn billed(lake: &Lake) -> String {
    match one(lake, "select sum(BilledCost) from focus_data_table").await {
        Value::Null => "0".to_owned(),
        value => value.to_string(),
    }
}

pub(crate) fn decimal(text: &str) -> Decimal {
    Decimal::parse(text).unwrap()
}
