"""Gives the AWS under test buckets with measures, and budgets.

usage: aws.py ENDPOINT
"""

import datetime
import sys

import boto3

ACCOUNT = "123456789012"
DAY = datetime.timedelta(days=1)

endpoint = sys.argv[1]
now = datetime.datetime.now(datetime.timezone.utc)


def client(service, region="us-east-1"):
    return boto3.client(service, endpoint_url=endpoint, region_name=region)


def measured(region, bucket, kind, days, size):
    """What CloudWatch has of a bucket's storage class, some days ago."""
    names = (("BucketName", bucket), ("StorageType", kind))
    dimensions = [{"Name": name, "Value": value} for name, value in names]
    datum = {
        "MetricName": "BucketSizeBytes",
        "Dimensions": dimensions,
        "Timestamp": now - days * DAY,
        "Value": size,
        "Unit": "Bytes",
    }
    cloudwatch = client("cloudwatch", region)
    cloudwatch.put_metric_data(Namespace="AWS/S3", MetricData=[datum])


def budget(name, notifications=(), **told):
    limit = {"Amount": "1200.50", "Unit": "USD"}
    told = {"TimeUnit": "MONTHLY", "BudgetType": "COST", "BudgetLimit": limit} | told
    subscriber = {"SubscriptionType": "EMAIL", "Address": "somebody@example.com"}
    wanted = [
        {
            "Notification": {
                "NotificationType": kind,
                "ComparisonOperator": "GREATER_THAN",
                "Threshold": threshold,
                "ThresholdType": "PERCENTAGE",
            },
            "Subscribers": [subscriber],
        }
        for kind, threshold in notifications
    ]
    client("budgets").create_budget(
        AccountId=ACCOUNT,
        Budget={"BudgetName": name} | told,
        NotificationsWithSubscribers=wanted,
    )


s3 = client("s3")
s3.create_bucket(Bucket="logs")
frankfurt = {"LocationConstraint": "eu-central-1"}
client("s3", "eu-central-1").create_bucket(Bucket="backups", CreateBucketConfiguration=frankfurt)
s3.create_bucket(Bucket="empty")
# The newest measure of each class counts.
measured("us-east-1", "logs", "StandardStorage", 0.1, 2_000_000_000_000)
measured("us-east-1", "logs", "StandardStorage", 1.2, 777)
measured("us-east-1", "logs", "GlacierStorage", 1.5, 512)
measured("eu-central-1", "backups", "StandardIAStorage", 0.2, 4_096)
measured("us-east-1", "somebody-elses", "StandardStorage", 0.2, 1)
# More series than one question takes.
for number in range(510):
    measured("eu-central-1", "backups", f"Class{number}Storage", 0.3, 1)

actual = [("ACTUAL", 50), ("ACTUAL", 100), ("FORECASTED", 100)]
budget("lambda", actual, CostFilters={"Service": ["AWS Lambda"], "Region": ["us-east-1"]})
budget("all of it", TimeUnit="QUARTERLY", CostTypes={"UseAmortized": True, "IncludeCredit": False})
budget("team", CostFilters={"TagKeyValue": ["user:team$web"]}, TimeUnit="ANNUALLY")
budget("daily", TimeUnit="DAILY")
budget("two", CostFilters={"Service": ["AWS Lambda", "AmazonCloudWatch"]})
budget("usage", BudgetType="USAGE", BudgetLimit={"Amount": "5", "Unit": "GB"})
