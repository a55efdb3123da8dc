"""`POST /v1/admin/backup` and the commands: a whole archive or an error, and the same answers from what it restores."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from app.cli import root
from app.index.archive import read_archive
from app.index.backup import frozen
from app.index.restore import restore
from app.settings import Settings
from tests.unit.api.harness import assert_problem, running

FEE = "The zebra fee is 30 euros."


async def test_ingest_back_up_restore_elsewhere_and_get_the_same_answer(tmp_path):
    question = {"question": "What is the zebra fee?"}
    async with running(tmp_path / "old") as api:
        await api.add(FEE, id="fees")
        await api.add("Penguins eat forty herrings.", id="food")
        asked = (await api.client.post("/v1/ask", json=question)).json()
        response = await api.client.post("/v1/admin/backup")
        assert response.status_code == 200
        assert response.headers["content-type"] == "application/gzip"
        assert response.headers["content-disposition"].startswith('attachment; filename="attest-2')
        (tmp_path / "b.tar.gz").write_bytes(response.content)
        assert list((tmp_path / "old" / "tmp").glob("backup-*")) == []
    archived = restore(tmp_path / "b.tar.gz", tmp_path / "new").archived
    assert archived.counts["documents"] == 2
    async with running(tmp_path / "new") as api:
        again = (await api.client.post("/v1/ask", json=question)).json()
        for field in ("answer", "confidence", "citations", "collection_generation"):
            assert again[field] == asked[field]
        rated = await api.client.post("/v1/feedback", json={"answer_id": asked["id"], "rating": 1})
        assert rated.status_code == 201, "saved answers came along"
        assert await api.text("fees") == FEE
        await api.add("Written after the restore.")


async def test_a_backup_needs_a_key_that_may_see_everything(tmp_path):
    async with running(tmp_path / "home", api_keys="boss:admin,part:admin:default,writer:read+write") as api:

        async def backup(key):
            return await api.client.post("/v1/admin/backup", headers={"Authorization": f"Bearer {key}"})

        assert (await backup("boss")).status_code == 200
        assert "limited to some collections" in assert_problem(await backup("part"), 403)["detail"]
        assert_problem(await backup("writer"), 403)
        assert_problem(await backup("nobody"), 401)


async def test_a_second_backup_at_the_same_time_is_a_conflict(tmp_path):
    async with running(tmp_path / "home") as api:
        with frozen(tmp_path / "home", api.services.catalog):
            assert_problem(await api.client.post("/v1/admin/backup"), 409, "conflict")
        assert (await api.client.post("/v1/admin/backup")).status_code == 200


def run(capsys: pytest.CaptureFixture[str], *argv: str | Path) -> tuple[int, str, str]:
    code = root.run([str(each) for each in argv])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_the_commands_work_on_a_home_without_a_server(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("ATTEST_URL", raising=False)
    home, file = tmp_path / "home", tmp_path / "b.tar.gz"
    code, _, err = run(capsys, "backup", file, "--home", home)
    assert (code, "nothing to back up" in err) == (1, True)
    assert not file.exists()
    from app.index.catalog import Catalog

    Catalog.open(Settings(home=home).database_url).close()
    code, out, err = run(capsys, "backup", file, "--home", home)
    assert code == 0, err
    assert "0 documents in 1 collections" in out
    assert "read back and checked" in out
    assert file.stat().st_mode & 0o077 == 0
    assert read_archive(file).counts["collections"] == 1
    code, _, err = run(capsys, "backup", file, "--home", home)
    assert (code, "exists already" in err) == (2, True)
    code, _, err = run(capsys, "restore", file, "--home", home)
    assert (code, "not empty" in err, "--force" in err) == (1, True, True)
    code, out, err = run(capsys, "restore", file, "--home", tmp_path / "new")
    assert code == 0, err
    assert "restored into" in out
    code, out, err = run(capsys, "restore", file, "--home", home, "--force")
    assert code == 0, err
    assert "what was there before is in" in out
    assert sorted(each.name for each in tmp_path.iterdir()) == ["b.tar.gz", "home", "new"], (
        "no half-written file is left"
    )


def test_a_restore_under_a_running_server_is_refused(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("app.cli.home.find_server", lambda home: "http://127.0.0.1:1")
    code, _, err = run(capsys, "restore", tmp_path / "b.tar.gz", "--home", tmp_path / "home")
    assert (code, "a server runs on" in err) == (1, True)


def test_eval_names_file_and_line(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("ATTEST_URL", raising=False)
    golden, settings = tmp_path / "golden.jsonl", tmp_path / "settings.json"

    def said(text: str, wanted: str | None = None) -> str:
        golden.write_text(text, encoding="utf-8")
        extra = []
        if wanted is not None:
            settings.write_text(wanted, encoding="utf-8")
            extra = ["--settings", settings]
        code, _, err = run(capsys, "eval", golden, "--home", tmp_path / "home", *extra)
        assert code == 2
        return err

    fine = json.dumps({"question": "q"})
    assert "line 3 is no JSON" in said(f"{fine}\n\n{{\n")
    assert "line 3: answers: Input should be a valid list" in said(f"{fine}\n\n" + '{"question": "q", "answers": "a"}')
    assert "line 2: question: must hold something other than white space" in said(fine + '\n{"question": " "}')
    assert "line 1: Input should be" in said("[1]")
    assert "holds no question" in said("\n")
    assert "must hold a JSON list of settings" in said(fine, "{}")
    assert "settings.json: settings.1.rerank" in said(fine, '[{}, {"rerank": 1}]')
    code, _, err = run(capsys, "eval", tmp_path / "none.jsonl", "--home", tmp_path / "home")
    assert (code, "can not be read" in err) == (2, True)
