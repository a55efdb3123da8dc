"""Six metadata schemas that the questions of filters.jsonl are asked of, and the day on which they are asked."""

from datetime import date

from app.query.construction.fields import Field, FieldSchema

TODAY = date(2026, 6, 15)


def text(name, *values, many=False):
    return Field(name, "text", values=values, many=many)


def number(name, low, high):
    return Field(name, "number", minimum=low, maximum=high)


def day(name):
    return Field(name, "date", minimum="1980-01-01", maximum="2027-12-31")


def flag(name):
    return Field(name, "boolean")


SCHEMAS = {
    "reports": FieldSchema(
        (
            text("company", "Acme", "Globex", "Initech", "Northwind Traders"),
            number("year", 2010, 2026),
            text("quarter", "Q1", "Q2", "Q3", "Q4"),
            text("report_type", "annual report", "quarterly report", "press release"),
            number("revenue", 100_000, 90_000_000),
            text("currency", "USD", "EUR", "CNY"),
            day("published"),
            flag("audited"),
        )
    ),
    "tickets": FieldSchema(
        (
            text("status", "open", "closed", "in progress"),
            text("priority", "low", "medium", "high", "urgent"),
            text("assignee", "Maria Lopez", "Chen Wei", "John Smith"),
            text("tags", "billing", "login", "performance", "mobile", many=True),
            day("created"),
            number("votes", 0, 400),
        )
    ),
    "papers": FieldSchema(
        (
            text("author", "Yann LeCun", "Geoffrey Hinton", "Fei-Fei Li", many=True),
            text("venue", "NeurIPS", "ICML", "ACL", "Nature"),
            number("year", 1985, 2026),
            number("citations", 0, 90_000),
            text("topic", "vision", "speech", "retrieval", "optimization", many=True),
            flag("open_access"),
            text("language", "English", "German", "Chinese"),
        )
    ),
    "hr": FieldSchema(
        (
            text("部门", "人力资源部", "财务部", "研发部", "市场部"),
            text("文件类型", "制度", "通知", "合同", "会议纪要"),
            day("发布日期"),
            text("作者", "王芳", "李明", "张伟"),
            number("金额", 100, 5_000_000),
            flag("有效"),
            text("标签", "报销", "差旅", "培训", many=True),
        )
    ),
    "products": FieldSchema(
        (
            text("brand", "Sony", "Lenovo", "Samsung", "Canon"),
            text("category", "headphones", "laptop", "phone", "camera"),
            number("price", 15, 4_000),
            number("rating", 1, 5),
            text("color", "red", "blue", "black", "silver", many=True),
            number("weight_kg", 0.02, 4),
            flag("in_stock"),
            day("release_date"),
        )
    ),
    "contracts": FieldSchema(
        (
            text("counterparty", "Siemens", "Bosch", "Huawei"),
            text("contract_type", "NDA", "lease", "employment agreement", "service agreement"),
            text("country", "Germany", "France", "China", "United States"),
            number("value_eur", 1_000, 9_000_000),
            day("signed_on"),
            day("expires_on"),
            flag("confidential"),
            number("page_count", 1, 300),
        )
    ),
}
