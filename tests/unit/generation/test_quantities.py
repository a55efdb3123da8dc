import pytest

from app.generation.quantities import Date, quantities


@pytest.mark.parametrize(
    ("claim", "source"),
    [
        ("3.5 million", "3,500,000 euros"),
        ("350万元", "3.5 million yuan"),
        ("$4.2bn", "4.2 billion dollars"),
        ("1,000 units", "1000 units"),
        ("March 5, 2024", "2024-03-05"),
        ("5th of March 2024", "2024年3月5日"),
        ("March 2024", "on 5 March 2024"),
        ("in 1932", "opened 1932年"),
        ("in 1932", "on May 1, 1932"),
        ("2024年", "the year 2024"),
        ("3 dogs", "three dogs"),
        ("35 people", "三十五人"),
        ("1200万人", "一千二百万人"),
        ("about 3.5 million", "3,487,112"),
        ("3.5 million", "(in millions) 3.5"),
        ("12%", "12 percent"),
    ],
)
def test_the_same_quantity_in_other_words_is_found(claim: str, source: str) -> None:
    assert quantities(claim).missing_from(quantities(source)) == []


@pytest.mark.parametrize(
    ("claim", "source", "lost"),
    [
        ("in 1933", "in 1932", ["1933"]),
        ("5 million", "5 billion", ["5"]),
        ("3.5", "35", ["3.5"]),
        ("3.5 million", "3,487,112", ["3.5"]),
        ("about 4 million", "3,487,112", ["4"]),
        ("March 6, 2024", "March 5, 2024", ["2024-03-06"]),
        ("May 2020", "in 2020", ["2020-05-00"]),
        ("10 and 20", "20 only", ["10"]),
        ("7", "no number", ["7"]),
    ],
)
def test_another_quantity_is_missed(claim: str, source: str, lost: list[str]) -> None:
    assert quantities(claim).missing_from(quantities(source)) == lost


def test_what_several_texts_hold_together_is_not_missing() -> None:
    claim = quantities("From 2020 to 2024 it grew by 12 percent")
    assert claim.missing_from(quantities("2020"), quantities("In 2024, 12%")) == []


def test_dates_and_numbers_are_blanked_out_and_codes_are_not() -> None:
    found = quantities("On March 5, 2024 about 3.5 million A320 seats flew.")
    assert found.dates == (Date(2024, 3, 5),)
    assert found.rest.split() == ["On", "A320", "seats", "flew."]
    assert [number.value for number in found.numbers] == [3_500_000.0, 320.0]


def test_an_impossible_date_is_left_as_numbers() -> None:
    assert quantities("2024-13-45").dates == ()
