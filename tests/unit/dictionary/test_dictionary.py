"""What the pages and diagrams of a schema say."""

from __future__ import annotations

import shutil
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree

import pytest

from harness.__main__ import main
from harness.catalog import files
from harness.catalog.model import Name
from harness.config import Tenancy
from harness.dictionary import diagram, pages
from harness.dictionary.areas import Area, areas, header

ORDERS = """/*
 * Orders: what was asked for.
 *
 * An order has lines.
 */
CREATE SCHEMA shop;
CREATE TABLE shop.customer (
    business_id uuid NOT NULL,
    customer_id uuid NOT NULL,
    PRIMARY KEY (business_id, customer_id)
);
COMMENT ON TABLE shop.customer IS 'Somebody
    who buys.';
CREATE TABLE shop.purchase (
    business_id uuid NOT NULL,
    purchase_id uuid NOT NULL,
    customer_id uuid NOT NULL,
    approver_id uuid,
    mood        text DEFAULT 'a|b',
    PRIMARY KEY (business_id, purchase_id),
    FOREIGN KEY (business_id, customer_id) REFERENCES shop.customer ON DELETE CASCADE,
    FOREIGN KEY (business_id, approver_id) REFERENCES shop.customer,
    CONSTRAINT mood_known CHECK (mood IN ('a|b', 'c'))
);
COMMENT ON COLUMN shop.purchase.mood IS 'How the "buyer" felt.';
-- The orders of a customer.
CREATE INDEX purchase_customer_idx ON shop.purchase (business_id, customer_id) WHERE mood = 'c';
CREATE POLICY own ON shop.purchase USING (business_id = shop.tenant());
GRANT SELECT ON shop.purchase TO app_user;
"""
RECEIPTS = """CREATE TABLE shop.receipt (
    business_id uuid NOT NULL,
    purchase_id uuid NOT NULL PRIMARY KEY,
    FOREIGN KEY (business_id, purchase_id) REFERENCES shop.purchase
);
CREATE FUNCTION shop.tenant() RETURNS uuid LANGUAGE sql RETURN NULL::uuid;
COMMENT ON FUNCTION shop.tenant() IS 'Who asks.';
CREATE VIEW shop.v_receipt AS SELECT 1 AS one;
"""
TEXTS = {"sql/shop/10_orders.sql": ORDERS, "sql/shop/20_receipts.sql": RECEIPTS}
TENANCY = Tenancy(column="business_id", root_table="shop.business")


@pytest.fixture(scope="module")
def shop() -> tuple[Area, ...]:
    return areas(files.read(TEXTS).catalog, TEXTS)


def page(shop: tuple[Area, ...], path: str) -> str:
    return pages.pages(shop, TENANCY, {Name("shop", "purchase"): 1234})[PurePosixPath(path)]


def test_an_area_is_a_file_and_told_by_its_first_comment(shop: tuple[Area, ...]) -> None:
    assert [(area.name, area.title) for area in shop] == [
        ("10_orders", "Orders: what was asked for"),
        ("20_receipts", "20_receipts"),
    ]
    assert shop[0].text == "An order has lines."
    assert header("-- no block\nSELECT 1;") == ("", "")


def test_a_page_tells_columns_rules_and_rows(shop: tuple[Area, ...]) -> None:
    text = page(shop, "shop/10_orders.md")
    for line in (
        "Somebody who buys.",
        "| customer_id | uuid | → shop.customer |  |",
        "| approver_id | uuid | may be NULL; → shop.customer |  |",
        "| mood | text | may be NULL; default `'a\\|b'` | How the \"buyer\" felt. |",
        "* about 1,234 rows",
        "* primary key (business_id, purchase_id)",
        "* foreign key (business_id, customer_id) → shop.customer, on delete cascade",
        "* check mood_known: `mood IN ('a|b', 'c')`",
        "* index, btree (business_id, customer_id) where `mood = 'c'`: The orders of a customer.",
        "* policy own, all by public: rows where `business_id = shop.tenant()`",
        "* app_user may select",
    ):
        assert line in text.splitlines(), line


