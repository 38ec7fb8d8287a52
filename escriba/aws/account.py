"""Looks at an AWS account before a deployment: who we are, where, and whether what the stacks need is there."""

from __future__ import annotations

from escriba.aws.clients import client
from escriba.aws.stack import refusals
from escriba.errors import ConfigurationError
from escriba.health import Check

_BOOTSTRAP = "/cdk-bootstrap/hnb659fds/version"  # of cdk bootstrap's default qualifier
_LEAST_BOOTSTRAP = 6
_CONCURRENCY = ("lambda", "L-B99A9384", "concurrent Lambda executions", 250)
_GPUS = ("ec2", "L-DB2E81BA", "vCPUs of running G and VT instances", 4)


def account_checks() -> list[Check]:
    """Credentials first: without them nothing else can be asked."""
    try:
        with refusals():
            identity = client("sts").get_caller_identity()
            region = client("sts").meta.region_name
    except ConfigurationError as error:
        return [Check("credentials", "fail", str(error))]
    found = [Check("credentials", "ok", f"account {identity['Account']} as {identity['Arn'].rpartition('/')[2]}, region {region}")]
    return [*found, _bootstrapped(identity["Account"], region), _quota(*_CONCURRENCY, needed=True), _quota(*_GPUS, needed=False)]


def _bootstrapped(account: str, region: str) -> Check:
    name = "cdk bootstrap"
    way_out = f'run make cdk DO="bootstrap aws://{account}/{region}" once'
    try:
        with refusals():
            ssm = client("ssm")
            try:
                found = int(ssm.get_parameter(Name=_BOOTSTRAP)["Parameter"]["Value"])
            except ssm.exceptions.ParameterNotFound:
                return Check(name, "fail", f"this account and region are not bootstrapped; {way_out}")
    except ConfigurationError as error:
        return Check(name, "warn", f"not known: {error}")
    if found < _LEAST_BOOTSTRAP:
        return Check(name, "fail", f"version {found} is older than {_LEAST_BOOTSTRAP}; {way_out} again")
    return Check(name, "ok", f"version {found}")


def _quota(service: str, code: str, what: str, least: int, *, needed: bool) -> Check:
    name = f"quota {code}"
    try:
        with refusals():
            quotas = client("service-quotas")
            try:
                value = quotas.get_service_quota(ServiceCode=service, QuotaCode=code)["Quota"]["Value"]
            except quotas.exceptions.NoSuchResourceException:
                return Check(name, "warn", f"{what}: this account has AWS's default; look in Service Quotas, {service} {code}")
    except ConfigurationError as error:
        return Check(name, "warn", f"{what}: not known: {error}")
    if value >= least:
        return Check(name, "ok", f"{value:.0f} {what}")
    use = "" if needed else " (for the GPU service only)"
    return Check(
        name, "fail" if needed else "warn", f"{value:.0f} {what}, {least} are needed{use}; ask for more in Service Quotas, {service} {code}"
    )
