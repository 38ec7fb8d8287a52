"""The GPU service from zero to zero: the template's own alarms, steps and cooldowns on a simulated clock, with pages, cold starts and lost instances."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from escriba.alarms import OURS
from escriba.alarms.scaling import Scaling, Step, scalings
from escriba.local.fleet import Pace
from tests.documents import ROOT
from tests.infra.conftest import Template, of_type
from tests.infra.scaling_world import SPEC, ScalingWorld, published, scalings_of, without

OURS_THERE = f"{OURS}/prod"
SQS = {"ApproximateNumberOfMessagesVisible", "ApproximateNumberOfMessagesNotVisible", "NumberOfMessagesDeleted"}
"""By its developer guide: every minute, while somebody asks the queue for anything."""
LATE = 10.0
"""Minutes beyond the cold start and the reading itself in which a backlog must be gone."""
Policies = tuple[Scaling, ...]


@pytest.fixture(scope="module")
def policies(gpu: Template, prod: Template) -> Policies:
    """As the template has them."""
    return scalings_of(gpu, prod)


@pytest.fixture
def world(policies: Policies) -> Callable[..., ScalingWorld]:
    return lambda policies=policies, **how: ScalingWorld(policies, namespace=OURS_THERE, **how)


def bound(pages: float, pace: Pace = Pace()) -> float:  # noqa: B008  (frozen)
    """Minutes: the cold start, the backlog at the rate of all tasks, and what metrics and alarms may take."""
    return SPEC.start / 60 + pages / (pace.rate * SPEC.max_tasks) / 60 + LATE


def ended_well(world: ScalingWorld, *, redelivered: bool = False) -> None:
    """Nothing lost, nothing killed in somebody's hands, no task left within the idle time and what CloudWatch takes to tell of it."""
    world.run(SPEC.idle / 60 + 6)
    assert world.queue.depth().total == 0
    assert world.fleet.killed == 0
    assert world.fleet.read_pages == world.sent or redelivered
    assert (world.fleet.wanted, world.fleet.fleet) == (0, [])
    assert world.fleet.most <= SPEC.max_tasks


def test_the_template_has_the_policies_of_the_data(policies: Policies, gpu: Template) -> None:
    """No other, each behind its alarm, from zero to the most tasks of the setting."""
    made = {policy.alarm.name: policy for policy in policies}
    meant = {policy.alarm.name: policy for policy in scalings(SPEC)}
    assert made.keys() == meant.keys()
    for name, policy in made.items():
        assert (policy.how, policy.steps, policy.cooldown) == (meant[name].how, meant[name].steps, meant[name].cooldown)
        for part in ("expression", "threshold", "period", "periods", "datapoints", "below", "missing"):
            assert getattr(policy.alarm, part) == getattr(meant[name].alarm, part), (name, part)
    [target] = of_type(gpu, "ApplicationAutoScaling::ScalableTarget").values()
    assert (target["MinCapacity"], target["MaxCapacity"]) == (0, SPEC.max_tasks)
    assert (target["ServiceNamespace"], target["ScalableDimension"]) == ("ecs", "ecs:service:DesiredCount")


def test_the_metrics_of_the_alarms_are_really_published(policies: Policies, gpu: Template) -> None:
    """SQS's of the vision queue, or our function's, in the namespace that it is told; asked of the function itself."""
    [told] = of_type(gpu, "Lambda::Function").values()
    assert told["Environment"]["Variables"]["ESCRIBA_METRIC_NAMESPACE"] == OURS_THERE
    for policy in policies:
        for metric in policy.alarm.metrics.values():
            if metric.namespace == "AWS/SQS":
                assert metric.name in SQS
                assert metric.dimensions == (("QueueName", "vision"),)
            else:
                assert (metric.namespace, metric.dimensions) == (OURS_THERE, ())
                assert metric.name in published(), policy.alarm.name


def test_a_single_page(world: Callable[..., ScalingWorld]) -> None:
    """One task comes for it, and goes."""
    here = world()
    here.run(7)
    here.burst(1)
    assert here.drained(within=60) <= bound(1)
    assert here.fleet.most == 1
    ended_well(here)
    assert here.fleet.task_seconds <= SPEC.start + SPEC.idle + 6 * 60  # what is paid for it


def test_a_burst_of_ten_thousand(world: Callable[..., ScalingWorld]) -> None:
    """All tasks at once, from nothing; in as many minutes as the page says."""
    here = world()
    here.run(3)
    here.burst(10_000)
    took = here.drained(within=120)
    assert took <= bound(10_000)
    assert f"are read in {took:.0f} minutes from nothing" in (ROOT / "docs" / "deploy.md").read_text()
    assert here.fleet.most == SPEC.max_tasks
    ended_well(here)


@pytest.mark.parametrize("apart", [2, 12, 45, 90])
def test_two_bursts(world: Callable[..., ScalingWorld], apart: float) -> None:
    """The second finds a task on its way, or at work, or all of them, or none."""
    here = world()
    here.burst(500)
    here.run(apart)
    left = here.queue.depth().total
    here.burst(10_000)
    assert here.drained(within=120) <= bound(10_000 + left)
    ended_well(here)


