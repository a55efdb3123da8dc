"""Questions of several hops: taken apart, answered in order, combined; by rules and by a model."""

import json
import threading
from dataclasses import replace

import pytest

from app.errors import Cancelled, Unavailable
from app.query.step_combining import combine, combined_answer, date_of, same_place
from app.query.step_plan import Plan, Step, filled, plan_by_model, plan_steps
from app.query.steps import StepAnswer, merged_hits, plan_of, run_steps, step_answer, step_through
from app.telemetry import Trace
from app.types import Evidence, Generated, Hit, Passage, PassageSpan, Prompt, StoredChunk

PLANS = {
    "When was the director of film Steel Rain born?": ["Who is the director of film Steel Rain?", "When was #1 born?"],
    "Who is the mother of the director of film Beware! The Sea?": [
        "Who is the director of film Beware! The Sea?", "Who is the mother of #1?",
    ],
    "Where did Ada King's husband die?": ["Who is the husband of Ada King?", "Where did #1 die?"],
    "Who is Eystein's maternal grandfather?": ["Who is the mother of Eystein?", "Who is the father of #1?"],
    "Who is the father-in-law of Boris Hale?": ["Who is the spouse of Boris Hale?", "Who is the father of #1?"],
    "What is the place of birth of the composer of song Northern Road?": [
        "Who is the composer of song Northern Road?", "What is the place of birth of #1?",
    ],
    "When did the country containing Nugal leave the empire?": [
        "In which country is Nugal?", "When did #1 leave the empire?",
    ],
    "Which film came out first, The Long Way or Blue Hour?": [
        "When was The Long Way released?", "When was Blue Hour released?",
    ],
    "Who was born later, Ann Lee or Bob Stone?": ["When was Ann Lee born?", "When was Bob Stone born?"],
    "Which film has the director who died earlier, Red (1915 Film) or Blue?": [
        "Who is the director of Red (1915 Film)?", "Who is the director of Blue?",
        "When did #1 die?", "When did #2 die?",
    ],
    "Are both Kalatu, Rudan and Maftan located in the same country?": [
        "In which country is Kalatu, Rudan located?", "In which country is Maftan located?",
    ],
    "Do director of film Red and director of film Blue share the same nationality?": [
        "Who is the director of Red?", "Who is the director of Blue?",
        "What nationality is #1?", "What nationality is #2?",
    ],
    "Where was the chief engineer of the Stone Bridge born?": [
        "Who is the chief engineer of the Stone Bridge?", "Where was #1 born?",
    ],
    "Which club did Northern Town's head coach play for?": [
        "Who is the head coach of Northern Town?", "Which club did #1 play for?",
    ],
    "What is the oldest museum in Ann Lee's city of birth?": [
        "What is the city of birth of Ann Lee?", "What is the oldest museum in #1?",
    ],
    "What is the highest hill in the country where the Nugal River is found?": [
        "In which country is the Nugal River found?", "What is the highest hill in #1?",
    ],
    "石桥的总工程师在哪里出生？": ["石桥的总工程师是谁？", "#1在哪里出生?"],
    "李明设计的石桥的总工程师毕业于哪所大学": ["李明设计的石桥的总工程师是谁？", "#1毕业于哪所大学?"],
    "请问《北路》的作者的父亲是哪国人？": [
        "《北路》的作者是谁？", "#1的父亲是谁？", "请问#2是哪国人?",
    ],
    "南国的首都有多少人口？": ["南国的首都是哪里？", "#1有多少人口?"],
    "谁是南国的总统的妻子？": ["南国的总统是谁？", "谁是#1的妻子?"],
}  # fmt: skip


@pytest.mark.parametrize("question", PLANS)
def test_plans_by_rules(question):
    assert [step.text for step in plan_steps(question).steps] == PLANS[question]


