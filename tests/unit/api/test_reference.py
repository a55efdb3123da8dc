import base64
import hashlib
import re

from app.api.reference import PAGE_POLICY, reference_page


def test_the_page_lists_operations_and_escapes_everything():
    answer = {"$ref": "#/components/schemas/X"}
    schema = {
        "info": {"title": "T<script>", "version": "1", "description": "one & two"},
        "paths": {
            "/v1/x/{id}": {
                "get": {
                    "tags": ["things"],
                    "description": "<img src=x>",
                    "parameters": [{"name": "id", "in": "path", "schema": {"type": "string"}}],
                    "responses": {"200": {"description": "ok", "content": {"application/json": {"schema": answer}}}},
                }
            }
        },
        "components": {"schemas": {"X": {"type": "object", "description": "</pre><script>"}}},
    }
    page = reference_page(schema)
    assert "<script" not in page
    assert "<img" not in page
    assert "<code>/v1/x/{id}</code>" in page
    assert '<a href="#X">' in page


def test_the_policy_allows_the_page_its_own_style_and_nothing_else():
    page = reference_page({"info": {"title": "T", "version": "1"}, "paths": {}})
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)
    assert style
    digest = base64.b64encode(hashlib.sha256(style.group(1).encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in PAGE_POLICY
    assert PAGE_POLICY.startswith("default-src 'none'")
    assert "script-src" not in PAGE_POLICY
    assert "src=" not in page
