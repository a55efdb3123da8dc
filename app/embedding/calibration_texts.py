"""A fixed sample of many subjects, scripts and lengths, on which the ranges of eight-bit layers are measured."""

from __future__ import annotations

_PROSE = (
    "The canal froze in January, and the barges that carried copper kettles lay fast for six weeks. When the thaw came "
    "the lock keeper at Aldham wrote to his sister that he had never seen so much ice go past in one morning, nor so "
    "many people come to look at it. The company paid half wages; the horses were sold.",
    "Patients with stage III disease received 40 mg/m2 of the drug every three weeks for six cycles. Median "
    "progression-free survival was 9.4 months (95% CI 7.1-11.8) in the treatment arm and 6.2 months in the control arm "
    "(hazard ratio 0.71, P = 0.008). Grade 3 or 4 neutropenia occurred in 21% of patients; no treatment-related death "
    "was reported. Expression of the receptor in tumour tissue, measured by immunohistochemistry, did not predict "
    "response, whereas mutation of the BRCA1 gene did.",
    "Net sales increased 8 percent, or $3.1 billion, during the second quarter compared to the same quarter of the "
    "previous year, driven by higher sales of services and by favourable exchange rates, partly offset by lower sales "
    "of hardware. Item 2. Management's Discussion and Analysis of Financial Condition and Results of Operations.",
    "The boundary layer on a flat plate at zero incidence grows with the square root of the distance from the leading "
    "edge as long as the flow remains laminar. Past a critical Reynolds number of about 500,000 small disturbances are "
    "amplified and transition sets in; the skin friction coefficient then rises sharply.",
    "def mean(values: list[float]) -> float:\n    if not values:\n        raise ValueError('values is empty')\n"
    "    return sum(values) / len(values)\n\n"
    "# ERROR 2024-03-07T11:02:45Z worker-3: connection reset by peer (errno=104), retry 2/5",
    "| Name | Unit | 2021 | 2022 |\n|---|---|---|---|\n| Steel | kt | 1,204.5 | 1,187.0 |\n| Copper | kt | 88.1 | "
    "92.6 |\n| Zinc | kt | 40.0 | n/a |",
    "The tenant shall not assign this lease nor sublet the premises, in whole or in part, without the prior written "
    "consent of the landlord, which consent shall not be unreasonably withheld or delayed. Any notice under section "
    "14(b) must be given in writing and takes effect on the third business day after it was posted.",
    "Preheat the oven to 180 degrees. Rub the butter into the flour until it looks like breadcrumbs, stir in the sugar "
    "and just enough cold water to bind it, then rest the dough for half an hour. Blind bake for twelve minutes!",
    "Beyoncé and the late Gabriel García Márquez were both mentioned by Prof. Dvořák at the 12th conference in São "
    "Paulo; e-mail: info@example.org, telephone +49 (0)30 123456, https://example.org/a?b=c#d.",
    "'Well,' said the old woman, 'if you will not eat it, somebody else will.' And she shut the window so hard that "
    "the geese ran down the whole length of the yard, screaming, and did not come back until dark.",
    "An inverted index maps each term to the list of documents in which it occurs. Query evaluation intersects or "
    "merges these lists; ranking functions such as BM25 weigh term frequency, document length and inverse document "
    "frequency. Recall and precision trade against one another.",
    "The battle of the river crossing was fought on 14 October 1066. The king's army held the ridge until evening, "
    "when the shield wall broke; the duke was crowned at Christmas. Chroniclers disagree about the numbers.",
    "机器学习是人工智能的一个分支。它使计算机能够从数据中学习，而无需明确编程。北京是中华人民共和国的首都，人口超过两千万。",
    "東京は日本の首都です。人口は約1400万人で、世界最大級の都市のひとつです。",
    "Москва является столицей России. Der Rhein fließt durch Köln. L'été dernier, nous étions à Lyon. "
    "El niño comió la manzana. Κύπρος και Ελλάδα. مرحبا بالعالم",
    "photosynthesis chlorophyll thylakoid stroma ATP NADPH Calvin cycle rubisco carbon fixation oxygen light reaction",
)
_SHORT = (
    "",
    "?",
    "Yes.",
    "1887",
    "Table of contents",
    "what is the capital of france",
    "who wrote the origin of species and when was it published",
    "How do I reset my password?",
    "side effects of ibuprofen in children under 12",
    "New York",
    "Chapter 3: Results",
    "aeroelastic models of heated high speed aircraft",
    "!!! --- *** ... ((()))",
    "a a a a a a a a a a a a a a a a",
)

CALIBRATION_TEXTS: tuple[str, ...] = (*_PROSE, *_SHORT, " ".join(_PROSE[:4]), " ".join(_PROSE[5:12]))
"""Single sentences, questions, tables and code as well as passages up to a model's longest input."""
