"""What else than passages can be asked: tables, graphs, and the routes that lead a question to one of them."""

from __future__ import annotations

from collections.abc import Callable

from app.index.blobs import BlobStore
from app.index.catalog import Catalog
from app.index.generations import IndexStore
from app.index.routes import RouteStore
from app.index.table_documents import table_versions
from app.protocols import Encoder, TextModel
from app.query.construction.cypher_source import GraphSource
from app.query.graph_target import GraphTarget
from app.query.routing.book import RouteBook, Routing
from app.query.routing.desk import Desk
from app.query.routing.router import Router
from app.query.routing.targets import TablesTarget
from app.query.tables.documents import MEDIA_TYPES, Versions, documents_of
from app.query.tables.loaded import Contents
from app.query.tables.registry import TableSources
from app.routing_types import Route
from app.settings import Settings


def open_tables(settings: Settings, catalog: Catalog, blobs: BlobStore) -> TableSources:
    """The sources of tables that the settings name, and the table documents of every collection.

    Raises:
        InvalidInput: a PostgreSQL URL is none.
    """

    def documents(collection: str) -> Contents:
        def versions(limit: int) -> Versions:
            with catalog.reading() as connection:
                return table_versions(connection, collection, MEDIA_TYPES, limit)

        return documents_of(versions, catalog.get_texts, blobs.path)

    return TableSources(
        files=settings.sql.sources,
        postgres={name: url.get_secret_value() for name, url in settings.sql.postgres.items()},
        documents=documents if settings.sql.documents else None,
        folder=settings.home / "tables",
        time_limit_ms=settings.sql.time_limit_ms,
        row_limit=settings.sql.row_limit,
    )


def open_graphs(settings: Settings, catalog: Catalog, index: IndexStore) -> Callable[[str], GraphSource]:
    """Collection name → its knowledge graph, as far as it has one. The function raises NotFound for an unknown name."""

    def open_graph(name: str) -> GraphSource:
        return GraphSource(
            name,
            index.collection(catalog.get_collection(name).id),
            time_limit_ms=settings.graph.time_limit_ms,
            row_limit=settings.graph.row_limit,
            buffer_bytes=settings.graph.buffer_bytes,
        )

    return open_graph


def build_routing(
    settings: Settings,
    catalog: Catalog,
    tables: TableSources,
    encoder: Encoder,
    model: TextModel | None,
    graphs: Callable[[str], GraphSource],
) -> Routing:
    """The declared routes, who chooses among them, and what they can be sent to.

    Raises:
        InvalidInput: a route of the settings does not hold.
    """
    chosen = settings.routing
    store = RouteStore(catalog)

    def open_sql(route: Route) -> TablesTarget:
        named = [tables.get(route.source)] if route.source is not None else []
        return TablesTarget(named or [tables.of_collection(name) for name in route.collections], encoder, catalog)

    def open_graph(route: Route) -> GraphTarget:
        return GraphTarget([graphs(name) for name in route.collections], catalog)

    book = RouteBook(
        [
            Route(name, route.kind or ("sql" if route.source else "collections"), **route.model_dump(exclude={"kind"}))
            for name, route in chosen.routes.items()
        ],
        lambda: [(record.name, record.body) for record in store.list_all()],
        lambda: tables.names,
    )
    router = Router(encoder, model, method=chosen.method, threshold=chosen.threshold)
    return Routing(book, router, Desk(router, {"sql": open_sql, "graph": open_graph}, model=model))