@pytest.mark.parametrize(
    "question",
    [
        "Who is the director of Steel Rain?",
        "What is the capital of Norway?",
        "When was Ann Lee born?",
        "How do I cancel my contract?",
        "Who wrote The Director Of Dreams?",
        "Who is known as the father of modern chemistry?",
        "How many years was John Hill the head coach of Northern Town?",
        "What was the name of Ann Lee's nephew?",
        "What was Ann Lee's mother's name?",
        "Who was hired to be the deputy director of the office?",
        "Who is the league's vice president of brand?",
        "Who is the founder of the firm and when was it founded?",
        "Which city served as Norway's capital in 1313?",
        "《北路》的作者是谁？",
        "南国的首都在哪里？",
        "谁是南国的总统？",
        "南国的首都机场在哪里？",
        "《北路》的作者群有多少人？",
        "哪本书的作者是李明？",
        "请介绍石桥的总工程师的生平。",
        "The Walt company is a part owner of what service?",
        "The script writer of the special went on to have what role?",
        "谁是这部电影的导演？",
        "",
        "?",
        "the director of " * 100,
    ],
)
def test_simple_questions_have_no_plan(question):
    assert plan_steps(question) is None


def test_a_step_without_an_answer_leaves_what_it_was_to_find():
    step = Step("When was #1 born?")
    assert filled(step, {1: "Ann"}, {1: "the director of X"}) == "When was Ann born?"
    assert filled(step, {}, {1: "the director of X"}) == "When was the director of X born?"
    assert filled(step, {}, {}) == "When was it born?"


def found(text, confidence=0.9):
    return StepAnswer(text, confidence)


def test_later_steps_are_asked_with_earlier_answers():
    asked = []

    def answer(question):
        asked.append(question)
        return found({"Who is the director of Red?": "Ann #2"}.get(question, "1950"))

    stepped = run_steps(plan_steps("When was the director of Red born?"), answer)
    assert asked == ["Who is the director of Red?"]
    assert stepped.last == "When was Ann #2 born?"
    assert stepped.question_to_read("the original", instructed=False) == stepped.last


def test_independent_steps_run_beside_each_other_and_keep_their_order():
    plan = plan_steps("Which film has the director who died earlier, Red or Blue?")
    meeting = threading.Barrier(2, timeout=30)

    def answer(question):
        meeting.wait()  # both of a round are inside, or this never returns
        return found(f"<{question}>")

    stepped = run_steps(plan, answer, threads=2)
    assert [step.question for step in stepped.done] == [
        "Who is the director of Red?",
        "Who is the director of Blue?",
        "When did <Who is the director of Red?> die?",
        "When did <Who is the director of Blue?> die?",
    ]


def test_a_step_that_fails_is_told_and_the_others_go_on():
    def answer(question):
        if "Red" in question:
            raise Unavailable("no retriever works")
        return found("1950")

    stepped = run_steps(plan_steps("Which film came out first, Red or Blue?"), answer)
    assert stepped.told()[0]["error"] == "no retriever works"
    assert stepped.told()[1]["answer"] == "1950"
    assert combine(stepped) is None


def test_cancellation_ends_it():
    plan = plan_steps("Which film came out first, Red or Blue?")
    with pytest.raises(Cancelled):
        run_steps(plan, lambda question: found("x"), cancelled=lambda: True)

    def hung_up(question):
        raise Cancelled("gone")

    with pytest.raises(Cancelled):
        run_steps(plan, hung_up)


@pytest.mark.parametrize(
    ("question", "answers", "expected"),
    [
        ("Which film came out first, Red or Blue?", ("12 May 1950", "1949"), "Blue"),
        ("Which film came out later, Red or Blue?", ("12 May 1950", "1949"), "Red"),
        ("Who is older, Ann or Bob?", ("March 3, 1950", "May 1, 1950"), "Ann"),
        ("Who is younger, Ann or Bob?", ("March 3, 1950", "May 1, 1950"), "Bob"),
        ("Which film came out first, Red or Blue?", ("1950", "May 1950"), None),  # the same year: nothing to tell by
        ("Which film came out first, Red or Blue?", ("long ago", "1950"), None),
        ("Are Ann and Bob both from the same country?", ("American", "the United States"), "yes"),
        ("Are Ann and Bob both from the same country?", ("Oslo, Norway", "Swedish"), "no"),
        ("Are Nugal and Maftan located in the same country?", ("Wakanda", "Genovia"), "no"),
    ],
)
def test_comparisons(question, answers, expected):
    given = iter(answers)
    stepped = run_steps(plan_steps(question), lambda asked: found(next(given)))
    result = combine(stepped)
    assert (result[0] if result else None) == expected