@pytest.mark.parametrize("notice", [True, False])
def test_instances_are_taken_back_in_the_middle(world: Callable[..., ScalingWorld], *, notice: bool) -> None:
    """Two of four, ten minutes apart: others take their place; with notice each page is read once, without it comes back when its time is up."""
    here = world()
    here.burst(10_000)
    for _ in range(2):
        here.run(15)
        victim = next(task for task in here.fleet.fleet if task.state == "reading")
        assert victim.held
        here.fleet.lose(victim, notice=notice)
    assert here.drained(within=120) <= bound(10_000) - 30
    ended_well(here)


def test_pages_that_take_longer_than_the_notice_go_back(world: Callable[..., ScalingWorld]) -> None:
    """What cannot be finished in the time that is left is given back at once, and read by another."""
    slow = Pace(at_once=16, seconds=160.0)
    here = world(pace=slow)
    here.burst(300)
    here.run(14)
    victim = next(task for task in here.fleet.fleet if task.state == "reading")
    before = here.queue.depth().visible
    here.fleet.lose(victim)
    assert here.queue.depth().visible > before
    assert here.drained(within=200) < 200
    ended_well(here)


def test_a_trickle(world: Callable[..., ScalingWorld]) -> None:
    """A page every two minutes for four hours: one task stays, and no second ever comes."""
    here = world()
    for _ in range(120):
        here.burst(1)
        here.run(2)
    assert here.fleet.most == 1
    assert here.fleet.read_pages >= 118
    starts = sum(1 for (_, before), (_, after) in zip(here.history, here.history[1:], strict=False) if after > before)
    assert starts == 1
    assert here.drained(within=30) <= bound(1)
    ended_well(here)


def test_what_a_burst_needed_is_not_kept_for_a_trickle(world: Callable[..., ScalingWorld]) -> None:
    """After 10,000 pages a page a minute: of four tasks one stays, within an hour and a half; nothing is killed on the way."""
    here = world()
    here.burst(10_000)
    here.run(60)
    for _ in range(90):
        here.burst(1)
        here.run(1)
    assert len(here.fleet.fleet) == 1
    assert min(tasks for minute, tasks in here.history if minute > 10) == 1  # and not a moment without
    ended_well(here)


def test_without_its_function_the_service_still_reads(world: Callable[..., ScalingWorld]) -> None:
    """Nobody counts its tasks: it grows a task a cooldown while anything waits, which is dear, and it comes to zero all the same."""
    here = world(measured=False)
    here.burst(3_000)
    assert here.drained(within=120) <= bound(3_000)
    ended_well(here)


def test_one_card_to_be_had_is_enough_in_the_end(world: Callable[..., ScalingWorld]) -> None:
    """A quota of one: slower, and whole."""
    here = world()
    here.fleet.rentable = 1
    here.burst(3_000)
    assert here.drained(within=120) <= SPEC.start / 60 + 3_000 / 60 + LATE
    ended_well(here)


def late(world: ScalingWorld, pages: int = 5_000) -> bool:
    world.burst(pages)
    return world.drained(within=bound(pages)) >= bound(pages)


def _other(policies: Policies, name: str, **changes: object) -> Policies:
    return tuple(replace(policy, **changes) if policy.alarm.name.endswith(name) else policy for policy in policies)  # type: ignore[arg-type]


def test_a_broken_policy_is_seen(world: Callable[..., ScalingWorld], policies: Policies) -> None:
    """Without any of the four, with a step too small, with a metric nobody publishes, or unguarded, one of the scenarios above ends badly."""
    assert late(world(without(policies, "from-zero")))
    assert late(world(_other(without(policies, "-out"), "from-zero", steps=(Step(0, 1),))))
    [out] = [policy for policy in policies if policy.alarm.name.endswith("-out")]
    elsewhere = {name: replace(metric, name="VisionBacklogPerGpu") for name, metric in out.alarm.metrics.items()}
    small = _other(policies, "from-zero", steps=(Step(0, 1),))
    assert not late(world(small))
    assert late(world(_other(small, "-out", alarm=replace(out.alarm, metrics=elsewhere))))

    forever = world(without(policies, "to-zero"))
    forever.burst(1)
    forever.run(120)
    assert forever.fleet.wanted > 0

    kept = world(without(policies, "-in"))
    kept.burst(10_000)
    kept.run(60)
    for _ in range(90):
        kept.burst(1)
        kept.run(1)
    assert len(kept.fleet.fleet) > 1


def test_taking_away_too_soon_is_seen(world: Callable[..., ScalingWorld], policies: Policies) -> None:
    """With a cooldown no longer than the alarm's window, the last task but one is taken for two, and the last one goes too."""
    here = world(_other(policies, "-in", cooldown=round(SPEC.idle)))
    here.burst(2_000)
    here.run(40)
    for _ in range(70):
        here.burst(1)
        here.run(1)
    assert min(tasks for minute, tasks in here.history if minute > 10) == 0


@pytest.mark.parametrize("guarded", [True, False])
def test_scaling_in_kills_nothing_that_says_it_is_busy(world: Callable[..., ScalingWorld], *, guarded: bool) -> None:
    """Of four tasks that all have a little to do three go: guarded ones when their hands are empty, unguarded ones with pages in them."""
    here = world(guarded=guarded, pace=Pace(at_once=16, seconds=50.0))
    here.burst(2_000)
    here.run(30)
    for _ in range(180):
        here.burst(2)
        here.run(0.5)
    assert len(here.fleet.fleet) < SPEC.max_tasks
    assert (here.fleet.killed == 0) is guarded
