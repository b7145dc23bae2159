"""Runs that judges and people marked, by hand: no model, and nobody asked."""

import msgspec
import numpy as np

from builder.core.verdict import Abstention, Acceptance, Review, Verdict
from builder.people.annotations import Annotations, Opinion, Wanted
from tests.runs import held, small


def marked(folder, leaning=0.0, annotators=(), **judged):
    """A run of sixty dialogues that two judges marked and, where there are any, these people; the first abstained on six.

    Args:
        folder: of the run.
        leaning: how much higher the first judge scores where LLM1 is shown as B.
        annotators: who scored thirty of them.
        judged: what judged, for every verdict and abstention.
    """
    plan = msgspec.structs.replace(small().plan, dialogues_per_cell=15)
    panel = ("rubric-llama", "rubric-qwen")
    run = held(folder, small(judges=panel, plan=plan, acceptance=Acceptance(thresholds={"coherence": 3})))
    draw = np.random.default_rng(11)
    for place, id in enumerate(sorted(run.dialogues.ids())):
        truth, swapped = draw.integers(1, 6), bool(place % 2)
        score = min(5.0, float(truth + draw.choice([0, 0, 0.5]))) + leaning * swapped
        verdicts = [
            Verdict(
                judge="rubric-llama", scores={"coherence": score}, rubric="2 0a", swapped=swapped, **judged
            ),
            Verdict(judge="rubric-qwen", scores={"coherence": float(truth)}, swapped=not swapped, **judged),
        ]
        silent = (Abstention(judge="rubric-llama", reason="no JSON", **judged),) if place < 6 else ()
        run.reviews.append(id, Review(id=id, verdicts=tuple(verdicts[len(silent) :]), abstentions=silent))
    if annotators:
        with Annotations(run, annotators, Wanted(sample=30, overlap=30, check_every=0)) as store:
            for name in annotators:
                for key, item in store.items(name).items():
                    qwen = run.reviews[item.dialogue].verdicts[-1].scores["coherence"]
                    store.say(name, key, Opinion(scores={"coherence": int(qwen)}))
    return run
