"""What a filter may name: fields with types, values and ranges, and the words by which a question means a field."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from Stemmer import Stemmer

from app.errors import InvalidInput
from app.index.field_statistics import FieldStatistics

FieldType = Literal["text", "number", "date", "boolean"]
MAX_FIELDS = 256
MAX_VALUES = 500
_PART = re.compile(r"[\u4e00-\u9fff]+|[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_EMPTY_WORDS = frozenset({"is", "has", "on", "at", "in", "of", "the", "date", "time", "number", "no", "num", "count"})
_UNIT_WORDS = frozenset({"kg", "g", "km", "cm", "mm", "eur", "usd", "cny", "gbp", "min", "hours", "days", "日期"})

# words that mean the same field; the question and the field's name are both looked up here, stems on both sides
_CONCEPTS = (
    "author writer written wrote by 作者 撰写 起草 编写 写",
    "year 年份 年度",
    "price cost priced cheap cheaper expensive 价格 价钱 售价 单价",
    "value worth valued amount total 金额 价值 数额 款项",
    "revenue sales turnover income earned 收入 营收 营业额 销售额",
    "salary wage pay earn paid 工资 薪水 薪资",
    "rating rated star stars 评分 得分 分以上",
    "weight weigh weighs weighing heavy heavier light lighter 重量 重",
    "page pages 页数 页",
    "vote votes upvote upvotes 票数 票",
    "citation citations cited cite 引用 被引",
    "publish published publication issued 发布 发表 出版",
    "release released launched launch 上市 发售 发布",
    "sign signed signing 签署 签订 签",
    "expire expires expired expiring expiry expiration 到期 过期 届满",
    "create created opened filed 创建 新建 提交",
    "update updated modified changed edited 更新 修改",
    "due deadline 截止",
    "start started begin began starting 开始",
    "department dept team 部门",
    "type kind category 类型 类别 种类",
    "tag tags tagged label labels labelled labeled keyword 标签",
    "status state 状态",
    "country nation 国家",
    "city town 城市",
    "language 语言 语种",
    "currency 币种 货币",
    "assignee assigned owner 负责 经办",
    "company firm corporation 公司 企业",
    "brand make manufacturer maker 品牌 厂商",
    "color colour 颜色",
    "venue conference journal 会议 期刊 发表",
    "topic subject theme 主题",
    "stock available 库存 现货 有货",
    "audit audited 审计",
    "confidential secret 机密 保密",
    "valid 有效",
    "quantity pieces units 数量",
    "age old older young younger 年龄 岁",
    "duration long longer short shorter lasting 时长",
    "population inhabitants people 人口",
)
MONEY = frozenset(
    [
        "price",
        "cost",
        "value",
        "worth",
        "amount",
        "total",
        "revenue",
        "sales",
        "turnover",
        "income",
        "salary",
        "wage",
        "pay",
        "fee",
        "budget",
        "spend",
        "spending",
        "earnings",
        "profit",
        "金额",
        "价格",
        "售价",
        "单价",
        "费用",
        "收入",
        "营收",
        "预算",
        "工资",
        "薪水",
        "价值",
        "数额",
        "销售额",
    ]
)


@dataclass(frozen=True, slots=True)
class Field:
    """One searchable field.

    Args:
        values: of a text field, as they are written; bounded, most frequent first.
        many: a document may hold several values.
        minimum, maximum: of a number or date field (RFC 3339 text for dates).
        count: documents that have the field; 0 where that is not known.
    """

    name: str
    type: FieldType
    values: tuple[str, ...] = ()
    many: bool = False
    minimum: float | str | None = None
    maximum: float | str | None = None
    count: int = 0

    @property
    def words(self) -> frozenset[str]:
        """Stems that mean this field: of its name, and of words that mean the same."""
        return _words_of(self.name)

    @property
    def is_year(self) -> bool:
        """Whether its numbers are calendar years."""
        if self.type != "number":
            return False
        named = bool({"year", "年份", "年度", "年"} & set(name_parts(self.name)))
        low, high = self.minimum, self.maximum
        within = all(edge is None or (isinstance(edge, int | float) and 1000 <= edge <= 2200) for edge in (low, high))
        return named and within

    @property
    def is_money(self) -> bool:
        """Whether its numbers are amounts of money."""
        parts = set(name_parts(self.name))
        return self.type == "number" and bool(parts & MONEY or parts & {"eur", "usd", "cny", "gbp"})


@dataclass(frozen=True, slots=True)
class FieldSchema:
    """The fields of the collections that are asked. Raises InvalidInput for a name that stands twice."""

    fields: tuple[Field, ...]

    def __post_init__(self) -> None:
        names = [field.name for field in self.fields]
        if len(set(names)) != len(names):
            twice = sorted({name for name in names if names.count(name) > 1})
            raise InvalidInput(f"schema names the fields {twice} twice: give each field once")
        if len(names) > MAX_FIELDS:
            raise InvalidInput(f"schema has {len(names)} fields: use at most {MAX_FIELDS}")

    def get(self, name: str) -> Field | None:
        """The field of that name."""
        return next((field for field in self.fields if field.name == name), None)

    @classmethod
    def merged(cls, statistics: Iterable[FieldStatistics]) -> FieldSchema:
        """The schema of several collections at once; a field of two types in two collections is text in both."""
        fields: dict[str, Field] = {}
        for entry in statistics:
            new = Field(**{slot: getattr(entry, slot) for slot in FieldStatistics.__slots__})
            old = fields.get(new.name)
            fields[new.name] = new if old is None else _merge(old, new)
        return cls(tuple(list(fields.values())[:MAX_FIELDS]))


def _merge(old: Field, new: Field) -> Field:
    same = old.type == new.type
    edges = [edge for edge in (old.minimum, new.minimum, old.maximum, new.maximum) if edge is not None]
    return Field(
        old.name,
        old.type if same else "text",
        values=tuple(dict.fromkeys((*old.values, *new.values)))[:MAX_VALUES],
        many=old.many or new.many,
        minimum=min(edges, key=lambda e: e) if same and edges else None,
        maximum=max(edges, key=lambda e: e) if same and edges else None,
        count=old.count + new.count,
    )


def name_parts(name: str) -> list[str]:
    """`"releaseDate_EU"` → `["release", "date", "eu"]`: the words of a name, lower case."""
    return [part.lower() for part in _PART.findall(name)]


def stem(word: str) -> str:
    """The stem of an English word, lower case; other scripts stay as they are."""
    lowered = word.lower()
    return _stemmer().stemWord(lowered) if lowered.isascii() else lowered


@lru_cache(maxsize=1)
def _concepts() -> dict[str, frozenset[str]]:
    """Stem or Chinese word → everything that means the same."""
    found: dict[str, set[str]] = {}
    for line in _CONCEPTS:
        group = {stem(word) for word in line.split()}
        for word in group:
            found.setdefault(word, set()).update(group)
    return {word: frozenset(group) for word, group in found.items()}


@lru_cache(maxsize=1)
def _stemmer() -> Stemmer:
    return Stemmer("english")


@lru_cache(maxsize=4096)
def _words_of(name: str) -> frozenset[str]:
    parts = name_parts(name)
    telling = [part for part in parts if part not in _EMPTY_WORDS and part not in _UNIT_WORDS] or parts
    found: set[str] = set()
    for part in telling:
        found.add(stem(part))
        found |= _concepts().get(stem(part), frozenset())
        if not part.isascii():  # 发布日期 is what 发布 means: a known word inside the name
            found.add(part)
            for word, group in _concepts().items():
                if not word.isascii() and len(word) > 1 and word in part:
                    found |= group
    return frozenset(found)
