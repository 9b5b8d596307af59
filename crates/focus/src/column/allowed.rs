//! The values that a column may have, where the specification counts them.

use super::Column;

/// The values of a column; empty where any will do.
pub(super) const fn values(column: Column) -> &'static [&'static str] {
    match column {
        Column::CapacityReservationStatus | Column::CommitmentDiscountStatus => &["Used", "Unused"],
        Column::ChargeCategory => &["Usage", "Purchase", "Tax", "Credit", "Adjustment"],
        Column::ChargeClass => &["Correction"],
        Column::ChargeFrequency => &["One-Time", "Recurring", "Usage-Based"],
        Column::CommitmentDiscountCategory => &["Spend", "Usage"],
        Column::PricingCategory => &["Standard", "Dynamic", "Committed", "Other"],
        Column::ServiceCategory => &SERVICE_CATEGORIES,
        Column::ServiceSubcategory => &SUBCATEGORY_NAMES,
        _ => &[],
    }
}

const SERVICE_CATEGORIES: [&str; 19] = [
    "AI and Machine Learning",
    "Analytics",
    "Business Applications",
    "Compute",
    "Databases",
    "Developer Tools",
    "Multicloud",
    "Identity",
    "Integration",
    "Internet of Things",
    "Management and Governance",
    "Media",
    "Migration",
    "Mobile",
    "Networking",
    "Security",
    "Storage",
    "Web",
    "Other",
];

const SUBCATEGORY_NAMES: [&str; SERVICE_SUBCATEGORIES.len()] = {
    let mut names = [""; SERVICE_SUBCATEGORIES.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = SERVICE_SUBCATEGORIES[at].0;
        at += 1;
    }
    names
};

/// Each `ServiceSubcategory` with the one `ServiceCategory` that it belongs to.
///
/// Source: the specification's `servicesubcategory.md`, 1.4.
pub const SERVICE_SUBCATEGORIES: [(&str, &str); 82] = [
    ("AI Platforms", "AI and Machine Learning"),
    ("API Management", "Integration"),
    ("Analytics Platforms", "Analytics"),
    ("Application Networking", "Networking"),
    ("Application Platforms", "Web"),
    ("Architecture", "Management and Governance"),
    ("Backup Storage", "Storage"),
    ("Block Storage", "Storage"),
    ("Bots", "AI and Machine Learning"),
    ("Business Intelligence", "Analytics"),
    ("Caching", "Databases"),
    ("Compliance", "Management and Governance"),
    ("Containers", "Compute"),
    ("Content Creation", "Media"),
    ("Content Delivery", "Networking"),
    ("Continuous Integration and Deployment", "Developer Tools"),
    ("Cost Management", "Management and Governance"),
    ("Data Governance", "Management and Governance"),
    ("Data Migration", "Migration"),
    ("Data Processing", "Analytics"),
    ("Data Warehouses", "Databases"),
    ("Developer Platforms", "Developer Tools"),
    ("Development Environments", "Developer Tools"),
    ("Disaster Recovery", "Management and Governance"),
    ("End User Computing", "Compute"),
    ("Endpoint Management", "Management and Governance"),
    ("File Storage", "Storage"),
    ("Gaming", "Media"),
    ("Generative AI", "AI and Machine Learning"),
    ("Identity and Access Management", "Identity"),
    ("IoT Analytics", "Internet of Things"),
    ("IoT Platforms", "Internet of Things"),
    ("Ledger Databases", "Databases"),
    ("Machine Learning", "AI and Machine Learning"),
    ("Media Streaming", "Media"),
    ("Messaging", "Integration"),
    ("Mixed Reality", "Media"),
    ("Multicloud Integration", "Multicloud"),
    ("Natural Language Processing", "AI and Machine Learning"),
    ("Network Connectivity", "Networking"),
    ("Network Infrastructure", "Networking"),
    ("Network Routing", "Networking"),
    ("Network Security", "Networking"),
    ("NoSQL Databases", "Databases"),
    ("Object Storage", "Storage"),
    ("Observability", "Management and Governance"),
    ("Other (AI and Machine Learning)", "AI and Machine Learning"),
    ("Other (Analytics)", "Analytics"),
    ("Other (Business Applications)", "Business Applications"),
    ("Other (Compute)", "Compute"),
    ("Other (Databases)", "Databases"),
    ("Other (Developer Tools)", "Developer Tools"),
    ("Other (Identity)", "Identity"),
    ("Other (Integration)", "Integration"),
    ("Other (Internet of Things)", "Internet of Things"),
    ("Other (Management and Governance)", "Management and Governance"),
    ("Other (Media)", "Media"),
    ("Other (Migration)", "Migration"),
    ("Other (Mobile)", "Mobile"),
    ("Other (Multicloud)", "Multicloud"),
    ("Other (Networking)", "Networking"),
    ("Other (Other)", "Other"),
    ("Other (Security)", "Security"),
    ("Other (Storage)", "Storage"),
    ("Other (Web)", "Web"),
    ("Productivity and Collaboration", "Business Applications"),
    ("Quality Assurance", "Developer Tools"),
    ("Quantum Compute", "Compute"),
    ("Relational Databases", "Databases"),
    ("Resource Migration", "Migration"),
    ("Search", "Analytics"),
    ("Secret Management", "Security"),
    ("Security Posture Management", "Security"),
    ("Serverless Compute", "Compute"),
    ("Source Code Management", "Developer Tools"),
    ("Storage Platforms", "Storage"),
    ("Streaming Analytics", "Analytics"),
    ("Support", "Management and Governance"),
    ("Threat Detection and Response", "Security"),
    ("Time Series Databases", "Databases"),
    ("Virtual Machines", "Compute"),
    ("Workflow Orchestration", "Integration"),
];
