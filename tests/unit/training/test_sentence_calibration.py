from app.generation.sentences import SentenceConfidence
from app.training.sentence_calibration import answer_cases, report

ROWS = [
    {
        "context": f"{river}全长{length}公里。它流入大海。",
        "question": f"{river}全长多少公里？",
        "answers": [str(length)],
    }
    for river, length in (
        ("黄河", 5464),
        ("长江", 6300),
        ("淮河", 1000),
        ("辽河", 1345),
        ("海河", 1031),
        ("珠江", 2320),
    )
]


def test_questions_that_lost_their_passage_are_never_right_and_the_others_are_here() -> None:
    cases = answer_cases(ROWS, limit=6)
    assert len(cases) == 6
    assert {right for _, right in cases} == {True, False}
    for made, right in cases:
        if right:
            assert any(row["answers"][0] in made.text for row in ROWS)
    assert [made.text for made, _ in cases] == [made.text for made, _ in answer_cases(ROWS, limit=6)]


def test_the_report_counts_what_the_threshold_lets_through() -> None:
    cases = answer_cases(ROWS, limit=6)
    always = report(cases, SentenceConfidence(bias=9.0, coverage_weight=0.0, margin_weight=0.0, threshold=0.5))
    never = report(cases, SentenceConfidence(bias=-9.0, coverage_weight=0.0, margin_weight=0.0, threshold=0.5))
    assert (always["answered"], never["answered"]) == (1.0, 0.0)
    assert always["right_of_answered"] == always["right"]
    assert always["auroc"] == 0.5
