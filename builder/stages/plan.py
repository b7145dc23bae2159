"""plan: the study becomes scenarios.

Law of the file: the ledger is the study's plan and nothing else; it could be thrown away and drawn again.
"""

from builder.core.scenario import scenarios
from builder.errors import ConfigError
from builder.run.folder import Run
from builder.run.work import Tally


async def plan(run: Run) -> Tally:
    """Draws every scenario of the study, or of its part, that the run does not hold yet.

    Raises:
        ConfigError: the study has no plan.
    """
    study = run.study
    if study.plan is None:
        raise ConfigError(
            f"study {study.name!r} has no [plan]: its dialogues come from `deepdialogue ingest`"
        )
    before = len(run.scenarios)
    for scenario in scenarios(study.plan, study.vocabulary, study.seed):
        if run.takes(scenario.id) and scenario.id not in run.scenarios:
            run.scenarios.append(scenario.id, scenario)
    run.scenarios.sync()
    return Tally(done=len(run.scenarios) - before, skipped=before)
