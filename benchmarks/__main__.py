"""Every figure of the README in one go: `python -m benchmarks --data DIR [--only NAME …]`.

`make bench ARGS="--data DIR"` does the same after installing the rivals.

`expected.toml` holds what each printed when the README was written, with the command, so that a reader can compare.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

SCRIPTS: dict[str, list[str]] = {
    "retrieval_quality": [],
    "reader_quality": [],
    "abstention": [],
    "loaders_quality": [],
    "whole_answers": [],
    "streaming_clients": [],
    "index_scale": ["--chunks", "1000", "100000"],
    "against_langchain": [],
    "embedding_quality": [],
    "query_translation": [],
    "multihop": ["--half", "held-out", "--offset", "80", "--limit", "70"],
    "text_to_sql": ["--limit", "1000"],
    "text_to_sql_databases": ["--per-database", "40"],
    "text_to_cypher": [],
    "routing": [],
    "auto_filters": ["--per-collection", "600"],
    "claim_support": [],
    "behaviours": [],
    "everyday": [],
    "rag_modes": [],
    "local_models": [],
    "engine_throughput": [],
    "passage_reuse": [],
    "ablations": [],
}
WITHOUT_DATA = {
    "behaviours",
    "everyday",
    "routing",
    "index_scale",
    "local_models",
    "engine_throughput",
    "passage_reuse",
    "ablations",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("ATTEST_DATA_DIR"), help="or ATTEST_DATA_DIR")
    parser.add_argument("--only", nargs="+", choices=sorted(SCRIPTS), default=list(SCRIPTS))
    args = parser.parse_args()
    if args.data is None and set(args.only) - WITHOUT_DATA:
        parser.error("--data DIR is needed: a folder with ir/, rc/ and files/; or choose --only index_scale")
    failed = []
    for name in args.only:
        data = [] if name in WITHOUT_DATA else ["--data", str(args.data)]
        print(f"\n=== python -m benchmarks.{name} {' '.join([*data, *SCRIPTS[name]])}", flush=True)
        if subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *data, *SCRIPTS[name]], check=False).returncode:
            failed.append(name)
    if failed:
        print(f"\nfailed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
