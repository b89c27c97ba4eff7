"""What an organisation knows: documents taken in as passages of a table of its database, and found by their words.

The table, which the organisation makes once and names in DATABASE_TABLES:

    CREATE TABLE knowledge (
        document text NOT NULL,
        part integer NOT NULL,
        text text NOT NULL,
        words tsvector GENERATED ALWAYS AS (to_tsvector('simple', text)) STORED
    );
    CREATE INDEX ON knowledge USING gin (words);
    CREATE INDEX ON knowledge (document);
"""

import json
import re

import pypdfium2

from hardpoint_sdk import action, capability

PASSAGE = 1200
"""Characters of a passage, about, so that a few of them fit into a prompt."""
MOST_CHARACTERS = 400_000
FILE_BYTES = 20_000_000

# One statement, so that a document is never there twice, nor in part.
INGEST = """
    WITH old AS (DELETE FROM knowledge WHERE document = $1)
    INSERT INTO knowledge (document, part, text)
    SELECT $1, made.part, made.text FROM json_to_recordset(CAST($2 AS json)) AS made (part integer, text text)
"""
# Words that a text should have, any of them; those that have more of them, closer together, come first.
SEARCH = """
    SELECT document, part, text, ts_rank_cd(words, wanted) AS rank
    FROM knowledge, websearch_to_tsquery('simple', $1) AS wanted
    WHERE words @@ wanted ORDER BY rank DESC, document, part LIMIT $2
"""
FORGET = "DELETE FROM knowledge WHERE document = $1"


class NoText(Exception):
    """There is nothing to take in."""


class TooLong(Exception):
    """It has more text, or bytes, than one call takes in."""


@capability(
    id="knowledge",
    name="Knowledge",
    icon="📚",
    version="1.0.0",
    author="Hardpoint",
    description="Take in documents and find passages by their words, with the document that each is from. It keeps "
    "them in a table `knowledge` of the organisation's database, which its file shows how to make",
    category="data",
    tags=["search", "documents"],
    libraries=["pypdfium2"],
    permissions=["data.read", "data.write", "data.delete", "file.read", "compute.moderate"],
)
class Knowledge:
    @action(
        description="Take in a document, in place of what it said before",
        inputs=[
            {"name": "file", "type": "file", "description": "Text, Markdown, CSV, or a PDF that says its text"},
            {"name": "text", "type": "string", "description": "The text itself, in place of a file"},
            {"name": "document", "type": "string", "description": "What it is called; the file's name when absent"},
        ],
        outputs=[
            {"name": "document", "type": "string", "required": True},
            {"name": "passages", "type": "integer", "required": True, "description": "How many it became"},
        ],
        effect="write",
        idempotent=True,
    )
    async def ingest(self, input):
        text = input["text"] if "text" in input else await self.text_of(input.get("file"))
        document = input.get("document") or input.get("file", {}).get("name")
        if not document:
            raise NoText("the document has no name: give `document`")
        if len(text) > MOST_CHARACTERS:
            raise TooLong(f"{document} has {len(text)} characters, and {MOST_CHARACTERS} are taken in: split it")
        parts = passages(text)
        if not parts:
            raise NoText(f"{document} says nothing; of a scanned PDF, take in what ocr.extract gives, as `text`")
        made = [{"part": number, "text": part} for number, part in enumerate(parts, 1)]
        await self.db.execute(INGEST, [document, json.dumps(made, ensure_ascii=False)])
        return {"document": document, "passages": len(parts)}

    @action(
        description='Find passages as with a search box: words, "exact words", this or that, -without',
        inputs=[
            {"name": "query", "type": "string", "required": True},
            {"name": "limit", "type": "integer", "default": 5, "description": "Passages to give, at most"},
        ],
        outputs=[
            {
                "name": "passages",
                "type": "array",
                "required": True,
                "items": {
                    "type": "object",
                    "properties": [
                        {"name": "document", "type": "string", "required": True, "description": "Where it is from"},
                        {"name": "part", "type": "integer", "required": True, "description": "Which passage, from 1"},
                        {"name": "text", "type": "string", "required": True},
                        {"name": "rank", "type": "number", "required": True, "description": "How well it fits"},
                    ],
                },
            }
        ],
        effect="read",
    )
    async def search(self, input):
        return {"passages": await self.db.query(SEARCH, [input["query"], input.get("limit", 5)])}

    @action(
        description="Remove a document",
        inputs=[{"name": "document", "type": "string", "required": True}],
        outputs=[{"name": "passages", "type": "integer", "required": True, "description": "How many it had"}],
        effect="write",
        idempotent=True,
    )
    async def forget(self, input):
        return {"passages": (await self.db.execute(FORGET, [input["document"]]))["rows"]}

    async def text_of(self, file):
        if file is None:
            raise NoText("there is no document: give `file` or `text`")
        name = file.get("name", "the file")
        content = await self.file.open(file, length=FILE_BYTES + 1)
        if len(content) > FILE_BYTES:
            raise TooLong(f"{name} has more than {FILE_BYTES} bytes: split it")
        if b"%PDF-" in content[:1024]:
            try:
                with pypdfium2.PdfDocument(content) as document:
                    return "\n\n".join(page.get_textpage().get_text_range(errors="replace") for page in document)
            except pypdfium2.PdfiumError as error:
                raise NoText(f"{name} is no PDF that can be read ({error}): save it without a password") from None
        try:
            return content.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise NoText(f"{name} is neither a PDF nor a text in UTF-8: save it as one of them") from None


def passages(text):
    """A text in passages of whole paragraphs, of whole lines where one is long, of whole words where a line is."""
    made = [""]
    for paragraph in re.split(r"\n\s*\n", text.replace("\0", "").replace("\r\n", "\n")):
        pieces = [paragraph] if len(paragraph) <= PASSAGE else paragraph.split("\n")
        for piece in pieces:
            for part in cut(piece.strip()):
                if made[-1] and len(made[-1]) + len(part) > PASSAGE:
                    made.append("")
                made[-1] = f"{made[-1]}\n{part}".strip()
    return [part for part in made if part]


def cut(line):
    while len(line) > PASSAGE:
        end = line.rfind(" ", 1, PASSAGE) if " " in line[1:PASSAGE] else PASSAGE
        yield line[:end]
        line = line[end:].lstrip()
    yield line
