-- FOCUS 1.2 charges of three clouds: what a bill of many accounts looks like, hour by hour.
-- `$rows` of them over six billing periods, one cloud's after the other's, the same for the same number. Amounts have twelve digits after the point.
select
  case when resource % 3 = 0 then region || 'a' end as "AvailabilityZone",
  listed::decimal(30, 12) as "BilledCost",
  'payer-' || provider as "BillingAccountId",
  'Payer ' || provider as "BillingAccountName",
  'Payer' as "BillingAccountType",
  'USD' as "BillingCurrency",
  period + interval 1 month as "BillingPeriodEnd",
  period as "BillingPeriodStart",
  'Usage' as "ChargeCategory",
  null::varchar as "ChargeClass",
  service || ' in ' || region || ', ' || sku || ' per hour' as "ChargeDescription",
  'Usage-Based' as "ChargeFrequency",
  hour + interval 1 hour as "ChargePeriodEnd",
  hour as "ChargePeriodStart",
  quantity::decimal(30, 12) as "ConsumedQuantity",
  'Hours' as "ConsumedUnit",
  (listed * 0.9)::decimal(30, 12) as "ContractedCost",
  (price * 0.9)::decimal(30, 12) as "ContractedUnitPrice",
  (listed * 0.9)::decimal(30, 12) as "EffectiveCost",
  'invoice-' || provider || strftime(period, '-%Y-%m') as "InvoiceId",
  issuer as "InvoiceIssuerName",
  listed::decimal(30, 12) as "ListCost",
  price::decimal(30, 12) as "ListUnitPrice",
  'Standard' as "PricingCategory",
  'USD' as "PricingCurrency",
  quantity::decimal(30, 12) as "PricingQuantity",
  'Hours' as "PricingUnit",
  issuer as "ProviderName",
  issuer as "PublisherName",
  region as "RegionId",
  upper(region) as "RegionName",
  'urn:' || provider || ':' || region || ':' || account || ':resource/' || resource as "ResourceId",
  'resource ' || resource as "ResourceName",
  service || ' resource' as "ResourceType",
  category as "ServiceCategory",
  service as "ServiceName",
  subcategory as "ServiceSubcategory",
  sku as "SkuId",
  sku || '.hourly' as "SkuPriceId",
  'account-' || account as "SubAccountId",
  'Account ' || account as "SubAccountName",
  'Account' as "SubAccountType",
  case when dice % 5 > 0
    then '{"team":"team-' || (account % 12) || '","env":"' || (['prod', 'test', 'dev'])[1 + account % 3]
      || '","service":"svc-' || (resource % 40) || '"}' end as "Tags"
from (
  select *,
    (['aws', 'azure', 'gcp'])[1 + cloud] as provider,
    (['AWS', 'Microsoft', 'Google Cloud'])[1 + cloud] as issuer,
    (['us-east-1', 'eu-central-1', 'eu-west-1', 'us-west-2'])[1 + place] as region,
    (['Compute', 'Compute', 'Storage', 'Storage', 'Databases', 'Networking',
      'AI and Machine Learning'])[1 + kind] as category,
    (['Virtual Machines', 'Serverless Compute', 'Object Storage', 'Block Storage', 'Relational Databases',
      'Content Delivery', 'Generative AI'])[1 + kind] as subcategory,
    (['EC2', 'Functions', 'S3', 'EBS', 'RDS', 'CDN', 'Models'])[1 + kind] as service,
    'sku-' || cloud || '-' || kind || '-' || (dice % 25) as sku,
    date_trunc('month', hour) as period,
    price * quantity as listed
  from (
    -- A resource is one account's, in one region, of one service; an account is with one cloud, in two regions.
    select *,
      (resource // 600) % 7 as kind,
      account % 2 * 2 + (resource // 4200) % 2 as place
    from (
      select *, (resource // 3) % 66 * 3 + cloud as account
      from (
        select
          cloud,
          (hash(n) % 1000)::int as dice,
          (hash(n * 7) % 6666)::int * 3 + cloud as resource,
          timestamp '2026-05-01' + to_hours((step::hugeint * 4416 // greatest($rows // 3, 1) % 4416)::bigint) as hour,
          (1 + hash(n * 13) % 500)::decimal(18, 6) / 10000 as price,
          (1 + hash(n * 17) % 100)::decimal(18, 2) / 100 as quantity
        from (
          select n, least(n // greatest($rows // 3, 1), 2)::int as cloud, n % greatest($rows // 3, 1) as step
          from range($rows) as numbers(n)
        )
      )
    )
  )
)