def test_dates_and_places():
    assert date_of("on 2 June 1951 in Rome") == (1951, 6, 2)
    assert date_of("June 1951") == (1951, 6)
    assert date_of("1951年6月2日") == (1951, 6, 2)
    assert date_of("1951-06-02") == (1951, 6, 2)
    assert date_of("no date") is None
    assert same_place("Paris, France", "Lyon, France") is True
    assert same_place("the Republic of Elbonia", "Elbonia") is None


def hit(number):
    chunk = StoredChunk(
        f"{number}-0", number, 0, f"d{number}", 1, "default", f"t{number}", None, "text/plain",
        f"Text {number} of 1950.", 0, 15, None, (), {},
    )  # fmt: skip
    return Hit(chunk, {"rrf": 1.0}, {"bm25": number})


def read(text, *numbers, span=(0, 0, 6), confidence=0.9):
    """A step's answer, read from the first passage of these chunks."""
    hits = tuple(hit(number) for number in numbers)
    passages = tuple(Passage(place, one, one.chunk.text, 0, 15) for place, one in enumerate(hits, start=1))
    generated = Generated(text, (PassageSpan(*span),), True, Evidence(margin=confidence), 5, 2, "reader")
    return StepAnswer(text, confidence, hits, Prompt("q", passages, "", 0), generated)


def test_what_steps_were_read_from_comes_first_and_nothing_is_lost():
    plan = plan_steps("Which film came out first, Red or Blue?")
    given = iter([read("1950", 7, 1), read("1940", 8, 2)])
    stepped = run_steps(plan, lambda question: next(given))
    main = tuple(hit(number) for number in (1, 2, 3))
    merged = merged_hits(main, stepped)
    assert [one.chunk.version_id for one in merged] == [7, 8, 1, 2, 3]
    assert merged[0].ranks == {"bm25": 7, "step 1": 1}
    assert merged[2].ranks == {"bm25": 1, "step 1": 2}


def test_a_comparison_keeps_both_sources_and_the_weaker_evidence():
    parts = (read("1950", 7), read("1940", 8, confidence=0.4))
    passages = tuple(Passage(place, hit(n), hit(n).chunk.text, 0, 15) for place, n in enumerate((3, 8, 7), start=1))
    answer = combined_answer("Blue", parts, Prompt("q", passages, "", 0))
    assert answer.text == "Blue"
    assert answer.spans == (PassageSpan(2, 0, 6), PassageSpan(1, 0, 6))
    assert answer.evidence.margin == 0.4
    assert answer.prompt_tokens == 10
    assert combined_answer("Blue", parts, Prompt("q", passages[:2], "", 0)) is None


class Scripted:
    name = "scripted"

    def __init__(self, said):
        self.said = said

    def complete(self, messages, *, max_tokens, schema=None, cancelled=lambda: False):
        if isinstance(self.said, Exception):
            raise self.said
        return self.said if isinstance(self.said, str) else json.dumps(self.said)


def test_a_models_plan_is_followed():
    plan = plan_by_model("q", Scripted({"steps": ["Who made Red?", "Where was #1 born?"]}))
    assert (plan.how, [step.needs for step in plan.steps]) == ("scripted", [(), (1,)])
    stepped = run_steps(plan, lambda question: found("Ann"))
    assert stepped.last == "Where was Ann born?"
    assert stepped.question_to_read("the original", instructed=True) == "the original"
    assert plan_by_model("q", Scripted({"steps": []})) is None
    assert plan_by_model("q", Scripted({"steps": ["only one"]})) is None


