"""Single questions whose filters were worked out by hand, and questions that must not be turned into one."""

import pytest

from app.errors import InvalidInput
from app.query.construction.fields import Field, FieldSchema
from app.query.construction.metadata import build_filter
from tests.unit.query.construction.filter_schemas import SCHEMAS, TODAY


def built(question, schema="reports"):
    return build_filter(question, SCHEMAS[schema], today=TODAY)


def test_what_became_a_condition_is_not_searched_for_again():
    found = built("What does Acme's annual report for 2023 say about supply risks?")
    assert found.filter == {"company": "Acme", "report_type": "annual report", "year": 2023}
    assert "supply risks" in found.text_left
    for word in ("Acme", "2023", "annual"):
        assert word not in found.text_left


def test_the_explanation_names_each_condition_and_its_words():
    found = built("Acme's audited reports since 2023")
    assert found.explanation == (
        "company is \"Acme\" (from 'Acme'); audited is true (from 'audited'); "
        "year is at least 2023 (from 'since 2023')."
    )


def test_a_year_that_could_be_two_dates_is_said_and_not_guessed():
    found = built("contracts from 2022", "contracts")
    assert found.filter == {}
    assert "'from 2022' could be signed_on or expires_on" in found.explanation


def test_a_value_of_two_fields_needs_a_word_that_tells_them_apart():
    schema = FieldSchema((Field("origin", "text", ("Paris", "Rome")), Field("destination", "text", ("Paris", "Rome"))))
    unclear = build_filter("flights to or from Paris", schema, today=TODAY)
    assert unclear.filter == {}
    assert "'Paris' could be origin or destination" in unclear.explanation
    assert build_filter("flights with destination Paris", schema, today=TODAY).filter == {"destination": "Paris"}


def test_a_number_of_nothing_is_not_guessed():
    found = built("more than 12 reasons to invest")
    assert found.filter == {}
    assert "no field is named" in found.explanation


@pytest.mark.parametrize(
    ("question", "schema"),
    [
        ("Give us a summary of the risks", "geo"),  # "us" is no country
        ("What did German engineers build?", "geo"),  # German is not Germany
        ("How high is the tax?", "tickets"),  # high is a priority only beside that word
        ("Is the tariff open to negotiation in Chinatown?", "geo"),
        ("Why was the 2 factor login replaced in version 3?", "reports"),
        ("", "reports"),
        ("???", "reports"),
        ("\x1f\x1f 5 \x1f", "products"),
    ],
)
def test_common_words_are_no_conditions(question, schema):
    schemas = {**SCHEMAS, "geo": FieldSchema((Field("country", "text", ("US", "Germany", "China", "IT")),))}
    found = build_filter(question, schemas[schema], today=TODAY)
    assert found.filter == {}, found.explanation


def test_typos_plurals_and_case_lead_to_the_collections_own_value():
    assert built("NORTHWIND traders' press realeases").filter == {
        "company": "Northwind Traders",
        "report_type": "press release",
    }
    typo = built("filings of globx")
    assert typo.filter == {"company": "Globex"}
    assert typo.confidence < built("filings of Globex").confidence


def test_numbers_are_brought_to_the_unit_of_the_field():
    schema = FieldSchema((Field("weight_kg", "number"), Field("price", "number")))
    assert build_filter("items under 300 g", schema, today=TODAY).filter == {"weight_kg": {"lt": 0.3}}
    assert build_filter("items up to €1.5k", schema, today=TODAY).filter == {"price": {"lte": 1500}}


def test_two_bounds_of_one_field_are_one_condition():
    assert built("reports after 2018 and before 2022").filter == {"year": {"gt": 2018, "lt": 2022}}


def test_two_years_are_either_and_two_ranges_are_either():
    assert built("reports of 2019 and 2021").filter == {"year": {"in": [2019, 2021]}}
    months = built("tickets created in May 2026 or created in March 2026", "tickets").filter
    assert months == {
        "all": [
            {
                "any": [
                    {"created": {"gte": "2026-05-01", "lt": "2026-06-01"}},
                    {"created": {"gte": "2026-03-01", "lt": "2026-04-01"}},
                ]
            }
        ]
    }


def test_a_time_of_the_text_is_not_one_of_the_document():
    assert built("the treaty of 1648").filter == {}
    assert "lies outside year (2010 to 2026)" in built("the treaty of 1648").explanation
    assert built("the director of Antonia (2015 film)").filter == {}
    assert built("tickets about the crash of 2008", "tickets").confidence < 0.7
    assert built("tickets created in 2008", "tickets").confidence == 1.0


def test_a_name_inside_a_longer_name_is_another_one():
    assert built("what did Frank Kingston Smith write", "tickets").filter == {}
    assert built("what did Smith write", "tickets").filter == {"assignee": "John Smith"}
    assert built("who is Lucy Grant Cannon", "products").filter == {}


def test_a_schema_without_fields_builds_nothing():
    assert build_filter("Acme since 2020", FieldSchema(()), today=TODAY).filter == {}


def test_a_field_twice_is_refused():
    with pytest.raises(InvalidInput, match="'year'"):
        FieldSchema((Field("year", "number"), Field("year", "date")))


def test_a_very_long_question_is_read_to_a_bound_and_kept_whole():
    question = "x " * 4_000 + "Acme"
    found = built(question)
    assert found.filter == {}
    assert found.text_left == question
