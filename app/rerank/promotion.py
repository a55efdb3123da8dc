"""The "train_reranker" job: judged questions → candidates → more trees → held-out figures → promoted, or not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.errors import Conflict
from app.index.evaluations import EvaluationStore
from app.index.jobs import JobQueue
from app.index.lease import Lease
from app.index.records import JobRecord
from app.index.rerankers import RerankerStore, model_folder, new_reranker_id
from app.index.verdicts import judge
from app.protocols import Compare
from app.rerank.collected import collect
from app.rerank.features import CorpusStatistics
from app.rerank.judgements import JudgedQuestion
from app.rerank.ranker import Ranker
from app.rerank.serving import ServingRanker, sweep_models, write_model
from app.rerank.tuning import Candidates, candidates_of, check_enough, tune
from app.types import Hit

SEED = 0
SWITCHED_OFF = "reranking is switched off (ATTEST_RERANK__ENABLED=false): switch it on to train a reranker"
CONFIGURED = (
    "ATTEST_RERANK__MODEL names the model that serves, so a promoted one could not take its place: unset it first"
)

Search = Callable[[str, str], tuple[Sequence[Hit], CorpusStatistics]]
"""(question, collection) → first-stage hits, as many as a reranker gets in service, and their statistics."""


@dataclass(frozen=True, slots=True)
class Training:
    """What the job stands on."""

    home: Path
    store: RerankerStore
    evaluations: EvaluationStore
    jobs: JobQueue
    ranker: Ranker | None
    search: Search
    on_model: Callable[[Callable[[], Any], Lease], Any]
    compare: Compare

    def run(self, job: JobRecord, lease: Lease) -> Mapping[str, Any]:
        """`{reranker, promoted, reason}`.

        Raises:
            Conflict: reranking is off, or a configured model serves.
            InvalidInput: too little feedback; says how much there is and how much is needed.
            LetGo: the work must end here; nothing of it is kept.
        """
        collection = str(job.collection)
        serving = serving_ranker(self.ranker)
        sweep_models(self.home / "models" / "rerankers", self.store.ids())
        base_id = self.store.active(collection)
        base = serving.promoted(collection) or serving
        said = collect(collection, self.store, self.evaluations, job.payload.get("golden") or ())
        said.check_enough()
        found = self._candidates(job, lease, collection, said.questions, base)
        check_enough(found, said.ratings + said.golden, len(said.questions))
        self.jobs.progress(job.id, stage="training")
        tuned = tune(found, base.model_text(), seed=SEED, check=lease.check)
        verdict = judge(
            tuned.base,
            tuned.tuned,
            self.compare,
            metric="nDCG@10",
            wanted="rise",
            method="paired bootstrap over questions that no training has used; a question is held out by a hash of its "
            "words",
        )
        figures = {
            "held_out": verdict.figures,
            "training": {
                "ratings": said.ratings,
                "golden": said.golden,
                "judged_questions": len(said.questions),
                "questions": sum(each.useful and not each.held_out for each in found),
                "trees_added": tuned.rounds,
                "cross_validated_ndcg@10": {"base": tuned.cross_validation[0], "trained": tuned.cross_validation[1]},
            },
        }
        reranker_id = new_reranker_id()
        lease.check()
        write_model(model_folder(self.home, reranker_id), tuned.model)
        record = self.store.add(
            collection,
            reranker_id,
            job_id=job.id,
            promote=verdict.promote,
            reason=verdict.reason,
            figures=figures,
            base=base_id,
        )
        return {"reranker": record.id, "promoted": record.status == "active", "reason": record.reason}

    def _candidates(
        self, job: JobRecord, lease: Lease, collection: str, judged: Sequence[JudgedQuestion], base: Ranker
    ) -> list[Candidates]:
        found: list[Candidates] = []
        for done, question in enumerate(judged):
            self.jobs.progress(job.id, stage="searching", done=done, total=len(judged), unit="questions")

            def one(question: JudgedQuestion = question) -> Candidates | None:
                hits, statistics = self.search(question.question, collection)
                return candidates_of(question, hits, statistics, base) if hits else None

            candidates = self.on_model(one, lease)
            if candidates is not None:
                found.append(candidates)
        return found


def serving_ranker(ranker: Ranker | None) -> ServingRanker:
    """The ranker, if a promoted model could take its place. Raises Conflict with the reason otherwise."""
    if isinstance(ranker, ServingRanker):
        return ranker
    raise Conflict(SWITCHED_OFF if ranker is None else CONFIGURED)