@pytest.mark.parametrize(
    "said", ["no", {"steps": "x"}, {"steps": ["Where was #2 born?", "Who?"]}, {"steps": ["#1?", "b"]}]
)
def test_a_plan_that_can_not_be_followed_gives_way_to_the_rules(said):
    plan, error = plan_of("When was the director of Red born?", Scripted(said))
    assert plan.how == "rules"
    assert "scripted" in error


def test_a_model_that_is_gone_gives_way_too_but_not_a_caller_that_is():
    plan, error = plan_of("When was the director of Red born?", Scripted(Unavailable("down")))
    assert (plan.how, error) == ("rules", "down")
    with pytest.raises(Cancelled):
        plan_of("q", Scripted(Cancelled("gone")))


def test_the_trace_shows_each_step():
    trace = Trace()

    def answer(question, wanted):
        return read("Ann", 7) if wanted else StepAnswer("", 0.0, (hit(9), hit(1)))

    stepped = step_through("When was the director of Red born?", ("decompose",), answer, trace)
    merged = merged_hits((hit(1), hit(2)), stepped)
    assert [one.chunk.version_id for one in merged] == [7, 1, 9, 2]
    assert merged[1].ranks == {"bm25": 1, "last step": 2}
    (stage,) = trace.stages()
    assert stage.stage == "decompose"
    assert stage.detail["plan"] == ["Who is the director of Red?", "When was #1 born?"]
    assert stage.detail["steps"] == [
        {"step": 1, "question": "Who is the director of Red?", "answer": "Ann", "guess": "Ann", "confidence": 0.9,
         "evidence": ["7-0"]}
    ]  # fmt: skip
    assert stage.detail["last"] == "When was Ann born?"


def test_auto_takes_apart_what_the_rules_can_and_asks_no_model():
    trace = Trace()
    model = Scripted(AssertionError("asked"))
    question = "When was the director of Red born?"
    stepped = step_through(question, "auto", lambda asked, wanted: read("Ann", 7), trace, model=model)
    assert stepped.plan.how == "rules"
    assert step_through("When was Ann born?", "auto", lambda asked, wanted: read("Ann", 7), trace, model=model) is None
    assert len(trace.stages()) == 1


def test_auto_leaves_a_question_whose_answer_at_once_stands():
    trace, asked = Trace(), []
    question = "When was the director of Red born?"

    def answer(part, reads):
        asked.append(part)
        return replace(read("1950", 7), stands=part == question)

    assert step_through(question, "auto", answer, trace) is None
    assert asked == [question]
    (stage,) = trace.stages()
    assert (stage.detail["plan"], stage.detail["at_once"]) == ([], {"answer": "1950", "confidence": 0.9})
    assert step_through(question, ("decompose",), answer, Trace()).last == "When was 1950 born?"


def test_an_answer_stands_from_its_threshold_and_only_with_a_source():
    made = read("Ann", 7)
    answered = replace(made.generated, evidence=Evidence(answer_logprob=-0.1, null_logprob=-3.0))
    for confidence, stands in ((0.5, True), (0.49, False)):
        assert step_answer(made.hits, made.prompt, answered, confidence, 0.5).stands is stands
    assert step_answer(made.hits, made.prompt, replace(answered, spans=()), 0.9, 0.5).stands is False
    assert step_answer(made.hits, made.prompt, made.generated, 0.9, 0.5).stands is False  # a sentence, not an answer
    assert step_answer(made.hits, made.prompt, None, 0.0, 0.5).stands is False


@pytest.mark.parametrize("kinds", [(), ("hyde",)])
def test_nothing_is_taken_apart_unless_asked_for(kinds):
    trace = Trace()
    assert step_through("When was the director of Red born?", kinds, lambda question, read: found("x"), trace) is None
    assert trace.stages() == ()


def test_plan_of_one_comparison_has_two_ends():
    plan = plan_steps("Which film came out first, Red or Blue?")
    assert plan == Plan(plan.steps, "earliest", ("Red", "Blue"), (1, 2))
