"""`attest status`: what runs on a home, what waits, and what is stored."""

from __future__ import annotations

import json
import socket
from typing import Annotated, Any

import typer

from app.cli.serve import HomeOption


def status(
    as_json: Annotated[bool, typer.Option("--json", help="The same as JSON.")] = False,
    check_worker: Annotated[
        bool, typer.Option("--check-worker", help="Exit with 1 unless a worker of this machine is alive.")
    ] = False,
    home: HomeOption = None,
) -> None:
    """Say which server and workers run on the home, how long the queue is, and what the collections hold."""
    from app.cli.home import prepare

    settings = prepare(home)
    seen = _look(settings)
    print(json.dumps(seen, ensure_ascii=False, indent=2) if as_json else _text(seen))
    own = f"{socket.gethostname()}-"
    alive = any(worker.startswith(own) for worker in seen["workers"])
    raise typer.Exit(1 if check_worker and not alive else 0)


def _look(settings: Any) -> dict[str, Any]:
    from app.cli.home import find_server, living

    seen: dict[str, Any] = {
        "home": str(settings.home),
        "server": settings.url or find_server(settings.home),
        "workers": [],
        "jobs": {},
        "collections": {},
    }
    if not (settings.home / "attest.db").exists():
        return seen

    from app.index.catalog import Catalog
    from app.index.jobs import JobQueue

    catalog = Catalog.open(settings.database_url)
    try:
        jobs = JobQueue(catalog)
        seen["workers"] = living(jobs.live_workers())
        seen["jobs"] = dict(jobs.depth())
        seen["collections"] = {each.name: catalog.collection_counts(each.name) for each in catalog.list_collections()}
    finally:
        catalog.close()
    return seen


def _text(seen: dict[str, Any]) -> str:
    lines = [
        f"home      {seen['home']}",
        f"server    {seen['server'] or 'none runs (attest serve)'}",
        f"workers   {', '.join(seen['workers']) or 'none alive'}",
        f"jobs      {', '.join(f'{count} {name}' for name, count in seen['jobs'].items() if count) or 'none'}",
    ]
    for name, counts in seen["collections"].items():
        states = ", ".join(f"{count} {state}" for state, count in counts["by_status"].items())
        lines.append(f"{name:<9} {counts['documents']} documents ({states or 'none'}), {counts['chunks']} chunks")
    return "\n".join(lines)
