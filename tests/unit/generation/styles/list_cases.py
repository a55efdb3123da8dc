"""Questions for lists whose items stand in several documents, written for these tests; all names are invented.

Each case: the question, documents (title, text) in the order of their rank, and the items that belong into the answer;
no items: the documents don't say.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ListCase:
    question: str
    documents: tuple[tuple[str, str], ...]
    items: tuple[str, ...]


def _case(question: str, documents: dict[str, str], *items: str) -> ListCase:
    return ListCase(question, tuple(documents.items()), items)


OFFICES = {
    "Quillon news, spring": "Quillon opened an office in Berlin. The mayor cut the ribbon.",
    "Quillon news, autumn": "In 2019 Quillon's office in Lyon was opened. It has room for forty desks.",
    "Marlowe news": "Marlowe Ltd opened an office in Madrid.",
    "Quillon at a glance": "Quillon has offices in Berlin and Oslo. It sells paper in Rome.",
}
FOUNDERS = {
    "Halbek Optics": "Halbek Optics was founded by Karin Moll and Piet Sanders in 1991.",
    "An interview": "Piet Sanders and Olga Wirth founded Halbek Optics in a garage.",
    "A rival": "Talvik Lenses was founded by Jonas Berg. Halbek Optics is led by Rita Sommer.",
}
BOARD = {
    "Larchfield: board": "The members of the Larchfield board are Ann Teller, Bo Quist and Carla Frey.",
    "Larchfield: minutes": "Dag Holm became a member of the Larchfield board in May.",
    "Birkenau: minutes": "Elsa Rand is a member of the Birkenau board.",
}
PRODUCTS = {
    "Torvik catalogue": "Torvik sells drills, saws and sanders.",
    "Torvik letter": "Since last year Torvik also sells lamps. Torvik bought a warehouse in Denby.",
    "Brandt catalogue": "Brandt sells kettles and toasters.",
}
COURSES = {
    "Evening school: Mondays": "Leo Brand teaches pottery and glazing.",
    "Evening school: Thursdays": "Leo Brand teaches drawing. Hugo Stern teaches Spanish.",
    "Evening school: fees": "Every course costs 165 euros.",
}
TOWNS = {
    "Ferrow line 1": "The Ferrow tram stops in Alder, Bruck and Cern.",
    "Ferrow line 2": "The Ferrow tram also stops in Dorn.",
    "Ostrin bus": "The Ostrin bus stops in Elm.",
}
OFFICES_ZH = {
    "远桥科技简介": "远桥科技在成都和武汉设有办事处。公司生产传感器。",
    "远桥科技新闻": "去年，远桥科技在厦门设有新的办事处。",
    "恒川电子新闻": "恒川电子在长沙设有办事处。",
}
FOUNDERS_ZH = {
    "青禾书店": "青禾书店由林晓和周岚创办。",
    "采访": "陈默也参与创办了青禾书店。",
    "白石书店": "白石书店由高远创办。",
}
PRODUCTS_ZH = {
    "松岭食品": "松岭食品生产饼干、面条和果酱。",
    "松岭食品新品": "今年起，松岭食品还生产豆奶。",
    "南湾食品": "南湾食品生产酱油。",
}

SURGEONS = {
    "Weststadt clinic": "Weststadt clinic employs Dr Ute Brenner and Dr Ali Demir as surgeons.",
    "Weststadt clinic news": "Dr Nora Lind joined Weststadt clinic as a surgeon in 2022. The cook, Tim Fuchs, retired.",
    "Oststadt clinic": "Oststadt clinic employs Dr Paul Rieger as a surgeon.",
}
RIVER = {
    "The Lumme": "The river Lumme flows through Kassen and Ahrfeld.",
    "Ahrfeld": "Ahrfeld lies on the Lumme. The river Tarn flows through Borken.",
    "Travel": "After the rains the Lumme flows through Wiesau as well.",
}
LIBRARY = {
    "Seaton library": "Seaton library lends books, films and board games.",
    "Seaton library, summer": "Since June Seaton library has lent bicycles too.",
    "Norton library": "Norton library lends records.",
}
SOFTWARE = {
    "Kestrel 2.0": "Kestrel supports Linux and Windows.",
    "Kestrel 2.1": "Version 2.1 of Kestrel supports FreeBSD, too. Support for Solaris was dropped.",
    "Merlin": "Merlin supports macOS.",
}
CLINIC_ZH = {
    "云川医院": "云川医院设有内科、外科和儿科。",
    "云川医院通知": "云川医院今年还设有眼科。",
    "南溪医院": "南溪医院设有牙科。",
}
TOURS_ZH = {
    "青山旅行社线路": "青山旅行社的线路经过大理和丽江。",
    "青山旅行社新闻": "新线路也经过腾冲。",
    "海风旅行社": "海风旅行社的线路经过三亚。",
}
CONTRACTS_ZH = {"合同甲": "本合同由宏图公司和远景公司签订。", "合同乙": "另一份合同由蓝海公司签订。"}

CASES = (
    _case("Which cities does Quillon have offices in?", OFFICES, "Berlin", "Lyon", "Oslo"),
    _case("List the cities where Quillon has offices.", OFFICES, "Berlin", "Lyon", "Oslo"),
    _case("What cities are there offices of Quillon in?", OFFICES, "Berlin", "Lyon", "Oslo"),
    _case("Which cities does Marlowe have offices in?", OFFICES, "Madrid"),
    _case("Which cities does Quillon have warehouses in?", OFFICES),
    _case("Which cities does Torvik have offices in?", OFFICES),
    _case("Which cities did Quillon close offices in?", OFFICES),
    _case("Who are the founders of Halbek Optics?", FOUNDERS, "Karin Moll", "Piet Sanders", "Olga Wirth"),
    _case("Name the founders of Halbek Optics.", FOUNDERS, "Karin Moll", "Piet Sanders", "Olga Wirth"),
    _case("Name the founders of Marlowe Paper.", FOUNDERS),
    _case("Who are the owners of Halbek Optics?", FOUNDERS),
    _case("Who are the members of the Larchfield board?", BOARD, "Ann Teller", "Bo Quist", "Carla Frey", "Dag Holm"),
    _case("List the members of the Larchfield board.", BOARD, "Ann Teller", "Bo Quist", "Carla Frey", "Dag Holm"),
    _case("Who are the members of the Larchfield jury?", BOARD),
    _case("What products does Torvik sell?", PRODUCTS, "drills", "saws", "sanders", "lamps"),
    _case("Which products does Torvik sell?", PRODUCTS, "drills", "saws", "sanders", "lamps"),
    _case("Which products does Torvik rent out?", PRODUCTS),
    _case("Which products did Halbek sell?", PRODUCTS),
    _case("Which courses does Leo Brand teach?", COURSES, "pottery", "glazing", "drawing"),
    _case("Which courses does Marta Leng teach?", COURSES),
    _case("Which towns does the Ferrow tram stop in?", TOWNS, "Alder", "Bruck", "Cern", "Dorn"),
    _case("Which towns does the Ferrow bus stop in?", TOWNS),
    _case(
        "Which cities does Acme have employees in?",
        {"Acme": "Acme has 40 employees in Berlin and 12 in Lyon. It makes paper."},
        "Berlin",
        "Lyon",
    ),
    _case(
        "Which cities does Acme have employees in?",
        {"Acme annual report": "Acme makes paper. The company employs 120 people in Lyon, Turin and Ghent."},
        "Lyon",
        "Turin",
        "Ghent",
    ),
    _case(
        "Which countries does Velda export to?",
        {
            "Velda, north": "Velda exports to Norway. Its lorries are green.",
            "Velda, south": "Since 2021 Velda has also exported to Spain and Italy, but not to Malta.",
            "Velda, plans": "Velda wants to export to Greece next year.",
        },
        "Norway",
        "Spain",
        "Italy",
    ),
    _case(
        "Which plants does Orrin Energy run?",
        {
            "Orrin Energy": "Orrin Energy runs plants at Solbek, Hamre and Vik.",
            "Orrin Energy 2024": "In 2024 Orrin Energy closed its plant at Toft. It runs a plant at Nes.",
        },
        "Solbek",
        "Hamre",
        "Vik",
        "Nes",
    ),
    _case(
        "Which firms supply Denby Works?",
        {
            "Suppliers": "Perrin Castings and Velde Rubber supply Denby Works.",
            "A letter": "Oakhurst Bolts supplies Denby Works. Denby Works supplies Harrow Mills.",
        },
        "Perrin Castings",
        "Velde Rubber",
        "Oakhurst Bolts",
    ),
    _case(
        "Which languages are taught at the Lake School?",
        {
            "Lake School": "At the Lake School, French and Latin are taught.",
            "Lake School, new": "Polish is taught at the Lake School, too.",
            "Hill School": "At the Hill School, Greek is taught.",
        },
        "French",
        "Latin",
        "Polish",
    ),
    _case(
        "Which side effects does Norvalin have?",
        {
            "Norvalin leaflet": "Side effects of Norvalin are headache, nausea and a dry mouth.",
            "Norvalin study": "A side effect of Norvalin was dizziness.",
            "Pelorin leaflet": "Side effects of Pelorin are fever and cough.",
        },
        "headache",
        "nausea",
        "a dry mouth",
        "dizziness",
    ),
    _case(
        "What should I bring to the swimming course?",
        {
            "Course, first day": "Bring a towel and a cap to the swimming course.",
            "Course, later": "Bring a padlock to the swimming course as well.",
            "Pottery": "Bring an apron to the pottery course.",
        },
        "a towel",
        "a cap",
        "a padlock",
    ),
    _case(
        "Which prizes did Mira Solen win?",
        {
            "Mira Solen": "Mira Solen won the Hale Prize in 2009.",
            "Literature": "In 2014 Mira Solen won the Orbis Medal. Ida Roth won the Vane Prize.",
        },
        "Hale Prize",
        "Orbis Medal",
    ),
    _case(
        "Which companies did Tessaline buy?",
        {
            "Tessaline 2020": "In June Tessaline bought Loomfold, a maker of planning software.",
            "Tessaline 2021": "Tessaline bought Carding and Weftline. Tessaline was not bought by Grandloom.",
        },
        "Loomfold",
        "Carding",
        "Weftline",
    ),
    _case(
        "Which branches does Morrow Bank have?",
        {
            "Morrow Bank, west": "Branch: Alder Square; Bank: Morrow Bank\nBranch: Harbour; Bank: Morrow Bank",
            "Morrow Bank, east": "Branch: Station Road; Bank: Morrow Bank\nBranch: Harbour; Bank: Morrow Bank",
        },
        "Alder Square",
        "Harbour",
        "Station Road",
    ),
    _case(
        "What does every child need for the camp?",
        {
            "Camp at Lake Orrin": "Every child needs for the camp:\n- a sleeping bag\n- rubber boots\n",
            "Camp at Lake Orrin, page two": "Every child also needs for the camp:\n- a torch\n- rubber boots\n",
        },
        "a sleeping bag",
        "rubber boots",
        "a torch",
    ),
    _case("远桥科技在哪些城市设有办事处？", OFFICES_ZH, "成都", "武汉", "厦门"),
    _case("远桥科技的办事处设在哪些城市？", OFFICES_ZH, "成都", "武汉", "厦门"),
    _case("远桥科技在哪些城市设有工厂？", OFFICES_ZH),
    _case("青禾书店的创办人有哪些？", FOUNDERS_ZH, "林晓", "周岚", "陈默"),
    _case("哪些人创办了青禾书店？", FOUNDERS_ZH, "林晓", "周岚", "陈默"),
    _case("哪些人创办了红杉书店？", FOUNDERS_ZH),
    _case("松岭食品生产哪些产品？", PRODUCTS_ZH, "饼干", "面条", "果酱", "豆奶"),
    _case("列举松岭食品生产的产品。", PRODUCTS_ZH, "饼干", "面条", "果酱", "豆奶"),
    _case("松岭食品出口哪些产品？", PRODUCTS_ZH),
    _case(
        "云栖公交经过哪些车站？",
        {
            "云栖公交一线": "云栖公交经过南门、钟楼和江边三个车站。",
            "云栖公交二线": "云栖公交二线还经过桃园车站。",
            "星海公交": "星海公交经过西湖车站。",
        },
        "南门",
        "钟楼",
        "江边",
        "桃园",
    ),
    _case(
        "星河大学开设了哪些课程？",
        {
            "星河大学招生": "星河大学开设了天文、地质和海洋课程。",
            "星河大学新闻": "今年星河大学开设了考古课程，没有开设法律课程。",
        },
        "天文",
        "地质",
        "海洋",
        "考古",
    ),
    _case("Which surgeons work at Weststadt clinic?", SURGEONS, "Dr Ute Brenner", "Dr Ali Demir", "Dr Nora Lind"),
    _case("Who are the surgeons of Weststadt clinic?", SURGEONS, "Dr Ute Brenner", "Dr Ali Demir", "Dr Nora Lind"),
    _case("Who are the nurses of Weststadt clinic?", SURGEONS),
    _case("Which towns does the Lumme flow through?", RIVER, "Kassen", "Ahrfeld", "Wiesau"),
    _case("Which towns does the Elbe flow through?", RIVER),
    _case("What does Seaton library lend?", LIBRARY, "books", "films", "board games", "bicycles"),
    _case("List the things that Seaton library lends.", LIBRARY, "books", "films", "board games", "bicycles"),
    _case("What does Seaton library sell?", LIBRARY),
    _case("Which operating systems does Kestrel support?", SOFTWARE, "Linux", "Windows", "FreeBSD"),
    _case("云川医院设有哪些科室？", CLINIC_ZH, "内科", "外科", "儿科", "眼科"),
    _case("云川医院有哪些科？", CLINIC_ZH, "内科", "外科", "儿科", "眼科"),
    _case("云川医院开设了哪些食堂？", CLINIC_ZH),
    _case("青山旅行社的线路经过哪些城市？", TOURS_ZH, "大理", "丽江", "腾冲"),
    _case("哪些公司签订了合同？", CONTRACTS_ZH, "宏图公司", "远景公司", "蓝海公司"),
    _case(
        "What are the ingredients of the Harbin soup?",
        {
            "Harbin soup": "The ingredients of the Harbin soup are beets, potatoes and dill.",
            "Kitchen notes": "Sugar is among the ingredients of the Harbin soup. The ingredients of stew are leeks.",
        },
        "beets",
        "potatoes",
        "dill",
        "Sugar",
    ),
    _case(
        "Which villages did the flood damage?",
        {
            "Report A": "The flood damaged Altdorf, Brunn and Celle.",
            "Report B": "The flood also damaged Dahlen; Eching was spared.",
            "Report C": "The fire damaged Forst.",
        },
        "Altdorf",
        "Brunn",
        "Celle",
        "Dahlen",
    ),
)