def test_views_and_functions_stand_below_the_tables(shop: tuple[Area, ...]) -> None:
    text = page(shop, "shop/20_receipts.md")
    assert "* **`shop.tenant()`** → `uuid`: Who asks." in text
    assert "* **shop.v_receipt**: " in text


def test_the_indexes_name_every_area(shop: tuple[Area, ...]) -> None:
    assert "(10_orders.md): customer, purchase" in page(shop, "shop/README.md")
    assert "| [shop](shop/README.md) | 2 | 3 | 1 | 1 |" in page(shop, "README.md")


def test_a_diagram_tells_how_many_may_refer(shop: tuple[Area, ...]) -> None:
    drawn = diagram.mermaid(shop[0], TENANCY)
    assert '"shop.customer" ||--o{ "shop.purchase" : "customer_id"' in drawn
    assert '"shop.customer" |o--o{ "shop.purchase" : "approver_id"' in drawn
    assert '"shop.purchase" ||--o| "shop.receipt"' in diagram.mermaid(shop[1], TENANCY)


def test_a_schema_is_drawn_with_a_box_for_each_area(shop: tuple[Area, ...]) -> None:
    drawn = diagram.of_schema("shop", shop, TENANCY)
    assert 'subgraph "cluster_10_orders" { label="Orders: what was asked for";' in drawn
    assert '"shop.purchase" -> "shop.customer" [tooltip="shop.purchase (customer_id)"];' in drawn
    assert 'tooltip="shop.purchase (approver_id)", style="dashed"];' in drawn


def test_the_overview_counts_references_between_schemas() -> None:
    crossing = "CREATE TABLE stock.use (business_id uuid, customer_id uuid, FOREIGN KEY"
    crossing += " (business_id, customer_id) REFERENCES shop.customer);"
    texts = {**TEXTS, "x.sql": ORDERS.replace("shop", "stock"), "y.sql": crossing}
    found = areas(files.read(texts).catalog, texts)
    drawn = diagram.overview(found, TENANCY)
    assert '"stock" -> "shop" [label="1"];' in drawn
    assert 'label="shop\\n3 tables, 2 areas"' in drawn


def test_pages_of_areas_that_are_gone_are_deleted(shop: tuple[Area, ...], tmp_path: Path) -> None:
    found = pages.pages(shop, TENANCY)
    pages.write(found, tmp_path)
    own = tmp_path / "shop" / "notes.md"
    own.write_text("Written by hand.")
    pages.write({path: text for path, text in found.items() if path.stem != "10_orders"}, tmp_path)
    left = {path.name for path in (tmp_path / "shop").iterdir()}
    assert left == {"README.md", "20_receipts.md", "notes.md"}


@pytest.fixture
def deployed_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with the files of the shop and settings that say so."""
    monkeypatch.chdir(tmp_path)
    for path, text in TEXTS.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    order = "\n".join(path.removeprefix("sql/") for path in TEXTS)
    (tmp_path / "sql" / "order.txt").write_text(order)
    (tmp_path / "harness.toml").write_text(
        'schema_dir = "sql"\n[tenancy]\nroot_table = "shop.business"\n'
    )
    return tmp_path


def test_pages_are_written_by_the_command(
    deployed_files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["schema", "docs", "pages"]) == 0
    assert capsys.readouterr().out == "4 pages in pages\n"
    assert "## shop.customer" in (deployed_files / "pages/shop/10_orders.md").read_text()


@pytest.mark.usefixtures("deployed_files")
def test_an_unknown_schema_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", "erd", "stock"]) == 2
    assert "there is no schema stock; there are shop" in capsys.readouterr().err


@pytest.mark.usefixtures("deployed_files")
def test_without_graphviz_one_line_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "")
    assert main(["schema", "erd"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert main(["schema", "erd", "--format", "dot"]) == 0
    assert capsys.readouterr().out.startswith('digraph "overview"')


@pytest.mark.skipif(shutil.which("dot") is None, reason="needs Graphviz")
@pytest.mark.usefixtures("deployed_files")
def test_a_schema_is_drawn_as_svg(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", "erd", "shop"]) == 0
    root = ElementTree.fromstring(capsys.readouterr().out)  # noqa: S314 - what dot has just drawn
    texts = {element.text for element in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {"customer", "purchase", "receipt", "Orders: what was asked for"} <= texts
