//! Which of AWS's APIs there are, and where each is reached.

use std::fmt;

/// One of AWS's APIs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Api {
    /// Cost Explorer, whose calls cost a cent each.
    CostExplorer,
    /// AWS Budgets.
    Budgets,
    /// CloudWatch.
    CloudWatch,
    /// S3.
    S3,
    /// The Security Token Service, for the account's number.
    Sts,
}

/// An endpoint and what its requests are signed for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) url: String,
    pub(crate) region: String,
}

impl Api {
    /// As metrics and messages name it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CostExplorer => "cost-explorer",
            Self::Budgets => "budgets",
            Self::CloudWatch => "cloudwatch",
            Self::S3 => "s3",
            Self::Sts => "sts",
        }
    }

    /// The service's id, of which SDKs make the name of its variable: `AWS_ENDPOINT_URL_…`.
    pub(crate) const fn service_id(self) -> &'static str {
        match self {
            Self::CostExplorer => "Cost Explorer",
            Self::Budgets => "Budgets",
            Self::CloudWatch => "CloudWatch",
            Self::S3 => "S3",
            Self::Sts => "STS",
        }
    }

    /// The name in a signature's scope.
    pub(crate) const fn signing_name(self) -> &'static str {
        match self {
            Self::CostExplorer => "ce",
            Self::Budgets => "budgets",
            Self::CloudWatch => "monitoring",
            Self::S3 => "s3",
            Self::Sts => "sts",
        }
    }

    /// Whether each call is paid for: Cost Explorer's cost 0.01 USD a page
    /// (<https://aws.amazon.com/aws-cost-management/aws-cost-explorer/pricing/>).
    pub const fn is_paid(self) -> bool {
        matches!(self, Self::CostExplorer)
    }

    /// Where the API is in a region. Cost Explorer and Budgets have one endpoint for all regions
    /// of a partition (<https://docs.aws.amazon.com/general/latest/gr/billing.html>).
    pub(crate) fn place(self, region: &str) -> Place {
        let is_china = region.starts_with("cn-");
        let (suffix, home) = match is_china {
            true => ("amazonaws.com.cn", "cn-northwest-1"),
            false => ("amazonaws.com", "us-east-1"),
        };
        let (host, region) = match self {
            Self::CostExplorer => (format!("ce.{home}.{suffix}"), home),
            Self::Budgets if is_china => (format!("budgets.{suffix}"), home),
            Self::Budgets => ("budgets.amazonaws.com".to_owned(), home),
            Self::CloudWatch => (format!("monitoring.{region}.{suffix}"), region),
            Self::S3 => (format!("s3.{region}.{suffix}"), region),
            Self::Sts => (format!("sts.{region}.{suffix}"), region),
        };
        Place { url: format!("https://{host}"), region: region.to_owned() }
    }
}

impl fmt::Display for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CostExplorer => "AWS Cost Explorer",
            Self::Budgets => "AWS Budgets",
            Self::CloudWatch => "Amazon CloudWatch",
            Self::S3 => "Amazon S3",
            Self::Sts => "AWS STS",
        })
    }
}
