"""Text of documents: said by the file or read off its pictures, and a word for every file that has none."""

from collections.abc import Callable
from typing import Any

import pytest

from executor.kept import Kept
from hardpoint_kit.errors import HardpointError
from standard import documents
from standard.conftest import Standard
from standard.documents import INVOICE

LETTER = ("Sehr geehrte Damen und Herren,", "über die Lieferung der Äpfel freuen wir uns.", "Mit freundlichen Grüßen")


async def read(standard: Standard, name: str, file: bytes, **more: Any) -> Any:
    done = await standard.ran(name, {"input": {"id": "orgs/acme/files/paper"}, **more}, Kept(paper=file))
    assert done.error is None, done.error
    return done.output


async def refused(standard: Standard, file: bytes, **more: Any) -> HardpointError:
    given = {"input": {"id": "orgs/acme/files/paper", "name": "paper.pdf"}, **more}
    done = await standard.ran("ocr.pages", given, Kept(paper=file))
    assert done.error is not None, done.output
    return done.error


async def test_the_text_of_an_invoice_is_what_its_file_says(standard: Standard) -> None:
    text = await read(standard, "ocr.extract", documents.written(INVOICE, ["Page two"]))
    assert text.split("\n") == [*INVOICE, "", "Page two"]


async def test_a_scanned_invoice_is_read_off_its_picture(standard: Standard) -> None:
    [page] = (await read(standard, "ocr.pages", documents.scanned(INVOICE, stamp="p. 1")))["pages"]
    assert (page["number"], page["source"]) == (1, "ocr")
    for words in ("Invoice No. INV-2024-0815", "Date: 15 March 2024", "Total amount: 1,234.56 EUR"):
        assert words in page["text"]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP", "BMP"])
async def test_a_picture_is_read_too(standard: Standard, kind: str) -> None:
    text = await read(standard, "ocr.extract", documents.picture(INVOICE, kind))
    assert "Total amount: 1,234.56 EUR" in text


async def test_german_is_read_as_german(standard: Standard) -> None:
    text = await read(standard, "ocr.extract", documents.scanned(LETTER), language="de")
    assert text.replace("\n\n", "\n").split("\n") == list(LETTER)


async def test_some_pages_are_read_by_their_numbers_and_a_page_without_anything_is_empty(standard: Standard) -> None:
    file = documents.written(*([f"This is page {n} of it"] for n in range(1, 5)), [])
    pages = (await read(standard, "ocr.pages", file, first=3))["pages"]
    assert [(page["number"], page["text"], page["source"]) for page in pages] == [
        (3, "This is page 3 of it", "text"),
        (4, "This is page 4 of it", "text"),
        (5, "", "text"),
    ]
    some = (await read(standard, "ocr.pages", file, first=2, last=3))["pages"]
    assert [page["number"] for page in some] == [2, 3]
    assert (await read(standard, "ocr.extract", file, last=1)) == "This is page 1 of it"
    assert (await refused(standard, file, first=6)).message.startswith("ValueError: paper.pdf has 5 pages, so pages 6")


@pytest.mark.parametrize(
    ("file", "name", "says"),
    [
        (
            lambda: documents.written(INVOICE, password="secret"),
            "FileEncrypted",
            "needs a password: save it without one",
        ),
        (lambda: b"%PDF-1.7\n" + bytes(range(256)) * 100, "FileUnreadable", "save it again from its program"),
        (lambda: documents.written(INVOICE)[:300], "FileUnreadable", "save it again from its program"),
        (lambda: bytes(range(256)) * 100, "FileUnreadable", "give a PDF, PNG, JPEG, TIFF or WebP file"),
        (lambda: b"", "FileUnreadable", "give a PDF"),
        (lambda: b"\x89PNG\r\n\x1a\n" + bytes(100), "FileUnreadable", "no picture that can be read"),
        (lambda: documents.black(60_000, 60_000), "FileUnreadable", "too large for the memory of a call"),
        (lambda: documents.bombs()["picture"], "FileTooLarge", "holds pictures of 900000000 pixels"),
        (lambda: documents.copied(INVOICE, 200), "FileTooLarge", "this one with last=60 and the next with first=61"),
        (lambda: documents.written(*[["A page"]] * 501), "FileTooLarge", "read it in parts by first and last"),
    ],
    ids=["encrypted", "garbage", "cut", "bytes", "empty", "png", "pixels", "picture bomb", "200 scans", "501 pages"],
)
async def test_what_cannot_be_read_is_said_with_what_to_do(
    standard: Standard, file: Callable[[], bytes], name: str, says: str
) -> None:
    """The files are made by the tests of them: some take seconds, and every process of tests reads this list."""
    error = await refused(standard, file())
    assert (error.reason, error.metadata["name"]) == ("USER_ERROR", name)
    assert says in error.message


@pytest.mark.parametrize("name", ["content", "content packed twice", "forms in forms"])
async def test_a_file_that_unpacks_to_more_than_the_memory_ends_its_call_alone(standard: Standard, name: str) -> None:
    error = await refused(standard, documents.bombs()[name])
    assert error.reason in ("MEMORY", "CRASH", "TIMEOUT")
    if error.reason == "CRASH":
        assert "give it less at once" in error.fix
    assert await read(standard, "ocr.extract", documents.written(["After it"])) == "After it"
