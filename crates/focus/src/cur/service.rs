//! Which category a service of AWS belongs to, by its product code.

use super::map::PRODUCT;
use crate::{
    Condition::{self, Begins, In},
    Expression::{self, Case, Text},
};

/// The category; `Other` for what is not in the table.
pub(super) const CATEGORY: Expression = Case(
    &[
        (AI, Text("AI and Machine Learning")),
        (In(PRODUCT, ANALYTICS), Text("Analytics")),
        (In(PRODUCT, COMPUTE), Text("Compute")),
        (In(PRODUCT, DATABASES), Text("Databases")),
        (In(PRODUCT, DEVELOPER), Text("Developer Tools")),
        (In(PRODUCT, &["AmazonCognito", "AWSDirectoryService"]), Text("Identity")),
        (In(PRODUCT, INTEGRATION), Text("Integration")),
        (In(PRODUCT, MANAGEMENT), Text("Management and Governance")),
        (In(PRODUCT, &["AWSDatabaseMigrationSvc", "AWSDataSync"]), Text("Migration")),
        (In(PRODUCT, NETWORKING), Text("Networking")),
        (In(PRODUCT, SECURITY), Text("Security")),
        (In(PRODUCT, STORAGE), Text("Storage")),
    ],
    &Text("Other"),
);

const AI: Condition<&str> = Condition::Any(&[
    Begins(PRODUCT, "AmazonBedrock"),
    In(
        PRODUCT,
        &[
            "AmazonSageMaker",
            "AmazonRekognition",
            "AmazonTextract",
            "AmazonPolly",
            "AmazonLex",
            "comprehend",
            "transcribe",
            "translate",
        ],
    ),
]);

const ANALYTICS: &[&str] = &[
    "AWSGlue",
    "AmazonAthena",
    "AmazonES",
    "AmazonKinesis",
    "AmazonKinesisFirehose",
    "AmazonMSK",
    "AmazonQuickSight",
    "ElasticMapReduce",
];

const COMPUTE: &[&str] = &[
    "AWSLambda",
    "AmazonEC2",
    "AmazonECR",
    "AmazonECS",
    "AmazonEKS",
    "AmazonLightsail",
    "AmazonWorkSpaces",
    "ElasticBeanstalk",
];

const DATABASES: &[&str] = &[
    "AmazonDAX",
    "AmazonDocDB",
    "AmazonDynamoDB",
    "AmazonElastiCache",
    "AmazonMemoryDB",
    "AmazonNeptune",
    "AmazonRDS",
    "AmazonRedshift",
    "AmazonTimestream",
];

const DEVELOPER: &[&str] =
    &["AWSCloudShell", "AWSCodeArtifact", "AWSCodePipeline", "AWSXRay", "CodeBuild"];

const INTEGRATION: &[&str] = &[
    "AWSEvents",
    "AWSQueueService",
    "AmazonApiGateway",
    "AmazonMQ",
    "AmazonSES",
    "AmazonSNS",
    "AmazonStates",
];

const MANAGEMENT: &[&str] = &[
    "AWSCloudFormation",
    "AWSCloudTrail",
    "AWSConfig",
    "AWSCostExplorer",
    "AWSServiceCatalog",
    "AWSSystemsManager",
    "AmazonCloudWatch",
];

const NETWORKING: &[&str] = &[
    "AWSDataTransfer",
    "AWSDirectConnect",
    "AWSELB",
    "AWSGlobalAccelerator",
    "AWSTransitGateway",
    "AmazonCloudFront",
    "AmazonRoute53",
    "AmazonVPC",
];

const SECURITY: &[&str] = &[
    "AWSCertificateManager",
    "AWSSecretsManager",
    "AWSSecurityHub",
    "AWSShield",
    "AmazonGuardDuty",
    "AmazonInspectorV2",
    "AmazonMacie",
    "awskms",
    "awswaf",
];

const STORAGE: &[&str] =
    &["AWSBackup", "AWSStorageGateway", "AmazonEFS", "AmazonFSx", "AmazonGlacier", "AmazonS3"];
