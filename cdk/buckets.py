"""The inbox, where uploads arrive, and the results; both private, versioned, encrypted with the stage's key, TLS only."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from cdk.deployment import Deployment

_KEPT_DAYS = 30
"""For this long what was overwritten or deleted can be brought back."""
_LOG_DAYS = 90


class Buckets(Construct):
    """`inbox` tells EventBridge of each upload; `results` holds originals, page results and outputs."""

    def __init__(self, scope: Construct, construct_id: str, deployment: Deployment, key: kms.IKey) -> None:
        super().__init__(scope, construct_id)
        self._removal = cdk.RemovalPolicy.RETAIN if deployment.keeps_data else cdk.RemovalPolicy.DESTROY
        self._key = key
        self.access_logs = self._bucket(
            "AccessLogs",
            encryption=s3.BucketEncryption.S3_MANAGED,  # S3 writes its logs to no bucket with a key of ours
            lifecycle_rules=[
                s3.LifecycleRule(expiration=cdk.Duration.days(_LOG_DAYS), noncurrent_version_expiration=cdk.Duration.days(1)),
            ],
        )
        self.inbox = self._data("Inbox")
        self.results = self._data("Results")
        # The property, and not event_bridge_enabled: that would deploy a function of the CDK's own to set it.
        notify = "NotificationConfiguration.EventBridgeConfiguration.EventBridgeEnabled"
        resource = self.inbox.node.default_child
        assert isinstance(resource, s3.CfnBucket)  # noqa: S101  (what a Bucket is made of)
        resource.add_property_override(notify, value=True)

    def _data(self, name: str) -> s3.Bucket:
        return self._bucket(
            name,
            encryption=s3.BucketEncryption.KMS,
            encryption_key=self._key,
            bucket_key_enabled=True,
            server_access_logs_bucket=self.access_logs,
            server_access_logs_prefix=f"{name.lower()}/",
            lifecycle_rules=[
                s3.LifecycleRule(
                    abort_incomplete_multipart_upload_after=cdk.Duration.days(2),
                    noncurrent_version_expiration=cdk.Duration.days(_KEPT_DAYS),
                    expired_object_delete_marker=True,
                )
            ],
        )

    def _bucket(self, name: str, **properties: object) -> s3.Bucket:
        return s3.Bucket(
            self,
            name,
            versioned=True,
            enforce_ssl=True,
            minimum_tls_version=1.2,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            removal_policy=self._removal,
            **properties,  # type: ignore[arg-type]
        )
